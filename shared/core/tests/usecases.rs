//! Use cases on fakes: what a client gets, and what is left when something breaks.

#![expect(clippy::unwrap_used, reason = "a test: what it does not expect must end it")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use willcall_conformance::{
    FakeExecutor, FakeNotifier, FixedCatalog, MemoryAccounts, MemoryBlobStore, MemoryJobQueue,
    MemoryJobStore, MemorySignals, Script,
};
use willcall_core::{
    Error, JobId, JobRef, Timestamp,
    account::{Account, Caller, Plan, Scope},
    catalog::{Catalog, Column, ColumnType, Dataset, DatasetFacts, DatasetSource},
    job::{Job, JobState, MAX_ATTEMPTS, Problem, ProblemType},
    ports::{BlobKey, BlobPrefix, JobFilter, JobStore as _, ManualClock},
    usecases::{
        self, AboutDraft, App, JobView, QueryDraft, Settings, accounts,
        authenticate::authenticate,
        jobs, records, results,
        submit::Submission,
        sweep::{Swept, sweep},
        work::{Disposition, LeaseSettings, Worker, work},
    },
};

#[path = "usecases/attempts.rs"]
mod attempts;
#[path = "usecases/conditions.rs"]
mod conditions;
#[path = "usecases/followed.rs"]
mod followed;
#[path = "usecases/leftovers.rs"]
mod leftovers;
#[path = "usecases/sheets.rs"]
mod sheets;
#[path = "usecases/statements.rs"]
mod statements;
#[path = "usecases/submissions.rs"]
mod submissions;
#[path = "support/unzip.rs"]
mod unzip;
#[path = "usecases/zips.rs"]
mod zips;

const START: Timestamp = Timestamp::from_millis(1_780_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);

struct World {
    app: App,
    jobs: MemoryJobStore,
    queue: MemoryJobQueue,
    blobs: MemoryBlobStore,
    catalog: FixedCatalog,
    clock: Arc<ManualClock>,
    executor: FakeExecutor,
}

fn catalog(plan: Plan) -> Catalog {
    let column = |name: &str, data_type| Column { name: name.into(), data_type, nullable: true };
    let facts = DatasetFacts {
        columns: vec![
            column("carrier", ColumnType::Text),
            column("flight", ColumnType::Int { bits: 32, signed: true }),
        ],
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
    Catalog {
        hash: "c".repeat(64),
        datasets: BTreeMap::from([("flights".into(), Arc::new(flights))]),
        upstreams: BTreeMap::new(),
        default_plan: plan.name.clone(),
        plans: BTreeMap::from([(plan.name.clone(), plan)]),
    }
}

impl World {
    fn new(scripts: impl IntoIterator<Item = Script>) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let signals = MemorySignals::default();
        let jobs = MemoryJobStore::new(signals.clone());
        let queue = MemoryJobQueue::new(clock.clone());
        let blobs = MemoryBlobStore::default();
        let catalog = FixedCatalog::new(catalog(Plan { max_open_jobs: 3, ..Plan::default_named("pro") }));
        let app = App {
            jobs: Arc::new(jobs.clone()),
            queue: Arc::new(queue.clone()),
            blobs: Arc::new(blobs.clone()),
            accounts: Arc::new(MemoryAccounts::default()),
            catalog: Arc::new(catalog.clone()),
            signals: Arc::new(signals),
            notifier: FakeNotifier::new(&jobs, clock.clone()).notifier(),
            clock: clock.clone(),
            settings: Settings {
                public_url: "http://host".into(),
                max_wait: Duration::from_secs(60),
                default_sync_wait: Duration::from_secs(50),
                max_sync_wait: Duration::from_secs(50),
                inline_limit: Some(1_000),
            },
        };
        Self { app, jobs, queue, blobs, catalog, clock, executor: FakeExecutor::new(scripts) }
    }

    fn delivering() -> Self {
        Self::new([Script::Deliver(vec!["{\"flight\":1}".into(), "{\"flight\":2}".into()])])
    }

    fn caller(&self) -> Caller {
        let plan = Plan { max_open_jobs: 3, ..Plan::default_named("pro") };
        let account = Account { id: "acme".parse().unwrap(), plan: plan.name.clone(), created: START };
        Caller { account, plan, scope: Scope::Submit }
    }

    fn worker(&self) -> Worker {
        let lease = LeaseSettings {
            renew_every: Duration::from_millis(20),
            give_up_after: Duration::from_millis(200),
            ..LeaseSettings::default()
        };
        Worker { app: self.app.clone(), executor: Arc::new(self.executor.clone()), lease }
    }

    async fn submit(&self) -> JobRef {
        self.submit_as(draft()).await.unwrap().job.reference()
    }

    async fn submit_as(&self, draft: QueryDraft) -> Result<JobView, Error> {
        submit(&self.app, &self.caller(), draft, json!({"dataset": "flights"})).await
    }

    async fn work(&self, job: &JobRef) -> Disposition {
        work(&self.worker(), job, &CancellationToken::new()).await
    }

    /// Has another worker take the job, and answers once its work has begun.
    async fn begin(
        &self,
        job: &JobRef,
        shutdown: &CancellationToken,
    ) -> tokio::task::JoinHandle<Disposition> {
        let running = tokio::spawn({
            let (worker, job, shutdown) = (self.worker(), job.clone(), shutdown.clone());
            async move { work(&worker, &job, &shutdown).await }
        });
        while self.executor.tasks().is_empty() {
            tokio::task::yield_now().await;
        }
        running
    }

    async fn job(&self, job: &JobRef) -> Job {
        self.jobs.get(job).await.unwrap().unwrap()
    }

    fn has_files_of(&self, job: &JobRef) -> bool {
        let prefix = format!("results/{job}/");
        self.blobs.keys().iter().any(|key| key.starts_with(&prefix))
    }
}

