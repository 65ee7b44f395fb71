//! Following one job.

use std::time::Duration;

use axum::{
    Router,
    extract::{RawQuery, State},
    response::Response,
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use willcall_core::{
    job::ProblemType,
    usecases::{JobView, jobs},
};

use super::{Api, Path, json, not_modified, set};
use crate::{
    auth::Authenticated,
    conditional::{Verdict, judge},
    problem::Failure,
    wire::{
        job::{JobResource, retry_after},
        params::Params,
    },
};

/// The longest that a client may ask to wait, in seconds; hosts may bound it further.
pub(crate) const MAX_WAIT: u64 = 60;

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/jobs/{id}", get(job_status))
}

/// The job's tag. A link is signed anew at each read and the tag does not cover it, but it is written as a strong one:
/// `If-Match` takes no other (RFC 9110 §13.1.1), and a link is no part of what a client could overwrite.
pub(super) fn tag(view: &JobView) -> String {
    format!("\"{}\"", view.etag())
}

pub(super) fn changed_meanwhile() -> Failure {
    let detail = "the job is no longer, or already, what If-Match or If-None-Match says: read it again";
    Failure::new(ProblemType::Conflict, detail).status(StatusCode::PRECONDITION_FAILED)
}

async fn job_status(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let mut params = Params::parse(raw.as_deref())?;
    let wait = params.whole("wait").unwrap_or(0);
    if wait > MAX_WAIT {
        params.wrong("wait", format!("must be 0 to {MAX_WAIT} seconds, not {wait}"));
    }
    params.finish(&["wait"])?;
    let view = jobs::status(&api.app, &caller, path.job()?, Duration::from_secs(wait)).await?;

    let etag = tag(&view);
    let mut response = match judge(&headers, &etag, None) {
        Verdict::NotModified => not_modified(&etag),
        Verdict::Proceed => json(StatusCode::OK, &JobResource::of(&view))?,
        Verdict::Failed => return Err(changed_meanwhile()),
    };
    set(&mut response, header::ETAG, &etag);
    if let Some(seconds) = retry_after(&view) {
        set(&mut response, header::RETRY_AFTER, seconds.to_string());
    }
    Ok(response)
}
