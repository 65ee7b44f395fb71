//! Records to test with.

use std::{collections::BTreeMap, time::Duration};

use willcall_core::{
    AccountId, JobId, JobRef, Timestamp,
    format::{Compression, Format, OutputFormat},
    job::{
        BATCH_IDLE, BatchCounts, DailyLimits, JOB_SCHEMA, Job, JobKind, JobRequest, JobState, Problem,
        ProblemType, Progress, ResultSummary, StoredRequest, Transition, UNSENT_DUE, UPLOAD_DUE, Upload,
        UploadFile, UploadedFile,
        kinds::{QueryWork, Work},
    },
};

/// A moment to begin at.
pub const START: Timestamp = Timestamp::from_millis(1_780_000_000_000);

/// The account of that name.
///
/// # Panics
/// Where it is no name of an account.
pub fn account(name: &str) -> AccountId {
    name.parse().unwrap_or_else(|_| panic!("{name:?} is not an account"))
}

/// A new reference of that account to a job that nobody has.
pub fn reference(name: &str) -> JobRef {
    JobRef { account: account(name), job: JobId::generate() }
}

/// A new job of that account, accepted at [`START`].
pub fn job(name: &str) -> Job {
    job_at(name, START)
}

/// A new job of that account, accepted at `created`.
pub fn job_at(name: &str, created: Timestamp) -> Job {
    let request = JobRequest {
        original: serde_json::json!({ "kind": "query", "dataset": "flights" }).into(),
        work: Work::Query(Box::new(work())),
    };
    Job {
        schema: JOB_SCHEMA,
        version: 1,
        id: JobId::generate(),
        account: account(name),
        plan: "free".into(),
        kind: JobKind::Query,
        name: None,
        labels: BTreeMap::new(),
        dataset: Some("flights".into()),
        view: None,
        format: Format::Jsonl,
        compression: Compression::None,
        request: StoredRequest::Inline(Box::new(request)),
        catalog: "0".repeat(64),
        public_url: "http://127.0.0.1:8787".into(),
        retention_days: 7,
        state: JobState::Accepted,
        created,
        started: None,
        finished: None,
        expires: None,
        progress: Progress::queued(),
        result: None,
        error: None,
        attempt: 0,
        failures: 0,
        lost: 0,
        leased_until: None,
        due_at: Some(created.plus(UNSENT_DUE)),
        resends: 0,
        notify: Vec::new(),
        events: 0,
        daily: DailyLimits::default(),
        dry_run: None,
        container: None,
        batches: None,
        upload: None,
        max_records: None,
        fed: None,
        followed: Vec::new(),
        zip: None,
    }
}

/// A new container of that account, opened at `created`.
pub fn container_at(name: &str, created: Timestamp) -> Job {
    Job {
        kind: JobKind::Append,
        state: JobState::Open,
        due_at: Some(created.plus(BATCH_IDLE)),
        batches: Some(BatchCounts::default()),
        ..job_at(name, created)
    }
}

/// A new batch of the container with one file, which has not arrived, added at `created`.
pub fn batch_at(container: &Job, created: Timestamp) -> Job {
    let file =
        UploadFile { name: "rows.csv".into(), media_type: "text/csv".into(), bytes: 100, arrived: None };
    Job {
        id: JobId::generate(),
        version: 1,
        name: None,
        created,
        events: 0,
        due_at: Some(created.plus(UPLOAD_DUE)),
        container: Some(container.id),
        batches: None,
        followed: Vec::new(),
        upload: Some(Upload { files: vec![file], first_item: None }),
        ..container.clone()
    }
}

/// The arrival of the first file of a batch at `at`.
pub fn uploaded(at: Timestamp) -> Transition {
    let arrived = UploadedFile { etag: "abc".into(), bytes: 100, at };
    Transition::Uploaded { file: 0, arrived }
}

/// Work that asks for all of `flights`.
pub fn work() -> QueryWork {
    QueryWork {
        dataset: "flights".into(),
        filter: None,
        fields: vec!["carrier".into(), "flight".into()],
        sort: Vec::new(),
        limit: None,
        offset: 0,
        max_records: 1000,
        output: OutputFormat::plain(Format::Jsonl),
        page_size: 1000,
    }
}

/// A claim with a lease of 30 s.
pub fn claim() -> Transition {
    Transition::Claim { lease: Duration::from_secs(30), max_lost: 3 }
}

/// The end of that attempt with ten records.
pub fn complete(attempt: u32) -> Transition {
    let result = ResultSummary {
        attempt,
        records: 10,
        bytes: 100,
        files: 1,
        pages: Some(1),
        sha256: "0".repeat(64),
        truncated: None,
    };
    Transition::Complete {
        attempt,
        result: Box::new(result),
        records_found: Some(10),
        records_requested: Some(10),
        counts: None,
        survey: None,
        day: None,
    }
}

/// A problem of the engine.
pub fn problem() -> Problem {
    Problem::new(ProblemType::EngineFailed, "the file cannot be read")
}
