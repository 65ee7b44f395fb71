//! One call of an upstream at once, with a job to fall back on.

use axum::{
    Router,
    body::Body,
    extract::{RawQuery, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, StatusCode, header};
use willcall_core::{
    account::Scope,
    job::{
        JobState, ProblemType,
        kinds::{ItemOutcome, ItemState},
    },
    usecases::{
        JobView,
        upstreams::{self, Called},
    },
};

use super::{
    Api, Path,
    records::{PREFERENCE_APPLIED, WILLCALL_JOB_ID, ended_without, waited},
    set,
    submit::accepted,
};
use crate::{
    auth::Authenticated,
    idempotency::{self, Key},
    prefer::Prefer,
    problem::Failure,
    wire::{body::read_words, job, params::Params},
};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/upstreams/{name}", post(call_upstream))
}

async fn call_upstream(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Key(key): Key,
    path: Path,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Failure> {
    let name = path.get("name");
    // An upstream that is not there is a path that is not there, whatever the request says.
    upstreams::get(&api.app, &caller, name).await?;
    caller.require(Scope::Submit)?;
    let mut params = Params::parse(raw.as_deref())?;
    let headers = request.headers().clone();
    let wait = waited(&api, params.flag("async"), &headers);
    params.finish(&[])?;
    let item = read_words(request, |_| true).await?.object()?;
    let Called { receipt, outcome } =
        Box::pin(upstreams::call(&api.app, &caller, name, item, key, wait)).await?;
    let view = &receipt.view;
    let mut response = match outcome {
        Some(outcome) => answered(view, outcome, &headers, wait.as_secs())?,
        None => unanswered(view)?,
    };
    idempotency::tell(&mut response, &receipt);
    set(&mut response, WILLCALL_JOB_ID, view.job.id.to_string());
    set(&mut response, header::VARY, "Prefer, Authorization, X-Api-Key");
    Ok(response)
}

/// The upstream's own answer, or the problem that there is none of use.
fn answered(
    view: &JobView,
    outcome: ItemOutcome,
    headers: &HeaderMap,
    waited: u64,
) -> Result<Response, Failure> {
    if outcome.state != ItemState::Succeeded {
        let words = outcome.error.unwrap_or_default();
        let kind = match outcome.state {
            ItemState::Malformed => ProblemType::InvalidRequest,
            ItemState::Succeeded | ItemState::Failed | ItemState::Unknown => ProblemType::UpstreamFailed,
        };
        let failure = Failure::new(kind, words).header(header::CONTENT_LOCATION, job::link(view));
        return Ok(failure.into_response());
    }
    let status =
        outcome.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    let mut response = match outcome.body {
        None => status.into_response(),
        Some(body) => match serde_json::from_str::<String>(body.get()) {
            // The result holds text that is no JSON as a string of JSON, and nearly no API answers such a string itself.
            Ok(text) => with_type(status, "text/plain; charset=utf-8", text),
            Err(_) => with_type(status, "application/json", body.get().to_owned()),
        },
    };
    set(&mut response, header::CONTENT_LOCATION, job::link(view));
    if Prefer::read(headers).wait.is_some() {
        set(&mut response, PREFERENCE_APPLIED, format!("wait={waited}"));
    }
    Ok(response)
}

fn with_type(status: StatusCode, media_type: &'static str, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, media_type)], Body::from(body)).into_response()
}

/// The job: it was not done in time, nobody waits, or it ended without a result.
fn unanswered(view: &JobView) -> Result<Response, Failure> {
    match view.job.state {
        JobState::Failed | JobState::Cancelled | JobState::Expired => Ok(ended_without(view).into_response()),
        JobState::Open | JobState::Accepted | JobState::Processing | JobState::Completed => {
            let mut response = accepted(view)?;
            set(&mut response, PREFERENCE_APPLIED, "respond-async");
            Ok(response)
        }
    }
}
