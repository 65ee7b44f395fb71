//! The life of jobs as a client sees it.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use willcall_tests::{On, id, unique};

async fn a_job_goes_from_submit_to_file(on: On) -> Result<()> {
    let host = on.numbers(10_000).await?;
    let client = host.client();
    let query = json!({
        "dataset": "numbers", "filter": "n >= 100 AND n < 10000 AND word = 'red'", "fields": ["n"], "format": "csv",
        "name": "reds", "labels": {"team": "ops"},
    });
    let job = client.submit(query.clone()).await?;
    assert!(["accepted", "processing", "completed"].contains(&job["state"].as_str().unwrap()), "{job}");
    assert_eq!(job["link"], format!("{}/v1/jobs/{}", client.url, id(&job)));
    for (key, value) in query.as_object().unwrap() {
        assert_eq!(&job["request"][key], value, "the request is shown as it was sent");
    }
    let job = client.ended(&job).await?;
    assert_eq!(job["state"], "completed");
    assert_eq!(job["result"]["records"], 2475);
    assert_eq!(job["result"]["truncated"], Value::Null);
    assert_eq!(job["progress"]["records_found"], 2475);
    assert_eq!(job["progress"]["percent"], 100.0);
    assert_eq!((&job["name"], &job["labels"]["team"]), (&json!("reds"), &json!("ops")));

    let expected: String = std::iter::once("n".to_owned())
        .chain((100..10_000).step_by(4).map(|n| n.to_string()))
        .map(|l| l + "\n")
        .collect();
    let file = client.fetch(&job).await?;
    assert_eq!(String::from_utf8(file.clone())?, expected);
    assert_eq!(job["result"]["sha256"], hex::encode(Sha256::digest(&file)));

    let path = format!("/v1/jobs/{}", id(&job));
    let download = client.get(&format!("{path}/download")).await?;
    assert_eq!(download.status, 307);
    let location = download.header("location").context("location")?;
    let followed = client.with_token(None).get(location).await?;
    assert_eq!(followed.body, file);
    assert!(followed.header("content-disposition").unwrap().contains("reds.csv"));
    let link = client.get(&format!("{path}/download?redirect=false")).await?.json()?;
    assert!(link["url"].is_string() && link["expires"].is_string(), "{link}");
    assert_eq!(client.get(&format!("{path}/result")).await?.body, file);
    let manifest = client.get(&format!("{path}/manifest")).await?.json()?;
    assert_eq!(manifest["files"][0]["sha256"], job["result"]["sha256"]);
    assert_eq!(manifest["records"], 2475);
    Ok(())
}

async fn status_is_conditional_and_paced(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let submitted =
        client.post("/v1/jobs", &json!({"kind": "query", "dataset": "numbers", "limit": 1000})).await?;
    assert_eq!(submitted.status, 202);
    assert!(submitted.header("retry-after").is_some());
    let job = client.ended(&submitted.json()?).await?;
    assert_eq!(submitted.header("location"), job["link"].as_str());
    let path = format!("/v1/jobs/{}", id(&job));
    let first = client.get(&path).await?;
    let etag = first.header("etag").context("etag")?.to_owned();
    assert!(first.header("retry-after").is_none(), "a job that has ended is not to be polled");
    let again = client.send(client.request(Method::GET, &path).header("if-none-match", &etag)).await?;
    assert_eq!((again.status, again.body.len()), (304, 0));
    client.patch(&path, &json!({"name": "other"})).await?;
    let changed = client.send(client.request(Method::GET, &path).header("if-none-match", &etag)).await?;
    assert_eq!(changed.status, 200);
    for bad in ["61", "-1", "x", "1.5", ""] {
        assert_eq!(client.get(&format!("{path}?wait={bad}")).await?.status, 400, "wait={bad}");
    }
    Ok(())
}

async fn cancel_stops_the_work(on: On) -> Result<()> {
    let host = on.numbers(1_000_000).await?;
    let client = host.client();
    let job = client.submit(json!({"dataset": "numbers", "sort": ["mixed"], "format": "json"})).await?;
    client.until(&job, "processing").await?;
    let path = format!("/v1/jobs/{}", id(&job));
    let early = client.get(&format!("{path}/result")).await?;
    assert_eq!((early.status, early.problem()?.as_str()), (409, "result-not-ready"));
    let cancelled = client.post(&format!("{path}/cancel"), &json!({})).await?;
    assert_eq!((cancelled.status, &cancelled.json()?["state"]), (202, &json!("cancelled")));
    let start = std::time::Instant::now();
    // The worker is free again when another job gets through.
    client.run(json!({"dataset": "numbers", "limit": 1})).await?;
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    assert_eq!(client.post(&format!("{path}/cancel"), &json!({})).await?.status, 202, "idempotent");
    assert_eq!(client.get(&format!("{path}/result")).await?.problem()?, "result-not-ready");

    let done = client.run(json!({"dataset": "numbers", "limit": 1})).await?;
    let late = client.post(&format!("/v1/jobs/{}/cancel", id(&done)), &json!({})).await?;
    assert_eq!((late.status, late.problem()?.as_str()), (409, "conflict"));
    Ok(())
}

async fn a_cancelled_job_leaves_nothing(on: On) -> Result<()> {
    let host = on.numbers(1_000_000).await?;
    let client = host.client();
    let job = client.submit(json!({"dataset": "numbers", "format": "json"})).await?;
    client.until(&job, "processing").await?;
    let cancelled = client.post(&format!("/v1/jobs/{}/cancel", id(&job)), &json!({})).await?;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text());
    host.nothing_stored(&job).await
}

