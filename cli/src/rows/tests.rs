//! Feeding and collecting against a server that loses uploads as real ones do.

use std::{
    fs,
    io::Read,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::{get, put},
};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use willcall_core::format::{Compression, Format};

use super::*;
use crate::{
    client::{
        Client,
        wire::{Batch, File},
    },
    failure::{Exit, Failure},
    progress::Reporter,
    target::Target,
};

const LINES: &str = "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n{\"id\":4}\n";

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    url: String,
    /// A place that takes connections and closes them.
    broken: String,
    /// What becomes of the next uploads: a status, or 0 for a link to the broken place. None left, they arrive.
    plan: Vec<u16>,
    batches: Vec<(Value, Option<Bytes>)>,
    puts: usize,
}

impl Inner {
    /// The batch with a link made just now.
    fn shown(&mut self, number: usize) -> Value {
        let host = match self.plan.first() {
            Some(0) => {
                self.plan.remove(0);
                self.broken.clone()
            }
            _ => self.url.clone(),
        };
        let (batch, arrived) = &self.batches[number];
        let mut batch = batch.clone();
        if arrived.is_none() && batch["state"] == "waiting_for_upload" {
            batch["files"][0]["upload"] =
                json!({ "url": format!("{host}/upload/{number}"), "headers": { "x-a": "b" } });
        }
        batch
    }
}

async fn add(State(fake): State<Fake>, headers: HeaderMap, draft: Bytes) -> impl IntoResponse {
    let draft: Value = serde_json::from_slice(&draft).unwrap();
    assert!(headers.contains_key("idempotency-key"));
    let mut inner = fake.0.lock().unwrap();
    let number = inner.batches.len();
    let batch = json!({ "batch_id": number.to_string(), "name": draft["name"], "state": "waiting_for_upload",
                        "first_item": draft["first_item"], "files": draft["files"], "counts": null, "download_link": null, "error": null });
    inner.batches.push((batch, None));
    (StatusCode::CREATED, inner.shown(number).to_string())
}

async fn list(State(fake): State<Fake>) -> String {
    let inner = fake.0.lock().unwrap();
    let all: Vec<Value> = inner.batches.iter().map(|(batch, _)| batch.clone()).collect();
    json!({ "batches": all, "next_cursor": null }).to_string()
}

async fn show(State(fake): State<Fake>, Path(number): Path<usize>) -> String {
    fake.0.lock().unwrap().shown(number).to_string()
}

async fn receive(
    State(fake): State<Fake>,
    Path(number): Path<usize>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let mut inner = fake.0.lock().unwrap();
    inner.puts += 1;
    assert!(headers.get("authorization").is_none(), "the token is the server's alone");
    assert_eq!(
        (&headers["x-a"], headers["content-length"].to_str().unwrap()),
        (&"b".parse().unwrap(), body.len().to_string().as_str())
    );
    if !inner.plan.is_empty() {
        return StatusCode::from_u16(inner.plan.remove(0)).unwrap();
    }
    assert_eq!(inner.batches[number].0["files"][0]["bytes"], body.len());
    inner.batches[number].1 = Some(body);
    inner.batches[number].0["state"] = "completed".into();
    StatusCode::OK
}

/// What the job delivers of each item: its text back, and the second one failed.
async fn result(State(fake): State<Fake>, Path(number): Path<usize>) -> String {
    outcome(fake.0.lock().unwrap().batches[number].1.as_ref().unwrap())
}

fn outcome(uploaded: &[u8]) -> String {
    let text = String::from_utf8_lossy(uploaded);
    let line = |line: &str| {
        let state = if line.contains('2') { "failed" } else { "succeeded" };
        format!("{{\"id\":{line},\"state\":\"{state}\"}}\n")
    };
    text.lines().map(line).collect()
}

struct World {
    fake: Fake,
    client: Client,
    directory: TempDir,
}

