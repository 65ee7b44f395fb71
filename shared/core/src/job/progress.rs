//! How far a job is.

use serde::{Deserialize, Serialize};

use super::Counts;
use crate::Timestamp;

/// What the worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Waiting for a worker.
    Queued,
    /// Listing files and planning.
    Planning,
    /// Reading what the client uploaded, or the data of a statement.
    Reading,
    /// Calling the upstream.
    Calling,
    /// Sorting, before the first record can be written.
    Sorting,
    /// Writing records.
    Writing,
    /// Closing files and writing the manifest.
    Committing,
    /// Nothing is left to do.
    Done,
}

impl Stage {
    /// The stage as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Planning => "planning",
            Self::Reading => "reading",
            Self::Calling => "calling",
            Self::Sorting => "sorting",
            Self::Writing => "writing",
            Self::Committing => "committing",
            Self::Done => "done",
        }
    }
}

/// How far a job is, as last written to the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Records that match, whatever the limit; `None` until counted.
    pub records_found: Option<u64>,
    /// Records asked for: the limit, or all found after the offset, whatever the plan delivers; `None` until known.
    pub records_requested: Option<u64>,
    /// Records delivered so far.
    pub records_written: u64,
    /// Bytes delivered so far, as stored.
    pub bytes_written: u64,
    /// The part of the work done, 0 to 100; 100 only when the job has completed.
    pub percent: f64,
    /// When the job may be done, by its speed so far.
    pub estimated_finish: Option<Timestamp>,
    /// What became of the rows so far, where the job takes rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
}

impl Progress {
    /// Adds what a batch has delivered and what became of its rows, so far or in all, to what its container has.
    pub fn add(&mut self, records: u64, bytes: u64, counts: Option<Counts>) {
        self.records_written += records;
        self.bytes_written += bytes;
        self.counts = match (self.counts, counts) {
            (Some(before), Some(own)) => Some(before.plus(own)),
            (before, own) => before.or(own),
        };
    }

    /// The progress of a job that nobody has begun.
    pub fn queued() -> Self {
        Self {
            stage: Stage::Queued,
            records_found: None,
            records_requested: None,
            records_written: 0,
            bytes_written: 0,
            percent: 0.0,
            estimated_finish: None,
            counts: None,
        }
    }
}
