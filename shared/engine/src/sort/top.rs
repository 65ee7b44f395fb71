//! The first few records of an order, without a sort of all.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::Scope,
};

use arrow_array::{BooleanArray, RecordBatch};
use arrow_row::OwnedRow;
use arrow_select::{concat::concat_batches, filter::filter_record_batch};

use super::{Sort, SortedBatches, keys::Keys, run::sorted};
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
    let mut held: Vec<RecordBatch> = Vec::new();
    let mut rows = 0;
    let compact = |held: Vec<RecordBatch>| -> Outcome<RecordBatch> {
        let batches = sorted(sort.attempt, &keys, held, sort.needed)?.collect::<Outcome<Vec<_>>>()?;
        concat_batches(&sort.schema, &batches).map_err(defect)
    };
    let room = (2 * needed).max(8192);
    for batch in ordered(scope, sort.threads, 1, batches, work)? {
        sort.attempt.check()?;
        let batch = batch?;
        rows += batch.num_rows();
        held.push(batch);
        let bytes: usize = held.iter().map(RecordBatch::get_array_memory_size).sum();
        if rows > needed && (rows > needed + room || bytes > sort.memory / 2) {
            let best = compact(std::mem::take(&mut held))?;
            rows = best.num_rows();
            if needed > 0 && rows == needed {
                let last = keys.of(&best.slice(needed - 1, 1))?.row(0).owned();
                *bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
            }
            held.push(best);
        }
    }
    let best = sorted(sort.attempt, &keys, held, sort.needed)?.collect::<Vec<_>>();
    Ok(Box::new(best.into_iter()))
}
