//! Whole statements in place of a data set and a filter.

use serde_json::{Value, json};
use willcall_core::job::kinds::{SqlValue, Work};

use crate::world::World;

const SQL: &str = r#"{"kind": "query", "sql": "SELECT * FROM flights WHERE flight > $n", "parameters": {"n": 5}, "format": "jsonl"}"#;

async fn world() -> World {
    let world = World::new().await;
    world.change_plan(|plan| plan.sql = true);
    world
}

#[tokio::test]
async fn a_statement_becomes_a_job_that_shows_it() {
    let world = world().await;
    let _working = world.working();
    let job = world.post("/v1/jobs", SQL).await.expect(202).json();
    assert_eq!((&job["kind"], &job["dataset"], &job["view"]), (&json!("query"), &Value::Null, &Value::Null));
    assert_eq!(job["request"], serde_json::from_str::<Value>(SQL).unwrap());
    let id = job["job_id"].as_str().unwrap();
    let job = world.get(&format!("/v1/jobs/{id}?wait=10")).await.expect(200).json();
    assert_eq!(job["state"], "completed");
    let tasks = world.executor.tasks();
    let Work::Sql(work) = &*tasks[0].work else { panic!("no statement") };
    assert_eq!(
        (work.datasets.as_slice(), &work.parameters["n"]),
        (&["flights".to_owned()][..], &SqlValue::Int64(5))
    );
    assert_eq!(tasks[0].subject.datasets().len(), 1);
    let manifest = world.get(&format!("/v1/jobs/{id}/manifest")).await.expect(200).json();
    assert_eq!(manifest["sources"][0]["dataset"], "flights");
    assert_eq!(manifest["source"], Value::Null);
    let again = world.post(&format!("/v1/jobs/{id}/rerun"), "").await.expect(202).json();
    assert_eq!(again["request"], job["request"]);
}

#[tokio::test]
async fn a_decimal_has_the_digits_that_it_was_sent_with() {
    let world = world().await;
    let _working = world.working();
    let sql = r#"{"sql": "SELECT * FROM flights WHERE flight > $n",
                  "parameters": {"n": {"type": "decimal", "value": 12345678901234567890.05}}}"#;
    let job = world.post("/v1/jobs", sql).await.expect(202).json();
    assert_eq!(job["request"]["parameters"]["n"]["value"], "12345678901234567890.05");
    let id = job["job_id"].as_str().unwrap();
    world.get(&format!("/v1/jobs/{id}?wait=10")).await.expect(200);
    world.post(&format!("/v1/jobs/{id}/rerun"), "").await.expect(202);
    for task in world.executor.tasks() {
        let Work::Sql(work) = &*task.work else { panic!("no statement") };
        assert_eq!(work.parameters["n"], SqlValue::Decimal("12345678901234567890.05".into()));
    }
}

