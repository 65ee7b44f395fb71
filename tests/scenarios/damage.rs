//! Data sets and results that change or break under a running host.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use willcall_tests::{Host, On, id, numbers_file, write_numbers};

async fn a_corrupt_file_fails_the_job_with_its_name(on: On) -> Result<()> {
    let host = on
        .datasets(&[("numbers", "numbers")], |folder| {
            fs::create_dir(folder.join("numbers"))?;
            for part in ["a", "b"] {
                write_numbers(&folder.join("numbers").join(format!("{part}.parquet")), 60_000)?;
            }
            Ok(())
        })
        .await?;
    let operator = host.operator()?;
    let mut bytes = numbers_file(60_000)?;
    let middle = bytes.len() / 2;
    bytes[4..middle].fill(0xA5);
    operator.damage("numbers/b.parquet", Some(bytes)).await?;
    let client = host.client();
    let job = client.submit(json!({"dataset": "numbers", "format": "jsonl"})).await?;
    let job = client.ended(&job).await?;
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["result"], Value::Null);
    let error = &job["error"];
    assert!(error["type"].as_str().unwrap().ends_with("/problems/engine-failed"), "{error}");
    assert!(error["detail"].as_str().unwrap().contains("b.parquet"), "{error}");
    let folder = operator.catalog_dir().to_string_lossy().into_owned();
    assert!(!job.to_string().contains(&folder), "no path of the operator's is shown: {job}");
    // The list of the data set's files goes with the sweeper.
    let stored = operator.stored(&job).await?;
    assert!(stored.iter().all(|name| name.ends_with("/snapshot.json")), "{stored:?}");
    Ok(())
}

async fn a_data_set_that_vanished_is_named(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    client.run(json!({"dataset": "numbers"})).await?;
    host.operator()?.damage("numbers.parquet", None).await?;
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

async fn a_changed_data_set_is_seen_anew(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    assert_eq!(client.run(json!({"dataset": "numbers"})).await?["result"]["records"], 1_000);
    host.operator()?.update("numbers.parquet", numbers_file(2_000)?).await?;
    let job = client.run(json!({"dataset": "numbers"})).await?;
    assert_eq!(job["result"]["records"], 2_000);
    assert_eq!(client.get("/v1/datasets/numbers").await?.json()?["records"], 2_000);
    Ok(())
}

async fn a_tampered_result_is_noticed_by_the_command(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let (client, operator) = (host.client(), host.operator()?);
    let job = client.run(json!({"dataset": "numbers", "format": "csv"})).await?;
    let stored = result_file(&host, &job).await?;
    let mut bytes = operator.read_stored(&stored).await?;
    bytes[10] ^= 1;
    operator.tamper(&stored, bytes).await?;
    let token = host.token("tests", "everything", "read")?;
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out.csv");
    let run = operator
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

async fn result_file(host: &Host, job: &Value) -> Result<String> {
    let stored = host.operator()?.stored(job).await?;
    stored
        .iter()
        .find(|name| name.ends_with("/result.csv"))
        .cloned()
        .with_context(|| format!("in {stored:?}"))
}

willcall_tests::scenarios! {
    operator: [
        a_corrupt_file_fails_the_job_with_its_name,
        a_data_set_that_vanished_is_named,
        a_changed_data_set_is_seen_anew,
        a_tampered_result_is_noticed_by_the_command,
    ],
}
