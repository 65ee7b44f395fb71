//! What does the work of a job.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::BlobStore;
use crate::{
    JobRef,
    catalog::{Column, Dataset},
    error::Source,
    job::{ManifestFile, Problem, Stage, Truncation, kinds::Work},
};

/// Runs the work of one attempt of a job.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Does the work and writes the result's files and page index, all but the manifest. Stops soon after
    /// `task.control` is cancelled. The bytes depend on the work and the data alone, not on the attempt.
    async fn execute(&self, task: Task) -> Result<Delivered, ExecuteError>;
}

/// One attempt of a job.
#[derive(Clone)]
pub struct Task {
    /// The job.
    pub job: JobRef,
    /// The attempt: a part of every key that is written.
    pub attempt: u32,
    /// What to do.
    pub work: Arc<Work>,
    /// The data set that it reads.
    pub dataset: Arc<Dataset>,
    /// How many bytes may be delivered before the result ends, with the piece that reaches them; `None` for all.
    pub max_bytes: Option<u64>,
    /// Where the files go.
    pub blobs: Arc<dyn BlobStore>,
    /// How to tell progress, and whether to stop.
    pub control: Arc<Control>,
}

/// What one attempt delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Records written.
    pub records: u64,
    /// The files, without page index and manifest.
    pub files: Vec<ManifestFile>,
    /// Pages; `None` where the format has none.
    pub pages: Option<u64>,
    /// The columns as delivered.
    pub schema: Vec<Column>,
    /// All records that match; `None` where they were not counted.
    pub records_found: Option<u64>,
    /// What cut the result short, if anything did.
    pub truncated: Option<Truncation>,
    /// NaN and infinite numbers written as null.
    pub non_finite_as_null: u64,
    /// The version of the data set that was read.
    pub dataset_version: String,
    /// Files of the data set.
    pub dataset_files: u64,
    /// Those of them that the filter did not rule out by the directories that they lie in.
    pub dataset_files_read: u64,
    /// The version of the code that decides the bytes.
    pub writer: String,
}

/// Why an attempt delivered nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// It was told to stop.
    #[error("cancelled")]
    Cancelled,
    /// It may work another time. The problem is for the client should it be the last; the source for the log.
    #[error("the attempt failed: {}", problem.detail)]
    Transient {
        /// For the client.
        problem: Problem,
        /// For the log.
        #[source]
        source: Source,
    },
    /// It will not work another time either.
    #[error("the job failed: {}", problem.detail)]
    Fatal {
        /// For the client.
        problem: Problem,
        /// For the log.
        #[source]
        source: Option<Source>,
    },
}

const UNKNOWN: u64 = u64::MAX;

/// The thread between the work and the lease: the work counts here, the lease's thread reads it, and stops the
/// work by it.
#[derive(Debug)]
pub struct Control {
    stage: Mutex<Stage>,
    found: AtomicU64,
    requested: AtomicU64,
    written: AtomicU64,
    bytes: AtomicU64,
    done: AtomicU64,
    total: AtomicU64,
    cancel: CancellationToken,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            stage: Mutex::new(Stage::Planning),
            found: AtomicU64::new(UNKNOWN),
            requested: AtomicU64::new(UNKNOWN),
            written: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            cancel: CancellationToken::new(),
        }
    }
}

impl Control {
    /// Enters a stage.
    pub fn enter(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = stage;
    }

    /// The stage it is in.
    pub fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Tells how many records match.
    pub fn set_found(&self, records: u64) {
        self.found.store(records, Ordering::Relaxed);
    }

    /// How many records match, where known.
    pub fn found(&self) -> Option<u64> {
        Some(self.found.load(Ordering::Relaxed)).filter(|n| *n != UNKNOWN)
    }

    /// Tells how many records are asked for: the limit, or all found after the offset, whatever the plan delivers.
    pub fn set_requested(&self, records: u64) {
        self.requested.store(records, Ordering::Relaxed);
    }

    /// How many records are asked for, where known.
    pub fn requested(&self) -> Option<u64> {
        Some(self.requested.load(Ordering::Relaxed)).filter(|n| *n != UNKNOWN)
    }

    /// Tells what was written since the last call.
    pub fn add_written(&self, records: u64, bytes: u64) {
        self.written.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records and bytes written.
    pub fn written(&self) -> (u64, u64) {
        (self.written.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Tells how much of the work there is, in units of the executor's own (row groups, say), and how much of it
    /// is done: what percent is made of.
    pub fn set_work(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    /// The part of the work that is done, 0 to 1; 0 where nothing is known.
    pub fn part_done(&self) -> f64 {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        if total == 0 { 0.0 } else { (done as f64 / total as f64).clamp(0.0, 1.0) }
    }

    /// Tells the work to stop.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Whether the work was told to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Resolves when the work is told to stop.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }
}
