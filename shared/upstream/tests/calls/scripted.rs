//! An upstream on loopback that does as it is told, and counts what it got.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// What the upstream does once it has read a request.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// Answers with this status, media type and body.
    Answer(u16, &'static str, String),
    /// Answers with these further headers.
    With(u16, &'static str, String),
    /// Answers with this status, media type and body, which need be no UTF-8.
    Bytes(u16, &'static str, &'static [u8]),
    /// Answers after a while.
    Late(Duration, String),
    /// Answers a head and then a byte every 20 ms, for ever.
    Drip,
    /// Closes the connection: it may have acted or not.
    Close,
    /// Says nothing and keeps the connection.
    Hang,
    /// What is no HTTP.
    Noise,
    /// A head and half of a body.
    Half,
}

impl Script {
    pub(crate) fn json(body: impl Into<String>) -> Self {
        Self::Answer(200, "application/json", body.into())
    }
}

/// A request as the upstream saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    /// How often the same key came, this time counted.
    pub(crate) times: usize,
    pub(crate) at: Instant,
}

impl Seen {
    pub(crate) fn key(&self) -> &str {
        self.headers.get("idempotency-key").map_or("", String::as_str)
    }

    /// The number of the item, as its key has it.
    pub(crate) fn number(&self) -> u64 {
        self.key().rsplit('-').next().unwrap().parse().unwrap()
    }

    pub(crate) fn item(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

type Does = dyn Fn(&Seen) -> Script + Send + Sync;

pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    seen: Mutex<Vec<Seen>>,
    times: Mutex<HashMap<String, usize>>,
    now: AtomicUsize,
    most: AtomicUsize,
    does: Box<Does>,
}

impl Scripted {
    pub(crate) async fn start(does: impl Fn(&Seen) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            seen: Mutex::default(),
            times: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            does: Box::new(does),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// How often each item came.
    pub(crate) fn hits(&self) -> HashMap<u64, usize> {
        let mut hits = HashMap::new();
        for seen in self.seen() {
            *hits.entry(seen.number()).or_default() += 1;
        }
        hits
    }

    /// The most requests that it had at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut bytes = Vec::new();
    while let Some(request) = read(&mut stream, &mut bytes).await {
        let script = {
            let times = {
                let mut times = state.times.lock().unwrap();
                let times = times.entry(request.key().to_owned()).or_default();
                *times += 1;
                *times
            };
            let request = Seen { times, ..request };
            state.seen.lock().unwrap().push(request.clone());
            (state.does)(&request)
        };
        let now = state.now.fetch_add(1, Ordering::SeqCst) + 1;
        state.most.fetch_max(now, Ordering::SeqCst);
        let goes_on = follow(&mut stream, script, &state).await;
        if !goes_on {
            return;
        }
    }
}

async fn follow(stream: &mut TcpStream, script: Script, state: &State) -> bool {
    let over = || state.now.fetch_sub(1, Ordering::SeqCst);
    let (status, headers, body) = match script {
        Script::Answer(status, media_type, body) => (status, typed(media_type), body.into_bytes()),
        Script::Bytes(status, media_type, body) => (status, typed(media_type), body.to_vec()),
        Script::With(status, headers, body) => (status, headers.to_owned(), body.into_bytes()),
        Script::Late(after, body) => {
            sleep(after).await;
            (200, typed("application/json"), body.into_bytes())
        }
        Script::Drip => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
            let mut alive = stream.write_all(head.as_bytes()).await.is_ok();
            while alive {
                sleep(Duration::from_millis(20)).await;
                alive = stream.write_all(b"x").await.is_ok();
            }
            over();
            return false;
        }
        Script::Close => {
            over();
            return false;
        }
        Script::Hang => {
            sleep(Duration::from_secs(3600)).await;
            return false;
        }
        Script::Noise => {
            over();
            let _ = stream.write_all(b"220 mail.test ESMTP\r\n").await;
            return false;
        }
        Script::Half => {
            over();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":").await;
            return false;
        }
    };
    let head = format!("HTTP/1.1 {status} Scripted\r\n{headers}content-length: {}\r\n\r\n", body.len());
    // Not busy any more once the answer can be read.
    over();
    stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(&body).await.is_ok()
}

fn typed(media_type: &str) -> String {
    format!("content-type: {media_type}\r\n")
}

async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Seen> {
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let line = lines.next()?.to_owned();
            let headers: HashMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                let body = body[..length].to_owned();
                bytes.drain(..head.len() + 4 + length);
                return Some(Seen { line, headers, body, times: 0, at: Instant::now() });
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}
