//! The fakes in memory keep the contracts that the adapters keep.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use willcall_conformance::{
    MemoryAccounts, MemoryBlobStore, MemoryJobQueue, MemoryJobStore, MemoryNoticeQueue, MemorySignals,
    accounts::AccountsHarness,
    blob_store::{BlobStoreHarness, Put},
    job_queue::JobQueueHarness,
    job_store::JobStoreHarness,
    notice_queue::NoticeQueueHarness,
    samples::START,
    signals::SignalsHarness,
    webhook_store::WebhookStoreHarness,
};
use willcall_core::{
    JobRef, Timestamp,
    ports::{
        Accounts, BlobStore, JobQueue, JobStore, ManualClock, Notice, NoticeQueue, Signals, WebhookStore,
    },
};

#[derive(Default)]
struct Memory {
    jobs: MemoryJobStore,
    accounts: MemoryAccounts,
    blobs: MemoryBlobStore,
    signals: MemorySignals,
}

#[async_trait]
impl JobStoreHarness for Memory {
    async fn fresh() -> Self {
        Self::default()
    }

    fn store(&self) -> Arc<dyn JobStore> {
        Arc::new(self.jobs.clone())
    }
}

#[async_trait]
impl AccountsHarness for Memory {
    async fn fresh() -> Self {
        Self::default()
    }

    fn accounts(&self) -> Arc<dyn Accounts> {
        Arc::new(self.accounts.clone())
    }
}

#[async_trait]
impl SignalsHarness for Memory {
    async fn fresh() -> Self {
        Self::default()
    }

    fn signals(&self) -> Arc<dyn Signals> {
        Arc::new(self.signals.clone())
    }

    async fn change(&self, job: &JobRef) {
        self.signals.tell(job);
    }
}

#[async_trait]
impl BlobStoreHarness for Memory {
    async fn fresh() -> Self {
        Self::default()
    }

    fn store(&self) -> Arc<dyn BlobStore> {
        Arc::new(self.blobs.clone())
    }

    async fn follow(&self, url: &str, now: Timestamp) -> Option<Bytes> {
        self.blobs.follow(url, now)
    }

    async fn upload(&self, put: Put<'_>) -> bool {
        let media_type = put.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        self.blobs.upload_as(put.url, media_type.map(|(_, value)| value.as_str()), put.body, put.now)
    }

    async fn leftovers(&self) -> u64 {
        0
    }
}

struct Queue {
    clock: Arc<ManualClock>,
    queue: MemoryJobQueue,
}

#[async_trait]
impl JobQueueHarness for Queue {
    async fn fresh() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        Self { queue: MemoryJobQueue::new(Arc::clone(&clock) as _), clock }
    }

    fn queue(&self) -> Arc<dyn JobQueue> {
        Arc::new(self.queue.clone())
    }

    async fn receive(&self) -> Option<JobRef> {
        self.queue.receive()
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

#[async_trait]
impl WebhookStoreHarness for Memory {
    async fn fresh() -> Self {
        Self::default()
    }

    fn jobs(&self) -> Arc<dyn JobStore> {
        Arc::new(self.jobs.clone())
    }

    fn webhooks(&self) -> Arc<dyn WebhookStore> {
        Arc::new(self.jobs.webhooks())
    }
}

struct Notices {
    clock: Arc<ManualClock>,
    queue: MemoryNoticeQueue,
}

#[async_trait]
impl NoticeQueueHarness for Notices {
    async fn fresh() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        Self { queue: MemoryNoticeQueue::new(Arc::clone(&clock) as _), clock }
    }

    fn queue(&self) -> Arc<dyn NoticeQueue> {
        Arc::new(self.queue.clone())
    }

    async fn receive(&self) -> Option<Notice> {
        self.queue.receive()
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

mod job_store {
    willcall_conformance::job_store_suite!(super::Memory);
}
mod job_queue {
    willcall_conformance::job_queue_suite!(super::Queue);
}
mod blob_store {
    willcall_conformance::blob_store_suite!(super::Memory);
}
mod accounts {
    willcall_conformance::accounts_suite!(super::Memory);
}
mod signals {
    willcall_conformance::signals_suite!(super::Memory);
}
mod webhook_store {
    willcall_conformance::webhook_store_suite!(super::Memory);
}
mod notice_queue {
    willcall_conformance::notice_queue_suite!(super::Notices);
}
