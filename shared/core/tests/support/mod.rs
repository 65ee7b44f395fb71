//! Jobs to test with.

use willcall_core::{
    JobId, Timestamp,
    format::{Compression, Format, OutputFormat},
    job::{
        JOB_SCHEMA, Job, JobKind, JobRequest, JobState, Problem, ProblemType, Progress, ResultSummary,
        StoredRequest, UNSENT_DUE,
        kinds::{QueryWork, Work},
    },
};

/// When every test begins.
pub const T0: Timestamp = Timestamp::from_millis(1_750_000_000_000);

/// That many seconds after the beginning.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(T0.as_millis() + seconds * 1000)
}

/// A job that was just inserted.
pub fn job() -> Job {
    let work = QueryWork {
        dataset: "flights".into(),
        filter: None,
        fields: vec!["carrier".into()],
        sort: Vec::new(),
        limit: None,
        offset: 0,
        max_records: 1000,
        output: OutputFormat::plain(Format::Csv),
        page_size: 1000,
    };
    let request =
        JobRequest { original: serde_json::json!({"dataset": "flights"}), work: Work::Query(Box::new(work)) };
    Job {
        schema: JOB_SCHEMA,
        version: 1,
        id: JobId::generate(),
        account: "acme".parse().unwrap(),
        plan: "pro".into(),
        kind: JobKind::Query,
        name: None,
        labels: Default::default(),
        dataset: Some("flights".into()),
        view: None,
        format: Format::Csv,
        compression: Compression::None,
        request: StoredRequest::Inline(Box::new(request)),
        catalog: "c0ffee".into(),
        public_url: "http://localhost".into(),
        retention_days: 7,
        state: JobState::Accepted,
        created: T0,
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
        due_at: Some(T0.plus(UNSENT_DUE)),
        resends: 0,
    }
}

/// What an attempt delivered.
pub fn summary(attempt: u32) -> ResultSummary {
    ResultSummary {
        attempt,
        records: 5,
        bytes: 100,
        files: 1,
        pages: Some(1),
        sha256: "00".repeat(32),
        truncated: None,
    }
}

/// Something that went wrong.
pub fn problem() -> Problem {
    Problem::new(ProblemType::EngineFailed, "it broke")
}
