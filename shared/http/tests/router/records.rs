//! Records at once, with a job to fall back on.

use willcall_conformance::Script;

use crate::world::{URL, World};

const PATH: &str = "/v1/datasets/flights/records";

#[tokio::test]
async fn records_in_time_are_the_result_itself() {
    let world = World::new().await;
    let _working = world.working();
    let answer = world
        .get(&format!("{PATH}?format=jsonl&fields=flight&carrier=AA&limit=2&offset=1"))
        .await
        .expect(200);
    let id = answer.header("willcall-job-id").to_owned();
    let result = world.get(&format!("/v1/jobs/{id}/result")).await.expect(200);
    assert_eq!(answer.bytes, result.bytes);
    assert_eq!(answer.header("content-type"), result.header("content-type"));
    assert_eq!(answer.header("total-count"), "3");
    // The fake delivers three whatever is asked for, so there is nothing after them.
    let before =
        format!("<{URL}{PATH}?format=jsonl&fields=flight&carrier=AA&offset=0&limit=1>; rel=\"prev\"");
    assert_eq!(answer.header("link"), before);
    let job = world.get(&format!("/v1/jobs/{id}")).await.json();
    let expected = serde_json::json!({
        "kind": "query", "dataset": "flights", "fields": ["flight"], "limit": 2, "offset": 1, "format": "jsonl",
        "conditions": ["carrier=AA"]
    });
    assert_eq!(job["request"], expected);
}

