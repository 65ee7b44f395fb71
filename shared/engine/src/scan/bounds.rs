//! What the statistics of a row group say of a column.
//!
//! Says yes when in doubt: statistics may be missing, bounds of text may be cut short (they still are bounds), and
//! floats' bounds leave NaN out, which here is greater than every number.

use std::cmp::Ordering;

use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::{arrow::arrow_reader::statistics::StatisticsConverter, file::metadata::ParquetMetaData};
use willcall_core::query::{CompareOp, Literal};

use super::OpenFile;
use crate::{
    adapt::adapt,
    filter::{compare, compare_literal},
};

/// Where a file's footer says something of one column: sought once, for all its row groups.
pub(crate) struct ColumnBounds<'a> {
    metadata: &'a ParquetMetaData,
    /// `None` of a column that the file lacks, which is null in all its records.
    own: Option<Own<'a>>,
}

/// A column that the file has.
struct Own<'a> {
    converter: StatisticsConverter<'a>,
    leaf: usize,
    /// Its type in this file, and the type in which its values are compared.
    data_type: DataType,
    to: DataType,
}

impl<'a> ColumnBounds<'a> {
    /// Of a column that the job reads as `to`, where that is not its own type. `None` where nothing is said: of a column
    /// that is not the file's own, and of one whose values are made of others.
    pub(crate) fn of(column: &str, to: Option<DataType>, file: &'a OpenFile) -> Option<Self> {
        // What the file itself says of such a column is not what is read.
        if file.constants.tell(column) {
            return None;
        }
        let (schema, metadata) = (file.schema(), file.parquet().as_ref());
        let Ok(root) = schema.index_of(column) else { return Some(Self { metadata, own: None }) };
        let descriptor = metadata.file_metadata().schema_descr();
        let leaf =
            (0..descriptor.num_columns()).find(|leaf| descriptor.get_column_root_idx(*leaf) == root)?;
        Self::at(leaf, schema.field(root), to, metadata)
    }

    /// Of all columns of a file, in their order.
    pub(crate) fn all(
        schema: &'a Schema,
        metadata: &'a ParquetMetaData,
    ) -> impl Iterator<Item = (&'a Field, Option<Self>)> {
        let descriptor = metadata.file_metadata().schema_descr();
        let mut first = vec![None; schema.fields().len()];
        for leaf in (0..descriptor.num_columns()).rev() {
            if let Some(first) = first.get_mut(descriptor.get_column_root_idx(leaf)) {
                *first = Some(leaf);
            }
        }
        schema.fields().iter().zip(first).map(move |(field, leaf)| {
            (field.as_ref(), leaf.and_then(|leaf| Self::at(leaf, field, None, metadata)))
        })
    }

    fn at(
        leaf: usize,
        field: &'a Field,
        to: Option<DataType>,
        metadata: &'a ParquetMetaData,
    ) -> Option<Self> {
        if field.data_type().is_nested() {
            return None;
        }
        let descriptor = metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::from_column_index(leaf, field, descriptor).ok()?;
        let data_type = crate::schema::plain(field.data_type());
        let to = to.unwrap_or_else(|| data_type.clone());
        Some(Self { metadata, own: Some(Own { converter, leaf, data_type, to }) })
    }

    /// What the statistics of that row group say; `None` where it has none.
    pub(crate) fn row_group(&self, number: usize) -> Option<Bounds> {
        let group = self.metadata.row_group(number);
        let rows = u64::try_from(group.num_rows()).ok()?;
        let Some(Own { converter, leaf, data_type, to }) = &self.own else {
            return Some(Bounds::of_nulls(rows));
        };
        let statistics = group.column(*leaf).statistics()?;
        // Old writers ordered text by signed bytes.
        let ordered = !statistics.is_min_max_deprecated() && has_bounds(data_type);
        let bound = |array: parquet::errors::Result<ArrayRef>| {
            // In the type in which values are compared: a wider float is not rounded as the file's own was.
            let array = adapt(Some(&adapt(Some(&array.ok()?), data_type, 1).ok()?), to, 1).ok()?;
            (ordered && array.is_valid(0) && !is_nan(&array)).then_some(array)
        };
        // Only texts are cut short, and not every writer says of other values that it did not.
        let whole = *data_type != DataType::Utf8;
        // More nulls, or more values, than records are nobody's count.
        let count = |told: Option<u64>| told.filter(|told| *told <= rows);
        Some(Bounds {
            least: bound(converter.row_group_mins([group])),
            greatest: bound(converter.row_group_maxes([group])),
            exact: (whole || statistics.min_is_exact(), whole || statistics.max_is_exact()),
            nulls: count(statistics.null_count_opt()),
            distinct: count(statistics.distinct_count_opt()),
            rows,
        })
    }
}

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
    /// Those of so many records without a value.
    fn of_nulls(rows: u64) -> Self {
        let nulls = Some(rows);
        Self { least: None, greatest: None, exact: (false, false), nulls, distinct: None, rows }
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
        bound.as_ref().is_some_and(|bound| holds(compare_literal(bound, CompareOp::Eq, literal)))
    }

    /// Whether all values are one and the same, and it is one of these. They are sorted; of others it says no.
    pub(super) fn is_one_of(&self, values: &[Literal]) -> bool {
        let (Some(least), Some(greatest)) = (&self.least, &self.greatest) else { return false };
        // NaN hides behind no bound.
        let float = matches!(values.first(), Some(Literal::Float(_)));
        if float || !holds(compare(least, CompareOp::Eq, greatest).ok()) {
            return false;
        }
        let order = |value: &Literal| {
            if holds(compare_literal(least, CompareOp::Eq, value)) {
                Ordering::Equal
            } else if holds(compare_literal(least, CompareOp::Gt, value)) {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        };
        values.binary_search_by(order).is_ok()
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

/// Whether the only comparison made holds for certain.
fn holds(held: Option<BooleanArray>) -> bool {
    held.is_some_and(|held| held.is_valid(0) && held.value(0))
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
