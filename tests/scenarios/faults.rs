//! What breaks, and what is left whole.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use willcall_tests::{Host, id, write_numbers};

/// The job's files are whole: their bytes are those that the job names.
async fn assert_whole(host: &Host, job: &Value) -> Result<()> {
    assert_eq!(job["state"], "completed", "{job}");
    let file = host.client().fetch(job).await?;
    assert_eq!(job["result"]["sha256"], hex::encode(Sha256::digest(&file)), "{job}");
    Ok(())
}

#[tokio::test]
async fn jobs_survive_kills_at_any_moment() -> Result<()> {
    let mut host = Host::with_numbers(100_000).await?;
    let client = host.client();
    let mut jobs = Vec::new();
    // Some queue, some run, some commit while the process dies.
    for round in 0..4_u64 {
        let client = host.client();
        for index in 0..6 {
            let sort = if index % 2 == 0 { json!(["mixed"]) } else { json!([]) };
            let query =
                json!({"dataset": "numbers", "format": "csv", "sort": sort, "limit": 20_000 * (index + 1)});
            jobs.push((client.submit(query).await?, 20_000 * (index + 1)));
        }
        tokio::time::sleep(Duration::from_millis(50 + 230 * round)).await;
        host.kill()?;
        host.launch().await?;
    }
    let _ = client;
    let client = host.client();
    for (job, limit) in &jobs {
        let job = client.ended(job).await?;
        assert_eq!(job["result"]["records"], (*limit).min(100_000), "{job}");
        // The address has changed: ask for a link of today.
        assert_whole(&host, &with_fresh_link(&host, &job).await?).await?;
    }
    Ok(())
}

/// The job's link as the host has it now; the port changes with each start here.
async fn with_fresh_link(host: &Host, job: &Value) -> Result<Value> {
    let client = host.client();
    let mut job = client.get(&format!("/v1/jobs/{}", id(job))).await?.json()?;
    let link = job["download_link"].as_str().unwrap_or_default();
    let path = link.find("/v1/").map_or("", |at| &link[at..]);
    job["download_link"] = json!(format!("{}{path}", client.url));
    Ok(job)
}

#[tokio::test]
async fn a_graceful_stop_hands_jobs_back() -> Result<()> {
    let mut host = Host::with_numbers(500_000).await?;
    let client = host.client();
    let job = client.submit(json!({"dataset": "numbers", "format": "csv", "sort": ["mixed"]})).await?;
    client.until(&job, "processing").await?;
    assert_eq!(host.terminate().await?, 0, "{}", host.log());
    host.launch().await?;
    let done = host.client().ended(&job).await?;
    assert_eq!(done["state"], "completed", "{done}");
    assert_whole(&host, &with_fresh_link(&host, &done).await?).await?;
    Ok(())
}

#[tokio::test]
async fn a_corrupt_file_fails_the_job_with_its_name() -> Result<()> {
    let host = Host::start(&[("numbers", "numbers")], |folder| {
        fs::create_dir(folder.join("numbers"))?;
        for part in ["a", "b"] {
            write_numbers(&folder.join("numbers").join(format!("{part}.parquet")), 60_000)?;
        }
        Ok(())
    })
    .await?;
    let path = host.catalog_dir().join("numbers/b.parquet");
    let mut bytes = fs::read(&path)?;
    let middle = bytes.len() / 2;
    bytes[4..middle].fill(0xA5);
    fs::write(&path, bytes)?;
    let client = host.client();
    let job = client.submit(json!({"dataset": "numbers", "format": "jsonl"})).await?;
    let job = client.ended(&job).await?;
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["result"], Value::Null);
    let error = &job["error"];
    assert!(error["type"].as_str().unwrap().ends_with("/problems/engine-failed"), "{error}");
    assert!(error["detail"].as_str().unwrap().contains("b.parquet"), "{error}");
    let folder = host.catalog_dir().to_string_lossy().into_owned();
    assert!(!job.to_string().contains(&folder), "no path of the operator's is shown: {job}");
    Ok(())
}

#[tokio::test]
async fn a_data_set_that_vanished_is_named() -> Result<()> {
    let host = Host::with_numbers(1_000).await?;
    let client = host.client();
    client.run(json!({"dataset": "numbers"})).await?;
    fs::remove_file(host.catalog_dir().join("numbers.parquet"))?;
    let answer = client.post("/v1/jobs", &json!({"kind": "query", "dataset": "numbers"})).await?;
    match answer.status {
        // Refused at submit, once the catalog has seen it; or accepted, and then it fails.
        400 | 503 => drop(answer.problem()?),
        202 => {
            let job = client.ended(&answer.json()?).await?;
            assert_eq!(job["state"], "failed", "{job}");
            assert!(job["error"]["detail"].as_str().is_some_and(|d| d.contains("numbers")), "{job}");
        }
        other => panic!("{other}: {}", answer.text()),
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_data_set_is_seen_anew() -> Result<()> {
    let host = Host::with_numbers(1_000).await?;
    let client = host.client();
    assert_eq!(client.run(json!({"dataset": "numbers"})).await?["result"]["records"], 1_000);
    let path = host.catalog_dir().join("numbers.parquet");
    let fresh = host.catalog_dir().join("fresh");
    write_numbers(&fresh, 2_000)?;
    fs::rename(&fresh, &path)?;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let job = client.run(json!({"dataset": "numbers"})).await?;
    assert_eq!(job["result"]["records"], 2_000);
    assert_eq!(client.get("/v1/datasets/numbers").await?.json()?["records"], 2_000);
    Ok(())
}

#[tokio::test]
async fn a_tampered_result_is_noticed_by_the_command() -> Result<()> {
    let host = Host::with_numbers(1_000).await?;
    let client = host.client();
    let job = client.run(json!({"dataset": "numbers", "format": "csv"})).await?;
    let stored = find(&host.data_dir(), "result.csv");
    let mut bytes = fs::read(&stored)?;
    bytes[10] ^= 1;
    fs::write(&stored, bytes)?;
    let token = host.token("tests", "everything", "read")?;
    let out = host.catalog_dir().join("out.csv");
    let run = host
        .command(&["download", id(&job)])?
        .arg("-o")
        .arg(&out)
        .args(["--server", &client.url])
        .env("WILLCALL_TOKEN", token)
        .output()?;
    assert_eq!(run.status.code(), Some(6), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(String::from_utf8_lossy(&run.stderr).contains("SHA-256"));
    assert!(!out.exists(), "what is not what it should be is not kept");
    Ok(())
}

fn find(folder: &std::path::Path, name: &str) -> PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|found| found == name) {
                return path;
            }
        }
    }
    panic!("there is no {name}")
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused() -> Result<()> {
    let host = Host::with_numbers(10).await?;
    let second = host.command(&["serve", "--bind", "127.0.0.1:0"])?.output()?;
    assert!(!second.status.success());
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(error.contains(&*host.data_dir().to_string_lossy()), "{error}");
    Ok(())
}
