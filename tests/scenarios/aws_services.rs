//! DynamoDB, S3 and SQS that fail, throttle, or are slow under the AWS host.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};
use willcall_aws_local::{Fault, Rule, Service, Which};
use willcall_tests::{Aws, Client, On, id};

/// A few jobs at once: small ones, a sorted one, and one whose file takes several parts.
async fn some_jobs(client: &Client) -> Result<Vec<Value>> {
    try_join_all([
        client.submit(json!({"dataset": "numbers", "format": "jsonl", "limit": 100})),
        client.submit(json!({"dataset": "numbers", "format": "csv", "sort": ["mixed"], "limit": 50_000})),
        client.submit(json!({"dataset": "numbers", "format": "parquet", "filter": "n < 100000"})),
        client.submit(json!({"dataset": "numbers", "format": "csv"})),
    ])
    .await
}

async fn all_complete(host: &Aws) -> Result<()> {
    let client = host.client();
    let jobs = some_jobs(&client).await?;
    for job in &jobs {
        let done = client.ended(job).await?;
        assert_eq!(done["state"], "completed", "{done}");
    }
    host.assert_settled(&jobs, false).await
}

async fn a_table_that_throttles_fails_and_conflicts_loses_nothing(_: On) -> Result<()> {
    let host = Aws::numbers(500_000, |_| {}).await?;
    let rules = [
        ("PutItem", Fault::THROTTLED, Which::Every(3)),
        ("PutItem", Fault::CONDITION_FAILED, Which::Every(4)),
        ("GetItem", Fault::INTERNAL, Which::Every(5)),
        ("TransactWriteItems", Fault::CONFLICT, Which::Every(2)),
        ("TransactWriteItems", Fault::INTERNAL, Which::Every(3)),
        ("Query", Fault::THROTTLED, Which::Every(3)),
    ];
    let rules = rules.map(|(operation, fault, which)| {
        (operation, host.faults().add(Rule::new(Service::DynamoDb, fault).operation(operation).only(which)))
    });
    all_complete(&host).await?;
    for (operation, rule) in rules.into_iter().filter(|(operation, _)| *operation != "Query") {
        assert!(host.faults().met(rule) > 0, "{operation} never failed");
    }
    Ok(())
}

/// What was done and is not known to be done is not done again.
async fn a_table_whose_answers_are_lost_makes_each_job_once(_: On) -> Result<()> {
    let host = Aws::numbers(500_000, |_| {}).await?;
    for operation in ["TransactWriteItems", "PutItem"] {
        let lost = Rule::new(Service::DynamoDb, Fault::CutAfter).operation(operation).only(Which::Every(2));
        host.faults().add(lost);
    }
    all_complete(&host).await?;
    let listed = host.client().get("/v1/jobs").await?.json()?;
    assert_eq!(listed["jobs"].as_array().map(Vec::len), Some(4), "{listed}");
    Ok(())
}

async fn a_bucket_that_fails_and_is_slow_delivers_whole_files(_: On) -> Result<()> {
    let host = Aws::numbers(700_000, |_| {}).await?;
    let pause = Duration::from_millis(5);
    for (operation, fault, which) in [
        ("UploadPart", Fault::INTERNAL, Which::First(2)),
        ("UploadPart", Fault::Delay(Duration::from_secs(2)), Which::Every(3)),
        ("CreateMultipartUpload", Fault::SLOW_DOWN, Which::First(1)),
        ("CompleteMultipartUpload", Fault::CutAfter, Which::First(1)),
        ("PutObject", Fault::CutBefore, Which::Every(4)),
        ("PutObject", Fault::CutAfter, Which::Every(5)),
        ("GetObject", Fault::INTERNAL, Which::Every(7)),
        ("GetObject", Fault::Drip(100_000, pause), Which::Every(5)),
        ("HeadObject", Fault::SLOW_DOWN, Which::Every(4)),
        ("ListObjectsV2", Fault::INTERNAL, Which::Every(3)),
    ] {
        // The worker's alone: clients follow links through the same network.
        let rule = Rule::new(Service::S3, fault).operation(operation).function("WorkerFunction");
        host.faults().add(rule.only(which));
    }
    all_complete(&host).await
}