async fn submit(app: &App, caller: &Caller, draft: QueryDraft, original: Value) -> Result<JobView, Error> {
    Ok(usecases::submit::submit(app, caller, Submission::new(draft, original)).await?.view)
}

fn draft() -> QueryDraft {
    QueryDraft { dataset: "flights".into(), about: about(), ..QueryDraft::default() }
}

fn about() -> AboutDraft {
    AboutDraft { format: Some("jsonl".into()), ..AboutDraft::default() }
}

fn problem() -> Problem {
    Problem::new(ProblemType::EngineFailed, "it broke")
}

#[tokio::test]
async fn a_job_runs_from_submit_to_page() {
    let world = World::delivering();
    let job = world.submit().await;
    assert_eq!(world.queue.receive(), Some(job.clone()));
    assert_eq!(world.work(&job).await, Disposition::Done);
    let view = jobs::status(&world.app, &world.caller(), job.job, Duration::ZERO).await.unwrap();
    assert_eq!(view.job.state, JobState::Completed);
    assert_eq!(view.job.progress.records_requested, Some(2), "all found, less no offset");
    let link = view.download.unwrap();
    let bytes = world.blobs.follow(&link.url, world.app.clock.now()).unwrap();
    assert_eq!(&bytes[..], b"{\"flight\":1}\n{\"flight\":2}\n");
    let page = results::page(&world.app, &world.caller(), job.job, 0).await.unwrap();
    assert_eq!((page.bytes, page.pages), (bytes, 1));
    let missing = results::page(&world.app, &world.caller(), job.job, 1).await;
    assert!(matches!(missing, Err(Error::NoSuchPage { page: 1, pages: 1 })));
    let manifest = results::manifest(&world.app, &world.caller(), job.job).await.unwrap();
    assert_eq!((manifest.records, manifest.attempt, manifest.job_id), (2, 1, job.job));
}

#[tokio::test]
async fn a_large_request_goes_to_the_blob_store_and_comes_back() {
    let world = World::delivering();
    let filter =
        format!("carrier IN ('{}')", (0..2_000).map(|n| n.to_string()).collect::<Vec<_>>().join("','"));
    let original = json!({"dataset": "flights", "filter": filter});
    let asked = QueryDraft { filter: Some(filter), ..draft() };
    let view = submit(&world.app, &world.caller(), asked, original.clone()).await.unwrap();
    let job = view.job.reference();
    let stored = serde_json::to_vec(&world.job(&job).await).unwrap();
    assert!(stored.len() < 4_096, "{} bytes", stored.len());
    world.work(&job).await;
    let view = jobs::status(&world.app, &world.caller(), job.job, Duration::ZERO).await.unwrap();
    assert_eq!(view.job.state, JobState::Completed);
    assert_eq!(view.request.original, original);
    assert!(world.blobs.tamper(&BlobKey::Request(job.clone()), "{}"));
    let tampered = jobs::status(&world.app, &world.caller(), job.job, Duration::ZERO).await;
    assert!(matches!(tampered, Err(Error::Internal(_))));
}

#[tokio::test]
async fn a_refused_submit_leaves_no_request() {
    let world = World::delivering();
    let filter =
        format!("carrier IN ('{}')", (0..2_000).map(|n| n.to_string()).collect::<Vec<_>>().join("','"));
    let asked = QueryDraft { filter: Some(filter), ..draft() };
    for _ in 0..3 {
        world.submit_as(asked.clone()).await.unwrap();
    }
    let kept = world.blobs.keys();
    assert_eq!(kept.len(), 3);
    assert!(matches!(world.submit_as(asked).await, Err(Error::QuotaExceeded { .. })));
    assert_eq!(world.blobs.keys(), kept);
}

