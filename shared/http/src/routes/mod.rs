//! The routers that hosts serve, put together from the routes of each concern.

mod account;
mod batches;
mod datasets;
mod files;
mod jobs;
mod list;
mod notifications;
mod pages;
mod records;
mod results;
mod site;
mod submit;
mod upstreams;
mod webhooks;

pub(crate) use jobs::MAX_WAIT;

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRequestParts, MatchedPath, RawPathParams, Request},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use serde::Serialize;
use tower_http::cors::{Any, CorsLayer};
use willcall_core::{Error, JobId, job::ProblemType, ports::SignedFiles, usecases::App};

use crate::{observe::observe, problem::Failure};

/// What every handler has at hand.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) app: Arc<App>,
}

impl Api {
    fn new(app: App) -> Self {
        Self { app: Arc::new(app) }
    }

    pub(crate) fn public_url(&self) -> &str {
        &self.app.settings.public_url
    }
}

/// Everything that writes: `POST /v1/jobs`, cancel, change, delete, batches, records, calls, webhooks.
pub fn submit_routes(app: App) -> Router {
    let url = app.settings.public_url.clone();
    finish(submit_of(Api::new(app)), &url)
}

/// Everything that reads state: jobs, lists, batches, data sets, the account, and the pages about the service.
pub fn status_routes(app: App) -> Router {
    let url = app.settings.public_url.clone();
    finish(status_of(Api::new(app)), &url).layer(from_fn(name_all_methods))
}

/// Everything that reads results: download, result, pages, manifest.
pub fn download_routes(app: App) -> Router {
    let url = app.settings.public_url.clone();
    finish(download_of(Api::new(app)), &url)
}

/// The files behind the signed links of a host that serves its own.
pub fn file_routes(files: Arc<dyn SignedFiles>, app: App) -> Router {
    let url = app.settings.public_url.clone();
    finish(files::routes(files, Arc::new(app)), &url)
}

/// Everything at once, for a host that is one process. `files` is for hosts that serve their own signed links.
pub fn all_routes(app: App, files: Option<Arc<dyn SignedFiles>>) -> Router {
    let url = app.settings.public_url.clone();
    let api = Api::new(app);
    let shared = Arc::clone(&api.app);
    let mut router = submit_of(api.clone()).merge(status_of(api.clone())).merge(download_of(api));
    if let Some(files) = files {
        router = router.merge(files::routes(files, shared));
    }
    finish(router, &url)
}

fn submit_of(api: Api) -> Router {
    submit::routes()
        .merge(records::routes())
        .merge(upstreams::routes())
        .merge(batches::writing())
        .merge(webhooks::routes())
        .merge(notifications::writing())
        .with_state(api)
}

fn status_of(api: Api) -> Router {
    jobs::routes()
        .merge(list::routes())
        .merge(datasets::routes())
        .merge(account::routes())
        .merge(batches::reading())
        .merge(notifications::reading())
        .merge(site::routes())
        .with_state(api)
}

fn download_of(api: Api) -> Router {
    results::routes().merge(pages::routes()).with_state(api)
}

/// What surrounds every router: answers for what is not there, browsers of other sites, ids, the log.
fn finish(router: Router, public_url: &str) -> Router {
    let public_url: Arc<str> = public_url.into();
    router
        .fallback(async || Failure::from(Error::NotFound("resource: GET /docs lists those there are")))
        .method_not_allowed_fallback(async |method: Method| method_not_allowed(&method))
        .layer(from_fn_with_state(public_url, observe))
        .layer(cors())
}

/// The methods of resources of which another router has some: this one is also asked for what no router has.
const SHARED: [(&str, &str); 4] = [
    ("/v1/jobs", "GET, HEAD, POST"),
    ("/v1/jobs/{id}", "GET, HEAD, PATCH, DELETE"),
    ("/v1/jobs/{id}/batches", "GET, HEAD, POST"),
    ("/v1/jobs/{id}/batches/{batch}", "GET, HEAD, DELETE"),
];

/// `Allow` lists the methods that the resource has, and not those that this router has.
async fn name_all_methods(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let shared = SHARED.iter().find(|(known, _)| path.as_ref().is_some_and(|path| path.as_str() == *known));
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some((_, methods)) = shared
    {
        set(&mut response, header::ALLOW, methods);
    }
    response
}

pub(crate) fn method_not_allowed(method: &Method) -> Failure {
    Failure::new(ProblemType::MethodNotAllowed, format!("{method} is not among the methods in Allow"))
}

/// Any site may call: a token is given by hand with each request, never by the browser.
fn cors() -> CorsLayer {
    let exposed = [
        "etag",
        "idempotent-replayed",
        "link",
        "location",
        "content-location",
        "content-disposition",
        "content-range",
        "accept-ranges",
        "retry-after",
        "preference-applied",
        "ratelimit",
        "ratelimit-policy",
        "repr-digest",
        "total-count",
        "willcall-job-id",
        "willcall-truncated",
        "x-request-id",
    ];
    let allowed = [
        "authorization",
        "x-api-key",
        "content-type",
        "idempotency-key",
        "prefer",
        "range",
        "if-range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "x-request-id",
    ];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(allowed.map(HeaderName::from_static))
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(std::time::Duration::from_secs(3600))
}

/// The parameters of the path as they are called in the route, decoded.
pub(crate) struct Path(Vec<(String, String)>);

impl Path {
    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// The job of the path. What cannot be a job's id is no job.
    pub(crate) fn job(&self) -> Result<JobId, Failure> {
        self.get("id").parse().map_err(|_| Error::NotFound("job").into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        // Only a path that is not UTF-8 is refused, and nothing has such a name.
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::from(Error::NotFound("resource")))?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, Failure> {
    let bytes = serde_json::to_vec(body).map_err(|error| Error::Internal(Box::new(error)))?;
    Ok((status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// Sets a header; a value that cannot be one is left out.
pub(crate) fn set(response: &mut Response, name: HeaderName, value: impl AsRef<str>) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        response.headers_mut().insert(name, value);
    }
}

/// 304 with the tag that still holds.
pub(crate) fn not_modified(etag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    set(&mut response, header::ETAG, etag);
    response
}
