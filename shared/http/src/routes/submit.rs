//! Routes that write: submit, rerun, cancel, change, delete.

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    response::{IntoResponse, Response},
    routing::{patch, post},
};
use http::{StatusCode, header};
use willcall_core::{
    job::JobState,
    usecases::{
        JobView, dry_run,
        idempotency::Keyed,
        jobs::{self, Amendment},
        submit::{Receipt, Submission, mistakes, repeated, submit},
    },
};

use super::{
    Api, Path,
    jobs::{changed_meanwhile, tag},
    json,
    records::{PREFERENCE_APPLIED, WILLCALL_JOB_ID, ended_without, waited},
    set,
};
use crate::{
    auth::Authenticated,
    conditional::{Verdict, judge},
    idempotency::{self, Key},
    problem::Failure,
    wire::{
        body::{read_object, read_words},
        estimate::EstimateResource,
        job::{self, JobResource, retry_after},
        members::Members,
        params::Params,
        query, rows,
    },
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/jobs", post(submit_job))
        .route("/v1/jobs/{id}/cancel", post(cancel_job))
        .route("/v1/jobs/{id}/rerun", post(rerun_job))
        .route("/v1/jobs/{id}", patch(change_job).delete(delete_job))
}

/// A job that was begun: where to follow it, and when.
pub(super) fn accepted(view: &JobView) -> Result<Response, Failure> {
    let mut response = json(StatusCode::ACCEPTED, &JobResource::of(view))?;
    let link = job::link(view);
    set(&mut response, header::LOCATION, &link);
    set(&mut response, header::CONTENT_LOCATION, &link);
    if let Some(seconds) = retry_after(view) {
        set(&mut response, header::RETRY_AFTER, seconds.to_string());
    }
    Ok(response)
}

async fn submit_job(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Key(key): Key,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Failure> {
    let mut params = Params::parse(raw.as_deref())?;
    let headers = request.headers().clone();
    let body = read_words(request, |members| rows::kind(members).is_some()).await?;
    let dry_run = params.flag("dry_run").unwrap_or_default();
    let query = match rows::kind(&body.members) {
        Some(kind) => rows::read(body, params, kind)?,
        None => query::job(body, params),
    };
    if !query.errors.is_empty() {
        let more = mistakes(&api.app, &caller, &query.draft).await;
        return Err(query.places.refuse(query.errors, more));
    }
    let submission = Submission { draft: query.draft, original: query.original, key, dry_run: false };
    if dry_run {
        let wait = waited(&api, None, &headers);
        let receipt = Box::pin(dry_run::dry_run(&api.app, &caller, submission, wait)).await;
        return estimated(&receipt.map_err(|error| query.places.explain(error))?);
    }
    let receipt = submit(&api.app, &caller, submission).await.map_err(|error| query.places.explain(error))?;
    made(&receipt)
}

/// The answer to a dry run: the estimate, or the job that will have it.
fn estimated(receipt: &Receipt) -> Result<Response, Failure> {
    let view = &receipt.view;
    let mut response = match (view.job.estimate(), view.job.state) {
        (Some(estimate), _) => json(StatusCode::OK, &EstimateResource::from(estimate))?,
        (None, JobState::Open | JobState::Accepted | JobState::Processing) => {
            let mut response = accepted(view)?;
            set(&mut response, PREFERENCE_APPLIED, "respond-async");
            response
        }
        (None, _) => ended_without(view).into_response(),
    };
    set(&mut response, WILLCALL_JOB_ID, view.job.id.to_string());
    idempotency::tell(&mut response, receipt);
    Ok(response)
}

/// The answer to a submission.
fn made(receipt: &Receipt) -> Result<Response, Failure> {
    let mut response = accepted(&receipt.view)?;
    idempotency::tell(&mut response, receipt);
    Ok(response)
}

/// A new job with the request of one that there is, checked against what there is to ask for now.
async fn rerun_job(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Key(key): Key,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let key = key.map(|key| Keyed { by_path: true, ..key });
    let words = match jobs::original(&api.app, &caller, path.job()?).await {
        Ok(words) => words,
        Err(error) => {
            // What was made from the job outlives it.
            let repeated = match &key {
                Some(key) => repeated(&api.app, &caller, key).await?,
                None => None,
            };
            return made(&repeated.ok_or(error)?);
        }
    };
    let query = query::again(&words)?;
    if !query.errors.is_empty() {
        return Err(Failure::invalid(query.errors));
    }
    let submission = Submission { draft: query.draft, original: query.original, key, dry_run: false };
    made(&submit(&api.app, &caller, submission).await?)
}

async fn cancel_job(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let view = jobs::cancel(&api.app, &caller, path.job()?).await?;
    accepted(&view)
}

async fn change_job(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let headers = request.headers().clone();
    let body = read_object(request).await?;
    let mut errors = Vec::new();
    let mut members = Members::new(body, &mut errors);
    let named = members.has("name");
    let name = members.text("name");
    let labelled = members.has("labels");
    let labels = members.text_map("labels");
    let change = Amendment {
        name: named.then_some(name),
        labels: labelled.then(|| labels.unwrap_or_default()),
        expires: members.timestamp("expires"),
    };
    members.finish(&["name", "labels", "expires"]);
    if !errors.is_empty() {
        return Err(Failure::invalid(errors));
    }
    let holds = |view: &JobView| judge(&headers, &tag(view), None) == Verdict::Proceed;
    let amended = jobs::amend_if(&api.app, &caller, path.job()?, change, holds).await?;
    let view = amended.ok_or_else(changed_meanwhile)?;
    let mut response = json(StatusCode::OK, &JobResource::of(&view))?;
    set(&mut response, header::ETAG, tag(&view));
    Ok(response)
}

async fn delete_job(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    jobs::delete(&api.app, &caller, path.job()?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
