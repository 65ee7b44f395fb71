//! Cuts records into pieces of bounded size, by the records alone: the batches in which files or sorts happen to hold
//! them leave no trace in the result.

use arrow_array::{Array, ArrayRef, cast::AsArray};
use arrow_schema::DataType;

use super::parquet::Columns;
use crate::failure::Outcome;

/// How much a piece holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The most records.
    pub(crate) rows: usize,
    /// The most bytes; only a piece of one record has more.
    pub(crate) bytes: u64,
    /// What each value of a record costs beside its own bytes.
    pub(crate) value: u64,
    /// No piece goes past a multiple of that many records.
    pub(crate) stride: u64,
}

/// Some records that follow each other.
pub(crate) struct Piece {
    /// The place of its first record among all.
    pub(crate) first: u64,
    pub(crate) rows: usize,
    /// Its records, in the batches that held them.
    pub(crate) parts: Vec<Columns>,
}

/// The records in pieces, none of them empty.
pub(crate) struct Pieces<I> {
    batches: I,
    bounds: Bounds,
    /// What is left of the last batch, and from where on.
    rest: Option<(Columns, usize)>,
    open: Piece,
    bytes: u64,
}

impl<I: Iterator<Item = Outcome<Columns>>> Pieces<I> {
    pub(crate) fn new(batches: I, bounds: Bounds) -> Self {
        let open = Piece { first: 0, rows: 0, parts: Vec::new() };
        Self { batches, bounds, rest: None, open, bytes: 0 }
    }

    /// How many of the records from `start` on the open piece takes.
    fn fitting(&self, (columns, rows): &Columns, start: usize) -> usize {
        let Bounds { rows: most, bytes, value, stride } = self.bounds;
        let stride = stride.max(1);
        let until_stride = stride - (self.open.first + self.open.rows as u64) % stride;
        let room = (most.max(1) - self.open.rows).min(usize::try_from(until_stride).unwrap_or(usize::MAX));
        let weigh = |length: usize| {
            let own: u64 = columns.iter().map(|column| weight(column, start, start + length)).sum();
            self.bytes + own + value * (columns.len() * length) as u64
        };
        // The weight grows with each record: the last one that fits is found by halving.
        let (mut fits, mut over) = (0, room.min(rows - start) + 1);
        while over - fits > 1 {
            let middle = fits + (over - fits) / 2;
            if weigh(middle) <= bytes { fits = middle } else { over = middle }
        }
        if self.open.rows == 0 { fits.max(1) } else { fits }
    }

    fn close(&mut self) -> Option<Piece> {
        self.bytes = 0;
        let next = Piece { first: self.open.first + self.open.rows as u64, rows: 0, parts: Vec::new() };
        Some(std::mem::replace(&mut self.open, next)).filter(|piece| piece.rows > 0)
    }

    fn is_full(&self) -> bool {
        let end = self.open.first + self.open.rows as u64;
        self.open.rows >= self.bounds.rows || self.open.rows > 0 && end % self.bounds.stride.max(1) == 0
    }
}

impl<I: Iterator<Item = Outcome<Columns>>> Iterator for Pieces<I> {
    type Item = Outcome<Piece>;

    fn next(&mut self) -> Option<Outcome<Piece>> {
        loop {
            let (batch, start) = match self.rest.take() {
                Some(rest) => rest,
                None => match self.batches.next() {
                    None => return self.close().map(Ok),
                    Some(Err(error)) => return Some(Err(error)),
                    Some(Ok((_, 0))) => continue,
                    Some(Ok(batch)) => (batch, 0),
                },
            };
            let taken = self.fitting(&batch, start);
            if taken > 0 {
                let (columns, _) = &batch;
                self.bytes += columns.iter().map(|column| weight(column, start, start + taken)).sum::<u64>()
                    + self.bounds.value * (columns.len() * taken) as u64;
                let part = columns.iter().map(|column| column.slice(start, taken)).collect();
                self.open.parts.push((part, taken));
                self.open.rows += taken;
            }
            let end = start + taken;
            let more = end < batch.1;
            if more {
                self.rest = Some((batch, end));
            }
            if more || self.is_full() {
                return self.close().map(Ok);
            }
        }
    }
}

