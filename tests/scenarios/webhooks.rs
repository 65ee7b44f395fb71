//! Webhooks, against a receiver that misbehaves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use willcall_tests::{Client, Manner, On, OneBox, Receiver, id};

/// The first retry comes after about five seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Submits a job that tells that address of its end.
pub(crate) async fn submit(client: &Client, url: &str) -> Result<Value> {
    client.submit(json!({"dataset": "numbers", "limit": 3, "format": "csv", "notification_url": url})).await
}

pub(crate) async fn notifications(client: &Client, job: &Value) -> Result<Vec<Value>> {
    let answer = client.get(&format!("/v1/jobs/{}/notifications", id(job))).await?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    answer.json()?["notifications"].as_array().cloned().context("no list")
}

/// The job's only notification once it fits.
pub(crate) async fn until(client: &Client, job: &Value, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let found = notifications(client, job).await?;
        if let [one] = found.as_slice()
            && fits(one)
        {
            return Ok(one.clone());
        }
        ensure!(std::time::Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn attempts(notification: &Value) -> usize {
    notification["attempts"].as_array().map_or(0, Vec::len)
}

pub(crate) fn delivered(notification: &Value) -> bool {
    notification["state"] == "delivered"
}

async fn the_end_of_a_job_is_told_within_a_moment(on: On) -> Result<()> {
    let (host, receiver) = (on.with_receivers(1_000).await?, Receiver::start().await?);
    let client = host.client();
    let job = submit(&client, &receiver.url("hook")).await?;
    let message = receiver.until("hook", 1, Duration::from_secs(10)).await?.remove(0);
    let body: Value = serde_json::from_str(&message.body)?;
    assert_eq!((&body["type"], &body["data"]["job_id"]), (&json!("results.ready"), &job["job_id"]));
    assert_eq!((&body["data"]["sequence"], &body["data"]["result"]["records"]), (&json!(1), &json!(3)));
    assert!(message.header("webhook-signature").starts_with("v1,"), "{}", message.head);
    let one = until(&client, &job, delivered).await?;
    assert_eq!(one["message_id"], message.header("webhook-id"));
    Ok(())
}

async fn every_misbehaviour_is_logged_and_tried_again_with_the_same_id(on: On) -> Result<()> {
    let (host, receiver) = (on.with_receivers(1_000).await?, Receiver::start().await?);
    let client = host.client();
    let ok = Manner::Status(200, "");
    let moved = Manner::Status(301, "location: http://127.0.0.1:1/\r\n");
    for (path, first) in [("500", Manner::Status(500, "")), ("301", moved), ("nothing", Manner::HangUp)] {
        receiver.behave(path, [first, ok]);
    }
    // Side by side: each is looked at between its two attempts.
    let stories = ["500", "301", "nothing"].map(|path| story(&client, &receiver, path));
    futures::future::try_join_all(stories).await?;
    Ok(())
}

/// One address fails once and then takes the same message.
async fn story(client: &Client, receiver: &Receiver, path: &str) -> Result<()> {
    let job = submit(client, &receiver.url(path)).await?;
    let failed = until(client, &job, |one| attempts(one) == 1).await?;
    assert_eq!(failed["state"], "pending", "{path}: {failed}");
    assert!(failed["next_attempt"].is_string(), "{path}: {failed}");
    let first = &failed["attempts"][0];
    match path {
        "nothing" => assert!(first["status"].is_null() && first["error"].is_string(), "{first}"),
        status => assert_eq!(first["status"].to_string(), status),
    }
    let done = until(client, &job, delivered).await?;
    assert_eq!(attempts(&done), 2, "{path}: {done}");
    let received = receiver.until(path, 2, PATIENCE).await?;
    assert_eq!(received.len(), 2, "{path}");
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"), "{path}");
    assert_eq!(received[0].body, received[1].body, "{path}");
    Ok(())
}

async fn slow_and_talkative_receivers_are_content_with_one_message(on: On) -> Result<()> {
    let (host, receiver) = (on.with_receivers(1_000).await?, Receiver::start().await?);
    let client = host.client();
    receiver.behave("slow", [Manner::Late(Duration::from_secs(3))]);
    receiver.behave("megabyte", [Manner::Megabyte]);
    for path in ["slow", "megabyte"] {
        let job = submit(&client, &receiver.url(path)).await?;
        let done = until(&client, &job, delivered).await?;
        assert_eq!((attempts(&done), receiver.received(path).len()), (1, 1), "{done}");
    }
    Ok(())
}

async fn a_silent_receiver_holds_up_nobody_and_is_given_up_in_time(on: On) -> Result<()> {
    let (host, receiver) = (on.with_receivers(1_000).await?, Receiver::start().await?);
    let client = host.client();
    receiver.behave("silent", [Manner::Silent]);
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(submit(&client, &receiver.url("silent")).await?);
    }
    receiver.until("silent", 5, PATIENCE).await?;
    let job = submit(&client, &receiver.url("quick")).await?;
    receiver.until("quick", 1, Duration::from_secs(10)).await?;
    until(&client, &job, delivered).await?;
    let given_up = until(&client, &silent[0], |one| attempts(one) == 1).await?;
    let attempt = &given_up["attempts"][0];
    assert!(attempt["error"].as_str().is_some_and(|words| words.contains("15 seconds")), "{attempt}");
    Ok(())
}

async fn gone_disables_the_webhook_until_it_is_enabled(on: On) -> Result<()> {
    let (host, receiver) = (on.with_receivers(1_000).await?, Receiver::start().await?);
    let client = host.client();
    receiver.behave("all", [Manner::Status(410, ""), Manner::Status(200, "")]);
    let made = client.post("/v1/webhooks", &json!({"url": receiver.url("all")})).await?;
    assert_eq!(made.status, 201, "{}", made.text());
    let path = format!("/v1/webhooks/{}", made.json()?["webhook_id"].as_str().unwrap_or_default());
    let job = client.run(json!({"dataset": "numbers", "limit": 1})).await?;
    let one = until(&client, &job, |one| one["state"] == "failed").await?;
    assert_eq!((&one["reason"], attempts(&one)), (&json!("gone"), 1));
    for _ in 0..100 {
        if client.get(&path).await?.json()?["enabled"] == false {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.get(&path).await?.json()?["disabled_reason"], "gone");
    let quiet = client.run(json!({"dataset": "numbers", "limit": 1})).await?;
    assert!(notifications(&client, &quiet).await?.is_empty());
    assert_eq!(client.patch(&path, &json!({"enabled": true})).await?.status, 200);
    let told = client.run(json!({"dataset": "numbers", "limit": 1})).await?;
    until(&client, &told, delivered).await?;
    let tested = client.post(&format!("{path}/test"), &json!({})).await?.json()?;
    assert_eq!(tested["delivered"], true, "{tested}");
    Ok(())
}

async fn a_receiver_that_is_down_is_remembered_over_a_restart(_: On) -> Result<()> {
    let mut host = OneBox::with_receivers(1_000).await?;
    // A port on which nobody listens any more.
    let port = Receiver::start().await?.port();
    let job = submit(&host.client(), &format!("http://127.0.0.1:{port}/")).await?;
    let twice = until(&host.client(), &job, |one| attempts(one) == 2).await?;
    assert_eq!(twice["attempts"][1]["error"], "could not connect");
    host.kill()?;
    host.launch().await?;
    let again = until(&host.client(), &job, |_| true).await?;
    assert_eq!(again, twice, "about five minutes are left, and nothing is forgotten");
    Ok(())
}

async fn a_kill_at_any_moment_loses_no_event(_: On) -> Result<()> {
    let (mut host, receiver) = (OneBox::with_receivers(1_000).await?, Receiver::start().await?);
    let mut jobs = Vec::new();
    for round in 0..4_u64 {
        let client = host.client();
        for n in 0..5 {
            let path = format!("{round}-{n}");
            jobs.push((submit(&client, &receiver.url(&path)).await?, path));
        }
        tokio::time::sleep(Duration::from_millis(20 + 60 * round)).await;
        host.kill()?;
        host.launch().await?;
    }
    for (job, path) in jobs {
        // A delivery whose process died is another's after half a minute, and the sweeper's within a minute more.
        let received = receiver.until(&path, 1, Duration::from_secs(120)).await?;
        for message in &received {
            assert_eq!(message.header("webhook-id"), received[0].header("webhook-id"));
            let body: Value = serde_json::from_str(&message.body)?;
            assert_eq!(body["data"]["job_id"], job["job_id"]);
        }
    }
    Ok(())
}

async fn a_receiver_of_the_inside_is_never_reached(on: On) -> Result<()> {
    let (host, receiver) = (on.numbers(10).await?, Receiver::start().await?);
    let client = host.client();
    let port = receiver.port();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://127.1:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        "https://169.254.169.254/latest/meta-data/".into(),
        "https://user:pass@example.com/".into(),
    ] {
        let body = json!({"kind": "query", "dataset": "numbers", "notification_url": url});
        let answer = client.post("/v1/jobs", &body).await?;
        assert_eq!((answer.status, answer.problem()?.as_str()), (400, "invalid-request"), "{url}");
        assert!(answer.complaints().contains("#/notification_url"), "{url}: {}", answer.complaints());
        let answer = client.post("/v1/webhooks", &json!({"url": url})).await?;
        assert_eq!((answer.status, answer.problem()?.as_str()), (400, "invalid-request"), "{url}");
    }
    // What a name leads to is known when it is connected to.
    let job = submit(&client, &format!("https://localhost:{port}/")).await?;
    let one = until(&client, &job, |one| attempts(one) == 1).await?;
    let words = one["attempts"][0]["error"].as_str().unwrap_or_default();
    assert!(words.contains("not allowed"), "{one}");
    assert!(receiver.received("").is_empty());
    Ok(())
}

async fn the_command_makes_tests_and_lists_webhooks(on: On) -> Result<()> {
    let (host, receiver) = (on.with_receivers(1_000).await?, Receiver::start().await?);
    let client = host.client();
    let token = host.token("tests", "everything", "admin")?;
    let run = |arguments: &[&str]| -> Result<(Option<i32>, String, String)> {
        let mut command = host.operator()?.command(&[&["webhook"], arguments].concat())?;
        let out = command.args(["--server", &client.url]).env("WILLCALL_TOKEN", &token).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((out.status.code(), text(&out.stdout), text(&out.stderr)))
    };
    let (code, out, err) = run(&["create", &receiver.url("all"), "--events", "results.ready"])?;
    assert!(code == Some(0) && out.starts_with("whsec_"), "{out}{err}");
    let list = client.get("/v1/webhooks").await?.json()?;
    let webhook = list["webhooks"][0]["webhook_id"].as_str().context("no id")?.to_owned();
    let (code, _, err) = run(&["test", &webhook])?;
    assert!(code == Some(0) && err.contains("delivered"), "{err}");
    receiver.behave("all", [Manner::Status(500, ""), Manner::Status(200, "")]);
    let (code, _, err) = run(&["test", &webhook])?;
    assert!(code == Some(1) && err.contains("500"), "{err}");
    let job = client.run(json!({"dataset": "numbers", "limit": 1})).await?;
    let one = until(&client, &job, delivered).await?;
    let (code, out, _) = run(&["deliveries", id(&job)])?;
    let notification = one["notification_id"].as_str().context("no id")?;
    assert!(code == Some(0) && out.contains(notification) && out.contains("delivered"), "{out}");
    let (code, _, err) = run(&["resend", id(&job), notification])?;
    assert_eq!(code, Some(0), "{err}");
    let (code, second, _) = run(&["rotate", &webhook])?;
    assert!(code == Some(0) && second.starts_with("whsec_"), "{second}");
    let (code, _, err) = run(&["delete", &webhook])?;
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = run(&["create", "http://127.0.0.2/"])?;
    assert!(code == Some(2) && err.contains("must be https"), "{code:?} {err}");
    Ok(())
}

async fn both_secrets_sign_while_one_takes_the_place_of_the_other(on: On) -> Result<()> {
    let (host, receiver) = (on.with_receivers(1_000).await?, Receiver::start().await?);
    let client = host.client();
    let made = client.post("/v1/webhooks", &json!({"url": receiver.url("all")})).await?.json()?;
    let rotated = async |path: &str| -> Result<String> {
        let answer = client.post(path, &json!({})).await?;
        ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
        Ok(answer.json()?["secret"].as_str().context("no secret")?.to_owned())
    };
    let mut secrets = vec![made["secret"].as_str().context("no secret")?.to_owned()];
    let path = format!("/v1/webhooks/{}/rotate", made["webhook_id"].as_str().context("no id")?);
    for round in 1..=2 {
        client.run(json!({"dataset": "numbers", "limit": 1})).await?;
        let message = receiver.until("all", round, PATIENCE).await?.remove(round - 1);
        assert_eq!(message.signatures().count(), round, "{}", message.head);
        for secret in &secrets {
            assert_eq!(message.signatures_by(secret)?, 1, "{}", message.head);
        }
        secrets.push(rotated(&path).await?);
    }
    // The addresses of single jobs have the account's own secret.
    let default = rotated("/v1/account/webhook-secret/rotate").await?;
    submit(&client, &receiver.url("own")).await?;
    let message = receiver.until("own", 1, PATIENCE).await?.remove(0);
    assert_eq!((message.signatures_by(&default)?, message.signatures_by(&secrets[0])?), (1, 0));
    Ok(())
}

async fn the_log_tells_each_attempt_and_a_resend_tells_once_more(on: On) -> Result<()> {
    let (host, receiver) = (on.with_receivers(1_000).await?, Receiver::start().await?);
    let client = host.client();
    let job = submit(&client, &receiver.url("hook")).await?;
    let once = until(&client, &job, delivered).await?;
    let path = format!("/v1/jobs/{}/notifications", id(&job));
    let resend = format!("{path}/{}/resend", once["notification_id"].as_str().context("no id")?);
    let answer = client.post(&resend, &json!({})).await?;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let received = receiver.until("hook", 2, PATIENCE).await?;
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body);
    let twice = until(&client, &job, |one| delivered(one) && attempts(one) == 2).await?;
    assert_eq!((&twice["url"], &twice["attempts"][1]["status"]), (&json!(receiver.url("hook")), &json!(200)));
    for unknown in ["1-url1", "2-url0", "nonsense"] {
        assert_eq!(
            client.post(&format!("{path}/{unknown}/resend"), &json!({})).await?.status,
            404,
            "{unknown}"
        );
    }
    let other = host.client_of("other", "everything", "admin")?;
    assert_eq!(other.get(&path).await?.status, 404);
    assert_eq!(other.post(&resend, &json!({})).await?.status, 404);
    Ok(())
}

willcall_tests::scenarios! {
    operator: [
        the_end_of_a_job_is_told_within_a_moment,
        every_misbehaviour_is_logged_and_tried_again_with_the_same_id,
        slow_and_talkative_receivers_are_content_with_one_message,
        a_silent_receiver_holds_up_nobody_and_is_given_up_in_time,
        gone_disables_the_webhook_until_it_is_enabled,
        a_receiver_of_the_inside_is_never_reached,
        both_secrets_sign_while_one_takes_the_place_of_the_other,
        the_log_tells_each_attempt_and_a_resend_tells_once_more,
        the_command_makes_tests_and_lists_webhooks,
    ],
    one_box: [
        a_receiver_that_is_down_is_remembered_over_a_restart,
        a_kill_at_any_moment_loses_no_event,
    ],
}
