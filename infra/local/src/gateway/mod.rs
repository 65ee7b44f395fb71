//! API Gateway's HTTP API: requests become events of functions, and their answers responses.

mod answer;
mod cors;
mod event;
mod routes;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use uuid::Uuid;

use self::event::Context;
use crate::{
    InvokeError,
    deployment::{ApiSpec, RouteSpec},
    lambda::{Function, trace},
    serve::{Body, Cut, Handler, full},
};

/// The request line and the values of the headers, in bytes.
const HEAD_LIMIT: usize = 10_240;
/// The body, in bytes.
const BODY_LIMIT: usize = 10 << 20;

/// An API and the functions behind it.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) api: ApiSpec,
    pub(crate) account: String,
    pub(crate) routes: Vec<RouteSpec>,
    pub(crate) functions: BTreeMap<String, Arc<Function>>,
    /// How long a function is waited for, where that is not what its route says.
    pub(crate) timeout: Option<Duration>,
    /// What clients call this host.
    pub(crate) domain: String,
}

impl Gateway {
    pub(crate) fn handler(self: Arc<Self>) -> Handler {
        Arc::new(move |request, peer| {
            let gateway = Arc::clone(&self);
            Box::pin(async move { Ok::<_, Cut>(gateway.answer(request, peer).await) })
        })
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let id = Uuid::new_v4().simple().to_string();
        let (parts, body) = request.into_parts();
        let origin = parts.headers.get(header::ORIGIN).cloned();
        if let Some(cors) = &self.api.cors
            && let Some(headers) = cors::preflight(cors, &parts.method, &parts.headers)
        {
            let mut response = Response::new(full(Bytes::new()));
            (*response.status_mut(), *response.headers_mut()) = (StatusCode::NO_CONTENT, headers);
            return response;
        }
        let answered = self.pass_on(parts, body, peer, &id).await;
        let mut response = answered.unwrap_or_else(message);
        if let Some(cors) = &self.api.cors {
            cors::apply(cors, origin.as_ref(), response.headers_mut());
        }
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert("apigw-requestid", id);
        }
        response
    }

    async fn pass_on(
        &self,
        parts: Parts,
        body: Incoming,
        peer: SocketAddr,
        id: &str,
    ) -> Result<Response<Body>, StatusCode> {
        if head(&parts) > HEAD_LIMIT {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        let mut path = parts.uri.path();
        if self.api.stage != "$default" {
            let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(&self.api.stage));
            path = rest.filter(|rest| rest.starts_with('/')).ok_or(StatusCode::NOT_FOUND)?;
        }
        let (route, variables) =
            routes::find(&self.routes, parts.method.as_str(), path).ok_or(StatusCode::NOT_FOUND)?;
        let function = self.functions.get(&route.function).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        let body = match Limited::new(body, BODY_LIMIT).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            Err(_) => return Err(StatusCode::BAD_REQUEST),
        };
        let trace = trace();
        let event = event::build(
            &parts,
            &body,
            &Context {
                route_key: &route.key(),
                variables,
                stage: &self.api.stage,
                api: &self.api.logical,
                account: &self.account,
                domain: &self.domain,
                source: &peer.ip().to_string(),
                request_id: id,
                trace: &trace,
            },
        );
        let invocation = function.invoke(event.to_string().into(), &trace);
        let timeout = self.timeout.unwrap_or(route.timeout);
        // The function goes on when API Gateway has given up.
        let answer =
            tokio::time::timeout(timeout, invocation).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let answer = answer.map_err(|error| match error {
            InvokeError::Throttled | InvokeError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            InvokeError::EventTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        })?;
        answer::read(&answer, &parts.method).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

fn head(parts: &Parts) -> usize {
    let line = parts.method.as_str().len() + parts.uri.to_string().len() + " HTTP/1.1\r\n".len() + 1;
    line + parts.headers.values().map(HeaderValue::len).sum::<usize>()
}

/// An answer of API Gateway's own.
fn message(status: StatusCode) -> Response<Body> {
    let text = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        status => status.canonical_reason().unwrap_or("Error"),
    };
    let mut response = Response::new(full(format!("{{\"message\":\"{text}\"}}")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