/// About how many bytes the values of some rows have. It adds up: the weight of two ranges side by side is that of both
/// together, so where a piece ends does not depend on how its records came.
fn weight(array: &ArrayRef, start: usize, end: usize) -> u64 {
    let rows = (end - start) as u64;
    let within = |offsets: &[i32]| (offsets[start] as usize, offsets[end] as usize);
    match array.data_type() {
        DataType::Utf8 => {
            let (from, to) = within(array.as_string::<i32>().value_offsets());
            (to - from) as u64 + 4 * rows
        }
        DataType::Binary => {
            let (from, to) = within(array.as_binary::<i32>().value_offsets());
            (to - from) as u64 + 4 * rows
        }
        DataType::FixedSizeBinary(width) => rows * u64::try_from(*width).unwrap_or(0),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = within(list.value_offsets());
            weight(list.values(), from, to) + 4 * rows
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (from, to) = within(map.value_offsets());
            weight(map.keys(), from, to) + weight(map.values(), from, to) + 4 * rows
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().map(|column| weight(column, start, end)).sum::<u64>() + rows
        }
        other => rows * other.primitive_width().unwrap_or(1) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, ListArray, StringArray, types::Int32Type};

    use super::*;
    use crate::failure::defect;

    /// Records of very different lengths, in batches of these sizes over and over.
    fn cut(sizes: &[usize], bounds: Bounds) -> Vec<(u64, usize, Vec<String>)> {
        let texts: Vec<String> = (0..1000).map(|n| "x".repeat((n * 37) % 101 + n / 999 * 5000)).collect();
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(&texts));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
            (0..1000).map(|n| (n % 3 > 0).then(|| vec![Some(n); n as usize % 5])),
        ));
        let (mut batches, mut start) = (Vec::new(), 0);
        for size in sizes.iter().cycle() {
            let length = (*size).min(1000 - start);
            let slice = |array: &ArrayRef| array.slice(start, length);
            batches.push(Ok((vec![slice(&text), slice(&lists)], length)));
            start += length;
            if start == 1000 {
                break;
            }
        }
        let pieces = Pieces::new(batches.into_iter(), bounds);
        let tell = |piece: Piece| {
            let of = |(columns, _): &Columns| {
                columns[0].as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
            };
            (piece.first, piece.rows, piece.parts.iter().flat_map(of).collect::<Vec<_>>())
        };
        let pieces: Vec<(u64, usize, Vec<String>)> =
            pieces.map(|piece| tell(piece.ok().expect("no error"))).collect();
        let all: Vec<String> = pieces.iter().flat_map(|(_, _, texts)| texts.clone()).collect();
        assert_eq!(all, texts);
        pieces
    }

    #[test]
    fn pieces_do_not_show_the_batches_they_came_in() {
        let bounds = Bounds { rows: 64, bytes: 2_000, value: 3, stride: 150 };
        let whole = cut(&[1000], bounds);
        for sizes in [&[1][..], &[7, 0, 130], &[64], &[999, 1], &[150, 3]] {
            assert_eq!(cut(sizes, bounds), whole, "{sizes:?}");
        }
    }

    #[test]
    fn pieces_keep_to_their_bounds() {
        let bounds = Bounds { rows: 64, bytes: 2_000, value: 0, stride: 150 };
        let mut next = 0;
        for (first, rows, texts) in cut(&[90], bounds) {
            assert_eq!((first, texts.len()), (next, rows));
            next += rows as u64;
            assert!((1..=64).contains(&rows));
            assert!(texts.iter().map(String::len).sum::<usize>() <= 2_000 || rows == 1);
            assert_eq!(first / 150, (next - 1) / 150, "no piece goes past the stride");
        }
        assert_eq!(next, 1000);
    }

    #[test]
    fn an_error_comes_through_and_nothing_gives_no_piece() {
        let bounds = Bounds { rows: 2, bytes: 100, value: 0, stride: u64::MAX };
        assert!(Pieces::new(std::iter::empty(), bounds).next().is_none());
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let mut pieces = Pieces::new([Ok((vec![one], 1)), Err(defect("broken"))].into_iter(), bounds);
        assert!(pieces.next().is_some_and(|piece| piece.is_err()));
    }
}
