//! Messages in a list.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use willcall_core::{
    JobRef, Timestamp,
    ports::{Clock, JobQueue, QueueError},
};

use super::lock;

/// A queue in memory. Clones are one and the same.
#[derive(Clone)]
pub struct MemoryJobQueue {
    clock: Arc<dyn Clock>,
    messages: Arc<Mutex<Vec<(Timestamp, JobRef)>>>,
    broken: Arc<Mutex<bool>>,
}

/// What a queue that was broken on purpose answers with.
#[derive(Debug, thiserror::Error)]
#[error("broken by the test")]
struct Broken;

impl MemoryJobQueue {
    /// An empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, messages: Arc::default(), broken: Arc::default() }
    }

    /// Makes every send fail, or work again.
    pub fn set_broken(&self, broken: bool) {
        *lock(&self.broken) = broken;
    }

    /// Takes the message that can be received now and was sent first.
    pub fn receive(&self) -> Option<JobRef> {
        let now = self.clock.now();
        let mut messages = lock(&self.messages);
        let first = messages.iter().position(|(visible, _)| *visible <= now)?;
        Some(messages.remove(first).1)
    }

    /// Every message that was sent and not received, with the moment from which it can be.
    pub fn messages(&self) -> Vec<(Timestamp, JobRef)> {
        lock(&self.messages).clone()
    }
}

#[async_trait]
impl JobQueue for MemoryJobQueue {
    async fn send(&self, job: &JobRef, delay: Duration) -> Result<(), QueueError> {
        if *lock(&self.broken) {
            return Err(QueueError(Box::new(Broken)));
        }
        lock(&self.messages).push((self.clock.now().plus(delay), job.clone()));
        Ok(())
    }
}
