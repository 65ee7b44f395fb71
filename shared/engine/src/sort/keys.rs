//! What records are sorted by, as bytes that compare as the records do.

use std::sync::Arc;

use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch, cast::AsArray, types::*};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{DataType, Schema, SortOptions};
use half::f16;
use willcall_core::job::{ProblemType, kinds::SortKey};

use crate::failure::{Outcome, defect, fatal, fatal_from};

/// Makes keys of records.
pub(super) struct Keys {
    converter: RowConverter,
    columns: Vec<usize>,
}

impl Keys {
    pub(super) fn new(schema: &Schema, keys: &[SortKey]) -> Outcome<Self> {
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for key in keys {
            let index = schema.index_of(&key.column).map_err(defect)?;
            let data_type = schema.field(index).data_type().clone();
            let options = SortOptions { descending: key.descending, nulls_first: false };
            let field = SortField::new_with_options(data_type, options);
            if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
                let detail =
                    format!("records cannot be sorted by the column {:?}: it has no order", key.column);
                return Err(fatal(ProblemType::EngineFailed, detail));
            }
            columns.push(index);
            fields.push(field);
        }
        let converter = RowConverter::new(fields).map_err(|error| {
            fatal_from(ProblemType::EngineFailed, "records cannot be sorted by these columns", error)
        })?;
        Ok(Self { converter, columns })
    }

    /// The keys of all records of a batch.
    pub(super) fn of(&self, batch: &RecordBatch) -> Outcome<Rows> {
        let columns: Vec<_> =
            self.columns.iter().map(|index| canonical_floats(batch.column(*index))).collect();
        self.converter.convert_columns(&columns).map_err(defect)
    }
}

/// The first bytes of a key as a number: most comparisons end here, without a look at the key itself.
pub(super) fn head(key: &[u8]) -> u128 {
    let mut head = [0; 16];
    let length = key.len().min(head.len());
    head[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(head)
}

/// Floats with one NaN, the greatest of all, and one zero; other values as they are.
fn canonical_floats(array: &ArrayRef) -> ArrayRef {
    macro_rules! canonical {
        ($type:ty, $native:ty, $zero:expr) => {{
            let own = array.as_primitive::<$type>();
            let odd = own.values().iter().any(|v| v.is_nan() || v.to_bits() == (-$zero).to_bits());
            if !odd {
                return Arc::clone(array);
            }
            let one: PrimitiveArray<$type> = own.unary(|value| {
                if value.is_nan() {
                    <$native>::NAN
                } else if value == $zero {
                    $zero
                } else {
                    value
                }
            });
            Arc::new(one)
        }};
    }
    match array.data_type() {
        DataType::Float16 => canonical!(Float16Type, f16, f16::ZERO),
        DataType::Float32 => canonical!(Float32Type, f32, 0.0_f32),
        DataType::Float64 => canonical!(Float64Type, f64, 0.0_f64),
        _ => Arc::clone(array),
    }
}
