//! Requests that are repeated: by key, by an identical job, or as another job.

use futures::future::join_all;
use serde_json::json;

use crate::world::{Answer, URL, World};

const QUERY: &str = r#"{"kind": "query", "dataset": "flights"}"#;
const RECORDS: &str = "/v1/datasets/flights/records";
const REPLAYED: &str = "idempotent-replayed";

impl World {
    async fn keyed(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        self.ask(method, path, &[("idempotency-key", key)], body).await
    }

    async fn jobs_there_are(&self) -> usize {
        self.get("/v1/jobs").await.json()["jobs"].as_array().unwrap().len()
    }
}

fn id(answer: &Answer) -> String {
    answer.json()["job_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_repeated_submit_answers_the_same_job_as_it_is_now() {
    let world = World::new().await;
    let first = world.keyed("POST", "/v1/jobs", "\"k\"", QUERY).await.expect(202);
    assert_eq!(first.header(REPLAYED), "");
    world.work().await;
    for (key, body) in
        [("\"k\"", QUERY), ("k", QUERY), ("k", r#"{"dataset":"flights","kind":"query","limit":null}"#)]
    {
        let again = world.keyed("POST", "/v1/jobs", key, body).await.expect(202);
        assert_eq!((again.header(REPLAYED), id(&again)), ("true", id(&first)), "{body}");
        assert_eq!(again.json()["state"], "completed");
        assert_eq!(again.header("location"), format!("{URL}/v1/jobs/{}", id(&first)));
    }
    let parameters = "/v1/jobs?kind=query&dataset=flights";
    assert_eq!(id(&world.keyed("POST", parameters, "k", "").await.expect(202)), id(&first));
    assert_eq!(world.jobs_there_are().await, 1);
}

#[tokio::test]
async fn a_key_of_another_request_is_422() {
    let world = World::new().await;
    world.keyed("POST", "/v1/jobs", "k", QUERY).await.expect(202);
    let other = r#"{"kind": "query", "dataset": "flights", "limit": 1}"#;
    for (method, path, body) in [
        ("POST", "/v1/jobs", other),
        ("POST", "/v1/jobs?limit=1", QUERY),
        ("POST", RECORDS, "{}"),
        ("GET", RECORDS, ""),
    ] {
        world.keyed(method, path, "k", body).await.problem(422, "idempotency-mismatch");
    }
    assert_eq!(world.jobs_there_are().await, 1);
    let theirs = [("idempotency-key", "k"), ("authorization", &format!("Bearer {}", world.other))];
    let theirs = world.ask("POST", "/v1/jobs", &theirs, other).await.expect(202);
    assert_eq!(theirs.header(REPLAYED), "", "keys are by account");
}

#[tokio::test]
async fn records_are_repeated_whatever_the_method_and_waited_for_anew() {
    let world = World::new().await;
    let path = format!("{RECORDS}?format=jsonl&limit=2&async=true");
    let begun = world.keyed("GET", &path, "k", "").await.expect(202);
    world.work().await;
    let got = world.keyed("GET", &format!("{RECORDS}?limit=2&format=jsonl"), "k", "").await.expect(200);
    assert_eq!((got.header(REPLAYED), got.header("willcall-job-id")), ("true", id(&begun).as_str()));
    let posted = world.keyed("POST", RECORDS, "k", r#"{"format": "jsonl", "limit": 2}"#).await.expect(200);
    assert_eq!((posted.header(REPLAYED), &posted.bytes), ("true", &got.bytes));
    world
        .keyed("GET", &format!("{RECORDS}?limit=3&format=jsonl"), "k", "")
        .await
        .problem(422, "idempotency-mismatch");
    assert_eq!(world.jobs_there_are().await, 1);
}

#[tokio::test]
async fn what_is_no_key_is_refused_and_makes_nothing() {
    let world = World::new().await;
    let long = "k".repeat(256);
    for (method, path, body) in [("POST", "/v1/jobs", QUERY), ("POST", RECORDS, "{}"), ("GET", RECORDS, "")] {
        for key in ["", "\"\"", "\"k", "\"k\"x", long.as_str()] {
            let answer = world.keyed(method, path, key, body).await;
            assert_eq!(answer.pointers(), ["header Idempotency-Key"], "{method} {path} {key}");
        }
    }
    assert_eq!(world.jobs_there_are().await, 0);
    let nobody = [("idempotency-key", ""), ("authorization", "Bearer x")];
    world.ask("POST", "/v1/jobs", &nobody, QUERY).await.problem(401, "unauthenticated");
    let id = world.submit().await;
    world.keyed("POST", &format!("/v1/jobs/{id}/cancel"), "k", "").await.expect(202);
    world.keyed("GET", &format!("/v1/jobs/{id}"), "", "").await.expect(200);
}

#[tokio::test]
async fn what_was_refused_leaves_the_key_free() {
    let world = World::new().await;
    world
        .keyed("POST", "/v1/jobs", "k", r#"{"kind": "query", "dataset": "x"}"#)
        .await
        .problem(400, "invalid-request");
    world.jobs.break_with(Some("unplugged"));
    world.keyed("POST", "/v1/jobs", "k", QUERY).await.problem(503, "unavailable");
    world.jobs.break_with(None);
    let made = world.keyed("POST", "/v1/jobs", "k", QUERY).await.expect(202);
    assert_eq!(made.header(REPLAYED), "");
    world.ask("DELETE", &format!("/v1/jobs/{}", id(&made)), &[], "").await.expect(204);
    let text = world.keyed("POST", "/v1/jobs", "k", QUERY).await.problem(404, "not-found");
    assert!(text.contains("removed"), "{text}");
    assert_eq!(world.jobs_there_are().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_with_one_key_make_one_job() {
    let world = World::new().await;
    let answers = join_all((0..200).map(|_| world.keyed("POST", "/v1/jobs", "k", QUERY))).await;
    let answers: Vec<Answer> = answers.into_iter().map(|answer| answer.expect(202)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.header(REPLAYED).is_empty()).count(), 1);
    assert!(answers.iter().all(|answer| id(answer) == id(&answers[0])));
    assert_eq!(world.jobs_there_are().await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_identical_job_is_joined_where_it_is_asked_for() {
    let world = World::new().await;
    let reuse = r#"{"kind": "query", "dataset": "flights", "reuse": true, "name": "mine"}"#;
    let first = world.post("/v1/jobs", QUERY).await.expect(202);
    assert!(first.json().get("reused").is_none());
    let joined = world.post("/v1/jobs", reuse).await.expect(202);
    assert_eq!((id(&joined), joined.json()["reused"].as_bool()), (id(&first), Some(true)));
    world.work().await;
    let done = world.post("/v1/jobs?kind=query&dataset=flights&max_age=60", "").await.expect(202).json();
    assert_eq!((&done["state"], &done["reused"]), (&json!("completed"), &json!(true)));
    assert_ne!(id(&world.post("/v1/jobs", QUERY).await.expect(202)), id(&first));
    world.work().await;
    let first = world.get(&format!("{RECORDS}?reuse=true&async=true")).await.expect(202);
    world.work().await;
    let records = world.get(&format!("{RECORDS}?reuse=true")).await;
    assert_eq!(records.status, 202, "a limit of 1000 may be another request than all of them");
    world.work().await;
    let again = world.get(&format!("{RECORDS}?reuse=true&limit=1000")).await.expect(200);
    assert_eq!(again.header("willcall-job-id"), id(&records));
    assert_ne!(id(&records), id(&first));
    for (query, pointer) in [
        ("reuse=yes", "?reuse"),
        ("max_age=-1", "?max_age"),
        ("max_age=1.5", "?max_age"),
        ("reuse=false&max_age=5", "?max_age"),
    ] {
        let answer = world.post(&format!("/v1/jobs?kind=query&dataset=flights&{query}"), "").await;
        assert_eq!(answer.pointers(), [pointer], "{query}");
    }
}

#[tokio::test]
async fn a_job_is_run_again_as_another_with_the_same_request() {
    let world = World::new().await;
    let path =
        format!("{RECORDS}?carrier=AA&dep_delay.gte=5&fields=flight&name=late&limit=2&reuse=true&async=true");
    let csv = [("accept", "text/csv")];
    let first = world.ask("GET", &path, &csv, "").await.expect(202);
    let again = format!("/v1/jobs/{}/rerun", id(&first));
    let second = world.post(&again, "").await.expect(202);
    assert_ne!(id(&second), id(&first), "what runs does not serve in place of what is run again");
    assert_eq!(second.header("location"), format!("{URL}/v1/jobs/{}", id(&second)));
    let (mut asked, shown) = (first.json()["request"].clone(), second.json()["request"].clone());
    assert_eq!(asked.as_object_mut().unwrap().shift_remove("reuse"), Some(json!(true)));
    assert_eq!(shown, asked);
    assert_eq!(shown["conditions"], json!(["carrier=AA", "dep_delay.gte=5"]));
    assert_eq!((&second.json()["format"], &second.json()["name"]), (&json!("csv"), &json!("late")));
    world.work().await;
    let tasks = world.executor.tasks();
    assert_eq!(tasks.len(), 2);
    assert_eq!(tasks[0].work, tasks[1].work);

    let once = world.keyed("POST", &again, "k", "").await.expect(202);
    let twice = world.keyed("POST", &again, "k", "").await.expect(202);
    assert_eq!((id(&once), twice.header(REPLAYED)), (id(&twice), "true"));
    let other = format!("/v1/jobs/{}/rerun", id(&second));
    world.keyed("POST", &other, "k", "").await.problem(422, "idempotency-mismatch");
}

#[tokio::test]
async fn what_is_run_again_is_checked_against_what_there_is_now() {
    let world = World::new().await;
    let first =
        id(&world.post("/v1/jobs", r#"{"kind": "query", "dataset": "flights", "fields": ["flight"]}"#).await);
    let again = format!("/v1/jobs/{first}/rerun");
    world.change_catalog(|catalog| {
        let flights = std::sync::Arc::make_mut(catalog.datasets.get_mut("flights").unwrap());
        flights.facts.columns.retain(|column| column.name != "flight");
    });
    assert_eq!(world.post(&again, "").await.pointers(), ["#/fields/0"]);
    world.change_catalog(|catalog| drop(catalog.datasets.remove("flights")));
    assert_eq!(world.post(&again, "").await.pointers(), ["#/dataset"]);
    world.change_catalog(|_| {});
    assert_eq!(world.post(&format!("{again}?limit=1"), "").await.pointers(), ["?limit"]);
    let reader = [("authorization", &*format!("Bearer {}", world.reader))];
    world.ask("POST", &again, &reader, "").await.problem(403, "forbidden");
    let other = [("authorization", &*format!("Bearer {}", world.other))];
    world.ask("POST", &again, &other, "").await.problem(404, "not-found");
    world.ask("DELETE", &format!("/v1/jobs/{first}"), &[], "").await.expect(204);
    world.post(&again, "").await.problem(404, "not-found");
    assert_eq!(world.jobs_there_are().await, 0);
}
