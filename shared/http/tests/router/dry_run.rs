//! Asking what a query would deliver and take.

use serde_json::{Value, json};
use willcall_conformance::Script;
use willcall_core::{
    job::{FoundBy, PartCounted, Survey, Values, kinds::Work},
    prices::{Micros, Prices},
};

use crate::world::World;

const PATH: &str = "/v1/jobs?dry_run=true";
const QUERY: &str =
    r#"{"kind": "query", "dataset": "flights", "sort": ["-flight"], "format": "jsonl", "offset": 1}"#;

#[tokio::test]
async fn an_estimate_in_time_is_counted_and_sampled() {
    let world = World::new().await;
    let _working = world.working();
    let answer = world.post(PATH, QUERY).await.expect(200);
    let estimate = answer.json();
    assert_eq!((&estimate["records_found"], &estimate["records"]), (&json!(3), &json!(2)));
    assert_eq!((&estimate["bytes_read"], &estimate["cost"]), (&json!(100), &Value::Null));
    assert!(estimate["bytes_written"].as_u64().unwrap() > 0);
    assert_eq!(estimate["records_bounds"], Value::Null, "what is exact has no bounds");
    for figure in ["records", "bytes_read", "bytes_written", "duration", "cost"] {
        assert!(estimate["basis"][figure].as_str().is_some_and(|words| !words.is_empty()), "{figure}");
    }
    assert!(estimate["basis"]["duration"].as_str().unwrap().contains("sort"), "what is left out is told");
    let tasks = world.executor.tasks();
    let Work::Query(work) = &*tasks[0].work else { panic!("not a query") };
    assert_eq!((work.limit, work.offset, work.sort.len()), (Some(1_000), 1, 0), "a sample, and no sort");
    let id = answer.header("willcall-job-id");
    let job = world.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(job["estimate"], estimate);
    assert_eq!(world.get("/v1/account").await.json()["usage"]["records_today"], 0, "a sample is no delivery");
}

#[tokio::test]
async fn a_plan_with_prices_tells_what_a_query_would_cost() {
    let world = World::new().await;
    world.change_plan(|plan| {
        plan.prices = Some(Prices {
            currency: "EUR".into(),
            per_job: Micros(10_000),
            per_million_records: Micros(5_000_000),
            per_gib_read: Micros(0),
            per_gib_written: Micros(0),
        });
    });
    let _working = world.working();
    let estimate = world.post(PATH, QUERY).await.expect(200).json();
    assert_eq!(estimate["cost"], json!({ "amount": "0.01001", "currency": "EUR" }), "a job and two records");
    let basis = estimate["basis"]["cost"].as_str().unwrap();
    assert!(basis.starts_with("0.01 EUR for a job, 5 EUR for a million records, by the plan"), "{basis}");
}

#[tokio::test]
async fn what_could_not_be_counted_in_time_is_told_with_its_bounds() {
    let world = World::new().await;
    let _working = world.working();
    world.executor.survey(Survey {
        found_by: FoundBy::Part,
        at_least: 3,
        at_most: None,
        likely: 900,
        bytes_read: 42,
        whole_files: true,
        values: None,
        part: Some(PartCounted { weight: 1, of: 101, millis: 60_000 }),
    });
    let estimate = world.post(PATH, QUERY).await.expect(200).json();
    assert_eq!((&estimate["records_found"], &estimate["records"]), (&json!(900), &json!(899)));
    assert_eq!(estimate["records_bounds"], json!({ "at_least": 3, "at_most": null }));
    assert_eq!(estimate["bytes_read"], 42);
    let basis = &estimate["basis"];
    assert!(basis["records"].as_str().unwrap().starts_with("a part that was counted in time"), "{basis}");
    assert!(basis["bytes_read"].as_str().unwrap().contains("files that may have a match"), "{basis}");
    assert!(basis["duration"].as_str().unwrap().contains("in proportion"), "{basis}");
    let duration = estimate["duration"].as_str().unwrap();
    assert!(duration.starts_with("PT1H40M"), "a hundred times what a minute counted: {duration}");
}

