//! A client over HTTP/1.1 behind the guard, and what a failure of it means.

use std::{error::Error, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, Client as Pooled},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::OnceCell;
use url::Url;
use willcall_core::ports::{SendError, UnfitUrl};

use crate::{
    connector::{ConnectError, GuardedConnector, Resolve},
    guard::Guard,
};

/// The most bytes of an answer's head.
const MAX_HEAD: usize = 16 * 1024;
/// How long a connection waits for the next request.
const IDLE: Duration = Duration::from_secs(10);

/// Whether a connection serves for more than one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Each request has a connection of its own: each address is judged anew, and no request is lost because its connection
    /// was just being closed.
    Never,
    /// A connection waits a little for the next request to the same host. Its address was judged when it was made.
    Idle,
}

type Plain = Pooled<GuardedConnector, Full<Bytes>>;
type Encrypted = Pooled<HttpsConnector<GuardedConnector>, Full<Bytes>>;

/// The client. Follows no redirect and repeats nothing by itself; encryption is set up when it is first needed.
pub struct Client {
    guard: Guard,
    connector: GuardedConnector,
    reuse: Reuse,
    plain: Plain,
    encrypted: OnceCell<Encrypted>,
}

impl Client {
    /// A client that reaches what the guard lets it, names being resolved by `resolver`.
    pub fn new(guard: Guard, resolver: Arc<dyn Resolve>, reuse: Reuse) -> Self {
        let connector = GuardedConnector::new(guard.clone(), resolver);
        let plain = builder(reuse).build(connector.clone());
        Self { guard, connector, reuse, plain, encrypted: OnceCell::new() }
    }

    /// The address, taken apart, where it may be reached as far as its text tells.
    pub fn check(&self, url: &str) -> Result<Url, UnfitUrl> {
        self.guard.check(url)
    }

    /// Sends the request, whose address was checked, and answers with the head of what came.
    pub async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, SendError> {
        let answer = match request.uri().scheme_str() {
            Some("http") => self.plain.request(request).await,
            _ => self.encrypted().await?.request(request).await,
        };
        answer.map_err(failed)
    }

    async fn encrypted(&self) -> Result<&Encrypted, SendError> {
        let made = self.encrypted.get_or_try_init(|| async {
            let provider = rustls::crypto::ring::default_provider();
            let https = HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(provider)?
                .https_only()
                .enable_http1()
                .wrap_connector(self.connector.clone());
            Ok::<_, io::Error>(builder(self.reuse).build(https))
        });
        made.await.map_err(|error| SendError::Tls(error.to_string()))
    }
}

fn builder(reuse: Reuse) -> legacy::Builder {
    let mut builder = Pooled::builder(TokioExecutor::new());
    builder.retry_canceled_requests(false).http1_max_buf_size(MAX_HEAD).http1_max_headers(64);
    match reuse {
        Reuse::Never => builder.pool_max_idle_per_host(0),
        Reuse::Idle => builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE),
    };
    builder
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
