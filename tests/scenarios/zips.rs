//! A result and its manifest in one zip, read by means that were not written here.

use std::{io::Read, time::Duration};

use anyhow::{Context, Result, ensure};
use rawzip::{CompressionMethod, ZipArchive};
use reqwest::Method;
use serde_json::{Value, json};
use willcall_aws_local::{Fault, Rule, Service, Which};
use willcall_tests::{Answer, Aws, Client, On, OneBox, id, write_numbers, write_texts};

use crate::batches::{append, close, feed, submit};

pub(crate) async fn ask(client: &Client, method: Method, job: &Value, more: &str) -> Result<Answer> {
    let path = format!("/v1/jobs/{}/download{more}", id(job));
    client.send(client.request(method, &path).header("accept", "application/zip")).await
}

/// The link to the zip, once it is packed.
async fn link(client: &Client, job: &Value) -> Result<String> {
    for _ in 0..600 {
        let answer = ask(client, Method::GET, job, "?redirect=false").await?;
        if answer.status == 200 {
            return Ok(answer.json()?["url"].as_str().context("url")?.to_owned());
        }
        ensure!(answer.status == 202 && answer.header("retry-after").is_some(), "{}", answer.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the zip was not packed")
}

pub(crate) async fn zip(client: &Client, job: &Value) -> Result<Vec<u8>> {
    let answer = client.with_token(None).get(&link(client, job).await?).await?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(answer.body.to_vec())
}

/// The files of the zip, each compared with its CRC-32 and its size.
pub(crate) fn unzip(zip: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let archive = ZipArchive::from_slice(zip)?;
    let (mut files, mut entries) = (Vec::new(), archive.entries());
    while let Some(entry) = entries.next_entry()? {
        let name = entry.file_path().try_normalize()?.as_ref().to_owned();
        assert_eq!(entry.compression_method(), CompressionMethod::STORE);
        let local = archive.get_entry(entry.wayfinder())?;
        let mut bytes = Vec::new();
        local.verifying_reader(local.data()).read_to_end(&mut bytes)?;
        files.push((name, bytes));
    }
    // No more than what it is made of: it cannot be a bomb.
    let held: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(zip.len() >= held && zip.len() < held + 1_000 * files.len(), "{} of {held}", zip.len());
    Ok(files)
}

async fn a_zip_holds_the_result_and_its_manifest(on: On) -> Result<()> {
    let host = on.numbers(10_000).await?;
    let client = host.client();
    for (name, compression, file) in
        [("late / ../ones", "none", "late-..-ones.csv"), ("packed", "gzip", "packed.csv.gz")]
    {
        let query = json!({"dataset": "numbers", "limit": 10_000, "format": "csv", "compression": compression, "name": name});
        let job = client.run(query).await?;
        let first = ask(&client, Method::GET, &job, "").await?;
        assert_eq!(first.status, 202, "{}", first.text());
        let packed = zip(&client, &job).await?;
        let files = unzip(&packed)?;
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [file, "manifest.json"]);
        assert!(files[0].1 == client.fetch(&job).await?, "the very bytes of the result");
        let manifest: Value = serde_json::from_slice(&files[1].1)?;
        assert_eq!((&manifest["job_id"], &manifest["records"]), (&job["job_id"], &json!(10_000)));
        let head = ask(&client, Method::HEAD, &job, "").await?;
        assert_eq!((head.status, head.header("content-type")), (200, Some("application/zip")));
        assert_eq!(head.header("content-length"), Some(&*packed.len().to_string()));
        let redirect = ask(&client, Method::GET, &job, "").await?;
        assert!(redirect.status == 200 && redirect.body[..] == packed[..] || redirect.status == 307);
        assert!(zip(&client, &job).await? == packed, "it is kept");
    }
    Ok(())
}

async fn a_large_result_is_packed_whole(on: On) -> Result<()> {
    let host = on.numbers(400_000).await?;
    let client = host.client();
    let job = client.run(json!({"dataset": "numbers", "filter": "n < 400000", "format": "jsonl"})).await?;
    assert!(job["result"]["bytes"].as_u64() > Some(15 << 20), "S3 copies of it by itself: {job}");
    let files = unzip(&zip(&client, &job).await?)?;
    assert!(files[0].1 == client.fetch(&job).await?);
    Ok(())
}

async fn a_zip_of_batches_holds_the_file_of_each(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let job = submit(&client, &append(json!({"name": "leads"}))).await?;
    for (name, body) in
        [("one.csv", "number\n1\n"), ("../one csv", "number\n2\n"), ("ONE-csv", "number\n3\n")]
    {
        feed(&client, &job, name, "text/csv", body.as_bytes()).await?;
    }
    close(&client, &job).await?;
    let job = client.ended(&job).await?;
    let files = unzip(&zip(&client, &job).await?)?;
    let mut names: Vec<String> = files.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!((names.len(), names.last().map(String::as_str)), (4, Some("manifest.json")), "{names:?}");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 4, "no two have one name on any system");
    assert!(names.iter().all(|name| !name.contains('/')), "{names:?}");
    for word in ["1,green,matched", "2,blue,matched", "3,,matched"] {
        assert!(files.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(word)), "{word}");
    }
    Ok(())
}

