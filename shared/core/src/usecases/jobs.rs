//! Following jobs, and changing them.

use std::{collections::BTreeMap, time::Duration};

use super::{
    App, JobView, batches,
    limits::{MAX_LIST, MAX_LIST_BYTES},
    submit::{check_labels, check_name},
    view::{find, request_of, unless_gone, view},
    webhooks::{RACES, announce},
};
use crate::{
    Error, FieldError, JobId, JobRef, Timestamp,
    account::{Caller, Scope},
    job::{Job, JobState, Refused, StoredRequest, Transition},
    json::Json,
    ports::{BlobPrefix, JobFilter, TransitionError},
};

/// A part of the list of jobs.
#[derive(Debug, Clone)]
pub struct JobList {
    /// The jobs, newest first.
    pub jobs: Vec<JobView>,
    /// Where to go on; `None` at the end.
    pub next: Option<JobId>,
}

/// What a client changes of a job; `None` leaves a member as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Amendment {
    /// The new name; `Some(None)` removes it.
    pub name: Option<Option<String>>,
    /// The new labels, in place of all.
    pub labels: Option<BTreeMap<String, String>>,
    /// When the result goes.
    pub expires: Option<Timestamp>,
}

impl Caller {
    /// Where the caller's job of that id lives.
    pub fn job(&self, id: JobId) -> JobRef {
        JobRef { account: self.account.id.clone(), job: id }
    }
}

/// The account's jobs that fit, newest first.
pub async fn list(
    app: &App,
    caller: &Caller,
    filter: &JobFilter,
    before: Option<JobId>,
    limit: u32,
) -> Result<JobList, Error> {
    caller.require(Scope::Read)?;
    if limit == 0 || limit > MAX_LIST {
        return Err(Error::invalid("limit", format!("must be 1 to {MAX_LIST}")));
    }
    let page = app.jobs.list(&caller.account.id, filter, before, limit).await?;
    let now = app.clock.now();
    let mut jobs = Vec::with_capacity(page.jobs.len());
    let mut bytes = 0;
    for job in page.jobs {
        let id = job.id;
        if let Some(job) = job.seen_at(now).filter(|job| filter.matches(job)) {
            let large = matches!(job.request, StoredRequest::Blob { .. });
            match view(app, job).await {
                Ok(view) => {
                    bytes += if large { view.request.original.text().len() } else { 0 };
                    jobs.push(view);
                }
                Err(error) => match unless_gone(app, &caller.job(id), error).await {
                    Error::NotFound(_) => {}
                    error => return Err(error),
                },
            }
        }
        if bytes > MAX_LIST_BYTES {
            return Ok(JobList { jobs, next: Some(id) });
        }
    }
    Ok(JobList { jobs, next: page.next })
}

/// The job now, or as soon as it has ended, at the latest after `wait`.
pub async fn status(app: &App, caller: &Caller, id: JobId, wait: Duration) -> Result<JobView, Error> {
    caller.require(Scope::Read)?;
    until_ended(app, &caller.job(id), wait.min(app.settings.max_wait)).await
}

/// The job as soon as it has ended, at the latest after `wait`.
pub(super) async fn until_ended(app: &App, job: &JobRef, wait: Duration) -> Result<JobView, Error> {
    let deadline = tokio::time::Instant::now() + wait;
    let mut listener = app.signals.listen(job);
    loop {
        let found = find(app, job).await?;
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if found.state.is_terminal() || left.is_zero() {
            return match view(app, found).await {
                Ok(view) => Ok(view),
                Err(error) => Err(unless_gone(app, job, error).await),
            };
        }
        listener.changed(left).await;
    }
}

/// The job's request in its owner's own words, to be submitted again.
pub async fn original(app: &App, caller: &Caller, id: JobId) -> Result<Json, Error> {
    caller.require(Scope::Submit)?;
    let job = caller.job(id);
    let found = find(app, &job).await?;
    if found.batches.is_some() {
        let detail = "the job was fed by batches, which are not kept: submit it again and upload them anew";
        return Err(Error::Conflict(detail.into()));
    }
    match request_of(app, &found).await {
        Ok(request) => Ok(request.original),
        Err(error) => Err(unless_gone(app, &job, error).await),
    }
}

