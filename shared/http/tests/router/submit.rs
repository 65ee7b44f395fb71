//! Submitting a job: what is taken, and what is refused with its place.

use axum::body::Body;
use futures::StreamExt;
use http::Request;
use serde_json::json;

use crate::world::{URL, World};

const QUERY: &str = r#"{"kind": "query", "dataset": "flights"}"#;

#[tokio::test]
async fn a_job_is_accepted_with_where_and_when_to_follow_it() {
    let world = World::new().await;
    let body = json!({
        "kind": "query", "dataset": "flights", "filter": "dep_delay > 60", "view": "delays", "sort": ["-dep_delay"],
        "limit": 1e3, "offset": 0, "format": "csv", "csv": {"delimiter": ";", "header": false}, "page_size": 500,
        "name": "late departures", "labels": {"team": "ops"}, "query": null, "notification_url": null
    });
    let answer = world.post("/v1/jobs", &body.to_string()).await.expect(202);
    let job = answer.json();
    let link = format!("{URL}/v1/jobs/{}", job["job_id"].as_str().unwrap());
    assert_eq!(answer.header("location"), link);
    assert_eq!(answer.header("content-location"), link);
    assert_eq!(answer.header("retry-after"), "1");
    let members: Vec<&str> = job.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "job_id link kind name labels account plan dataset view request state format compression created \
                    started finished expires duration progress result download_link download_link_expires batches \
                    attempts error";
    assert_eq!(members.join(" "), expected);
    assert_eq!(job["request"], body);
    assert_eq!(
        (&job["state"], &job["view"], &job["labels"]["team"]),
        (&json!("accepted"), &json!("delays"), &json!("ops"))
    );
    assert_eq!((&job["result"], &job["batches"], &job["error"]), (&json!(null), &json!(null), &json!(null)));
    let progress: Vec<&str> = job["progress"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "stage records_found records_requested records_written bytes_written percent estimated_finish \
                    queue_position";
    assert_eq!(progress.join(" "), expected);
}

#[tokio::test]
async fn wrong_members_are_named_with_place_and_kind() {
    let world = World::new().await;
    for (body, pointer, words) in [
        (
            r#"{"kind": "query", "dataset": "flights", "fitler": "x"}"#,
            "#/fitler",
            "did you mean \\\"filter\\\"?",
        ),
        (
            r#"{"kind": "query", "dataset": "flights", "limit": "5"}"#,
            "#/limit",
            "must be a whole number, not a string",
        ),
        (r#"{"kind": "query", "dataset": "flights", "limit": -1}"#, "#/limit", "from 0 to"),
        (r#"{"kind": "query", "dataset": "flights", "limit": 1.5}"#, "#/limit", "from 0 to"),
        (r#"{"kind": "query", "dataset": "flights", "limit": 1e30}"#, "#/limit", "from 0 to"),
        (r#"{"kind": "query", "dataset": "flights", "limit": 18446744073709551616}"#, "#/limit", "from 0 to"),
        (r#"{"kind": "query", "dataset": "flights", "fields": "a"}"#, "#/fields", "array of strings"),
        (
            r#"{"kind": "query", "dataset": "flights", "fields": ["flight", 1]}"#,
            "#/fields/1",
            "must be a string",
        ),
        (
            r#"{"kind": "query", "dataset": "flights", "fields": ["fligth"]}"#,
            "#/fields/0",
            "did you mean \\\"flight\\\"?",
        ),
        (r#"{"kind": "query", "dataset": "flights", "filter": "dep_dely > 1"}"#, "#/filter", "did you mean"),
        (r#"{"kind": "query", "dataset": "flights", "filter": "1; DROP TABLE x"}"#, "#/filter", ""),
        (
            r#"{"kind": "query", "dataset": "flights", "labels": {"a/b": 1}}"#,
            "#/labels/a~1b",
            "must be a string",
        ),
        (r#"{"kind": "query", "dataset": "flights", "csv": {"delimiter": ";"}}"#, "#/csv", "format"),
        (
            r#"{"kind": "query", "dataset": "flights", "csv": {"delim": ";"}}"#,
            "#/csv/delim",
            "unknown member",
        ),
        (r#"{"kind": "query", "dataset": "flights", "format": "docx"}"#, "#/format", "not a format"),
        (
            r#"{"kind": "query", "dataset": "flights", "format": "csv", "async_format": "json"}"#,
            "#/async_format",
            "differ",
        ),
        (
            r#"{"kind": "query", "dataset": "flights", "parameters": {"a": 1}}"#,
            "#/parameters",
            "goes with sql",
        ),
        (
            r#"{"kind": "query", "dataset": "flights", "notification_url": "http://x"}"#,
            "#/notification_url",
            "not fit",
        ),
        (r#"{"kind": "query", "dataset": "flights", "limit": 1, "limit": 2}"#, "#/limit", "given twice"),
        (r#"{"kind": "append", "dataset": "flights"}"#, "#/on", "is missing"),
        (r#"{"kind": "qeury", "dataset": "flights"}"#, "#/kind", "not a kind of job"),
        (r#"{"dataset": "flights"}"#, "#/kind", "is missing"),
        (r#"{"kind": 7, "dataset": "flights"}"#, "#/kind", "must be a string"),
        (r#"{"kind": "query"}"#, "#/dataset", "is missing"),
        (r#"{"kind": "query", "dataset": "secret"}"#, "#/dataset", "no data set"),
        (r#"{"kind": "query", "dataset": "fligths"}"#, "#/dataset", "did you mean \\\"flights\\\"?"),
        (r#"{"kind": "query", "dataset": "flights"} x"#, "#", "trailing"),
        (r#"{"kind": "query", "dataset": "fli"#, "#", "ends too early"),
        (r#"[]"#, "#", "must be an object, not an array"),
        ("kind=query", "#", "not JSON"),
    ] {
        let answer = world.post("/v1/jobs", body).await;
        assert_eq!(answer.pointers(), [pointer], "{body}");
        assert!(answer.text().contains(words), "{body}\n{}", answer.text());
    }
    assert!(world.queue.receive().is_none(), "nothing wrong became a job");
}

#[tokio::test]
async fn every_mistake_is_named_at_once() {
    let world = World::new().await;
    let body = r#"{"kind": "query", "dataset": "flights", "limit": true, "offset": "x", "nam": "y"}"#;
    assert_eq!(world.post("/v1/jobs", body).await.pointers(), ["#/limit", "#/offset", "#/nam"]);
    // What cannot be read and what is wrong beside it.
    let body = r##"{"kind": "query", "dataset": "flights", "limit": "5", "fields": [1, "fligth", 2], "filter": "dep_dely > 1",
        "sort": ["zz"], "format": "docx", "compression": "zip", "csv": {"delimiter": "ab", "header": "no"}, "page_size": 1,
        "name": "", "reuse": false, "max_age": 1, "notification_url": "http://x"}"##;
    let pointers = [
        "#/csv/header",
        "#/fields/0",
        "#/fields/2",
        "#/limit",
        "#/compression",
        "#/csv/delimiter",
        "#/filter",
        "#/format",
        "#/max_age",
        "#/name",
        "#/notification_url",
        "#/page_size",
        "#/sort/0",
    ];
    let mut told = world.post("/v1/jobs", body).await.pointers();
    told.sort();
    let mut expected = pointers.map(str::to_owned);
    expected.sort();
    assert_eq!(told, expected);
    // The data set alone does not hide the rest, and neither does a parameter.
    let body =
        r#"{"kind": "query", "dataset": "fligths", "format": "docx", "compression": "zip", "page_size": 0}"#;
    let told = world.post("/v1/jobs?dry_run=perhaps", body).await.pointers();
    assert_eq!(
        told,
        ["?dry_run", "#/dataset", "#/format", "#/compression", "#/page_size"].map(str::to_owned)
    );
    let body = r#"{"kind": "append", "dataset": "fligths", "on": {"a": 1}, "compare": "sound", "format": "docx", "page_size": "x"}"#;
    let told = world.post("/v1/jobs?wait=1", body).await.pointers();
    assert_eq!(
        told,
        ["?wait", "#/on/a", "#/page_size", "#/dataset", "#/compare", "#/format"].map(str::to_owned)
    );
    let body =
        r#"{"kind": "call", "upstream": "nope", "id": "", "max_errors": 0, "format": "xlsx", "items": []}"#;
    let told = world.post("/v1/jobs", body).await.pointers();
    assert_eq!(told, ["#/upstream", "#/id", "#/max_errors", "#/format", "#/items"].map(str::to_owned));
    assert!(world.queue.receive().is_none(), "nothing wrong became a job");
}

#[tokio::test]
async fn what_could_not_be_read_is_told_once_and_no_guess_is_made_of_it() {
    let world = World::new().await;
    world.change_plan(|plan| plan.sql = true);
    for (body, pointers) in [
        (r#"{"kind": "append", "dataset": "flights", "on": "id"}"#, vec!["#/on"]),
        (r#"{"kind": "append", "dataset": "flights", "on": null}"#, vec!["#/on"]),
        (r#"{"kind": "query", "dataset": 5}"#, vec!["#/dataset"]),
        // Which format was meant is not known.
        (r#"{"kind": "query", "dataset": "flights", "format": 5, "csv": {"null": "-"}}"#, vec!["#/format"]),
        (r#"{"kind": "query", "dataset": "flights", "async_format": 5, "csv": {}}"#, vec!["#/async_format"]),
        (
            r#"{"kind": "query", "dataset": "flights", "format": "csv", "async_format": 5}"#,
            vec!["#/async_format"],
        ),
        // A statement is not judged without its parameters.
        (r#"{"sql": "SELECT $a FROM flights", "kind": "query", "parameters": [1]}"#, vec!["#/parameters"]),
        (r#"{"sql": 5, "kind": "query", "page_size": 0}"#, vec!["#/sql", "#/page_size"]),
    ] {
        assert_eq!(world.post("/v1/jobs", body).await.pointers(), pointers, "{body}");
    }
}

#[tokio::test]
async fn a_body_that_is_wrong_everywhere_earns_a_short_answer() {
    let world = World::new().await;
    let labels: Vec<String> = (0..5000).map(|n| format!("\"{n}\": 1")).collect();
    let body = format!(r#"{{"kind": "query", "dataset": "flights", "labels": {{{}}}}}"#, labels.join(","));
    let answer = world.post("/v1/jobs", &body).await;
    assert_eq!(answer.pointers().len(), 100);
    assert!(answer.json()["detail"].as_str().unwrap().starts_with("5000 things"));
}

#[tokio::test]
async fn bodies_that_are_no_json_of_a_mebibyte_are_refused() {
    let world = World::new().await;
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "a/b+json"]
    {
        let headers = [("content-type", media_type)];
        world.ask("POST", "/v1/jobs", &headers, QUERY).await.problem(415, "unsupported-format");
    }
    for media_type in ["application/json; charset=UTF-8", "application/vnd.willcall+json", "Application/JSON"]
    {
        world.ask("POST", "/v1/jobs", &[("content-type", media_type)], QUERY).await.expect(202);
    }
    let headers = [("content-encoding", "gzip")];
    world.ask("POST", "/v1/jobs", &headers, QUERY).await.problem(415, "unsupported-format");
    let large = format!("{QUERY}{}", " ".repeat(1024 * 1024));
    let text = world.post("/v1/jobs", &large).await.problem(413, "payload-too-large");
    assert!(text.contains("1048576"), "{text}");
    let bomb = "[".repeat(500_000);
    assert_eq!(world.post("/v1/jobs", &bomb).await.pointers(), ["#"]);
}

#[tokio::test]
async fn parameters_stand_for_members_and_conflicts_are_named() {
    let world = World::new().await;
    let path = "/v1/jobs?kind=query&dataset=flights&limit=5&fields=flight,carrier&label.team=ops&dep_delay.gte=60\
                &format=csv&csv.header=false";
    let job = world.post(path, "").await.expect(202).json();
    let expected = json!({
        "kind": "query", "dataset": "flights", "fields": ["flight", "carrier"], "limit": 5, "format": "csv",
        "csv": {"header": false}, "labels": {"team": "ops"}, "conditions": ["dep_delay.gte=60"]
    });
    assert_eq!(job["request"], expected);
    for (query, pointer) in [
        ("?limit=5", "?limit"),
        ("?dry_run=yes", "?dry_run"),
        ("?max_age=x", "?max_age"),
        ("?offset=x", "?offset"),
        ("?offset=1&offset=2", "?offset"),
        ("?sort=fligth", "?sort"),
        ("?fligth=1", "?fligth"),
        ("?csv.delimiter=xx&format=csv", "?csv.delimiter"),
        ("?name=%zz", "?name"),
    ] {
        let body = r#"{"kind": "query", "dataset": "flights", "limit": 5}"#;
        assert_eq!(world.post(&format!("/v1/jobs{query}"), body).await.pointers(), [pointer], "{query}");
    }
}

#[tokio::test]
async fn a_reached_limit_is_429_with_when_to_come_back() {
    let world = World::new().await;
    for _ in 0..3 {
        world.submit().await;
    }
    let answer = world.post("/v1/jobs", QUERY).await;
    answer.problem(429, "quota-exceeded");
    assert_eq!(answer.header("ratelimit-policy"), "\"max_open_jobs\";q=3");
    assert_eq!(answer.header("ratelimit"), "\"max_open_jobs\";r=0;t=5");
    assert_eq!(answer.header("retry-after"), "5");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_503_and_says_nothing_of_itself() {
    let world = World::new().await;
    world.jobs.break_with(Some("password of the database"));
    let answer = world.post("/v1/jobs", QUERY).await;
    let text = answer.problem(503, "unavailable");
    assert!(!text.contains("password"), "{text}");
    assert_eq!(answer.header("retry-after"), "5");
}

#[tokio::test]
async fn long_names_and_values_are_not_sent_back_whole() {
    let world = World::new().await;
    let long = "x".repeat(900_000);
    for (body, words) in [
        (json!({"kind": "query", "dataset": "flights", &long: 1}), "unknown member"),
        (json!({"kind": "query", "dataset": "flights", "fields": [&long]}), ""),
        (json!({"kind": "query", "dataset": "flights", "format": &long}), "not a format"),
        (json!({"kind": "query", "dataset": "flights", "labels": {&long: 1}}), "must be a string"),
        (json!({"kind": "query", "dataset": &long}), "no data set"),
        (json!({"kind": &long, "dataset": "flights"}), "not a kind of job"),
    ] {
        let answer = world.post("/v1/jobs", &body.to_string()).await;
        answer.problem(400, "invalid-request");
        assert!(answer.bytes.len() < 3_000, "{words}: {} bytes", answer.bytes.len());
        assert!(answer.text().contains(words) && answer.text().contains("xx…xx"), "{}", answer.text());
    }
    let half = &long[..450_000];
    let twice = format!(r#"{{"{half}": 1, "{half}": 2}}"#);
    let answer = world.post("/v1/jobs", &twice).await;
    assert!(answer.pointers()[0].len() < 300 && answer.bytes.len() < 3_000);
    let name = &long[..50_000];
    let answer = world.get(&format!("/v1/jobs?{name}=1")).await;
    assert!(answer.pointers()[0].len() < 300 && answer.bytes.len() < 3_000);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let world = World::new().await;
    let sent = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"{"))]);
    let body = Body::from_stream(sent.chain(futures::stream::pending()));
    let request = Request::post("/v1/jobs")
        .header("authorization", format!("Bearer {}", world.token))
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    let answer = world.send(request).await;
    answer.problem(408, "invalid-request");
    assert_eq!(answer.header("connection"), "close");
}
