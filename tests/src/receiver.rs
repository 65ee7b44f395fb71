//! A receiver of webhooks that does as it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What it does with a message that it has read.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// Answers this status, and these further lines of the head.
    Status(u16, &'static str),
    /// Answers this status with this JSON.
    Json(u16, &'static str),
    /// Answers 200 after so long.
    Late(Duration),
    /// Answers 200 with a megabyte.
    Megabyte,
    /// Says nothing and hangs up.
    HangUp,
    /// Says nothing and keeps the connection.
    Silent,
}

/// A message that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// The request line and the headers, as they came.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Received {
    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        let find =
            |line: &'_ str| line.split_once(": ").is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
        self.head
            .lines()
            .find(|line| find(line))
            .and_then(|line| line.split_once(": "))
            .map_or("", |(_, value)| value)
    }

    /// How many of its signatures are by this secret, as Standard Webhooks reckons them.
    pub fn signatures_by(&self, secret: &str) -> Result<usize> {
        let secret = secret.strip_prefix("whsec_").context("no secret")?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&BASE64_STANDARD.decode(secret)?)?;
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        mac.update(format!("{id}.{timestamp}.{}", self.body).as_bytes());
        let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        Ok(self.signatures().filter(|found| *found == signature).count())
    }

    /// All of its signatures.
    pub fn signatures(&self) -> impl Iterator<Item = &str> {
        self.header("webhook-signature").split(' ')
    }
}

#[derive(Default)]
struct State {
    manners: BTreeMap<String, VecDeque<Manner>>,
    received: Vec<(String, Received)>,
}

/// A receiver. Each path has manners of its own: one after the other, the last for ever; 200 where
/// there are none.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Starts to listen on a port of its own.
    pub async fn start() -> Result<Self> {
        Self::at(0).await
    }

    /// Starts to listen on that port.
    pub async fn at(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                // What becomes of a connection is seen by whoever made it.
                tokio::spawn(async move { drop(serve(stream, &shared).await) });
            }
        });
        Ok(Self { address, state, accepting })
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Tells it how to treat a path from now on.
    pub fn behave(&self, path: &str, manners: impl IntoIterator<Item = Manner>) {
        lock(&self.state).manners.insert(path.to_owned(), manners.into_iter().collect());
    }

    /// What has come to a path so far.
    pub fn received(&self, path: &str) -> Vec<Received> {
        let state = lock(&self.state);
        state.received.iter().filter(|(found, _)| found == path).map(|(_, one)| one.clone()).collect()
    }

    /// What has come to a path, once it is as many as that.
    pub async fn until(&self, path: &str, count: usize, patience: Duration) -> Result<Vec<Received>> {
        let deadline = Instant::now() + patience;
        loop {
            let received = self.received(path);
            if received.len() >= count {
                return Ok(received);
            }
            ensure!(Instant::now() < deadline, "{path} was told {} times, not {count}", received.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut buffer = [0; 8192];
        let read = stream.read(&mut buffer).await?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) || read == 0 {
                break (head.to_owned(), body.to_owned());
            }
        }
        if read == 0 {
            return Ok(());
        }
    };
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default().trim_start_matches('/').to_owned();
    let manner = {
        let mut state = lock(state);
        state.received.push((path.clone(), Received { head, body }));
        let manners = state.manners.entry(path).or_default();
        if manners.len() > 1 { manners.pop_front() } else { manners.front().copied() }
    };
    match manner.unwrap_or(Manner::Status(200, "")) {
        Manner::Status(status, lines) => {
            let answer = format!("HTTP/1.1 {status} X\r\n{lines}content-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await
        }
        Manner::Json(status, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            stream.write_all((head + body).as_bytes()).await
        }
        Manner::Late(time) => {
            tokio::time::sleep(time).await;
            stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n").await
        }
        Manner::Megabyte => {
            stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 1048576\r\n\r\n").await?;
            stream.write_all(&vec![b'x'; 1 << 20]).await
        }
        Manner::HangUp => Ok(()),
        Manner::Silent => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(())
        }
    }
}