/// Gives a job up: its work stops, what it wrote goes. Cancelling a cancelled job changes nothing.
pub async fn cancel(app: &App, caller: &Caller, id: JobId) -> Result<JobView, Error> {
    caller.require(Scope::Submit)?;
    let job = caller.job(id);
    find(app, &job).await?;
    match app.jobs.transition(&job, &Transition::Cancel, app.clock.now()).await {
        Ok(cancelled) => {
            announce(&app.notifier, &cancelled).await;
            if cancelled.batches.is_some() {
                batches::end_all(app, &job).await?;
            }
            app.blobs.delete_prefix(&BlobPrefix::Results(job.clone())).await?;
            tracing::info!(job.id = %job.job, account = %job.account, "cancelled job");
        }
        Err(TransitionError::Refused(Refused::Unchanged)) => {}
        Err(TransitionError::Refused(Refused::State(state))) => {
            return Err(Error::Conflict(format!("the job is {state}: it cannot be cancelled any more")));
        }
        Err(error) => return Err(error.into()),
    }
    view(app, find(app, &job).await?).await
}

/// Removes a job with everything it left. One that runs is cancelled first. The record outlives the results, so a
/// delete that broke off can be repeated.
pub async fn delete(app: &App, caller: &Caller, id: JobId) -> Result<(), Error> {
    caller.require(Scope::Submit)?;
    let job = caller.job(id);
    let found = find(app, &job).await?;
    if !found.state.is_terminal() {
        match app.jobs.transition(&job, &Transition::Cancel, app.clock.now()).await {
            Ok(cancelled) => announce(&app.notifier, &cancelled).await,
            // It may have ended by itself just now.
            Err(TransitionError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // A task of its own: a client that hangs up must not leave half a job.
    let removing = tokio::spawn({
        let app = app.clone();
        async move { remove(&app, &found).await }
    });
    removing.await.map_err(|panic| Error::Internal(Box::new(panic)))??;
    tracing::info!(job.id = %job.job, account = %job.account, "deleted job");
    Ok(())
}

/// Removes everything of a job: its results while the record still tells of them, and its request only when no record
/// needs it any more.
pub(super) async fn remove(app: &App, found: &Job) -> Result<(), Error> {
    let job = found.reference();
    if found.batches.is_some() {
        batches::remove_all(app, &job).await?;
    }
    app.blobs.delete_prefix(&BlobPrefix::Results(job.clone())).await?;
    app.jobs.delete(&job).await?;
    app.blobs.delete_prefix(&BlobPrefix::Request(job)).await?;
    Ok(())
}

/// Renames a job, or changes its labels or when its result goes: not later than the plan's retention allows.
pub async fn amend(app: &App, caller: &Caller, id: JobId, change: Amendment) -> Result<JobView, Error> {
    let amended = amend_if(app, caller, id, change, |_| true).await?;
    amended.ok_or_else(|| Error::Internal("a change without a condition did not meet it".into()))
}

/// As [`amend`], if `holds` of the very job that is changed; `None` where it does not.
pub async fn amend_if(
    app: &App,
    caller: &Caller,
    id: JobId,
    change: Amendment,
    holds: impl Fn(&JobView) -> bool,
) -> Result<Option<JobView>, Error> {
    caller.require(Scope::Submit)?;
    for _ in 0..RACES {
        let job = caller.job(id);
        let found = view(app, find(app, &job).await?).await?;
        if !holds(&found) {
            return Ok(None);
        }
        let now = app.clock.now();
        judge(caller, &found.job, &change, now)?;
        let Amendment { name, labels, expires } = change.clone();
        if name.is_none() && labels.is_none() && expires.is_none() {
            return Ok(Some(found));
        }
        let amend = Transition::Amend { name, labels, expires, version: Some(found.job.version) };
        match app.jobs.transition(&job, &amend, now).await {
            Ok(_) => return Ok(Some(view(app, find(app, &job).await?).await?)),
            Err(TransitionError::Refused(Refused::Changed)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Unavailable("the job is being changed by too many at once".into()))
}

/// An error where the change is not one that the client may make of the job as it is.
fn judge(caller: &Caller, found: &Job, change: &Amendment, now: Timestamp) -> Result<(), Error> {
    let mut errors = Vec::new();
    if let Some(Some(name)) = &change.name {
        check_name(name, &mut errors);
    }
    if let Some(labels) = &change.labels {
        check_labels(labels, &mut errors);
    }
    if let Some(expires) = change.expires {
        if found.state == JobState::Expired {
            return Err(Error::Expired);
        }
        if found.state != JobState::Completed {
            return Err(Error::Conflict(format!(
                "the job is {}: only a completed job's expiry can be changed",
                found.state
            )));
        }
        let days = caller.plan.retention_days;
        let latest = found.finished.unwrap_or(now).plus(Duration::from_secs(u64::from(days) * 86_400));
        if expires <= now {
            errors.push(FieldError::at("expires", "is in the past: delete the job instead"));
        } else if expires > latest {
            let detail = format!("is later than the plan's {days} days allow: at the latest {latest}");
            errors.push(FieldError::at("expires", detail));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}