async fn delete_removes_everything(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let job = client.run(json!({"dataset": "numbers", "limit": 1000})).await?;
    let path = format!("/v1/jobs/{}", id(&job));
    assert_eq!(client.delete(&path).await?.status, 204);
    for path in
        [path.clone(), format!("{path}/result"), format!("{path}/manifest"), format!("{path}/download")]
    {
        assert_eq!(client.get(&path).await?.problem()?, "not-found");
    }
    let link = client.with_token(None).get(job["download_link"].as_str().unwrap()).await?;
    // S3 tells nobody what is not there unless they may list the bucket, which a link may not.
    assert!([403, 404].contains(&link.status), "{}: {}", link.status, link.text());
    assert_eq!(client.delete(&path).await?.status, 404);
    Ok(())
}

async fn patch_changes_name_labels_and_expiry_within_the_plan(on: On) -> Result<()> {
    let host = on.numbers(100).await?;
    let client = host.client();
    let job =
        client.run(json!({"dataset": "numbers", "limit": 100, "name": "a", "labels": {"k": "v"}})).await?;
    let path = format!("/v1/jobs/{}", id(&job));
    let changed = client.patch(&path, &json!({"name": "b", "labels": {"x": "y"}})).await?.json()?;
    assert_eq!((&changed["name"], &changed["labels"]), (&json!("b"), &json!({"x": "y"})));
    let (expires, finished) = (job["expires"].as_str().unwrap(), job["finished"].as_str().unwrap());
    let earlier = format!("{}T{}", &expires[..10], "00:00:00.000Z");
    let shortened = client.patch(&path, &json!({"expires": earlier})).await?.json()?;
    assert_eq!(shortened["expires"], earlier);
    for (body, place) in [
        (json!({"expires": finished}), "#/expires"),
        (json!({"expires": "2999-01-01T00:00:00Z"}), "#/expires"),
        (json!({"expires": "tomorrow"}), "#/expires"),
        (json!({"name": ""}), "#/name"),
        (json!({"nmae": "x"}), "#/nmae"),
        (json!({"labels": {"": "x"}}), "#/labels"),
    ] {
        let answer = client.patch(&path, &body).await?;
        assert_eq!((answer.status, answer.problem()?.as_str()), (400, "invalid-request"), "{body}");
        assert!(answer.complaints().contains(place), "{body}: {}", answer.text());
    }
    assert_eq!(client.get(&path).await?.json()?["name"], "b", "a refused change changes nothing");
    Ok(())
}

async fn the_list_filters_and_pages_without_gaps(on: On) -> Result<()> {
    let host = on.numbers(100).await?;
    let client = host.client();
    // Others may use the same account.
    let (mark, mut ids) = (unique(), Vec::new());
    for index in 0..7 {
        let labels = json!({"mark": mark, "parity": if index % 2 == 0 { "even" } else { "odd" }});
        let query =
            json!({"dataset": "numbers", "name": format!("job {index}"), "labels": labels, "limit": 1});
        ids.insert(0, id(&client.run(query).await?).to_owned());
    }
    let listed = |query: &str| {
        let (client, path) = (client.clone(), format!("/v1/jobs?label.mark={mark}{query}"));
        async move {
            let (mut found, mut next) = (Vec::new(), Some(path));
            while let Some(path) = next {
                let answer = client.get(&path).await?;
                assert_eq!(answer.status, 200, "{}", answer.text());
                let page = answer.json()?;
                found.extend(page["jobs"].as_array().unwrap().iter().map(|job| id(job).to_owned()));
                let link = answer.header("link").map(str::to_owned);
                assert_eq!(link.is_some(), page["next_cursor"].is_string());
                next = link.map(|link| link[link.find('<').unwrap() + 1..link.find('>').unwrap()].to_owned());
            }
            anyhow::Ok(found)
        }
    };
    assert_eq!(listed("").await?, ids, "newest first");
    assert_eq!(listed("&limit=2").await?, ids);
    let odd: Vec<_> = [1, 3, 5].map(|i| ids[i].clone()).into();
    assert_eq!(listed("&label.parity=odd&limit=1").await?, odd);
    assert_eq!(listed("&name=job%203").await?, [ids[3].clone()]);
    assert_eq!(listed("&state=completed&kind=query&dataset=numbers").await?, ids);
    assert!(listed("&state=failed").await?.is_empty());
    assert!(listed("&created_before=2020-01-01T00:00:00Z").await?.is_empty());
    assert_eq!(listed("&created_after=2020-01-01T00:00:00Z").await?, ids);
    for bad in ["limit=0", "limit=501", "state=done", "cursor=x", "created_after=now", "colour=red", "kind=x"]
    {
        let answer = client.get(&format!("/v1/jobs?{bad}")).await?;
        assert_eq!((answer.status, answer.problem()?.as_str()), (400, "invalid-request"), "{bad}");
        let name = bad.split('=').next().unwrap();
        assert!(answer.complaints().contains(&format!("?{name}")), "{bad}: {}", answer.text());
    }
    Ok(())
}

willcall_tests::scenarios! {
    client: [
        a_job_goes_from_submit_to_file,
        status_is_conditional_and_paced,
        cancel_stops_the_work,
        delete_removes_everything,
        patch_changes_name_labels_and_expiry_within_the_plan,
        the_list_filters_and_pages_without_gaps,
    ],
    operator: [a_cancelled_job_leaves_nothing],
}
