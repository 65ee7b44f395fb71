//! Calls of upstreams at once, with a job to fall back on.

use serde_json::json;
use willcall_conformance::Script;
use willcall_core::job::{Problem, ProblemType};

use crate::world::World;

const PATH: &str = "/v1/upstreams/enrich";
const ITEM: &str = r#"{"email": "a@b.test", "id": 7}"#;

async fn delivering(row: &str) -> World {
    World::with([Script::Deliver(vec![row.to_owned()])]).await
}

#[tokio::test]
async fn an_answer_in_time_is_the_upstreams_own() {
    for (status, body, media_type, said) in [
        (200, r#"{"name":"A","n":1.00}"#, "application/json", r#"{"name":"A","n":1.00}"#),
        (201, r#""thanks\n""#, "text/plain; charset=utf-8", "thanks\n"),
        (204, "null", "", ""),
    ] {
        let row = format!(
            r#"{{"id":7,"state":"succeeded","status":{status},"attempts":1,"body":{body},"error":null}}"#
        );
        let world = delivering(&row).await;
        let _working = world.working();
        let answer = world.ask("POST", PATH, &[("prefer", "wait=9")], ITEM).await.expect(status);
        assert_eq!((answer.header("content-type"), answer.text()), (media_type, said));
        assert_eq!(answer.header("preference-applied"), "wait=9");
        let id = answer.header("willcall-job-id").to_owned();
        assert!(answer.header("content-location").ends_with(&id));
        let job = world.get(&format!("/v1/jobs/{id}")).await.json();
        assert_eq!((&job["kind"], &job["state"]), (&json!("call"), &json!("completed")));
        let item = json!({ "email": "a@b.test", "id": 7 });
        assert_eq!(job["request"], json!({ "kind": "call", "upstream": "enrich", "items": [item] }));
    }
}

#[tokio::test]
async fn a_number_that_64_bits_do_not_hold_is_told_from_its_neighbour() {
    let world = World::new().await;
    let item = |n: &str| format!(r#"{{"email": "a@b.test", "n": {n}}}"#);
    for (first, same, other) in [
        ("12345678901234567890123", "12345678901234567890123", "12345678901234567890124"),
        ("1e400", "1e400", "2e400"),
    ] {
        let key = [("idempotency-key", first), ("prefer", "respond-async")];
        let made = world.ask("POST", PATH, &key, &item(first)).await.expect(202);
        assert!(made.text().contains(&format!("\"n\":{first}}}")), "{}", made.text());
        let again = world.ask("POST", PATH, &key, &item(same)).await.expect(202);
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(again.header("location"), made.header("location"));
        world.ask("POST", PATH, &key, &item(other)).await.problem(422, "idempotency-mismatch");
    }
    // What is no row of the client's is refused as it was.
    let asked = r#"{"dataset": "flights", "limit": 1e400}"#;
    assert_eq!(world.post("/v1/jobs", asked).await.pointers(), ["#"]);
    for none in ["[1e400,,]", "01e400", "1.e400", "-.5e400"] {
        let broken = item(none);
        world.post(PATH, &broken).await.problem(400, "invalid-request");
        let items = format!(r#"{{"kind": "call", "upstream": "enrich", "items": [{broken}]}}"#);
        world.post("/v1/jobs", &items).await.problem(400, "invalid-request");
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_or_leaves_in_doubt_is_a_problem() {
    for (state, words) in [
        ("failed", "the upstream answered 404"),
        ("unknown", "sent, but its answer was not seen: there was no answer within 30 seconds"),
    ] {
        let row = format!(
            r#"{{"id":7,"state":"{state}","status":null,"attempts":1,"body":{{"why":1}},"error":"{words}"}}"#
        );
        let world = delivering(&row).await;
        let _working = world.working();
        let answer = world.post(PATH, ITEM).await;
        assert!(answer.problem(502, "upstream-failed").contains(words));
        assert!(answer.header("content-location").ends_with(answer.header("willcall-job-id")));
    }
}

#[tokio::test]
async fn a_job_that_fails_is_its_own_problem() {
    let problem = Problem::new(ProblemType::UpstreamFailed, "the upstream is not set up as it should be");
    let world = World::with([Script::Fatal(problem)]).await;
    let _working = world.working();
    assert!(world.post(PATH, ITEM).await.problem(502, "upstream-failed").contains("is not set up"));
}

#[tokio::test]
async fn who_does_not_wait_gets_the_job() {
    let world = World::new().await;
    for (query, prefer) in [("?async=true", ""), ("", "respond-async"), ("", "wait=0")] {
        let answer =
            world.ask("POST", &format!("{PATH}{query}"), &[("prefer", prefer)], ITEM).await.expect(202);
        assert_eq!(answer.header("preference-applied"), "respond-async");
        let job = answer.json();
        assert_eq!((&job["kind"], &job["state"]), (&json!("call"), &json!("accepted")));
        assert_eq!(answer.header("location"), job["link"].as_str().unwrap());
        assert_eq!(answer.header("willcall-job-id"), job["job_id"].as_str().unwrap());
    }
}

#[tokio::test]
async fn repeated_with_its_key_it_is_the_same_job() {
    let row = r#"{"id":7,"state":"succeeded","status":200,"attempts":1,"body":{},"error":null}"#;
    let world = delivering(row).await;
    let _working = world.working();
    let key = [("idempotency-key", "\"k\"")];
    let first = world.ask("POST", PATH, &key, ITEM).await.expect(200);
    let second = world.ask("POST", PATH, &key, ITEM).await.expect(200);
    assert_eq!(first.header("willcall-job-id"), second.header("willcall-job-id"));
    assert_eq!((first.bytes, second.header("idempotent-replayed")), (second.bytes.clone(), "true"));
    assert_eq!(world.executor.tasks().len(), 1);
    let other = world.ask("POST", PATH, &key, r#"{"email": "other"}"#).await;
    other.problem(422, "idempotency-mismatch");
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_made() {
    let world = World::new().await;
    for (body, pointer) in [
        ("{}", "#/email"),
        ("", "#/email"),
        (r#"{"email": 1}"#, "#/email"),
        (r#"{"email": ""}"#, "#/email"),
        ("[]", "#"),
    ] {
        assert_eq!(world.post(PATH, body).await.pointers(), [pointer], "{body}");
    }
    assert_eq!(world.post(&format!("{PATH}?asnc=true"), ITEM).await.pointers(), ["?asnc"]);
    for path in ["/v1/upstreams/hidden", "/v1/upstreams/nowhere"] {
        let text = world.post(path, ITEM).await.problem(404, "not-found");
        assert!(!text.contains("inside.example"));
    }
    let reader = format!("Bearer {}", world.reader);
    world.ask("POST", PATH, &[("authorization", &reader)], ITEM).await.problem(403, "forbidden");
    world.ask("GET", PATH, &[], "").await.problem(405, "method-not-allowed");
    assert_eq!(world.get("/v1/jobs").await.json()["jobs"], json!([]), "no job was made");
}

#[tokio::test]
async fn calls_are_refused_in_formats_that_hold_no_answers() {
    let world = World::new().await;
    for format in ["parquet", "arrow", "xlsx"] {
        let body =
            json!({ "kind": "call", "upstream": "enrich", "items": [{}], "format": format }).to_string();
        assert_eq!(world.post("/v1/jobs", &body).await.pointers(), ["#/format"], "{format}");
    }
}

#[tokio::test]
async fn the_account_tells_which_upstreams_it_may_call() {
    let world = World::new().await;
    let account = world.get("/v1/account").await.json();
    assert_eq!(account["limits"]["upstreams"], json!(["enrich"]));
}
