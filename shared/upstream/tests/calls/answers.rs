//! What becomes of an item by what the upstream answers.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use willcall_core::{
    format::{Compression, CsvOptions, Format, OutputFormat},
    job::{ProblemType, kinds::ItemState, pages},
    ports::{BlobKey, BlobStore, ExecuteError, SystemClock},
};
use willcall_outbound::Resolve;
use willcall_upstream::UpstreamExecutor;

use crate::{
    scripted::{Script, Scripted},
    world::{Known, World, body, items, tally, upstream},
};

#[tokio::test(flavor = "multi_thread")]
async fn each_item_is_sent_once_and_told_in_order() {
    let scripted = Scripted::start(|seen| {
        let late = Duration::from_millis(seen.number() * 7 % 20);
        Script::Late(late, format!("{{ \"is\": {} }}", seen.item()["n"]))
    })
    .await;
    let more = json!({
        "concurrency": 8,
        "headers": { "Authorization": { "env": "TOKEN", "prefix": "Bearer " }, "x-from": "test" },
    });
    let mut given = items(200);
    given[9] = json!({ "n": 10 });
    given[10] = json!({ "id": 7, "n": 11 });
    given[11] = json!({ "id": ["no"], "n": 12 });
    given[12] = json!({ "id": "item 1", "n": 13 });
    let world = World::new(upstream(&scripted, "/v1/people", more), given);
    let (outcomes, delivered) = world.run().await;
    assert_eq!(tally(&outcomes, &delivered), [200, 0, 0, 0]);
    for (place, outcome) in outcomes.iter().enumerate() {
        let n = place as u64 + 1;
        let id = match n {
            10 | 12 => json!(n),
            11 => json!(7),
            13 => json!("item 1"),
            _ => json!(format!("item {n}")),
        };
        assert_eq!((&outcome.id.value().unwrap(), outcome.status, outcome.attempts), (&id, Some(200), 1));
        assert_eq!(body(outcome), json!({ "is": n }));
        assert_eq!(outcome.body.as_ref().unwrap().get(), format!("{{\"is\":{n}}}"), "compact");
    }
    let seen = scripted.seen();
    let keys: HashSet<&str> = seen.iter().map(|seen| seen.key()).collect();
    assert_eq!((seen.len(), keys.len()), (200, 200));
    for seen in &seen {
        assert_eq!(seen.line, "POST /v1/people HTTP/1.1");
        assert_eq!(seen.key(), format!("{}-{}", world.job.job, seen.number()));
        assert_eq!(seen.item()["n"], json!(seen.number()));
        assert_eq!(seen.headers["authorization"], "Bearer s3cr3t");
        assert_eq!(
            (seen.headers["x-from"].as_str(), seen.headers["content-type"].as_str()),
            ("test", "application/json")
        );
        assert!(!seen.headers.contains_key("accept-encoding"));
    }
    assert!(scripted.most_at_once() <= 8 && scripted.most_at_once() > 1);
    assert_eq!(delivered.records_found, Some(200));
    assert_eq!(delivered.schema.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_items_members_go_into_the_address_and_nowhere_else() {
    let scripted = Scripted::start(|_| Script::json("{}")).await;
    let more = json!({ "method": "GET", "idempotency_header": "X-Key" });
    let world = World::new(
        upstream(&scripted, "/people/{email}?q={q}", more),
        vec![
            json!({ "email": "a/../b@c", "q": "1&x=2" }),
            json!({ "email": "d" }),
            json!({ "email": "..", "q": 1 }),
            json!({ "email": "", "q": 1 }),
        ],
    );
    let (outcomes, delivered) = world.run().await;
    assert_eq!(tally(&outcomes, &delivered), [1, 0, 0, 3]);
    let seen = scripted.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].line, "GET /people/a%2F..%2Fb%40c?q=1%26x%3D2 HTTP/1.1");
    assert_eq!(seen[0].headers["x-key"], format!("{}-1", world.job.job));
    assert!(!seen[0].headers.contains_key("content-type") && seen[0].body.is_empty());
    assert_eq!(outcomes[1].error.as_deref(), Some("/q: is missing, and the upstream's address needs it"));
    assert_eq!((outcomes[2].attempts, outcomes[2].status), (0, None));
}

