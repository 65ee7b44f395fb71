//! Sorting within bounded memory: sorted runs, spilled to disk where there are several, merged in order.
//!
//! Runs are taken from the data set's own order and merged so that the earlier run wins a tie: that order breaks
//! ties without being a key. Nulls come last both ways, NaN is the greatest number, -0.0 equals 0.0.

mod keys;
mod merge;
mod run;
mod top;

use std::{sync::Arc, thread::Scope};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use willcall_core::job::kinds::SortKey;

pub(crate) use self::top::TOP_LIMIT;
use self::{
    keys::Keys,
    merge::Merge,
    run::{Run, sorted, spilled},
};
use crate::{
    attempt::Attempt,
    failure::Outcome,
    ordered::{Emit, ordered},
    spill::Spill,
};

/// Records of a spilled batch: few, so that a merge of many runs holds little.
const SPILL_ROWS: usize = 1024;

/// The bytes that a spilled batch should have at most.
const SPILL_BYTES: usize = 512 << 10;

/// The bytes of batches that a merge reads before it makes one of them.
const MERGE_BYTES: usize = 8 << 20;

/// Runs that one merge reads.
const FAN_IN: usize = 48;

/// How to sort.
pub(crate) struct Sort<'a> {
    pub(crate) attempt: &'a Arc<Attempt>,
    pub(crate) schema: SchemaRef,
    pub(crate) keys: &'a [SortKey],
    /// Records that are needed from the start; the others may be dropped.
    pub(crate) needed: u64,
    pub(crate) threads: usize,
    pub(crate) memory: usize,
    pub(crate) spill: Arc<Spill>,
}

/// Batches in the order asked for.
pub(crate) type SortedBatches = Box<dyn Iterator<Item = Outcome<RecordBatch>> + Send>;

/// Reads all batches, and answers them sorted.
pub(crate) fn sort<'scope, I>(
    scope: &'scope Scope<'scope, '_>,
    sort: &Sort<'_>,
    batches: I,
) -> Outcome<SortedBatches>
where
    I: Iterator<Item = Outcome<RecordBatch>> + Send + 'scope,
{
    let keys = Arc::new(Keys::new(&sort.schema, sort.keys)?);
    if sort.needed <= TOP_LIMIT {
        return top::top(scope, sort, keys, batches);
    }
    external(scope, sort, keys, batches)
}

/// Sorts in runs, which are spilled where there are several.
fn external<'scope, I>(
    scope: &'scope Scope<'scope, '_>,
    sort: &Sort<'_>,
    keys: Arc<Keys>,
    batches: I,
) -> Outcome<SortedBatches>
where
    I: Iterator<Item = Outcome<RecordBatch>> + Send + 'scope,
{
    let spill = Arc::clone(&sort.spill);
    let collector = Collector {
        batches,
        // One run is collected or sorted on each thread; sorting takes as much again for keys and order.
        limit: (sort.memory / (2 * sort.threads.max(1))).max(64 << 10),
        runs: 0,
        ended: false,
    };
    let (attempt, order) = (Arc::clone(sort.attempt), Arc::clone(&keys));
    let (schema, needed, to) = (Arc::clone(&sort.schema), sort.needed, Arc::clone(&spill));
    let work = move |job: Job, emit: &Emit<Run>| {
        let ordered = sorted(&attempt, &order, job.batches, needed)?;
        emit.send(if job.only { Run::held(ordered) } else { spilled(&attempt, &to, &schema, ordered)? })
    };
    let mut runs = Vec::new();
    for run in ordered(scope, sort.threads, 1, collector, work)? {
        sort.attempt.check()?;
        runs.push(run?);
    }
    while runs.len() > FAN_IN {
        let mut fewer = Vec::new();
        let mut rest = runs.into_iter();
        loop {
            let group: Vec<Run> = rest.by_ref().take(FAN_IN).collect();
            if group.is_empty() {
                break;
            }
            let merged = Merge::new(sort.attempt, &keys, group, sort.needed, SPILL_ROWS)?;
            fewer.push(spilled(sort.attempt, &spill, &sort.schema, merged)?);
        }
        runs = fewer;
    }
    Ok(Box::new(Merge::new(sort.attempt, &keys, runs, sort.needed, 4 * SPILL_ROWS)?))
}

/// The batches of one run.
struct Job {
    batches: Vec<RecordBatch>,
    /// Whether there is no other run.
    only: bool,
}

/// Collects batches until they make a run.
struct Collector<I> {
    batches: I,
    limit: usize,
    runs: usize,
    ended: bool,
}

impl<I: Iterator<Item = Outcome<RecordBatch>>> Iterator for Collector<I> {
    type Item = Outcome<Job>;

    fn next(&mut self) -> Option<Outcome<Job>> {
        let mut batches = Vec::new();
        let mut bytes = 0;
        while !self.ended && bytes < self.limit {
            match self.batches.next() {
                Some(Ok(batch)) => {
                    bytes += batch.get_array_memory_size();
                    batches.push(batch);
                }
                Some(Err(error)) => return Some(Err(error)),
                None => self.ended = true,
            }
        }
        if batches.is_empty() {
            return None;
        }
        self.runs += 1;
        Some(Ok(Job { batches, only: self.ended && self.runs == 1 }))
    }
}
