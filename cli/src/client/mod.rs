//! The API as the command uses it: the same calls against a server and against the routes in this process.

mod batches;
mod download;
mod follow;
mod packed;
mod transport;
mod webhooks;
pub(crate) mod wire;

use std::{future::Future, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use willcall_core::json::bounded;

use self::transport::{Transport, TransportError};
pub(crate) use self::{
    download::{Fetched, Source},
    transport::{InProcess, Remote},
    wire::Answer,
};
use crate::{
    failure::{Exit, Failure, chain},
    output::clean,
    request::Submission,
};

/// How long a call that is safe to repeat is repeated while the server cannot be reached or is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the head of an answer may take, what the call itself waits for aside.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The most bytes of an answer that is no result.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// What stays as it is in links (RFC 3986 §2.3).
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whether a call may be repeated when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Only where the server said that it did nothing: 429.
    WhenRefused,
    /// Also when the server does not answer, for a while.
    WhenLost,
    /// As [`Repeat::WhenLost`], but a server that cannot be connected to fails at once: the first call of a command.
    OnceConnected,
}

/// A client of the API.
pub(crate) struct Client {
    transport: Box<dyn Transport>,
    base: String,
    token: Option<SecretString>,
    /// Where the server is, in words.
    place: String,
}

impl Client {
    /// A client of a server. `base` is its address as the user wrote it.
    pub(crate) fn remote(base: &str, token: Option<SecretString>) -> Result<Self, Failure> {
        let base = base.trim_end_matches('/').to_owned();
        let uri = base.parse::<Uri>().ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && uri.query().is_none()
        });
        if uri.is_none() {
            return Err(Failure::new(
                Exit::Usage,
                format!("{:?} is not the address of a server", clean(&base)),
            )
            .advice("write it like http://127.0.0.1:8787; the token goes into WILLCALL_TOKEN"));
        }
        Ok(Self { transport: Box::new(Remote::new()), place: base.clone(), base, token })
    }

    /// A client of the routes in this process.
    pub(crate) fn in_process(routes: InProcess, base: &str, token: SecretString) -> Self {
        Self {
            transport: Box::new(routes),
            base: base.to_owned(),
            token: Some(token),
            place: "this process".into(),
        }
    }

    /// Submits a query.
    pub(crate) async fn submit(&self, submission: &Submission) -> Result<Answer<wire::Job>, Failure> {
        let mut body = json!({ "kind": "query" });
        if let Value::Object(members) = &mut body {
            members.extend(submission.members.clone());
        }
        let path = format!("/v1/jobs{}", query(&submission.params));
        self.json(Method::POST, &path, Some(&body), Repeat::WhenRefused).await
    }

    /// The job, as soon as it has ended, at the latest after `wait`.
    pub(crate) async fn status(&self, job: &str, wait: Duration) -> Result<Answer<wire::Job>, Failure> {
        self.status_with(job, wait, Repeat::OnceConnected).await
    }

    async fn status_with(
        &self,
        job: &str,
        wait: Duration,
        repeat: Repeat,
    ) -> Result<Answer<wire::Job>, Failure> {
        let path = job_path(job, &format!("?wait={}", wait.as_secs()));
        self.json(Method::GET, &path, None, repeat).await
    }

    /// A part of the list of jobs.
    pub(crate) async fn jobs(&self, pairs: &[(String, String)]) -> Result<Answer<wire::JobList>, Failure> {
        self.json(Method::GET, &format!("/v1/jobs{}", query(pairs)), None, Repeat::OnceConnected).await
    }

    /// Gives the job up.
    pub(crate) async fn cancel(&self, job: &str) -> Result<Answer<wire::Job>, Failure> {
        self.json(Method::POST, &job_path(job, "/cancel"), None, Repeat::OnceConnected).await
    }

    /// Removes the job.
    pub(crate) async fn delete(&self, job: &str) -> Result<(), Failure> {
        self.call(Method::DELETE, &job_path(job, ""), None, Repeat::OnceConnected).await.map(|_| ())
    }

    /// What the result consists of.
    pub(crate) async fn manifest(&self, job: &str) -> Result<Answer<wire::Manifest>, Failure> {
        self.json(Method::GET, &job_path(job, "/manifest"), None, Repeat::WhenLost).await
    }

    /// The data sets.
    pub(crate) async fn datasets(&self) -> Result<Answer<wire::DatasetList>, Failure> {
        self.json(Method::GET, "/v1/datasets", None, Repeat::OnceConnected).await
    }

    /// One data set.
    pub(crate) async fn dataset(&self, name: &str) -> Result<Answer<wire::Dataset>, Failure> {
        self.json(Method::GET, &format!("/v1/datasets/{}", segment(name)), None, Repeat::OnceConnected).await
    }

    /// The account behind the token.
    pub(crate) async fn account(&self) -> Result<Value, Failure> {
        let answer: Answer<Value> =
            self.json(Method::GET, "/v1/account", None, Repeat::OnceConnected).await?;
        Ok(answer.json)
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Answer<T>, Failure> {
        self.json_with(method, path, body, repeat, None).await
    }

    async fn json_with<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
        key: Option<&str>,
    ) -> Result<Answer<T>, Failure> {
        let bytes = self.call_with(method, path, body, repeat, key).await?;
        read(&bytes).and_then(Answer::of).map_err(|error| {
            Failure::caused(Exit::Failed, format!("{} did not answer as Willcall does", self.place), &error)
                .advice("check the address that --server gives")
        })
    }

    /// The body of a successful answer. A busy server is asked again when it says so.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Bytes, Failure> {
        self.call_with(method, path, body, repeat, None).await
    }

    /// As [`Self::call`], with a key by which the server knows a request that it has served already.
    async fn call_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
        key: Option<&str>,
    ) -> Result<Bytes, Failure> {
        let body = body.map(|body| Bytes::from(body.to_string()));
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(200);
        loop {
            let mut request = self.request(&method, path, body.clone())?;
            if let Some(key) = key.and_then(|key| HeaderValue::from_str(&format!("\"{key}\"")).ok()) {
                request.headers_mut().insert("idempotency-key", key);
            }
            let (failure, again, after) = match self.exchange(request).await {
                Ok((status, _, bytes)) if status.is_success() => return Ok(bytes),
                Ok((status, headers, bytes)) => {
                    let again = match status {
                        StatusCode::TOO_MANY_REQUESTS => true,
                        StatusCode::BAD_GATEWAY
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT => repeat != Repeat::WhenRefused,
                        _ => false,
                    };
                    (refused(status, &bytes), again, retry_after(&headers))
                }
                Err(error) => {
                    let again = match (&error, repeat) {
                        (_, Repeat::WhenRefused) | (TransportError::Connect(_), Repeat::OnceConnected) => {
                            false
                        }
                        (_, Repeat::WhenLost | Repeat::OnceConnected) => true,
                    };
                    (self.unreachable(&error), again, None)
                }
            };
            let after = after.unwrap_or(pause);
            if !again || Instant::now() + after > deadline {
                return Err(failure);
            }
            sleep(after).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Sends a request and reads the whole answer.
    async fn exchange(
        &self,
        request: Request<Bytes>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), TransportError> {
        let (parts, body) = in_time(self.transport.send(request.map(Body::from))).await??.into_parts();
        let bytes = in_time(axum::body::to_bytes(body, MAX_ANSWER))
            .await?
            .map_err(|error| TransportError::Broken(Box::new(error)))?;
        Ok((parts.status, parts.headers, bytes))
    }

    /// A request with the token, to this client's own server and nowhere else.
    fn request(&self, method: &Method, path: &str, body: Option<Bytes>) -> Result<Request<Bytes>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("willcall/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
            let mut value = value.map_err(|_| {
                Failure::new(Exit::Denied, "the token holds characters that no token has")
                    .advice("copy it anew: wc_ and 49 letters and digits")
            })?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request
            .body(body.unwrap_or_default())
            .map_err(|error| Failure::caused(Exit::Usage, "the request cannot be written", &error))
    }

    /// Opens a signed link, without the token: the link is right by itself, and its host may be another's. A server
    /// that signs links of its own may not know how it is reached, behind a proxy or at an address that it no longer
    /// has: then its link is tried where the server itself is.
    async fn open_link(&self, url: &str, headers: HeaderMap) -> Result<Response<Body>, TransportError> {
        match self.follow_link(url, headers.clone()).await {
            Err(TransportError::Connect(error)) => {
                let path = url.find("/v1/files/").map(|at| &url[at..]);
                match path.map(|path| format!("{}{path}", self.base)).filter(|here| here != url) {
                    Some(here) => self.follow_link(&here, headers).await,
                    None => Err(TransportError::Connect(error)),
                }
            }
            answered => answered,
        }
    }

    async fn follow_link(&self, url: &str, headers: HeaderMap) -> Result<Response<Body>, TransportError> {
        let broken = |error: http::Error| TransportError::Broken(Box::new(error));
        let mut request = Request::get(url).body(Body::empty()).map_err(broken)?;
        *request.headers_mut() = headers;
        in_time(self.transport.send(request)).await?
    }

    fn unreachable(&self, error: &TransportError) -> Failure {
        let failure =
            Failure::new(Exit::Unavailable, format!("{} does not answer: {}", self.place, chain(error)));
        match error {
            TransportError::Connect(_) => {
                failure.advice("is `willcall serve` running there, and the address right?")
            }
            TransportError::Broken(_) => {
                failure.advice("try again; `willcall list` shows what became of your jobs")
            }
        }
    }
}

/// The output of `work`, unless it takes longer than an answer may.
async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, TransportError> {
    // A status call itself waits, for less than this on top.
    timeout(ANSWER_TIMEOUT * 2, work).await.map_err(|late| TransportError::Broken(Box::new(late)))
}

/// The JSON of an answer. A request that is shown back may have numbers that no float reaches.
fn read(bytes: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(bytes).or_else(|error| match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(&bounded(text)),
        Err(_) => Err(error),
    })
}

