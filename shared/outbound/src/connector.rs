//! Makes connections, each to an address that was judged just before.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

use crate::guard::Guard;

/// How long connecting to one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most addresses of a name that are tried.
const MOST_TRIED: usize = 4;

/// Where names lead.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of the name, the best first.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's own resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|socket| socket.ip()).collect())
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the address has no host")]
    NoHost,
    #[error("the name leads nowhere")]
    Unresolved(#[source] io::Error),
    #[error("every address is one that nothing is sent to")]
    NotAllowed,
    #[error("nobody answers")]
    Failed(#[source] io::Error),
}

/// Connects where the guard lets it. Knows no proxy.
#[derive(Clone)]
pub(crate) struct GuardedConnector {
    guard: Guard,
    resolver: Arc<dyn Resolve>,
}

impl GuardedConnector {
    pub(crate) fn new(guard: Guard, resolver: Arc<dyn Resolve>) -> Self {
        Self { guard, resolver }
    }

    async fn connect(self, uri: Uri) -> Result<TcpStream, ConnectError> {
        let encrypted = uri.scheme_str() != Some("http");
        let host = uri.host().ok_or(ConnectError::NoHost)?;
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let (addresses, named) = match literal {
            Ok(address) => (vec![address], false),
            Err(_) => {
                let found = self.resolver.resolve(host).await.map_err(ConnectError::Unresolved)?;
                (found, self.guard.is_named(host))
            }
        };
        if addresses.is_empty() {
            return Err(ConnectError::Unresolved(io::ErrorKind::NotFound.into()));
        }
        let mut outcome = Err(ConnectError::NotAllowed);
        let permitted =
            addresses.into_iter().filter(|address| self.guard.permits(encrypted, named, *address));
        for address in permitted.take(MOST_TRIED) {
            outcome = connect_to(SocketAddr::new(address, port)).await.map_err(ConnectError::Failed);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(io::Error::from)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Service<Uri> for GuardedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(uri).await.map(TokioIo::new) })
    }
}
