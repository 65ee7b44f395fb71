//! Collecting a result: the file, its bytes inline, its manifest.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::json as object;
use willcall_core::{
    Error, JobId,
    account::Caller,
    file_name::disposition,
    job::{ProblemType, ResultSummary},
    ports::{BlobHead, SignedLink},
    usecases::{
        JobView,
        results::{self, ResultBody},
        view::file_name,
        zips::{self, ZIP_MEDIA_TYPE, ZipAnswer},
    },
};

use super::{Api, Path, json, not_modified, set};
use crate::{
    accept,
    auth::Authenticated,
    conditional::{Verdict, http_date, judge},
    problem::Failure,
    wire::{manifest::ManifestResource, params::Params},
};

const WILLCALL_JOB_ID: HeaderName = HeaderName::from_static("willcall-job-id");
const WILLCALL_TRUNCATED: HeaderName = HeaderName::from_static("willcall-truncated");
const TOTAL_COUNT: HeaderName = HeaderName::from_static("total-count");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/jobs/{id}/download", get(download).head(head_download))
        .route("/v1/jobs/{id}/result", get(result))
        .route("/v1/jobs/{id}/manifest", get(manifest))
}

async fn download(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let redirect = download_params(raw.as_deref())?;
    if accept::prefers(&headers, ZIP_MEDIA_TYPE) {
        return zip(&api, &caller, path.job()?, redirect).await;
    }
    let found = results::download(&api.app, &caller, path.job()?).await?;
    led_to(&found.link, found.view.job.id, redirect)
}

/// Answers what the file is without a redirect: a signed link may be for `GET` alone.
async fn head_download(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    download_params(raw.as_deref())?;
    if accept::prefers(&headers, ZIP_MEDIA_TYPE) {
        return head_zip(&api, &caller, path.job()?).await;
    }
    let found = results::download(&api.app, &caller, path.job()?).await?;
    let mut response = StatusCode::OK.into_response();
    describe(&mut response, &found.view, &found.result);
    describe_stored(&mut response, &found.head);
    Ok(response)
}

/// Leads to the zip of result and manifest, or says when to ask again for it.
async fn zip(api: &Api, caller: &Caller, id: JobId, redirect: bool) -> Result<Response, Failure> {
    let zip = match zips::zip(&api.app, caller, id).await? {
        ZipAnswer::Made(zip) => zip,
        ZipAnswer::Packing { retry_after } => return packing(id, retry_after),
    };
    let mut response = led_to(&zip.link, zip.job, redirect)?;
    set(&mut response, header::VARY, "Accept");
    Ok(response)
}

async fn head_zip(api: &Api, caller: &Caller, id: JobId) -> Result<Response, Failure> {
    let zip = match zips::zip(&api.app, caller, id).await? {
        ZipAnswer::Made(zip) => zip,
        ZipAnswer::Packing { retry_after } => return packing(id, retry_after),
    };
    let mut response = StatusCode::OK.into_response();
    describe_file(&mut response, zip.job, ZIP_MEDIA_TYPE, &zip.file_name);
    describe_stored(&mut response, &zip.head);
    set(&mut response, header::VARY, "Accept");
    Ok(response)
}

/// 202: a worker packs the zip.
fn packing(id: JobId, retry_after: Duration) -> Result<Response, Failure> {
    let mut response = json(StatusCode::ACCEPTED, &object!({ "job_id": id.to_string(), "zip": "packing" }))?;
    set(&mut response, header::RETRY_AFTER, retry_after.as_secs().max(1).to_string());
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, WILLCALL_JOB_ID, id.to_string());
    set(&mut response, header::VARY, "Accept");
    Ok(response)
}

fn download_params(raw: Option<&str>) -> Result<bool, Failure> {
    let mut params = Params::parse(raw)?;
    let redirect = params.flag("redirect").unwrap_or(true);
    params.finish(&["redirect"])?;
    Ok(redirect)
}

