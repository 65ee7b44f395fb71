//! How many bytes rows have, where one may be copied many times.

use arrow_array::{Array, ArrayRef, cast::AsArray};
use arrow_schema::DataType;

/// Once so many bytes are gathered, no more rows are added to them.
pub(super) const BYTES: usize = 2 << 20;

/// The bytes of each row of a batch: of text exactly, of all else as many as a row has on the average.
pub(super) struct Weights<'a> {
    texts: Vec<&'a [i32]>,
    rest: usize,
}

impl<'a> Weights<'a> {
    pub(super) fn new(columns: &'a [ArrayRef]) -> Self {
        let mut own = Self { texts: Vec::new(), rest: 0 };
        for column in columns {
            match column.data_type() {
                DataType::Utf8 => own.texts.push(column.as_string::<i32>().value_offsets()),
                DataType::Binary => own.texts.push(column.as_binary::<i32>().value_offsets()),
                _ => own.rest += average(column),
            }
        }
        own
    }

    pub(super) fn of(&self, row: usize) -> usize {
        let texts = self.texts.iter().map(|ends| 4 + (ends[row + 1] - ends[row]) as usize);
        self.rest + texts.sum::<usize>()
    }
}

/// The bytes that a value of the column has on the average.
pub(super) fn average(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_default().div_ceil(column.len().max(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_long_text_weighs_on_its_own_row_alone() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1_000), "y".into()]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let columns = [texts, numbers];
        let weights = Weights::new(&columns);
        assert_eq!((weights.of(0), weights.of(1)), (1_012, 13));
        let cut = [columns[0].slice(1, 1)];
        assert_eq!(Weights::new(&cut).of(0), 5);
    }
}
