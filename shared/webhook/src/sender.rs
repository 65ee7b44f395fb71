//! Sends one message over HTTP and reads what comes of it: a status, and how long to wait.

use std::{error::Error, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, Client},
    rt::TokioExecutor,
};
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout_at},
};
use url::Url;
use willcall_core::{
    ports::{Message, Reply, SendError, Sender, UnfitUrl},
    webhook::{AllowList, Method},
};

use crate::{
    connector::{ConnectError, GuardedConnector, Resolve, SystemResolver},
    guard::Guard,
    retry_after::retry_after,
    signature::signature,
};

/// How long a message may take, the answer's head included.
const TIME_OUT: Duration = Duration::from_secs(15);
/// The most bytes of an answer's body that are read, so that a polite receiver sees its answer taken.
const MAX_ANSWER: usize = 4 * 1024;
/// How long that may take; whoever is slower is hung up on.
const BODY_TIME_OUT: Duration = Duration::from_secs(1);
/// The most bytes of an answer's head.
const MAX_HEAD: usize = 16 * 1024;
const USER_AGENT: &str = concat!("willcall/", env!("CARGO_PKG_VERSION"));

type Plain = Client<GuardedConnector, Full<Bytes>>;
type Encrypted = Client<HttpsConnector<GuardedConnector>, Full<Bytes>>;

/// The sender over HTTP/1.1. Each message has a connection of its own, so that each address is judged anew; encryption is
/// set up when it is first needed.
pub struct HttpSender {
    guard: Guard,
    connector: GuardedConnector,
    plain: Plain,
    encrypted: OnceCell<Encrypted>,
}

impl HttpSender {
    /// A sender that reaches the public internet, and what the operator allows besides.
    pub fn new(allow: AllowList) -> Self {
        Self::with_resolver(allow, Arc::new(SystemResolver))
    }

    /// As [`Self::new`], with names resolved otherwise than by the system.
    pub fn with_resolver(allow: AllowList, resolver: Arc<dyn Resolve>) -> Self {
        let guard = Guard::new(allow);
        let connector = GuardedConnector::new(guard.clone(), resolver);
        let plain = builder().build(connector.clone());
        Self { guard, connector, plain, encrypted: OnceCell::new() }
    }

    async fn encrypted(&self) -> Result<&Encrypted, SendError> {
        let made = self.encrypted.get_or_try_init(|| async {
            let provider = rustls::crypto::ring::default_provider();
            let https = HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(provider)?
                .https_only()
                .enable_http1()
                .wrap_connector(self.connector.clone());
            Ok::<_, io::Error>(builder().build(https))
        });
        made.await.map_err(|error| SendError::Tls(error.to_string()))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, SendError> {
        let answer = match request.uri().scheme_str() {
            Some("http") => self.plain.request(request).await,
            _ => self.encrypted().await?.request(request).await,
        };
        answer.map_err(failed)
    }
}

fn builder() -> legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_max_idle_per_host(0)
        .retry_canceled_requests(false)
        .http1_max_buf_size(MAX_HEAD)
        .http1_max_headers(64);
    builder
}

#[async_trait]
impl Sender for HttpSender {
    fn check(&self, url: &str) -> Result<(), UnfitUrl> {
        self.guard.check(url).map(|_| ())
    }

    async fn send(&self, message: &Message) -> Result<Reply, SendError> {
        let deadline = Instant::now() + TIME_OUT;
        let request = self.request(message)?;
        let answer = timeout_at(deadline, self.exchange(request)).await;
        let answer = answer.map_err(|_| SendError::TimedOut(TIME_OUT))??;
        let reply = Reply {
            status: answer.status().as_u16(),
            retry_after: retry_after(answer.headers(), message.now),
        };
        take_some(answer.into_body(), deadline.min(Instant::now() + BODY_TIME_OUT)).await;
        Ok(reply)
    }
}

impl HttpSender {
    fn request(&self, message: &Message) -> Result<Request<Full<Bytes>>, SendError> {
        let mut url = self.guard.check(&message.url)?;
        let (method, content, body) = match message.method {
            Method::Post => (http::Method::POST, message.content.clone(), message.content.clone()),
            Method::Get => {
                let query = join_query(&url, &message.content);
                url.set_query(Some(&query));
                // As it will be read: the parser may have escaped some of it.
                (http::Method::GET, url.query().unwrap_or_default().to_owned(), String::new())
            }
        };
        url.set_fragment(None);
        let timestamp = message.now.as_seconds();
        let uri: Uri = url.as_str().parse().map_err(|error| UnfitUrl(format!("is not a URL: {error}")))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature(&message.secrets, &message.id, timestamp, &content));
        if message.method == Method::Post {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(Full::from(body)).map_err(|error| SendError::Broken(error.into()))
    }
}

/// The address's own query with ours behind it.
fn join_query(url: &Url, added: &str) -> String {
    match url.query().filter(|query| !query.is_empty()) {
        Some(own) => format!("{own}&{added}"),
        None => added.to_owned(),
    }
}

/// Reads a little of the body and throws it away. Neither its content nor its end matters.
async fn take_some(mut body: Incoming, deadline: Instant) {
    let mut left = MAX_ANSWER;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // What comes too late is not waited for.
    let _ = timeout_at(deadline, reading).await;
}

/// Sorts a failure by what its owner can do about it.
fn failed(error: legacy::Error) -> SendError {
    let connecting = error.is_connect();
    match cause::<ConnectError>(&error) {
        Some(ConnectError::NotAllowed) => return SendError::NotAllowed,
        Some(ConnectError::NoHost | ConnectError::Unresolved(_)) => {
            return SendError::Unresolved(error.into());
        }
        Some(ConnectError::Failed(_)) => return SendError::Connect(error.into()),
        None => {}
    }
    if let Some(untrusted) = cause::<rustls::Error>(&error) {
        return SendError::Tls(untrusted.to_string());
    }
    if connecting { SendError::Connect(error.into()) } else { SendError::Broken(error.into()) }
}

/// The first error of that type among those that caused the error.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // An I/O error shows what its own content was caused by, but not the content itself.
        let content = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        if let Some(found) = content.and_then(|content| cause::<T>(content)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_put_behind_the_addresss_own() {
        for (url, query) in [
            ("https://x.test/hook", "a=1"),
            ("https://x.test/hook?", "a=1"),
            ("https://x.test/hook?token=t%20x", "token=t%20x&a=1"),
        ] {
            assert_eq!(join_query(&Url::parse(url).unwrap(), "a=1"), query, "{url}");
        }
    }
}
