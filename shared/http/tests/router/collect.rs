//! Collecting results.

use std::time::Duration;

use willcall_conformance::Script;

use crate::world::{URL, World};

const LINES: &str = "{\"flight\":1}\n{\"flight\":2}\n{\"flight\":3}\n";

#[tokio::test]
async fn download_leads_to_a_fresh_link() {
    let world = World::new().await;
    let id = world.completed().await;
    let path = format!("/v1/jobs/{id}/download");
    let answer = world.get(&path).await.expect(307);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(world.blobs.follow(answer.header("location"), world.now()).unwrap(), LINES);
    let answer = world.get(&format!("{path}?redirect=false")).await.expect(200);
    let link = answer.json();
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(world.blobs.follow(link["url"].as_str().unwrap(), world.now()).unwrap(), LINES);
    assert!(link["expires"].is_string());
    let head = world.ask("HEAD", &path, &[], "").await.expect(200);
    assert_eq!(head.header("content-length"), LINES.len().to_string());
    assert_eq!(head.header("content-type"), "application/x-ndjson");
    assert!(head.header("etag").starts_with('"') && head.bytes.is_empty());
    assert_eq!(world.get(&format!("{path}?redirect=maybe")).await.pointers(), ["?redirect"]);
}

#[tokio::test]
async fn a_zip_is_packed_when_it_is_first_asked_for() {
    let world = World::new().await;
    let id = world.submit().await;
    let (path, zip) = (format!("/v1/jobs/{id}/download"), [("accept", "application/zip")]);
    world.ask("GET", &path, &zip, "").await.problem(409, "result-not-ready");
    world.work().await;
    for method in ["HEAD", "GET", "GET"] {
        let answer = world.ask(method, &path, &zip, "").await.expect(202);
        assert_eq!((answer.header("retry-after"), answer.header("willcall-job-id")), ("1", &*id));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    world.work().await;
    let answer = world.ask("GET", &path, &zip, "").await.expect(307);
    assert_eq!((answer.header("cache-control"), answer.header("vary")), ("no-store", "Accept"));
    let bytes = world.blobs.follow(answer.header("location"), world.now()).unwrap();
    assert!(
        bytes.starts_with(b"PK\x03\x04") && bytes.windows(LINES.len()).any(|part| part == LINES.as_bytes())
    );
    let told = world.ask("GET", &format!("{path}?redirect=false"), &zip, "").await.expect(200).json();
    assert_eq!(world.blobs.follow(told["url"].as_str().unwrap(), world.now()).unwrap(), bytes);
    let head = world.ask("HEAD", &path, &zip, "").await.expect(200);
    assert_eq!(head.header("content-length"), bytes.len().to_string());
    assert_eq!(head.header("content-type"), "application/zip");
    assert!(head.header("etag").starts_with('"') && head.header("content-disposition").ends_with(".zip\""));
    // Nobody else gets it.
    for accept in ["*/*", "application/zip;q=0, */*", "text/html, */*;q=0.8"] {
        let answer = world.ask("GET", &path, &[("accept", accept)], "").await.expect(307);
        assert_eq!(world.blobs.follow(answer.header("location"), world.now()).unwrap(), LINES, "{accept}");
    }
    let unknown = path.replace(&id, "0192f6a0-0000-7000-8000-000000000000");
    world.ask("GET", &unknown, &zip, "").await.problem(404, "not-found");
    world.ask("DELETE", &format!("/v1/jobs/{id}"), &[], "").await.expect(204);
    world.ask("GET", &path, &zip, "").await.problem(404, "not-found");
    assert!(!world.blobs.keys().iter().any(|key| key.ends_with(".zip")));
}

#[tokio::test]
async fn the_result_comes_inline_with_what_it_is() {
    let world = World::new().await;
    let id = world.completed().await;
    let path = format!("/v1/jobs/{id}/result");
    let answer = world.get(&path).await.expect(200);
    assert_eq!(answer.text(), LINES);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(answer.header("content-length"), LINES.len().to_string());
    assert_eq!(answer.header("willcall-job-id"), id);
    assert_eq!(answer.header("total-count"), "3");
    assert!(answer.header("repr-digest").starts_with("sha-256=:"));
    assert!(answer.header("content-disposition").ends_with(".jsonl\""));
    let etag = answer.header("etag").to_owned();
    let again = world.ask("GET", &path, &[("if-none-match", &etag)], "").await.expect(304);
    assert!(again.bytes.is_empty());
    world.ask("GET", &path, &[("if-match", "\"x\"")], "").await.problem(412, "conflict");
    let head = world.ask("HEAD", &path, &[], "").await.expect(200);
    assert!(head.bytes.is_empty() && head.header("content-length") == LINES.len().to_string());
}

#[tokio::test]
async fn a_file_is_called_after_its_job_in_whatever_letters() {
    let world = World::new().await;
    let body = r#"{"kind": "query", "dataset": "flights", "format": "csv", "name": "日本 été\u202e/../\"x"}"#;
    let job = world.post("/v1/jobs", body).await.expect(202).json();
    let path = format!("/v1/jobs/{}", job["job_id"].as_str().unwrap());
    world.work().await;
    let exact = "%E6%97%A5%E6%9C%AC-%C3%A9t%C3%A9-..-x";
    let file = |ending: &str| {
        format!("attachment; filename=\"__-_t_-..-x.{ending}\"; filename*=UTF-8''{exact}.{ending}")
    };
    for (method, below) in [("GET", "/result"), ("HEAD", "/result"), ("HEAD", "/download")] {
        let answer = world.ask(method, &format!("{path}{below}"), &[], "").await.expect(200);
        assert_eq!(answer.header("content-disposition"), file("csv"), "{method} {below}");
    }
    let (download, zip) = (format!("{path}/download"), [("accept", "application/zip")]);
    world.ask("GET", &download, &zip, "").await.expect(202);
    world.work().await;
    let head = world.ask("HEAD", &download, &zip, "").await.expect(200);
    assert_eq!(head.header("content-disposition"), file("zip"));
}

#[tokio::test]
async fn a_result_past_the_hosts_limit_is_elsewhere() {
    let mut world = World::new().await;
    let id = world.completed().await;
    world.app.settings.inline_limit = Some(10);
    let answer = world.get(&format!("/v1/jobs/{id}/result")).await.expect(307);
    assert_eq!(world.blobs.follow(answer.header("location"), world.now()).unwrap(), LINES);
}

#[tokio::test]
async fn pages_stand_alone_and_link_to_each_other() {
    let world = World::new().await;
    let id = world.completed().await;
    let base = format!("{URL}/v1/jobs/{id}/result/pages");
    let answer = world.get(&format!("/v1/jobs/{id}/result/pages/0")).await.expect(200);
    assert_eq!(answer.text(), LINES);
    assert_eq!(answer.header("link"), format!("<{base}/0>; rel=\"first\", <{base}/0>; rel=\"last\""));
    let etag = [("if-none-match", answer.header("etag"))];
    world.ask("GET", &format!("/v1/jobs/{id}/result/pages/0"), &etag, "").await.expect(304);
    for number in ["1", "-1", "x", "99999999999999999999", "0x0", "+0"] {
        world.get(&format!("/v1/jobs/{id}/result/pages/{number}")).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn parquet_has_no_pages() {
    let world = World::new().await;
    let body = r#"{"kind": "query", "dataset": "flights", "format": "parquet"}"#;
    let id = world.post("/v1/jobs", body).await.expect(202).json()["job_id"].as_str().unwrap().to_owned();
    world.work().await;
    world.get(&format!("/v1/jobs/{id}/result/pages/0")).await.problem(406, "unsupported-format");
}

#[tokio::test]
async fn the_manifest_tells_columns_in_words() {
    let world = World::new().await;
    let id = world.completed().await;
    let manifest = world.get(&format!("/v1/jobs/{id}/manifest")).await.expect(200).json();
    assert_eq!(manifest["records"], 3);
    assert_eq!(manifest["schema"][0]["type"], "int64");
    assert_eq!(manifest["files"][0]["name"], "result.jsonl");
    assert_eq!(manifest["output"]["format"], "jsonl");
}

#[tokio::test]
async fn what_is_not_ready_or_no_more_says_so() {
    let world = World::with([Script::Deliver(vec!["{}".into()])]).await;
    let id = world.submit().await;
    let paths =
        ["download", "result", "result/pages/0", "manifest"].map(|end| format!("/v1/jobs/{id}/{end}"));
    for path in &paths {
        let answer = world.get(path).await;
        answer.problem(409, "result-not-ready");
        assert!(answer.headers.contains_key("retry-after"), "{path}");
    }
    world.work().await;
    world.clock.advance(Duration::from_secs(8 * 86_400));
    for path in &paths {
        world.get(path).await.problem(410, "expired");
    }
    assert_eq!(world.get(&format!("/v1/jobs/{id}")).await.expect(200).json()["state"], "expired");
    world.clock.advance(Duration::from_secs(30 * 86_400));
    for path in &paths {
        world.get(path).await.problem(404, "not-found");
    }
}
