//! Submitting a job: validate, store, send.

mod output;
mod rows;
mod statement;
mod validate;

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tracing::Instrument;

use super::{
    App, Draft, JobView,
    idempotency::{self, Keyed},
    limits::MAX_INLINE_REQUEST,
    quota::{self, RateLimit},
    view::view,
    webhooks::{addresses, announce},
};
use crate::{
    Error, FieldError, JobId,
    account::{Caller, Plan, Scope},
    catalog::Catalog,
    idempotency::NewKey,
    job::{
        BATCH_IDLE, BatchCounts, DailyLimits, DryRun, Identity, JOB_SCHEMA, Job, JobKind, JobRequest,
        JobState, Progress, Reuse, StoredRequest, Transition, UNSENT_DUE, kinds::Work,
    },
    json::Json,
    ports::{BlobKey, BlobPrefix, InsertError, NewJob, Submitted},
    telemetry::{self, step},
    webhook::NotifyAddress,
};

pub use rows::{ERROR_COLUMN, MATCH_COLUMN};
pub(super) use validate::{check_labels, check_name};

/// When those who were refused for a moment only are asked to come again.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// Work to be submitted.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The work.
    pub draft: Draft,
    /// The request in the client's own words, to be shown back.
    pub original: Json,
    /// The key by which the request may be repeated.
    pub key: Option<Keyed>,
    /// Whether only to estimate.
    pub dry_run: bool,
}

impl Submission {
    /// Work without a key.
    pub fn new(draft: impl Into<Draft>, original: impl Into<Json>) -> Self {
        Self { draft: draft.into(), original: original.into(), key: None, dry_run: false }
    }
}

/// What a submission led to.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The job.
    pub view: JobView,
    /// Whether an earlier request with the same key led to it.
    pub replayed: bool,
    /// How far the limit of submits is used up, where there is one and this submit counted.
    pub rate: Option<RateLimit>,
}

/// Checks the work against the catalog, stores a job for it and wakes a worker. Once this has answered, the job ends,
/// whatever breaks. A submission that was made before with the same key makes nothing, and one that an identical job
/// may serve makes nothing either: both answer the job that there is.
pub async fn submit(app: &App, caller: &Caller, submission: Submission) -> Result<Receipt, Error> {
    caller.require(Scope::Submit)?;
    let Submission { draft, original, key, dry_run } = submission;
    let key = key.map(|key| key.of(&draft, dry_run)).transpose()?;
    // Before anything is judged: a repeated request is answered even where it would be refused today.
    if let Some(key) = &key
        && let Some(known) = idempotency::known(app, caller, key).await?
    {
        let view = idempotency::replay(app, caller, key, &known).await?;
        return Ok(Receipt { view, replayed: true, rate: None });
    }
    let new = prepare(app, caller, &draft, original, key, dry_run).await?;
    let outcome = app.jobs.submit(&new).instrument(step!("store", new.job.id)).await;
    // After a failure of the store itself the job may be there, and needs its request.
    let kept = matches!(outcome, Ok(Submitted::Inserted { .. }) | Err(InsertError::Store(_)));
    if !kept && matches!(new.job.request, StoredRequest::Blob { .. }) {
        app.blobs.delete_prefix(&BlobPrefix::Request(new.job.reference())).await?;
    }
    match outcome.map_err(|error| refused(caller, &new, error))? {
        Submitted::Inserted { submits } => {
            let job = new.job;
            tracing::info!(job.id = %job.id, account = %job.account, dataset = job.dataset, "accepted job");
            telemetry::submitted();
            let now = job.created;
            let rate = new.submits_per_minute.zip(submits);
            let rate = rate.map(|(most, used)| RateLimit::submits(most, used, now));
            let step = step!("send", job.id);
            // An open one waits for its batches.
            let job = if job.state == JobState::Open { job } else { send(app, job).instrument(step).await };
            Ok(Receipt { view: view(app, job).await?, replayed: false, rate })
        }
        Submitted::Known(known) => {
            let key = new.key.ok_or_else(|| Error::Internal("a key without a request".into()))?;
            let view = idempotency::replay(app, caller, &key, &known).await?;
            Ok(Receipt { view, replayed: true, rate: None })
        }
        Submitted::Joined(job) => {
            tracing::info!(job.id = %job.id, account = %job.account, "joined an identical job");
            if !new.job.notify.is_empty() {
                announce(&app.notifier, &job).await;
            }
            let mut view = view(app, *job).await?;
            view.reused = true;
            Ok(Receipt { view, replayed: false, rate: None })
        }
    }
}

