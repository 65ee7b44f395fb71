//! The sender against receivers that behave, and many that do not.

#![expect(clippy::unwrap_used, reason = "a test: what it does not expect must end it")]

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use willcall_core::{
    Timestamp,
    ports::{Message, Reply, SendError, Sender},
    webhook::{AllowList, Method, Secret},
};
use willcall_outbound::Resolve;
use willcall_webhook::{HttpSender, signature};

/// What a receiver does once it has read a request.
#[derive(Debug, Clone, Copy)]
enum Script {
    /// Answers this and closes.
    Answer(&'static str),
    /// Answers a head, and then a megabyte.
    Megabyte,
    /// Answers one byte every 100 ms, for ever.
    Drip,
    /// Answers a head that never ends.
    EndlessHead,
    /// Closes the connection with nothing said.
    Close,
    /// Says nothing and keeps the connection.
    Hang,
}

struct Receiver {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script, Arc::clone(&seen)));
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/hook?mine=1", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, script: Script, seen: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            body.len() >= length.unwrap_or(0)
        });
        if whole || read == 0 {
            seen.lock().unwrap().push(text);
            break;
        }
    }
    match script {
        Script::Answer(text) => drop(stream.write_all(text.as_bytes()).await),
        Script::Megabyte => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n";
            if stream.write_all(head.as_bytes()).await.is_ok() {
                let _ = stream.write_all(&vec![b'x'; 1 << 20]).await;
            }
        }
        Script::Drip => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
            let mut alive = stream.write_all(head.as_bytes()).await.is_ok();
            while alive {
                tokio::time::sleep(Duration::from_millis(100)).await;
                alive = stream.write_all(b"x").await.is_ok();
            }
        }
        Script::EndlessHead => {
            let mut alive = stream.write_all(b"HTTP/1.1 200 OK\r\nx-a: ").await.is_ok();
            while alive {
                alive = stream.write_all(&[b'x'; 1024]).await.is_ok();
            }
        }
        Script::Close => {}
        Script::Hang => tokio::time::sleep(Duration::from_secs(3600)).await,
    }
}

fn local() -> HttpSender {
    HttpSender::new(AllowList::parse(["127.0.0.1"]).unwrap())
}

fn message(url: impl Into<String>) -> Message {
    Message {
        url: url.into(),
        method: Method::Post,
        id: "evt_1".into(),
        now: Timestamp::parse("2026-01-05T10:00:00Z").unwrap(),
        content: r#"{"type":"results.ready"}"#.into(),
        secrets: vec![Secret::generate().unwrap()],
    }
}

async fn send(script: Script) -> (Result<Reply, SendError>, Duration) {
    let receiver = Receiver::start(script).await;
    let began = Instant::now();
    (local().send(&message(receiver.url())).await, began.elapsed())
}

