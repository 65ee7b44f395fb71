//! The job resource.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use willcall_core::{Timestamp, job::ResultSummary, json::Json, time::iso8601, usecases::JobView};

use super::{
    batch::{BatchCountsResource, CountsResource},
    estimate::EstimateResource,
};
use crate::problem::ProblemDocument;

/// A job, as its owner sees it at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Job)]
pub struct JobResource {
    /// Names the job.
    #[schema(format = "uuid", example = "0192f6a0-7c1e-7b3a-9f00-3d1c5a8e2b41")]
    pub job_id: String,
    /// Where the job is to be had.
    #[schema(format = "uri")]
    pub link: String,
    /// What kind of work it does.
    #[schema(example = "query")]
    pub kind: String,
    /// What the client calls it.
    #[schema(required)]
    pub name: Option<String>,
    /// The client's own marks.
    pub labels: BTreeMap<String, String>,
    /// The account that owns it.
    pub account: String,
    /// The plan that it was submitted under.
    pub plan: String,
    /// The data set that it reads.
    #[schema(required)]
    pub dataset: Option<String>,
    /// The view through which it was asked for.
    #[schema(required)]
    pub view: Option<String>,
    /// The request in the client's own words; conditions on columns are listed under `conditions`.
    #[schema(value_type = Object)]
    pub request: Json,
    /// Where it is in its life: `open` while it takes batches, or `accepted`; `processing`; then `completed`, `failed` or
    /// `cancelled`; `completed` becomes `expired`.
    #[schema(
        pattern = "^(open|accepted|processing|completed|failed|cancelled|expired)$",
        example = "completed"
    )]
    pub state: String,
    /// The format of the result.
    pub format: String,
    /// The compression of the result's file.
    pub compression: String,
    /// When it was accepted.
    #[schema(format = "date-time")]
    pub created: String,
    /// When work on it began.
    #[schema(required, format = "date-time")]
    pub started: Option<String>,
    /// When it ended.
    #[schema(required, format = "date-time")]
    pub finished: Option<String>,
    /// When the result goes; the record stays 30 days longer.
    #[schema(required, format = "date-time")]
    pub expires: Option<String>,
    /// From `started` (or `created`) to `finished` or now (ISO 8601).
    // Not the format `duration`: that is RFC 3339's, which has no fractions of a second.
    #[schema(pattern = r"^PT([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]{3})?S)?$", example = "PT1.532S")]
    pub duration: String,
    /// How far it is.
    pub progress: ProgressResource,
    /// What it delivered; null until it has completed.
    #[schema(required)]
    pub result: Option<ResultResource>,
    /// A link to the result's file that needs no token; made anew at each read.
    #[schema(required, format = "uri")]
    pub download_link: Option<String>,
    /// When that link stops to work.
    #[schema(required, format = "date-time")]
    pub download_link_expires: Option<String>,
    /// How many of its batches are where; null for a job without batches.
    #[schema(required)]
    pub batches: Option<BatchCountsResource>,
    /// How often work on it was begun.
    pub attempts: u32,
    /// Why it failed.
    #[schema(required)]
    pub error: Option<ProblemDocument>,
    /// In the answer to a submission: true where the job was there before and serves in place of a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reused: Option<bool>,
    /// Of a job that only estimates: what it found out, null until it has completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<EstimateResource>)]
    pub estimate: Option<Option<EstimateResource>>,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Progress)]
pub struct ProgressResource {
    /// What is being done: `queued`, `planning`, `reading`, `calling`, `sorting`, `writing`, `committing` or
    /// `done`. Of a job with batches what the one does that was begun first, `queued` where none is in progress.
    #[schema(example = "writing")]
    pub stage: String,
    /// All records that match, whatever the limit; null until known.
    #[schema(required)]
    pub records_found: Option<u64>,
    /// The limit, or all found less the offset; null until known.
    #[schema(required)]
    pub records_requested: Option<u64>,
    /// Records written so far.
    pub records_written: u64,
    /// Bytes written so far, as stored.
    pub bytes_written: u64,
    /// The part that is done; 100 only when the job has completed. Of a job with batches the part of those that were added
    /// so far, each counting alike.
    #[schema(minimum = 0, maximum = 100)]
    pub percent: f64,
    /// When it may be done, by its speed so far.
    #[schema(required, format = "date-time")]
    pub estimated_finish: Option<String>,
    /// How many jobs come before it; null where not waiting or not known.
    #[schema(required)]
    pub queue_position: Option<u64>,
    /// What became of the rows so far, where the job takes rows; of a job with batches, of those that have completed and of
    /// those in progress, up to 16 of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub counts: Option<CountsResource>,
}

