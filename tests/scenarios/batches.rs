//! Rows of clients' own, sent with the request or uploaded in batches, by a client that knows HTTP alone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use willcall_aws_local::{Fault, Rule, Service, Which};
use willcall_tests::{Answer, Aws, Client, On, OneBox, id};

/// What every job here asks for: the word of each number.
pub(crate) fn append(more: Value) -> Value {
    let mut body = json!({
        "kind": "append", "dataset": "numbers", "on": {"number": "n"}, "fields": ["word"], "format": "csv"
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

pub(crate) async fn submit(client: &Client, body: &Value) -> Result<Value> {
    let answer = client.post("/v1/jobs", body).await?;
    ensure!(answer.status == 202, "{}: {}", answer.status, answer.text());
    answer.json()
}

async fn add(client: &Client, job: &Value, name: &str, media_type: &str, bytes: usize) -> Result<Value> {
    let file = json!({"name": name, "media_type": media_type, "bytes": bytes});
    let answer = client
        .post(&format!("/v1/jobs/{}/batches", id(job)), &json!({"name": name, "files": [file]}))
        .await?;
    ensure!(answer.status == 201, "{}: {}", answer.status, answer.text());
    answer.json()
}

/// Sends a file where its link says, as it says.
async fn put(client: &Client, batch: &Value, bytes: &[u8]) -> Result<Answer> {
    let link = &batch["files"][0]["upload"];
    let url = link["url"].as_str().context("no link")?;
    let mut request = client.with_token(None).request(Method::PUT, url);
    for (name, value) in link["headers"].as_object().context("headers")? {
        request = request.header(name, value.as_str().unwrap_or_default());
    }
    client.send(request.body(bytes.to_vec())).await
}

pub(crate) async fn feed(
    client: &Client,
    job: &Value,
    name: &str,
    media_type: &str,
    bytes: &[u8],
) -> Result<Value> {
    let batch = add(client, job, name, media_type, bytes.len()).await?;
    let answer = put(client, &batch, bytes).await?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(batch)
}

pub(crate) async fn close(client: &Client, job: &Value) -> Result<()> {
    let answer = client.post(&format!("/v1/jobs/{}/close", id(job)), &json!({})).await?;
    ensure!(answer.status == 202, "{}: {}", answer.status, answer.text());
    Ok(())
}

async fn read(client: &Client, job: &Value, batch: &Value) -> Result<Value> {
    let batch = batch["batch_id"].as_str().unwrap_or_default();
    client.get(&format!("/v1/jobs/{}/batches/{batch}", id(job))).await?.json()
}

/// The batch once it has ended.
async fn batch_ended(client: &Client, job: &Value, batch: &Value) -> Result<Value> {
    for _ in 0..600 {
        let found = read(client, job, batch).await?;
        if !["waiting_for_upload", "queued", "in_progress"]
            .contains(&found["state"].as_str().unwrap_or_default())
        {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the batch did not end: {}", read(client, job, batch).await?)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes)?;
    Ok(writer.finish()?)
}

async fn rows_of_the_request_come_back_with_what_is_known_of_them(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let items = json!([{"number": 1, "note": "a, b"}, {"number": "002", "note": null}, {"note": "none"}, {"number": -7}]);
    let job = submit(&client, &append(json!({"items": items}))).await?;
    let job = client.ended(&job).await?;
    client.assert_whole(&job).await?;
    let text = String::from_utf8(client.fetch(&job).await?)?;
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("number,note,word,_match,_error"));
    assert_eq!(lines.next(), Some("1,\"a, b\",green,matched,"));
    let rest: Vec<&str> = lines.collect();
    assert_eq!(rest.len(), 3, "{text}");
    assert!(rest.iter().skip(1).all(|line| line.contains("unmatched")), "{text}");
    assert_eq!(job["progress"]["counts"]["rows"], 4);
    Ok(())
}

async fn batches_of_many_kinds_are_one_job(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let job = submit(&client, &append(json!({"name": "leads"}))).await?;
    assert_eq!(job["state"], "open");
    let csv = b"\xef\xbb\xbfnumber,name\r\n5,\"x\r\ny\"\r\n998,z\r\n1000,none\r\n";
    let first = feed(&client, &job, "one.csv", "text/csv", csv).await?;
    let lines = gzip(b"{\"name\":\"a\",\"number\":6}\n{\"number\":10,\"name\":{\"b\":1}}\n")?;
    let second = feed(&client, &job, "two.jsonl.gz", "application/gzip", &lines).await?;
    let third = feed(&client, &job, "three.json", "application/json", b"[{\"number\": 0}]").await?;
    close(&client, &job).await?;
    let done = client.ended(&job).await?;
    assert_eq!(done["state"], "completed", "{done}");
    let batches = &done["batches"];
    assert_eq!((&batches["completed"], &batches["closed"]), (&json!(3), &json!(true)), "{batches}");
    assert_eq!(done["progress"]["counts"]["matched"], 5, "{done}");
    assert_eq!(done["progress"]["counts"]["unmatched"], 1, "{done}");
    for (batch, expected) in [
        (
            &first,
            "number,name,word,_match,_error\n5,\"x\r\ny\",green,matched,\n998,z,blue,matched,\n1000,none,,unmatched,no record matches\n",
        ),
        (&second, "name,number,word,_match,_error\na,6,blue,matched,\n\"{\"\"b\"\":1}\",10,blue,matched,\n"),
        (&third, "number,word,_match,_error\n0,red,matched,\n"),
    ] {
        let found = read(&client, &job, batch).await?;
        let link = found["download_link"].as_str().with_context(|| found.to_string())?;
        let answer = client.with_token(None).get(link).await?;
        assert_eq!(answer.text().replace("\r\n", "\n"), expected.replace("\r\n", "\n"), "{found}");
    }
    let manifest = client.get(&format!("/v1/jobs/{}/manifest", id(&job))).await?.json()?;
    assert_eq!(manifest["files"].as_array().map(Vec::len), Some(3), "{manifest}");
    assert_eq!(manifest["records"], 6);
    Ok(())
}

async fn bad_files_fail_alone_and_say_why(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let job = submit(&client, &append(json!({}))).await?;
    let cut = gzip(&b"number\n1\n".repeat(1_000))?;
    let files: [(&str, &str, &[u8], &str); 5] = [
        ("other.csv", "text/csv", b"id,name\n1,a\n", "number"),
        ("lines.jsonl", "application/x-ndjson", b"number,name\n1,a\n", "lines.jsonl"),
        ("cut.csv.gz", "application/gzip", &cut[..cut.len() - 10], "cut.csv.gz"),
        ("twice.csv", "text/csv", b"number,number\n1,2\n", "number"),
        ("bytes.bin", "application/octet-stream", b"\x00\x01\x02\x03", "bytes.bin"),
    ];
    for (name, media_type, bytes, words) in files {
        let batch = feed(&client, &job, name, media_type, bytes).await?;
        let found = batch_ended(&client, &job, &batch).await?;
        assert_eq!(found["state"], "malformed", "{found}");
        let detail = found["error"]["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(words), "{name}: {detail}");
    }
    // Rows that are wrong come back and say so; the others are not harmed by them.
    let good = feed(&client, &job, "good.csv", "text/csv", b"number,x\n1,a\n2\n3,c,d\n4,e\n").await?;
    close(&client, &job).await?;
    let done = client.ended(&job).await?;
    assert_eq!((&done["state"], &done["batches"]["malformed"]), (&json!("completed"), &json!(5)), "{done}");
    let found = read(&client, &job, &good).await?;
    assert_eq!((&found["counts"]["rows"], &found["counts"]["malformed"]), (&json!(4), &json!(2)), "{found}");
    Ok(())
}

async fn links_take_only_what_they_are_for(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let job = submit(&client, &append(json!({}))).await?;
    let batch = add(&client, &job, "a.csv", "text/csv", 9).await?;
    let url = batch["files"][0]["upload"]["url"].as_str().context("no link")?;
    let bare = client.with_token(None);
    // Another method, another file, another signature.
    assert!(bare.get(url).await?.status >= 400);
    let forged = url.replace("uploads/", "results/");
    let refused = bare
        .send(bare.request(Method::PUT, &forged).header("content-type", "text/csv").body("number\n1\n"))
        .await?;
    assert!(refused.status >= 400, "{}", refused.text());
    assert_eq!(put(&client, &batch, b"number\n1\n").await?.status, 200);
    // The same again is no harm.
    put(&client, &batch, b"number\n1\n").await?;
    close(&client, &job).await?;
    let done = client.ended(&job).await?;
    assert_eq!((&done["state"], &done["result"]["records"]), (&json!("completed"), &json!(1)), "{done}");
    let more = json!({"files": [{"name": "b.csv", "bytes": 1}]});
    let late = client.post(&format!("/v1/jobs/{}/batches", id(&job)), &more).await?;
    assert_eq!((late.status, late.problem()?.as_str()), (409, "conflict"));
    Ok(())
}

async fn a_killed_host_loses_no_row_and_tells_none_twice(_: On) -> Result<()> {
    let mut host = OneBox::numbers(200_000).await?;
    let job = submit(&host.client(), &append(json!({}))).await?;
    let mut batches = Vec::new();
    for part in 0..4 {
        let mut text = String::from("number\n");
        for n in part * 50_000..(part + 1) * 50_000 {
            text += &format!("{n}\n");
        }
        batches.push(feed(&host.client(), &job, &format!("{part}.csv"), "text/csv", text.as_bytes()).await?);
        host.kill()?;
        host.launch().await?;
    }
    close(&host.client(), &job).await?;
    host.kill()?;
    host.launch().await?;
    let client = host.client();
    let done = client.ended(&job).await?;
    assert_eq!(
        (&done["state"], &done["result"]["records"]),
        (&json!("completed"), &json!(200_000)),
        "{done}"
    );
    for (part, batch) in batches.iter().enumerate() {
        let found = read(&client, &job, batch).await?;
        let link = found["download_link"].as_str().context("no link")?;
        let text = client.with_token(None).get(link).await?.text();
        assert_eq!(text.lines().count(), 50_001);
        let first = format!("{},", part * 50_000);
        assert!(text.lines().nth(1).unwrap_or_default().starts_with(&first), "in the order of the upload");
    }
    Ok(())
}

/// S3 tells of what was uploaded, and the sweeper looks for what it did not tell of.
async fn a_file_that_nobody_told_of_is_found_by_the_sweeper(_: On) -> Result<()> {
    let host = Aws::numbers(1_000, |_| {}).await?;
    let client = host.client();
    let told = Rule::new(Service::Events, Fault::CutBefore).path("uploads/").only(Which::First(1));
    let lost = host.faults().add(told);
    let job = submit(&client, &append(json!({}))).await?;
    let untold = feed(&client, &job, "untold.csv", "text/csv", b"number\n1\n").await?;
    while host.faults().met(lost) == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = feed(&client, &job, "told.csv", "text/csv", b"number\n2\n").await?;
    let ended = batch_ended(&client, &job, &told).await?;
    assert_eq!(ended["state"], "completed", "{ended}");
    assert_eq!(read(&client, &job, &untold).await?["state"], "waiting_for_upload", "nobody knows of it");
    host.waited(&json!({"account": job["account"], "job_id": untold["batch_id"]})).await?;
    host.sweep().await?;
    let ended = batch_ended(&client, &job, &untold).await?;
    assert_eq!(ended["state"], "completed", "{ended}");
    close(&client, &job).await?;
    let done = client.ended(&job).await?;
    assert_eq!((&done["state"], &done["result"]["records"]), (&json!("completed"), &json!(2)), "{done}");
    Ok(())
}

async fn batches_deliver_together_what_the_plan_lets_a_job_deliver(on: On) -> Result<()> {
    let host = on.numbers(100).await?;
    let client = host.client_of("limited", "small", "submit")?;
    let job = submit(&client, &append(json!({}))).await?;
    let rows: String = (0..6).map(|n| format!("{n}\n")).collect();
    let file = format!("number\n{rows}");
    let mut batches = Vec::new();
    for name in ["a.csv", "b.csv", "c.csv"] {
        batches.push(feed(&client, &job, name, "text/csv", file.as_bytes()).await?);
    }
    close(&client, &job).await?;
    let done = client.ended(&job).await?;
    let cut = json!({"reason": "plan_limit", "limit": 10});
    assert_eq!((&done["state"], &done["result"]["records"]), (&json!("completed"), &json!(10)), "{done}");
    assert_eq!(done["result"]["truncated"], cut, "{done}");
    assert_eq!(done["progress"]["counts"]["rows"], 18, "all rows are counted");
    let mut delivered = Vec::new();
    for batch in &batches {
        let ended = batch_ended(&client, &job, batch).await?;
        assert_eq!(ended["state"], "completed", "{ended}");
        let (result, records) = (&ended["result"], ended["result"]["records"].as_u64().context("records")?);
        let link = ended["download_link"].as_str().context("link")?;
        let lines = client.with_token(None).get(link).await?.text().lines().count() as u64;
        assert_eq!(lines, 1 + records, "its header and its rows");
        assert_eq!(result["truncated"].is_null(), records == 6, "{ended}");
        delivered.push(records);
    }
    delivered.sort_unstable();
    assert_eq!(delivered, [0, 4, 6], "the one that ended first is whole");
    Ok(())
}

willcall_tests::scenarios! {
    operator: [batches_deliver_together_what_the_plan_lets_a_job_deliver],
    client: [
        rows_of_the_request_come_back_with_what_is_known_of_them,
        batches_of_many_kinds_are_one_job,
        bad_files_fail_alone_and_say_why,
        links_take_only_what_they_are_for,
    ],
    one_box: [a_killed_host_loses_no_row_and_tells_none_twice],
    aws: [a_file_that_nobody_told_of_is_found_by_the_sweeper],
}