impl World {
    async fn new(plan: &[u16]) -> Self {
        let fake = Fake::default();
        let routes = Router::new()
            .route("/v1/jobs/j/batches", get(list).post(add))
            .route("/v1/jobs/j/batches/{number}", get(show))
            .route("/upload/{number}", put(receive))
            .route("/result/{number}", get(result))
            .with_state(fake.clone());
        let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (listener, broken) = (listen().await, listen().await);
        let url = format!("http://{}", listener.local_addr().unwrap());
        {
            let mut inner = fake.0.lock().unwrap();
            inner.url.clone_from(&url);
            inner.broken = format!("http://{}", broken.local_addr().unwrap());
            inner.plan = plan.to_vec();
        }
        tokio::spawn(async move { axum::serve(listener, routes).await });
        tokio::spawn(async move {
            while let Ok((stream, _)) = broken.accept().await {
                drop(stream);
            }
        });
        let client = Client::remote(&url, Some("wc_secret".into())).unwrap();
        Self { fake, client, directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn input(&self, text: &str) -> Input {
        fs::write(self.path("x.jsonl"), text).unwrap();
        Input::open(&RowsFile::at(&self.path("x.jsonl")).unwrap(), 10, true).unwrap()
    }

    async fn feed(&self, input: &Input) -> Result<usize, Failure> {
        feed(&self.client, "j", input, &mut Reporter::Silent).await
    }

    fn uploaded(&self) -> String {
        let inner = self.fake.0.lock().unwrap();
        let texts = inner.batches.iter().filter_map(|(_, text)| text.clone());
        texts.map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
    }
}

#[tokio::test]
async fn an_upload_that_broke_off_is_sent_again_by_a_link_of_its_own() {
    let world = World::new(&[0, 503, 403]).await;
    let input = world.input(LINES);
    assert_eq!((input.parts.len(), world.feed(&input).await.unwrap()), (2, 0));
    assert_eq!(world.uploaded(), LINES);
    let sent = world.fake.0.lock().unwrap().puts;
    assert_eq!(sent, 4);
    // A later command finds all there.
    assert_eq!(world.feed(&input).await.unwrap(), 2);
    assert_eq!(world.fake.0.lock().unwrap().puts, sent);
}

#[tokio::test]
async fn batches_of_items_are_told_which_rows_they_begin_with() {
    let world = World::new(&[]).await;
    let mut input = world.input(LINES);
    input.numbered = true;
    world.feed(&input).await.unwrap();
    let inner = world.fake.0.lock().unwrap();
    let firsts: Vec<&Value> = inner.batches.iter().map(|(batch, _)| &batch["first_item"]).collect();
    assert_eq!(firsts, [&Value::Null, &json!(3)]);
}

#[tokio::test]
async fn only_what_is_not_there_is_uploaded_and_what_was_given_up_is_added_anew() {
    let world = World::new(&[]).await;
    let input = world.input(LINES);
    world.feed(&input).await.unwrap();
    world.fake.0.lock().unwrap().batches[1].0["state"] = "cancelled".into();
    assert_eq!(world.feed(&input).await.unwrap(), 1);
    assert_eq!(world.fake.0.lock().unwrap().batches.len(), 3);
    // Another text is no part of the job.
    let other = world.input("{\"id\":5}\n{\"id\":6}\n");
    assert_eq!(world.feed(&other).await.unwrap_err().exit, Exit::Usage);
}

#[tokio::test]
async fn an_upload_that_never_arrives_is_given_up_and_one_that_is_refused_at_once() {
    let world = World::new(&[0; 50]).await;
    let failure = world.feed(&world.input(LINES)).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unavailable);
    let world = World::new(&[400; 50]).await;
    let failure = world.feed(&world.input(LINES)).await.unwrap_err();
    assert_eq!((failure.exit, world.fake.0.lock().unwrap().puts), (Exit::Failed, 1));
}

#[tokio::test]
async fn results_are_put_together_in_the_order_of_the_input_and_failed_items_left() {
    let world = World::new(&[]).await;
    let input = world.input(LINES);
    world.feed(&input).await.unwrap();
    let (mut target, mut failed) =
        (Target::named(&world.path("out.jsonl")).unwrap(), Target::named(&world.path("bad.jsonl")).unwrap());
    let shape =
        Shape { format: Format::Jsonl, compression: Compression::None, delimiter: b',', header: true };
    let mut collector =
        Collector::new(&world.client, "j", &input, (shape, Told::Call), &mut target, Some(&mut failed));
    for (number, part) in input.parts.iter().enumerate() {
        let batch: Batch = {
            let mut inner = world.fake.0.lock().unwrap();
            let link = format!("{}/result/{number}", inner.url);
            inner.batches[number].0["download_link"] = link.into();
            serde_json::from_value(inner.batches[number].0.clone()).unwrap()
        };
        let mut text = String::new();
        input.read(part).unwrap().read_to_string(&mut text).unwrap();
        let text = outcome(text.as_bytes());
        let (bytes, sha256) = (text.len() as u64, hex::encode(Sha256::digest(&text)));
        let expected = File { bytes, sha256, batch_id: Some(batch.batch_id.clone()) };
        collector.add(part, &batch, &expected, &mut Reporter::Silent).await.unwrap();
        let wrong = File { sha256: "0".repeat(64), ..expected };
        let failure = collector.add(part, &batch, &wrong, &mut Reporter::Silent).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Corrupt);
    }
    assert_eq!(collector.failed_rows, 1);
    collector.add_failed(&input.parts[1]).unwrap();
    target.publish().unwrap();
    failed.publish().unwrap();
    assert_eq!(fs::read_to_string(world.path("out.jsonl")).unwrap(), outcome(LINES.as_bytes()));
    let failed = fs::read_to_string(world.path("bad.jsonl")).unwrap();
    assert_eq!(failed, "{\"id\":2}\n{\"id\":3}\n{\"id\":4}\n");
}
