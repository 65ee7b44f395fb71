//! The result: each row with what was found for it, in the order of the rows.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, RecordBatch, StringArray, UInt32Array,
    builder::StringBuilder,
    cast::AsArray,
    new_null_array,
    types::{UInt8Type, UInt64Type},
};
use arrow_schema::{DataType, FieldRef};
use arrow_select::{interleave::interleave, take::take};
use willcall_core::job::kinds::OnMultiple;

use super::{
    NO_RECORD,
    own::in_type,
    rows::State,
    totals::progress,
    weight::{BYTES, Weights, average},
};
use crate::{
    attempt::Attempt,
    failure::{Outcome, defect},
    formats::parquet::Columns,
};

/// Records of the result that are made at once.
const RECORDS: usize = 8192;

/// Brings rows together with what was found for them, which comes sorted by the rows' numbers.
pub(super) struct Output<R, P> {
    pub(super) attempt: Arc<Attempt>,
    /// The rows as they were put aside.
    pub(super) rows: R,
    pub(super) pairs: P,
    /// The rows' own columns as they are in the result.
    pub(super) own: Vec<FieldRef>,
    /// The data set's columns as they are in the result.
    pub(super) fields: Vec<FieldRef>,
    pub(super) mode: OnMultiple,
    /// How many rows there are, for the progress.
    pub(super) expected: u64,
    pub(super) state: Merging,
}

/// Where the merge stands.
#[derive(Default)]
pub(super) struct Merging {
    batch: Option<(RecordBatch, usize)>,
    /// The number of the row at hand.
    row: u64,
    /// Whether the row at hand has come already, with another record.
    begun: bool,
    pairs: Option<(RecordBatch, usize)>,
    ended: bool,
}

/// What became of some rows, as it is gathered.
struct Gathered {
    rows: Vec<u32>,
    /// Of each the batch of pairs and the place in it; the first batch is nothing.
    pairs: Vec<(usize, usize)>,
    batches: Vec<RecordBatch>,
    matches: StringBuilder,
    errors: StringBuilder,
    bytes: usize,
    /// The bytes of a pair of the last batch, on the average.
    pair_bytes: usize,
}

impl<R, P> Iterator for Output<R, P>
where
    R: Iterator<Item = Outcome<RecordBatch>>,
    P: Iterator<Item = Outcome<RecordBatch>>,
{
    type Item = Outcome<Columns>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.attempt.check() {
            return Some(Err(error));
        }
        let (batch, from) = match self.state.batch.take() {
            Some(open) => open,
            None => match self.rows.next()? {
                Ok(batch) => (batch, 0),
                Err(error) => return Some(Err(error)),
            },
        };
        let made = self.make(&batch, from);
        progress(&self.attempt, 2, self.state.row, self.expected);
        Some(made.map(|(columns, count, to)| {
            if to < batch.num_rows() {
                self.state.batch = Some((batch, to));
            }
            (columns, count)
        }))
    }
}

