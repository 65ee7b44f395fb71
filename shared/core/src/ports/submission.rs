//! What a job store keeps and checks in the one atomic step of a submit.

use super::InsertError;
use crate::{
    idempotency::{KeyRecord, NewKey},
    job::{Identity, Job, Reuse},
};

/// A job to be kept, and what goes with it. `job.created` is the moment by which keys expire and minutes are told.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The job.
    pub job: Job,
    /// The most jobs of its account that have not ended.
    pub max_open_jobs: u32,
    /// The most jobs of its account that are inserted in one minute of the clock; `None` for no limit, and then they
    /// are not counted.
    pub submits_per_minute: Option<u32>,
    /// The idempotency key of the request.
    pub key: Option<NewKey>,
    /// By what identical jobs find it.
    pub identity: Option<Identity>,
    /// Whether a job of that identity serves in its place.
    pub reuse: Option<Reuse>,
}

impl NewJob {
    /// A job with nothing but its place.
    pub fn plain(job: Job, max_open_jobs: u32) -> Self {
        Self { job, max_open_jobs, submits_per_minute: None, key: None, identity: None, reuse: None }
    }
}

/// What became of a [`NewJob`].
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// It was inserted.
    Inserted {
        /// How many were counted in this minute, it among them; `None` where they are not counted.
        submits: Option<u32>,
    },
    /// Its key was used before, and is still known: nothing was written.
    Known(KeyRecord),
    /// Another job serves in its place, as it is now: nothing but the key was written, and where the new one has addresses
    /// what [`Job::joined`] says.
    Joined(Box<Job>),
}

impl Submitted {
    /// An error unless the job was inserted.
    pub(super) fn inserted(self) -> Result<(), InsertError> {
        match self {
            Self::Inserted { .. } => Ok(()),
            Self::Known(_) | Self::Joined(_) => Err(InsertError::Exists),
        }
    }
}

/// A batch to be kept, and what goes with it. `batch.created` is the moment of it.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// The batch: a job that names its container.
    pub batch: Job,
    /// The idempotency key of the request.
    pub key: Option<NewKey>,
}

/// What became of a [`NewBatch`].
#[derive(Debug, Clone, PartialEq)]
pub enum BatchAdded {
    /// It was added; its container is as it is afterwards.
    Added(Box<Job>),
    /// Its key was used before, and is still known: nothing was written.
    Known(KeyRecord),
}

/// What an account has used up so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consumed {
    /// Submits counted in this minute of the clock.
    pub submits: u32,
    /// Records of the jobs that completed on this day (UTC).
    pub records: u64,
    /// Bytes of their results.
    pub bytes: u64,
}