#[tokio::test]
async fn a_plan_without_sql_says_so() {
    let world = World::new().await;
    let answer = world.post("/v1/jobs", SQL).await.expect(403);
    assert!(answer.json()["type"].as_str().unwrap().ends_with("/problems/forbidden"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("does not allow sql"), "{}", answer.text());
    assert_eq!(world.get("/v1/account").await.json()["limits"]["sql"], false);
    assert!(world.queue.receive().is_none());
}

#[tokio::test]
async fn mistakes_of_a_statement_are_named_with_their_place() {
    let world = world().await;
    for (members, pointer, words) in [
        (
            r#""sql": "SELECT *\nFROM fligths""#,
            "#/sql",
            "line 2, column 6 (position 15); did you mean \\\"flights\\\"?",
        ),
        (r#""sql": "SELECT * FROM secret""#, "#/sql", "there is no data set"),
        (r#""sql": "DROP TABLE flights""#, "#/sql", "begins with SELECT or WITH"),
        (r#""sql": "SELECT 1; SELECT 2""#, "#/sql", "nothing may follow"),
        (r#""sql": """#, "#/sql", "is empty"),
        (r#""sql": 7"#, "#/sql", "must be a string"),
        (r#""sql": "SELECT $a", "parameters": {"b": 1, "a": 1}"#, "#/parameters/b", "has no placeholder"),
        (
            r#""sql": "SELECT $since""#,
            "#/sql",
            "\\\"$since\\\" has no value among the parameters at line 1, column 8",
        ),
        (r#""sql": "SELECT $a", "parameters": {"a": [1]}"#, "#/parameters/a", "not an array"),
        (
            r#""sql": "SELECT $a", "parameters": {"a": {"type": "date", "value": "x"}}"#,
            "#/parameters/a/value",
            "must be a date",
        ),
        (
            r#""sql": "SELECT $a", "parameters": {"a": 99999999999999999999}"#,
            "#/parameters/a",
            "99999999999999999999 does not fit 64 bits; write {\\\"type\\\": \\\"decimal\\\"",
        ),
        (
            r#""sql": "SELECT $a", "parameters": {"a": -9223372036854775809}"#,
            "#/parameters/a",
            "-9223372036854775809 does not fit 64 bits",
        ),
        (
            r#""sql": "SELECT $a", "parameters": {"a": {"type": "int64", "value": 99999999999999999999}}"#,
            "#/parameters/a/value",
            "a whole number of 64 bits, not \\\"99999999999999999999\\\"",
        ),
        (r#""sql": "SELECT 1", "parameters": {"a/b": 1}"#, "#/parameters/a~1b", "name has letters"),
        (r#""sql": "SELECT 1", "parameters": []"#, "#/parameters", "must be an object"),
        (r#""sql": "SELECT 1", "dataset": "flights""#, "#/dataset", "does not go with sql"),
        (r#""sql": "SELECT 1", "filter": "a = 1""#, "#/filter", "does not go with sql"),
        (r#""sql": "SELECT 1", "sort": ["a"]"#, "#/sort", "does not go with sql"),
        (r#""sql": "SELECT 1", "limitt": 1"#, "#/limitt", "did you mean \\\"limit\\\"?"),
        (r#""sql": "SELECT 1", "page_size": 1"#, "#/page_size", "must be 100 to"),
        (r#""sql": "SELECT 1", "reuse": false, "max_age": 1"#, "#/max_age", "leave it out"),
        (r#""sql": "SELECT 1", "format": "docx""#, "#/format", "not a format"),
    ] {
        let body = format!("{{\"kind\": \"query\", {members}}}");
        let answer = world.post("/v1/jobs", &body).await.expect(400);
        assert_eq!(answer.pointers(), [pointer], "{body}\n{}", answer.text());
        assert!(answer.text().contains(words), "{body}\n{}", answer.text());
    }
    let answer = world.post("/v1/jobs?flight=1&sort=a", SQL).await.expect(400);
    assert_eq!(answer.pointers(), ["?flight", "?sort"]);
    assert!(world.queue.receive().is_none(), "nothing wrong became a job");
}

#[tokio::test]
async fn records_at_once_point_to_jobs() {
    let world = world().await;
    let path = "/v1/datasets/flights/records";
    let answer = world.post(path, r#"{"sql": "SELECT 1"}"#).await.expect(400);
    assert_eq!(answer.pointers(), ["#/sql"]);
    assert!(answer.text().contains("POST /v1/jobs"), "{}", answer.text());
    assert_eq!(world.get(&format!("{path}?sql=SELECT%201")).await.expect(400).pointers(), ["?sql"]);
}

#[tokio::test]
async fn a_statement_is_repeated_by_its_key_and_served_by_its_equal() {
    let world = world().await;
    let key = [("idempotency-key", "one")];
    let first = world.ask("POST", "/v1/jobs", &key, SQL).await.expect(202).json();
    let again = world.ask("POST", "/v1/jobs", &key, SQL).await.expect(202);
    assert_eq!((&again.json()["job_id"], again.header("idempotent-replayed")), (&first["job_id"], "true"));
    world.ask("POST", "/v1/jobs", &key, &SQL.replace("\"n\": 5", "\"n\": 6")).await.expect(422);
    let reusing = SQL.replace("\"kind\"", "\"reuse\": true, \"kind\"");
    let served = world.post("/v1/jobs", &reusing).await.expect(202).json();
    assert_eq!((&served["job_id"], &served["reused"]), (&first["job_id"], &json!(true)));
    let other = world.post("/v1/jobs", &reusing.replace("\"n\": 5", "\"n\": 5.0")).await.expect(202).json();
    assert_ne!(other["job_id"], first["job_id"], "another parameter is another result");
}

#[tokio::test]
async fn a_dry_run_counts_what_its_sample_holds() {
    let world = world().await;
    let _working = world.working();
    let estimate = world.post("/v1/jobs?dry_run=true", SQL).await.expect(200).json();
    assert_eq!((&estimate["records"], &estimate["bytes_read"]), (&json!(3), &json!(100)));
    let tasks = world.executor.tasks();
    let Work::Sql(work) = &*tasks[0].work else { panic!("no statement") };
    assert_eq!(work.limit, Some(1_000));
}
