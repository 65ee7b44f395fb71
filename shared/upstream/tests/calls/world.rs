//! Jobs for the executor, and what came of them.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use secrecy::SecretString;
use serde_json::{Value, json};
use willcall_conformance::MemoryBlobStore;
use willcall_core::{
    JobRef,
    catalog::{SecretRef, Upstream, UpstreamEntry},
    format::{Format, OutputFormat},
    job::{
        Counts,
        kinds::{CallWork, ItemOutcome, ItemState, Work},
    },
    json::Object,
    ports::{
        BlobKey, BlobStore, Control, Delivered, ExecuteError, Executor, Input, InputFile, SecretError,
        Secrets, Subject, SystemClock, Task,
    },
};
use willcall_upstream::UpstreamExecutor;

use crate::scripted::Scripted;

/// Secrets of the test's own.
pub(crate) struct Known(pub(crate) HashMap<SecretRef, &'static str>);

#[async_trait]
impl Secrets for Known {
    async fn secret(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        let found = self.0.get(secret).map(|text| SecretString::from(*text));
        found.ok_or_else(|| SecretError::Missing(secret.clone()))
    }
}

pub(crate) fn executor() -> UpstreamExecutor {
    let secret = (SecretRef::Env("TOKEN".into()), "s3cr3t");
    UpstreamExecutor::new(Arc::new(Known(HashMap::from([secret]))), Arc::new(SystemClock))
}

/// An upstream that may be reached on loopback, and that is asked again soon.
pub(crate) fn upstream(scripted: &Scripted, path: &str, more: Value) -> Upstream {
    let mut entry = json!({
        "method": "POST",
        "url": scripted.url(path),
        "allow": ["127.0.0.1"],
        "timeout": "30s",
        "retries": { "attempts": 3, "backoff": "10ms" },
    });
    let Value::Object(more) = more else { panic!("{more} is no object") };
    entry.as_object_mut().unwrap().extend(more);
    serde_json::from_value::<UpstreamEntry>(entry).unwrap().check("enrich").unwrap()
}

/// A job whose attempts follow each other.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) executor: Arc<UpstreamExecutor>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) blobs: MemoryBlobStore,
    pub(crate) job: JobRef,
    pub(crate) work: CallWork,
    pub(crate) input: Input,
    pub(crate) max_bytes: Option<u64>,
}

impl World {
    pub(crate) fn new(upstream: Upstream, items: Vec<Value>) -> Self {
        let items: Vec<Object> = items
            .into_iter()
            .map(|item| match item {
                Value::Object(item) => item.into(),
                other => panic!("{other} is no object"),
            })
            .collect();
        let work = CallWork {
            upstream: upstream.name.clone(),
            id: "id".into(),
            max_errors: None,
            max_records: 1_000_000,
            output: OutputFormat::plain(Format::Jsonl),
            page_size: 1000,
            items: Some(items),
            first_item: None,
        };
        let job = JobRef { account: "acme".parse().unwrap(), job: willcall_core::JobId::generate() };
        Self {
            executor: Arc::new(executor()),
            upstream: Arc::new(upstream),
            blobs: MemoryBlobStore::default(),
            job,
            work,
            input: Input::Work,
            max_bytes: None,
        }
    }

    /// The same with the items in files, each with its name, media type and bytes.
    pub(crate) async fn uploaded(upstream: Upstream, files: &[(&str, &str, &[u8])]) -> Self {
        let mut world = Self::new(upstream, Vec::new());
        world.work.items = None;
        let mut input = Vec::new();
        for (place, (name, media_type, bytes)) in files.iter().enumerate() {
            let key = BlobKey::Upload { job: world.job.clone(), file: place };
            world.blobs.put(&key, media_type, Bytes::copy_from_slice(bytes)).await.unwrap();
            let head = world.blobs.head(&key).await.unwrap().unwrap();
            input.push(InputFile {
                key,
                name: (*name).to_owned(),
                media_type: (*media_type).to_owned(),
                bytes: head.size,
                etag: head.etag,
            });
        }
        world.input = Input::Files(input);
        world
    }

    pub(crate) fn task(&self, attempt: u32, control: &Arc<Control>) -> Task {
        Task {
            job: self.job.clone(),
            attempt,
            work: Arc::new(Work::Call(Box::new(self.work.clone()))),
            subject: Subject::Upstream(Arc::clone(&self.upstream)),
            snapshot: self.job.clone(),
            input: self.input.clone(),
            max_bytes: self.max_bytes,
            blobs: Arc::new(self.blobs.clone()),
            control: Arc::clone(control),
        }
    }

    pub(crate) async fn attempt(&self, attempt: u32) -> Result<Delivered, ExecuteError> {
        self.executor.execute(self.task(attempt, &Arc::default())).await
    }

    /// The outcomes of an attempt that delivers.
    pub(crate) async fn run(&self) -> (Vec<ItemOutcome>, Delivered) {
        let delivered = self.attempt(1).await.unwrap();
        (self.outcomes(1, &delivered).await, delivered)
    }

    pub(crate) async fn file(&self, attempt: u32, delivered: &Delivered) -> Bytes {
        let file = &delivered.files[0];
        let key = BlobKey::Result { job: self.job.clone(), attempt, file: file.name.clone() };
        self.blobs.read(&key, 0..file.bytes).await.unwrap()
    }

    pub(crate) async fn outcomes(&self, attempt: u32, delivered: &Delivered) -> Vec<ItemOutcome> {
        let text = self.file(attempt, delivered).await;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}

/// Items with these numbers as their ids.
pub(crate) fn items(count: u64) -> Vec<Value> {
    (1..=count).map(|n| json!({ "id": format!("item {n}"), "n": n })).collect()
}

pub(crate) fn body(outcome: &ItemOutcome) -> Value {
    outcome.body.as_ref().map_or(Value::Null, |body| serde_json::from_str(body.get()).unwrap())
}

/// Succeeded, failed, unknown and malformed outcomes, and those that a count says are there.
pub(crate) fn tally(outcomes: &[ItemOutcome], delivered: &Delivered) -> [usize; 4] {
    let of = |state| outcomes.iter().filter(|outcome| outcome.state == state).count();
    let tally = [ItemState::Succeeded, ItemState::Failed, ItemState::Unknown, ItemState::Malformed].map(of);
    let [succeeded, failed, unknown, malformed] = tally.map(|count| count as u64);
    let total = Some(outcomes.len() as u64);
    let counts = Counts::Call { total, pending: 0, succeeded, failed, unknown, malformed };
    assert_eq!(delivered.counts, Some(counts));
    tally
}
