//! Signals by one notifier for all jobs.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;
use willcall_core::{
    JobRef,
    ports::{Listener, Signals},
};

/// Signals in memory. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct MemorySignals(Arc<watch::Sender<Option<JobRef>>>);

impl Default for MemorySignals {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl MemorySignals {
    /// Wakes everyone who listens to the job, and others early.
    pub fn tell(&self, job: &JobRef) {
        self.0.send_replace(Some(job.clone()));
    }
}

impl Signals for MemorySignals {
    fn listen(&self, _job: &JobRef) -> Box<dyn Listener> {
        Box::new(MemoryListener(self.0.subscribe()))
    }
}

struct MemoryListener(watch::Receiver<Option<JobRef>>);

#[async_trait]
impl Listener for MemoryListener {
    async fn changed(&mut self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.0.changed()).await;
    }
}