async fn a_bucket_that_takes_nothing_fails_the_job_and_keeps_nothing(_: On) -> Result<()> {
    let host = Aws::numbers(1_000, |_| {}).await?;
    let client = host.client();
    let job = client.submit(json!({"dataset": "numbers", "format": "csv"})).await?;
    let done = client.ended(&job).await?;
    assert_eq!(done["state"], "completed", "it works before: {done}");
    let refused = Rule::new(Service::S3, Fault::Answer(503, String::new())).operation("PutObject");
    host.faults().add(refused.function("WorkerFunction").path("/result.csv"));
    let lost = client.submit(json!({"dataset": "numbers", "format": "csv"})).await?;
    let ended = client.ended(&lost).await?;
    assert_eq!((&ended["state"], &ended["attempts"]), (&json!("failed"), &json!(3)), "{ended}");
    assert!(
        ended["error"]["type"].as_str().is_some_and(|kind| kind.ends_with("/problems/unavailable")),
        "{ended}"
    );
    host.faults().clear();
    host.assert_settled(&[job, lost], false).await
}

async fn a_message_that_was_never_sent_is_sent_by_the_sweeper(_: On) -> Result<()> {
    let host = Aws::numbers(1_000, |_| {}).await?;
    let client = host.client();
    let lost = host.faults().add(Rule::new(Service::Sqs, Fault::INTERNAL).operation("SendMessage"));
    let job = client.submit(json!({"dataset": "numbers"})).await?;
    assert_eq!(job["state"], "accepted", "it is accepted: it is stored");
    assert!(host.faults().met(lost) > 0);
    host.faults().clear();
    host.sweep().await?;
    let path = format!("/v1/jobs/{}", id(&job));
    let found = client.get(&path).await?.json()?;
    assert_eq!(found["state"], "accepted", "it is not yet due: {found}");
    host.due_now(&job).await?;
    // Two sweeps at once do what one does.
    tokio::try_join!(host.sweep(), host.sweep())?;
    let done = client.ended(&job).await?;
    assert_eq!((&done["state"], &done["attempts"]), (&json!("completed"), &json!(1)), "{done}");
    host.assert_settled(&[job], false).await
}

async fn a_table_that_does_not_answer_is_a_problem_in_time(_: On) -> Result<()> {
    let host = Aws::numbers(100, |_| {}).await?;
    let client = host.client();
    host.faults().add(Rule::new(Service::DynamoDb, Fault::Delay(Duration::from_secs(60))));
    let begun = std::time::Instant::now();
    let answer = client.post("/v1/jobs", &json!({"kind": "query", "dataset": "numbers"})).await?;
    assert_eq!((answer.status, answer.problem()?.as_str()), (503, "unavailable"));
    assert!(begun.elapsed() < Duration::from_secs(29), "{:?}", begun.elapsed());
    host.faults().clear();
    assert_eq!(client.get("/v1/jobs").await?.json()?["jobs"], json!([]), "nothing came of it");
    let job = client.run(json!({"dataset": "numbers"})).await?;
    host.assert_settled(&[job], false).await
}

willcall_tests::scenarios! {
    aws: [
        a_table_that_throttles_fails_and_conflicts_loses_nothing,
        a_table_whose_answers_are_lost_makes_each_job_once,
        a_bucket_that_fails_and_is_slow_delivers_whole_files,
        a_bucket_that_takes_nothing_fails_the_job_and_keeps_nothing,
        a_message_that_was_never_sent_is_sent_by_the_sweeper,
        a_table_that_does_not_answer_is_a_problem_in_time,
    ],
}
