//! How many records match: by statistics, by what was written, and by counting the rest for as long as there is time.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use willcall_core::job::{FoundBy, Inquiry, PartCounted, Survey};

use super::{query::Query, tally::Tally};
use crate::{
    failure::Outcome,
    ordered::{Emit, ordered},
    scan::{Kept, Matched, Reading, Scan},
};

/// How long a dry run may read. All else may for ever.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    began: Instant,
    /// When no more is begun for the sample.
    pub(super) sample: Option<Instant>,
    /// When no more is counted.
    count: Option<Instant>,
}

impl Times {
    /// From now on, so long as the inquiry allows. The sample is read from the start of the data set and has a quarter of it,
    /// so that a search for records that lie further behind leaves time to count everywhere.
    pub(super) fn from_now(inquiry: Option<&Inquiry>) -> Self {
        let began = Instant::now();
        let after = |time: Duration| began.checked_add(time);
        let count_for = inquiry.map(|inquiry| inquiry.count_for);
        Self { began, sample: count_for.and_then(|time| after(time / 4)), count: count_for.and_then(after) }
    }
}

/// The units, as long as there is time to begin one.
pub(super) fn in_time<T: Send>(units: Vec<T>, until: Option<Instant>) -> impl Iterator<Item = T> + Send {
    units.into_iter().take_while(move |_| until.is_none_or(|until| Instant::now() < until))
}

/// What is known of the number of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    by: FoundBy,
    at_least: u64,
    at_most: Option<u64>,
    pub(super) likely: u64,
    /// How much was read in time, where that was not all.
    part: Option<PartCounted>,
}

impl Count {
    pub(super) fn exact(records: u64, by: FoundBy) -> Self {
        Self { by, at_least: records, at_most: Some(records), likely: records, part: None }
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
            part: self.part,
        }
    }
}

/// Parts of a data set that had to be read: their weight, and the records that matched in them.
#[derive(Debug, Clone, Copy, Default)]
struct Looked {
    weight: u64,
    matched: u64,
}

impl Looked {
    fn add(&mut self, weight: u64, matched: u64) {
        self.weight = self.weight.saturating_add(weight);
        self.matched = self.matched.saturating_add(matched);
    }

    /// The records that match in so much else, if this stands for it; `None` where nothing was looked at.
    fn stand_for(self, weight: u64) -> Option<u64> {
        let all = (u128::from(self.matched) * u128::from(weight)).checked_div(u128::from(self.weight))?;
        Some(u64::try_from(all).unwrap_or(u64::MAX))
    }
}

/// Counts what the export did not come to, as long as there is time. What is not counted by then is estimated: the parts
/// are then counted in an order in which the first ones stand for all, as those that the export came to do not.
pub(super) fn count(
    query: &Query<'_>,
    scan: &Arc<Scan>,
    reading: &Reading,
    tally: &Tally,
    times: Times,
) -> Outcome<Count> {
    // Records for certain, those that statistics tell among them; and what was read, by anybody and for the count.
    let (mut sure, mut all, mut spread_out) = (0_u64, Looked::default(), Looked::default());
    let (mut open, mut read) = (Vec::new(), false);
    for (number, unit) in scan.units.iter().enumerate() {
        match (unit.kept, tally.matched(number)) {
            (Kept::Some, Some(matched)) => {
                all.add(scan.weight(unit), matched);
                read = true;
            }
            (_, Some(matched)) => sure += matched,
            (Kept::None, None) => {}
            (Kept::All, None) => sure += unit.rows,
            (Kept::Some, None) => open.push(number),
        }
    }
    if open.is_empty() {
        let by = if read { FoundBy::Counting } else { FoundBy::Statistics };
        return Ok(Count::exact(sure.saturating_add(all.matched), by));
    }
    if times.count.is_some() {
        open = spread(scan, open);
    }
    // Of the open ones, those that were read whole or left are told as soon as they are known.
    let mut counted = Vec::with_capacity(open.len());
    thread::scope(|scope| {
        let jobs = in_time(open.clone(), times.count).map(Ok);
        let work =
            |unit: usize, emit: &Emit<Matched>| emit.send(reading.count(&scan.units[unit], times.count)?);
        for matched in ordered(scope, query.readers(scan), 1, jobs, work)? {
            query.attempt.check()?;
            counted.push(matched?);
        }
        Ok(())
    })?;
    let (left, mut rest, mut rest_rows) = (tally.left(), 0_u64, 0_u64);
    let mut is_whole = true;
    for (place, number) in open.iter().enumerate() {
        let unit = &scan.units[*number];
        let (weight, own) = (scan.weight(unit), counted.get(place));
        if let Some(Matched { records, left_at: None }) = own {
            all.add(weight, *records);
            spread_out.add(weight, *records);
            continue;
        }
        is_whole = false;
        rest_rows = rest_rows.saturating_add(unit.rows);
        let (part, of_count) = (own.or_else(|| left.get(number)), own.is_some());
        let (read, records) =
            part.map_or((0, 0), |part| (part.left_at.unwrap_or(0).min(weight), part.records));
        all.add(read, records);
        if of_count {
            spread_out.add(read, records);
        }
        rest = rest.saturating_add(weight - read);
    }
    sure = sure.saturating_add(all.matched);
    if is_whole {
        return Ok(Count::exact(sure, FoundBy::Counting));
    }
    let at_most = if scan.is_counted() { Some(sure.saturating_add(rest_rows)) } else { scan.records() };
    // Where nothing stands for it, it is as likely one way as the other.
    let undecided = || at_most.map_or(0, |at_most| at_most.saturating_sub(sure) / 2);
    let more = spread_out.stand_for(rest).or_else(|| all.stand_for(rest)).unwrap_or_else(undecided);
    let likely = sure.saturating_add(more).min(at_most.unwrap_or(u64::MAX));
    let part = PartCounted {
        weight: all.weight,
        of: all.weight.saturating_add(rest),
        millis: u64::try_from(times.began.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    Ok(Count { by: FoundBy::Part, at_least: sure, at_most, likely, part: Some(part) })
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
