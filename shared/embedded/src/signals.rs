//! Wakes those in this process who wait for a job.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::watch;
use willcall_core::{
    JobRef,
    ports::{Listener, Signals},
};

type Listened = HashMap<JobRef, watch::Sender<()>>;

/// Signals within one process. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct InProcessSignals {
    listened: Arc<Mutex<Listened>>,
}

impl InProcessSignals {
    /// Wakes everyone who listens to the job.
    pub fn tell(&self, job: &JobRef) {
        if let Some(sender) = lock(&self.listened).get(job) {
            sender.send_replace(());
        }
    }
}

impl Signals for InProcessSignals {
    fn listen(&self, job: &JobRef) -> Box<dyn Listener> {
        let mut listened = lock(&self.listened);
        let sender = listened.entry(job.clone()).or_insert_with(|| watch::Sender::new(()));
        let receiver = sender.subscribe();
        Box::new(InProcessListener { listened: Arc::clone(&self.listened), job: job.clone(), receiver })
    }
}

struct InProcessListener {
    listened: Arc<Mutex<Listened>>,
    job: JobRef,
    receiver: watch::Receiver<()>,
}

#[async_trait]
impl Listener for InProcessListener {
    async fn changed(&mut self, at_most: Duration) {
        // Neither a time-out nor a sender that is gone is of interest: both mean to read the job.
        let _ = tokio::time::timeout(at_most, self.receiver.changed()).await;
    }
}

impl Drop for InProcessListener {
    /// The last listener takes the entry with it, so that only jobs which are listened to take room.
    fn drop(&mut self) {
        let mut listened = lock(&self.listened);
        if listened.get(&self.job).is_some_and(|sender| sender.receiver_count() <= 1) {
            listened.remove(&self.job);
        }
    }
}

fn lock(listened: &Mutex<Listened>) -> MutexGuard<'_, Listened> {
    listened.lock().unwrap_or_else(PoisonError::into_inner)
}
