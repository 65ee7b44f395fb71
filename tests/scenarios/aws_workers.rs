//! Workers of the AWS host that come twice, die, hang, or never get to work.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use willcall_aws_local::{EnvironmentInfo, Fault, Options, Rule, Service, Victim};
use willcall_tests::{Aws, On, Operator, chance};

/// A result of some 20 MB, which takes several parts.
fn large() -> Value {
    json!({"dataset": "numbers", "format": "csv"})
}

/// Messages come again after moments instead of hours, and are dead after three.
fn impatient(options: &mut Options) {
    let overrides = &mut options.overrides;
    overrides.timeouts.insert("WorkerFunction".into(), Duration::from_secs(60));
    overrides.visibility.insert("JobsQueue".into(), Duration::from_secs(2));
    overrides.max_receive_count.insert("JobsQueue".into(), 3);
}

/// The message of a dead worker comes again after moments instead of hours.
fn soon_again(options: &mut Options) {
    options.overrides.visibility.insert("JobsQueue".into(), Duration::from_secs(30));
}

async fn a_message_that_comes_many_times_runs_its_job_once(_: On) -> Result<()> {
    let host = Aws::numbers(200_000, |_| {}).await?;
    let client = host.client();
    let held = Rule::new(Service::Sqs, Fault::INTERNAL).operation("SendMessage").function("SubmitFunction");
    let held = host.faults().add(held);
    let job = client.submit(json!({"dataset": "numbers", "format": "csv", "sort": ["mixed"]})).await?;
    host.faults().remove(held);
    // At once, past the queue and through it.
    let message = Aws::message(&job);
    host.send("JobsQueue", &message).await?;
    for answer in host.local.deliver("JobsQueue", &message, 3).await? {
        assert_eq!(answer?, json!({"batchItemFailures": []}), "one works, and the others leave it to it");
    }
    let done = client.ended(&job).await?;
    assert_eq!((&done["state"], &done["attempts"]), (&json!("completed"), &json!(1)), "{done}");
    let stored = host.stored(&done).await?;

    host.send("JobsQueue", &message).await?;
    for answer in host.local.deliver("JobsQueue", &message, 2).await? {
        assert_eq!(answer?, json!({"batchItemFailures": []}), "what has ended is nothing to do");
    }
    assert_eq!(host.stored(&done).await?, stored);
    let now = client.ended(&job).await?;
    for member in ["state", "attempts", "started", "finished", "expires", "result"] {
        assert_eq!(now[member], done[member], "{member}");
    }
    host.assert_settled(&[job], false).await
}

async fn a_worker_killed_in_the_middle_of_an_upload_is_replaced(_: On) -> Result<()> {
    let host = Aws::numbers(700_000, soon_again).await?;
    let client = host.client();
    // Slow enough to be caught, and the first attempt's alone.
    let slow = Rule::new(Service::S3, Fault::Delay(Duration::from_secs(20))).operation("UploadPart");
    host.faults().add(slow.path("/1/result.csv"));
    let job = client.submit(large()).await?;
    host.called(Service::S3, "UploadPart", 1).await?;
    assert_eq!(host.local.kill("WorkerFunction", Victim::All)?, 1);
    host.faults().clear();
    host.lease_over(&job).await?;
    host.sweep().await?;
    let done = client.ended(&job).await?;
    assert_eq!((&done["state"], &done["attempts"]), (&json!("completed"), &json!(2)), "{done}");
    host.assert_settled(&[job], true).await?;
    let left = host.open_uploads("results/").await?;
    assert!(left.iter().all(|key| key.ends_with("/1/result.csv")), "the dead attempt's alone: {left:?}");
    Ok(())
}

/// Some wait, some run, some commit when a process dies, of whatever function.
async fn jobs_survive_kills_at_any_moment(_: On) -> Result<()> {
    let host = Aws::numbers(100_000, |options| {
        soon_again(options);
        options.overrides.schedules.insert("SweeperFunction".into(), Duration::from_secs(4));
    })
    .await?;
    let client = host.client();
    let mut jobs = Vec::new();
    for _ in 0..3 {
        for index in 1..=4 {
            let sort = if index % 2 == 0 { json!(["mixed"]) } else { json!([]) };
            let query = json!({"dataset": "numbers", "format": "csv", "sort": sort, "limit": 25_000 * index});
            jobs.push(client.submit(query).await?);
        }
        tokio::time::sleep(Duration::from_millis(100 + chance(1_400))).await;
        for function in ["WorkerFunction", "WorkerFunction", "SubmitFunction", "SweeperFunction"] {
            host.local.kill(function, Victim::Any)?;
        }
    }
    // The leases of the dead run out, and then the sweeper finds their jobs.
    for job in try_join_all(jobs.iter().map(|job| client.ended(job))).await? {
        // Three dead workers are too many for one job, which then says so.
        let told = job["error"]["detail"].as_str().is_some_and(|detail| detail.contains("attempts"));
        assert!(job["state"] == "completed" || told, "{job}");
    }
    host.assert_settled(&jobs, true).await
}

