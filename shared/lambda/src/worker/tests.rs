use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lambda_runtime::Context;
use willcall_conformance::{
    FakeExecutor, FakeNotifier, FixedCatalog, MemoryAccounts, MemoryBlobStore, MemoryJobQueue,
    MemoryJobStore, MemorySignals, Script, samples,
};
use willcall_core::{
    Timestamp,
    account::Plan,
    catalog::{Catalog, Column, ColumnType, Dataset, DatasetFacts, DatasetSource},
    job::{Job, JobState},
    ports::{BlobKey, JobStore as _, NewBatch, SystemClock},
    usecases::{App, Settings},
};

use super::*;
use crate::batch::tests::{batch, body, failed};

/// A world on fakes, by the system's clock, which Lambda's deadlines are told by.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) queue: MemoryJobQueue,
    jobs: MemoryJobStore,
    executor: FakeExecutor,
}

fn catalog() -> Catalog {
    let columns = ["carrier", "flight"].map(|name| Column {
        name: name.into(),
        data_type: ColumnType::Text,
        nullable: true,
    });
    let facts = DatasetFacts {
        columns: columns.into(),
        records: Some(3),
        bytes: 100,
        files: 1,
        version: "v1".into(),
        updated: None,
        statistics: None,
    };
    let flights = Dataset {
        name: "flights".into(),
        description: String::new(),
        source: DatasetSource::at("/data/flights.parquet"),
        views: BTreeMap::new(),
        facts,
    };
    let plan = Plan::default_named("free");
    Catalog {
        hash: "c".repeat(64),
        datasets: BTreeMap::from([("flights".into(), Arc::new(flights))]),
        default_plan: plan.name.clone(),
        plans: BTreeMap::from([(plan.name.clone(), plan)]),
        upstreams: BTreeMap::new(),
    }
}

impl World {
    pub(crate) fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        let signals = MemorySignals::default();
        let jobs = MemoryJobStore::new(signals.clone());
        let queue = MemoryJobQueue::new(Arc::new(SystemClock));
        let app = App {
            jobs: Arc::new(jobs.clone()),
            queue: Arc::new(queue.clone()),
            blobs: Arc::new(MemoryBlobStore::default()),
            accounts: Arc::new(MemoryAccounts::default()),
            catalog: Arc::new(FixedCatalog::new(catalog())),
            signals: Arc::new(signals),
            notifier: FakeNotifier::new(&jobs, Arc::new(SystemClock)).notifier(),
            clock: Arc::new(SystemClock),
            settings: Settings {
                public_url: "http://host".into(),
                max_wait: Duration::from_secs(25),
                default_sync_wait: Duration::from_secs(10),
                max_sync_wait: Duration::from_secs(25),
                inline_limit: None,
            },
        };
        Self { app, queue, jobs, executor: FakeExecutor::new(scripts) }
    }

    pub(crate) async fn insert(&self) -> JobRef {
        let job = samples::job_at("acme", Timestamp::system_now());
        self.jobs.insert(&job, 100).await.unwrap();
        job.reference()
    }

    /// A batch whose only file lies in the blob store, and nobody has told of it: the file's key.
    pub(crate) async fn upload(&self) -> BlobKey {
        let now = Timestamp::system_now();
        let container = samples::container_at("acme", now);
        self.jobs.insert(&container, 100).await.unwrap();
        let batch = samples::batch_at(&container, now);
        let key = BlobKey::Upload { job: batch.reference(), file: 0 };
        self.jobs.add_batch(&NewBatch { batch, key: None }).await.unwrap();
        self.app.blobs.put(&key, "text/csv", "iata\nFRA\n".into()).await.unwrap();
        key
    }

    /// Makes every call of the job store fail with these words, until called with `None`.
    pub(crate) fn break_jobs(&self, words: Option<&str>) {
        self.jobs.break_with(words);
    }

    pub(crate) async fn job(&self, job: &JobRef) -> Job {
        self.jobs.get(job).await.unwrap().unwrap()
    }

    /// Hands messages of these jobs to the worker, in an invocation that has this long.
    async fn receive(&self, jobs: &[&JobRef], time: Duration) -> SqsBatchResponse {
        let bodies: Vec<String> = jobs.iter().map(|job| body(job)).collect();
        let mut context = Context::default();
        context.deadline = u64::try_from(Timestamp::system_now().plus(time).as_millis()).unwrap();
        let event = LambdaEvent::new(batch(bodies.iter().map(String::as_str)), context);
        let lease = LeaseSettings { renew_every: Duration::from_millis(20), ..LeaseSettings::default() };
        let worker = Worker { app: self.app.clone(), executor: Arc::new(self.executor.clone()), lease };
        let Ok(response) = Consumer::new(worker).handle(event).await;
        response
    }
}

const LONG: Duration = Duration::from_secs(900);

#[tokio::test]
async fn a_message_does_the_work_of_its_job() {
    let world = World::new([Script::Deliver(vec!["{}".into()])]);
    let job = world.insert().await;
    for _ in 0..2 {
        assert!(failed(&world.receive(&[&job], LONG).await).is_empty());
    }
    assert_eq!(world.job(&job).await.state, JobState::Completed);
    assert_eq!(world.executor.tasks().len(), 1, "the second message finds nothing to do");
}

#[tokio::test]
async fn what_is_to_be_tried_again_is_sent_again_with_its_delay() {
    let world = World::new([Script::Transient(samples::problem())]);
    let job = world.insert().await;
    assert!(failed(&world.receive(&[&job], LONG).await).is_empty(), "this message has done its work");
    let [(visible, sent)] = world.queue.messages().try_into().unwrap();
    assert_eq!(sent, job);
    assert!(visible > Timestamp::system_now());
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_again_stays() {
    let world = World::new([Script::Transient(samples::problem())]);
    let job = world.insert().await;
    world.queue.set_broken(true);
    assert_eq!(failed(&world.receive(&[&job], LONG).await), ["m0"]);
}

#[tokio::test]
async fn a_message_stays_while_the_store_does_not_answer() {
    let world = World::new([Script::Deliver(vec![])]);
    let job = world.insert().await;
    world.jobs.break_with(Some("unplugged"));
    world.queue.set_broken(true);
    assert_eq!(failed(&world.receive(&[&job], LONG).await), ["m0"]);
}

#[tokio::test]
async fn a_job_that_would_outlast_the_invocation_fails_before_its_end() {
    let world = World::new([Script::UntilCancelled]);
    let job = world.insert().await;
    let began = std::time::Instant::now();
    let time = Duration::from_millis(600);
    assert!(failed(&world.receive(&[&job], time).await).is_empty());
    assert!(began.elapsed() < time, "{:?}", began.elapsed());
    let ended = world.job(&job).await;
    assert_eq!(ended.state, JobState::Failed);
    assert!(ended.error.unwrap().detail.contains("did not finish within"));
}

#[tokio::test]
async fn later_messages_of_a_batch_do_not_pay_for_the_first() {
    let world = World::new([Script::UntilCancelled]);
    let (first, second) = (world.insert().await, world.insert().await);
    assert!(failed(&world.receive(&[&first, &second], Duration::from_millis(600)).await).is_empty());
    assert_eq!(world.job(&second).await.state, JobState::Accepted);
    assert_eq!(world.queue.messages().into_iter().map(|(_, job)| job).collect::<Vec<_>>(), [second]);
}
