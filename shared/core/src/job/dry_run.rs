//! What a query would deliver, told without delivering it: a job counts what matches and writes a sample, and from that
//! the rest is reckoned.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Inquiry, Job, JobState, Survey,
    kinds::{QueryWork, SqlWork},
};
use crate::prices::{Cost, Prices};

/// The most records of a sample.
pub const SAMPLE: u64 = 1_000;
/// Bytes that are taken to be written in a second.
const WRITTEN_A_SECOND: u64 = 50_000_000;

/// What a job that only estimates knows of the query that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    /// The most records that the query would deliver.
    pub cap: u64,
    /// Records that it would leave out at the start.
    pub offset: u64,
    /// Whether it would sort.
    pub sorted: bool,
    /// The size of all files of the data set.
    pub dataset_bytes: u64,
    /// What the plan's jobs cost; `None` where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// The columns by which it would sort.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort: Vec<String>,
    /// What its files told, once the sample is there; `None` also where nobody asked them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survey: Option<Survey>,
}

/// What a query would deliver and take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// All records that match: exact, unless the survey says otherwise. `None` where they are not known: a statement may
    /// give more than its sample.
    pub records_found: Option<u64>,
    /// Records that would be delivered: as exact, and `None` by the same rule.
    pub records: Option<u64>,
    /// The most bytes that would be read: as surveyed, else those of all files.
    pub bytes_read: u64,
    /// Bytes that would be written, if all records are like those of the sample; `None` where the records are not known, or
    /// nothing tells their size.
    pub bytes_written: Option<u64>,
    /// How long it would take: as long as counting and writing the sample did, in proportion for what there was no time to
    /// count, and as writing the rest takes. A sort is not in it. `None` where one of these is not known.
    pub duration: Option<Duration>,
    /// What the rest rests on, where the files were asked.
    pub survey: Option<Survey>,
    /// Records of the sample. Where it has none and records match, `bytes_written` is reckoned from the survey's values.
    pub sample_records: u64,
    /// Its bytes.
    pub sample_bytes: u64,
    /// Whether the sample is all that would be delivered.
    pub is_whole: bool,
    /// Whether a sort would come on top.
    pub sorted: bool,
    /// What it would cost by the plan's prices; `None` where it has none, or what would be written is not known.
    pub cost: Option<Cost>,
}

impl DryRun {
    /// The estimate for this work, and the work that makes it: a sample of the same form.
    pub fn of(work: &QueryWork, dataset_bytes: u64, prices: Option<Prices>) -> (Self, QueryWork) {
        let sorted = !work.sort.is_empty();
        let sort = work.sort.iter().map(|key| key.column.clone()).collect();
        let (cap, offset) = (work.cap(), work.offset);
        let dry_run = Self { cap, offset, sorted, dataset_bytes, prices, sort, survey: None };
        let sample = QueryWork { limit: Some(work.cap().min(SAMPLE)), sort: Vec::new(), ..work.clone() };
        (dry_run, sample)
    }

    /// The same for a statement, whose order is its own and stays. `dataset_bytes` are those of all its data sets.
    pub fn of_statement(work: &SqlWork, dataset_bytes: u64, prices: Option<Prices>) -> (Self, SqlWork) {
        let (cap, offset, sort) = (work.cap(), work.offset, Vec::new());
        let dry_run = Self { cap, offset, sorted: false, dataset_bytes, prices, sort, survey: None };
        let sample = SqlWork { limit: Some(work.cap().min(SAMPLE)), ..work.clone() };
        (dry_run, sample)
    }

    /// What the work that makes it is asked, with so long to count.
    pub fn inquiry(&self, count_for: Duration) -> Inquiry {
        Inquiry { sort: self.sort.clone(), offset: self.offset, cap: self.cap, count_for }
    }
}

impl Job {
    /// What was estimated, once a job that does nothing else has completed.
    pub fn estimate(&self) -> Option<Estimate> {
        let dry_run = self.dry_run.as_ref()?;
        let result =
            self.result.as_ref().filter(|_| matches!(self.state, JobState::Completed | JobState::Expired))?;
        let (sample_records, sample_bytes) = (result.records, result.bytes);
        let survey = dry_run.survey.as_ref();
        // A sample that ended by itself is all that there is; past the offset, or with nothing before it.
        let ended = survey.is_none()
            && sample_records < dry_run.cap.min(SAMPLE)
            && (sample_records > 0 || dry_run.offset == 0);
        let found = self.progress.records_found.or(survey.map(|survey| survey.likely));
        let found = found.or(ended.then(|| dry_run.offset.saturating_add(sample_records)));
        let records = found.map(|found| found.saturating_sub(dry_run.offset).min(dry_run.cap));
        let bytes_read = survey.map_or(dry_run.dataset_bytes, |survey| survey.bytes_read);
        // What is likely to be no more than the sample may be much more.
        let is_certain = survey.is_none_or(Survey::is_exact) || sample_records >= dry_run.cap;
        let is_whole = is_certain && records.is_some_and(|records| records <= sample_records);
        let bytes_written = records.and_then(|records| {
            if is_whole {
                return Some(sample_bytes);
            }
            if sample_records == 0
                && let Some(survey) = survey
            {
                return survey.written(records, self.format, self.compression);
            }
            let whole = u128::from(sample_bytes) * u128::from(records) / u128::from(sample_records.max(1));
            Some(u64::try_from(whole).unwrap_or(u64::MAX))
        });
        let took = self.finished.unwrap_or(self.created).since(self.started.unwrap_or(self.created));
        let uncounted = survey.map_or(Some(Duration::ZERO), Survey::rest);
        let duration = bytes_written.zip(uncounted).map(|(bytes, uncounted)| {
            let rest = bytes.saturating_sub(sample_bytes);
            let writing = Duration::from_millis(rest.saturating_mul(1_000) / WRITTEN_A_SECOND);
            took.saturating_add(uncounted).saturating_add(writing)
        });
        let figures = records.zip(bytes_written);
        let cost = dry_run.prices.as_ref().zip(figures);
        let cost =
            cost.map(|(prices, (records, bytes_written))| prices.cost(records, bytes_read, bytes_written));
        Some(Estimate {
            records_found: found,
            records,
            bytes_read,
            bytes_written,
            duration,
            survey: survey.cloned(),
            sample_records,
            sample_bytes,
            is_whole,
            sorted: dry_run.sorted,
            cost,
        })
    }
}
