//! Batches: the parts in which a job of many rows is fed. A batch is a job of its own that belongs to a container.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Job, JobState, ProblemType};
use crate::{JobId, Timestamp};

/// How long a container that nobody feeds stays open, and a batch waits for its files.
pub const BATCH_IDLE: Duration = Duration::from_secs(24 * 3600);
/// The most batches of a job.
pub const MAX_BATCHES: u32 = 1_000;
/// The most files of a batch.
pub const MAX_FILES: usize = 10;
/// The most batches at work that a view of their container tells of: each is a record that is read for it.
pub const MAX_FOLLOWED: usize = 16;

/// Where a batch is in its life, as its container counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchPhase {
    /// Not all of its files have arrived.
    WaitingForUpload,
    /// Waits for a worker.
    Queued,
    /// A worker has it.
    InProgress,
    /// Its result is there, or was.
    Completed,
    /// It failed.
    Failed,
    /// It failed because its files are not what they should be.
    Malformed,
    /// It was given up.
    Cancelled,
}

impl BatchPhase {
    /// Every phase, in the order in which a batch goes through them.
    pub const ALL: [Self; 7] = [
        Self::WaitingForUpload,
        Self::Queued,
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::Malformed,
        Self::Cancelled,
    ];

    /// The phase as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WaitingForUpload => "waiting_for_upload",
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Malformed => "malformed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the batch has ended.
    pub fn has_ended(self) -> bool {
        match self {
            Self::WaitingForUpload | Self::Queued | Self::InProgress => false,
            Self::Completed | Self::Failed | Self::Malformed | Self::Cancelled => true,
        }
    }
}

/// What became of the batches of a container: how many are in each phase, and whether more may come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCounts {
    /// Batches whose files have not all arrived.
    pub waiting_for_upload: u32,
    /// Batches that wait for a worker.
    pub queued: u32,
    /// Batches that a worker has.
    pub in_progress: u32,
    /// Batches whose result is there.
    pub completed: u32,
    /// Batches that failed.
    pub failed: u32,
    /// Batches whose files could not be read.
    pub malformed: u32,
    /// Batches that were given up.
    pub cancelled: u32,
    /// Whether no more batches may come.
    pub closed: bool,
}

impl BatchCounts {
    fn of(&mut self, phase: BatchPhase) -> &mut u32 {
        match phase {
            BatchPhase::WaitingForUpload => &mut self.waiting_for_upload,
            BatchPhase::Queued => &mut self.queued,
            BatchPhase::InProgress => &mut self.in_progress,
            BatchPhase::Completed => &mut self.completed,
            BatchPhase::Failed => &mut self.failed,
            BatchPhase::Malformed => &mut self.malformed,
            BatchPhase::Cancelled => &mut self.cancelled,
        }
    }

    /// How many are in that phase.
    pub fn count(mut self, phase: BatchPhase) -> u32 {
        *self.of(phase)
    }

    /// All batches that were ever added.
    pub fn total(self) -> u32 {
        BatchPhase::ALL.into_iter().map(|phase| self.count(phase)).sum()
    }

    /// Batches that have not ended.
    pub fn pending(self) -> u32 {
        self.waiting_for_upload + self.queued + self.in_progress
    }

    /// The part of the work that is done, in percent, each batch counting alike: of those that have ended all of it, and of
    /// those at work `under_way` together, in batches. Never 100, as the manifest is still to be written.
    pub fn percent(self, under_way: f64) -> f64 {
        let ended = f64::from(self.total() - self.pending()) + under_way;
        let part = ended / f64::from(self.total().max(1));
        (part.min(0.999) * 1000.0).round() / 10.0
    }

    /// Whether nothing is left but to write the manifest.
    pub fn is_ready(self) -> bool {
        self.closed && self.pending() == 0
    }

    pub(super) fn add(&mut self, phase: BatchPhase) {
        *self.of(phase) += 1;
    }

    pub(super) fn move_one(&mut self, from: BatchPhase, to: BatchPhase) {
        let count = self.of(from);
        *count = count.saturating_sub(1);
        self.add(to);
    }
}

/// The files that feed a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The files, in the order in which their rows are taken.
    pub files: Vec<UploadFile>,
    /// The number of the first of their items; `None` for 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_item: Option<u64>,
}

/// One file of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadFile {
    /// What the client calls it.
    pub name: String,
    /// The media type that it is said to have.
    pub media_type: String,
    /// Its size in bytes, as it was declared. The link takes no other.
    pub bytes: u64,
    /// The file as it arrived; `None` until then.
    pub arrived: Option<UploadedFile>,
}

/// A file as it arrived, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedFile {
    /// The ETag of the blob. A worker reads no other.
    pub etag: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was noticed.
    pub at: Timestamp,
}

impl Upload {
    /// Whether every file has arrived.
    pub fn is_complete(&self) -> bool {
        self.files.iter().all(|file| file.arrived.is_some())
    }
}

impl Job {
    /// Whether a batch keeps others of its container from that name: it has it, and has not come to nothing.
    pub fn holds_name(&self, name: &str) -> bool {
        let gone = matches!(self.phase(), BatchPhase::Failed | BatchPhase::Malformed | BatchPhase::Cancelled);
        self.name.as_deref() == Some(name) && !gone
    }

    /// Notes of a container that a batch of its is in that phase now.
    pub(super) fn follow(&mut self, batch: JobId, phase: BatchPhase) {
        self.followed.retain(|followed| *followed != batch);
        if phase == BatchPhase::InProgress && self.followed.len() < MAX_FOLLOWED {
            self.followed.push(batch);
        }
    }

    /// Where a batch is, as its container counts it.
    pub fn phase(&self) -> BatchPhase {
        match self.state {
            JobState::Open => BatchPhase::WaitingForUpload,
            JobState::Accepted => BatchPhase::Queued,
            JobState::Processing => BatchPhase::InProgress,
            JobState::Completed | JobState::Expired => BatchPhase::Completed,
            JobState::Cancelled => BatchPhase::Cancelled,
            JobState::Failed => match &self.error {
                Some(problem) if problem.kind == ProblemType::InvalidRequest => BatchPhase::Malformed,
                _ => BatchPhase::Failed,
            },
        }
    }
}