async fn what_has_no_result_has_no_zip(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let open = submit(&client, &append(json!({"name": "never fed"}))).await?;
    let answer = ask(&client, Method::GET, &open, "").await?;
    assert_eq!((answer.status, answer.problem()?.as_str()), (409, "result-not-ready"));
    client.post(&format!("/v1/jobs/{}/cancel", id(&open)), &json!({})).await?;
    let answer = ask(&client, Method::GET, &open, "").await?;
    assert_eq!((answer.status, answer.problem()?.as_str()), (409, "result-not-ready"));
    let unknown = json!({"job_id": "0192f6a0-0000-7000-8000-000000000000"});
    assert_eq!(ask(&client, Method::GET, &unknown, "").await?.status, 404);
    // Who takes anything gets the file.
    let job = client.run(json!({"dataset": "numbers", "limit": 10, "format": "csv"})).await?;
    let path = format!("/v1/jobs/{}/download?redirect=false", id(&job));
    let answer =
        client.send(client.request(Method::GET, &path).header("accept", "application/zip;q=0, */*")).await?;
    assert!(
        answer.json()?["url"].as_str().is_some_and(|url| url.contains("result.csv")),
        "{}",
        answer.text()
    );
    Ok(())
}

/// What is packed a thousandfold stays so: nothing in the zip is larger than it says.
async fn results_that_compress_well_make_no_bomb(on: On) -> Result<()> {
    let text = "x".repeat(2_000);
    let datasets = [("numbers", "numbers.parquet"), ("texts", "texts.parquet")];
    let host = on.datasets(&datasets, |path| {
        write_numbers(&path.join("numbers.parquet"), 1)?;
        write_texts(&path.join("texts.parquet"), 20_000, &text)
    });
    let host = host.await?;
    let client = host.client();
    for (compression, format) in [("none", "csv"), ("gzip", "csv"), ("zstd", "jsonl")] {
        let job =
            client.run(json!({"dataset": "texts", "format": format, "compression": compression})).await?;
        let bytes = job["result"]["bytes"].as_u64().context("bytes")?;
        let packed = zip(&client, &job).await?;
        let files = unzip(&packed)?;
        assert_eq!(files[0].1.len() as u64, bytes);
    }
    Ok(())
}

async fn the_zip_goes_with_its_job(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let job = client.run(json!({"dataset": "numbers", "format": "csv"})).await?;
    let url = link(&client, &job).await?;
    let other = client.run(json!({"dataset": "numbers", "format": "jsonl"})).await?;
    assert_eq!(ask(&client, Method::GET, &other, "").await?.status, 202);
    for job in [&job, &other] {
        // The second may be in the middle of being packed.
        assert_eq!(client.delete(&format!("/v1/jobs/{}", id(job))).await?.status, 204);
        assert_eq!(ask(&client, Method::GET, job, "").await?.status, 404);
        host.nothing_stored(job).await?;
    }
    let dead = client.with_token(None).get(&url).await?.status;
    assert!([403, 404].contains(&dead), "{dead}");
    Ok(())
}

async fn a_process_killed_while_it_packs_leaves_no_half_zip(_: On) -> Result<()> {
    let mut host = OneBox::numbers(400_000).await?;
    let job = host.client().run(json!({"dataset": "numbers", "format": "jsonl"})).await?;
    assert_eq!(ask(&host.client(), Method::GET, &job, "").await?.status, 202);
    host.kill()?;
    host.launch().await?;
    let client = host.client();
    // Not there, or whole: at once where it was packed in time, else once the sweeper has looked.
    let answer = ask(&client, Method::HEAD, &job, "").await?;
    assert!([200, 202].contains(&answer.status), "{}", answer.status);
    let files = std::fs::read_dir(host.data_dir().join("tmp")).map_or(0, Iterator::count);
    assert_eq!(files, 0, "nothing is left of what was not finished");
    if answer.status == 200 {
        assert!(unzip(&zip(&client, &job).await?)?[0].1 == client.fetch(&job).await?);
    }
    Ok(())
}

async fn a_bucket_and_a_table_that_fail_now_and_then_lose_no_zip(_: On) -> Result<()> {
    let host = Aws::numbers(400_000, |_| {}).await?;
    let client = host.client();
    let job = client.run(json!({"dataset": "numbers", "format": "jsonl"})).await?;
    let failing = Rule::new(Service::S3, Fault::INTERNAL).path("all.zip").only(Which::Every(2));
    let failing = host.faults().add(failing);
    let table = Rule::new(Service::DynamoDb, Fault::INTERNAL).operation("PutItem").only(Which::Every(2));
    host.faults().add(table);
    link(&client, &job).await?;
    assert!(host.faults().met(failing) > 0, "nothing failed");
    host.faults().remove(failing);
    let packed = zip(&client, &job).await?;
    assert!(unzip(&packed)?[0].1 == client.fetch(&job).await?);
    assert_eq!(host.open_uploads("results/").await?, Vec::<String>::new());
    Ok(())
}

willcall_tests::scenarios! {
    client: [
        a_zip_holds_the_result_and_its_manifest,
        a_large_result_is_packed_whole,
        a_zip_of_batches_holds_the_file_of_each,
        what_has_no_result_has_no_zip,
    ],
    operator: [
        results_that_compress_well_make_no_bomb,
        the_zip_goes_with_its_job,
    ],
    one_box: [a_process_killed_while_it_packs_leaves_no_half_zip],
    aws: [a_bucket_and_a_table_that_fail_now_and_then_lose_no_zip],
}
