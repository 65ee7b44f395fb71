//! Merges sorted runs into one.

use std::{cmp::Ordering, collections::BinaryHeap, sync::Arc};

use arrow_array::{Array, RecordBatch};
use arrow_row::Rows;
use arrow_select::interleave::interleave_record_batch;

use super::{
    MERGE_BYTES,
    keys::{Keys, head},
    run::Run,
};
use crate::{
    attempt::Attempt,
    failure::{Outcome, defect},
};

/// The records of all runs in order, the earlier run first among equals.
pub(super) struct Merge {
    attempt: Arc<Attempt>,
    keys: Arc<Keys>,
    runs: Vec<Source>,
    heap: BinaryHeap<Front>,
    /// Batches that records were taken of since the last one that was made.
    batches: Vec<RecordBatch>,
    taken: Vec<(usize, usize)>,
    needed: u64,
    rows: usize,
    /// The bytes of batches read since the last one that was made.
    read: usize,
}

struct Source {
    batches: Box<dyn Iterator<Item = Outcome<RecordBatch>> + Send>,
    /// Where the present batch stands among the batches held.
    batch: usize,
}

/// The next record of a run.
struct Front {
    head: u128,
    keys: Rows,
    row: usize,
    run: usize,
}

impl Front {
    fn compare(&self, other: &Self) -> Ordering {
        self.head
            .cmp(&other.head)
            .then_with(|| self.keys.row(self.row).cmp(&other.keys.row(other.row)))
            .then_with(|| self.run.cmp(&other.run))
    }
}

impl PartialEq for Front {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other).is_eq()
    }
}

impl Eq for Front {}

impl PartialOrd for Front {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Front {
    /// Reversed: the heap gives its greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.compare(self)
    }
}

impl Merge {
    /// Merges runs into batches of `rows` records, and stops after `needed`.
    pub(super) fn new(
        attempt: &Arc<Attempt>,
        keys: &Arc<Keys>,
        runs: Vec<Run>,
        needed: u64,
        rows: usize,
    ) -> Outcome<Self> {
        let mut merge = Self {
            attempt: Arc::clone(attempt),
            keys: Arc::clone(keys),
            runs: Vec::with_capacity(runs.len()),
            heap: BinaryHeap::with_capacity(runs.len()),
            batches: Vec::new(),
            taken: Vec::new(),
            needed,
            rows,
            read: 0,
        };
        for (number, run) in runs.into_iter().enumerate() {
            merge.runs.push(Source { batches: run.read()?, batch: 0 });
            if let Some(front) = merge.advance(number)? {
                merge.heap.push(front);
            }
        }
        merge.read = 0;
        Ok(merge)
    }

    /// The first record of the run's next batch.
    fn advance(&mut self, run: usize) -> Outcome<Option<Front>> {
        loop {
            let Some(batch) = self.runs[run].batches.next().transpose()? else { return Ok(None) };
            if batch.num_rows() == 0 {
                continue;
            }
            let keys = self.keys.of(&batch)?;
            self.runs[run].batch = self.batches.len();
            self.read += bytes(&batch);
            self.batches.push(batch);
            let head = head(keys.row(0).as_ref());
            return Ok(Some(Front { head, keys, row: 0, run }));
        }
    }

    /// Makes a batch of the records taken, and lets go of the batches that have been read to their end.
    fn flush(&mut self) -> Outcome<RecordBatch> {
        self.attempt.check()?;
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let made = interleave_record_batch(&batches, &self.taken).map_err(defect)?;
        self.taken.clear();
        self.read = 0;
        let mut kept = Vec::with_capacity(self.heap.len());
        for front in &self.heap {
            let source = &mut self.runs[front.run];
            let batch = self.batches[source.batch].clone();
            source.batch = kept.len();
            kept.push(batch);
        }
        self.batches = kept;
        Ok(made)
    }

    fn fill(&mut self) -> Outcome<()> {
        while self.needed > 0 && self.taken.len() < self.rows && self.read < MERGE_BYTES {
            let Some(mut front) = self.heap.peek_mut() else { break };
            let run = front.run;
            self.taken.push((self.runs[run].batch, front.row));
            self.needed -= 1;
            if front.row + 1 < front.keys.num_rows() {
                front.row += 1;
                front.head = head(front.keys.row(front.row).as_ref());
                continue;
            }
            std::collections::binary_heap::PeekMut::pop(front);
            if let Some(next) = self.advance(run)? {
                self.heap.push(next);
            }
        }
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = Outcome<RecordBatch>;

    fn next(&mut self) -> Option<Outcome<RecordBatch>> {
        if let Err(error) = self.fill() {
            return Some(Err(error));
        }
        if self.taken.is_empty() { None } else { Some(self.flush()) }
    }
}

/// The bytes of a batch's own values: what was read from disk shares one buffer among all columns.
fn bytes(batch: &RecordBatch) -> usize {
    let column = |column: &arrow_array::ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0);
    batch.columns().iter().map(column).sum()
}
