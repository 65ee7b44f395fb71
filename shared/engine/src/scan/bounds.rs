//! What the statistics of a row group say of a column.
//!
//! Says yes when in doubt: statistics may be missing, bounds of text may be cut short (they still are bounds), and
//! floats' bounds leave NaN out, which here is greater than every number.

use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::{DataType, Schema};
use parquet::{arrow::arrow_reader::statistics::StatisticsConverter, file::metadata::ParquetMetaData};
use willcall_core::query::{CompareOp, Literal};

use super::OpenFile;
use crate::{adapt::adapt, filter::compare_literal};

/// What a row group's statistics say of a column.
pub(crate) struct Bounds {
    /// No value is less; NaN is not looked at.
    pub(crate) least: Option<ArrayRef>,
    /// No value is greater; NaN is not looked at.
    pub(crate) greatest: Option<ArrayRef>,
    /// Whether each of them is a value of the column.
    pub(crate) exact: (bool, bool),
    pub(crate) nulls: Option<u64>,
    pub(crate) distinct: Option<u64>,
    rows: u64,
}

impl Bounds {
    /// Those of a column that the job reads as `to`; a column that the file lacks is null in all its records. `None` where
    /// nothing is said, and of a column that is not the file's own.
    pub(crate) fn of(column: &str, to: Option<&DataType>, file: &OpenFile, row_group: usize) -> Option<Self> {
        // What the file itself says of such a column is not what is read.
        if file.constants.tell(column) {
            return None;
        }
        Self::in_footer(column, to, file.schema(), file.parquet(), row_group)
    }

    /// The same, by a file's footer.
    pub(crate) fn in_footer(
        column: &str,
        to: Option<&DataType>,
        schema: &Schema,
        metadata: &ParquetMetaData,
        row_group: usize,
    ) -> Option<Self> {
        let group = metadata.row_group(row_group);
        let rows = u64::try_from(group.num_rows()).ok()?;
        if schema.index_of(column).is_err() {
            let nulls = Some(rows);
            return Some(Self {
                least: None,
                greatest: None,
                exact: (false, false),
                nulls,
                distinct: None,
                rows,
            });
        }
        let converter = StatisticsConverter::try_new(column, schema, metadata.file_metadata().schema_descr())
            .ok()?
            .with_missing_null_counts_as_zero(false);
        let leaf = group.column(converter.parquet_column_index()?);
        let statistics = leaf.statistics()?;
        let own = crate::schema::plain(converter.arrow_field().data_type());
        let to = to.unwrap_or(&own);
        // Old writers ordered text by signed bytes.
        let ordered = !statistics.is_min_max_deprecated() && has_bounds(&own);
        let bound = |array: parquet::errors::Result<ArrayRef>| {
            // In the type in which values are compared: a wider float is not rounded as the file's own was.
            let array = adapt(Some(&adapt(Some(&array.ok()?), &own, 1).ok()?), to, 1).ok()?;
            (ordered && array.is_valid(0) && !is_nan(&array)).then_some(array)
        };
        // Only texts are cut short, and not every writer says of other values that it did not.
        let whole = own != DataType::Utf8;
        Some(Self {
            least: bound(converter.row_group_mins([group])),
            greatest: bound(converter.row_group_maxes([group])),
            exact: (whole || statistics.min_is_exact(), whole || statistics.max_is_exact()),
            // More nulls than records are nobody's count.
            nulls: statistics.null_count_opt().filter(|nulls| *nulls <= rows),
            distinct: statistics.distinct_count_opt(),
            rows,
        })
    }

    /// Whether no record has a value.
    pub(super) fn is_all_null(&self) -> bool {
        self.nulls == Some(self.rows)
    }

    /// Whether the comparison may hold for a value.
    pub(super) fn may_hold(&self, op: CompareOp, literal: &Literal) -> bool {
        if self.is_all_null() {
            return false;
        }
        let float = matches!(literal, Literal::Float(_));
        if matches!(literal, Literal::Float(value) if value.is_nan()) {
            return true;
        }
        let holds = |bound: &Option<ArrayRef>, op| {
            let Some(bound) = bound else { return true };
            let held = compare_literal(bound, op, literal);
            held.is_none_or(|held: BooleanArray| !held.is_valid(0) || held.value(0))
        };
        match op {
            CompareOp::Eq => holds(&self.least, CompareOp::Le) && holds(&self.greatest, CompareOp::Ge),
            CompareOp::Lt | CompareOp::Le => holds(&self.least, op),
            CompareOp::Gt | CompareOp::Ge => float || holds(&self.greatest, op),
            // All values are the literal, where no NaN can hide among them.
            CompareOp::Ne => float || !(self.is(&self.least, literal) && self.is(&self.greatest, literal)),
        }
    }

    fn is(&self, bound: &Option<ArrayRef>, literal: &Literal) -> bool {
        let Some(bound) = bound else { return false };
        compare_literal(bound, CompareOp::Eq, literal).is_some_and(|is| is.is_valid(0) && is.value(0))
    }

    /// Whether a text may begin so.
    pub(super) fn may_begin_with(&self, prefix: &str) -> bool {
        if self.is_all_null() {
            return false;
        }
        let prefix = prefix.as_bytes();
        // Texts with the prefix lie between it and the first text behind them all.
        let below = text(&self.greatest).is_some_and(|greatest| greatest.as_slice() < prefix);
        let above =
            text(&self.least).is_some_and(|least| least.as_slice() > prefix && !least.starts_with(prefix));
        !below && !above
    }

    /// Whether a text may begin otherwise: none does between two that begin so.
    pub(super) fn may_begin_otherwise(&self, prefix: &str) -> bool {
        let begins = |bound| text(bound).is_some_and(|bound| bound.starts_with(prefix.as_bytes()));
        let extremes = begins(&self.least) && begins(&self.greatest);
        !(self.is_all_null() || extremes)
    }
}

fn text(bound: &Option<ArrayRef>) -> Option<Vec<u8>> {
    let bound = bound.as_ref()?;
    let bound = bound.as_any().downcast_ref::<arrow_array::StringArray>()?;
    Some(bound.value(0).as_bytes().to_vec())
}

/// Whether a type's bounds in Parquet follow the order of its values here. Those of `Date64` do not always: a file that has
/// moments within a day may be read as days.
fn has_bounds(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Utf8
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => true,
        other => other.is_numeric(),
    }
}

fn is_nan(array: &ArrayRef) -> bool {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float16Type, Float32Type, Float64Type};
    match array.data_type() {
        DataType::Float16 => array.as_primitive::<Float16Type>().value(0).is_nan(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(0).is_nan(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(0).is_nan(),
        _ => false,
    }
}