/// As Lambda does it: the process hangs, is killed when its time is over, and its message is not done with.
async fn a_worker_that_hangs_is_killed_by_lambda_and_replaced(_: On) -> Result<()> {
    let host = Aws::numbers(10_000, |options| {
        soon_again(options);
        options.overrides.timeouts.insert("WorkerFunction".into(), Duration::from_secs(25));
    })
    .await?;
    let client = host.client();
    let slow = Rule::new(Service::S3, Fault::Delay(Duration::from_secs(10))).operation("PutObject");
    host.faults().add(slow.path("/1/result.csv"));
    let job = client.submit(json!({"dataset": "numbers", "format": "csv"})).await?;
    host.called(Service::S3, "PutObject", 1).await?;
    let workers = host.local.environments("WorkerFunction")?;
    let hung = workers.iter().find(|worker| worker.busy).context("nobody works")?;
    let pid = Pid::from_raw(i32::try_from(hung.pid)?).context("pid")?;
    kill_process(pid, Signal::STOP)?;
    let lives = |workers: &[EnvironmentInfo]| workers.iter().any(|worker| worker.number == hung.number);
    while lives(&host.local.environments("WorkerFunction")?) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(host.log().contains("timed out after 25"), "{}", host.log());
    host.lease_over(&job).await?;
    host.sweep().await?;
    let done = client.ended(&job).await?;
    assert_eq!((&done["state"], &done["attempts"]), (&json!("completed"), &json!(2)), "{done}");
    host.assert_settled(&[job], true).await
}

async fn a_job_whose_workers_all_die_fails_with_the_reason(_: On) -> Result<()> {
    let host = Aws::numbers(1_000, |options| {
        impatient(options);
        // No worker can reach anything: it fails whatever it is given.
        for function in ["WorkerFunction", "RecordsFunction"] {
            let missing =
                ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.to_owned(), String::new()));
            options.overrides.function_variables.insert(function.into(), missing.into());
        }
    })
    .await?;
    let client = host.client();
    let answer = client.get("/v1/datasets/numbers/records?limit=1").await?;
    assert!((500..600).contains(&answer.status), "{}: {}", answer.status, answer.text());
    assert!(!answer.text().contains("redential"), "clients are not told of credentials: {}", answer.text());
    let job = client.submit(json!({"dataset": "numbers"})).await?;
    let ended = client.ended(&job).await?;
    assert_eq!(ended["state"], "failed", "{ended}");
    let detail = ended["error"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("message came back too often"), "{ended}");
    let log = host.log();
    for function in ["WorkerFunction", "RecordsFunction"] {
        let told =
            log.lines().any(|line| line.starts_with(function) && line.to_lowercase().contains("credential"));
        assert!(told, "{function} does not say that it lacks credentials: {log}");
    }
    // With it nothing else is lost: the account can submit and the rest works.
    host.assert_settled(&[job], false).await
}

/// The operator finds it there, and an alarm says so.
async fn a_message_that_nobody_understands_stays_among_the_dead(_: On) -> Result<()> {
    let host = Aws::numbers(100, impatient).await?;
    for message in ["{}", "not even JSON"] {
        host.send("JobsQueue", message).await?;
    }
    let gone = r#"{"schema":1,"account":"tests","job":"01920000-0000-7000-8000-000000000000"}"#;
    host.send("JobsQueue", gone).await?;
    host.client().run(json!({"dataset": "numbers"})).await?;
    while host.messages("JobsQueue").await? > 0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(host.messages("JobsDeadLetters").await?, 2, "{}", host.log());
    assert!(host.log().contains("failed to read message"));
    Ok(())
}

willcall_tests::scenarios! {
    aws: [
        a_message_that_comes_many_times_runs_its_job_once,
        a_worker_killed_in_the_middle_of_an_upload_is_replaced,
        jobs_survive_kills_at_any_moment,
        a_worker_that_hangs_is_killed_by_lambda_and_replaced,
        a_job_whose_workers_all_die_fails_with_the_reason,
        a_message_that_nobody_understands_stays_among_the_dead,
    ],
}
