//! Small HTTP/1.1 servers on loopback: the Runtime API, the HTTP API, and the proxies to the back end.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::{Error, error::Source};

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Source>;

/// How a server answers. An error cuts the connection.
pub(crate) type Handler = Arc<
    dyn Fn(Request<Incoming>, SocketAddr) -> BoxFuture<'static, Result<Response<Body>, Cut>> + Send + Sync,
>;

/// The connection is cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut on purpose")]
pub(crate) struct Cut;

/// A server that runs until it is dropped, with all its connections.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

/// Takes a loopback port, a free one if it is 0. Nothing is answered before [`serve`].
pub(crate) async fn bind(port: u16) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(("127.0.0.1", port)).await;
    bound.map_err(|error| Error::Io(format!("listen on 127.0.0.1:{port}"), error))
}

/// Answers on that port.
pub(crate) fn serve(listener: TcpListener, handler: Handler) -> Result<Server, Error> {
    let address =
        listener.local_addr().map_err(|error| Error::Io("find the port listened on".to_owned(), error))?;
    let task = tokio::spawn(accept(listener, handler));
    Ok(Server { address, _task: AbortOnDropHandle::new(task) })
}

async fn accept(listener: TcpListener, handler: Handler) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Too many open files: others will close.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            }
            Err(_) => return,
        };
        let _ = stream.set_nodelay(true);
        let handler = Arc::clone(&handler);
        connections.spawn(async move {
            let service = service_fn(move |request| handler(request, peer));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).max_headers(200).half_close(false);
            // Whoever cuts the connection knows why.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// A body that is there whole.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    use http_body_util::BodyExt as _;
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}
