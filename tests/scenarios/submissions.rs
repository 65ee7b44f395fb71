//! Submissions that are repeated, limited or served by a job that there is, over HTTP and across crashes.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use futures::{
    future::join_all,
    stream::{self, StreamExt},
};
use reqwest::Method;
use serde_json::{Value, json};
use willcall_tests::{Answer, Client, On, OneBox, id, unique};

async fn submit(client: &Client, key: &str, query: &Value) -> Result<Answer> {
    let mut body = json!({"kind": "query", "dataset": "numbers"});
    for (name, value) in query.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let mut request = client.request(Method::POST, "/v1/jobs").json(&body);
    if !key.is_empty() {
        request = request.header("idempotency-key", format!("\"{key}\""));
    }
    client.send(request).await
}

async fn jobs_there_are(client: &Client) -> Result<Vec<Value>> {
    let (mut jobs, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/jobs?limit=500{cursor}")).await?.json()?;
        jobs.extend(page["jobs"].as_array().context("jobs")?.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(jobs),
        }
    }
}

async fn a_thousand_at_once_with_one_key_make_one_job(_: On) -> Result<()> {
    let host = OneBox::numbers(1_000).await?;
    let client = host.client();
    let query = json!({"format": "csv"});
    let answers = join_all((0..1_000).map(|_| submit(&client, "the one", &query))).await;
    let (mut fresh, mut ids) = (0, Vec::new());
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status, 202, "{}", answer.text());
        fresh += usize::from(answer.header("idempotent-replayed").is_none());
        ids.push(id(&answer.json()?).to_owned());
    }
    ids.dedup();
    assert_eq!((fresh, ids.len()), (1, 1), "one made the job, and the others were told of it");
    assert_eq!(jobs_there_are(&client).await?.len(), 1);
    Ok(())
}

