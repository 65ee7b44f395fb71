//! What only a host that is one process can do: die, stop, and be alone in its directory.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use willcall_tests::{On, OneBox, Operator, id};

/// The job's link as the host has it now; the port changes with each start here.
async fn with_fresh_link(host: &OneBox, job: &Value) -> Result<Value> {
    let client = host.client();
    let mut job = client.get(&format!("/v1/jobs/{}", id(job))).await?.json()?;
    let link = job["download_link"].as_str().unwrap_or_default();
    let path = link.find("/v1/").map_or("", |at| &link[at..]);
    job["download_link"] = json!(format!("{}{path}", client.url));
    Ok(job)
}

async fn jobs_survive_kills_at_any_moment(_: On) -> Result<()> {
    let mut host = OneBox::numbers(100_000).await?;
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
    let client = host.client();
    for (job, limit) in &jobs {
        let job = client.ended(job).await?;
        assert_eq!(job["result"]["records"], (*limit).min(100_000), "{job}");
        client.assert_whole(&with_fresh_link(&host, &job).await?).await?;
    }
    Ok(())
}

async fn a_graceful_stop_hands_jobs_back(_: On) -> Result<()> {
    let mut host = OneBox::numbers(500_000).await?;
    let client = host.client();
    let job = client.submit(json!({"dataset": "numbers", "format": "csv", "sort": ["mixed"]})).await?;
    client.until(&job, "processing").await?;
    assert_eq!(host.terminate().await?, 0, "{}", host.log());
    host.launch().await?;
    let done = host.client().ended(&job).await?;
    assert_eq!(done["state"], "completed", "{done}");
    host.client().assert_whole(&with_fresh_link(&host, &done).await?).await
}

async fn a_second_server_on_the_same_directory_is_refused(_: On) -> Result<()> {
    let host = OneBox::numbers(10).await?;
    let second = host.command(&["serve", "--bind", "127.0.0.1:0"])?.output()?;
    assert!(!second.status.success());
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(error.contains(&*host.data_dir().to_string_lossy()), "{error}");
    Ok(())
}

willcall_tests::scenarios! {
    one_box: [
        jobs_survive_kills_at_any_moment,
        a_graceful_stop_hands_jobs_back,
        a_second_server_on_the_same_directory_is_refused,
    ],
}
