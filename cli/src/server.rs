//! Serves the routes on a socket: what `axum::serve` does, and an end for connections that say nothing.

use std::time::Duration;

use axum::{Router, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long a connection may take to send the head of its next request. Reverse proxies keep idle connections for
/// about 60 s: were the server the first to close one, a request could be lost on it.
pub(crate) const QUIET: Duration = Duration::from_secs(75);

/// Answers until `shutdown`, and then until the answers under way are given.
pub(crate) async fn answer(
    mut listener: TcpListener,
    routes: Router,
    quiet: Duration,
    shutdown: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(quiet);
    let connections = GracefulShutdown::new();
    loop {
        // Axum's way to accept waits where the process has no descriptor left.
        let (stream, _) = tokio::select! {
            accepted = Listener::accept(&mut listener) => accepted,
            () = shutdown.cancelled() => break,
        };
        // Small answers must not wait for more to fill a packet.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(routes.clone());
        let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // Most often a client that left.
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "connection ended");
            }
        });
    }
    drop(listener);
    connections.shutdown().await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::Notify,
    };

    use super::*;

    async fn serve(
        routes: Router,
        quiet: Duration,
    ) -> (TcpStream, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(answer(listener, routes, quiet, shutdown.clone()));
        (TcpStream::connect(address).await.unwrap(), shutdown, serving)
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_more_is_closed() {
        for said in ["", "GET / HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let routes = Router::new().route("/", get(async || "hello"));
            let (mut stream, _shutdown, _serving) = serve(routes, Duration::from_millis(50)).await;
            stream.write_all(said.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
            assert!(closed.is_ok(), "still open after {said:?}");
            let answered = String::from_utf8(answer).unwrap().ends_with("hello");
            assert_eq!(answered, said.ends_with("\r\n\r\n"), "{said:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_under_way_is_given_before_the_end() {
        let (asked, go) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
        let (inside, until) = (asked.clone(), go.clone());
        let handler = async move || {
            inside.notify_one();
            until.notified().await;
            "late"
        };
        let (mut stream, shutdown, serving) = serve(Router::new().route("/", get(handler)), QUIET).await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        asked.notified().await;
        shutdown.cancel();
        assert!(!serving.is_finished());
        go.notify_one();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("late"), "{answer}");
        serving.await.unwrap();
    }
}
