//! Listing the account's jobs.

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::{RawQuery, State},
    response::Response,
    routing::get,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{StatusCode, header};
use willcall_core::{
    JobId,
    job::JobKind,
    ports::JobFilter,
    usecases::{
        jobs,
        limits::{DEFAULT_LIST, MAX_LIST},
    },
};

use super::{Api, json, set};
use crate::{
    auth::Authenticated,
    problem::Failure,
    wire::{
        job::{JobList, JobResource},
        params::{Params, encode},
    },
};

const PARAMS: [&str; 8] =
    ["state", "kind", "dataset", "name", "created_after", "created_before", "limit", "cursor"];

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/jobs", get(list_jobs))
}

async fn list_jobs(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    let mut params = Params::parse(raw.as_deref())?;
    let given = params.left().to_vec();
    let (filter, before, limit) = read(&mut params);
    params.finish(&PARAMS)?;
    let list = jobs::list(&api.app, &caller, &filter, before, limit).await?;

    let next_cursor = list.next.map(cursor);
    let body = JobList { jobs: list.jobs.iter().map(JobResource::of).collect(), next_cursor };
    let mut response = json(StatusCode::OK, &body)?;
    if let Some(cursor) = &body.next_cursor {
        let kept = given.iter().filter(|(name, _)| name != "cursor");
        let pairs = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let query = encode(pairs.chain([("cursor", cursor.as_str())]));
        set(&mut response, header::LINK, format!("<{}/v1/jobs{query}>; rel=\"next\"", api.public_url()));
    }
    Ok(response)
}

fn read(params: &mut Params) -> (JobFilter, Option<JobId>, u32) {
    let kind = params.text("kind").and_then(|text| {
        let found = JobKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        if found.is_none() {
            params.wrong("kind", format!("{text:?} is not a kind of job: write query, append or call"));
        }
        found
    });
    let labels: BTreeMap<String, String> = params.prefixed("label.").into_iter().collect();
    let filter = JobFilter {
        state: params.named("state"),
        kind,
        dataset: params.text("dataset"),
        name: params.text("name"),
        labels,
        created_after: params.timestamp("created_after"),
        created_before: params.timestamp("created_before"),
    };
    let (before, limit) = page(params);
    (filter, before, limit)
}

/// From where to go on, and the most entries.
pub(super) fn page(params: &mut Params) -> (Option<JobId>, u32) {
    let from = params.text("cursor").and_then(|text| {
        let id = read_cursor(&text);
        if id.is_none() {
            params.wrong("cursor", "is not one that this service gave out");
        }
        id
    });
    let limit = params.whole("limit").map_or(DEFAULT_LIST, |limit| {
        u32::try_from(limit).ok().filter(|limit| (1..=MAX_LIST).contains(limit)).unwrap_or_else(|| {
            params.wrong("limit", format!("must be 1 to {MAX_LIST}, not {limit}"));
            DEFAULT_LIST
        })
    });
    (from, limit)
}

pub(super) fn cursor(next: JobId) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("1:{next}"))
}

fn read_cursor(text: &str) -> Option<JobId> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    std::str::from_utf8(&bytes).ok()?.strip_prefix("1:")?.parse().ok()
}