/// Leads to a link, or tells of it.
fn led_to(link: &SignedLink, job: JobId, redirect: bool) -> Result<Response, Failure> {
    if redirect {
        return Ok(elsewhere(link, job, StatusCode::TEMPORARY_REDIRECT));
    }
    let mut response = json(StatusCode::OK, &object!({ "url": link.url, "expires": link.expires }))?;
    set(&mut response, header::CACHE_CONTROL, "no-store");
    Ok(response)
}

/// A redirect to a link signed just now, which must not be kept.
fn elsewhere(link: &SignedLink, job: JobId, status: StatusCode) -> Response {
    let mut response = status.into_response();
    set(&mut response, header::LOCATION, &link.url);
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, WILLCALL_JOB_ID, job.to_string());
    response
}

async fn result(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let body = results::result(&api.app, &caller, path.job()?).await?;
    Ok(result_response(body, &headers, StatusCode::TEMPORARY_REDIRECT))
}

/// The stored bytes, or where they are. The same answer serves a synchronous request.
pub(super) fn result_response(body: ResultBody, headers: &HeaderMap, redirect: StatusCode) -> Response {
    match body {
        ResultBody::Elsewhere(found) => elsewhere(&found.link, found.view.job.id, redirect),
        ResultBody::Inline { view, result, stream } => {
            let etag = format!("\"{}\"", result.sha256);
            let mut response = match judge(headers, &etag, view.job.finished) {
                Verdict::NotModified => return not_modified(&etag),
                Verdict::Failed => return precondition_failed().into_response(),
                Verdict::Proceed => Body::from_stream(stream).into_response(),
            };
            describe(&mut response, &view, &result);
            set(&mut response, header::ETAG, etag);
            set(&mut response, header::CONTENT_LENGTH, result.bytes.to_string());
            if let Some(finished) = view.job.finished {
                set(&mut response, header::LAST_MODIFIED, http_date(finished));
            }
            response
        }
    }
}

/// 412: what is there is not what the client asks about.
pub(super) fn precondition_failed() -> Failure {
    let detail = "the file is another than If-Match or If-Unmodified-Since asks for";
    Failure::new(ProblemType::Conflict, detail).status(StatusCode::PRECONDITION_FAILED)
}

/// What the headers tell of a result, however it is collected.
fn describe(response: &mut Response, view: &JobView, result: &ResultSummary) {
    let output = view.output();
    describe_file(response, view.job.id, output.media_type(), &file_name(&view.job, output));
    if let Some(found) = view.job.progress.records_found {
        set(response, TOTAL_COUNT, found.to_string());
    }
    if let Some(truncated) = &result.truncated {
        let text = format!("{}; limit={}", truncated.reason.as_str(), truncated.limit);
        set(response, WILLCALL_TRUNCATED, text);
    }
    if let Some(bytes) = unhex(&result.sha256) {
        set(response, REPR_DIGEST, format!("sha-256=:{}:", BASE64_STANDARD.encode(bytes)));
    }
}

/// What they tell of any file of a job.
fn describe_file(response: &mut Response, job: JobId, media_type: &str, name: &str) {
    set(response, header::CONTENT_TYPE, media_type);
    set(response, header::CONTENT_DISPOSITION, disposition(name));
    set(response, WILLCALL_JOB_ID, job.to_string());
}

/// What a link to a file will lead to, for those who ask without following it.
fn describe_stored(response: &mut Response, head: &BlobHead) {
    set(response, header::ETAG, format!("\"{}\"", head.etag));
    set(response, header::CONTENT_LENGTH, head.size.to_string());
    set(response, header::LAST_MODIFIED, http_date(head.modified));
    set(response, header::ACCEPT_RANGES, "bytes");
    set(response, header::CACHE_CONTROL, "no-store");
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

async fn manifest(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let manifest = results::manifest(&api.app, &caller, path.job()?).await?;
    let resource = ManifestResource::of(&manifest).map_err(|error| Error::Internal(Box::new(error)))?;
    json(StatusCode::OK, &resource)
}
