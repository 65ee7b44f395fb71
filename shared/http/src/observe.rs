//! The outermost layer: every request gets an id, one log line, and an answer even if its handler panics.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use uuid::Uuid;
use willcall_core::AccountId;

use crate::problem::Failure;

/// The header that carries the id of a request, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 128;

/// Who turned out to ask, for the log line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asker(pub(crate) Arc<OnceLock<AccountId>>);

/// Logs the route's template and never the path, the query string or the body: links and tokens may be in them.
pub(crate) async fn observe(
    State(public_url): State<Arc<str>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let asker = Asker::default();
    request.extensions_mut().insert(asker.clone());

    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| {
        tracing::error!(request_id = id, "handler panicked");
        Failure::internal().render(&public_url, &path, &id)
    });
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        // What a layer has set meanwhile, such as `Allow`, stays.
        let rendered = failure.render(&public_url, &path, &id);
        let kept = std::mem::replace(&mut response, rendered);
        for (name, value) in kept.headers() {
            if name != header::CONTENT_LENGTH && !response.headers().contains_key(name) {
                response.headers_mut().append(name, value.clone());
            }
        }
    }
    finish(response.headers_mut(), &id);

    let (status, ms) = (response.status().as_u16(), u64::try_from(began.elapsed().as_millis()).ok());
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let account = asker.0.get().map(AccountId::as_str);
    tracing::info!(%method, route, status, ms, request_id = id, account, "answered request");
    response
}

fn finish(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(X_REQUEST_ID, id);
    }
    let defaults = [
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// The client's own id where it is fit for a log, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let sane = |id: &&str| {
        (1..=MAX_REQUEST_ID).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    given.filter(sane).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}
