//! What records are sorted by, as bytes that compare as the records do.

use arrow_array::RecordBatch;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{Schema, SortOptions};
use willcall_core::job::{ProblemType, kinds::SortKey};

use crate::{
    failure::{Outcome, defect, fatal, fatal_from},
    filter::canonical_floats,
};

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