#[tokio::test]
async fn a_job_that_goes_while_it_is_read_is_not_there() {
    let world = World::delivering();
    let filter =
        format!("carrier IN ('{}')", (0..2_000).map(|n| n.to_string()).collect::<Vec<_>>().join("','"));
    let asked = QueryDraft { filter: Some(filter), ..draft() };
    let job = world.submit_as(asked).await.unwrap().job.reference();
    let other = world.submit().await;
    let caller = world.caller();
    // As a delete leaves it between its steps: no request, and then no record.
    world.app.blobs.delete_prefix(&BlobPrefix::Request(job.clone())).await.unwrap();
    let broken = jobs::status(&world.app, &caller, job.job, Duration::ZERO).await;
    assert!(matches!(broken, Err(Error::Internal(_))), "damage is not hidden");
    jobs::delete(&world.app, &caller, job.job).await.unwrap();
    let gone = jobs::status(&world.app, &caller, job.job, Duration::ZERO).await;
    assert!(matches!(gone, Err(Error::NotFound(_))));
    let page = jobs::list(&world.app, &caller, &JobFilter::default(), None, 50).await.unwrap();
    assert_eq!(page.jobs.iter().map(|view| view.job.id).collect::<Vec<_>>(), [other.job]);
}

#[tokio::test]
async fn a_page_of_large_requests_ends_early_and_goes_on() {
    let world = World::delivering();
    let filter = format!("carrier <> '{}'", "x".repeat(60_000));
    let mut caller = world.caller();
    caller.plan.max_open_jobs = 1_000;
    let asked = QueryDraft { filter: Some(filter.clone()), ..draft() };
    for _ in 0..80 {
        submit(&world.app, &caller, asked.clone(), json!({"filter": filter})).await.unwrap();
    }
    let (mut before, mut found, mut pages) = (None, 0, 0);
    loop {
        let page = jobs::list(&world.app, &caller, &JobFilter::default(), before, 500).await.unwrap();
        found += page.jobs.len();
        pages += 1;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!((found, pages), (80, 3));
}

#[tokio::test]
async fn an_account_whose_plan_is_gone_gets_nothing_more() {
    let world = World::delivering();
    let account = accounts::put_account(&world.app, "acme".parse().unwrap(), "pro").await.unwrap();
    let made = accounts::create_token(&world.app, &account.id, Scope::Submit, "ci", None).await;
    let (token, _) = made.unwrap();
    world.catalog.set(catalog(Plan { max_records: 1_000_000, ..Plan::default_named("other") }));
    let caller = authenticate(&world.app, Some(token.expose())).await.unwrap();
    let refused = submit(&world.app, &caller, draft(), Value::Null).await;
    assert!(matches!(refused, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_vanished_data_set_fails_the_job() {
    let world = World::delivering();
    let job = world.submit().await;
    let mut emptied = catalog(Plan::default_named("pro"));
    emptied.datasets.clear();
    world.catalog.set(emptied);
    world.work(&job).await;
    let failed = world.job(&job).await;
    assert_eq!(failed.error.map(|problem| problem.kind), Some(ProblemType::Conflict));
}

#[tokio::test]
async fn results_expire_and_records_follow() {
    let world = World::delivering();
    let job = world.submit().await;
    world.work(&job).await;
    let caller = world.caller();
    world.clock.advance(7 * DAY);
    // Before any sweep the clock alone decides.
    assert!(matches!(results::download(&world.app, &caller, job.job).await, Err(Error::Expired)));
    let view = jobs::status(&world.app, &caller, job.job, Duration::ZERO).await.unwrap();
    assert_eq!((view.job.state, view.download), (JobState::Expired, None));
    assert!(world.has_files_of(&job));
    assert_eq!(sweep(&world.app).await.unwrap(), Swept { expired: 1, ..Swept::default() });
    assert!(!world.has_files_of(&job));
    world.clock.advance(30 * DAY);
    let gone = jobs::status(&world.app, &caller, job.job, Duration::ZERO).await;
    assert!(matches!(gone, Err(Error::NotFound(_))));
    assert_eq!(sweep(&world.app).await.unwrap(), Swept { removed: 1, ..Swept::default() });
    assert_eq!(world.jobs.get(&job).await.unwrap(), None);
}

#[tokio::test]
async fn the_client_moves_the_expiry_within_the_plan() {
    let world = World::delivering();
    let job = world.submit().await;
    world.work(&job).await;
    let amend = |expires| {
        let change = jobs::Amendment { expires: Some(expires), ..jobs::Amendment::default() };
        let (app, caller) = (world.app.clone(), world.caller());
        async move { jobs::amend(&app, &caller, job.job, change).await }
    };
    assert!(matches!(amend(START.plus(8 * DAY)).await, Err(Error::Invalid(_))));
    assert!(matches!(amend(START).await, Err(Error::Invalid(_))));
    let view = amend(START.plus(DAY)).await.unwrap();
    assert_eq!(view.job.expires, Some(START.plus(DAY)));
    world.clock.advance(2 * DAY);
    assert!(matches!(amend(START.plus(3 * DAY)).await, Err(Error::Expired)));
}

#[tokio::test]
async fn a_result_over_the_inline_limit_is_elsewhere() {
    let world = World::new([Script::Deliver(vec!["x".repeat(2_000)])]);
    let job = world.submit().await;
    world.work(&job).await;
    let body = results::result(&world.app, &world.caller(), job.job).await.unwrap();
    assert!(matches!(body, results::ResultBody::Elsewhere(_)));
}

#[tokio::test]
async fn a_wait_ends_with_the_job_or_the_time() {
    let world = World::delivering();
    let job = world.submit().await;
    let (app, caller) = (world.app.clone(), world.caller());
    let start = std::time::Instant::now();
    let view = jobs::status(&app, &caller, job.job, Duration::from_millis(50)).await.unwrap();
    assert_eq!(view.job.state, JobState::Accepted);
    assert!(start.elapsed() >= Duration::from_millis(50));
    let waiting = tokio::spawn({
        let id = job.job;
        async move { jobs::status(&app, &caller, id, Duration::from_secs(60)).await }
    });
    tokio::task::yield_now().await;
    world.work(&job).await;
    let view = waiting.await.unwrap().unwrap();
    assert_eq!(view.job.state, JobState::Completed);
    assert!(start.elapsed().as_secs() < 60);
}

#[tokio::test]
async fn a_synchronous_request_says_what_limit_it_inherits() {
    let world = World::delivering();
    let wait = Duration::from_millis(1);
    let ask = async |draft, original, wait| {
        records::records(&world.app, &world.caller(), Submission::new(draft, original), wait).await
    };
    let view = ask(draft(), json!({}), wait).await.unwrap().view;
    assert_eq!(view.request.original, json!({"limit": 1000}));
    let deep = QueryDraft { offset: 9_999, limit: Some(2), ..draft() };
    let refused = ask(deep.clone(), json!({}), wait).await;
    assert!(matches!(refused, Err(Error::Invalid(_))));
    let view = ask(deep, Value::Null, Duration::ZERO).await.unwrap().view;
    assert_eq!(view.job.state, JobState::Accepted, "a job has no such depth");
}

#[tokio::test]
async fn lists_are_of_one_account_and_bounded() {
    let world = World::delivering();
    for _ in 0..3 {
        world.submit().await;
    }
    let caller = world.caller();
    let page = jobs::list(&world.app, &caller, &JobFilter::default(), None, 2).await.unwrap();
    assert_eq!(page.jobs.len(), 2);
    let rest = jobs::list(&world.app, &caller, &JobFilter::default(), page.next, 2).await.unwrap();
    assert_eq!((rest.jobs.len(), rest.next), (1, None));
    for limit in [0, 501] {
        let refused = jobs::list(&world.app, &caller, &JobFilter::default(), None, limit).await;
        assert!(matches!(refused, Err(Error::Invalid(_))));
    }
}

#[tokio::test]
async fn tokens_work_until_they_expire_or_are_revoked() {
    let world = World::delivering();
    let account = accounts::put_account(&world.app, "acme".parse().unwrap(), "pro").await.unwrap();
    let made = accounts::create_token(&world.app, &account.id, Scope::Read, "ci", Some(DAY)).await;
    let (token, record) = made.unwrap();
    let caller = authenticate(&world.app, Some(token.expose())).await.unwrap();
    assert_eq!((caller.account.id.as_str(), caller.scope), ("acme", Scope::Read));
    assert!(matches!(
        submit(&world.app, &caller, draft(), Value::Null).await,
        Err(Error::Forbidden(Scope::Submit))
    ));
    world.clock.advance(DAY);
    assert!(matches!(authenticate(&world.app, Some(token.expose())).await, Err(Error::Unauthenticated)));
    let (token, _) = accounts::create_token(&world.app, &account.id, Scope::Read, "b", None).await.unwrap();
    accounts::revoke_token(&world.app, &token.hash().as_str()[..12]).await.unwrap();
    assert!(matches!(authenticate(&world.app, Some(token.expose())).await, Err(Error::Unauthenticated)));
    for none in [None, Some(""), Some("wc_")] {
        assert!(matches!(authenticate(&world.app, none).await, Err(Error::Unauthenticated)));
    }
    assert!(accounts::revoke_token(&world.app, record.hash.short()).await.is_ok());
    assert!(matches!(accounts::revoke_token(&world.app, "abc").await, Err(Error::Invalid(_))));
    let unknown = accounts::put_account(&world.app, "x".parse().unwrap(), "gold").await;
    assert!(matches!(unknown, Err(Error::Invalid(_))));
}
