//! What wakes those who wait for a job.

use std::time::Duration;

use async_trait::async_trait;

use crate::JobRef;

/// Tells that a job may have changed.
#[async_trait]
pub trait Signals: Send + Sync {
    /// Begins to listen. What changes the job after this call has returned wakes the listener, so read the job
    /// between this call and the wait.
    fn listen(&self, job: &JobRef) -> Box<dyn Listener>;
}

/// Listens to one job.
#[async_trait]
pub trait Listener: Send {
    /// Returns when the job may have changed, at the latest after `at_most`. May return early without cause.
    async fn changed(&mut self, at_most: Duration);
}