/// What a completed job delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Result)]
pub struct ResultResource {
    /// Records.
    pub records: u64,
    /// Bytes, as stored.
    pub bytes: u64,
    /// Files.
    pub files: u32,
    /// Pages; null where the format has none.
    #[schema(required)]
    pub pages: Option<u64>,
    /// SHA-256 of the file in lower-case hexadecimal; null for a job with batches, whose files have one each.
    #[schema(required, pattern = "^[0-9a-f]{64}$")]
    pub sha256: Option<String>,
    /// What cut the result short, if anything did.
    #[schema(required)]
    pub truncated: Option<TruncationResource>,
}

/// Why a result has fewer records than were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Truncation)]
pub struct TruncationResource {
    /// What cut it.
    #[schema(pattern = "^(plan_limit|daily_limit)$", example = "plan_limit")]
    pub reason: String,
    /// At how many records.
    pub limit: u64,
}

/// A part of the account's jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobList {
    /// The jobs, newest first.
    pub jobs: Vec<JobResource>,
    /// What to give as `cursor` to go on; null at the end.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

pub(super) fn written(moment: Timestamp) -> String {
    moment.to_string()
}

/// The path of a job.
pub(crate) fn path(id: impl std::fmt::Display) -> String {
    format!("/v1/jobs/{id}")
}

/// The whole link of a job.
pub(crate) fn link(view: &JobView) -> String {
    format!("{}{}", view.job.public_url, path(view.job.id))
}

impl JobResource {
    /// The resource of a view.
    pub(crate) fn of(view: &JobView) -> Self {
        let job = &view.job;
        let progress = &job.progress;
        Self {
            job_id: job.id.to_string(),
            link: link(view),
            kind: job.kind.as_str().to_owned(),
            name: job.name.clone(),
            labels: job.labels.clone(),
            account: job.account.to_string(),
            plan: job.plan.clone(),
            dataset: job.dataset.clone(),
            view: job.view.clone(),
            request: view.request.original.clone(),
            state: job.state.as_str().to_owned(),
            format: job.format.as_str().to_owned(),
            compression: job.compression.as_str().to_owned(),
            created: written(job.created),
            started: job.started.map(written),
            finished: job.finished.map(written),
            expires: job.expires.map(written),
            duration: iso8601(view.duration()),
            progress: ProgressResource {
                stage: progress.stage.as_str().to_owned(),
                records_found: progress.records_found,
                records_requested: progress.records_requested,
                records_written: progress.records_written,
                bytes_written: progress.bytes_written,
                percent: progress.percent,
                estimated_finish: progress.estimated_finish.map(written),
                queue_position: view.queue_position,
                counts: progress.counts.map(CountsResource::from),
            },
            result: job.result.as_ref().map(ResultResource::of),
            download_link: view.download.as_ref().map(|link| link.url.clone()),
            download_link_expires: view.download.as_ref().map(|link| written(link.expires)),
            batches: job.batches.map(BatchCountsResource::from),
            attempts: job.attempt,
            reused: view.reused.then_some(true),
            estimate: job.dry_run.is_some().then(|| job.estimate().map(EstimateResource::from)),
            error: job
                .error
                .as_ref()
                .map(|problem| ProblemDocument::of_job(&job.public_url, problem, path(job.id))),
        }
    }
}

impl ResultResource {
    pub(super) fn of(result: &ResultSummary) -> Self {
        Self {
            records: result.records,
            bytes: result.bytes,
            files: result.files,
            pages: result.pages,
            sha256: Some(result.sha256.clone()).filter(|sha256| !sha256.is_empty()),
            truncated: result.truncated.as_ref().map(|truncated| TruncationResource {
                reason: truncated.reason.as_str().to_owned(),
                limit: truncated.limit,
            }),
        }
    }
}

/// When asking again makes sense: soon for a young job, ever later for an old one. `None` once it has ended.
pub(crate) fn retry_after(view: &JobView) -> Option<u64> {
    if view.job.state.is_terminal() {
        return None;
    }
    let age = view.now.since(view.job.created);
    Some(match age {
        age if age < Duration::from_secs(10) => 1,
        age if age < Duration::from_secs(60) => 2,
        age if age < Duration::from_secs(300) => 5,
        age if age < Duration::from_secs(1800) => 15,
        _ => 30,
    })
}
