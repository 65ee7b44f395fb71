//! Webhooks of the AWS host when its functions die on the way, or time passes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use willcall_aws_local::{Fault, Options, Rule, Service, Victim};
use willcall_tests::{Aws, Manner, On, Operator, Receiver, chance, id};

use crate::webhooks::{attempts, delivered, notifications, submit, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// Nothing sweeps but what a scenario does itself.
fn unswept(options: &mut Options) {
    options.overrides.schedules.insert("SweeperFunction".into(), Duration::MAX);
}

async fn a_worker_that_dies_between_the_end_of_its_job_and_the_notice_loses_no_event(_: On) -> Result<()> {
    let (host, receiver) = (Aws::with_receivers(1_000, unswept).await?, Receiver::start().await?);
    let client = host.client();
    let stuck = Rule::new(Service::Sqs, Fault::Delay(Duration::from_secs(60))).operation("SendMessage");
    let stuck = host.faults().add(stuck.function("WorkerFunction"));
    let job = submit(&client, &receiver.url("hook")).await?;
    let done = client.ended(&job).await?;
    assert_eq!(done["state"], "completed", "{done}");
    let deadline = Instant::now() + PATIENCE;
    while host.faults().met(stuck) == 0 {
        ensure!(Instant::now() < deadline, "it has sent no notice: {}", host.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(host.local.kill("WorkerFunction", Victim::All)?, 1);
    host.faults().clear();
    assert!(notifications(&client, &job).await?.is_empty(), "nobody knows of it yet");
    host.sweep().await?;
    assert!(receiver.received("hook").is_empty(), "it is not yet due");
    host.event_due_now(&job, 1).await?;
    // Two sweeps at once do what one does.
    tokio::try_join!(host.sweep(), host.sweep())?;
    let message = receiver.until("hook", 1, PATIENCE).await?.remove(0);
    let body: Value = serde_json::from_str(&message.body)?;
    assert_eq!((&body["type"], &body["data"]["job_id"]), (&json!("results.ready"), &job["job_id"]));
    until(&client, &job, delivered).await?;
    Ok(())
}

/// Kills whoever sends, and whoever made the delivery and may not have ended yet.
fn kill_senders(host: &Aws) -> Result<()> {
    ensure!(host.local.kill("NotifyFunction", Victim::All)? >= 1, "nobody sends: {}", host.log());
    Ok(())
}

async fn a_sender_that_dies_once_the_receiver_has_it_is_followed_by_one_with_the_same_id(
    _: On,
) -> Result<()> {
    let (host, receiver) = (Aws::with_receivers(1_000, unswept).await?, Receiver::start().await?);
    let client = host.client();
    receiver.behave("hook", [Manner::Silent, Manner::Status(200, "")]);
    let job = submit(&client, &receiver.url("hook")).await?;
    receiver.until("hook", 1, PATIENCE).await?;
    kill_senders(&host)?;
    let [begun] = notifications(&client, &job).await?.try_into().ok().context("not one")?;
    assert_eq!((&begun["state"], attempts(&begun)), (&json!("pending"), 0), "{begun}");
    host.notification_due_now(&job, &begun).await?;
    host.sweep().await?;
    let received = receiver.until("hook", 2, PATIENCE).await?;
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body);
    until(&client, &job, |one| delivered(one) && attempts(one) == 1).await?;
    Ok(())
}

async fn a_notice_that_kills_its_senders_is_counted_and_told_in_its_time(_: On) -> Result<()> {
    let (host, receiver) = (Aws::with_receivers(1_000, unswept).await?, Receiver::start().await?);
    let client = host.client();
    receiver.behave("hook", [Manner::Silent, Manner::Status(200, "")]);
    let job = submit(&client, &receiver.url("hook")).await?;
    receiver.until("hook", 1, PATIENCE).await?;
    kill_senders(&host)?;
    let [begun] = notifications(&client, &job).await?.try_into().ok().context("not one")?;
    host.notification_due_now(&job, &begun).await?;
    // As the queue does after ten such senders; and what is no notice of ours stays there.
    host.send("NotifyDeadLetters", &Aws::notice(&job, &begun)?).await?;
    host.send("NotifyDeadLetters", "no notice").await?;
    let counted = until(&client, &job, |one| attempts(one) >= 1).await?;
    assert_eq!(counted["attempts"][0]["error"], "the attempt broke off", "{counted}");
    let told = until(&client, &job, delivered).await?;
    assert_eq!(attempts(&told), 2, "{told}");
    let deadline = Instant::now() + PATIENCE;
    while !host.log().contains("failed to read message") {
        ensure!(Instant::now() < deadline, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(host.messages("NotifyDeadLetters").await?, 1, "the operator finds it there");
    Ok(())
}

async fn a_receiver_that_is_down_for_hours_is_told_when_it_is_back(_: On) -> Result<()> {
    let host = Aws::with_receivers(1_000, unswept).await?;
    let client = host.client();
    // A port on which nobody listens any more.
    let port = Receiver::start().await?.port();
    let job = submit(&client, &format!("http://127.0.0.1:{port}/hook")).await?;
    // The first retry comes by the queue; the later ones are the sweeper's, in hours.
    let mut found = until(&client, &job, |one| attempts(one) == 2).await?;
    for tries in 3..=5 {
        // Nothing depends on which process knew of it.
        host.local.kill("NotifyFunction", Victim::All)?;
        host.sweep().await?;
        assert_eq!(notifications(&client, &job).await?, [found.clone()], "its time has not come");
        host.notification_due_now(&job, &found).await?;
        host.sweep().await?;
        found = until(&client, &job, |one| attempts(one) == tries).await?;
        assert_eq!(found["attempts"][tries - 1]["error"], "could not connect", "{found}");
    }
    let receiver = Receiver::at(port).await?;
    host.notification_due_now(&job, &found).await?;
    host.sweep().await?;
    let message = receiver.until("hook", 1, PATIENCE).await?.remove(0);
    let told = until(&client, &job, delivered).await?;
    assert_eq!((attempts(&told), &told["message_id"]), (6, &json!(message.header("webhook-id"))));
    Ok(())
}

/// Some wait, some run, some tell when a process dies, of whatever function.
async fn kills_at_any_moment_lose_no_event(_: On) -> Result<()> {
    let host = Aws::with_receivers(1_000, |options| {
        let overrides = &mut options.overrides;
        overrides.visibility.insert("JobsQueue".into(), Duration::from_secs(45));
        overrides.visibility.insert("NotifyQueue".into(), Duration::from_secs(35));
        overrides.schedules.insert("SweeperFunction".into(), Duration::from_secs(4));
    })
    .await?;
    let (client, receiver) = (host.client(), Receiver::start().await?);
    let mut jobs = Vec::new();
    for round in 0..3 {
        for n in 0..4 {
            let path = format!("{round}-{n}");
            jobs.push((submit(&client, &receiver.url(&path)).await?, path));
        }
        tokio::time::sleep(Duration::from_millis(50 + chance(1_000))).await;
        for function in ["WorkerFunction", "NotifyFunction", "NotifyFunction", "SweeperFunction"] {
            host.local.kill(function, Victim::Any)?;
        }
    }
    for (job, path) in jobs {
        // The lease of a dead worker runs out, then that of a dead sender, and the sweeper comes behind each.
        let received = receiver.until(&path, 1, Duration::from_secs(240)).await?;
        for message in &received {
            assert_eq!(message.header("webhook-id"), received[0].header("webhook-id"));
            let body: Value = serde_json::from_str(&message.body)?;
            assert_eq!(body["data"]["job_id"], job["job_id"]);
        }
    }
    Ok(())
}

async fn a_list_that_cannot_be_read_stops_those_alone_that_go_by_it(_: On) -> Result<()> {
    let host = Aws::numbers(10, |options| {
        options.parameters.insert("WebhooksAllow".into(), "10.0.0.0/99".into());
    })
    .await?;
    let client = host.client();
    assert_eq!(client.get("/v1/jobs").await?.status, 200);
    let answer = client.post("/v1/jobs", &json!({"kind": "query", "dataset": "numbers"})).await?;
    assert!(answer.status >= 500, "{}: {}", answer.status, answer.text());
    assert!(host.log().contains("WILLCALL_WEBHOOKS_ALLOW: \\\"10.0.0.0/99\\\""), "{}", host.log());
    Ok(())
}

async fn the_operators_command_works_on_the_table(_: On) -> Result<()> {
    let (host, receiver) = (Aws::with_receivers(1_000, unswept).await?, Receiver::start().await?);
    let client = host.client();
    let run = |arguments: &[&str]| -> Result<(Option<i32>, String, String)> {
        let out = host.command(&[&["webhook", "--account", "tests"], arguments].concat())?.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((out.status.code(), text(&out.stdout), text(&out.stderr)))
    };
    let (code, secret, err) = run(&["create", &receiver.url("all")])?;
    assert!(code == Some(0) && secret.starts_with("whsec_"), "{secret}{err}");
    let list = client.get("/v1/webhooks").await?.json()?;
    let webhook = list["webhooks"][0]["webhook_id"].as_str().context("no id")?.to_owned();
    let (code, _, err) = run(&["test", &webhook])?;
    assert!(code == Some(0) && err.contains("delivered"), "{err}");
    let job = client.run(json!({"dataset": "numbers", "limit": 1})).await?;
    let message = receiver.until("all", 2, PATIENCE).await?.remove(1);
    assert_eq!(message.signatures_by(secret.trim())?, 1, "the functions have the key that the command has");
    let one = until(&client, &job, delivered).await?;
    let notification = one["notification_id"].as_str().context("no id")?;
    let (code, out, _) = run(&["deliveries", id(&job)])?;
    assert!(code == Some(0) && out.contains(notification) && out.contains("delivered"), "{out}");
    let (code, _, err) = run(&["resend", id(&job), notification])?;
    assert_eq!(code, Some(0), "{err}");
    receiver.until("all", 3, PATIENCE).await?;
    let (code, _, err) = run(&["disable", &webhook])?;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(client.get(&format!("/v1/webhooks/{webhook}")).await?.json()?["enabled"], false);
    Ok(())
}

willcall_tests::scenarios! {
    aws: [
        a_worker_that_dies_between_the_end_of_its_job_and_the_notice_loses_no_event,
        a_sender_that_dies_once_the_receiver_has_it_is_followed_by_one_with_the_same_id,
        a_notice_that_kills_its_senders_is_counted_and_told_in_its_time,
        a_receiver_that_is_down_for_hours_is_told_when_it_is_back,
        kills_at_any_moment_lose_no_event,
        a_list_that_cannot_be_read_stops_those_alone_that_go_by_it,
        the_operators_command_works_on_the_table,
    ],
}
