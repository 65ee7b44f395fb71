//! Jobs that take rows: with the request, or in batches.

use std::time::Duration;

use serde_json::{Value, json};
use willcall_conformance::{Script, samples::claim};
use willcall_core::{
    job::{Counts, Problem, ProblemType, Progress, Stage, Transition},
    ports::JobStore as _,
    usecases::{batches, sweep::sweep},
};

use crate::world::{URL, World};

const CONTAINER: &str =
    r#"{"kind": "append", "dataset": "flights", "on": {"code": "carrier"}, "format": "jsonl"}"#;
const FILE: &str = r#"{"name": "part", "files": [{"name": "leads.csv", "bytes": 5}]}"#;

async fn open(world: &World) -> String {
    let job = world.post("/v1/jobs", CONTAINER).await.expect(202).json();
    assert_eq!((&job["state"], &job["batches"]["closed"]), (&json!("open"), &json!(false)));
    job["job_id"].as_str().unwrap().to_owned()
}

async fn add(world: &World, job: &str, body: &str) -> Value {
    world.post(&format!("/v1/jobs/{job}/batches"), body).await.expect(201).json()
}

/// Uploads the files of a batch, each as its link wants it, and tells of them as the host would.
async fn upload(world: &World, batch: &Value) {
    let files = batch["files"].as_array().unwrap();
    for (place, file) in files.iter().enumerate() {
        let bytes = vec![b'x'; usize::try_from(file["bytes"].as_u64().unwrap()).unwrap()];
        let url = file["upload"]["url"].as_str().unwrap();
        assert!(world.blobs.upload(url, bytes, world.now()), "{url}");
        batches::arrived(&world.app, &world.reference(batch), place).await.unwrap();
    }
}

#[tokio::test]
async fn rows_that_come_with_the_request_make_a_job_like_any_other() {
    let world = World::new().await;
    let body = r#"{"kind": "append", "dataset": "flights", "on": {"code": {"column": "carrier", "compare": "text"}},
        "fields": ["flight"], "items": [{"code": "UA"}], "format": "jsonl", "name": "leads"}"#;
    let job = world.post("/v1/jobs", body).await.expect(202).json();
    assert_eq!(
        (&job["state"], &job["kind"], &job["batches"]),
        (&json!("accepted"), &json!("append"), &json!(null))
    );
    world.work().await;
    let id = job["job_id"].as_str().unwrap();
    let done = world.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(done["state"], "completed");
    assert_eq!(
        done["progress"]["counts"],
        json!({"rows": 3, "matched": 3, "unmatched": 0, "ambiguous": 0, "malformed": 0})
    );
    assert_eq!(world.get(&format!("/v1/jobs/{id}/result")).await.expect(200).text().lines().count(), 3);
    let listed = world.get("/v1/jobs?kind=append").await.json();
    assert_eq!(listed["jobs"][0]["job_id"], id);
    // It can be run again, and takes no batches.
    world.post(&format!("/v1/jobs/{id}/rerun"), "").await.expect(202);
    world.post(&format!("/v1/jobs/{id}/batches"), FILE).await.problem(409, "conflict");
    world.post(&format!("/v1/jobs/{id}/close"), "").await.problem(409, "conflict");
}

