//! Files of text on a host's own disk that change while a job reads them.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use willcall_tests::{Directory, On, OneBox, Operator};

/// So many that they are still being read when the list of files has long been made.
const ROWS: u64 = 60_000;

/// The most between two looks at what a job has stored.
const LOOK: Duration = Duration::from_millis(2);

/// Rows of that format, all of one length whatever they count from.
fn rows(format: &str, from: u64) -> String {
    let row = |n: u64| match format {
        "csv" => format!("{n:09},{:016x}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        _ => format!("{{\"n\":\"{n:09}\",\"word\":\"{:016x}\"}}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
    };
    let header = if format == "csv" { "n,word\n" } else { "" };
    header.to_owned() + &(from..from + ROWS).map(row).collect::<String>()
}

async fn over(format: &str) -> Result<(OneBox, PathBuf)> {
    let name = format!("rows.{format}");
    let directory =
        Directory::new(&[("numbers", &name)], |folder| Ok(fs::write(folder.join(&name), rows(format, 0))?))?;
    let path = directory.catalog().join(name);
    Ok((OneBox::start(directory).await?, path))
}

/// Submits a job, changes the file as soon as the job has noted which files it reads, and answers it as it has ended.
async fn changed_under(host: &OneBox, change: impl FnOnce() -> Result<()>) -> Result<Value> {
    let client = host.client();
    let job = client.submit(json!({"dataset": "numbers", "format": "jsonl", "fields": ["n"]})).await?;
    let begun = Instant::now();
    while !host.stored(&job).await?.iter().any(|name| name.ends_with("/snapshot.json")) {
        ensure!(begun.elapsed() < Duration::from_secs(60), "{}", host.log());
        tokio::time::sleep(LOOK).await;
    }
    change()?;
    client.ended(&job).await
}

fn assert_conflict(job: &Value, file: &str) {
    let error = &job["error"];
    assert_eq!((&job["state"], &job["attempts"]), (&json!("failed"), &json!(1)), "{job}");
    assert!(error["type"].as_str().unwrap().ends_with("/problems/conflict"), "{job}");
    assert!(error["detail"].as_str().unwrap().contains(file), "{job}");
    assert_eq!(job["result"], Value::Null);
}

fn append(path: &Path, text: &str) -> Result<()> {
    Ok(fs::OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes())?)
}

async fn a_text_that_grows_under_a_job_is_a_conflict(_: On) -> Result<()> {
    for (format, more) in
        [("csv", "999999999,more\n"), ("ndjson", "{\"n\":\"999999999\",\"word\":\"more\"}\n")]
    {
        let (host, path) = over(format).await?;
        let job = changed_under(&host, || append(&path, more)).await?;
        assert_conflict(&job, &format!("rows.{format}"));
        // The next one reads what is there then.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let job = host.client().run(json!({"dataset": "numbers", "filter": "word = 'more'"})).await?;
        assert_eq!(job["result"]["records"], 1, "{job}");
    }
    Ok(())
}

async fn a_text_that_is_written_anew_or_cut_under_a_job_is_a_conflict(_: On) -> Result<()> {
    for format in ["csv", "ndjson"] {
        let (host, path) = over(format).await?;
        // In place, and of the same length.
        let job = changed_under(&host, || Ok(fs::write(&path, rows(format, 500_000))?)).await?;
        assert_conflict(&job, &format!("rows.{format}"));
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let cut = || Ok(fs::OpenOptions::new().write(true).open(&path)?.set_len(40)?);
        let job = changed_under(&host, cut).await?;
        assert_conflict(&job, &format!("rows.{format}"));
    }
    Ok(())
}

async fn a_text_that_is_replaced_under_a_job_is_read_as_it_was_or_is_a_conflict(_: On) -> Result<()> {
    for format in ["csv", "ndjson"] {
        let (host, path) = over(format).await?;
        let fresh = path.with_extension("fresh");
        fs::write(&fresh, rows(format, 500_000))?;
        let job = changed_under(&host, || Ok(fs::rename(&fresh, &path)?)).await?;
        if job["state"] == "completed" {
            // It was open already, and whoever has it open keeps it.
            let told = String::from_utf8(host.client().fetch(&job).await?)?;
            assert_eq!(told.lines().count() as u64, ROWS);
            for row in told.lines() {
                let row: Value = serde_json::from_str(row)?;
                let n = row["n"].as_str().map_or_else(|| row["n"].as_u64(), |n| n.parse().ok());
                assert!(n.is_some_and(|n| n < ROWS), "a mix of two versions: {row}");
            }
        } else {
            assert_conflict(&job, &format!("rows.{format}"));
        }
    }
    Ok(())
}

willcall_tests::scenarios! {
    one_box: [
        a_text_that_grows_under_a_job_is_a_conflict,
        a_text_that_is_written_anew_or_cut_under_a_job_is_a_conflict,
        a_text_that_is_replaced_under_a_job_is_read_as_it_was_or_is_a_conflict,
    ],
}