/// State, status, attempts, words and body.
type Expected = (ItemState, Option<u16>, u32, &'static str, Value);

fn misbehaving(n: u64) -> (Script, Expected) {
    use ItemState::{Failed, Succeeded, Unknown};
    let json = "application/json";
    let big = format!("\"{}\"", "x".repeat(2000));
    match n {
        1 => (
            Script::Answer(404, json, "{\"why\": 1}".into()),
            (Failed, Some(404), 1, "answered 404", json!({ "why": 1 })),
        ),
        2 => (
            Script::Answer(500, "text/html", "<h1>oh</h1>".into()),
            (Failed, Some(500), 3, "answered 500", json!("<h1>oh</h1>")),
        ),
        3 => (
            Script::With(302, "location: http://127.0.0.1:1/inside\r\n", String::new()),
            (Failed, Some(302), 1, "redirects are not followed", Value::Null),
        ),
        4 => (Script::json("{\"half\":"), (Failed, Some(200), 1, "is not JSON", Value::Null)),
        5 => (Script::json(big), (Failed, Some(200), 1, "more than 1000 bytes", Value::Null)),
        6 => (
            Script::With(200, "content-type: application/json\r\ncontent-encoding: gzip\r\n", "x".into()),
            (Failed, Some(200), 1, "compressed", Value::Null),
        ),
        7 => (Script::Hang, (Unknown, None, 3, "no answer within", Value::Null)),
        8 => (Script::Drip, (Unknown, Some(200), 3, "no answer within", Value::Null)),
        9 => (Script::Close, (Unknown, None, 3, "connection broke before", Value::Null)),
        10 => (Script::Noise, (Unknown, None, 3, "connection broke before", Value::Null)),
        11 => (Script::Half, (Unknown, Some(200), 3, "in the middle of the answer", Value::Null)),
        12 => (Script::Answer(204, json, String::new()), (Succeeded, Some(204), 1, "", Value::Null)),
        13 => (
            Script::Answer(201, "text/plain", "thanks".into()),
            (Succeeded, Some(201), 1, "", json!("thanks")),
        ),
        14 => (
            Script::Answer(200, "image/png", "\u{89}PNG".into()),
            (Succeeded, Some(200), 1, "", json!("\u{89}PNG")),
        ),
        15 => {
            (Script::Answer(400, json, "x".repeat(2000)), (Failed, Some(400), 1, "answered 400", Value::Null))
        }
        _ => (Script::json("{}"), (Succeeded, Some(200), 1, "", json!({}))),
    }
}

async fn misbehave(idempotent: bool) {
    let scripted = Scripted::start(|seen| misbehaving(seen.number()).0).await;
    let more = json!({
        "idempotent": idempotent,
        "timeout": "700ms",
        "concurrency": 20,
        "max_response_bytes": 1000,
        "retries": { "attempts": 3, "backoff": "10ms", "statuses": [500] },
    });
    let world = World::new(upstream(&scripted, "/", more), items(16));
    let (outcomes, delivered) = world.run().await;
    tally(&outcomes, &delivered);
    let hits = scripted.hits();
    for (n, outcome) in (1..).zip(&outcomes) {
        let (state, status, attempts, words, answered) = misbehaving(n).1;
        let doubtful = state == ItemState::Unknown;
        // Where it does no harm, doubt is a reason to send again, and then nothing worse than a failure.
        let (state, attempts) = match (doubtful, idempotent) {
            (true, true) => (ItemState::Failed, attempts),
            (true, false) => (ItemState::Unknown, 1),
            (false, _) => (state, attempts),
        };
        assert_eq!(
            (outcome.state, outcome.status, outcome.attempts),
            (state, status, attempts),
            "{n}: {outcome:?}"
        );
        assert_eq!(hits[&n], attempts as usize, "{n}");
        let said = outcome.error.clone().unwrap_or_default();
        assert!(said.contains(words), "{n}: {said}");
        assert_eq!(said.contains("its answer was not seen"), doubtful && !idempotent, "{n}: {said}");
        assert_eq!(body(outcome), answered, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_and_doubt_is_a_reason_to_send_again() {
    misbehave(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_is_told_where_sending_again_is_not_safe() {
    misbehave(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_is_written_in_is_no_failure_of_what_was_done() {
    use ItemState::{Failed, Succeeded};
    let latin = "text/plain; charset=iso-8859-1";
    let lost = "its answer has bytes that are not UTF-8: U+FFFD stands in their place";
    let answers = [
        (Script::Bytes(201, latin, b"caf\xe9"), Succeeded, "café", None),
        (Script::Bytes(200, "text/plain", b"caf\xe9"), Succeeded, "caf\u{fffd}", Some(lost.to_owned())),
        (Script::Bytes(422, latin, b"d\xe9j\xe0"), Failed, "déjà", Some("the upstream answered 422".into())),
        (
            Script::Bytes(422, "text/html", b"d\xe9j\xe0"),
            Failed,
            "d\u{fffd}j\u{fffd}",
            Some(format!("the upstream answered 422; {lost}")),
        ),
    ];
    let scripts = answers.clone().map(|(script, ..)| script);
    let scripted = Scripted::start(move |seen| scripts[seen.number() as usize - 1].clone()).await;
    let world = World::new(upstream(&scripted, "/", json!({})), items(4));
    let (outcomes, delivered) = world.run().await;
    assert_eq!(tally(&outcomes, &delivered), [2, 2, 0, 0]);
    for (outcome, (_, state, text, error)) in outcomes.iter().zip(answers) {
        assert_eq!((outcome.state, body(outcome), &outcome.error), (state, json!(text), &error));
    }
    assert_eq!(scripted.count(), 4, "none is sent twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_sent_again_with_the_same_key() {
    let scripted = Scripted::start(|seen| match (seen.number(), seen.times) {
        (1, 1 | 2) => Script::Answer(503, "text/plain", "busy".into()),
        (2, 1) => Script::With(429, "retry-after: 1\r\n", String::new()),
        (3, _) => Script::With(503, "retry-after: 3600\r\n", String::new()),
        _ => Script::json("{}"),
    })
    .await;
    for idempotent in [true, false] {
        let more = json!({ "idempotent": idempotent });
        let world = World::new(upstream(&scripted, "/", more), items(3));
        let (outcomes, delivered) = world.run().await;
        assert_eq!(tally(&outcomes, &delivered), [2, 1, 0, 0]);
        assert_eq!(outcomes.iter().map(|o| o.attempts).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(outcomes[2].error.as_deref(), Some("the upstream answered 503, and asked to wait 3600 s"));
        let times = |n: u64| -> Vec<_> {
            let of = format!("{}-{n}", world.job.job);
            scripted.seen().into_iter().filter(|seen| seen.key() == of).map(|seen| seen.at).collect()
        };
        assert_eq!((times(1).len(), times(3).len()), (3, 1));
        let waited = times(2)[1] - times(2)[0];
        assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(3), "{waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_a_failure_and_no_doubt() {
    let scripted = Scripted::start(|_| Script::Close).await;
    // A port that was free a moment ago.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = upstream(&scripted, "/", json!({ "url": format!("http://{free}/") }));
    let (outcomes, delivered) = World::new(silent, items(1)).run().await;
    assert_eq!(tally(&outcomes, &delivered), [0, 1, 0, 0]);
    assert_eq!((outcomes[0].status, outcomes[0].attempts), (None, 3));
    assert!(outcomes[0].error.as_ref().unwrap().contains("was not reached"));
}

struct Inside;

#[async_trait]
impl Resolve for Inside {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec!["127.0.0.1".parse().unwrap()])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_inside_is_reached_that_the_operator_does_not_allow() {
    let scripted = Scripted::start(|_| Script::json("{}")).await;
    let port = scripted.address.port();
    for (url, allow) in [
        (format!("http://127.0.0.1:{port}/"), json!(["10.0.0.0/8"])),
        (format!("https://127.0.0.1:{port}/"), json!([])),
        (format!("https://api.test:{port}/"), json!([])),
        (format!("http://api.test:{port}/"), json!(["10.0.0.1"])),
        ("http://169.254.169.254/latest".into(), json!(["0.0.0.0/0"])),
    ] {
        let reached = upstream(&scripted, "/", json!({ "allow": allow, "url": url }));
        let mut world = World::new(reached, items(2));
        let secrets = Arc::new(Known(HashMap::new()));
        world.executor =
            Arc::new(UpstreamExecutor::with_resolver(secrets, Arc::new(SystemClock), Arc::new(Inside)));
        let (outcomes, delivered) = world.run().await;
        assert_eq!(tally(&outcomes, &delivered), [0, 2, 0, 0], "{url}");
        let said = outcomes[0].error.clone().unwrap();
        assert_eq!(
            (said.as_str(), outcomes[0].attempts),
            ("the upstream's address is not one that may be reached", 1),
            "{url}"
        );
    }
    assert_eq!(scripted.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_fails_the_job_and_is_not_named_to_clients() {
    let scripted = Scripted::start(|_| Script::json("{}")).await;
    let more = json!({ "headers": { "authorization": { "env": "NO_SUCH" } } });
    let world = World::new(upstream(&scripted, "/", more), items(1));
    let ExecuteError::Fatal { problem, .. } = world.attempt(1).await.unwrap_err() else {
        panic!("not for good")
    };
    assert_eq!(problem.kind, ProblemType::UpstreamFailed);
    assert!(
        problem.detail.contains("a secret that it needs is missing") && !problem.detail.contains("NO_SUCH")
    );
    assert_eq!(scripted.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_and_answers_are_held_to_their_schemas() {
    let scripted =
        Scripted::start(|seen| Script::json(if seen.number() == 2 { "[]" } else { "{\"id\": 1}" })).await;
    let more = json!({
        "input": { "type": "object", "required": ["n"], "properties": { "n": { "type": "integer", "maximum": 3 } } },
        "output": { "type": "object", "required": ["id"] },
    });
    let given = vec![
        json!({ "n": 1 }),
        json!({ "n": 2 }),
        json!({ "n": "x" }),
        json!({ "id": "d" }),
        json!({ "n": 9 }),
    ];
    let world = World::new(upstream(&scripted, "/", more), given);
    let (outcomes, delivered) = world.run().await;
    assert_eq!(tally(&outcomes, &delivered), [1, 1, 0, 3]);
    for (place, words) in [
        (1, "does not fit its schema: must be object"),
        (2, "/n: must be integer"),
        (3, "/n: is missing"),
        (4, "/n: must be 3 or less"),
    ] {
        let said = outcomes[place].error.clone().unwrap();
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(scripted.count(), 2, "what is malformed is not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_written_in_each_format_with_pages_that_stand_alone() {
    let scripted =
        Scripted::start(|seen| Script::json(format!("{{\"text\": \"a, \\\"{}\\\"\"}}", seen.number()))).await;
    for format in [Format::Jsonl, Format::Json, Format::Csv] {
        for compression in Compression::ALL {
            let mut world = World::new(upstream(&scripted, "/", json!({ "concurrency": 16 })), items(25));
            let csv = (format == Format::Csv).then(CsvOptions::default);
            world.work.output = OutputFormat { compression, csv, ..OutputFormat::plain(format) };
            world.work.page_size = 10;
            let delivered = world.attempt(1).await.unwrap();
            assert_eq!((delivered.pages, delivered.records), (Some(3), 25));
            let whole = world.file(1, &delivered).await;
            let fields: Vec<String> = delivered.schema.iter().map(|column| column.name.clone()).collect();
            let index = BlobKey::PageIndex { job: world.job.clone(), attempt: 1 };
            let mut ids = Vec::new();
            for page in 0..3 {
                let entry = world.blobs.read(&index, pages::index_range(page)).await.unwrap();
                let range = pages::page_range(&entry).unwrap();
                let stored = &whole[range.start as usize..range.end as usize];
                let document = pages::page_document(&world.work.output, &fields, stored).unwrap();
                ids.extend(ids_of(format, &document));
            }
            let expected: Vec<String> = (1..=25).map(|n| format!("item {n}")).collect();
            assert_eq!(ids, expected, "{format} {compression}");
            let inflated = inflated(compression, &whole);
            assert_eq!(ids_of(format, &inflated), expected, "{format} {compression}");
        }
    }
}

fn inflated(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match compression {
        Compression::None => text.extend_from_slice(bytes),
        Compression::Gzip => {
            io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes), &mut text).unwrap();
        }
        Compression::Zstd => {
            io::Read::read_to_end(&mut zstd::stream::read::Decoder::new(bytes).unwrap(), &mut text).unwrap();
        }
    }
    text
}

fn ids_of(format: Format, document: &[u8]) -> Vec<String> {
    let of = |row: Value| row["id"].as_str().unwrap().to_owned();
    let text = str::from_utf8(document).unwrap();
    match format {
        Format::Json => serde_json::from_str::<Vec<Value>>(text).unwrap().into_iter().map(of).collect(),
        Format::Csv => {
            let mut reader = csv::Reader::from_reader(document);
            assert_eq!(reader.headers().unwrap(), vec!["id", "state", "status", "attempts", "body", "error"]);
            let row = |row: Result<csv::StringRecord, csv::Error>| {
                let row = row.unwrap();
                assert!(serde_json::from_str::<Value>(&row[4]).unwrap()["text"].is_string());
                row[0].to_owned()
            };
            reader.records().map(row).collect()
        }
        _ => text.lines().map(|line| of(serde_json::from_str(line).unwrap())).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_items_are_a_result_too() {
    let scripted = Scripted::start(|_| Script::Close).await;
    let mut world = World::new(upstream(&scripted, "/", json!({})), Vec::new());
    for (format, text) in
        [(Format::Jsonl, ""), (Format::Json, "[]"), (Format::Csv, "id,state,status,attempts,body,error\n")]
    {
        world.work.output = OutputFormat::plain(format);
        let delivered = world.attempt(1).await.unwrap();
        assert_eq!((delivered.records, delivered.pages), (0, Some(1)));
        assert_eq!(world.file(1, &delivered).await, text, "{format}");
    }
}
