//! Zips of the AWS host whose workers die in the middle of them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use willcall_aws_local::{Fault, Rule, RuleId, Service, Victim, Which};
use willcall_tests::{Aws, On, Operator, id};

use crate::zips::{ask, unzip, zip};

/// How long a worker may take to begin.
const PATIENCE: Duration = Duration::from_secs(120);

async fn met(host: &Aws, rule: RuleId) -> Result<()> {
    let begun = Instant::now();
    while host.faults().met(rule) == 0 {
        ensure!(begun.elapsed() < PATIENCE, "no call meets the fault: {}", host.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// How many times a zip was made of its parts.
fn made(host: &Aws) -> usize {
    let calls = host.faults().calls();
    calls
        .iter()
        .filter(|call| call.operation == "CompleteMultipartUpload" && call.path.contains("all.zip"))
        .count()
}

async fn a_worker_killed_in_the_middle_of_a_zip_is_followed_by_one_that_packs_it_whole(_: On) -> Result<()> {
    let host = Aws::numbers(400_000, |options| {
        // The message of the dead comes again after moments instead of hours.
        options.overrides.visibility.insert("JobsQueue".into(), Duration::from_secs(20));
    })
    .await?;
    let client = host.client();
    let mut jobs = Vec::new();
    // The sweeper comes before the message does; or nobody but the message.
    for swept in [true, false] {
        let job = client.run(json!({"dataset": "numbers", "format": "jsonl"})).await?;
        let slow = Rule::new(Service::S3, Fault::Delay(Duration::from_secs(60))).operation("UploadPart");
        let copies = host.faults().add(slow.path("all.zip").only(Which::After(1)));
        assert_eq!(ask(&client, Method::GET, &job, "").await?.status, 202);
        met(&host, copies).await?;
        assert!(host.local.kill("WorkerFunction", Victim::All)? > 0);
        host.faults().remove(copies);
        let begun = host.open_uploads("results/").await?;
        assert!(
            begun.len() == 1 && begun[0].ends_with("/1/all.zip"),
            "it was in the middle of it: {begun:?}"
        );
        assert_eq!(ask(&client, Method::GET, &job, "").await?.status, 202, "nothing of it is to be had");
        host.packing_over(&job).await?;
        if swept {
            host.sweep().await?;
        }

        let packed = zip(&client, &job).await?;
        let files = unzip(&packed)?;
        assert_eq!((files.len(), files[1].0.as_str()), (2, "manifest.json"));
        assert!(files[0].1 == client.fetch(&job).await?, "the very bytes of the result");
        let manifest: Value = serde_json::from_slice(&files[1].1)?;
        assert_eq!(
            (manifest["job_id"].as_str(), &manifest["files"][0]["sha256"]),
            (Some(id(&job)), &job["result"]["sha256"])
        );
        assert_eq!(host.open_uploads("results/").await?, Vec::<String>::new(), "swept: {swept}");
        jobs.push((job, packed));
    }
    // The message of the first comes again when its zip is there, and nothing more is done.
    let all: Vec<_> = jobs.iter().map(|(job, _)| job.clone()).collect();
    host.assert_settled(&all, false).await?;
    assert_eq!(made(&host), jobs.len(), "each is packed once");
    for (job, packed) in &jobs {
        assert!(zip(&client, job).await? == *packed);
        let stored = host.stored(job).await?;
        let zips = stored.iter().filter(|name| name.contains("zip"));
        assert_eq!(zips.count(), 1, "{stored:?}");
    }
    Ok(())
}

willcall_tests::scenarios! {
    aws: [a_worker_killed_in_the_middle_of_a_zip_is_followed_by_one_that_packs_it_whole],
}