#[tokio::test]
async fn a_post_carries_body_and_signed_headers() {
    let receiver = Receiver::start(Script::Answer("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let mut message = message(receiver.url());
    message.secrets.push(Secret::generate().unwrap());
    let reply = local().send(&message).await.unwrap();
    assert_eq!(reply, Reply { status: 204, retry_after: None });
    let request = receiver.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?mine=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, message.content);
    let timestamp = message.now.as_seconds();
    for line in [
        "webhook-id: evt_1".to_owned(),
        format!("webhook-timestamp: {timestamp}"),
        format!("webhook-signature: {}", signature(&message.secrets, "evt_1", timestamp, body)),
        "content-type: application/json".into(),
        format!("host: {}", receiver.address),
    ] {
        assert!(head.lines().any(|found| found == line), "{line}\n{head}");
    }
}

#[tokio::test]
async fn a_get_carries_its_content_as_query_and_signs_all_of_it() {
    let receiver = Receiver::start(Script::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let content = "type=results.ready&timestamp=2026-01-05T10:00:00.000Z";
    let message = Message { method: Method::Get, content: content.into(), ..message(receiver.url()) };
    local().send(&message).await.unwrap();
    let request = receiver.requests().remove(0);
    let query = format!("mine=1&{content}");
    assert!(request.starts_with(&format!("GET /hook?{query} HTTP/1.1\r\n")), "{request}");
    let signed = signature(&message.secrets, "evt_1", message.now.as_seconds(), &query);
    assert!(request.contains(&format!("webhook-signature: {signed}\r\n")), "{request}");
    assert!(!request.contains("content-type"), "{request}");
}

#[tokio::test]
async fn every_status_is_an_answer_and_none_is_followed() {
    for (head, status, retry_after) in [
        ("HTTP/1.1 200 OK", 200, None),
        ("HTTP/1.1 500 Internal Server Error", 500, None),
        ("HTTP/1.1 410 Gone", 410, None),
        ("HTTP/1.1 503 Busy\r\nretry-after: 120", 503, Some(120)),
        ("HTTP/1.1 429 Slow\r\nretry-after: Mon, 05 Jan 2026 10:10:00 GMT", 429, Some(600)),
        ("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/", 301, None),
        ("HTTP/1.1 307 Elsewhere\r\nlocation: http://169.254.169.254/latest/meta-data/", 307, None),
    ] {
        let text: &'static str = format!("{head}\r\ncontent-length: 0\r\n\r\n").leak();
        let receiver = Receiver::start(Script::Answer(text)).await;
        let reply = local().send(&message(receiver.url())).await.unwrap();
        let retry_after = retry_after.map(Duration::from_secs);
        assert_eq!(reply, Reply { status, retry_after }, "{head}");
        assert_eq!(receiver.requests().len(), 1, "{head}");
    }
}

#[tokio::test]
async fn a_large_or_slow_body_does_not_hold_the_sender() {
    for script in [Script::Megabyte, Script::Drip] {
        let (reply, took) = send(script).await;
        assert_eq!(reply.unwrap().status, 200, "{script:?}");
        assert!(took < Duration::from_secs(5), "{script:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let (reply, _) = send(Script::Answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")).await;
    assert_eq!(reply.unwrap().status, 200);
}

#[tokio::test]
async fn no_answer_and_no_http_are_failures() {
    for script in [
        Script::Close,
        Script::Answer("HTTP/1.1 2"),
        Script::Answer("SSH-2.0-OpenSSH_9.9\r\n"),
        Script::Answer("\0\0\0\0"),
        Script::EndlessHead,
    ] {
        let (reply, took) = send(script).await;
        assert!(matches!(reply, Err(SendError::Broken(_))), "{script:?}: {reply:?}");
        assert!(took < Duration::from_secs(10), "{script:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_is_given_up_after_fifteen_seconds() {
    let receiver = Receiver::start(Script::Hang).await;
    let began = Instant::now();
    let reply = local().send(&message(receiver.url())).await;
    assert!(matches!(reply, Err(SendError::TimedOut(_))), "{reply:?}");
    assert!((14..17).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_a_failure_to_connect() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let reply = local().send(&message(format!("http://{address}/"))).await;
    assert!(matches!(reply, Err(SendError::Connect(_))), "{reply:?}");
}

#[tokio::test]
async fn plain_http_behind_https_is_a_failure_of_encryption() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    let reply = local().send(&message(format!("https://{address}/"))).await;
    assert!(matches!(reply, Err(SendError::Tls(_))), "{reply:?}");
}

/// Leads each name to the next of its answers, the last one for ever.
struct Rebinding {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Resolve for Rebinding {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.answers[asked.min(self.answers.len() - 1)].clone())
    }
}

fn rebinding(answers: &[&[&str]], allow: &[&str]) -> (HttpSender, Arc<Rebinding>) {
    let answers =
        answers.iter().map(|some| some.iter().map(|text| text.parse().unwrap()).collect()).collect();
    let resolver = Arc::new(Rebinding { answers, asked: AtomicUsize::new(0) });
    let sender = HttpSender::with_resolver(AllowList::parse(allow).unwrap(), Arc::clone(&resolver) as _);
    (sender, resolver)
}

#[tokio::test]
async fn a_name_is_judged_by_what_it_leads_to_at_each_attempt() {
    let receiver = Receiver::start(Script::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let url = format!("http://localhost:{}/", receiver.address.port());
    // First where the operator lets it, then where nobody is let.
    let (sender, resolver) =
        rebinding(&[&["127.0.0.1"], &["127.0.0.2"], &["10.0.0.1"], &["::1"]], &["127.0.0.1"]);
    assert_eq!(sender.send(&message(&url)).await.unwrap().status, 200);
    for _ in 0..3 {
        let reply = sender.send(&message(&url)).await;
        assert!(matches!(reply, Err(SendError::NotAllowed)), "{reply:?}");
    }
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 4, "once for each attempt");
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to() {
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "fd00:ec2::254",
        "fe80::1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2001::1",
    ] {
        let (sender, _) = rebinding(&[&[address]], &[]);
        let reply = sender.send(&message("https://innocent.example/")).await;
        assert!(matches!(reply, Err(SendError::NotAllowed)), "{address}: {reply:?}");
    }
    let (sender, _) = rebinding(&[&[]], &[]);
    let reply = sender.send(&message("https://innocent.example/")).await;
    assert!(matches!(reply, Err(SendError::Unresolved(_))), "{reply:?}");
}

#[tokio::test]
async fn of_several_addresses_only_those_allowed_are_tried() {
    let receiver = Receiver::start(Script::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let (sender, _) = rebinding(&[&["10.0.0.1", "::1", "127.0.0.1"]], &["127.0.0.1"]);
    let url = format!("http://localhost:{}/", receiver.address.port());
    assert_eq!(sender.send(&message(url)).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_unfit_address_is_refused_without_a_connection() {
    let receiver = Receiver::start(Script::Answer("HTTP/1.1 200 OK\r\n\r\n")).await;
    let sender = HttpSender::new(AllowList::default());
    for url in [receiver.url(), receiver.url().replace("http:", "https:"), "https://127.1:1/".into()] {
        assert!(sender.check(&url).is_err(), "{url}");
        let reply = sender.send(&message(url.clone())).await;
        assert!(matches!(reply, Err(SendError::Unfit(_))), "{url}: {reply:?}");
    }
    assert!(receiver.requests().is_empty());
}