/// The answer to a request that is repeated and whose path alone says what it asks for, should what it was made from be
/// gone meanwhile; `None` where nothing is known of its key.
pub async fn repeated(app: &App, caller: &Caller, key: &Keyed) -> Result<Option<Receipt>, Error> {
    caller.require(Scope::Submit)?;
    let key = key.asking(&())?;
    let Some(known) = idempotency::known(app, caller, &key).await? else { return Ok(None) };
    let view = idempotency::replay(app, caller, &key, &known).await?;
    Ok(Some(Receipt { view, replayed: true, rate: None }))
}

/// What is wrong with the work, beside what was seen when it was read: one that was not read whole is judged by what was, so that
/// every mistake is named at once. It tells nothing to those who may not submit, and makes nothing.
pub async fn mistakes(app: &App, caller: &Caller, draft: &Draft) -> Vec<FieldError> {
    if caller.require(Scope::Submit).is_err() {
        return Vec::new();
    }
    let Ok(catalog) = app.catalog.catalog().await else { return Vec::new() };
    match judge(app, &catalog, &caller.plan, draft) {
        Err(Error::Invalid(errors)) => errors,
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The work to be done and who is told of it, or everything that is wrong with either.
fn judge(
    app: &App,
    catalog: &Catalog,
    plan: &Plan,
    draft: &Draft,
) -> Result<(Work, Vec<NotifyAddress>), Error> {
    let addresses = addresses(&app.notifier, draft.about());
    match draft {
        Draft::Query(draft) => {
            let work = validate::validate(catalog, plan, draft);
            all_of(work.map(|work| Work::Query(Box::new(work))), addresses)
        }
        Draft::Sql(draft) => {
            let work = statement::validate(catalog, plan, draft);
            all_of(work.map(|work| Work::Sql(Box::new(work))), addresses)
        }
        Draft::Append(draft) => {
            let work = rows::append(catalog, plan, draft);
            all_of(work.map(|work| Work::Append(Box::new(work))), addresses)
        }
        Draft::Call(draft) => {
            let work = rows::call(catalog, plan, draft);
            all_of(work.map(|work| Work::Call(Box::new(work))), addresses)
        }
    }
}

/// Everything that the store takes, checked, with a large request where it is kept.
async fn prepare(
    app: &App,
    caller: &Caller,
    draft: &Draft,
    original: Json,
    key: Option<NewKey>,
    dry_run: bool,
) -> Result<NewJob, Error> {
    let catalog = app.catalog.catalog().await?;
    let plan = &caller.plan;
    let (work, notify) = judge(app, &catalog, plan, draft)?;
    quota::check_day(app, caller).await?;
    let facts_of = |name: &str| catalog.datasets.get(name).map(|dataset| &dataset.facts);
    let version = |name: &str| facts_of(name).map_or("", |facts| facts.version.as_str());
    let (mut estimated, mut identity, mut reused) = (None, None, None);
    let work = match (work, draft) {
        (Work::Query(work), _) if dry_run => {
            // A sample serves nobody who asks for the whole, and nothing else is an estimate.
            let (dry_run, sample) = DryRun::of(
                &work,
                facts_of(&work.dataset).map_or(0, |facts| facts.bytes),
                plan.prices.clone(),
            );
            estimated = Some(dry_run);
            Work::Query(Box::new(sample))
        }
        (Work::Sql(work), _) if dry_run => {
            let bytes = work.datasets.iter().filter_map(|name| facts_of(name)).map(|facts| facts.bytes).sum();
            let (dry_run, sample) = DryRun::of_statement(&work, bytes, plan.prices.clone());
            estimated = Some(dry_run);
            Work::Sql(Box::new(sample))
        }
        (_, Draft::Append(_) | Draft::Call(_)) if dry_run => {
            return Err(Error::invalid("dry_run", "is for jobs of kind query"));
        }
        (Work::Query(work), Draft::Query(draft)) => {
            let own = Identity::of(&caller.account.id, version(&work.dataset), &work);
            identity = Some(own.map_err(|error| Error::Internal(Box::new(error)))?);
            reused = reuse(draft.reuse, draft.max_age);
            Work::Query(work)
        }
        (Work::Sql(work), Draft::Sql(draft)) => {
            let versions: Vec<&str> = work.datasets.iter().map(|name| version(name)).collect();
            let own = Identity::of_statement(&caller.account.id, &versions, &work);
            identity = Some(own.map_err(|error| Error::Internal(Box::new(error)))?);
            reused = reuse(draft.reuse, draft.max_age);
            Work::Sql(work)
        }
        (work, _) => work,
    };
    let notify = if estimated.is_some() { Vec::new() } else { notify };
    let job = new_job(app, caller, draft, &work, catalog.hash.clone());
    let job = Job { notify, dry_run: estimated, ..job };
    Ok(NewJob {
        job: store_request(app, job, JobRequest { original, work }).await?,
        max_open_jobs: plan.max_open_jobs,
        submits_per_minute: plan.submits_per_minute,
        key,
        identity,
        reuse: reused,
    })
}

/// Whether an identical job may serve: where it is asked for, or an age is.
fn reuse(reuse: Option<bool>, max_age: Option<u64>) -> Option<Reuse> {
    let wanted = reuse.unwrap_or(max_age.is_some());
    wanted.then(|| Reuse { max_age: max_age.map(Duration::from_secs) })
}

fn refused(caller: &Caller, new: &NewJob, error: InsertError) -> Error {
    match error {
        InsertError::TooManyOpenJobs => Error::QuotaExceeded {
            limit: "max_open_jobs",
            value: u64::from(caller.plan.max_open_jobs),
            window: None,
            retry_after: Duration::from_secs(5),
        },
        InsertError::TooManySubmits => quota::too_many_submits(caller, new.job.created),
        InsertError::KeyInUse => Error::KeyInUse { retry_after: SOON },
        InsertError::Exists => Error::Internal(Box::new(error)),
        InsertError::Store(error) => error.into(),
    }
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

fn new_job(app: &App, caller: &Caller, draft: &Draft, work: &Work, catalog: String) -> Job {
    let now = app.clock.now();
    let about = draft.about();
    // Rows that did not come with the request come in batches.
    let fed = work.kind() != JobKind::Query && work.items().is_none();
    let (state, due) = if fed { (JobState::Open, BATCH_IDLE) } else { (JobState::Accepted, UNSENT_DUE) };
    Job {
        schema: JOB_SCHEMA,
        version: 1,
        id: JobId::generate(),
        account: caller.account.id.clone(),
        plan: caller.plan.name.clone(),
        kind: work.kind(),
        name: about.name.clone(),
        labels: about.labels.clone(),
        dataset: work.dataset().map(str::to_owned),
        view: draft.view().map(str::to_owned),
        format: work.output().format,
        compression: work.output().compression,
        request: StoredRequest::Blob { sha256: String::new() },
        catalog,
        public_url: app.settings.public_url.clone(),
        retention_days: caller.plan.retention_days,
        state,
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
        due_at: Some(now.plus(due)),
        resends: 0,
        // Items that were sent are told of, whatever the day has left then: the day's limits refuse a call, and cut none.
        daily: match work.kind() {
            JobKind::Call => DailyLimits::default(),
            JobKind::Query | JobKind::Append => caller.plan.daily(),
        },
        notify: Vec::new(),
        events: 0,
        dry_run: None,
        container: None,
        batches: fed.then(BatchCounts::default),
        upload: None,
        // Items that were sent are told of, so batches of calls know what they may deliver before they begin, and each by itself.
        max_records: (fed && work.kind() == JobKind::Append).then(|| work.max_records()),
        fed: None,
        followed: Vec::new(),
        zip: None,
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
