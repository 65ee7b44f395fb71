//! Records at once, with a job to fall back on.

use std::time::Duration;

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use serde_json::Map;
use willcall_core::{
    account::{Caller, Scope},
    format::Format,
    job::{JobState, ProblemType, kinds::Work},
    usecases::{
        JobView, datasets,
        idempotency::{Keyed, is_known},
        limits::MAX_SYNC_DEPTH,
        records::{mistakes_for_records, records},
        results,
        submit::Submission,
    },
};

use super::{Api, Path, method_not_allowed, results::result_response, set, submit::accepted};
use crate::{
    accept,
    auth::Authenticated,
    idempotency::{self, Key},
    prefer::Prefer,
    problem::Failure,
    wire::{
        body::read_object,
        job,
        params::{Params, encode},
        query::{self, Endpoint, QueryRequest},
    },
};

pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
pub(super) const WILLCALL_JOB_ID: HeaderName = HeaderName::from_static("willcall-job-id");

pub(super) fn routes() -> Router<Api> {
    // `get` alone would answer HEAD too, and make a job whose records nobody reads.
    let records = get(get_records).post(post_records).head(not_allowed).fallback(not_allowed);
    Router::new().route("/v1/datasets/{dataset}/records", records)
}

async fn not_allowed(method: Method) -> Failure {
    method_not_allowed(&method).header(header::ALLOW, "GET, POST")
}

/// How a request came, beside what it asks for.
struct Came<'a> {
    method: Method,
    headers: &'a HeaderMap,
    key: Option<Keyed>,
}

/// How a synchronous request came, as far as its answer depends on it.
struct Asked<'a> {
    method: Method,
    headers: &'a HeaderMap,
    wait: Duration,
    path: String,
    /// The parameters, for links to the records before and after.
    params: Vec<(String, String)>,
}

async fn get_records(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Key(key): Key,
    path: Path,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let params = Params::parse(raw.as_deref())?;
    let came = Came { method: Method::GET, headers: &headers, key };
    answer(&api, &caller, path.get("dataset"), params, Map::new(), came).await
}

