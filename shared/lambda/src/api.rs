//! Requests of an API Gateway HTTP API, answered by the routers that every host serves.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{Router, body::Body};
use http::{HeaderName, HeaderValue, Request, Uri};
use lambda_http::{Body as LambdaBody, RequestExt, request::RequestContext};
use tower::{Service, ServiceExt};
use tracing::Instrument;
use willcall_core::usecases::App;

use crate::answer::{Answer, Asked};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Addresses whose routers are kept. An API has one or two; more come only by many domains on one API.
const KEPT: usize = 8;

/// The routes of a function, under whatever address API Gateway is asked by.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    app: App,
    routes: fn(App) -> Router,
    /// The address that clients use, where the operator says so.
    public_url: Option<String>,
    /// Links begin with the address, and routers know it: one for each that was met.
    routers: Mutex<Vec<(String, Router)>>,
}

/// Where a request came in, as API Gateway tells: nothing that a client sends decides it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Gateway {
    domain: Option<String>,
    /// The prefix of every path; empty for the stage `$default`.
    prefix: String,
    request_id: Option<String>,
}

impl Api {
    /// Serves `routes` over `app`. `public_url` is the address that clients use; without it, links begin with the domain
    /// name and stage that each request came in by.
    pub fn new(app: App, public_url: Option<String>, routes: fn(App) -> Router) -> Self {
        Self { inner: Arc::new(Inner { app, routes, public_url, routers: Mutex::default() }) }
    }

    async fn answer(self, request: lambda_http::Request) -> Answer {
        let gateway = Gateway::of(&request);
        let public_url = self.inner.public_url(&gateway);
        let (request, path) = self.inner.request(request, &gateway);
        let router = self.inner.router(&public_url);
        let id =
            request.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| id.len() <= 128);
        let span = tracing::error_span!("request", request_id = id);
        let answer = async {
            let Ok(response) = router.oneshot(request).await;
            Answer::of(response, &Asked { public_url: &public_url, path: &path }).await
        };
        answer.instrument(span).await
    }
}

impl Service<lambda_http::Request> for Api {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: lambda_http::Request) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { Ok(api.answer(request).await) })
    }
}

impl Inner {
    fn public_url(&self, gateway: &Gateway) -> String {
        match (&self.public_url, &gateway.domain) {
            (Some(url), _) => url.clone(),
            (None, Some(domain)) => format!("https://{domain}{}", gateway.prefix),
            // Links without a host still lead to the one that was asked.
            (None, None) => gateway.prefix.clone(),
        }
    }

    fn router(&self, public_url: &str) -> Router {
        let mut routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, router)) = routers.iter().find(|(known, _)| known == public_url) {
            return router.clone();
        }
        let mut app = self.app.clone();
        public_url.clone_into(&mut app.settings.public_url);
        let router = (self.routes)(app);
        if routers.len() >= KEPT {
            let _ = routers.remove(0);
        }
        routers.push((public_url.to_owned(), router.clone()));
        router
    }

    /// The request as routers expect it, and its path: without the prefix that the address has.
    fn request(&self, request: lambda_http::Request, gateway: &Gateway) -> (Request<Body>, String) {
        let raw = request.raw_http_path().to_owned();
        let mapped = self.public_url.as_deref().map_or("", path_of);
        let path = below(&raw, mapped).or_else(|| below(&raw, &gateway.prefix)).unwrap_or(&raw);
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        let (mut parts, body) = request.into_parts();
        let uri = match parts.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        };
        // What is no path of a URI is none that there is a route for.
        parts.uri = uri.parse().unwrap_or_else(|_| Uri::from_static("/%3F"));
        if !parts.headers.contains_key(X_REQUEST_ID)
            && let Some(id) = gateway.request_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok())
        {
            parts.headers.insert(X_REQUEST_ID, id);
        }
        let body = match body {
            LambdaBody::Text(text) => Body::from(text),
            LambdaBody::Binary(bytes) => Body::from(bytes),
            _ => Body::empty(),
        };
        (Request::from_parts(parts, body), path)
    }
}

impl Gateway {
    fn of(request: &lambda_http::Request) -> Self {
        let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else {
            return Self::default();
        };
        let stage = context.stage.as_deref().filter(|stage| *stage != "$default");
        Self {
            domain: context.domain_name.clone(),
            prefix: stage.map(|stage| format!("/{stage}")).unwrap_or_default(),
            // Its padding is nothing that the log takes in an id.
            request_id: context.request_id.as_deref().map(|id| id.trim_end_matches('=').to_owned()),
        }
    }
}

/// The path of an absolute URL, empty where it has none.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

/// What is left of the path below `prefix`; `None` where it does not lie there, or the prefix is none.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() {
        return None;
    }
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
