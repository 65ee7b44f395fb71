//! Collecting what a job delivered.

use bytes::Bytes;

use super::{
    App, JobView,
    view::{find, unless_gone, view},
};
use crate::{
    Error, JobId,
    account::{Caller, Scope},
    job::{Job, JobState, Manifest, ResultSummary, kinds::Work, pages},
    ports::{BlobHead, BlobKey, BlobStream, SignedLink},
};

/// Where the result file is to be had, and what it is.
#[derive(Debug, Clone)]
pub struct Download {
    /// The job.
    pub view: JobView,
    /// A link that was signed just now.
    pub link: SignedLink,
    /// What the result is.
    pub result: ResultSummary,
    /// The file as the blob store has it.
    pub head: BlobHead,
}

/// The result itself, or where to go for it.
pub enum ResultBody {
    /// The stored bytes.
    Inline {
        /// The job.
        view: Box<JobView>,
        /// What the result is.
        result: ResultSummary,
        /// The bytes in order.
        stream: BlobStream,
    },
    /// More than this host answers inline.
    Elsewhere(Box<Download>),
}

/// One page of a result, a document of its own.
#[derive(Debug, Clone)]
pub struct PageBody {
    /// The job.
    pub view: JobView,
    /// The page, not compressed.
    pub bytes: Bytes,
    /// Its media type.
    pub media_type: &'static str,
    /// Its number, from 0.
    pub number: u64,
    /// How many pages there are.
    pub pages: u64,
}

/// Page `number` of the result, at the cost of two ranged reads wherever it lies.
pub async fn page(app: &App, caller: &Caller, id: JobId, number: u64) -> Result<PageBody, Error> {
    match page_now(app, caller, id, number).await {
        Err(error) => Err(unless_gone(app, &caller.job(id), error).await),
        found => found,
    }
}

async fn page_now(app: &App, caller: &Caller, id: JobId, number: u64) -> Result<PageBody, Error> {
    let (job, result) = with_file(app, caller, id).await?;
    let pages = result.pages.ok_or(Error::NoPages(job.format))?;
    if number >= pages {
        return Err(Error::NoSuchPage { page: number, pages });
    }
    let view = view(app, job).await?;
    let index = BlobKey::PageIndex { job: view.job.reference(), attempt: result.attempt };
    let entry = app.blobs.read(&index, pages::index_range(number)).await?;
    let range = pages::page_range(&entry).filter(|range| range.end <= result.bytes);
    let range = range.ok_or_else(|| Error::Internal(format!("page {number} has a broken entry").into()))?;
    let stored = app.blobs.read(&file_key(&view, &result), range).await?;
    let fields = match &view.request.work {
        Work::Query(query) => query.fields.clone(),
        // Their columns are known to the rows alone.
        Work::Append(_) | Work::Call(_) => {
            let manifest = read_manifest(app, &view.job, &result).await?;
            manifest.schema.into_iter().map(|column| column.name).collect()
        }
    };
    let document = pages::page_document(view.output(), &fields, &stored)
        .map_err(|error| Error::Internal(Box::new(error)))?;
    let media_type = view.job.format.media_type();
    Ok(PageBody { view, bytes: document.into(), media_type, number, pages })
}

/// The manifest's own bytes.
pub async fn manifest(app: &App, caller: &Caller, id: JobId) -> Result<Manifest, Error> {
    match manifest_now(app, caller, id).await {
        Err(error) => Err(unless_gone(app, &caller.job(id), error).await),
        found => found,
    }
}

async fn manifest_now(app: &App, caller: &Caller, id: JobId) -> Result<Manifest, Error> {
    let (job, result) = completed(app, caller, id).await?;
    read_manifest(app, &job, &result).await
}

pub(super) async fn read_manifest(app: &App, job: &Job, result: &ResultSummary) -> Result<Manifest, Error> {
    let bytes = manifest_bytes(app, job, result).await?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Internal(Box::new(error)))
}

/// The manifest as it was committed.
pub(super) async fn manifest_bytes(app: &App, job: &Job, result: &ResultSummary) -> Result<Bytes, Error> {
    let key = BlobKey::Manifest { job: job.reference(), attempt: result.attempt };
    let head = app.blobs.head(&key).await?.ok_or_else(|| gone(job, "manifest"))?;
    Ok(app.blobs.read(&key, 0..head.size).await?)
}

/// A fresh link to the result file.
pub async fn download(app: &App, caller: &Caller, id: JobId) -> Result<Download, Error> {
    match download_now(app, caller, id).await {
        Err(error) => Err(unless_gone(app, &caller.job(id), error).await),
        found => found,
    }
}

async fn download_now(app: &App, caller: &Caller, id: JobId) -> Result<Download, Error> {
    let (job, result) = with_file(app, caller, id).await?;
    download_of(app, job, result).await
}

async fn download_of(app: &App, job: Job, result: ResultSummary) -> Result<Download, Error> {
    let view = view(app, job).await?;
    let head = app.blobs.head(&file_key(&view, &result)).await?.ok_or_else(|| gone(&view.job, "result"))?;
    let link = view.download.clone().ok_or_else(|| gone(&view.job, "link"))?;
    Ok(Download { view, link, result, head })
}

/// The result inline, or where to go for it when it is more than this host answers.
pub async fn result(app: &App, caller: &Caller, id: JobId) -> Result<ResultBody, Error> {
    match result_now(app, caller, id).await {
        Err(error) => Err(unless_gone(app, &caller.job(id), error).await),
        found => found,
    }
}

async fn result_now(app: &App, caller: &Caller, id: JobId) -> Result<ResultBody, Error> {
    let (job, result) = with_file(app, caller, id).await?;
    if app.settings.inline_limit.is_some_and(|limit| result.bytes > limit) {
        return Ok(ResultBody::Elsewhere(Box::new(download_of(app, job, result).await?)));
    }
    let view = view(app, job).await?;
    let stream = app.blobs.stream(&file_key(&view, &result), None).await?;
    Ok(ResultBody::Inline { view: Box::new(view), result, stream })
}

/// The same of a job that has one file: what a container has, its batches have.
async fn with_file(app: &App, caller: &Caller, id: JobId) -> Result<(Job, ResultSummary), Error> {
    let (job, result) = completed(app, caller, id).await?;
    if job.batches.is_some() {
        let detail =
            "the job was fed by batches, and each has a file of its own: see its batches or its manifest";
        return Err(Error::Conflict(detail.into()));
    }
    Ok((job, result))
}

/// The job, if it has a result that can be collected.
pub(super) async fn completed(app: &App, caller: &Caller, id: JobId) -> Result<(Job, ResultSummary), Error> {
    caller.require(Scope::Read)?;
    let job = find(app, &caller.job(id)).await?;
    match (job.state, job.result.clone()) {
        (JobState::Completed, Some(result)) => Ok((job, result)),
        (JobState::Completed, None) => Err(gone(&job, "result")),
        (JobState::Expired, _) => Err(Error::Expired),
        (state, _) => Err(Error::NotReady(state)),
    }
}

pub(super) fn file_key(view: &JobView, result: &ResultSummary) -> BlobKey {
    let file = Job::result_file(view.output());
    BlobKey::Result { job: view.job.reference(), attempt: result.attempt, file }
}

/// What was committed is not there: damage, which the operator must hear of.
pub(super) fn gone(job: &Job, what: &str) -> Error {
    Error::Internal(format!("the {what} of completed job {} is not there", job.id).into())
}
