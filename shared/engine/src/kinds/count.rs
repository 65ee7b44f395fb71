//! How many records match: by statistics, by what was written, and by counting the rest for as long as there is time.

use std::{sync::Arc, thread, time::Instant};

use willcall_core::job::{FoundBy, Inquiry, Survey};

use super::{query::Query, tally::Tally};
use crate::{
    failure::Outcome,
    ordered::{Emit, ordered},
    scan::{Kept, Reading, Scan},
};

/// What is known of the number of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    by: FoundBy,
    at_least: u64,
    at_most: Option<u64>,
    pub(super) likely: u64,
}

impl Count {
    pub(super) fn exact(records: u64, by: FoundBy) -> Self {
        Self { by, at_least: records, at_most: Some(records), likely: records }
    }

    /// The number, where it is exact.
    pub(super) fn found(self) -> Option<u64> {
        (self.by != FoundBy::Part).then_some(self.at_least)
    }

    /// The answer to what a dry run asks.
    pub(super) fn survey(self, scan: &Scan, inquiry: &Inquiry, filtered: bool) -> Survey {
        let any = filtered || !inquiry.sort.is_empty();
        let reach = scan.reach(any, inquiry.offset, inquiry.cap);
        Survey {
            found_by: self.by,
            at_least: self.at_least,
            at_most: self.at_most,
            likely: self.likely,
            bytes_read: reach.bytes,
            whole_files: !scan.is_counted(),
            values: reach.values,
        }
    }
}

/// The parts of a data set that were looked at.
#[derive(Default)]
struct Looked {
    /// Records for certain, those that statistics tell among them.
    sure: u64,
    /// Of the parts that had to be read: their weight, and the records that matched in them.
    weight: u64,
    matched: u64,
}

impl Looked {
    fn add(&mut self, weight: u64, matched: u64) {
        self.sure += matched;
        self.weight = self.weight.saturating_add(weight);
        self.matched += matched;
    }
}

/// Counts what the export did not come to, until `until`. What is not counted by then is estimated: the parts are then
/// counted in an order in which the first ones stand for all.
pub(super) fn count(
    query: &Query<'_>,
    scan: &Arc<Scan>,
    reading: &Reading,
    tally: &Tally,
    until: Option<Instant>,
) -> Outcome<Count> {
    let (mut looked, mut open, mut read) = (Looked::default(), Vec::new(), false);
    for (number, unit) in scan.units.iter().enumerate() {
        match (unit.kept, tally.matched(number)) {
            (Kept::Some, Some(matched)) => {
                looked.add(scan.weight(unit), matched);
                read = true;
            }
            (_, Some(matched)) => looked.sure += matched,
            (Kept::None, None) => {}
            (Kept::All, None) => looked.sure += unit.rows,
            (Kept::Some, None) => open.push(number),
        }
    }
    if open.is_empty() {
        let by = if read { FoundBy::Counting } else { FoundBy::Statistics };
        return Ok(Count::exact(looked.sure, by));
    }
    if until.is_some() {
        open = spread(scan, open);
    }
    let mut done = 0;
    thread::scope(|scope| {
        let in_time = move |_: &usize| until.is_none_or(|until| Instant::now() < until);
        let jobs = open.clone().into_iter().take_while(in_time).map(Ok);
        let work = |unit: usize, emit: &Emit<u64>| emit.send(reading.count(&scan.units[unit])?);
        for (unit, matched) in open.iter().zip(ordered(scope, query.readers(scan), 1, jobs, work)?) {
            query.attempt.check()?;
            looked.add(scan.weight(&scan.units[*unit]), matched?);
            done += 1;
        }
        Ok(())
    })?;
    let rest = &open[done..];
    if rest.is_empty() {
        return Ok(Count::exact(looked.sure, FoundBy::Counting));
    }
    let rows = scan.is_counted().then(|| rest.iter().map(|unit| scan.units[*unit].rows).sum::<u64>());
    let at_most = rows.map(|rows| looked.sure.saturating_add(rows)).or(scan.records());
    let weight: u64 = rest.iter().map(|unit| scan.weight(&scan.units[*unit])).sum();
    let more = match looked.weight {
        // Nothing stands for it: as likely one way as the other.
        0 => u128::from(rows.unwrap_or(0) / 2),
        all => u128::from(looked.matched) * u128::from(weight) / u128::from(all),
    };
    let likely = looked.sure.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
    let likely = likely.min(at_most.unwrap_or(u64::MAX));
    Ok(Count { by: FoundBy::Part, at_least: looked.sure, at_most, likely })
}

/// The units in an order in which those of any beginning lie everywhere. Row groups stay whole, as their units are read
/// one after the other at less cost, and files that are not held open do.
fn spread(scan: &Scan, units: Vec<usize>) -> Vec<usize> {
    let together = |unit: usize| {
        let unit = &scan.units[unit];
        (unit.file, if scan.holds_files_open() { unit.row_group } else { 0 })
    };
    let mut runs: Vec<(u32, Vec<usize>)> = Vec::new();
    for unit in units {
        match runs.last_mut() {
            Some((_, run)) if run.first().is_some_and(|first| together(*first) == together(unit)) => {
                run.push(unit);
            }
            _ => runs.push((u32::try_from(runs.len()).unwrap_or(u32::MAX).reverse_bits(), vec![unit])),
        }
    }
    runs.sort_by_key(|(place, _)| *place);
    runs.into_iter().flat_map(|(_, run)| run).collect()
}