#[tokio::test]
async fn what_is_only_likely_to_be_no_more_than_the_sample_is_not_called_all_of_it() {
    // None of the records that were looked at matched, and nobody knows of the others.
    let world = World::with([Script::Deliver(Vec::new())]).await;
    let _working = world.working();
    let nothing = Survey {
        found_by: FoundBy::Part,
        at_least: 0,
        at_most: Some(10_000_000),
        likely: 0,
        bytes_read: 42,
        whole_files: false,
        values: Some(Values { bytes: 4_000, records: 1_000 }),
        part: Some(PartCounted { weight: 1, of: 100, millis: 1_000 }),
    };
    let ask = async |survey: Survey| {
        world.executor.survey(survey);
        world.post(PATH, QUERY).await.expect(200).json()
    };
    let estimate = ask(nothing.clone()).await;
    assert_eq!((&estimate["records"], &estimate["bytes_written"]), (&json!(0), &json!(0)));
    let basis = &estimate["basis"]["bytes_written"];
    assert!(basis.as_str().unwrap().starts_with("the size of the values"), "{basis}");
    let estimate = ask(Survey { values: None, ..nothing.clone() }).await;
    assert_eq!((&estimate["bytes_written"], &estimate["duration"]), (&Value::Null, &Value::Null));
    for figure in ["bytes_written", "duration", "cost"] {
        assert_eq!(estimate["basis"][figure], "not known, as no record was found in time", "{figure}");
    }
    let estimate = ask(Survey { part: None, ..nothing.clone() }).await;
    assert_eq!(estimate["basis"]["duration"], "not known, as nothing was counted in time");
    let exact = Survey { found_by: FoundBy::Counting, at_most: Some(0), part: None, ..nothing };
    assert_eq!(ask(exact).await["basis"]["bytes_written"], "all of it was written");
}

#[tokio::test]
async fn a_data_set_is_shown_with_what_is_known_of_its_values_and_a_list_is_not() {
    let world = World::new().await;
    let dataset = world.get("/v1/datasets/flights").await.json();
    assert_eq!(
        dataset["statistics"],
        json!({
            "row_groups": 1,
            "columns": { "carrier": { "min": "9E", "max": "YV", "exact": true, "nulls": 0, "distinct": null } }
        })
    );
    let list = world.get("/v1/datasets").await.json();
    assert!(list["datasets"][0].get("statistics").is_none(), "{list}");
}

#[tokio::test]
async fn an_estimate_that_takes_longer_is_the_jobs() {
    let world = World::new().await;
    let answer = world.ask("POST", PATH, &[("prefer", "respond-async")], QUERY).await.expect(202);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    let job = answer.json();
    assert_eq!(job.get("estimate"), Some(&Value::Null));
    assert_eq!(answer.header("location"), job["link"].as_str().unwrap());
    world.work().await;
    let path = format!("/v1/jobs/{}", job["job_id"].as_str().unwrap());
    assert_eq!(world.get(&path).await.json()["estimate"]["records"], 2);
    let real = world.post(&format!("{path}/rerun"), "").await.expect(202).json();
    assert!(real.get("estimate").is_none(), "run again, the query is run");
    let plain = world.post("/v1/jobs", QUERY).await.expect(202).json();
    assert!(plain.get("estimate").is_none());
}

#[tokio::test]
async fn a_dry_run_is_repeated_by_its_key_and_serves_nobody() {
    let world = World::new().await;
    let _working = world.working();
    let key = [("idempotency-key", "k")];
    let first = world.ask("POST", PATH, &key, QUERY).await.expect(200);
    let again = world.ask("POST", PATH, &key, QUERY).await.expect(200);
    assert_eq!((again.header("idempotent-replayed"), &again.bytes), ("true", &first.bytes));
    world.ask("POST", "/v1/jobs", &key, QUERY).await.problem(422, "idempotency-mismatch");
    let sample = r#"{"kind": "query", "dataset": "flights", "format": "jsonl", "offset": 1, "limit": 1000, "reuse": true}"#;
    let whole = world.post("/v1/jobs", sample).await.expect(202).json();
    assert!(whole.get("reused").is_none() && whole.get("estimate").is_none());
}

#[tokio::test]
async fn what_cannot_be_run_cannot_be_estimated() {
    let world = World::with([Script::Fatal(willcall_conformance::samples::problem())]).await;
    let wrong = r#"{"kind": "query", "dataset": "flights", "filter": "nope = 1", "limit": -1}"#;
    assert_eq!(world.post(PATH, wrong).await.pointers(), ["#/limit", "#/filter"]);
    let wrong = r#"{"kind": "query", "dataset": "flights", "filter": "nope = 1"}"#;
    assert_eq!(world.post(PATH, wrong).await.pointers(), ["#/filter"]);
    assert_eq!(world.post("/v1/jobs?dry_run=1", QUERY).await.pointers(), ["?dry_run"]);
    assert!(world.queue.receive().is_none(), "nothing wrong became a job");
    let _working = world.working();
    let answer = world.post(PATH, QUERY).await;
    answer.problem(500, "engine-failed");
    assert!(answer.header("content-location").ends_with(answer.header("willcall-job-id")));
}
