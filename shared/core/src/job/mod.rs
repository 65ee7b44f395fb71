//! Jobs: the record, its states, and the one function that changes it.

mod batch;
mod change;
mod counts;
mod day;
mod dry_run;
pub mod kinds;
mod manifest;
pub mod pages;
mod problem;
mod progress;
mod reuse;
mod state;
mod survey;
mod transition;
pub(crate) mod zip;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    batch::{
        BATCH_IDLE, BatchCounts, BatchPhase, MAX_BATCHES, MAX_FILES, MAX_FOLLOWED, Upload, UploadFile,
        UploadedFile,
    },
    change::Change,
    counts::Counts,
    day::{Before, DailyLimits, DayEntry},
    dry_run::{DryRun, Estimate, SAMPLE},
    manifest::{MANIFEST_SCHEMA, Manifest, ManifestBatch, ManifestFile, ManifestSource},
    problem::{Problem, ProblemType},
    progress::{Progress, Stage},
    reuse::{Identity, MAX_ADDRESSES, MAX_EQUALS, Reuse},
    state::JobState,
    survey::{FoundBy, Inquiry, PartCounted, Survey, Values},
    transition::{RECORD_KEPT, Refused, SENT_DUE, SWEEP_AFTER_END, Transition, UNSENT_DUE, UPLOAD_DUE},
    zip::{ZIP_TRIES, Zip},
};
use crate::{
    AccountId, JobId, JobRef, Timestamp,
    format::{Compression, Format},
    json::Json,
    webhook::NotifyAddress,
};

/// The version of the job's stored form. A reader refuses a newer one. What no release has written has no version: it is read as
/// long as it costs nothing.
pub const JOB_SCHEMA: u32 = 1;

/// How often a job may fail by itself before it has failed for good.
pub const MAX_ATTEMPTS: u32 = 3;

/// What kind of work a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Records of a data set.
    Query,
    /// The client's own rows, each with what a data set knows of it.
    Append,
    /// Many calls of somebody's API.
    Call,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Query, Self::Append, Self::Call];

    /// The kind as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Append => "append",
            Self::Call => "call",
        }
    }
}

/// A job as stores keep it: about 2 KB, whatever it asks for and whatever it delivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The version of this form, [`JOB_SCHEMA`] when written by this code.
    pub schema: u32,
    /// Changes with every write to the record, progress included; stores compare it to detect races.
    pub version: u64,
    /// The job's name among all jobs.
    pub id: JobId,
    /// Who owns it.
    pub account: AccountId,
    /// The plan that it was submitted under.
    pub plan: String,
    /// What work it does.
    pub kind: JobKind,
    /// What the client calls it.
    pub name: Option<String>,
    /// The client's own marks.
    pub labels: BTreeMap<String, String>,
    /// The data set it reads.
    pub dataset: Option<String>,
    /// The view it was asked through.
    pub view: Option<String>,
    /// The format of its result.
    pub format: Format,
    /// The compression of its result.
    pub compression: Compression,
    /// The request, as it came and as it was understood.
    pub request: StoredRequest,
    /// SHA-256 of the catalog that the request was checked against.
    pub catalog: String,
    /// The base of its links, `https://host`, as the host knew it at insert; never the client's `Host`.
    pub public_url: String,
    /// Days that the result is kept, by the plan at insert.
    pub retention_days: u32,
    /// Where it is in its life.
    pub state: JobState,
    /// When it was accepted.
    pub created: Timestamp,
    /// When work on it first began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// When the result goes. Set when the job ends.
    pub expires: Option<Timestamp>,
    /// How far it is.
    pub progress: Progress,
    /// What it delivered, once completed.
    pub result: Option<ResultSummary>,
    /// Why it failed.
    pub error: Option<Problem>,
    /// How often it was claimed. Names the current attempt: the fencing token of leases and result keys.
    pub attempt: u32,
    /// Attempts that ended with an error of the work itself.
    pub failures: u32,
    /// Attempts whose worker was lost: it died, or stalled past its lease.
    pub lost: u32,
    /// Until when the current attempt's worker has the job to itself; `None` while nobody works on it.
    pub leased_until: Option<Timestamp>,
    /// When the sweeper must look at the job; `None` once nothing is left to do.
    pub due_at: Option<Timestamp>,
    /// How often the sweeper sent its message again.
    pub resends: u32,
    /// Whom its request, and those that joined it, ask to be told of its end; at most [`MAX_ADDRESSES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<NotifyAddress>,
    /// How many events were written for it. Only [`Event`](crate::webhook::Event) counts.
    #[serde(default)]
    pub events: u32,
    /// What its account may consume in a day, by the plan at insert.
    #[serde(default, skip_serializing_if = "DailyLimits::is_none")]
    pub daily: DailyLimits,
    /// What it estimates, where it does nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryRun>,
    /// The job that this is a batch of. A batch is a job of its own with its own lease, attempts and result; it is no
    /// entry of the account's list and takes no place among its open jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<JobId>,
    /// What became of its batches, where it has batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches: Option<BatchCounts>,
    /// Of a container: its batches that a worker has, the one that was begun first before the others, at most
    /// [`MAX_FOLLOWED`]. A view tells by their records how far they are, and looks for no others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub followed: Vec<JobId>,
    /// The files that feed it, where it is a batch that is fed by files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
    /// The most records that all batches of a container deliver together; `None` where each may deliver what the plan lets a
    /// job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_records: Option<u64>,
    /// When a container or batch that is open was last fed; `None` since its insert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fed: Option<Timestamp>,
    /// How far its zip is, where somebody has asked for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zip: Option<Zip>,
}

