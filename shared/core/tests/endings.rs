//! Ends that a host brings about: its time is over, its queue gave a message up, it must be done by a moment.

#![expect(clippy::unwrap_used, reason = "a test: what it does not expect must end it")]

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use willcall_conformance::{
    FakeExecutor, FakeNotifier, FixedCatalog, MemoryAccounts, MemoryBlobStore, MemoryJobQueue,
    MemoryJobStore, MemorySignals, Script, samples,
};
use willcall_core::{
    JobRef,
    account::Plan,
    catalog::{Catalog, Column, ColumnType, Dataset, DatasetFacts, DatasetSource},
    job::{Job, JobState, Problem, ProblemType, SENT_DUE},
    ports::{Delivered, ExecuteError, Executor, JobQueue, JobStore as _, ManualClock, QueueError, Task},
    usecases::{
        App, Settings,
        dead_letter::{DeadLetter, dead_letter},
        sweep::{Swept, sweep, sweep_until},
        work::{Disposition, LeaseSettings, TimeLimit, Worker, send_again, work},
    },
};

struct World {
    app: App,
    jobs: MemoryJobStore,
    queue: MemoryJobQueue,
    blobs: MemoryBlobStore,
    clock: Arc<ManualClock>,
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
        upstreams: BTreeMap::new(),
        default_plan: plan.name.clone(),
        plans: BTreeMap::from([(plan.name.clone(), plan)]),
    }
}

impl World {
    fn new(script: Script) -> Self {
        let clock = Arc::new(ManualClock::new(samples::START));
        let signals = MemorySignals::default();
        let jobs = MemoryJobStore::new(signals.clone());
        let queue = MemoryJobQueue::new(clock.clone());
        let blobs = MemoryBlobStore::default();
        let app = App {
            jobs: Arc::new(jobs.clone()),
            queue: Arc::new(queue.clone()),
            blobs: Arc::new(blobs.clone()),
            accounts: Arc::new(MemoryAccounts::default()),
            catalog: Arc::new(FixedCatalog::new(catalog())),
            signals: Arc::new(signals),
            notifier: FakeNotifier::new(&jobs, clock.clone()).notifier(),
            clock: clock.clone(),
            settings: Settings {
                public_url: "http://host".into(),
                max_wait: Duration::from_secs(60),
                default_sync_wait: Duration::from_secs(50),
                max_sync_wait: Duration::from_secs(50),
                inline_limit: None,
            },
        };
        Self { app, jobs, queue, blobs, clock, executor: FakeExecutor::new([script]) }
    }

    async fn insert(&self) -> JobRef {
        let job = samples::job_at("acme", self.app.clock.now());
        self.jobs.insert(&job, 100).await.unwrap();
        job.reference()
    }

    async fn job(&self, job: &JobRef) -> Job {
        self.jobs.get(job).await.unwrap().unwrap()
    }

    async fn work_until(&self, job: &JobRef, until: Instant) -> Disposition {
        let lease = LeaseSettings {
            renew_every: Duration::from_millis(20),
            give_up_after: Duration::from_millis(200),
            time_limit: Some(TimeLimit { until, whole: Duration::from_millis(899_990) }),
            ..LeaseSettings::default()
        };
        let worker = Worker { app: self.app.clone(), executor: Arc::new(self.executor.clone()), lease };
        work(&worker, job, &CancellationToken::new()).await
    }
}

#[tokio::test]
async fn a_job_that_takes_longer_than_its_worker_has_fails_in_time_and_says_so() {
    let world = World::new(Script::UntilCancelled);
    let job = world.insert().await;
    let until = Instant::now() + Duration::from_millis(60);
    assert_eq!(world.work_until(&job, until).await, Disposition::Done, "it is not tried again");
    assert!(Instant::now() >= until);
    let failed = world.job(&job).await;
    let problem = failed.error.unwrap();
    assert_eq!(
        (failed.state, failed.attempt, problem.kind),
        (JobState::Failed, 1, ProblemType::EngineFailed)
    );
    assert!(problem.detail.contains("within the 15 minutes that a worker has"), "{}", problem.detail);
    assert!(world.blobs.keys().is_empty());
    assert_eq!(world.queue.messages(), []);
}

#[tokio::test]
async fn a_job_that_comes_further_with_each_worker_is_handed_on_when_the_time_is_over() {
    let world = World::new(Script::GainUntilCancelled);
    let job = world.insert().await;
    for attempt in 1..=3 {
        let until = Instant::now() + Duration::from_millis(60);
        let handed_on = Disposition::RetryAfter(Duration::ZERO);
        assert_eq!(world.work_until(&job, until).await, handed_on);
        let after = world.job(&job).await;
        assert_eq!((after.state, after.attempt, after.failures), (JobState::Accepted, attempt, 0));
    }
}

#[tokio::test]
async fn a_store_that_is_gone_does_not_hide_that_the_time_is_over() {
    let world = World::new(Script::UntilCancelled);
    let job = world.insert().await;
    let working = world.work_until(&job, Instant::now() + Duration::from_millis(60));
    let breaking = async {
        while world.executor.tasks().is_empty() {
            tokio::task::yield_now().await;
        }
        world.jobs.break_with(Some("unplugged"));
    };
    let (disposition, ()) = tokio::join!(working, breaking);
    assert_eq!(disposition, Disposition::Leave, "the outcome could not be written: the lease runs out");
    world.jobs.break_with(None);
    assert_eq!(world.job(&job).await.state, JobState::Processing);
}

