//! The limits of Lambda and API Gateway, which the AWS host must keep within.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use willcall_aws_local::{Fault, Rule, Service};
use willcall_tests::{Answer, Aws, Client, Directory, On, Operator, id, write_texts};

/// 6 MB, into which Lambda's event and answer must fit.
const EVENT: usize = 6 * 1024 * 1024;

/// The whole bytes of an answer, which are those that its job names: its own, or what it leads to.
async fn whole(client: &Client, answer: &Answer, led: u16) -> Result<bool> {
    let inline = answer.status == 200;
    let body = if inline {
        answer.body.clone()
    } else {
        assert_eq!(answer.status, led, "{}", answer.text());
        let link = answer.header("location").context("location")?;
        let led_to = client.with_token(None).get(link).await?;
        assert_eq!(led_to.status, 200, "{}", led_to.text());
        led_to.body
    };
    let job = answer.header("willcall-job-id").context("job")?;
    let job = client.get(&format!("/v1/jobs/{job}")).await?.json()?;
    assert_eq!(job["result"]["sha256"], hex::encode(Sha256::digest(&body)), "{job}");
    Ok(inline)
}

/// Every character of the records must be escaped in their format, and again in the answer's JSON.
async fn an_answer_that_does_not_fit_leads_to_the_file(_: On) -> Result<()> {
    let directory = Directory::new(&[("numbers", "texts.parquet")], |folder| {
        write_texts(&folder.join("texts.parquet"), 10_000, &"\"".repeat(1000))
    })?;
    let host = Aws::start(directory).await?;
    let client = host.client();
    for format in ["csv", "jsonl"] {
        let (mut inline, mut led) = (0, 0);
        for limit in [500, 1500, 2000, 2300, 2340, 2600, 3100, 10_000] {
            let path = format!("/v1/datasets/numbers/records?format={format}&limit={limit}");
            let request = client.request(Method::GET, &path).header("prefer", "wait=25");
            match whole(&client, &client.send(request).await?, 307).await? {
                true => inline += 1,
                false => led += 1,
            }
        }
        assert!(inline >= 2 && led >= 2, "{format}: {inline} inline, {led} led elsewhere");
    }
    let body = json!({"format": "csv", "limit": 10_000});
    let posted = client.post("/v1/datasets/numbers/records", &body).await?;
    assert!(!whole(&client, &posted, 303).await?, "a redirect that does not repeat the POST");
    let job = client.run(json!({"dataset": "numbers", "format": "csv"})).await?;
    let result = client.get(&format!("/v1/jobs/{}/result", id(&job))).await?;
    assert_eq!(result.status, 307);
    let link = result.header("location").context("location")?;
    assert_eq!(client.with_token(None).get(link).await?.body.len(), job["result"]["bytes"]);
    for page in [0, 4, 9] {
        let page = client.get(&format!("/v1/jobs/{}/result/pages/{page}", id(&job))).await?;
        assert_eq!(page.status, 200, "{}", page.text());
    }
    Ok(())
}

async fn a_request_of_a_mebibyte_is_served_and_one_of_six_is_refused(_: On) -> Result<()> {
    let host = Aws::numbers(100, |_| {}).await?;
    let client = host.client();
    let post = async |size: usize| {
        let mut body = json!({"kind": "query", "dataset": "numbers", "limit": 1}).to_string();
        body += &" ".repeat(size - body.len());
        let request = client.request(Method::POST, "/v1/jobs").header("content-type", "application/json");
        client.send(request.body(body)).await
    };
    let served = post(1024 * 1024).await?;
    assert_eq!(served.status, 202, "{}", served.text());
    client.ended(&served.json()?).await?;
    let refused = post(1024 * 1024 + 1).await?;
    assert_eq!((refused.status, refused.problem()?.as_str()), (413, "payload-too-large"));
    let invocations = host.log().matches("SubmitFunction: START").count();
    let stopped = post(EVENT + 1).await?;
    assert_eq!((stopped.status, stopped.header("content-type")), (413, Some("application/json")));
    assert_eq!(host.log().matches("SubmitFunction: START").count(), invocations, "no function saw it");
    Ok(())
}

