//! What does the work of a job.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{BlobKey, BlobStore};
use crate::{
    JobRef,
    catalog::{Column, Dataset, Upstream},
    error::Source,
    job::{Counts, ManifestFile, Problem, Stage, Truncation, kinds::Work},
};

/// Runs the work of one attempt of a job.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Does the work and writes the result's files and page index, all but the manifest. Stops soon after
    /// `task.control` is cancelled. The bytes depend on the work and the data alone, not on the attempt.
    async fn execute(&self, task: Task) -> Result<Delivered, ExecuteError>;
}

/// Hands each kind of work to what carries it out.
#[derive(Clone)]
pub struct ExecutorByKind {
    /// Reads data sets: queries and appends.
    pub engine: Arc<dyn Executor>,
    /// Calls upstreams.
    pub caller: Arc<dyn Executor>,
}

#[async_trait]
impl Executor for ExecutorByKind {
    async fn execute(&self, task: Task) -> Result<Delivered, ExecuteError> {
        match &*task.work {
            Work::Query(_) | Work::Append(_) => self.engine.execute(task).await,
            Work::Call(_) => self.caller.execute(task).await,
        }
    }
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
    /// What it works with.
    pub subject: Subject,
    /// The job whose list of data files it reads by: of a batch its container, so that all its batches read the same.
    pub snapshot: JobRef,
    /// The rows that it takes, where its kind takes rows.
    pub input: Input,
    /// How many bytes may be delivered before the result ends, with the piece that reaches them; `None` for all.
    pub max_bytes: Option<u64>,
    /// Where the files go.
    pub blobs: Arc<dyn BlobStore>,
    /// How to tell progress, and whether to stop.
    pub control: Arc<Control>,
}

/// What a job works with.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A data set.
    Dataset(Arc<Dataset>),
    /// An upstream.
    Upstream(Arc<Upstream>),
}

impl Subject {
    /// The data set, where it is one.
    pub fn dataset(&self) -> Option<&Arc<Dataset>> {
        match self {
            Self::Dataset(dataset) => Some(dataset),
            Self::Upstream(_) => None,
        }
    }

    /// The upstream, where it is one.
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match self {
            Self::Dataset(_) => None,
            Self::Upstream(upstream) => Some(upstream),
        }
    }
}

/// The rows that a job takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Those of its work: [`Work::items`]. None where its kind takes none.
    Work,
    /// Those of uploaded files, in this order.
    Files(Vec<InputFile>),
}

/// A file that a client uploaded, pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Where it lies.
    pub key: BlobKey,
    /// What the client calls it.
    pub name: String,
    /// The media type that it is said to have.
    pub media_type: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The ETag of what arrived. What differs is not read: the attempt fails with
    /// [`ProblemType::Conflict`](crate::job::ProblemType::Conflict).
    pub etag: String,
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
    /// The version of the data set that was read, and how many files it has; `None` where none was read.
    pub dataset: Option<DatasetRead>,
    /// What became of the rows, where the job takes rows.
    pub counts: Option<Counts>,
    /// The version of the code that decides the bytes.
    pub writer: String,
}

/// A data set as an attempt read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetRead {
    /// Its version.
    pub version: String,
    /// Its files.
    pub files: u64,
    /// Those of them that the filter did not rule out by the directories that they lie in.
    pub files_read: u64,
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
    counts: Mutex<Option<Counts>>,
    gained: AtomicBool,
    yielding: CancellationToken,
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
            counts: Mutex::new(None),
            gained: AtomicBool::new(false),
            yielding: CancellationToken::new(),
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

    /// Tells what became of the rows so far.
    pub fn set_counts(&self, counts: Counts) {
        *self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(counts);
    }

    /// What became of the rows so far, where the job takes rows.
    pub fn counts(&self) -> Option<Counts> {
        *self.counts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Tells that something was done that the next attempt need not do again.
    pub fn gain(&self) {
        self.gained.store(true, Ordering::Relaxed);
    }

    /// Whether another attempt would come further than this one: where it runs out of time, it has not failed.
    pub fn has_gained(&self) -> bool {
        self.gained.load(Ordering::Relaxed)
    }

    /// Asks the work to make way for others: to begin nothing more, end what is under way however long that takes, and stop
    /// as if it were told to. Work that cannot go on where it stopped goes on regardless.
    pub fn ask_to_yield(&self) {
        self.yielding.cancel();
    }

    /// Resolves once the work is asked to make way.
    pub async fn asked_to_yield(&self) {
        self.yielding.cancelled().await;
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
