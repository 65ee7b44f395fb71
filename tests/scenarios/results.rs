//! Collecting: the file by its link, the result inline, its pages, and records at once.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::json;
use willcall_tests::{On, id};

async fn a_broken_download_goes_on_where_it_broke(on: On) -> Result<()> {
    let host = on.numbers(10_000).await?;
    let client = host.client();
    let job = client.run(json!({"dataset": "numbers", "limit": 10_000, "format": "csv"})).await?;
    let nobody = client.with_token(None);
    let link = job["download_link"].as_str().context("no link")?;
    let whole = nobody.get(link).await?;
    assert_eq!(whole.status, 200, "{}", whole.text());
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let length = whole.body.len();
    assert_eq!(job["result"]["bytes"], length);
    let etag = whole.header("etag").context("etag")?.to_owned();
    let part =
        async |range: &str| nobody.send(nobody.request(Method::GET, link).header("range", range)).await;
    for (range, expected) in [
        ("bytes=0-9".to_owned(), &whole.body[..10]),
        ("bytes=1000-".to_owned(), &whole.body[1000..]),
        ("bytes=-10".to_owned(), &whole.body[length - 10..]),
    ] {
        let answer = part(&range).await?;
        assert_eq!((answer.status, &answer.body[..]), (206, expected), "{range}");
        assert_eq!(answer.header("etag"), Some(&*etag), "{range}");
    }
    let answer = part(&format!("bytes={length}-")).await?;
    assert_eq!(answer.status, 416, "{}", answer.text());
    let same = nobody.send(nobody.request(Method::GET, link).header("if-none-match", &etag)).await?;
    assert_eq!((same.status, same.body.len()), (304, 0));
    Ok(())
}

async fn a_bent_link_opens_nothing(on: On) -> Result<()> {
    let host = on.numbers(100).await?;
    let client = host.client();
    let job = client.run(json!({"dataset": "numbers", "limit": 100, "format": "csv"})).await?;
    let link = job["download_link"].as_str().context("no link")?;
    let (address, _) = link.split_once('?').context("no signature")?;
    for bent in [address.to_owned(), link.replace("result.csv", "manifest.json")] {
        let answer = client.with_token(None).get(&bent).await?;
        // An emulator that checks no signature still has no other file to give under this one.
        assert_ne!(answer.body.first(), Some(&b'n'), "{bent} was answered with the file");
    }
    Ok(())
}

async fn head_tells_what_a_download_will_be(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let job = client.run(json!({"dataset": "numbers", "limit": 1000, "format": "jsonl"})).await?;
    let path = format!("/v1/jobs/{}/download", id(&job));
    let head = client.send(client.request(Method::HEAD, &path)).await?;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let bytes = job["result"]["bytes"].to_string();
    assert_eq!(head.header("content-length"), Some(&*bytes));
    assert!(head.header("etag").is_some());
    Ok(())
}

async fn pages_are_documents_of_their_own(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let query = json!({"dataset": "numbers", "limit": 250, "page_size": 100, "fields": ["n"]});
    for (format, compression) in [("json", "none"), ("jsonl", "gzip"), ("csv", "zstd")] {
        let mut query = query.clone();
        query["format"] = json!(format);
        query["compression"] = json!(compression);
        let job = client.run(query).await?;
        assert_eq!(job["result"]["pages"], 3);
        let mut next = Some(format!("/v1/jobs/{}/result/pages/0", id(&job)));
        let mut found = Vec::new();
        while let Some(path) = next {
            let page = client.get(&path).await?;
            assert_eq!(page.status, 200, "{}", page.text());
            found.extend(records(format, &page.text())?);
            let links = page.header("link").unwrap_or_default();
            next = links
                .split(", ")
                .find(|link| link.ends_with("rel=\"next\""))
                .map(|link| link[link.find('<').unwrap() + 1..link.find('>').unwrap()].to_owned());
        }
        assert_eq!(found, (0..250).collect::<Vec<i64>>(), "{format}");
        let past = client.get(&format!("/v1/jobs/{}/result/pages/3", id(&job))).await?;
        assert_eq!((past.status, past.problem()?.as_str()), (404, "not-found"));
    }
    Ok(())
}

