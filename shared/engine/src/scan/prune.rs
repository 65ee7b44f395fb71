//! Row groups that the filter cannot keep anything of, told by their statistics.
//!
//! Says yes when in doubt: statistics may be missing, bounds of text may be cut short (they still are bounds), and
//! floats' bounds leave NaN out, which here is greater than every number.

use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use willcall_core::query::{CompareOp, Filter, Literal, Operand, TextMatch};

use super::OpenFile;
use crate::{adapt::adapt, filter::compare_literal};

/// Whether a record of the row group may fit the filter.
pub(crate) fn may_match(filter: &Filter, file: &OpenFile, row_group: usize) -> bool {
    if let Some(decided) = file.constants.decide(filter) {
        return decided;
    }
    match filter {
        Filter::And(all) => all.iter().all(|filter| may_match(filter, file, row_group)),
        Filter::Or(any) => any.iter().any(|filter| may_match(filter, file, row_group)),
        Filter::Compare { left: Operand::Column(column), op, right } => {
            Bounds::of(column, file, row_group).is_none_or(|bounds| bounds.may_hold(*op, right))
        }
        Filter::In { operand: Operand::Column(column), values } => Bounds::of(column, file, row_group)
            .is_none_or(|bounds| match values.as_slice() {
                // Sorted: of many, only their span is looked at.
                [first, .., last] if values.len() > 64 => {
                    bounds.may_hold(CompareOp::Ge, first) && bounds.may_hold(CompareOp::Le, last)
                }
                few => few.iter().any(|value| bounds.may_hold(CompareOp::Eq, value)),
            }),
        Filter::Text {
            operand: Operand::Column(column),
            matches: TextMatch::Prefix,
            pattern,
            ignore_case,
        } => {
            *ignore_case
                || Bounds::of(column, file, row_group).is_none_or(|bounds| bounds.may_begin_with(pattern))
        }
        Filter::IsNull(Operand::Column(column)) => {
            Bounds::of(column, file, row_group).is_none_or(|bounds| bounds.nulls != Some(0))
        }
        Filter::Not(_)
        | Filter::IsNotTrue(_)
        | Filter::Compare { .. }
        | Filter::CompareOperands { .. }
        | Filter::In { .. }
        | Filter::Text { .. }
        | Filter::IsNull(_)
        | Filter::AnyElement { .. } => true,
    }
}

/// What a row group's statistics say of a column.
struct Bounds {
    least: Option<ArrayRef>,
    greatest: Option<ArrayRef>,
    nulls: Option<u64>,
    rows: u64,
}

impl Bounds {
    fn of(column: &str, file: &OpenFile, row_group: usize) -> Option<Self> {
        // What the file itself says of such a column is not what is read.
        if file.constants.tell(column) {
            return None;
        }
        let metadata = file.parquet();
        let group = metadata.row_group(row_group);
        let converter =
            StatisticsConverter::try_new(column, file.schema(), metadata.file_metadata().schema_descr())
                .ok()?
                .with_missing_null_counts_as_zero(false);
        let leaf = group.column(converter.parquet_column_index()?);
        let statistics = leaf.statistics()?;
        let field_type = converter.arrow_field().data_type();
        let plain = crate::schema::plain(field_type);
        // Old writers ordered text by signed bytes.
        let ordered = !statistics.is_min_max_deprecated() && has_bounds(&plain);
        let bound = |array: parquet::errors::Result<ArrayRef>| {
            let array = adapt(Some(&array.ok()?), &plain, 1).ok()?;
            (ordered && array.is_valid(0) && !is_nan(&array)).then_some(array)
        };
        Some(Self {
            least: bound(converter.row_group_mins([group])),
            greatest: bound(converter.row_group_maxes([group])),
            nulls: statistics.null_count_opt(),
            rows: u64::try_from(group.num_rows()).ok()?,
        })
    }

    fn may_hold(&self, op: CompareOp, literal: &Literal) -> bool {
        if self.nulls == Some(self.rows) {
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
            CompareOp::Ne => true,
        }
    }

    fn may_begin_with(&self, prefix: &str) -> bool {
        if self.nulls == Some(self.rows) {
            return false;
        }
        let text = |bound: &Option<ArrayRef>| {
            let bound = bound.as_ref()?;
            let bound = bound.as_any().downcast_ref::<arrow_array::StringArray>()?;
            Some(bound.value(0).as_bytes().to_vec())
        };
        let prefix = prefix.as_bytes();
        // Texts with the prefix lie between it and the first text behind them all.
        let below = text(&self.greatest).is_some_and(|greatest| greatest.as_slice() < prefix);
        let above =
            text(&self.least).is_some_and(|least| least.as_slice() > prefix && !least.starts_with(prefix));
        !below && !above
    }
}

/// Whether a type's bounds in Parquet follow the order of its values here.
fn has_bounds(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean
        | DataType::Utf8
        | DataType::Date32
        | DataType::Date64
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