impl Job {
    /// Where the job lives.
    pub fn reference(&self) -> JobRef {
        JobRef { account: self.account.clone(), job: self.id }
    }

    /// What the job delivered, where the change from `before` to this was what delivered it. A sample is no delivery,
    /// and what a container has, its batches delivered.
    pub fn newly_delivered(&self, before: &Self) -> Option<&ResultSummary> {
        let own = before.result.is_none() && self.dry_run.is_none() && self.batches.is_none();
        self.result.as_ref().filter(|_| own)
    }

    /// When it was last fed.
    pub fn fed_at(&self) -> Timestamp {
        self.fed.unwrap_or(self.created)
    }

    /// Where its container lives, where it is a batch.
    pub fn container(&self) -> Option<JobRef> {
        self.container.map(|job| JobRef { account: self.account.clone(), job })
    }

    /// The job whose request and list of data files this one shares: its container, or itself.
    pub fn origin(&self) -> JobRef {
        self.container().unwrap_or_else(|| self.reference())
    }
}

/// What a completed job delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultSummary {
    /// The attempt that delivered it: a part of its keys.
    pub attempt: u32,
    /// Records written.
    pub records: u64,
    /// Bytes of all files, as stored.
    pub bytes: u64,
    /// Files.
    pub files: u32,
    /// Pages; `None` where the format has none.
    pub pages: Option<u64>,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: String,
    /// What cut the result short, if anything did.
    pub truncated: Option<Truncation>,
}

/// Why a result has fewer records than were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncation {
    /// What cut it.
    pub reason: TruncationReason,
    /// At how many records.
    pub limit: u64,
}

/// What can cut a result short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TruncationReason {
    /// The plan's `max_records`.
    PlanLimit,
    /// What was left of the plan's records or bytes a day.
    DailyLimit,
}

impl TruncationReason {
    /// The reason as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlanLimit => "plan_limit",
            Self::DailyLimit => "daily_limit",
        }
    }
}

/// A request as it is kept: in the job's record while small, in the blob store when large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredRequest {
    /// In the record.
    Inline(Box<JobRequest>),
    /// In the blob store under [`BlobKey::Request`](crate::ports::BlobKey::Request), by the SHA-256 of its bytes.
    Blob {
        /// SHA-256 of the stored bytes in lower-case hexadecimal.
        sha256: String,
    },
}

/// A request as it came, and as it was understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRequest {
    /// The client's own words, to be shown back.
    pub original: Json,
    /// The validated work.
    pub work: kinds::Work,
}
