//! Limits of the plan that are about time, and what clients are told of them.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::world::World;

const QUERY: &str = r#"{"kind": "query", "dataset": "flights"}"#;

/// A world on the whole minute whose plan allows two submits in each.
async fn two_a_minute() -> World {
    let world = World::new().await;
    world.change_plan(|plan| (plan.submits_per_minute, plan.max_open_jobs) = (Some(2), 100));
    world.clock.advance(world.now().left_of_minute() + Duration::from_millis(500));
    world
}

#[tokio::test]
async fn submits_of_a_minute_are_counted_and_told() {
    let world = two_a_minute().await;
    for left in [1, 0] {
        let answer = world.post("/v1/jobs", QUERY).await.expect(202);
        assert_eq!(answer.header("ratelimit-policy"), "\"submits_per_minute\";q=2;w=60");
        assert_eq!(answer.header("ratelimit"), format!("\"submits_per_minute\";r={left};t=60"));
    }
    world.clock.advance(Duration::from_secs(29));
    for (method, path) in [("POST", "/v1/jobs"), ("GET", "/v1/datasets/flights/records")] {
        let body = if method == "POST" { QUERY } else { "" };
        let answer = world.ask(method, path, &[], body).await;
        answer.problem(429, "quota-exceeded");
        assert_eq!(answer.header("ratelimit-policy"), "\"submits_per_minute\";q=2;w=60");
        assert_eq!(answer.header("ratelimit"), "\"submits_per_minute\";r=0;t=31");
        assert_eq!(answer.header("retry-after"), "31");
    }
    let usage = world.get("/v1/account").await.json();
    assert_eq!(
        (&usage["limits"]["submits_per_minute"], &usage["usage"]["submits_this_minute"]),
        (&json!(2), &json!(2))
    );
    world.clock.advance(Duration::from_secs(31));
    world.post("/v1/jobs", QUERY).await.expect(202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_submits_at_once_do_not_exceed_the_minute() {
    let world = two_a_minute().await;
    let answers = join_all((0..100).map(|_| world.post("/v1/jobs", QUERY))).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(202), count(429)), (2, 98));
    assert_eq!(world.get("/v1/jobs").await.json()["jobs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_plan_without_limits_tells_none_and_counts_what_was_delivered() {
    let world = World::new().await;
    let answer = world.post("/v1/jobs", QUERY).await.expect(202);
    assert!(answer.header("ratelimit").is_empty() && answer.header("ratelimit-policy").is_empty());
    world.work().await;
    let account = world.get("/v1/account").await.json();
    for limit in ["submits_per_minute", "max_records_per_day", "max_bytes_per_day"] {
        assert_eq!(account["limits"][limit], Value::Null, "{limit}");
    }
    assert_eq!(account["usage"]["submits_this_minute"], Value::Null);
    assert_eq!((&account["usage"]["records_today"], &account["usage"]["open_jobs"]), (&json!(3), &json!(0)));
    assert!(account["usage"]["bytes_today"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_day_that_is_used_up_cuts_and_then_refuses() {
    let world = World::new().await;
    world.change_plan(|plan| plan.max_records_per_day = Some(4));
    let first = world.completed().await;
    let second = world.completed().await;
    let job = async |id: String| world.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(job(first).await["result"]["truncated"], Value::Null);
    let result = job(second.clone()).await["result"].clone();
    assert_eq!(
        (&result["records"], &result["truncated"]),
        (&json!(1), &json!({"reason": "daily_limit", "limit": 1}))
    );
    let answer = world.get(&format!("/v1/jobs/{second}/result")).await.expect(200);
    assert_eq!(answer.header("willcall-truncated"), "daily_limit; limit=1");
    let refused = world.post("/v1/jobs", QUERY).await;
    refused.problem(429, "quota-exceeded");
    let left = world.now().left_of_day();
    assert_eq!(refused.header("ratelimit-policy"), "\"max_records_per_day\";q=4;w=86400");
    assert_eq!(refused.header("retry-after"), left.as_secs().to_string());
    world.clock.advance(left);
    world.post("/v1/jobs", QUERY).await.expect(202);
}