async fn post_records(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Key(key): Key,
    path: Path,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Failure> {
    let params = Params::parse(raw.as_deref())?;
    let headers = request.headers().clone();
    let body = read_object(request).await?;
    let came = Came { method: Method::POST, headers: &headers, key };
    answer(&api, &caller, path.get("dataset"), params, body, came).await
}

async fn answer(
    api: &Api,
    caller: &Caller,
    dataset: &str,
    mut params: Params,
    body: Map<String, serde_json::Value>,
    came: Came<'_>,
) -> Result<Response, Failure> {
    let Came { method, headers, key } = came;
    // A data set that is not there is a path that is not there, whatever the query says.
    if let Err(error) = datasets::get(&api.app, caller, dataset).await {
        // But to a request that is repeated: its job outlives the data set.
        let repeated = match &key {
            Some(key) => is_known(&api.app, caller, key).await?,
            None => false,
        };
        if !repeated {
            return Err(error.into());
        }
    }
    caller.require(Scope::Submit)?;

    let given = params.left().to_vec();
    let wait = waited(api, params.flag("async"), headers);
    let mut query = query::read(body, params, Endpoint::Records(dataset));
    if !query.errors.is_empty() {
        let draft = query.draft.into();
        let more = mistakes_for_records(&api.app, caller, &draft, wait).await;
        return Err(query.places.refuse(query.errors, more));
    }
    if query.draft.about.format.is_none() {
        query.draft.about.format = accepted_format(headers)?;
        // The job's request must show the format that it inherits.
        if let (Some(format), serde_json::Value::Object(members)) =
            (&query.draft.about.format, &mut query.original)
        {
            members.insert("format".into(), format.as_str().into());
        }
    }
    let path = format!("/v1/datasets/{dataset}/records");
    let asked = Asked { method, headers, wait, path, params: given };
    let QueryRequest { draft, original, places, .. } = query;
    let submission = Submission { draft: draft.into(), original: original.into(), key, dry_run: false };
    let receipt =
        Box::pin(records(&api.app, caller, submission, wait)).await.map_err(|error| places.explain(error))?;
    let view = &receipt.view;
    let mut response = outcome(api, caller, view, &asked).await?;
    idempotency::tell(&mut response, &receipt);
    set(&mut response, WILLCALL_JOB_ID, view.job.id.to_string());
    set(&mut response, header::VARY, "Accept, Prefer, Authorization, X-Api-Key");
    Ok(response)
}

/// How long to wait: `async` counts before `Prefer`, and `Prefer: wait` says how long even with `respond-async`
/// (RFC 7240 §4.3).
pub(super) fn waited(api: &Api, is_async: Option<bool>, headers: &HeaderMap) -> Duration {
    let settings = &api.app.settings;
    let prefer = Prefer::read(headers);
    let wait = match (is_async, prefer.wait) {
        (Some(true), _) => Duration::ZERO,
        (_, Some(wait)) => wait,
        (None, None) if prefer.respond_async => Duration::ZERO,
        (_, None) => settings.default_sync_wait,
    };
    wait.min(settings.max_sync_wait)
}

fn accepted_format(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let format = accept::format(headers).map_err(|()| {
        let known: Vec<&str> = Format::ALL.into_iter().map(Format::media_type).collect();
        let detail = format!("Accept allows none of {}: or choose with format", known.join(", "));
        Failure::new(ProblemType::UnsupportedFormat, detail).status(StatusCode::NOT_ACCEPTABLE)
    })?;
    Ok(format.map(|format| format.as_str().to_owned()))
}

async fn outcome(api: &Api, caller: &Caller, view: &JobView, asked: &Asked<'_>) -> Result<Response, Failure> {
    match view.job.state {
        JobState::Completed if !asked.wait.is_zero() => {
            let body = results::result(&api.app, caller, view.job.id).await?;
            // A redirect of a POST must not repeat the POST.
            let redirect = match asked.method {
                Method::POST => StatusCode::SEE_OTHER,
                _ => StatusCode::TEMPORARY_REDIRECT,
            };
            // Conditions are about a result that is there already, and this one is new.
            let mut response = result_response(body, &HeaderMap::new(), redirect);
            if asked.method == Method::GET
                && let Some(links) = links(api, view, asked)
            {
                set(&mut response, header::LINK, links);
            }
            set(&mut response, header::CONTENT_LOCATION, format!("{}/result", job::link(view)));
            if Prefer::read(asked.headers).wait.is_some() {
                set(&mut response, PREFERENCE_APPLIED, format!("wait={}", asked.wait.as_secs()));
            }
            Ok(response)
        }
        JobState::Failed | JobState::Cancelled | JobState::Expired => Ok(ended_without(view).into_response()),
        JobState::Open | JobState::Accepted | JobState::Processing | JobState::Completed => {
            let mut response = accepted(view)?;
            set(&mut response, PREFERENCE_APPLIED, "respond-async");
            Ok(response)
        }
    }
}

/// The problem of a job that ended without what was waited for.
pub(super) fn ended_without(view: &JobView) -> Failure {
    let failure = match &view.job.error {
        Some(problem) => Failure::new(problem.kind, problem.detail.clone()),
        None => willcall_core::Error::NotReady(view.job.state).into(),
    };
    failure.header(header::CONTENT_LOCATION, job::link(view))
}

/// Links to the records before and after, as far as a synchronous request reaches.
fn links(api: &Api, view: &JobView, asked: &Asked<'_>) -> Option<String> {
    let Work::Query(query) = &view.request.work else { return None };
    let (offset, limit) = (query.offset, query.limit?);
    let delivered = view.job.result.as_ref().map_or(0, |result| result.records);
    let more = view.job.progress.records_found.is_some_and(|found| offset + delivered < found);
    let link = |rel: &str, offset: u64, limit: u64| {
        let (offset, limit) = (offset.to_string(), limit.to_string());
        let kept = asked.params.iter().filter(|(name, _)| name != "offset" && name != "limit");
        let pairs = kept.map(|(name, value)| (name.as_str(), value.as_str()));
        let query = encode(pairs.chain([("offset", offset.as_str()), ("limit", limit.as_str())]));
        format!("<{}{}{query}>; rel=\"{rel}\"", api.public_url(), asked.path)
    };
    let mut links = Vec::new();
    let next = offset.saturating_add(delivered);
    if more && delivered > 0 && next < MAX_SYNC_DEPTH {
        links.push(link("next", next, limit.min(MAX_SYNC_DEPTH - next)));
    }
    if offset > 0 && limit > 0 {
        // The first records may be fewer than the limit: none is then told twice.
        let before = offset.saturating_sub(limit);
        links.push(link("prev", before, offset - before));
    }
    (!links.is_empty()).then(|| links.join(", "))
}
