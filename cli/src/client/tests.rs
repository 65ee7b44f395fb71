//! The client against servers that misbehave as real ones do.

use std::{
    io::{Read, Seek, SeekFrom},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    http::HeaderMap,
    response::IntoResponse,
    routing::{get, post},
};
use futures::{StreamExt, stream};
use sha2::{Digest, Sha256};

use super::*;
use crate::{progress::Reporter, target::Target};

const TOKEN: &str = "wc_secret";
const JOB: &str = "0192f6a0-7c1e-7b3a-9f00-3d1c5a8e2b41";

fn answered(value: Value) -> ([(&'static str, &'static str); 1], String) {
    ([("content-type", "application/json")], value.to_string())
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn client(url: &str) -> Client {
    Client::remote(url, Some(TOKEN.into())).unwrap()
}

fn data() -> Bytes {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>().into()
}

/// A host of files that answers as told, one answer a request, and notes what it was asked.
#[derive(Clone)]
struct Files {
    asked: Arc<Mutex<Vec<HeaderMap>>>,
    plan: Arc<Vec<Answers>>,
}

#[derive(Clone, Copy)]
enum Answers {
    /// Says that all comes, and breaks off after that many bytes.
    BreaksAfter(usize),
    /// Goes on where asked.
    Rest,
    /// Sends all, whatever is asked.
    Whole,
    /// Sends all, one bit changed.
    Changed,
    /// Sends all but the last byte, and says so.
    Short,
    /// Says that the file is gone.
    Gone,
}

async fn answer(State(files): State<Files>, headers: HeaderMap) -> impl IntoResponse {
    let range = headers.get("range").and_then(|range| range.to_str().ok());
    let start: usize = range.map_or(0, |range| range["bytes=".len()..range.len() - 1].parse().unwrap());
    let number = {
        let mut asked = files.asked.lock().unwrap();
        asked.push(headers.clone());
        asked.len() - 1
    };
    let (data, plain) = (data(), || [("etag", "\"tag\"".to_owned())]);
    match files.plan[number.min(files.plan.len() - 1)] {
        Answers::BreaksAfter(bytes) => {
            let part = stream::iter([Ok(data.slice(start..start + bytes))]);
            // Waiting once lets the part go out before the connection breaks.
            let cut = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            let length = ("content-length", (data.len() - start).to_string());
            let body = Body::from_stream(part.chain(cut));
            match start {
                0 => ([("etag", "\"tag\"".to_owned()), length], body).into_response(),
                _ => {
                    let range = ("content-range", format!("bytes {start}-{}/{}", data.len() - 1, data.len()));
                    (StatusCode::PARTIAL_CONTENT, [range, length], body).into_response()
                }
            }
        }
        Answers::Rest => {
            assert_eq!(headers.get("if-range").unwrap(), "\"tag\"");
            let range = format!("bytes {start}-{}/{}", data.len() - 1, data.len());
            (StatusCode::PARTIAL_CONTENT, [("content-range", range)], data.slice(start..)).into_response()
        }
        Answers::Whole => (plain(), data).into_response(),
        Answers::Changed => {
            let mut data = data.to_vec();
            data[77] ^= 1;
            (plain(), data).into_response()
        }
        Answers::Short => (plain(), data.slice(..data.len() - 1)).into_response(),
        Answers::Gone => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Fetches a result whose link leads to a host that answers as told.
async fn fetch(plan: &[Answers]) -> (Result<Fetched, Failure>, Vec<u8>, Vec<HeaderMap>) {
    let directory = tempfile::tempdir().unwrap();
    fetch_to(&directory.path().join("x"), plan).await
}

async fn fetch_to(path: &Path, plan: &[Answers]) -> (Result<Fetched, Failure>, Vec<u8>, Vec<HeaderMap>) {
    let files = Files { asked: Arc::default(), plan: Arc::new(plan.to_vec()) };
    let elsewhere = serve(Router::new().route("/file", get(answer)).with_state(files.clone())).await;
    let sha256 = hex::encode(Sha256::digest(data()));
    let manifest = json!({ "files": [{ "bytes": data().len(), "sha256": sha256 }] });
    let link = json!({ "url": format!("{elsewhere}/file?signature=x") });
    let authorised = |headers: &HeaderMap| headers["authorization"] == format!("Bearer {TOKEN}");
    let api = Router::new()
        .route(&format!("/v1/jobs/{JOB}/manifest"), get(async move || answered(manifest)))
        .route(
            &format!("/v1/jobs/{JOB}/download"),
            get(async move |headers: HeaderMap| {
                assert!(authorised(&headers));
                answered(link)
            }),
        );
    let client = client(&serve(api).await);
    let mut target = Target::named(path).unwrap();
    let fetched = client.fetch(JOB, &mut target, &mut Reporter::Silent).await;
    let mut bytes = Vec::new();
    let file = target.file().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    match &fetched {
        Ok(_) => target.publish().unwrap(),
        Err(failure) => target.keep_after(failure),
    }
    let asked = files.asked.lock().unwrap().clone();
    (fetched, bytes, asked)
}

#[tokio::test]
async fn the_token_never_goes_to_the_host_of_a_link() {
    let (fetched, bytes, asked) = fetch(&[Answers::Whole]).await;
    assert_eq!(fetched.unwrap().bytes, data().len() as u64);
    assert_eq!(bytes, data());
    assert_eq!(asked.len(), 1);
    assert!(asked[0].get("authorization").is_none());
}

#[tokio::test]
async fn a_link_to_an_address_that_the_server_no_longer_has_is_tried_at_the_server() {
    let file = async |headers: HeaderMap| {
        assert!(headers.get("authorization").is_none());
        "here"
    };
    let client = client(&serve(Router::new().route("/v1/files/a", get(file))).await);
    let answer =
        client.open_link("http://127.0.0.1:1/v1/files/a?signature=x", HeaderMap::new()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(client.open_link("http://127.0.0.1:1/other", HeaderMap::new()).await.is_err());
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_was() {
    let plan = [Answers::BreaksAfter(100_000), Answers::BreaksAfter(50_000), Answers::Rest];
    let (fetched, bytes, asked) = fetch(&plan).await;
    fetched.unwrap();
    assert_eq!(bytes, data());
    let ranges: Vec<_> = asked.iter().map(|headers| headers.get("range").cloned()).collect();
    assert_eq!(ranges[0], None);
    assert!(ranges[1..].iter().all(Option::is_some));
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn a_later_command_goes_on_with_what_an_earlier_one_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let names = || std::fs::read_dir(directory.path()).unwrap().count();
    let (broken, ..) = fetch_to(&path, &[Answers::BreaksAfter(100_000), Answers::Gone]).await;
    assert_eq!(broken.unwrap_err().exit, Exit::Unavailable);
    assert_eq!((path.exists(), names()), (false, 2));
    let (fetched, _, asked) = fetch_to(&path, &[Answers::Rest]).await;
    fetched.unwrap();
    assert_eq!((asked.len(), &asked[0]["range"]), (1, &HeaderValue::from_static("bytes=100000-")));
    assert_eq!((std::fs::read(&path).unwrap(), names()), (data().to_vec(), 1));
}

#[tokio::test]
async fn a_part_of_what_was_replaced_since_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let (broken, ..) = fetch_to(&path, &[Answers::BreaksAfter(100_000), Answers::Gone]).await;
    assert_eq!(broken.unwrap_err().exit, Exit::Unavailable);
    let (fetched, _, asked) = fetch_to(&path, &[Answers::Whole]).await;
    fetched.unwrap();
    assert!(asked[0].contains_key("if-range"));
    assert_eq!(std::fs::read(&path).unwrap(), data());
}

#[tokio::test]
async fn a_file_that_was_replaced_meanwhile_is_fetched_from_its_start() {
    let (fetched, bytes, _) = fetch(&[Answers::BreaksAfter(100_000), Answers::Whole]).await;
    fetched.unwrap();
    assert_eq!(bytes, data());
}

#[tokio::test]
async fn what_differs_from_the_manifest_is_corrupt() {
    for plan in [Answers::Changed, Answers::Short] {
        let (fetched, ..) = fetch(&[plan]).await;
        assert_eq!(fetched.unwrap_err().exit, Exit::Corrupt);
    }
}

#[tokio::test]
async fn a_download_that_never_comes_is_given_up() {
    let (fetched, _, asked) = fetch(&[Answers::Gone]).await;
    assert_eq!(fetched.unwrap_err().exit, Exit::Unavailable);
    assert_eq!(asked.len(), 5);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says_so() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let handler = async move || match counted.fetch_add(1, Ordering::SeqCst) {
        0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "{}").into_response(),
        _ => (StatusCode::ACCEPTED, answered(job("accepted"))).into_response(),
    };
    let client = client(&serve(Router::new().route("/v1/jobs", post(handler))).await);
    let began = Instant::now();
    let submission = Submission { members: serde_json::Map::new(), params: Vec::new() };
    assert_eq!(client.submit(&submission).await.unwrap().read.state, "accepted");
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_submit_that_may_have_been_served_is_not_repeated() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let handler = async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        StatusCode::SERVICE_UNAVAILABLE
    };
    let client = client(&serve(Router::new().route("/v1/jobs", post(handler))).await);
    let submission = Submission { members: serde_json::Map::new(), params: Vec::new() };
    assert_eq!(client.submit(&submission).await.unwrap_err().exit, Exit::Unavailable);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_with_numbers_that_no_float_reaches_hides_no_job() {
    let mut shown = job("completed");
    shown["request"] = json!({ "items": [{ "n": "HERE" }] });
    let text = shown.to_string().replace("\"HERE\"", "1e400");
    assert!(serde_json::from_str::<Value>(&text).is_err());
    let path = format!("/v1/jobs/{JOB}");
    let client = client(&serve(Router::new().route(&path, get(async move || text))).await);
    assert_eq!(client.status(JOB, Duration::ZERO).await.unwrap().read.state, "completed");
}

fn job(state: &str) -> Value {
    json!({
        "job_id": JOB, "link": "l", "name": null, "dataset": "d", "state": state, "format": "csv",
        "compression": "none", "created": "", "expires": null, "duration": "PT0S", "result": null, "error": null,
        "progress": { "stage": "queued", "records_found": null, "records_requested": null, "records_written": 0,
                      "bytes_written": 0, "percent": 0.0, "queue_position": null },
    })
}

#[tokio::test]
async fn a_server_that_starts_anew_is_waited_for() {
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = async move || match calls.fetch_add(1, Ordering::SeqCst) {
        0 => answered(job("processing")).into_response(),
        1 => StatusCode::BAD_GATEWAY.into_response(),
        _ => answered(job("completed")).into_response(),
    };
    let client = client(&serve(Router::new().route(&format!("/v1/jobs/{JOB}"), get(handler))).await);
    let job = client.follow(JOB, None, &mut Reporter::Silent).await.unwrap();
    assert_eq!(job.read.state, "completed");
}

#[tokio::test]
async fn following_ends_when_the_time_given_is_over() {
    let handler = async || answered(job("processing"));
    let client = client(&serve(Router::new().route(&format!("/v1/jobs/{JOB}"), get(handler))).await);
    let failure = client.follow(JOB, Some(Duration::ZERO), &mut Reporter::Silent).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unavailable);
}

#[tokio::test]
async fn a_time_that_no_clock_reaches_is_no_limit() {
    let handler = async || answered(job("completed"));
    let client = client(&serve(Router::new().route(&format!("/v1/jobs/{JOB}"), get(handler))).await);
    let limit = Some(Duration::from_secs(u64::MAX));
    let job = client.follow(JOB, limit, &mut Reporter::Silent).await.unwrap();
    assert_eq!(job.read.state, "completed");
}

#[tokio::test]
async fn what_a_server_says_cannot_steer_the_terminal() {
    let evil = "\u{1b}]0;x\u{7}\u{9b}2J";
    let mut said = job(evil);
    for name in
        ["job_id", "link", "name", "dataset", "format", "compression", "created", "expires", "duration"]
    {
        said[name] = evil.into();
    }
    said["progress"]["stage"] = evil.into();
    let handler = async move || answered(said);
    let client = client(&serve(Router::new().route(&format!("/v1/jobs/{JOB}"), get(handler))).await);
    let job = client.status(JOB, Duration::ZERO).await.unwrap();
    let read = format!("{:?}", job.read);
    assert!(!read.contains("\\u{1b}") && !read.contains("\\u{9b}") && !read.contains("\\u{7}"), "{read}");
    assert_eq!(job.read.job_id, "\u{fffd}]0;x\u{fffd}\u{fffd}2J");
    let shown = crate::commands::status::describe(&job.read);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    assert_eq!(job.json["job_id"], evil, "what programs read is as it came");
}

#[tokio::test]
async fn an_answer_of_something_else_is_named_as_such() {
    let client = client(&serve(Router::new().fallback(async || "<html>hello</html>")).await);
    let failure = client.datasets().await.unwrap_err();
    assert_eq!(failure.exit, Exit::Failed);
}

#[test]
fn statuses_become_exit_codes() {
    for (status, exit) in [
        (400, Exit::Usage),
        (401, Exit::Denied),
        (403, Exit::Denied),
        (404, Exit::NotFound),
        (409, Exit::Failed),
        (410, Exit::NotFound),
        (413, Exit::Usage),
        (429, Exit::Unavailable),
        (500, Exit::Failed),
        (503, Exit::Unavailable),
    ] {
        assert_eq!(refused(StatusCode::from_u16(status).unwrap(), b"not json").exit, exit, "{status}");
    }
}

#[test]
fn what_a_job_is_called_cannot_lead_elsewhere() {
    assert_eq!(job_path("../x?y#z", ""), "/v1/jobs/..%2Fx%3Fy%23z");
}