async fn a_head_of_more_than_ten_kilobytes_is_refused_by_the_gateway(_: On) -> Result<()> {
    let host = Aws::numbers(100, |_| {}).await?;
    let client = host.client();
    let get = async |size: usize| {
        let none = ",1".repeat(size / 2);
        client.get(&format!("/v1/datasets/numbers/records?fields=n&limit=1&n.in=0{none}")).await
    };
    let served = get(9_500).await?;
    assert_eq!(served.status, 200, "{}", served.text());
    let refused = get(10_240).await?;
    assert_eq!((refused.status, refused.header("content-type")), (431, Some("application/json")));
    Ok(())
}

/// No worker can claim anything meanwhile: the table refuses it.
async fn whoever_waits_is_answered_within_thirty_seconds(_: On) -> Result<()> {
    let host = Aws::numbers(1_000, |_| {}).await?;
    let client = host.client();
    let claims =
        Rule::new(Service::DynamoDb, Fault::THROTTLED).operation("PutItem").function("WorkerFunction");
    let refused = host.faults().add(claims);
    let job = client.submit(json!({"dataset": "numbers"})).await?;
    // Both functions run already: how long they take to start is not looked at here.
    assert_eq!(client.get(&format!("/v1/jobs/{}", id(&job))).await?.status, 200);
    assert_eq!(client.get("/v1/datasets/numbers/records?limit=x").await?.status, 400);
    let path = format!("/v1/jobs/{}?wait=60", id(&job));
    let records =
        client.request(Method::GET, "/v1/datasets/numbers/records?limit=1").header("prefer", "wait=60");
    let begun = Instant::now();
    let timed = async |answer| anyhow::Ok((Client::clone(&client).send(answer).await?, begun.elapsed()));
    let (status, records) = tokio::try_join!(timed(client.request(Method::GET, &path)), timed(records))?;
    for (answer, took) in [&status, &records] {
        assert!((20..30).contains(&took.as_secs()), "{took:?}: {}", answer.text());
    }
    let (status, records) = (status.0, records.0);
    assert_eq!((status.status, &status.json()?["state"]), (200, &json!("accepted")));
    assert_eq!((records.status, records.header("preference-applied")), (202, Some("respond-async")));
    assert!(host.faults().met(refused) > 0);
    host.faults().clear();
    host.assert_settled(&[job, records.json()?], false).await
}

/// The upload hangs, so that the work does not even hear that it must stop: it is dropped in time.
async fn a_job_that_would_outlast_its_worker_fails_and_says_so(_: On) -> Result<()> {
    let host = Aws::numbers(500_000, |options| {
        options.overrides.timeouts.insert("WorkerFunction".into(), Duration::from_secs(45));
    })
    .await?;
    let client = host.client();
    let slow = Rule::new(Service::S3, Fault::Delay(Duration::from_secs(60))).operation("UploadPart");
    host.faults().add(slow.function("WorkerFunction"));
    let job = client.submit(json!({"dataset": "numbers", "format": "csv"})).await?;
    let ended = client.ended(&job).await?;
    assert_eq!((&ended["state"], &ended["attempts"]), (&json!("failed"), &json!(1)), "{ended}");
    assert!(
        ended["error"]["type"].as_str().is_some_and(|kind| kind.ends_with("/problems/engine-failed")),
        "{ended}"
    );
    assert!(ended["error"]["detail"].as_str().is_some_and(|detail| detail.contains("45 seconds")), "{ended}");
    assert_eq!(ended["result"], Value::Null);
    assert!(!host.log().contains("Task timed out"), "it ended by itself: {}", host.log());
    host.assert_settled(&[job], true).await
}

willcall_tests::scenarios! {
    aws: [
        an_answer_that_does_not_fit_leads_to_the_file,
        a_request_of_a_mebibyte_is_served_and_one_of_six_is_refused,
        a_head_of_more_than_ten_kilobytes_is_refused_by_the_gateway,
        whoever_waits_is_answered_within_thirty_seconds,
        a_job_that_would_outlast_its_worker_fails_and_says_so,
    ],
}
