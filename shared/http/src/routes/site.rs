//! Pages about the service itself: health, the contract, what problems mean. They need no token.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde_json::json as object;
use willcall_core::{AccountId, Error, JobId, JobRef, job::ProblemType};

use super::{Api, Path, json};
use crate::{docs, openapi::openapi, problem::Failure};

/// Who owns the job that the health check looks for and never finds.
const NOBODY: &str = "healthz";

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(async || axum::response::Redirect::temporary("/docs")))
        .route("/healthz", get(health))
        .route("/v1/openapi.json", get(contract))
        .route("/docs", get(documentation))
        .route("/problems/{slug}", get(problem))
}

/// Healthy is who reaches the catalog and the job store.
async fn health(State(api): State<Api>) -> Result<Response, Failure> {
    api.app.catalog.catalog().await.map_err(Error::from)?;
    if let Ok(account) = NOBODY.parse::<AccountId>() {
        let nothing = JobRef { account, job: JobId::generate() };
        api.app.jobs.get(&nothing).await.map_err(Error::from)?;
    }
    json(StatusCode::OK, &object!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

async fn contract(State(api): State<Api>) -> Result<Response, Failure> {
    json(StatusCode::OK, &openapi(Some(api.public_url())))
}

fn html(page: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, docs::CONTENT_SECURITY_POLICY),
    ];
    (headers, page).into_response()
}

async fn documentation(State(api): State<Api>) -> Response {
    // The same for every request but for the server's address, which is filled in afterwards.
    static PAGE: LazyLock<String> = LazyLock::new(|| docs::render(&openapi(None)));
    html(PAGE.replace(docs::SERVER_PLACE, &docs::escape(api.public_url())))
}

async fn problem(path: Path) -> Result<Response, Failure> {
    let slug = path.get("slug");
    let kind = ProblemType::ALL.into_iter().find(|kind| kind.slug() == slug);
    let kind = kind.ok_or(Error::NotFound("problem type"))?;
    Ok(html(docs::problem_page(kind)))
}
