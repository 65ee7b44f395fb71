//! Submitting a job: validate, store, send.

mod validate;

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{App, JobView, QueryDraft, limits::MAX_INLINE_REQUEST, view::view, webhooks::addresses};
use crate::{
    Error, JobId,
    account::{Caller, Scope},
    job::{
        JOB_SCHEMA, Job, JobKind, JobRequest, JobState, Progress, StoredRequest, Transition, UNSENT_DUE,
        kinds::{QueryWork, Work},
    },
    ports::{BlobKey, BlobPrefix, InsertError},
};

pub(super) use validate::{check_labels, check_name};

/// Checks the query against the catalog, stores a job for it and wakes a worker. `original` is the request in the
/// client's own words, to be shown back. Once this has answered, the job ends, whatever breaks.
pub async fn submit(
    app: &App,
    caller: &Caller,
    draft: QueryDraft,
    original: Value,
) -> Result<JobView, Error> {
    caller.require(Scope::Submit)?;
    let catalog = app.catalog.catalog().await?;
    let (work, notify) =
        all_of(validate::validate(&catalog, &caller.plan, &draft), addresses(&app.notifier, &draft))?;
    let job = Job { notify, ..new_job(app, caller, &draft, &work, catalog.hash.clone()) };
    let request = JobRequest { original, work: Work::Query(Box::new(work)) };
    let job = store_request(app, job, request).await?;

    let inserted = app.jobs.insert(&job, caller.plan.max_open_jobs).await;
    // After a failure of the store itself the job may be there, and needs its request.
    if matches!(inserted, Err(InsertError::TooManyOpenJobs | InsertError::Exists)) {
        app.blobs.delete_prefix(&BlobPrefix::Request(job.reference())).await?;
    }
    inserted.map_err(|error| match error {
        InsertError::TooManyOpenJobs => Error::QuotaExceeded {
            limit: "max_open_jobs",
            value: u64::from(caller.plan.max_open_jobs),
            retry_after: Duration::from_secs(5),
        },
        InsertError::Exists => Error::Internal(Box::new(error)),
        InsertError::Store(error) => error.into(),
    })?;
    tracing::info!(job.id = %job.id, account = %job.account, dataset = job.dataset, "accepted job");
    let job = send(app, job).await;
    view(app, job).await
}

/// Both, or everything that is wrong with either.
fn all_of<A, B>(a: Result<A, Error>, b: Result<B, Error>) -> Result<(A, B), Error> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(Error::Invalid(mut errors)), Err(Error::Invalid(more))) => {
            errors.extend(more);
            Err(Error::Invalid(errors))
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Sends the job's message. A message that could not be sent is no error to the client: the job is stored, and the
/// sweeper sends it again.
async fn send(app: &App, job: Job) -> Job {
    let reference = job.reference();
    if let Err(error) = app.queue.send(&reference, Duration::ZERO).await {
        tracing::warn!(job.id = %job.id, error = %error, "failed to send job message, the sweeper will");
        return job;
    }
    // A worker may have claimed the job by now, and then nothing is to be noted.
    match app.jobs.transition(&reference, &Transition::Sent, app.clock.now()).await {
        Ok(job) => job,
        Err(_) => job,
    }
}

fn new_job(app: &App, caller: &Caller, draft: &QueryDraft, work: &QueryWork, catalog: String) -> Job {
    let now = app.clock.now();
    Job {
        schema: JOB_SCHEMA,
        version: 1,
        id: JobId::generate(),
        account: caller.account.id.clone(),
        plan: caller.plan.name.clone(),
        kind: JobKind::Query,
        name: draft.name.clone(),
        labels: draft.labels.clone(),
        dataset: Some(work.dataset.clone()),
        view: draft.view.clone(),
        format: work.output.format,
        compression: work.output.compression,
        request: StoredRequest::Blob { sha256: String::new() },
        catalog,
        public_url: app.settings.public_url.clone(),
        retention_days: caller.plan.retention_days,
        state: JobState::Accepted,
        created: now,
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
        due_at: Some(now.plus(UNSENT_DUE)),
        resends: 0,
        notify: Vec::new(),
        events: 0,
    }
}

/// Puts a small request into the record, and a large one into the blob store before the record exists.
async fn store_request(app: &App, mut job: Job, request: JobRequest) -> Result<Job, Error> {
    let bytes = serde_json::to_vec(&request).map_err(|error| Error::Internal(Box::new(error)))?;
    job.request = if bytes.len() <= MAX_INLINE_REQUEST {
        StoredRequest::Inline(Box::new(request))
    } else {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let key = BlobKey::Request(job.reference());
        app.blobs.put(&key, "application/json", Bytes::from(bytes)).await?;
        StoredRequest::Blob { sha256 }
    };
    Ok(job)
}