#[tokio::test]
async fn a_job_that_is_done_in_time_does_not_notice_the_limit() {
    let world = World::new(Script::Deliver(vec!["{}".into()]));
    let job = world.insert().await;
    let until = Instant::now() + Duration::from_secs(60);
    assert_eq!(world.work_until(&job, until).await, Disposition::Done);
    assert_eq!(world.job(&job).await.state, JobState::Completed);
}

#[tokio::test]
async fn a_dead_letter_fails_a_job_that_nobody_holds_and_leaves_the_others() {
    let world = World::new(Script::Deliver(vec![]));
    let (waiting, held, lost, done) =
        (world.insert().await, world.insert().await, world.insert().await, world.insert().await);
    let now = world.app.clock.now();
    world.jobs.transition(&lost, &samples::claim(), now).await.unwrap();
    world.clock.advance(Duration::from_secs(31));
    let now = world.app.clock.now();
    world.jobs.transition(&held, &samples::claim(), now).await.unwrap();
    world.jobs.transition(&done, &samples::claim(), now).await.unwrap();
    world.jobs.transition(&done, &samples::complete(1), now).await.unwrap();
    for job in [&waiting, &lost] {
        assert_eq!(dead_letter(&world.app, job).await.unwrap(), DeadLetter::Failed);
        let failed = world.job(job).await;
        assert_eq!((failed.state, failed.error.unwrap().kind), (JobState::Failed, ProblemType::EngineFailed));
        assert_eq!(
            dead_letter(&world.app, job).await.unwrap(),
            DeadLetter::Left,
            "a second time does nothing"
        );
    }
    for job in [&held, &done, &samples::reference("acme")] {
        assert_eq!(dead_letter(&world.app, job).await.unwrap(), DeadLetter::Left);
    }
    assert_eq!(world.job(&held).await.state, JobState::Processing);
    assert_eq!(world.job(&done).await.state, JobState::Completed);
    world.jobs.break_with(Some("unplugged"));
    dead_letter(&world.app, &waiting).await.unwrap_err();
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_not_the_sweepers_to_send_soon() {
    let world = World::new(Script::Deliver(vec![]));
    let job = world.insert().await;
    let after = Duration::from_secs(4);
    send_again(&world.app, &job, after).await.unwrap();
    let now = world.app.clock.now();
    assert_eq!(world.queue.messages(), [(now.plus(after), job.clone())]);
    assert_eq!(world.job(&job).await.due_at, Some(now.plus(SENT_DUE)));
    world.queue.set_broken(true);
    send_again(&world.app, &job, after).await.unwrap_err();
}

#[tokio::test]
async fn a_sweep_begins_nothing_after_its_time_and_the_next_goes_on() {
    let world = World::new(Script::Deliver(vec![]));
    for _ in 0..3 {
        world.insert().await;
    }
    world.clock.advance(Duration::from_secs(61));
    let now = world.app.clock.now();
    assert_eq!(sweep_until(&world.app, Some(now)).await.unwrap(), Swept::default());
    assert_eq!(sweep_until(&world.app, Some(now.plus(Duration::from_secs(1)))).await.unwrap().resent, 3);
    assert_eq!(sweep(&world.app).await.unwrap(), Swept::default());
}

/// A host whose workers are all busy while others wait, or not.
struct Awaited(bool);

#[async_trait::async_trait]
impl JobQueue for Awaited {
    async fn send(&self, _: &JobRef, _: Duration) -> Result<(), QueueError> {
        Ok(())
    }

    fn is_awaited(&self, _by: &JobRef) -> bool {
        self.0
    }
}

/// Work that goes on until it is asked to make way, or for a while.
struct Long {
    gains: bool,
}

#[async_trait::async_trait]
impl Executor for Long {
    async fn execute(&self, task: Task) -> Result<Delivered, ExecuteError> {
        if self.gains {
            task.control.gain();
        }
        tokio::select! {
            () = task.control.asked_to_yield() => Err(ExecuteError::Cancelled),
            () = tokio::time::sleep(Duration::from_millis(400)) => Err(ExecuteError::Fatal {
                problem: Problem::new(ProblemType::EngineFailed, "nobody asked"),
                source: None,
            }),
        }
    }
}

#[tokio::test]
async fn work_that_can_go_on_later_makes_way_where_others_wait_and_nowhere_else() {
    for (gains, awaited, state) in
        [(true, true, JobState::Accepted), (false, true, JobState::Failed), (true, false, JobState::Failed)]
    {
        let mut world = World::new(Script::UntilCancelled);
        world.app.queue = Arc::new(Awaited(awaited));
        let job = world.insert().await;
        let lease = LeaseSettings {
            renew_every: Duration::from_millis(20),
            slice: Some(Duration::from_millis(60)),
            ..LeaseSettings::default()
        };
        let worker = Worker { app: world.app.clone(), executor: Arc::new(Long { gains }), lease };
        let handled = work(&worker, &job, &CancellationToken::new()).await;
        let after = world.job(&job).await;
        assert_eq!((after.state, after.failures), (state, 0), "{gains} {awaited}");
        assert_eq!(handled == Disposition::RetryAfter(Duration::ZERO), state == JobState::Accepted);
    }
}
