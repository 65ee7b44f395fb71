//! Batches, and what became of rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use willcall_core::{
    FieldError,
    job::{BatchCounts, Counts, UploadFile},
    ports::SignedUpload,
    usecases::batches::{BatchDraft, BatchView, FileDraft},
};

use super::{
    job::{self, ResultResource, written},
    members::Members,
};
use crate::problem::{Failure, ProblemDocument};

/// How many batches of a job are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BatchCounts)]
pub struct BatchCountsResource {
    /// Batches whose files have not all arrived.
    pub waiting_for_upload: u32,
    /// Batches that wait for a worker.
    pub queued: u32,
    /// Batches that a worker has.
    pub in_progress: u32,
    /// Batches whose result is there.
    pub completed: u32,
    /// Batches that failed.
    pub failed: u32,
    /// Batches that failed because their files are not what they should be.
    pub malformed: u32,
    /// Batches that were given up.
    pub cancelled: u32,
    /// Whether no more batches may come.
    pub closed: bool,
}

impl From<BatchCounts> for BatchCountsResource {
    fn from(counts: BatchCounts) -> Self {
        Self {
            waiting_for_upload: counts.waiting_for_upload,
            queued: counts.queued,
            in_progress: counts.in_progress,
            completed: counts.completed,
            failed: counts.failed,
            malformed: counts.malformed,
            cancelled: counts.cancelled,
            closed: counts.closed,
        }
    }
}

/// What became of rows: of an `append` job the first five, of a `call` job the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Counts)]
#[serde(default)]
pub struct CountsResource {
    /// Rows that were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Rows with one record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<u64>,
    /// Rows without a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmatched: Option<u64>,
    /// Rows with several records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ambiguous: Option<u64>,
    /// Rows or items that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malformed: Option<u64>,
    /// Items; absent until they have been read to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Items that are not done yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
    /// Items that the upstream took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<u64>,
    /// Items that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// Items that were sent and whose answer is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<u64>,
}

impl From<Counts> for CountsResource {
    fn from(counts: Counts) -> Self {
        match counts {
            Counts::Append { rows, matched, unmatched, ambiguous, malformed } => Self {
                rows: Some(rows),
                matched: Some(matched),
                unmatched: Some(unmatched),
                ambiguous: Some(ambiguous),
                malformed: Some(malformed),
                ..Self::default()
            },
            Counts::Call { total, pending, succeeded, failed, unknown, malformed } => Self {
                total,
                pending: Some(pending),
                succeeded: Some(succeeded),
                failed: Some(failed),
                unknown: Some(unknown),
                malformed: Some(malformed),
                ..Self::default()
            },
        }
    }
}

/// A batch, as its owner sees it at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Batch)]
pub struct BatchResource {
    /// Names the batch.
    #[schema(format = "uuid")]
    pub batch_id: String,
    /// The job that it belongs to.
    #[schema(format = "uuid")]
    pub job_id: String,
    /// Where the batch is to be had.
    #[schema(format = "uri")]
    pub link: String,
    /// What the client calls it.
    #[schema(required)]
    pub name: Option<String>,
    /// Where it is: `waiting_for_upload`, `queued`, `in_progress`, then `completed`, `failed`, `malformed` or `cancelled`.
    #[schema(
        pattern = "^(waiting_for_upload|queued|in_progress|completed|failed|malformed|cancelled)$",
        example = "waiting_for_upload"
    )]
    pub state: String,
    /// Its files, in the order in which their rows are taken.
    pub files: Vec<FileResource>,
    /// What became of its rows so far.
    #[schema(required)]
    pub counts: Option<CountsResource>,
    /// The part that is done.
    #[schema(minimum = 0, maximum = 100)]
    pub percent: f64,
    /// When it was added.
    #[schema(format = "date-time")]
    pub created: String,
    /// When work on it began.
    #[schema(required, format = "date-time")]
    pub started: Option<String>,
    /// When it ended.
    #[schema(required, format = "date-time")]
    pub finished: Option<String>,
    /// What it delivered; null until it has completed.
    #[schema(required)]
    pub result: Option<ResultResource>,
    /// A link to its result's file that needs no token; made anew at each read.
    #[schema(required, format = "uri")]
    pub download_link: Option<String>,
    /// When that link stops to work.
    #[schema(required, format = "date-time")]
    pub download_link_expires: Option<String>,
    /// How often work on it was begun.
    pub attempts: u32,
    /// Why it failed.
    #[schema(required)]
    pub error: Option<ProblemDocument>,
}

