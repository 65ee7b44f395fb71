//! A host in memory, and requests to it.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::subscriber::DefaultGuard;
use willcall_conformance::{
    FakeExecutor, FakeNotifier, FixedCatalog, MemoryAccounts, MemoryBlobStore, MemoryJobQueue,
    MemoryJobStore, MemorySignals, Script, samples::START,
};
use willcall_core::{
    JobRef, Timestamp,
    account::{Plan, Scope},
    catalog::{
        Catalog, Column, ColumnStatistics, ColumnType, Dataset, DatasetFacts, DatasetSource, Statistics,
        Upstream, UpstreamEntry, View,
    },
    ports::{ManualClock, SignedFiles},
    usecases::{
        App, Settings,
        accounts::{create_token, put_account},
        work::{LeaseSettings, Worker, work},
    },
};

pub(crate) const URL: &str = "https://api.example.com";

/// A host with two accounts: `acme` on a plan that reads `flights`, and `other`.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) clock: Arc<ManualClock>,
    catalog: FixedCatalog,
    pub(crate) jobs: MemoryJobStore,
    pub(crate) queue: MemoryJobQueue,
    pub(crate) blobs: MemoryBlobStore,
    pub(crate) told: FakeNotifier,
    pub(crate) executor: FakeExecutor,
    pub(crate) token: String,
    pub(crate) reader: String,
    pub(crate) other: String,
    pub(crate) admin: String,
    pub(crate) files: Option<Arc<dyn SignedFiles>>,
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {:?}", self.bytes))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Holds that this is a problem of that status and type, and answers its whole text.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, slug: &str) -> String {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let document = self.json();
        assert_eq!(document["type"], format!("{URL}/problems/{slug}"));
        assert_eq!(document["status"], status);
        assert_eq!(document["request_id"], self.header("x-request-id"));
        assert!(document["instance"].as_str().unwrap().starts_with('/'));
        document.to_string()
    }

    /// Where the errors of an invalid request point.
    #[track_caller]
    pub(crate) fn pointers(&self) -> Vec<String> {
        self.problem(400, "invalid-request");
        let document = self.json();
        let errors = document["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        self
    }
}

/// What is logged on the thread of a test.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Gathers what is logged as long as the guard is held.
    pub(crate) fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn column(name: &str, data_type: ColumnType) -> Column {
    Column { name: name.into(), data_type, nullable: true }
}

fn dataset(name: &str) -> Arc<Dataset> {
    let view = View { description: "delays".into(), fields: vec!["carrier".into(), "dep_delay".into()] };
    Arc::new(Dataset {
        name: name.into(),
        description: "departures".into(),
        source: DatasetSource::at("/secret/place/flights.parquet"),
        views: BTreeMap::from([("delays".to_owned(), view)]),
        facts: DatasetFacts {
            columns: vec![
                column("carrier", ColumnType::Text),
                column("flight", ColumnType::Int { bits: 64, signed: true }),
                column("dep_delay", ColumnType::Float { bits: 64 }),
                column("name", ColumnType::Text),
            ],
            records: Some(3),
            bytes: 100,
            files: 1,
            version: "v1".into(),
            updated: Some(START),
            statistics: Some(statistics()),
        },
    })
}

fn statistics() -> Statistics {
    let carrier = ColumnStatistics {
        min: Some("9E".into()),
        max: Some("YV".into()),
        exact: true,
        nulls: Some(0),
        ..ColumnStatistics::default()
    };
    Statistics { row_groups: Some(1), columns: BTreeMap::from([("carrier".to_owned(), carrier)]) }
}

fn upstream(name: &str) -> Arc<Upstream> {
    let entry = r#"{
        "url": "https://inside.example/people/{email}",
        "headers": { "authorization": { "env": "ENRICH_TOKEN" } },
        "input": { "required": ["email"], "properties": { "email": { "type": "string" } } }
    }"#;
    Arc::new(serde_json::from_str::<UpstreamEntry>(entry).unwrap().check(name).unwrap())
}

fn catalog() -> Catalog {
    let mut free = Plan::default_named("free");
    free.max_open_jobs = 3;
    free.datasets = Some(["flights".to_owned()].into());
    free.upstreams = Some(["enrich".to_owned()].into());
    Catalog {
        hash: "0".repeat(64),
        datasets: BTreeMap::from([
            ("flights".to_owned(), dataset("flights")),
            ("secret".to_owned(), dataset("secret")),
        ]),
        upstreams: ["enrich", "hidden"].map(|name| (name.to_owned(), upstream(name))).into(),
        plans: BTreeMap::from([("free".to_owned(), free)]),
        default_plan: "free".into(),
    }
}

