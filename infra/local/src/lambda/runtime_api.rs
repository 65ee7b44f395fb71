//! Lambda's Runtime API, one server for each environment.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};

use super::{Event, LIMIT};
use crate::{
    Error, InvokeError,
    serve::{Body, Cut, Handler, Server, bind, full, serve},
};

const PREFIX: &str = "/2018-06-01/runtime/";

/// What a function is asked to do.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) id: String,
    pub(super) event: Bytes,
    /// Milliseconds since 1970.
    pub(super) deadline: u128,
    pub(super) arn: String,
    pub(super) trace: String,
}

struct Api {
    work: Mutex<mpsc::UnboundedReceiver<Work>>,
    events: mpsc::UnboundedSender<Event>,
}

/// Serves one environment: what it is asked comes from `work`, what it does goes to `events`.
pub(super) async fn start(
    work: mpsc::UnboundedReceiver<Work>,
    events: mpsc::UnboundedSender<Event>,
) -> Result<Server, Error> {
    let api = Arc::new(Api { work: Mutex::new(work), events });
    let handler: Handler = Arc::new(move |request, _| {
        let api = Arc::clone(&api);
        Box::pin(async move { api.answer(request).await })
    });
    serve(bind(0).await?, handler)
}

impl Api {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.strip_prefix(PREFIX).unwrap_or_default().split('/').collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => {
                let id = (*id).to_owned();
                let streamed = request.headers().contains_key("lambda-runtime-function-response-mode");
                let answer = match read(request).await {
                    Some(_) if streamed => Err(InvokeError::Function {
                        kind: "Runtime.StreamedResponse".to_owned(),
                        message: "neither API Gateway nor SQS takes an answer that is streamed".to_owned(),
                    }),
                    Some(body) => Ok(body),
                    None => Err(InvokeError::AnswerTooLarge),
                };
                let status = match answer {
                    Err(InvokeError::AnswerTooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
                    _ => StatusCode::ACCEPTED,
                };
                self.tell(Event::Answered(id, answer), status)
            }
            (&Method::POST, ["invocation", id, "error"]) => {
                let (id, error) = ((*id).to_owned(), error(read(request).await));
                self.tell(Event::Answered(id, Err(error)), StatusCode::ACCEPTED)
            }
            (&Method::POST, ["init", "error"]) => {
                let error = error(read(request).await);
                self.tell(Event::InitFailed(error.to_string()), StatusCode::ACCEPTED)
            }
            _ => reply(StatusCode::NOT_FOUND, "{\"errorType\":\"InvalidPath\"}"),
        }
    }

    async fn next(&self) -> Result<Response<Body>, Cut> {
        let mut work = self.work.lock().await;
        self.events.send(Event::Asked).map_err(|_| Cut)?;
        let work = work.recv().await.ok_or(Cut)?;
        Response::builder()
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", work.id)
            .header("lambda-runtime-deadline-ms", work.deadline.to_string())
            .header("lambda-runtime-invoked-function-arn", work.arn)
            .header("lambda-runtime-trace-id", work.trace)
            .body(full(work.event))
            .map_err(|_| Cut)
    }

    fn tell(&self, event: Event, status: StatusCode) -> Result<Response<Body>, Cut> {
        self.events.send(event).map_err(|_| Cut)?;
        reply(status, "{\"status\":\"OK\"}")
    }
}

/// The body; none if it is larger than Lambda takes.
async fn read(request: Request<Incoming>) -> Option<Bytes> {
    let whole = Limited::new(request.into_body(), LIMIT).collect().await;
    whole.ok().map(http_body_util::Collected::to_bytes)
}

fn error(body: Option<Bytes>) -> InvokeError {
    let body: Value = body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    let text = |key: &str| body[key].as_str().unwrap_or("unknown").to_owned();
    InvokeError::Function { kind: text("errorType"), message: text("errorMessage") }
}

fn reply(status: StatusCode, body: &'static str) -> Result<Response<Body>, Cut> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(full(body))
        .map_err(|_| Cut)
}
