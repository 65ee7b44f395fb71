//! Events: written with the change that causes them, so that none is ever lost.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{NotifyAddress, payload};
use crate::{
    AccountId, JobId, JobRef, Timestamp,
    job::{Job, JobState},
};

/// The version of the stored form of events, deliveries and subscriptions. A reader refuses a newer one.
pub const WEBHOOK_SCHEMA: u32 = 1;

/// How long after an event the sweeper looks whether it was passed on.
pub const UNTOLD_DUE: Duration = Duration::from_secs(60);

/// How long an event and the log of its deliveries are kept. More than the retries take.
pub const LOG_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EventKind {
    /// The job has completed.
    #[serde(rename = "results.ready")]
    ResultsReady,
    /// The job has failed.
    #[serde(rename = "job.failed")]
    JobFailed,
    /// The job was cancelled.
    #[serde(rename = "job.cancelled")]
    JobCancelled,
    /// The job's result has expired.
    #[serde(rename = "job.expired")]
    JobExpired,
    /// A batch of the job has completed.
    #[serde(rename = "batch.completed")]
    BatchCompleted,
    /// A batch of the job has failed.
    #[serde(rename = "batch.failed")]
    BatchFailed,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::ResultsReady,
        Self::JobFailed,
        Self::JobCancelled,
        Self::JobExpired,
        Self::BatchCompleted,
        Self::BatchFailed,
    ];

    /// The kind as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResultsReady => "results.ready",
            Self::JobFailed => "job.failed",
            Self::JobCancelled => "job.cancelled",
            Self::JobExpired => "job.expired",
            Self::BatchCompleted => "batch.completed",
            Self::BatchFailed => "batch.failed",
        }
    }

    /// What a job's way from one state to another tells; `None` where it tells nothing.
    pub fn between(before: JobState, after: JobState) -> Option<Self> {
        if before == after {
            return None;
        }
        match after {
            JobState::Completed => Some(Self::ResultsReady),
            JobState::Failed => Some(Self::JobFailed),
            JobState::Cancelled => Some(Self::JobCancelled),
            JobState::Expired => Some(Self::JobExpired),
            JobState::Open | JobState::Accepted | JobState::Processing => None,
        }
    }

    /// The same of a batch. One that was given up tells nothing: whoever gave it up knows.
    pub fn of_batch(before: JobState, after: JobState) -> Option<Self> {
        match after {
            JobState::Completed if before != after => Some(Self::BatchCompleted),
            JobState::Failed if before != after => Some(Self::BatchFailed),
            _ => None,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("{text:?} is not an event: use {}", known.join(", "))
        })
    }
}

/// Names an event: the how-manieth of which job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventRef {
    /// The job.
    pub job: JobRef,
    /// The event's number among those of its job, from 1.
    pub sequence: u32,
}

impl EventRef {
    /// The `webhook-id` of everything that is sent of this event, however often: receivers tell repeats by it.
    pub fn message_id(&self) -> String {
        format!("evt_{}_{}", self.job.job.to_string().replace('-', ""), self.sequence)
    }
}

/// An event of a job: what happened, the job as it was then, and the addresses that its request named.
///
/// *Written* in the same atomic step as the change that it tells of. *Told* once it has become deliveries, one for each
/// address and endpoint. *Removed* with its deliveries once the log has had its time. *Rescued* by the sweeper: past
/// `due_at` it is passed on again, or removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The version of this form.
    pub schema: u32,
    /// Changes with every write; stores compare it to detect races. The first is 1.
    pub version: u64,
    /// Whose job.
    pub account: AccountId,
    /// Which job.
    pub job: JobId,
    /// Its number among those of the job, from 1.
    pub sequence: u32,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub occurred: Timestamp,
    /// The job as it was then, as receivers see it.
    pub data: Map<String, Value>,
    /// The job's own addresses; of those who joined it after its end, theirs.
    pub addresses: Vec<NotifyAddress>,
    /// Whether it is for those alone: the account's endpoints were told before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    /// Whether its deliveries have been made.
    pub told: bool,
    /// When the sweeper must look at it.
    pub due_at: Option<Timestamp>,
}

impl Event {
    /// The event that a change of `job` causes, if there is somebody to tell: an address of the job, or, as `listening`
    /// says, an endpoint of its account. Counts it in the job.
    pub(crate) fn of_job(kind: EventKind, job: &mut Job, listening: bool, now: Timestamp) -> Option<Self> {
        // A dry run has no result that anybody waits for.
        if job.dry_run.is_some() || (job.notify.is_empty() && !listening) {
            return None;
        }
        Some(Self::next(job, kind, job.notify.clone(), now))
    }

    /// The event that tells the addresses of a request of the completed job by which it is served. Counts it in `job`.
    pub(crate) fn of_joined(job: &mut Job, addresses: &[NotifyAddress], now: Timestamp) -> Self {
        Self { joined: true, ..Self::next(job, EventKind::ResultsReady, addresses.to_vec(), now) }
    }

    /// The same of a change of a batch: an event of its container, counted there. The batch keeps the number of its last
    /// event.
    pub(crate) fn of_batch(
        kind: EventKind,
        batch: &mut Job,
        container: &mut Job,
        listening: bool,
        now: Timestamp,
    ) -> Option<Self> {
        if container.notify.is_empty() && !listening {
            return None;
        }
        let mut event = Self::next(container, kind, container.notify.clone(), now);
        batch.events = event.sequence;
        event.data.insert("batch".into(), payload::batch_data(batch));
        Some(event)
    }

    fn next(job: &mut Job, kind: EventKind, addresses: Vec<NotifyAddress>, now: Timestamp) -> Self {
        job.events += 1;
        Self {
            schema: WEBHOOK_SCHEMA,
            version: 1,
            account: job.account.clone(),
            job: job.id,
            sequence: job.events,
            kind,
            occurred: now,
            data: payload::job_data(job),
            addresses,
            joined: false,
            told: false,
            due_at: Some(now.plus(UNTOLD_DUE)),
        }
    }

    /// What names the event that the last change of `job` caused, if any did: of a batch, one of its container.
    pub fn last_of(job: &Job) -> Option<EventRef> {
        (job.events > 0).then(|| EventRef { job: job.origin(), sequence: job.events })
    }

    /// What names it.
    pub fn reference(&self) -> EventRef {
        EventRef { job: JobRef { account: self.account.clone(), job: self.job }, sequence: self.sequence }
    }

    /// The body of a POST: at most [`MAX_PAYLOAD`](super::MAX_PAYLOAD) bytes.
    pub fn body(&self) -> String {
        payload::body(self)
    }

    /// The query of a GET.
    pub fn query(&self) -> String {
        payload::query(self)
    }

    /// The event once its deliveries are made: nothing is left to do until the log has had its time.
    pub fn after_telling(&self) -> Self {
        let mut event = self.clone();
        event.version += 1;
        event.told = true;
        event.due_at = Some(self.occurred.plus(LOG_KEPT));
        event
    }

    /// The event, to be looked at again no sooner than `due_at`.
    pub fn postponed(&self, due_at: Timestamp) -> Self {
        Self { version: self.version + 1, due_at: Some(due_at), ..self.clone() }
    }
}