#[tokio::test]
async fn a_post_takes_a_query_without_its_kind() {
    let world = World::new().await;
    let _working = world.working();
    let prefer = [("prefer", "wait=9")];
    let answer = world.ask("POST", PATH, &prefer, r#"{"format": "csv", "limit": 5}"#).await.expect(200);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(answer.header("preference-applied"), "wait=9");
    world.post(PATH, r#"{"dataset": "flights"}"#).await.expect(200);
    assert_eq!(world.post(PATH, r#"{"dataset": "other"}"#).await.pointers(), ["#/dataset"]);
    assert_eq!(world.post(PATH, r#"{"limt": 1}"#).await.pointers(), ["#/limt"]);
}

#[tokio::test]
async fn who_does_not_wait_gets_the_job() {
    let world = World::new().await;
    for (query, prefer) in [("?async=true", ""), ("", "respond-async"), ("", "wait=0")] {
        let answer = world.ask("GET", &format!("{PATH}{query}"), &[("prefer", prefer)], "").await.expect(202);
        assert_eq!(answer.header("preference-applied"), "respond-async");
        let job = answer.json();
        assert_eq!(answer.header("location"), job["link"].as_str().unwrap());
        assert_eq!(answer.header("willcall-job-id"), job["job_id"].as_str().unwrap());
        assert_eq!(answer.header("retry-after"), "1");
        assert!(job["request"].get("limit").is_none(), "a job inherits no limit");
    }
}

#[tokio::test(start_paused = true)]
async fn when_time_runs_out_the_job_goes_on() {
    let world = World::new().await;
    let answer = world.get(PATH).await.expect(202);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    let job = answer.json();
    assert_eq!(job["request"]["limit"], 1000, "the inherited limit is shown");
    world.work().await;
    let path = format!("/v1/jobs/{}", job["job_id"].as_str().unwrap());
    assert_eq!(world.get(&path).await.json()["state"], "completed");
}

#[tokio::test]
async fn format_beats_accept() {
    let world = World::new().await;
    let _working = world.working();
    let csv = [("accept", "text/csv")];
    let answer = world.ask("GET", PATH, &csv, "").await.expect(200);
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let answer = world.ask("GET", &format!("{PATH}?async_format=jsons"), &csv, "").await.expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    world.ask("GET", PATH, &[("accept", "image/png")], "").await.problem(406, "unsupported-format");
}

#[tokio::test]
async fn wrong_parameters_are_named_as_parameters() {
    let world = World::new().await;
    for (query, pointer, words) in [
        ("limt=5", "?limt", "did you mean the parameter \\\"limit\\\"?"),
        ("dep_dely.gte=5", "?dep_dely.gte", "did you mean"),
        ("dep_delay.gte=x", "?dep_delay.gte", ""),
        ("limit=x", "?limit", "whole number"),
        ("limit=20000", "?limit", "10000"),
        ("offset=10000&limit=1", "?limit", "10000"),
        ("async=yes", "?async", "true or false"),
        ("fields=fligth", "?fields", "did you mean"),
        ("fields=flight&view=delays", "?view", "not both"),
        ("filter=nonsense(", "?filter", ""),
        ("query=carrier:(", "?query", ""),
        ("csv.header=1", "?csv.header", "true or false"),
        ("csv.null=x", "?csv.null", "format"),
        ("sql=SELECT", "?sql", "POST /v1/jobs"),
        ("parameters=x", "?parameters", "POST /v1/jobs"),
        ("carrier=%ff", "?carrier", "UTF-8"),
        ("name=", "?name", "1 to 200"),
        ("limit=1&limit=1", "?limit", "twice"),
    ] {
        let answer = world.get(&format!("{PATH}?{query}")).await;
        assert_eq!(answer.pointers(), [pointer], "{query}");
        assert!(answer.text().contains(words), "{query}\n{}", answer.text());
    }
    assert!(world.queue.receive().is_none(), "nothing wrong became a job");
}

#[tokio::test]
async fn every_wrong_parameter_is_named_at_once() {
    let world = World::new().await;
    let told = |query: &'static str| {
        let world = &world;
        async move {
            let mut told = world.get(&format!("{PATH}?{query}")).await.pointers();
            told.sort();
            told
        }
    };
    assert_eq!(
        told("limit=x&format=foo&sort=zz&fields=yeer&limt=1&dep_delay=x&async=perhaps").await,
        ["?async", "?dep_delay", "?fields", "?format", "?limit", "?limt", "?sort"]
    );
    assert_eq!(told("limit=20000&format=foo").await, ["?format", "?limit"]);
    assert_eq!(told("limit=20000&page_size=x").await, ["?limit", "?page_size"]);
    // How deep a limit reaches that cannot be read is not known.
    assert_eq!(told("offset=9999&limit=x").await, ["?limit"]);
    assert!(world.queue.receive().is_none(), "nothing wrong became a job");
}

#[tokio::test]
async fn a_data_set_that_the_plan_lacks_is_not_there() {
    let world = World::new().await;
    for name in ["secret", "nothing", "..%2fflights"] {
        world.get(&format!("/v1/datasets/{name}/records?limt=1")).await.problem(404, "not-found");
        world.get(&format!("/v1/datasets/{name}")).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_failed_job_is_answered_as_its_problem() {
    let world = World::with([Script::Fatal(willcall_conformance::samples::problem())]).await;
    let _working = world.working();
    let answer = world.get(PATH).await;
    let text = answer.problem(500, "engine-failed");
    assert!(text.contains("the file cannot be read"), "{text}");
    assert!(!answer.header("willcall-job-id").is_empty());
}

#[tokio::test]
async fn more_than_is_answered_inline_is_elsewhere_and_a_post_is_not_repeated() {
    let mut world = World::new().await;
    world.app.settings.inline_limit = Some(1);
    let _working = world.working();
    world.get(PATH).await.expect(307);
    let answer = world.post(PATH, "{}").await.expect(303);
    assert!(world.blobs.follow(answer.header("location"), world.now()).is_some());
}

#[tokio::test]
async fn asking_for_the_head_makes_no_job() {
    let world = World::new().await;
    for method in ["HEAD", "PUT", "DELETE"] {
        let answer = world.ask(method, PATH, &[], "").await.expect(405);
        assert_eq!(answer.header("allow"), "GET, POST", "{method}");
    }
    world.ask("PUT", PATH, &[], "").await.problem(405, "method-not-allowed");
    assert!(world.queue.receive().is_none(), "nothing became a job");
    assert!(world.get("/v1/jobs").await.json()["jobs"].as_array().unwrap().is_empty());
}