/// What a problem means for the command.
fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let json = serde_json::from_slice::<Value>(body).ok();
    let problem = json.as_ref().and_then(|json| serde_json::from_value::<wire::Problem>(json.clone()).ok());
    let problem = problem.unwrap_or_default();
    let exit = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Denied,
        StatusCode::NOT_FOUND | StatusCode::GONE => Exit::NotFound,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Exit::Unavailable,
        StatusCode::CONFLICT => Exit::Failed,
        _ if status.is_client_error() => Exit::Usage,
        _ => Exit::Failed,
    };
    let words = match (problem.detail.as_str(), problem.title.as_str()) {
        ("", "") => format!("the server answered {status}"),
        ("", title) => clean(title),
        (detail, _) => clean(detail),
    };
    let mut failure = match problem.errors.as_slice() {
        [] => Failure::new(exit, words),
        // The detail of a request with errors only sums them up.
        errors => errors.iter().fold(Failure::new(exit, title_or(&problem.title)), |failure, error| {
            let place = error.pointer.trim_start_matches(['#', '?']).trim_start_matches('/');
            failure.detail(format!("{}: {}", clean(place), clean(&error.detail)))
        }),
    };
    failure = match status {
        StatusCode::UNAUTHORIZED => failure.advice(
            "give a token with --token or WILLCALL_TOKEN; `willcall token create` makes one where the server runs",
        ),
        StatusCode::FORBIDDEN => failure.advice("use a token of a stronger scope"),
        StatusCode::INTERNAL_SERVER_ERROR => match &problem.request_id {
            Some(id) => failure.advice(format!("the server's log has the cause under {}", clean(id))),
            None => failure,
        },
        _ => failure,
    };
    match json {
        Some(json @ Value::Object(_)) => failure.document(json),
        _ => failure,
    }
}