/// A file of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BatchFile)]
pub struct FileResource {
    /// What the client calls it.
    pub name: String,
    /// The media type that it is said to have.
    pub media_type: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// `waiting` until it has arrived, then `arrived`.
    #[schema(pattern = "^(waiting|arrived)$")]
    pub state: String,
    /// The ETag of what arrived.
    #[schema(required)]
    pub etag: Option<String>,
    /// Where to upload it; null once it has arrived or when it is not wanted any more.
    #[schema(required)]
    pub upload: Option<UploadLink>,
}

/// Where to upload a file, by one PUT of exactly its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadLink {
    /// The method.
    #[schema(example = "PUT")]
    pub method: String,
    /// The link. It needs no token.
    #[schema(format = "uri")]
    pub url: String,
    /// The headers that the request must have beside `Content-Length`.
    pub headers: BTreeMap<String, String>,
    /// When the link stops to work; another is in the batch whenever it is read.
    #[schema(format = "date-time")]
    pub expires: String,
}

/// A part of a job's batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchList {
    /// The batches, oldest first.
    pub batches: Vec<BatchResource>,
    /// What to give as `cursor` to go on; null at the end.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// The path of a batch.
fn path(view: &BatchView) -> String {
    let container = view.batch.container.map(|job| job.to_string()).unwrap_or_default();
    format!("{}/batches/{}", job::path(container), view.batch.id)
}

/// The whole link of a batch.
pub(crate) fn link(view: &BatchView) -> String {
    format!("{}{}", view.batch.public_url, path(view))
}

impl BatchResource {
    /// The resource of a view.
    pub(crate) fn of(view: &BatchView) -> Self {
        let batch = &view.batch;
        let files = batch.upload.iter().flat_map(|upload| &upload.files);
        let files = files.zip(&view.uploads).map(|(file, upload)| FileResource::of(file, upload.as_ref()));
        Self {
            batch_id: batch.id.to_string(),
            job_id: batch.container.map(|job| job.to_string()).unwrap_or_default(),
            link: link(view),
            name: batch.name.clone(),
            state: batch.phase().as_str().to_owned(),
            files: files.collect(),
            counts: batch.progress.counts.map(CountsResource::from),
            percent: batch.progress.percent,
            created: written(batch.created),
            started: batch.started.map(written),
            finished: batch.finished.map(written),
            result: batch.result.as_ref().map(ResultResource::of),
            download_link: view.download.as_ref().map(|link| link.url.clone()),
            download_link_expires: view.download.as_ref().map(|link| written(link.expires)),
            attempts: batch.attempt,
            error: batch
                .error
                .as_ref()
                .map(|problem| ProblemDocument::of_job(&batch.public_url, problem, path(view))),
        }
    }
}

impl FileResource {
    fn of(file: &UploadFile, upload: Option<&SignedUpload>) -> Self {
        Self {
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            bytes: file.bytes,
            state: if file.arrived.is_some() { "arrived" } else { "waiting" }.to_owned(),
            etag: file.arrived.as_ref().map(|arrived| arrived.etag.clone()),
            upload: upload.map(|upload| UploadLink {
                method: "PUT".into(),
                url: upload.url.clone(),
                headers: upload.headers.iter().cloned().collect(),
                expires: written(upload.expires),
            }),
        }
    }
}

const MEMBERS: [&str; 3] = ["name", "files", "first_item"];
const FILE_MEMBERS: [&str; 3] = ["name", "media_type", "bytes"];

/// Reads a batch that is to be added.
pub(crate) fn read(body: Map<String, Value>) -> Result<BatchDraft, Failure> {
    let mut errors: Vec<FieldError> = Vec::new();
    let mut members = Members::new(body, &mut errors);
    let name = members.text("name");
    if !members.has("files") {
        members.wrong("files", "is missing: name the files that you will upload");
    }
    let files = members.objects("files", |mut file| {
        for needed in ["name", "bytes"] {
            if !file.has(needed) {
                file.wrong(needed, "is missing");
            }
        }
        let draft = FileDraft {
            name: file.text("name").unwrap_or_default(),
            media_type: file.text("media_type"),
            bytes: file.whole("bytes").unwrap_or_default(),
        };
        file.finish(&FILE_MEMBERS);
        draft
    });
    let first_item = members.whole("first_item");
    members.finish(&MEMBERS);
    if !errors.is_empty() {
        return Err(Failure::invalid(errors));
    }
    Ok(BatchDraft { name, files: files.unwrap_or_default(), first_item })
}
