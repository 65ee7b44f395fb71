//! What a query would deliver, told without delivering it: a job counts what matches and writes a sample, and from that
//! the rest is reckoned.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Job, JobState,
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
}

/// What a query would deliver and take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// All records that match: counted. `None` where they are not: a statement may give more than its sample.
    pub records_found: Option<u64>,
    /// Records that would be delivered: as exact, and `None` by the same rule.
    pub records: Option<u64>,
    /// The most bytes that would be read: those of all files.
    pub bytes_read: u64,
    /// Bytes that would be written, if all records are like those of the sample; `None` where the records are not known.
    pub bytes_written: Option<u64>,
    /// How long it would take: as long as counting and writing the sample did, and as writing the rest takes. A sort is
    /// not in it. `None` where the records are not known.
    pub duration: Option<Duration>,
    /// Records of the sample.
    pub sample_records: u64,
    /// Its bytes.
    pub sample_bytes: u64,
    /// Whether a sort would come on top.
    pub sorted: bool,
    /// What it would cost by the plan's prices; `None` where it has none, or the records are not known.
    pub cost: Option<Cost>,
}

impl DryRun {
    /// The estimate for this work, and the work that makes it: a sample of the same form.
    pub fn of(work: &QueryWork, dataset_bytes: u64, prices: Option<Prices>) -> (Self, QueryWork) {
        let sorted = !work.sort.is_empty();
        let dry_run = Self { cap: work.cap(), offset: work.offset, sorted, dataset_bytes, prices };
        let sample = QueryWork { limit: Some(work.cap().min(SAMPLE)), sort: Vec::new(), ..work.clone() };
        (dry_run, sample)
    }

    /// The same for a statement, whose order is its own and stays. `dataset_bytes` are those of all its data sets.
    pub fn of_statement(work: &SqlWork, dataset_bytes: u64, prices: Option<Prices>) -> (Self, SqlWork) {
        let dry_run = Self { cap: work.cap(), offset: work.offset, sorted: false, dataset_bytes, prices };
        let sample = SqlWork { limit: Some(work.cap().min(SAMPLE)), ..work.clone() };
        (dry_run, sample)
    }
}

impl Job {
    /// What was estimated, once a job that does nothing else has completed.
    pub fn estimate(&self) -> Option<Estimate> {
        let dry_run = self.dry_run.as_ref()?;
        let result =
            self.result.as_ref().filter(|_| matches!(self.state, JobState::Completed | JobState::Expired))?;
        let (sample_records, sample_bytes) = (result.records, result.bytes);
        // A sample that ended by itself is all that there is; past the offset, or with nothing before it.
        let ended = sample_records < dry_run.cap.min(SAMPLE) && (sample_records > 0 || dry_run.offset == 0);
        let counted =
            self.progress.records_found.or(ended.then(|| dry_run.offset.saturating_add(sample_records)));
        let records = counted.map(|found| found.saturating_sub(dry_run.offset).min(dry_run.cap));
        let bytes_written = records.map(|records| {
            let whole = u128::from(sample_bytes) * u128::from(records) / u128::from(sample_records.max(1));
            if records <= sample_records { sample_bytes } else { u64::try_from(whole).unwrap_or(u64::MAX) }
        });
        let took = self.finished.unwrap_or(self.created).since(self.started.unwrap_or(self.created));
        let duration = bytes_written.map(|bytes| {
            let rest = bytes.saturating_sub(sample_bytes);
            took + Duration::from_millis(rest.saturating_mul(1_000) / WRITTEN_A_SECOND)
        });
        let figures = records.zip(bytes_written);
        let cost = dry_run.prices.as_ref().zip(figures).map(|(prices, (records, bytes_written))| {
            prices.cost(records, dry_run.dataset_bytes, bytes_written)
        });
        Some(Estimate {
            records_found: counted,
            records,
            bytes_read: dry_run.dataset_bytes,
            bytes_written,
            duration,
            sample_records,
            sample_bytes,
            sorted: dry_run.sorted,
            cost,
        })
    }
}
