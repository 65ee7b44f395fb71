//! A job as its owner sees it at one moment.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{App, followed::follow};
use crate::{
    Error, JobRef, Timestamp, file_name,
    format::OutputFormat,
    job::{Job, JobRequest, JobState, RECORD_KEPT, StoredRequest},
    ports::{BlobKey, SignGet, SignedLink},
};

/// How long a download link works.
pub const LINK_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How often a completed job's `ETag` changes, so that a client that polls by it never holds a dead link.
const ETAG_PERIOD: i64 = 5 * 60 * 1000;

/// A job as its owner sees it: with its request, its place in the queue and a fresh link.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The job, expired where the clock says so.
    pub job: Job,
    /// Its request.
    pub request: JobRequest,
    /// How many jobs a worker takes before it; `None` where not known or not waiting.
    pub queue_position: Option<u64>,
    /// A link to its result, once completed.
    pub download: Option<SignedLink>,
    /// The moment of the view.
    pub now: Timestamp,
    /// Whether the job was there before the submission that is answered with it.
    pub reused: bool,
}

impl JobView {
    /// Changes when anything in the view does but the link and the running duration; for a completed job every
    /// five minutes besides.
    pub fn etag(&self) -> String {
        let period = match self.job.state {
            JobState::Completed => self.now.as_millis().div_euclid(ETAG_PERIOD),
            _ => 0,
        };
        // How far its batches at work are is in their records and not in its own, whose version stays.
        let batches = self.job.batches.map(|_| &self.job.progress);
        let text = format!(
            "{}:{}:{}:{:?}:{period}:{batches:?}",
            self.job.id, self.job.version, self.job.state, self.queue_position
        );
        hex::encode(&Sha256::digest(text.as_bytes())[..12])
    }

    /// How long the job has been running, or ran, or waited where it never ran.
    pub fn duration(&self) -> Duration {
        let from = self.job.started.unwrap_or(self.job.created);
        self.job.finished.unwrap_or(self.now).since(from)
    }

    /// How the result is written.
    pub fn output(&self) -> &OutputFormat {
        self.request.work.output()
    }
}

impl Job {
    /// The job as the clock has it: expired once `expires` is past, gone once its record is. Stores are swept later
    /// than the clock turns, and readers must not see the difference.
    pub fn seen_at(mut self, now: Timestamp) -> Option<Self> {
        if let Some(expires) = self.expires {
            if self.state.is_terminal() && now >= expires.plus(RECORD_KEPT) {
                return None;
            }
            if self.state == JobState::Completed && now >= expires {
                self.state = JobState::Expired;
            }
        }
        Some(self)
    }

    /// The name of the result's file within its attempt.
    pub fn result_file(output: &OutputFormat) -> String {
        format!("result{}", output.file_suffix())
    }
}

/// The job of that reference, as the clock has it. A batch is no job to those who ask for jobs.
pub(super) async fn find(app: &App, job: &JobRef) -> Result<Job, Error> {
    let found = app.jobs.get(job).await?.filter(|job| job.container.is_none());
    found.and_then(|job| job.seen_at(app.clock.now())).ok_or(Error::NotFound("job"))
}

/// The error, or that there is no such job where it has gone since it was read: what it had is not missing then.
pub(super) async fn unless_gone(app: &App, job: &JobRef, error: Error) -> Error {
    match app.jobs.get(job).await {
        Ok(None) => Error::NotFound("job"),
        Ok(Some(_)) | Err(_) => error,
    }
}

/// The job's request, from wherever it is kept.
pub(super) async fn request_of(app: &App, job: &Job) -> Result<JobRequest, Error> {
    let sha256 = match &job.request {
        StoredRequest::Inline(request) => return Ok((**request).clone()),
        StoredRequest::Blob { sha256 } => sha256,
    };
    let key = BlobKey::Request(job.origin());
    let head = app.blobs.head(&key).await?.ok_or_else(|| {
        Error::Internal(format!("the request of job {} is not in the blob store", job.id).into())
    })?;
    let bytes = app.blobs.read(&key, 0..head.size).await?;
    if hex::encode(Sha256::digest(&bytes)) != *sha256 {
        return Err(Error::Internal(format!("the request of job {} was changed", job.id).into()));
    }
    serde_json::from_slice(&bytes).map_err(|error| Error::Internal(Box::new(error)))
}

/// The view of a job that was just read.
pub(super) async fn view(app: &App, mut job: Job) -> Result<JobView, Error> {
    let now = app.clock.now();
    // The host may have another address now than at the insert, and links must work now.
    job.public_url.clone_from(&app.settings.public_url);
    follow(app, &mut job).await?;
    let request = request_of(app, &job).await?;
    let queue_position = match job.state {
        JobState::Accepted => app.jobs.queue_position(&job.reference()).await?,
        _ => None,
    };
    let mut view = JobView { job, request, queue_position, download: None, now, reused: false };
    if view.job.state == JobState::Completed && view.job.batches.is_none() {
        view.download = Some(sign(app, &view).await?);
    }
    Ok(view)
}

async fn sign(app: &App, view: &JobView) -> Result<SignedLink, Error> {
    let output = view.output();
    let attempt = view.job.result.as_ref().map_or(view.job.attempt, |result| result.attempt);
    let key = BlobKey::Result { job: view.job.reference(), attempt, file: Job::result_file(output) };
    let left = view.job.expires.map_or(LINK_LIFETIME, |expires| expires.since(view.now));
    let sign = SignGet {
        base_url: view.job.public_url.clone(),
        file_name: file_name(&view.job, output),
        media_type: output.media_type().to_owned(),
        now: view.now,
        lifetime: LINK_LIFETIME.min(left),
    };
    Ok(app.blobs.sign_get(&key, &sign).await?)
}

/// The name under which a client saves the result: the job's own name where it has one, else data set and id, as
/// [`file_name::stem`] makes it safe on every system.
pub fn file_name(job: &Job, output: &OutputFormat) -> String {
    format!("{}{}", stem_of(job), output.file_suffix())
}

/// The same name without what tells the format.
pub(super) fn stem_of(job: &Job) -> String {
    let wanted = job.name.clone().unwrap_or_else(|| {
        let id = job.id.to_string();
        format!("{}-{}", job.dataset.as_deref().unwrap_or("result"), &id[id.len() - 12..])
    });
    file_name::stem(&wanted)
}