impl World {
    /// A world whose jobs deliver three records.
    pub(crate) async fn new() -> Self {
        let lines = ["1", "2", "3"].map(|n| format!("{{\"flight\":{n}}}")).to_vec();
        Self::with([Script::Deliver(lines)]).await
    }

    pub(crate) async fn with(scripts: impl IntoIterator<Item = Script>) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let signals = MemorySignals::default();
        let jobs = MemoryJobStore::new(signals.clone());
        let queue = MemoryJobQueue::new(clock.clone());
        let blobs = MemoryBlobStore::default();
        let told = FakeNotifier::new(&jobs, clock.clone());
        let settings = Settings {
            public_url: URL.into(),
            max_wait: Duration::from_secs(60),
            default_sync_wait: Duration::from_secs(50),
            max_sync_wait: Duration::from_secs(50),
            inline_limit: None,
        };
        let fixed = FixedCatalog::new(catalog());
        let app = App {
            jobs: Arc::new(jobs.clone()),
            queue: Arc::new(queue.clone()),
            blobs: Arc::new(blobs.clone()),
            accounts: Arc::new(MemoryAccounts::default()),
            catalog: Arc::new(fixed.clone()),
            signals: Arc::new(signals),
            notifier: told.notifier(),
            clock: clock.clone(),
            settings,
        };
        let mut tokens = Vec::new();
        for (account, scope) in
            [("acme", Scope::Submit), ("acme", Scope::Read), ("other", Scope::Submit), ("acme", Scope::Admin)]
        {
            let id = account.parse().unwrap();
            let account = put_account(&app, id, "free").await.unwrap();
            let lifetime = Some(Duration::from_secs(365 * 86_400));
            let (token, _) = create_token(&app, &account.id, scope, "test", lifetime).await.unwrap();
            tokens.push(token.expose().to_owned());
        }
        let [token, reader, other, admin] = <[String; 4]>::try_from(tokens).unwrap();
        let executor = FakeExecutor::new(scripts);
        Self {
            app,
            clock,
            catalog: fixed,
            jobs,
            queue,
            blobs,
            told,
            executor,
            token,
            reader,
            other,
            admin,
            files: None,
        }
    }

    /// Changes the plan of every account.
    pub(crate) fn change_plan(&self, change: impl FnOnce(&mut Plan)) {
        self.change_catalog(|catalog| change(catalog.plans.get_mut("free").unwrap()));
    }

    pub(crate) fn change_catalog(&self, change: impl FnOnce(&mut Catalog)) {
        let mut changed = catalog();
        change(&mut changed);
        self.catalog.set(changed);
    }

    pub(crate) fn router(&self) -> Router {
        willcall_http::all_routes(self.app.clone(), self.files.clone())
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    /// A request of `acme` with more headers and a body, which is JSON where there is one.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        self.ask("GET", path, &[("authorization", &format!("Bearer {token}"))], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[], body).await
    }

    /// Submits a job in `jsonl` and answers its id.
    pub(crate) async fn submit(&self) -> String {
        let body = r#"{"kind": "query", "dataset": "flights", "fields": ["flight"], "format": "jsonl"}"#;
        let answer = self.post("/v1/jobs", body).await.expect(StatusCode::ACCEPTED.as_u16());
        answer.json()["job_id"].as_str().unwrap().to_owned()
    }

    /// Does all the work there is.
    pub(crate) async fn work(&self) {
        let worker = self.worker();
        while let Some(job) = self.queue.receive() {
            work(&worker, &job, &CancellationToken::new()).await;
        }
    }

    /// Works in the background until dropped.
    pub(crate) fn working(&self) -> tokio::task::JoinSet<()> {
        let (worker, queue) = (self.worker(), self.queue.clone());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            loop {
                match queue.receive() {
                    Some(job) => drop(work(&worker, &job, &CancellationToken::new()).await),
                    None => tokio::task::yield_now().await,
                }
            }
        });
        tasks
    }

    fn worker(&self) -> Worker {
        Worker {
            app: self.app.clone(),
            executor: Arc::new(self.executor.clone()),
            lease: LeaseSettings::default(),
        }
    }

    /// A job that has completed.
    pub(crate) async fn completed(&self) -> String {
        let id = self.submit().await;
        self.work().await;
        id
    }

    /// Where a batch that was answered lives.
    pub(crate) fn reference(&self, batch: &Value) -> JobRef {
        let job = batch["batch_id"].as_str().unwrap().parse().unwrap();
        JobRef { account: "acme".parse().unwrap(), job }
    }

    pub(crate) fn now(&self) -> Timestamp {
        willcall_core::ports::Clock::now(&*self.clock)
    }
}