#[tokio::test]
async fn a_job_is_fed_by_batches_and_ends_with_them() {
    let world = World::new().await;
    let job = open(&world).await;
    let first = add(&world, &job, FILE).await;
    assert_eq!(first["state"], "waiting_for_upload");
    assert_eq!(first["link"], format!("{URL}/v1/jobs/{job}/batches/{}", first["batch_id"].as_str().unwrap()));
    assert_eq!(first["files"][0]["upload"]["method"], "PUT");
    assert_eq!(first["files"][0]["upload"]["headers"]["content-type"], "text/csv");
    let second =
        add(&world, &job, r#"{"files": [{"name": "a", "media_type": "application/json", "bytes": 1}]}"#)
            .await;
    upload(&world, &first).await;
    let counts = world.get(&format!("/v1/jobs/{job}")).await.json()["batches"].clone();
    assert_eq!((&counts["queued"], &counts["waiting_for_upload"]), (&json!(1), &json!(1)));
    world.work().await;
    upload(&world, &second).await;
    let closed = world.post(&format!("/v1/jobs/{job}/close"), "").await.expect(202).json();
    assert_eq!((&closed["state"], &closed["batches"]["closed"]), (&json!("processing"), &json!(true)));
    world.work().await;

    let done = world.get(&format!("/v1/jobs/{job}")).await.json();
    assert_eq!(done["state"], "completed", "{done}");
    assert_eq!(
        (&done["result"]["files"], &done["result"]["records"], &done["result"]["sha256"]),
        (&json!(2), &json!(6), &json!(null))
    );
    assert_eq!(done["progress"]["counts"]["matched"], 6);
    let manifest = world.get(&format!("/v1/jobs/{job}/manifest")).await.expect(200).json();
    assert_eq!(manifest["files"].as_array().unwrap().len(), 2);
    assert_eq!(manifest["files"][1]["batch_id"], second["batch_id"]);
    assert_eq!(
        manifest["batches"][0],
        json!({"batch_id": first["batch_id"], "name": "part", "state": "completed",
        "counts": {"rows": 3, "matched": 3, "unmatched": 0, "ambiguous": 0, "malformed": 0}, "error": null})
    );
    // The files are the batches'.
    let detail = world.get(&format!("/v1/jobs/{job}/download")).await.problem(409, "conflict");
    assert!(detail.contains("batches"), "{detail}");
    let list = world.get(&format!("/v1/jobs/{job}/batches?limit=1")).await.expect(200);
    assert!(list.header("link").contains("rel=\"next\""));
    let list = list.json();
    assert_eq!(list["batches"][0]["batch_id"], first["batch_id"]);
    let next = list["next_cursor"].as_str().unwrap();
    let rest = world.get(&format!("/v1/jobs/{job}/batches?cursor={next}")).await.json();
    assert_eq!((&rest["batches"][0]["batch_id"], &rest["next_cursor"]), (&second["batch_id"], &json!(null)));
    let link = rest["batches"][0]["download_link"].as_str().unwrap();
    assert_eq!(world.blobs.follow(link, world.now()).unwrap().iter().filter(|b| **b == b'\n').count(), 3);
    // A batch is no job to those who ask for jobs, and the list of jobs has none.
    world.get(&format!("/v1/jobs/{}", first["batch_id"].as_str().unwrap())).await.problem(404, "not-found");
    assert_eq!(world.get("/v1/jobs").await.json()["jobs"].as_array().unwrap().len(), 1);
    // What it held goes with it.
    world.ask("DELETE", &format!("/v1/jobs/{job}"), &[], "").await.expect(204);
    assert!(world.blobs.keys().is_empty(), "{:?}", world.blobs.keys());
    world.get(&format!("/v1/jobs/{job}/batches")).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_job_whose_batches_work_tells_how_far_they_are() {
    let world = World::new().await;
    let job = open(&world).await;
    let batch = add(&world, &job, FILE).await;
    upload(&world, &batch).await;
    let (path, batch) = (format!("/v1/jobs/{job}"), world.reference(&batch));
    let change = async |transition| world.jobs.transition(&batch, &transition, world.now()).await.unwrap();
    change(claim()).await;
    let before = world.get(&path).await.expect(200);
    assert_eq!(before.json()["progress"]["stage"], "planning");
    let counts = Counts::Append { rows: 3, matched: 1, unmatched: 0, ambiguous: 0, malformed: 1 };
    let progress =
        Progress { stage: Stage::Reading, percent: 20.0, counts: Some(counts), ..Progress::queued() };
    let renew =
        Transition::Renew { attempt: 1, progress: Box::new(progress), lease: Duration::from_secs(30) };
    change(renew).await;
    let tag = [("if-none-match", before.header("etag"))];
    let progress = world.ask("GET", &path, &tag, "").await.expect(200).json()["progress"].clone();
    assert_eq!((&progress["stage"], &progress["percent"]), (&json!("reading"), &json!(20.0)));
    let told = json!({"rows": 3, "matched": 1, "unmatched": 0, "ambiguous": 0, "malformed": 1});
    assert_eq!(progress["counts"], told);
    // A batch whose files are not what they should be gives no row back, and none is counted.
    let problem = Problem::new(ProblemType::InvalidRequest, "leads.csv inflates to too much");
    change(Transition::Fail { attempt: Some(1), problem }).await;
    let batches = world.get(&format!("{path}/batches")).await.json();
    assert_eq!(
        (&batches["batches"][0]["state"], &batches["batches"][0]["counts"]),
        (&json!("malformed"), &json!(null))
    );
    assert_eq!(world.get(&path).await.json()["progress"].get("counts"), None);
}

#[tokio::test]
async fn one_bad_batch_fails_alone_and_no_good_one_fails_the_job() {
    let malformed = Problem::new(ProblemType::InvalidRequest, "leads.csv: line 7 has 3 fields");
    let world = World::with([Script::Fatal(malformed.clone()), Script::Deliver(vec!["{}".into()])]).await;
    let job = open(&world).await;
    for _ in 0..2 {
        upload(&world, &add(&world, &job, r#"{"files": [{"name": "a.csv", "bytes": 1}]}"#).await).await;
    }
    world.post(&format!("/v1/jobs/{job}/close"), "").await.expect(202);
    world.work().await;
    let done = world.get(&format!("/v1/jobs/{job}")).await.json();
    assert_eq!(
        (&done["state"], &done["batches"]["malformed"], &done["batches"]["completed"]),
        (&json!("completed"), &json!(1), &json!(1))
    );
    let batches = world.get(&format!("/v1/jobs/{job}/batches")).await.json();
    assert_eq!(batches["batches"][0]["state"], "malformed");
    assert_eq!(batches["batches"][0]["error"]["detail"], "leads.csv: line 7 has 3 fields");

    let world = World::with([Script::Fatal(malformed)]).await;
    let job = open(&world).await;
    upload(&world, &add(&world, &job, FILE).await).await;
    world.post(&format!("/v1/jobs/{job}/close"), "").await.expect(202);
    world.work().await;
    let done = world.get(&format!("/v1/jobs/{job}")).await.json();
    assert_eq!(done["state"], "failed");
    assert!(done["error"]["detail"].as_str().unwrap().contains("none of the job's 1 batches"), "{done}");
}

#[tokio::test]
async fn a_batch_is_given_up_or_replaced_until_it_has_ended() {
    let world = World::new().await;
    let job = open(&world).await;
    let path = format!("/v1/jobs/{job}/batches");
    let first = add(&world, &job, FILE).await;
    let detail = world.post(&path, FILE).await.problem(409, "conflict");
    assert!(detail.contains(first["batch_id"].as_str().unwrap()), "{detail}");
    let own = format!("{path}/{}", first["batch_id"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(world.ask("DELETE", &own, &[], "").await.expect(200).json()["state"], "cancelled");
    }
    // What arrives for it now is nobody's.
    let url = first["files"][0]["upload"]["url"].as_str().unwrap();
    assert!(world.blobs.upload(url, "12345", world.now()));
    let arrival = batches::arrived(&world.app, &world.reference(&first), 0).await.unwrap();
    assert_eq!(arrival, batches::Arrival::Ignored);
    let again = add(&world, &job, FILE).await;
    upload(&world, &again).await;
    world.work().await;
    let own = format!("{path}/{}", again["batch_id"].as_str().unwrap());
    let detail = world.ask("DELETE", &own, &[], "").await.problem(409, "conflict");
    assert!(detail.contains("completed"), "{detail}");
    // Nothing comes after the close.
    world.post(&format!("/v1/jobs/{job}/close"), "").await.expect(202);
    world.post(&format!("/v1/jobs/{job}/close"), "").await.expect(202);
    let detail =
        world.post(&path, r#"{"files": [{"name": "b.csv", "bytes": 1}]}"#).await.problem(409, "conflict");
    assert!(detail.contains("no more batches"), "{detail}");
}

#[tokio::test]
async fn a_job_without_batches_completes_empty_and_a_cancelled_one_takes_its_batches_along() {
    let world = World::new().await;
    let job = open(&world).await;
    world.post(&format!("/v1/jobs/{job}/close"), "").await.expect(202);
    world.work().await;
    let done = world.get(&format!("/v1/jobs/{job}")).await.json();
    assert_eq!((&done["state"], &done["result"]["files"]), (&json!("completed"), &json!(0)));

    let job = open(&world).await;
    let batch = add(&world, &job, FILE).await;
    upload(&world, &batch).await;
    world.post(&format!("/v1/jobs/{job}/cancel"), "").await.expect(202);
    world.work().await;
    let own = format!("/v1/jobs/{job}/batches/{}", batch["batch_id"].as_str().unwrap());
    assert_eq!(world.get(&own).await.json()["state"], "cancelled");
    assert!(world.blobs.keys().iter().all(|key| !key.starts_with("uploads/")), "{:?}", world.blobs.keys());
}

#[tokio::test]
async fn a_container_whose_files_arrive_one_by_one_is_not_given_up() {
    let world = World::new().await;
    let job = open(&world).await;
    let names = ["a", "b", "c"].map(|name| json!({"name": format!("{name}.csv"), "bytes": 5}));
    let batch = add(&world, &job, &json!({ "files": names }).to_string()).await;
    let own = format!("/v1/jobs/{job}/batches/{}", batch["batch_id"].as_str().unwrap());
    for (place, state) in [(0, "waiting_for_upload"), (1, "waiting_for_upload"), (2, "queued")] {
        for _ in 0..13 {
            world.clock.advance(Duration::from_secs(3600));
            sweep(&world.app).await.unwrap();
        }
        let fresh = world.get(&own).await.expect(200).json();
        let url = fresh["files"][place]["upload"]["url"].as_str().unwrap();
        assert!(world.blobs.upload(url, "12345", world.now()), "{url}");
        batches::arrived(&world.app, &world.reference(&batch), place).await.unwrap();
        assert_eq!(world.get(&own).await.json()["state"], state);
    }
    assert_eq!(world.get(&format!("/v1/jobs/{job}")).await.json()["state"], "open");
}

#[tokio::test]
async fn the_sweeper_finds_uploads_that_nobody_told_and_gives_up_what_nobody_feeds() {
    let world = World::new().await;
    let job = open(&world).await;
    let told = add(&world, &job, FILE).await;
    let url = told["files"][0]["upload"]["url"].as_str().unwrap();
    assert!(world.blobs.upload(url, "12345", world.now()));
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(sweep(&world.app).await.unwrap().resent, 1);
    world.work().await;
    let own = format!("/v1/jobs/{job}/batches/{}", told["batch_id"].as_str().unwrap());
    assert_eq!(world.get(&own).await.json()["state"], "completed");

    let waiting = add(&world, &job, r#"{"files": [{"name": "never.csv", "bytes": 1}]}"#).await;
    for _ in 0..30 {
        world.clock.advance(Duration::from_secs(3600));
        sweep(&world.app).await.unwrap();
    }
    let own = format!("/v1/jobs/{job}/batches/{}", waiting["batch_id"].as_str().unwrap());
    assert_eq!(world.get(&own).await.json()["state"], "cancelled");
    assert_eq!(world.get(&format!("/v1/jobs/{job}")).await.json()["state"], "cancelled");
}

#[tokio::test]
async fn a_repeated_batch_is_added_once() {
    let world = World::new().await;
    let job = open(&world).await;
    let path = format!("/v1/jobs/{job}/batches");
    let key = [("idempotency-key", "\"k\"")];
    let first = world.ask("POST", &path, &key, FILE).await.expect(201);
    let again = world.ask("POST", &path, &key, FILE).await.expect(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(first.json()["batch_id"], again.json()["batch_id"]);
    let other = r#"{"files": [{"name": "b.csv", "bytes": 1}]}"#;
    world.ask("POST", &path, &key, other).await.problem(422, "idempotency-mismatch");
}

#[tokio::test]
async fn bad_requests_are_refused_with_their_places() {
    let world = World::new().await;
    for (body, pointer) in [
        (r#"{"kind": "append", "on": {"a": "carrier"}}"#, "#/dataset"),
        (r#"{"kind": "append", "dataset": "flights", "on": {}}"#, "#/on"),
        (r#"{"kind": "append", "dataset": "flights", "on": {"a": "carier"}}"#, "#/on/a"),
        (r#"{"kind": "append", "dataset": "flights", "on": {"a": 1}}"#, "#/on/a"),
        (r#"{"kind": "append", "dataset": "flights", "on": {"a": {"compare": "text"}}}"#, "#/on/a/column"),
        (
            r#"{"kind": "append", "dataset": "flights", "on": {"a": {"column": "carrier", "compare": "like"}}}"#,
            "#/on/a/compare",
        ),
        (
            r#"{"kind": "append", "dataset": "flights", "on": {"a": {"column": "flight", "compare": "email"}}}"#,
            "#/on/a",
        ),
        (r#"{"kind": "append", "dataset": "flights", "on": {"a": "dep_delay"}}"#, "#/on/a"),
        (
            r#"{"kind": "append", "dataset": "flights", "on": {"a": "carrier"}, "on_multiple": "some"}"#,
            "#/on_multiple",
        ),
        (r#"{"kind": "append", "dataset": "flights", "on": {"a": "carrier"}, "items": []}"#, "#/items"),
        (
            r#"{"kind": "append", "dataset": "flights", "on": {"a": "carrier"}, "items": [{"a": 1}, 2]}"#,
            "#/items/1",
        ),
        (
            r#"{"kind": "append", "dataset": "flights", "on": {"a": "carrier"}, "items": [{"b": 1}]}"#,
            "#/on/a",
        ),
        (
            r#"{"kind": "append", "dataset": "flights", "on": {"a": "carrier"}, "items": [{"a": 1, "_match": 1}]}"#,
            "#/items/0",
        ),
        (r#"{"kind": "append", "dataset": "flights", "on": {"a": "carrier"}, "filter": "x"}"#, "#/filter"),
        (r#"{"kind": "call", "upstream": "nowhere"}"#, "#/upstream"),
        (r#"{"kind": "merge", "dataset": "flights"}"#, "#/kind"),
    ] {
        let pointers = world.post("/v1/jobs", body).await.pointers();
        assert!(pointers.contains(&pointer.to_owned()), "{body}: {pointers:?}");
    }
    assert_eq!(world.post("/v1/jobs?kind=append", "{}").await.pointers(), ["?kind", "#/dataset"]);
    let job = open(&world).await;
    let path = format!("/v1/jobs/{job}/batches");
    for (body, pointer) in [
        ("{}", "#/files"),
        (r#"{"files": []}"#, "#/files"),
        (r#"{"files": [{"name": "a.csv"}]}"#, "#/files/0/bytes"),
        (r#"{"files": [{"name": "a.csv", "bytes": 0}]}"#, "#/files/0/bytes"),
        (r#"{"files": [{"name": "a.csv", "bytes": 1}], "first_item": 2}"#, "#/first_item"),
        (r#"{"files": [{"name": "a.csv", "bytes": 5368709121}]}"#, "#/files/0/bytes"),
        (r#"{"files": [{"name": "", "bytes": 1}]}"#, "#/files/0/name"),
        (r#"{"files": [{"name": "a", "bytes": 1}, {"name": "a", "bytes": 1}]}"#, "#/files/1/name"),
        (r#"{"files": [{"name": "a", "bytes": 1, "media_type": "text/html"}]}"#, "#/files/0/media_type"),
        (r#"{"files": ["a.csv"]}"#, "#/files/0"),
        (r#"{"name": "", "files": [{"name": "a", "bytes": 1}]}"#, "#/name"),
    ] {
        let pointers = world.post(&path, body).await.pointers();
        assert!(pointers.contains(&pointer.to_owned()), "{body}: {pointers:?}");
    }
}

#[tokio::test]
async fn batches_of_others_are_not_there_and_readers_add_none() {
    let world = World::new().await;
    let job = open(&world).await;
    let batch = add(&world, &job, FILE).await;
    let path = format!("/v1/jobs/{job}/batches");
    let own = format!("{path}/{}", batch["batch_id"].as_str().unwrap());
    world.get_as(&world.other, &path).await.problem(404, "not-found");
    world.get_as(&world.other, &own).await.problem(404, "not-found");
    let read = world.get_as(&world.reader, &own).await.expect(200).json();
    assert_eq!(read["files"][0]["upload"], json!(null), "a link is leave to write");
    let reader = [("authorization", format!("Bearer {}", world.reader))];
    let reader: Vec<_> = reader.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.ask("POST", &path, &reader, FILE).await.problem(403, "forbidden");
    world.ask("DELETE", &own, &reader, "").await.problem(403, "forbidden");
    world.get(&format!("{path}/nonsense")).await.problem(404, "not-found");
    let other = open(&world).await;
    let elsewhere = format!("/v1/jobs/{other}/batches/{}", batch["batch_id"].as_str().unwrap());
    world.get(&elsewhere).await.problem(404, "not-found");
}