async fn keys_tell_what_was_made_across_kills(_: On) -> Result<()> {
    let mut host = OneBox::numbers(1_000).await?;
    let client = host.client();
    let query = |n: usize| json!({"limit": n + 1});
    let sending = tokio::spawn(async move {
        let all = (0..60).map(|n| {
            let client = client.clone();
            async move { submit(&client, &format!("k{n}"), &query(n)).await }
        });
        stream::iter(all)
            .buffer_unordered(8)
            .filter_map(|answer| async { answer.ok() })
            .collect::<Vec<_>>()
            .await
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    host.kill()?;
    let before = sending.await?;
    host.launch().await?;
    // Whoever got no answer sends again, and whoever got one may.
    let client = host.client();
    let mut ids = Vec::new();
    for n in 0..60 {
        let answer = submit(&client, &format!("k{n}"), &query(n)).await?;
        assert_eq!(answer.status, 202, "{}", answer.text());
        ids.push(id(&answer.json()?).to_owned());
    }
    for answer in before {
        assert!(ids.contains(&id(&answer.json()?).to_owned()), "what was answered was made");
    }
    assert_eq!(jobs_there_are(&client).await?.len(), 60);
    let other = submit(&client, "k1", &query(50)).await?;
    assert_eq!((other.status, other.problem()?.as_str()), (422, "idempotency-mismatch"));
    Ok(())
}

async fn submits_of_a_minute_are_never_exceeded(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let paced = host.client_of("paced", "paced", "submit")?;
    let answers = join_all((0..80).map(|_| submit(&paced, "", &Value::Null))).await;
    let mut minutes: BTreeMap<String, u32> = BTreeMap::new();
    for answer in answers {
        let answer = answer?;
        // API Gateway's own word, where more come at once than a function may have environments.
        if (answer.status, answer.header("content-type")) == (503, Some("application/json")) {
            continue;
        }
        let policy = answer.header("ratelimit-policy").unwrap_or_default();
        assert!(policy.contains("q=5;w=60"), "{}: {}", answer.status, answer.text());
        match answer.status {
            202 => {
                let created = answer.json()?["created"].as_str().context("created")?[..16].to_owned();
                *minutes.entry(created).or_default() += 1;
            }
            429 => {
                assert_eq!(answer.problem()?, "quota-exceeded");
                let after: u64 = answer.header("retry-after").context("retry-after")?.parse()?;
                assert!((1..=60).contains(&after), "{after}");
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(
        minutes.values().all(|count| *count <= 5) && minutes.values().any(|count| *count == 5),
        "{minutes:?}"
    );
    Ok(())
}

async fn a_day_that_is_used_up_cuts_what_runs_and_refuses_what_comes(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let daily = host.client_of("daily", "daily", "submit")?;
    // A day that ends in between begins anew: then there is nothing to be seen.
    let day = |job: &Value| job["finished"].as_str().map(|moment| moment[..10].to_owned());
    let first = daily.run(json!({"dataset": "numbers", "limit": 600})).await?;
    let second = daily.run(json!({"dataset": "numbers", "limit": 600})).await?;
    if day(&first) != day(&second) {
        return Ok(());
    }
    assert_eq!(first["result"]["truncated"], Value::Null);
    assert_eq!(second["result"]["records"], 400);
    assert_eq!(second["result"]["truncated"], json!({"reason": "daily_limit", "limit": 400}));
    let refused = submit(&daily, "", &Value::Null).await?;
    assert_eq!((refused.status, refused.problem()?.as_str()), (429, "quota-exceeded"));
    assert_eq!(daily.get("/v1/account").await?.json()?["usage"]["records_today"], 1_000);
    Ok(())
}

async fn identical_jobs_are_joined_and_run_again_deliver_the_same(on: On) -> Result<()> {
    let host = on.numbers(20_000).await?;
    let client = host.client();
    let query = json!({"filter": "n < 5000", "sort": ["mixed"], "format": "csv", "reuse": true});
    let answers = join_all((0..20).map(|_| submit(&client, "", &query))).await;
    let mut made = 0;
    let mut ids = Vec::new();
    for answer in answers {
        let job = answer?.json()?;
        made += usize::from(job["reused"] != true);
        ids.push(id(&job).to_owned());
    }
    ids.dedup();
    assert_eq!((made, ids.len()), (1, 1));
    let done = client.ended(&json!({"job_id": ids[0]})).await?;
    let served = submit(
        &client,
        "",
        &json!({"filter": "5000 > n", "sort": ["mixed"], "format": "csv", "max_age": 600}),
    )
    .await?;
    assert_eq!((id(&served.json()?), &served.json()?["state"]), (id(&done), &json!("completed")));
    let again = client.send(client.request(Method::POST, &format!("/v1/jobs/{}/rerun", id(&done)))).await?;
    assert_eq!(again.status, 202, "{}", again.text());
    let again = again.json()?;
    assert_ne!(id(&again), id(&done));
    let again = client.ended(&again).await?;
    assert_eq!(again["result"]["sha256"], done["result"]["sha256"]);
    Ok(())
}

async fn one_accounts_many_jobs_do_not_delay_anothers_one(on: On) -> Result<()> {
    let host = on.numbers(50_000).await?;
    let many = host.client();
    let one = host.client_of("one", "everything", "submit")?;
    let query = json!({"sort": ["mixed"], "format": "csv", "compression": "gzip"});
    let submits = (0..400).map(|_| submit(&many, "", &query));
    let answers: Vec<_> = stream::iter(submits).buffer_unordered(16).collect().await;
    assert!(answers.into_iter().all(|answer| answer.is_ok_and(|answer| answer.status == 202)));
    let job = submit(&one, "", &json!({"limit": 1})).await?.json()?;
    let position = job["progress"]["queue_position"].as_u64();
    assert!(position.is_none_or(|position| position <= 1), "{position:?}");
    one.ended(&job).await?;
    let open = many.get("/v1/account").await?.json()?["usage"]["open_jobs"].as_u64().context("open")?;
    assert!(open > 300, "only {open} of the many were left when the one had ended");
    Ok(())
}

async fn a_request_is_repeated_and_a_dry_run_tells_what_comes(on: On) -> Result<()> {
    let host = on.numbers(5_000).await?;
    let (client, key) = (host.client(), unique());
    let query = json!({"filter": "n < 3000", "format": "csv"});
    let answers = join_all((0..12).map(|_| submit(&client, &key, &query))).await;
    let mut ids = Vec::new();
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status, 202, "{}", answer.text());
        ids.push(id(&answer.json()?).to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "many at once make one");
    let done = client.ended(&json!({"job_id": ids[0]})).await?;
    let other = submit(&client, &key, &json!({"filter": "n < 3001", "format": "csv"})).await?;
    assert_eq!((other.status, other.problem()?.as_str()), (422, "idempotency-mismatch"));

    let mut body = json!({"kind": "query", "dataset": "numbers"});
    for (name, value) in query.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let answer = client.post("/v1/jobs?dry_run=true", &body).await?;
    let estimate = match answer.status {
        200 => answer.json()?,
        202 => client.ended(&answer.json()?).await?["estimate"].clone(),
        other => panic!("{other}: {}", answer.text()),
    };
    assert_eq!(
        (&estimate["records_found"], &estimate["records"]),
        (&json!(3000), &json!(3000)),
        "{estimate}"
    );
    let (told, written) = (estimate["bytes_written"].as_u64(), done["result"]["bytes"].as_u64());
    let (told, written) = (told.context("told")? as f64, written.context("written")? as f64);
    assert!((told / written - 1.0).abs() < 0.2, "{told} bytes were told, and {written} are written");
    Ok(())
}

async fn a_repeated_request_is_answered_though_what_it_names_is_gone(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client_of("leaving", "everything", "submit")?;
    let keyed = async |path: &str, key: &str| {
        let request = client.request(Method::POST, path).header("idempotency-key", key).json(&json!({}));
        client.send(request).await
    };
    let first = client.run(json!({"dataset": "numbers", "limit": 3})).await?;
    let (path, key) = (format!("/v1/jobs/{}/rerun", id(&first)), unique());
    let made = keyed(&path, &key).await?;
    assert_eq!((made.status, made.header("idempotent-replayed")), (202, None), "{}", made.text());
    let made = client.ended(&made.json()?).await?;
    assert_eq!(client.delete(&format!("/v1/jobs/{}", id(&first))).await?.status, 204);
    let again = keyed(&path, &key).await?;
    assert_eq!((again.status, again.header("idempotent-replayed")), (202, Some("true")), "{}", again.text());
    assert_eq!((id(&again.json()?), &again.json()?["state"]), (id(&made), &json!("completed")));
    assert_eq!(keyed(&path, &unique()).await?.status, 404, "by another key there is nothing to run again");
    assert_eq!(
        keyed("/v1/jobs", &key).await?.status,
        400,
        "nor does the key stand for all that it comes with"
    );

    let (records, key) = ("/v1/datasets/numbers/records?limit=3", unique());
    let delivered = keyed(records, &key).await?;
    assert_eq!((delivered.status, delivered.header("idempotent-replayed")), (200, None));
    let put = ["account", "put", "leaving", "--plan", "nothing"];
    let put = host.operator()?.command(&put)?.output()?;
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    assert_eq!(keyed(records, &unique()).await?.status, 404, "the plan has no such data set any more");
    let again = keyed(records, &key).await?;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")), "{}", again.text());
    assert_eq!(again.text(), delivered.text());
    let other = keyed("/v1/datasets/numbers/records?limit=4", &key).await?;
    assert_eq!((other.status, other.problem()?.as_str()), (422, "idempotency-mismatch"));
    Ok(())
}

willcall_tests::scenarios! {
    client: [
        a_request_is_repeated_and_a_dry_run_tells_what_comes,
    ],
    operator: [
        identical_jobs_are_joined_and_run_again_deliver_the_same,
        a_repeated_request_is_answered_though_what_it_names_is_gone,
        submits_of_a_minute_are_never_exceeded,
        a_day_that_is_used_up_cuts_what_runs_and_refuses_what_comes,
    ],
    one_box: [
        a_thousand_at_once_with_one_key_make_one_job,
        keys_tell_what_was_made_across_kills,
        one_accounts_many_jobs_do_not_delay_anothers_one,
    ],
}
