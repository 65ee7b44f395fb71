//! One item and its calls: sent, judged, and sent again where that is safe.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use willcall_core::{
    JobId,
    catalog::Upstream,
    job::kinds::{ItemOutcome, ItemState},
    json::{Json, Object},
    ports::{Clock, SendError},
};
use willcall_outbound::{Client, retry_after};

use crate::{
    answer::{self, Body, Cut},
    headers::Headers,
    limit::Limits,
};

const USER_AGENT: &str = concat!("willcall/", env!("CARGO_PKG_VERSION"));

/// An upstream as this worker calls it: what all its jobs share.
pub(crate) struct Line {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) client: Client,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
}

/// An item that can be sent.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Its number among the items, from 1.
    pub(crate) number: u64,
    /// How the result names it.
    pub(crate) id: Json,
    pub(crate) object: Object,
}

/// How sending an item ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It is known what became of it, or known that it is not.
    Over(ItemOutcome),
    /// It was to be sent again, and was told to stop before: nothing is in doubt.
    Interrupted,
}

/// What all items of an attempt are sent with.
pub(crate) struct Calls {
    pub(crate) line: Arc<Line>,
    pub(crate) headers: Headers,
    pub(crate) job: JobId,
    /// Cancelled when no call is to begin any more.
    pub(crate) stop: CancellationToken,
}

/// What came of one attempt.
enum Tried {
    /// The upstream answered.
    Answered { status: u16, wait: Option<Duration>, body: Result<Body, String> },
    /// The upstream did not see it.
    NotSent(SendError),
    /// The upstream may have seen it and acted.
    InDoubt { status: Option<u16>, words: String },
}

impl Calls {
    /// Sends the item until it is known what became of it, or no more may be tried.
    pub(crate) async fn call(&self, item: &Item) -> Ended {
        let upstream = &self.line.upstream;
        let retries = &upstream.retries;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let headers = self.headers.now().await;
            let tried = self.attempt(item, &headers).await;
            // Whoever refuses who asks did nothing, and may do it for who has the secret that holds now.
            if let Tried::Answered { status: 401 | 403, .. } = tried
                && attempts < retries.attempts
                && self.headers.are_others_than(&headers).await
            {
                self.line.limits.pace().await;
                continue;
            }
            let (again, wait) = match &tried {
                Tried::Answered { status, wait, .. } => (retries.statuses.contains(status), *wait),
                Tried::NotSent(error) => (may_pass(error), None),
                Tried::InDoubt { .. } => (upstream.idempotent, None),
            };
            let pause = wait.unwrap_or_else(|| backoff(retries.backoff, attempts).min(retries.max_wait));
            if !again || attempts >= retries.attempts || pause > retries.max_wait {
                let asked = wait.filter(|wait| again && *wait > retries.max_wait);
                return Ended::Over(outcome(upstream, item, attempts, tried, asked));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ended::Interrupted,
                () = sleep(pause + jitter(retries.backoff / 4)) => {}
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ended::Interrupted,
                () = self.line.limits.pace() => {}
            }
        }
    }

    async fn attempt(&self, item: &Item, headers: &HeaderMap) -> Tried {
        let upstream = &self.line.upstream;
        let deadline = Instant::now() + upstream.timeout;
        let request = match self.request(item, headers) {
            Ok(request) => request,
            Err(error) => return Tried::NotSent(error),
        };
        let timed_out = |status: Option<u16>| Tried::InDoubt {
            status,
            words: SendError::TimedOut(upstream.timeout).to_string(),
        };
        let answer = match timeout_at(deadline, self.line.client.exchange(request)).await {
            Err(_) => return timed_out(None),
            Ok(Err(error @ (SendError::Broken(_) | SendError::TimedOut(_)))) => {
                return Tried::InDoubt { status: None, words: error.to_string() };
            }
            Ok(Err(error)) => return Tried::NotSent(error),
            Ok(Ok(answer)) => answer,
        };
        let (status, succeeded) = (answer.status().as_u16(), answer.status().is_success());
        let wait = retry_after(answer.headers(), self.line.clock.now());
        match timeout_at(deadline, self.body(answer, succeeded)).await {
            Ok(Ok(body)) => Tried::Answered { status, wait, body },
            // That it failed is known, whatever else it had to say.
            Ok(Err(())) | Err(_) if !succeeded => Tried::Answered { status, wait, body: Ok(Body::default()) },
            Ok(Err(())) => Tried::InDoubt {
                status: Some(status),
                words: "the connection broke in the middle of the answer".into(),
            },
            Err(_) => timed_out(Some(status)),
        }
    }

    /// The body, what is wrong with it, or nothing where it broke off.
    async fn body(&self, answer: Response<Incoming>, succeeded: bool) -> Result<Result<Body, String>, ()> {
        let upstream = &self.line.upstream;
        let text = |name: HeaderName| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
        let content_type = text(header::CONTENT_TYPE);
        let encoding = text(header::CONTENT_ENCODING).filter(|encoding| encoding != "identity");
        let most = upstream.max_response_bytes;
        match answer::read(answer.into_body(), most).await {
            Err(Cut::TooLarge) => Ok(Err(format!("its answer has more than {most} bytes"))),
            Err(Cut::Broken) => Err(()),
            Ok(_) if encoding.is_some() => {
                Ok(Err("its answer is compressed, which was not asked for".into()))
            }
            Ok(bytes) => Ok(answer::understand(upstream, content_type.as_deref(), &bytes, succeeded)),
        }
    }

    fn request(&self, item: &Item, headers: &HeaderMap) -> Result<Request<Full<Bytes>>, SendError> {
        let upstream = &self.line.upstream;
        let broken = |words: String| SendError::Unfit(willcall_core::ports::UnfitUrl(words));
        let url = upstream.url.expand(&item.object).map_err(|misfit| broken(misfit.to_string()))?;
        let url = self.line.client.check(&url)?;
        let uri: Uri = url.as_str().parse().map_err(|error| broken(format!("is not a URL: {error}")))?;
        let key = format!("{}-{}", self.job, item.number);
        let mut request = Request::builder()
            .method(upstream.method.as_str())
            .uri(uri)
            .header(header::USER_AGENT, USER_AGENT)
            .header(upstream.idempotency_header.as_str(), key);
        if !headers.contains_key(header::ACCEPT) {
            request = request.header(header::ACCEPT, "application/json, */*;q=0.5");
        }
        let mut body = Bytes::new();
        if upstream.method.has_body() {
            request = request.header(header::CONTENT_TYPE, "application/json");
            body = Bytes::copy_from_slice(item.object.text().as_bytes());
        }
        let mut request = request.body(Full::from(body)).map_err(|error| SendError::Broken(error.into()))?;
        // The operator's own come last, in place of what stands there by default.
        request.headers_mut().extend(headers.clone());
        Ok(request)
    }
}