/// The numbers of a page of that format.
fn records(format: &str, page: &str) -> Result<Vec<i64>> {
    let number = |value: &serde_json::Value| value["n"].as_i64().context("n");
    match format {
        "json" => serde_json::from_str::<Vec<serde_json::Value>>(page)?.iter().map(number).collect(),
        "jsonl" => page.lines().map(|line| number(&serde_json::from_str(line)?)).collect(),
        _ => page.lines().skip(1).map(|line| line.parse().context("a number")).collect(),
    }
}

async fn records_at_once_are_the_result(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let path = "/v1/datasets/numbers/records?n.lt=1000&word=red&limit=5&offset=5&format=csv&fields=n";
    let answer = client.get(path).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.text(), "n\n20\n24\n28\n32\n36\n");
    assert_eq!(answer.header("total-count"), Some("250"));
    let links = answer.header("link").context("link")?;
    assert!(links.contains("offset=10") && links.contains("offset=0"), "{links}");
    let job = answer.header("willcall-job-id").context("job")?;
    assert_eq!(client.get(&format!("/v1/jobs/{job}/result")).await?.body, answer.body);

    let body = json!({"filter": "n < 3", "fields": ["n"], "format": "json"});
    let posted = client.post("/v1/datasets/numbers/records", &body).await?;
    assert_eq!((posted.status, posted.json()?), (200, json!([{"n": 0}, {"n": 1}, {"n": 2}])));
    let nulls =
        client.get("/v1/datasets/numbers/records?n.lt=1000&word.null=true&limit=1&format=json").await?;
    assert_eq!(nulls.header("total-count"), Some("250"));
    assert_eq!(
        nulls.json()?,
        json!([{"n": 3, "mixed": 3_i64.wrapping_mul(0x5851_F42D_4C95_7F2D).rotate_left(17), "word": null}])
    );
    let deep = client.get("/v1/datasets/numbers/records?offset=9999&limit=2").await?;
    assert_eq!((deep.status, deep.problem()?.as_str()), (400, "invalid-request"));
    let failed = client.get("/v1/datasets/numbers/records?nn=1").await?;
    assert!(failed.complaints().contains("?nn"), "{}", failed.text());
    Ok(())
}

async fn records_that_need_not_be_waited_for_are_a_job(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let path = "/v1/datasets/numbers/records?limit=10&format=json";
    let later = client.send(client.request(Method::GET, path).header("prefer", "respond-async")).await?;
    assert_eq!(later.status, 202, "{}", later.text());
    assert_eq!(later.header("preference-applied"), Some("respond-async"));
    let job = client.ended(&later.json()?).await?;
    assert_eq!(job["result"]["records"], 10);
    let asked = client.get(&format!("{path}&async=true")).await?;
    assert_eq!(asked.status, 202);
    client.ended(&asked.json()?).await?;
    let wait = client.send(client.request(Method::GET, path).header("prefer", "wait=20")).await?;
    assert_eq!((wait.status, wait.header("preference-applied")), (200, Some("wait=20")));
    Ok(())
}

async fn a_status_that_waits_answers_when_the_job_has_ended(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let client = host.client();
    let job = client.submit(json!({"dataset": "numbers", "limit": 1000, "sort": ["mixed"]})).await?;
    let start = std::time::Instant::now();
    let done = client.get(&format!("/v1/jobs/{}?wait=25", id(&job))).await?.json()?;
    assert_eq!(done["state"], "completed", "{done}");
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    Ok(())
}

willcall_tests::scenarios! {
    client: [
        a_broken_download_goes_on_where_it_broke,
        a_bent_link_opens_nothing,
        head_tells_what_a_download_will_be,
        pages_are_documents_of_their_own,
        records_at_once_are_the_result,
        records_that_need_not_be_waited_for_are_a_job,
        a_status_that_waits_answers_when_the_job_has_ended,
    ],
}