impl<R, P> Output<R, P>
where
    P: Iterator<Item = Outcome<RecordBatch>>,
{
    /// The records of a batch's rows from that one on, and which row is next.
    fn make(&mut self, batch: &RecordBatch, from: usize) -> Outcome<(Vec<ArrayRef>, usize, usize)> {
        let [.., states, errors] = batch.columns() else { return Err(defect("rows without their states")) };
        let states = states.as_primitive::<UInt8Type>().values();
        let errors: &StringArray = errors.as_string();
        let mut out = Gathered {
            rows: Vec::with_capacity(RECORDS),
            pairs: Vec::with_capacity(RECORDS),
            batches: Vec::new(),
            matches: StringBuilder::new(),
            errors: StringBuilder::new(),
            bytes: 0,
            pair_bytes: 0,
        };
        let weights = Weights::new(batch.columns());
        let mut at = from;
        while at < batch.num_rows() && out.rows.len() < RECORDS && out.bytes < BYTES {
            let before = out.rows.len();
            let pair = match states[at] {
                state if state == State::Keyed as u8 => self.pair(&mut out)?,
                _ => None,
            };
            let over = match pair {
                Some((place, found)) => {
                    out.found(at, place, found);
                    self.state.begun = true;
                    // The only one of the row, unless all of its records are asked for.
                    self.mode != OnMultiple::All || found == 1
                }
                None => {
                    if !self.state.begun {
                        let words = (!errors.is_null(at)).then(|| errors.value(at));
                        out.nothing(at, states[at], words);
                    }
                    true
                }
            };
            if out.rows.len() > before {
                out.bytes += weights.of(at) + pair.map_or(0, |_| out.pair_bytes);
            }
            if over {
                (at, self.state.row, self.state.begun) = (at + 1, self.state.row + 1, false);
            }
        }
        let count = out.rows.len();
        Ok((self.columns(batch, from, at, out)?, count, at))
    }

    /// The next pair, if it is of the row at hand, and how many records that row has.
    fn pair(&mut self, out: &mut Gathered) -> Outcome<Option<((usize, usize), u64)>> {
        loop {
            let Some((pairs, next)) = &mut self.state.pairs else {
                if self.state.ended {
                    return Ok(None);
                }
                match self.pairs.next().transpose()? {
                    Some(batch) => self.state.pairs = Some((batch, 0)),
                    None => self.state.ended = true,
                }
                continue;
            };
            if *next == pairs.num_rows() {
                self.state.pairs = None;
                continue;
            }
            let row = pairs.column(0).as_primitive::<UInt64Type>().value(*next);
            if row != self.state.row {
                return Ok(None);
            }
            let found = pairs.column(1).as_primitive::<UInt64Type>().value(*next);
            // A batch is held once for all of its pairs.
            if !out.batches.last().is_some_and(|last| Arc::ptr_eq(last.column(0), pairs.column(0))) {
                out.batches.push(pairs.clone());
                out.pair_bytes = pairs.columns().iter().map(average).sum();
            }
            let place = (out.batches.len(), *next);
            *next += 1;
            return Ok(Some((place, found)));
        }
    }

    fn columns(
        &self,
        batch: &RecordBatch,
        from: usize,
        to: usize,
        mut out: Gathered,
    ) -> Outcome<Vec<ArrayRef>> {
        let count = out.rows.len();
        let each_once =
            count == to - from && out.rows.iter().enumerate().all(|(n, row)| *row as usize == from + n);
        let rows = UInt32Array::from(std::mem::take(&mut out.rows));
        let mut columns = Vec::with_capacity(self.own.len() + self.fields.len() + 2);
        let schema = batch.schema();
        let there = schema.fields().iter().map(|field| field.name().parse().ok()).zip(batch.columns());
        let there: HashMap<usize, &ArrayRef> =
            there.filter_map(|(number, column)| Some((number?, column))).collect();
        for (number, field) in self.own.iter().enumerate() {
            let column = there.get(&number).copied();
            let column = match column {
                Some(column) if each_once => Some(column.slice(from, count)),
                Some(column) => Some(take(column, &rows, None).map_err(defect)?),
                None => None,
            };
            columns.push(in_type(column.as_ref(), field.data_type(), count)?);
        }
        for (number, field) in self.fields.iter().enumerate() {
            let nothing = new_null_array(field.data_type(), 1);
            let mut parts: Vec<&dyn Array> = vec![&nothing];
            parts.extend(out.batches.iter().map(|pairs| pairs.column(2 + number).as_ref()));
            columns.push(interleave(&parts, &out.pairs).map_err(defect)?);
        }
        columns.push(Arc::new(out.matches.finish()));
        columns.push(Arc::new(out.errors.finish()));
        Ok(columns)
    }
}

impl Gathered {
    /// A row with a record, or with none of several.
    fn found(&mut self, row: usize, place: (usize, usize), found: u64) {
        self.rows.push(row as u32);
        self.pairs.push(place);
        if found == 1 {
            self.matches.append_value("matched");
            self.errors.append_null();
        } else {
            self.matches.append_value("ambiguous");
            self.errors.append_value(format!("{found} records match"));
        }
    }

    /// A row without a record.
    fn nothing(&mut self, row: usize, state: u8, words: Option<&str>) {
        self.rows.push(row as u32);
        self.pairs.push((0, 0));
        let malformed = state == State::Malformed as u8;
        self.matches.append_value(if malformed { "malformed" } else { "unmatched" });
        self.errors.append_value(words.unwrap_or(NO_RECORD));
    }
}

/// The columns that the result adds behind the others.
pub(super) fn told() -> [FieldRef; 2] {
    use arrow_schema::Field;
    use willcall_core::usecases::submit::{ERROR_COLUMN, MATCH_COLUMN};
    [
        Arc::new(Field::new(MATCH_COLUMN, DataType::Utf8, false)),
        Arc::new(Field::new(ERROR_COLUMN, DataType::Utf8, true)),
    ]
}
