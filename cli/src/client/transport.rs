//! How requests travel: to a server over HTTP, or to the routes in this very process.

use std::time::Duration;

use async_trait::async_trait;
use axum::{Router, body::Body};
use http::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::OnceCell;
use tower::ServiceExt;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Carries requests with absolute links.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// The answer's status and headers, its body still to come.
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError>;
}

/// A request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// Nothing was sent: trying again repeats nothing.
    #[error("cannot connect")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke; whether the request was served is not known.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A server over HTTP. Encryption is set up at the first https link, so that plain http needs no certificates.
pub(crate) struct Remote {
    plain: Client<HttpConnector, Body>,
    encrypted: OnceCell<Client<HttpsConnector<HttpConnector>, Body>>,
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector
}

impl Remote {
    pub(crate) fn new() -> Self {
        Self { plain: Client::builder(TokioExecutor::new()).build(connector()), encrypted: OnceCell::new() }
    }

    async fn encrypted(&self) -> Result<&Client<HttpsConnector<HttpConnector>, Body>, TransportError> {
        self.encrypted
            .get_or_try_init(|| async {
                let provider = rustls::crypto::ring::default_provider();
                let https = HttpsConnectorBuilder::new()
                    .with_provider_and_native_roots(provider)
                    .map_err(|error| TransportError::Connect(Box::new(error)))?
                    .https_only()
                    .enable_http1()
                    .wrap_connector(connector());
                Ok(Client::builder(TokioExecutor::new()).build(https))
            })
            .await
    }
}

#[async_trait]
impl Transport for Remote {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let answer = match request.uri().scheme_str() {
            Some("https") => self.encrypted().await?.request(request).await,
            _ => self.plain.request(request).await,
        };
        match answer {
            Ok(answer) => Ok(answer.map(Body::new)),
            Err(error) if error.is_connect() => Err(TransportError::Connect(Box::new(error))),
            Err(error) => Err(TransportError::Broken(Box::new(error))),
        }
    }
}

/// The routes in this very process: the same answers, without a socket. Only a link's path and query count, so links
/// that a server on the same data directory has made work too.
pub(crate) struct InProcess(pub(crate) Router);

#[async_trait]
impl Transport for InProcess {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        // A public address may have a path of its own before the API's.
        let path = path.find("/v1/").map_or(path, |at| &path[at..]);
        *request.uri_mut() = path.parse::<Uri>().map_err(|error| TransportError::Connect(Box::new(error)))?;
        match self.0.clone().oneshot(request).await {
            Ok(answer) => Ok(answer),
            Err(never) => match never {},
        }
    }
}