/// Whether the same may work a little later.
fn may_pass(error: &SendError) -> bool {
    match error {
        SendError::Unfit(_) | SendError::NotAllowed => false,
        SendError::Unresolved(_) | SendError::Connect(_) | SendError::Tls(_) => true,
        SendError::TimedOut(_) | SendError::Broken(_) => true,
    }
}

fn outcome(
    upstream: &Upstream,
    item: &Item,
    attempts: u32,
    tried: Tried,
    asked: Option<Duration>,
) -> ItemOutcome {
    let of = |state, status, body, error| ItemOutcome {
        id: item.id.clone(),
        state,
        status,
        attempts,
        body,
        error,
    };
    match tried {
        Tried::Answered { status: status @ 200..=299, body: Ok(body), .. } => {
            // It took the item, whatever its answer is written in.
            let note = body.note.map(|note| format!("its answer {note}"));
            of(ItemState::Succeeded, Some(status), body.json, note)
        }
        Tried::Answered { status: status @ 200..=299, body: Err(words), .. } => {
            let error = format!("the upstream answered {status}, but {words}");
            of(ItemState::Failed, Some(status), None, Some(error))
        }
        Tried::Answered { status, body, .. } => {
            let Body { json, note } = body.unwrap_or_default();
            let mut error = match (status, asked) {
                (300..=399, _) => format!("the upstream answered {status}: redirects are not followed"),
                (_, Some(wait)) => {
                    format!("the upstream answered {status}, and asked to wait {} s", wait.as_secs())
                }
                _ => format!("the upstream answered {status}"),
            };
            note.into_iter().for_each(|note| error += &format!("; its answer {note}"));
            of(ItemState::Failed, Some(status), json, Some(error))
        }
        Tried::NotSent(error) => {
            // What the guard has to say is for the operator; whoever sends items learns that it is not theirs to mend.
            let words = match error {
                SendError::Unfit(_) | SendError::NotAllowed => {
                    "the upstream's address is not one that may be reached".to_owned()
                }
                error => format!("the upstream was not reached: {error}"),
            };
            of(ItemState::Failed, None, None, Some(words))
        }
        Tried::InDoubt { status, words } if upstream.idempotent => {
            of(ItemState::Failed, status, None, Some(words))
        }
        Tried::InDoubt { status, words } => {
            let error = format!("sent, but its answer was not seen: {words}");
            of(ItemState::Unknown, status, None, Some(error))
        }
    }
}

/// The pause after that many attempts, jitter aside.
fn backoff(first: Duration, attempts: u32) -> Duration {
    first.saturating_mul(1 << attempts.saturating_sub(1).min(16))
}

/// Up to that long, at random, so that many do not come back at once.
fn jitter(most: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
