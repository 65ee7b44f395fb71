//! A result page by page.

use axum::{
    Router,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, StatusCode, header};
use willcall_core::{
    Error,
    usecases::results::{self, PageBody},
};

use super::{Api, Path, not_modified, set};
use crate::{
    auth::Authenticated,
    conditional::{Verdict, judge},
    problem::Failure,
    wire::{job, params::Params},
};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/jobs/{id}/result/pages/{n}", get(page))
}

async fn page(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let text = path.get("n");
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse::<u64>().ok()).flatten();
    let number = number.ok_or(Error::NotFound("page: pages have numbers from 0"))?;
    let found = results::page(&api.app, &caller, path.job()?, number).await?;

    let etag = etag(&found);
    if judge(&headers, &etag, None) == Verdict::NotModified {
        return Ok(not_modified(&etag));
    }
    let link = links(&found);
    let mut response = (StatusCode::OK, found.bytes).into_response();
    set(&mut response, header::CONTENT_TYPE, found.media_type);
    set(&mut response, header::ETAG, etag);
    set(&mut response, header::LINK, link);
    set(&mut response, HeaderName::from_static("willcall-job-id"), found.view.job.id.to_string());
    Ok(response)
}

fn etag(page: &PageBody) -> String {
    let sha256 = page.view.job.result.as_ref().map_or("", |result| result.sha256.as_str());
    format!("\"{sha256}-{}\"", page.number)
}

fn links(page: &PageBody) -> String {
    let base = format!("{}/result/pages", job::link(&page.view));
    let last = page.pages.saturating_sub(1);
    let link = |rel: &str, number: u64| format!("<{base}/{number}>; rel=\"{rel}\"");
    let mut links = vec![link("first", 0)];
    if page.number > 0 {
        links.push(link("prev", page.number - 1));
    }
    if page.number < last {
        links.push(link("next", page.number + 1));
    }
    links.push(link("last", last));
    links.join(", ")
}
