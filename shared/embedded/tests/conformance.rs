//! The adapters of one box keep the contracts of their ports.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tempfile::TempDir;
use willcall_conformance::{
    accounts::AccountsHarness,
    blob_store::{BlobStoreHarness, Put},
    job_queue::JobQueueHarness,
    job_store::JobStoreHarness,
    notice_queue::NoticeQueueHarness,
    samples::{START, job},
    signals::SignalsHarness,
    webhook_store::WebhookStoreHarness,
};
use willcall_core::{
    JobRef, Timestamp,
    job::Transition,
    ports::{
        Accounts, BlobStore, Clock, JobQueue, JobStore, ManualClock, Notice, NoticeQueue, Received, Signals,
        SignedFiles, WebhookStore,
    },
};
use willcall_embedded::{
    Database, DirBlobStore, InProcessNotices, InProcessSignals, SqliteAccounts, SqliteJobQueue,
    SqliteJobStore, SqliteWebhookStore,
};

struct Sqlite {
    _dir: TempDir,
    database: Arc<Database>,
    signals: InProcessSignals,
}

fn fresh() -> Sqlite {
    let dir = tempfile::tempdir().unwrap();
    let database = Arc::new(Database::open(&dir.path().join("willcall.db")).unwrap());
    Sqlite { _dir: dir, database, signals: InProcessSignals::default() }
}

impl Sqlite {
    fn jobs(&self) -> SqliteJobStore {
        SqliteJobStore::new(Arc::clone(&self.database), self.signals.clone())
    }
}

#[async_trait]
impl JobStoreHarness for Sqlite {
    async fn fresh() -> Self {
        fresh()
    }

    fn store(&self) -> Arc<dyn JobStore> {
        Arc::new(self.jobs())
    }
}

#[async_trait]
impl AccountsHarness for Sqlite {
    async fn fresh() -> Self {
        fresh()
    }

    fn accounts(&self) -> Arc<dyn Accounts> {
        Arc::new(SqliteAccounts::new(Arc::clone(&self.database)))
    }
}

#[async_trait]
impl SignalsHarness for Sqlite {
    async fn fresh() -> Self {
        fresh()
    }

    fn signals(&self) -> Arc<dyn Signals> {
        Arc::new(self.signals.clone())
    }

    /// By way of the store, so that what the store tells is under test as well.
    async fn change(&self, changed: &JobRef) {
        let mut job = job(changed.account.as_str());
        job.id = changed.job;
        // It is there already when the same job changes once more.
        let _ = self.jobs().insert(&job, 100).await;
        self.jobs().transition(changed, &Transition::Sent, START).await.unwrap();
    }
}

#[async_trait]
impl WebhookStoreHarness for Sqlite {
    async fn fresh() -> Self {
        fresh()
    }

    fn jobs(&self) -> Arc<dyn JobStore> {
        Arc::new(self.jobs())
    }

    fn webhooks(&self) -> Arc<dyn WebhookStore> {
        Arc::new(SqliteWebhookStore::new(Arc::clone(&self.database)))
    }
}

struct Notices {
    clock: Arc<ManualClock>,
    queue: InProcessNotices,
}

#[async_trait]
impl NoticeQueueHarness for Notices {
    async fn fresh() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        Self { queue: InProcessNotices::new(Arc::clone(&clock) as _), clock }
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

struct Queue {
    sqlite: Sqlite,
    clock: Arc<ManualClock>,
    queue: SqliteJobQueue,
}

#[async_trait]
impl JobQueueHarness for Queue {
    async fn fresh() -> Self {
        let (sqlite, clock) = (fresh(), Arc::new(ManualClock::new(START)));
        let queue =
            SqliteJobQueue::open(Arc::clone(&sqlite.database), Arc::clone(&clock) as _).await.unwrap();
        Self { sqlite, clock, queue }
    }

    fn queue(&self) -> Arc<dyn JobQueue> {
        Arc::new(self.queue.clone())
    }

    async fn receive(&self) -> Option<JobRef> {
        let message = self.queue.receive(self.clock.now(), Duration::from_secs(30))?;
        self.queue.acknowledge(&message);
        Some(message.job)
    }

    async fn pass(&self, time: Duration) {
        // What waits survives the process, so the clock moves on while nobody has the queue open.
        let _ = &self.sqlite;
        self.clock.advance(time);
    }
}

struct Directory {
    dir: TempDir,
    store: DirBlobStore,
}

#[async_trait]
impl BlobStoreHarness for Directory {
    async fn fresh() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = DirBlobStore::open(&dir.path().join("blobs"), &dir.path().join("link.key")).unwrap();
        Self { dir, store }
    }

    fn store(&self) -> Arc<dyn BlobStore> {
        Arc::new(self.store.clone())
    }

    async fn follow(&self, url: &str, now: Timestamp) -> Option<Bytes> {
        let (key, query) = url.split_once("/v1/files/")?.1.split_once('?')?;
        let file = self.store.open(key, query, now).await.ok()?;
        let pieces: Vec<Bytes> = file.body.stream(0..file.head.size).try_collect().await.unwrap();
        Some(pieces.concat().into())
    }

    async fn upload(&self, put: Put<'_>) -> bool {
        let Some((_, rest)) = put.url.split_once("/v1/files/") else { return false };
        let Some((key, query)) = rest.split_once('?') else { return false };
        let media_type = put.headers.iter().find(|(name, _)| name == "content-type");
        let upload = Received {
            key,
            query,
            media_type: media_type.map(|(_, value)| value.as_str()),
            length: Some(put.body.len() as u64),
            now: put.now,
        };
        let body = futures::stream::iter([Ok(put.body)]).boxed();
        self.store.receive(upload, body).await.is_ok()
    }

    async fn leftovers(&self) -> u64 {
        std::fs::read_dir(self.dir.path().join("blobs/tmp")).unwrap().count() as u64
    }
}

mod blob_store {
    willcall_conformance::blob_store_suite!(super::Directory);
}
mod job_store {
    willcall_conformance::job_store_suite!(super::Sqlite);
}
mod job_queue {
    willcall_conformance::job_queue_suite!(super::Queue);
}
mod accounts {
    willcall_conformance::accounts_suite!(super::Sqlite);
}
mod signals {
    willcall_conformance::signals_suite!(super::Sqlite);
}
mod webhook_store {
    willcall_conformance::webhook_store_suite!(super::Sqlite);
}
mod notice_queue {
    willcall_conformance::notice_queue_suite!(super::Notices);
}
