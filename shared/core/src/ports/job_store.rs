//! Where jobs are kept.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{BatchAdded, Consumed, NewBatch, NewJob, Submitted};
use crate::{
    AccountId, JobId, JobRef, Timestamp,
    error::Source,
    idempotency::{KeyHash, KeyRecord},
    job::{Job, JobKind, JobState, Refused, Transition},
};

/// The record of all jobs. What a method has answered is durable as it says, seen by every later read, and never
/// partly there.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Keeps a new job, its key, and that it is one of its identity, unless the key is known or another job
    /// serves in its place. One atomic step: concurrent submits never exceed a limit, not by one, and of those with one
    /// key one inserts. Only what inserts is counted among the submits of the minute. Survives a crash of the machine
    /// once answered.
    ///
    /// The job that serves takes the new one's addresses on, as [`Job::joined`] says, in the same step.
    ///
    /// Of several that serve the latest does: one that failed or was cancelled hides none before it, as long as it is among
    /// the last [`MAX_EQUALS`](crate::job::MAX_EQUALS) of its identity. Of two at once that would serve in place of each
    /// other, one joins the other. What is known of identities may be lost, and then jobs are not joined.
    async fn submit(&self, new: &NewJob) -> Result<Submitted, InsertError>;

    /// Keeps a new job with nothing but its place: [`JobStore::submit`] of [`NewJob::plain`].
    async fn insert(&self, job: &Job, max_open_jobs: u32) -> Result<(), InsertError> {
        self.submit(&NewJob::plain(job.clone(), max_open_jobs)).await?.inserted()
    }

    /// What is kept of the account's key, if it is still known at `now`.
    async fn key(
        &self,
        account: &AccountId,
        key: &KeyHash,
        now: Timestamp,
    ) -> Result<Option<KeyRecord>, StoreError>;

    /// The job; `None` where there is none of that id in that account.
    async fn get(&self, job: &JobRef) -> Result<Option<Job>, StoreError>;

    /// Keeps a batch of a container, and changes the container by [`Transition::AddBatch`] with the batch's phase, in one
    /// atomic step, unless the key is known. Of two batches of one name one is kept, unless the other has failed or was
    /// cancelled. Survives a crash of the machine once answered.
    async fn add_batch(&self, new: &NewBatch) -> Result<BatchAdded, AddBatchError>;

    /// The batches of a container, oldest first, those younger than `after` only. May answer fewer than `limit` and
    /// still name a `next`, to go on with as `after`.
    async fn batches(
        &self,
        container: &JobRef,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<JobPage, StoreError>;

    /// The account's jobs that fit `filter`, no batches, newest first, those older than `before` only. May answer fewer than
    /// `limit` and still name a `next`: a call's work is bounded.
    async fn list(
        &self,
        account: &AccountId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<JobPage, StoreError>;

    /// Makes [`Job::change`] in one atomic step, with the container of a batch, and answers the job as it is afterwards.
    /// Races are resolved by reading anew: the transition is judged on the records that it then replaces. The insert's
    /// open-job place is freed in the same step when the job ends, what a completed job delivered is added to what its
    /// account consumed on the day of `now`, once, if it fits there as [`Job::day_entry`] says and else
    /// [`Refused::DayUsedUp`], and the event that the change causes is written, as
    /// [`Change::event`](crate::job::Change::event) says.
    ///
    /// Durable like an insert where the job ends; others may be lost by a crash of the machine, never by one of
    /// the process.
    async fn transition(
        &self,
        job: &JobRef,
        transition: &Transition,
        now: Timestamp,
    ) -> Result<Job, TransitionError>;

    /// Jobs whose `due_at` is at or before `now`, longest due first, at most `limit`.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRef>, StoreError>;

    /// Removes the record for good, open or not; `false` where there was none.
    async fn delete(&self, job: &JobRef) -> Result<bool, StoreError>;

    /// How many of the account's jobs have not ended, batches not counted.
    async fn open_jobs(&self, account: &AccountId) -> Result<u32, StoreError>;

    /// What the account has used up in the minute and on the day of `now`.
    async fn consumed(&self, account: &AccountId, now: Timestamp) -> Result<Consumed, StoreError>;

    /// How many jobs a worker takes before this one, where the store can tell cheaply; else `None`.
    async fn queue_position(&self, job: &JobRef) -> Result<Option<u64>, StoreError>;
}

/// Which jobs to list. Every condition that is set must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobFilter {
    /// In this state.
    pub state: Option<JobState>,
    /// Of this kind.
    pub kind: Option<JobKind>,
    /// Of this data set.
    pub dataset: Option<String>,
    /// With exactly this name.
    pub name: Option<String>,
    /// With all these labels.
    pub labels: BTreeMap<String, String>,
    /// Created after this moment.
    pub created_after: Option<Timestamp>,
    /// Created before this moment.
    pub created_before: Option<Timestamp>,
}

impl JobFilter {
    /// Whether the job fits.
    pub fn matches(&self, job: &Job) -> bool {
        fn fits<T: PartialEq>(wanted: &Option<T>, found: Option<&T>) -> bool {
            wanted.as_ref().is_none_or(|wanted| Some(wanted) == found)
        }
        job.container.is_none()
            && fits(&self.state, Some(&job.state))
            && fits(&self.kind, Some(&job.kind))
            && fits(&self.dataset, job.dataset.as_ref())
            && fits(&self.name, job.name.as_ref())
            && self.labels.iter().all(|(key, value)| job.labels.get(key) == Some(value))
            && self.created_after.is_none_or(|moment| job.created > moment)
            && self.created_before.is_none_or(|moment| job.created < moment)
    }
}

/// A part of a list of jobs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobPage {
    /// The jobs, newest first.
    pub jobs: Vec<Job>,
    /// Where to go on, as `before`; `None` at the end.
    pub next: Option<JobId>,
}

/// The store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer now; trying again may help.
    #[error("the job store does not answer")]
    Unavailable(#[source] Source),
    /// What it holds cannot be read: damage, or a newer version's form.
    #[error("the job store holds what cannot be read")]
    Corrupt(#[source] Source),
}

/// A job was not inserted.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// The account has as many open jobs as it may.
    #[error("too many open jobs")]
    TooManyOpenJobs,
    /// The account has submitted as many jobs in this minute as it may.
    #[error("too many submits in this minute")]
    TooManySubmits,
    /// Others with the same key are being inserted at the same time, and this one came to no end among them.
    #[error("the key is in use by others at this moment")]
    KeyInUse,
    /// There is a job of that id.
    #[error("the id is taken")]
    Exists,
    /// The store failed; whether the job is there is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A batch was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddBatchError {
    /// There is no such container.
    #[error("no such job")]
    NotFound,
    /// The container does not take it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A batch of that name is there, and has not failed.
    #[error("there is a batch of that name")]
    NameTaken(JobId),
    /// Others with the same key are being inserted at the same time, and this one came to no end among them.
    #[error("the key is in use by others at this moment")]
    KeyInUse,
    /// There is a job of that id.
    #[error("the id is taken")]
    Exists,
    /// The store failed; whether the batch is there is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A transition was not made.
#[derive(Debug, thiserror::Error)]
pub enum TransitionError {
    /// There is no such job.
    #[error("no such job")]
    NotFound,
    /// The job does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store failed; whether the transition was made is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}