fn title_or(title: &str) -> String {
    if title.is_empty() { "the request is not valid".into() } else { clean(title) }
}

/// The failure of a job that ended without a result.
pub(crate) fn job_failed(job: &Answer<wire::Job>) -> Failure {
    let id = &job.read.job_id;
    let failure = match &job.read.error {
        Some(problem) => {
            let words = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
            Failure::new(Exit::Failed, format!("job {id} {}: {}", job.read.state, clean(words)))
        }
        None if job.read.state == "expired" => {
            Failure::new(Exit::NotFound, format!("the result of job {id} has expired"))
                .advice("submit the query again")
        }
        None => Failure::new(Exit::Failed, format!("job {id} is {}: it has no result", job.read.state)),
    };
    match job.json.get("error") {
        Some(document @ Value::Object(_)) => failure.document(document.clone()),
        _ => failure,
    }
}

/// What the server asks to wait (RFC 9110 §10.2.3, in seconds).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The path of a job's resource.
fn job_path(job: &str, rest: &str) -> String {
    format!("/v1/jobs/{}{rest}", segment(job))
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// A query string, with its `?` where there is anything.
fn query(pairs: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        text.push(if text.is_empty() { '?' } else { '&' });
        text += &segment(name);
        text.push('=');
        text += &segment(value);
    }
    text
}

#[cfg(test)]
mod tests;
