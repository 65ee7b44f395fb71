//! Slow APIs behind Willcall, called over HTTP: one item at once, and many by a job.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use willcall_tests::{Answer, Client, Directory, Manner, On, OneBox, Receiver, id};

use crate::batches::{close, feed};

const OK: Manner = Manner::Json(200, r#"{"known":true}"#);

/// A catalog with upstreams that all lead to the receiver, each by a path of its own name.
fn catalog(receiver: &Receiver, names: &[&str], more: &str) -> Result<Directory> {
    let mut text = String::new();
    for name in names {
        let url = receiver.url(name);
        text += &format!(
            "\n[upstreams.{name}]\nurl = \"{url}?item={{id}}\"\nallow = [\"127.0.0.1\"]\nretries = {{ backoff = \"10ms\" }}\n{more}\n"
        );
    }
    Directory::numbers(10)?.with(&text)
}

async fn call(client: &Client, upstream: &str, item: &Value, prefer: &str) -> Result<Answer> {
    let request = client.request(Method::POST, &format!("/v1/upstreams/{upstream}")).json(item);
    client.send(request.header("prefer", prefer)).await
}

async fn submit(client: &Client, body: &Value) -> Result<Value> {
    let answer = client.post("/v1/jobs", body).await?;
    ensure!(answer.status == 202, "{}: {}", answer.status, answer.text());
    answer.json()
}

/// The outcomes of a job that has completed, one for each item.
async fn outcomes(client: &Client, job: &Value) -> Result<Vec<Value>> {
    let text = String::from_utf8(client.fetch(job).await?)?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

async fn one_call_is_answered_as_the_upstream_answers(on: On) -> Result<()> {
    let receiver = Receiver::start().await?;
    receiver.behave("good", [OK]);
    receiver.behave("bad", [Manner::Json(422, r#"{"why":"no such person"}"#)]);
    receiver.behave("slow", [Manner::Late(Duration::from_secs(4))]);
    let host = on.directory(catalog(&receiver, &["good", "bad", "slow"], "")?).await?;
    let client = host.client();
    let good = call(&client, "good", &json!({"id": "a b"}), "wait=20").await?;
    assert_eq!((good.status, good.text().as_str()), (200, r#"{"known":true}"#));
    assert!(good.header("willcall-job-id").is_some());
    let sent = receiver.received("good").remove(0);
    assert!(sent.head.starts_with("GET /good?item=a%20b "), "{}", sent.head);
    assert!(!sent.header("idempotency-key").is_empty(), "{}", sent.head);

    let bad = call(&client, "bad", &json!({"id": "x"}), "wait=20").await?;
    assert_eq!((bad.status, bad.problem()?.as_str()), (502, "upstream-failed"));
    assert_eq!(receiver.received("bad").len(), 1, "what is refused is not sent again");

    let slow = call(&client, "slow", &json!({"id": "x"}), "wait=1").await?;
    assert_eq!(
        (slow.status, slow.header("preference-applied")),
        (202, Some("respond-async")),
        "{}",
        slow.text()
    );
    let done = client.ended(&slow.json()?).await?;
    assert_eq!(done["progress"]["counts"]["succeeded"], 1, "{done}");
    assert_eq!(receiver.received("slow").len(), 1, "what was begun is not done twice");

    let nowhere = call(&client, "nowhere", &json!({"id": "x"}), "wait=1").await?;
    assert_eq!(nowhere.status, 404, "{}", nowhere.text());
    let without = call(&client, "good", &json!({"name": "x"}), "wait=1").await?;
    assert_eq!(without.status, 400, "{}", without.text());
    Ok(())
}

async fn many_items_are_sent_once_each_whatever_the_upstream_does(on: On) -> Result<()> {
    let receiver = Receiver::start().await?;
    let busy = Manner::Status(429, "retry-after: 1\r\n");
    receiver.behave("rough", [Manner::Status(500, ""), busy, Manner::HangUp, OK]);
    let host = on.directory(catalog(&receiver, &["rough"], "concurrency = 8")?).await?;
    let client = host.client();
    let items: Vec<Value> = (0..40).map(|n| json!({"id": format!("p{n}")})).collect();
    let job = submit(&client, &json!({"kind": "call", "upstream": "rough", "items": items})).await?;
    let done = client.ended(&job).await?;
    assert_eq!(done["state"], "completed", "{done}");
    let counts = &done["progress"]["counts"];
    assert_eq!(
        (&counts["total"], &counts["succeeded"], &counts["pending"]),
        (&json!(40), &json!(40), &json!(0))
    );
    let outcomes = outcomes(&client, &done).await?;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome["id"], format!("p{n}"), "in the order of the items");
        assert_eq!(
            (&outcome["state"], &outcome["body"]),
            (&json!("succeeded"), &json!({"known": true})),
            "{outcome}"
        );
    }
    let attempts: u64 = outcomes.iter().filter_map(|outcome| outcome["attempts"].as_u64()).sum();
    let received = receiver.received("rough");
    // A connection that was just being closed may take an attempt with it that nobody got.
    assert!((40..=attempts).contains(&(received.len() as u64)), "{} of {attempts}", received.len());
    let keys: BTreeSet<&str> = received.iter().map(|one| one.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 40, "each item has a key, the same over all its attempts");
    Ok(())
}

async fn items_that_fail_say_so_and_errors_can_end_the_job_early(on: On) -> Result<()> {
    let receiver = Receiver::start().await?;
    receiver.behave("no", [Manner::Json(400, r#"{"why":"no"}"#)]);
    let host = on.directory(catalog(&receiver, &["no"], "concurrency = 1")?).await?;
    let client = host.client();
    let items: Vec<Value> = (0..20).map(|n| json!({"id": n})).collect();
    let body = json!({"kind": "call", "upstream": "no", "items": items, "max_errors": 3, "format": "json"});
    let done = client.ended(&submit(&client, &body).await?).await?;
    let outcomes: Vec<Value> = serde_json::from_slice(&client.fetch(&done).await?)?;
    assert_eq!(outcomes.len(), 20, "none is left out");
    assert!(outcomes.iter().all(|outcome| outcome["state"] == "failed"), "{outcomes:?}");
    let received = receiver.received("no").len();
    assert!((3..6).contains(&received), "{received}");
    assert_eq!(outcomes.iter().filter(|outcome| outcome["attempts"] == 0).count(), 20 - received);
    assert_eq!(done["progress"]["counts"]["failed"], 20);
    Ok(())
}

/// The text of the result of a job that was just accepted. Not every reader of JSON takes the job's own request.
async fn result_text(client: &Client, accepted: &Answer) -> Result<String> {
    let job = accepted.header("location").context("no location")?;
    for _ in 0..60 {
        let found = client.get(&format!("{job}?wait=1")).await?;
        if found.text().contains(r#""state":"completed""#) {
            return Ok(client.get(&format!("{job}/result")).await?.text());
        }
    }
    bail!("the job did not complete: {}", client.get(job).await?.text())
}

async fn a_job_tells_how_far_its_batch_is_while_items_are_sent(on: On) -> Result<()> {
    let receiver = Receiver::start().await?;
    receiver.behave("slow", [Manner::Late(Duration::from_millis(200))]);
    let host = on.directory(catalog(&receiver, &["slow"], "concurrency = 1")?).await?;
    let client = host.client();
    let job = submit(&client, &json!({"kind": "call", "upstream": "slow"})).await?;
    let items: String = (0..50).map(|n| format!("{{\"id\":{n}}}\n")).collect();
    feed(&client, &job, "items.jsonl", "application/x-ndjson", items.as_bytes()).await?;
    let mut seen = BTreeSet::new();
    for _ in 0..300 {
        let found: Value = client.get(&format!("/v1/jobs/{}", id(&job))).await?.json()?;
        let progress = &found["progress"];
        if let Some(succeeded @ 1..50) = progress["counts"]["succeeded"].as_u64() {
            assert_eq!(
                (&progress["stage"], &progress["counts"]["total"]),
                (&json!("calling"), &json!(50)),
                "{found}"
            );
            seen.insert(succeeded);
        }
        if seen.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen.len(), 2, "it grows while the batch is at work: {seen:?}");
    close(&client, &job).await?;
    let done = client.ended(&job).await?;
    assert_eq!((&done["state"], &done["progress"]["counts"]["succeeded"]), (&json!("completed"), &json!(50)));
    Ok(())
}

async fn numbers_come_as_they_were_written(on: On) -> Result<()> {
    const NUMBERS: &str = r#"[12345678901234567890123,0.1000000000000000055,1e400,-1E+400,-0.0,-0,1.50]"#;
    let receiver = Receiver::start().await?;
    receiver.behave("exact", [OK]);
    let host = on.directory(catalog(&receiver, &["exact"], "method = \"PUT\"\nconcurrency = 1")?).await?;
    let client = host.client();
    let ids = ["98765432109876543210", "1e400", "0.1000000000000000055"];
    let items: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":{id},"n":{NUMBERS}}}"#)).collect();
    let body = format!(r#"{{"kind":"call","upstream":"exact","items":[{}]}}"#, items.join(", "));
    let post = |path: &str, body: &str| {
        let request = client.request(Method::POST, path).header("content-type", "application/json");
        client.send(request.body(body.to_owned()))
    };
    let first = post("/v1/jobs", &body).await?;
    ensure!(first.status == 202, "{}", first.text());
    result_text(&client, &first).await?;
    let again = post(&format!("{}/rerun", first.header("location").context("no location")?), "").await?;
    ensure!(again.status == 202, "{}", again.text());
    for answer in [first, again] {
        assert!(
            answer.text().contains(&items.join(",")),
            "the request is shown as it was: {}",
            answer.text()
        );
        let told = result_text(&client, &answer).await?;
        assert_eq!(told.lines().count(), ids.len());
        for (line, id) in told.lines().zip(ids) {
            assert!(line.starts_with(&format!(r#"{{"id":{id},"state":"succeeded","#)), "{line}");
        }
    }
    let at_once = post("/v1/upstreams/exact", &items[1]).await?;
    assert_eq!((at_once.status, at_once.text().as_str()), (200, r#"{"known":true}"#));
    let received = receiver.received("exact");
    let expected: Vec<&String> = items.iter().chain(&items).chain([&items[1]]).collect();
    assert_eq!(received.len(), expected.len());
    for (one, item) in received.iter().zip(expected) {
        assert_eq!(&one.body, item);
    }
    assert!(received[1].head.starts_with("PUT /exact?item=1e400 "), "{}", received[1].head);

    let append = r#"{"kind": "append", "dataset": "numbers", "on": {"k": "n"}, "fields": ["word"], "format": "jsonl",
        "items": [{"k": 3, "n": 1e400}, {"k": 3.0, "n": 12345678901234567890123},
            {"k": 12345678901234567890123, "n": -0.0}, {"k": 3, "n": 0.1000000000000000055}]}"#;
    let answer = post("/v1/jobs", append).await?;
    ensure!(answer.status == 202, "{}", answer.text());
    let told = result_text(&client, &answer).await?;
    assert_eq!(told.lines().count(), 4);
    for (line, expected) in told.lines().zip([
        r#""n":"1e400","word":"#,
        r#""n":"12345678901234567890123","word":"#,
        r#""n":"-0.0","word":null"#,
        r#""n":"0.1000000000000000055","word":"#,
    ]) {
        assert!(line.contains(expected), "{line}");
    }
    Ok(())
}

async fn nothing_inside_is_reached(on: On) -> Result<()> {
    let receiver = Receiver::start().await?;
    receiver.behave("moved", [Manner::Status(302, "location: /inside\r\n")]);
    let port = receiver.port();
    let text = format!(
        "\n[upstreams.inside]\nurl = \"https://127.0.0.1:{port}/inside?{{id}}\"\nretries = {{ attempts = 1 }}\n"
    );
    let directory = catalog(&receiver, &["moved"], "")?.with(&text)?;
    let host = on.directory(directory).await?;
    let client = host.client();
    for upstream in ["inside", "moved"] {
        let answer = call(&client, upstream, &json!({"id": "x"}), "wait=20").await?;
        assert_eq!(
            (answer.status, answer.problem()?.as_str()),
            (502, "upstream-failed"),
            "{}",
            answer.text()
        );
    }
    assert!(receiver.received("inside").is_empty());
    Ok(())
}

async fn a_killed_host_sends_no_item_twice_and_loses_none(_: On) -> Result<()> {
    let receiver = Receiver::start().await?;
    receiver.behave("once", [Manner::Late(Duration::from_millis(20))]);
    let directory = catalog(&receiver, &["once"], "idempotent = false\nconcurrency = 2")?;
    let mut host = OneBox::start(directory).await?;
    let items: Vec<Value> = (0..150).map(|n| json!({"id": n})).collect();
    let job = submit(&host.client(), &json!({"kind": "call", "upstream": "once", "items": items})).await?;
    for kill in 1..=3 {
        receiver.until("once", kill * 30, Duration::from_secs(60)).await?;
        host.kill()?;
        host.launch().await?;
    }
    let client = host.client();
    let done = client.ended(&job).await?;
    let outcomes = outcomes(&client, &done).await?;
    let ids: Vec<u64> = outcomes.iter().filter_map(|outcome| outcome["id"].as_u64()).collect();
    assert_eq!(ids, (0..150).collect::<Vec<_>>(), "each item is reported once");
    let received = receiver.received("once");
    let keys: BTreeSet<&str> = received.iter().map(|one| one.header("idempotency-key")).collect();
    assert_eq!(keys.len(), received.len(), "none was sent twice");
    for outcome in &outcomes {
        let state = outcome["state"].as_str().unwrap_or_default();
        ensure!(["succeeded", "unknown"].contains(&state), "{outcome}");
    }
    let unknown = outcomes.iter().filter(|outcome| outcome["state"] == "unknown").count();
    assert_eq!(done["progress"]["counts"]["unknown"], unknown, "the doubt is told: {}", id(&done));
    Ok(())
}

async fn upstreams_that_hang_delay_no_query(on: On) -> Result<()> {
    let receiver = Receiver::start().await?;
    receiver.behave("hangs", [Manner::Silent]);
    let host = on.directory(catalog(&receiver, &["hangs"], "timeout = \"10m\"\nconcurrency = 100")?).await?;
    let mut calls = Vec::new();
    for account in ["one", "other", "third"] {
        let client = host.client_of(account, "everything", "submit")?;
        for _ in 0..4 {
            let body = json!({"kind": "call", "upstream": "hangs", "items": [{"id": 1}]});
            let job = submit(&client, &body).await?;
            calls.push((client.clone(), job));
        }
    }
    // Each worker that calls has a call that hangs: there are four unless the operator says otherwise.
    receiver.until("hangs", 4, Duration::from_secs(30)).await?;
    for account in ["one", "fourth", "one"] {
        let client = host.client_of(account, "everything", "submit")?;
        let began = std::time::Instant::now();
        let done = client.run(json!({"dataset": "numbers", "format": "csv"})).await?;
        assert_eq!(done["state"], "completed", "{done}");
        // A call makes way for other calls after a minute, and nothing is to wait for that.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
    for (client, job) in calls {
        let found = client.get(&format!("/v1/jobs/{}", id(&job))).await?.json()?;
        ensure!(["accepted", "processing"].contains(&found["state"].as_str().unwrap_or_default()), "{found}");
        client.post(&format!("/v1/jobs/{}/cancel", id(&job)), &json!({})).await?;
        assert_eq!(client.ended(&job).await?["state"], "cancelled");
    }
    Ok(())
}

willcall_tests::scenarios! {
    operator: [
        one_call_is_answered_as_the_upstream_answers,
        many_items_are_sent_once_each_whatever_the_upstream_does,
        items_that_fail_say_so_and_errors_can_end_the_job_early,
        a_job_tells_how_far_its_batch_is_while_items_are_sent,
        numbers_come_as_they_were_written,
        nothing_inside_is_reached,
    ],
    one_box: [a_killed_host_sends_no_item_twice_and_loses_none, upstreams_that_hang_delay_no_query],
}
