//! What wakes workers.

use std::time::Duration;

use async_trait::async_trait;

use crate::{JobRef, error::Source};

/// Wakes a worker for a job. The queue owns nothing: a message may come twice, late or never, and the store
/// decides what happens. Receiving belongs to the host.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Sends the job's message, to be received once `delay` (at most 15 minutes) has passed.
    async fn send(&self, job: &JobRef, delay: Duration) -> Result<(), QueueError>;

    /// Whether jobs wait right now for a worker of this host like the one that does this job, all such workers being busy. A
    /// host that starts a worker for each need not know.
    fn is_awaited(&self, _by: &JobRef) -> bool {
        false
    }
}

/// The message was not sent, or it is not known whether it was.
#[derive(Debug, thiserror::Error)]
#[error("the queue does not answer")]
pub struct QueueError(#[source] pub Source);
