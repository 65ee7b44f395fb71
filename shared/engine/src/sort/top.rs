//! The first few records of an order, without a sort of all, for as long as they fit in memory.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::Scope,
};

use arrow_array::{BooleanArray, RecordBatch};
use arrow_row::OwnedRow;
use arrow_select::filter::filter_record_batch;

use super::{Sort, SortedBatches, external, keys::Keys, run::sorted};
use crate::{
    failure::{Outcome, defect},
    ordered::{Emit, ordered},
};

/// The most records that are kept instead of sorted: past it, a full sort is cheaper.
pub(crate) const TOP_LIMIT: u64 = 10_000;

pub(super) fn top<'scope, I>(
    scope: &'scope Scope<'scope, '_>,
    sort: &Sort<'_>,
    keys: Arc<Keys>,
    batches: I,
) -> Outcome<SortedBatches>
where
    I: Iterator<Item = Outcome<RecordBatch>> + Send + 'scope,
{
    let needed = sort.needed as usize;
    // The key of the last record needed so far. Records that come later need a smaller one to matter.
    let bar: Arc<Mutex<Option<OwnedRow>>> = Arc::default();
    let (attempt, order, seen) = (Arc::clone(sort.attempt), Arc::clone(&keys), Arc::clone(&bar));
    let work = move |batch: RecordBatch, emit: &Emit<RecordBatch>| {
        attempt.check()?;
        let bar = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(bar) = bar else { return emit.send(batch) };
        let keys = order.of(&batch)?;
        let bar = bar.row();
        let kept: BooleanArray = keys.iter().map(|key| Some(key < bar)).collect();
        if !kept.has_true() {
            return Ok(());
        }
        emit.send(filter_record_batch(&batch, &kept).map_err(defect)?)
    };
    let compact = |held: Vec<RecordBatch>| -> Outcome<Vec<RecordBatch>> {
        sorted(sort.attempt, &keys, held, sort.needed)?.collect()
    };
    let room = (2 * needed).max(8192);
    // Compacting takes as much again.
    let limit = sort.memory / 2;
    let mut held: Vec<RecordBatch> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    let mut rest = ordered(scope, sort.threads, 1, batches, work)?;
    for batch in rest.by_ref() {
        sort.attempt.check()?;
        let batch = batch?;
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        held.push(batch);
        let full = bytes > limit;
        if rows > needed && (full || rows > needed + room) {
            held = compact(std::mem::take(&mut held))?;
            rows = held.iter().map(RecordBatch::num_rows).sum();
            bytes = held.iter().map(RecordBatch::get_array_memory_size).sum();
            if let Some(last) = held.last().filter(|_| rows == needed) {
                let last = keys.of(&last.slice(last.num_rows() - 1, 1))?.row(0).owned();
                *bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
            }
        }
        // Where compacting frees too little, the records needed are too large to be held: it would be done over and
        // over.
        if full && bytes > limit / 2 {
            return external(scope, sort, keys, held.into_iter().map(Ok).chain(rest));
        }
    }
    Ok(Box::new(sorted(sort.attempt, &keys, held, sort.needed)?))
}
