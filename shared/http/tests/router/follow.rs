//! Following jobs: status, list, cancel, change, delete.

use std::time::Duration;

use willcall_conformance::Script;

use crate::world::{URL, World};

#[tokio::test]
async fn status_has_a_tag_that_holds_until_the_job_changes() {
    let world = World::new().await;
    let id = world.submit().await;
    let path = format!("/v1/jobs/{id}");
    let first = world.get(&path).await.expect(200);
    assert_eq!(first.header("retry-after"), "1");
    let etag = first.header("etag").to_owned();
    let again = world.ask("GET", &path, &[("if-none-match", &etag)], "").await.expect(304);
    assert!(again.bytes.is_empty() && again.header("etag") == etag);
    world.work().await;
    let done = world.ask("GET", &path, &[("if-none-match", &etag)], "").await.expect(200);
    assert!(!done.headers.contains_key("retry-after"));
    let job = done.json();
    assert_eq!(job["state"], "completed");
    assert_eq!(job["result"]["records"], 3);
    assert!(job["download_link"].is_string() && job["download_link_expires"].is_string());
    let etag = done.header("etag").to_owned();
    world.ask("GET", &path, &[("if-none-match", &etag)], "").await.expect(304);
    world.clock.advance(Duration::from_secs(300));
    world.ask("GET", &path, &[("if-none-match", &etag)], "").await.expect(200);
}

#[tokio::test]
async fn an_older_job_is_asked_for_less_often() {
    let world = World::new().await;
    let id = world.submit().await;
    for (seconds, expected) in [(0, "1"), (10, "2"), (60, "5"), (300, "15"), (3000, "30")] {
        world.clock.advance(Duration::from_secs(seconds));
        assert_eq!(world.get(&format!("/v1/jobs/{id}")).await.header("retry-after"), expected);
    }
}

#[tokio::test]
async fn waiting_ends_when_the_job_does() {
    let world = World::new().await;
    let id = world.submit().await;
    let path = format!("/v1/jobs/{id}?wait=60");
    let (answer, ()) = tokio::join!(world.get(&path), world.work());
    assert_eq!(answer.expect(200).json()["state"], "completed");
    for wait in ["61", "-1", "1.5", "x", ""] {
        let answer = world.get(&format!("/v1/jobs/{id}?wait={wait}")).await;
        assert_eq!(answer.pointers(), ["?wait"], "{wait}");
    }
    let answer = world.get(&format!("/v1/jobs/{id}?wiat=1")).await;
    assert!(answer.text().contains("did you mean \\\"wait\\\"?") && answer.pointers() == ["?wiat"]);
}

#[tokio::test]
async fn what_is_no_id_is_no_job() {
    let world = World::new().await;
    let id = world.submit().await;
    for wrong in ["x", "%00", "%ff", "..%2f..", &id.to_uppercase(), &id.replace('-', "")] {
        world.get(&format!("/v1/jobs/{wrong}")).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn the_list_is_paged_and_filtered() {
    let world = World::new().await;
    for name in ["a", "b&c", "b&c"] {
        let body =
            format!(r#"{{"kind": "query", "dataset": "flights", "name": "{name}", "labels": {{"k": "v"}}}}"#);
        world.post("/v1/jobs", &body).await.expect(202);
    }
    let page = world.get("/v1/jobs?limit=1&name=b%26c&label.k=v").await.expect(200);
    let list = page.json();
    assert_eq!(list["jobs"].as_array().unwrap().len(), 1);
    let cursor = list["next_cursor"].as_str().unwrap();
    let next = format!("/v1/jobs?limit=1&name=b%26c&label.k=v&cursor={cursor}");
    assert_eq!(page.header("link"), format!("<{URL}{next}>; rel=\"next\""));
    let page = world.get(&next).await.expect(200).json();
    assert_eq!(page["jobs"].as_array().unwrap().len(), 1);
    assert_ne!(page["jobs"][0]["job_id"], list["jobs"][0]["job_id"]);
    for (query, count) in [
        ("", 3),
        ("?state=accepted&kind=query&dataset=flights", 3),
        ("?state=completed", 0),
        ("?label.k=w", 0),
        ("?name=a", 1),
        ("?created_after=2020-01-01T00:00:00Z&created_before=2040-01-01T00:00:00Z", 3),
        ("?created_before=2020-01-01T00:00:00Z", 0),
    ] {
        let list = world.get(&format!("/v1/jobs{query}")).await.expect(200).json();
        assert_eq!(list["jobs"].as_array().unwrap().len(), count, "{query}");
        assert!(list.as_object().unwrap().contains_key("next_cursor"));
    }
    for (query, pointer) in [
        ("?state=process", "?state"),
        ("?kind=x", "?kind"),
        ("?limit=0", "?limit"),
        ("?limit=501", "?limit"),
        ("?cursor=x", "?cursor"),
        ("?cursor=AAAA", "?cursor"),
        ("?created_after=yesterday", "?created_after"),
        ("?sate=accepted", "?sate"),
        ("?state=accepted&state=failed", "?state"),
        ("?label.k=a&label.k=b", "?label.k"),
    ] {
        assert_eq!(world.get(&format!("/v1/jobs{query}")).await.pointers(), [pointer], "{query}");
    }
}

#[tokio::test]
async fn cancel_can_be_repeated_and_comes_too_late_for_what_has_ended() {
    let world = World::new().await;
    let id = world.submit().await;
    for _ in 0..2 {
        let answer = world.post(&format!("/v1/jobs/{id}/cancel"), "").await.expect(202);
        assert_eq!(answer.json()["state"], "cancelled");
        assert!(answer.header("location").ends_with(&id));
    }
    world.get(&format!("/v1/jobs/{id}/result")).await.problem(409, "result-not-ready");
    let id = world.completed().await;
    world.post(&format!("/v1/jobs/{id}/cancel"), "").await.problem(409, "conflict");
}

#[tokio::test]
async fn a_job_can_be_changed_within_its_plan() {
    let world = World::new().await;
    let id = world.completed().await;
    let path = format!("/v1/jobs/{id}");
    let expires = world.now().plus(Duration::from_secs(3600)).to_string();
    let body = format!(r#"{{"name": "new", "labels": {{"a": "b"}}, "expires": "{expires}"}}"#);
    let job = world.ask("PATCH", &path, &[("content-type", "application/merge-patch+json")], &body).await;
    let job = job.expect(200).json();
    assert_eq!(
        (&job["name"], &job["labels"]["a"], &job["expires"]),
        (&"new".into(), &"b".into(), &expires.into())
    );
    let job = world.ask("PATCH", &path, &[], r#"{"name": null, "labels": null}"#).await.expect(200).json();
    assert!(job["name"].is_null() && job["labels"] == serde_json::json!({}));
    for (body, pointer) in [
        (r#"{"name": ""}"#, "#/name"),
        (r#"{"name": 5}"#, "#/name"),
        (r#"{"expires": "soon"}"#, "#/expires"),
        (r#"{"expires": "2999-01-01T00:00:00Z"}"#, "#/expires"),
        (r#"{"expires": "2001-01-01T00:00:00Z"}"#, "#/expires"),
        (r#"{"nmae": "x"}"#, "#/nmae"),
        (r#"{"state": "completed"}"#, "#/state"),
    ] {
        assert_eq!(world.ask("PATCH", &path, &[], body).await.pointers(), [pointer], "{body}");
    }
    let id = world.submit().await;
    let body = format!(r#"{{"expires": "{}"}}"#, world.now().plus(Duration::from_secs(9)));
    world.ask("PATCH", &format!("/v1/jobs/{id}"), &[], &body).await.problem(409, "conflict");
}

#[tokio::test]
async fn a_change_that_rests_on_what_is_no_longer_so_is_refused() {
    let world = World::new().await;
    let id = world.completed().await;
    let path = format!("/v1/jobs/{id}");
    let change = async |tag: &str, name: &str| {
        world.ask("PATCH", &path, &[("if-match", tag)], &format!(r#"{{"name": "{name}"}}"#)).await
    };
    let seen = world.get(&path).await.header("etag").to_owned();
    let first = change(&seen, "first").await.expect(200);
    let now = world.get(&path).await.header("etag").to_owned();
    assert_eq!(first.header("etag"), now);
    assert_ne!(seen, now);
    for wrong in [seen.as_str(), "\"x\"", "x", "", &format!("W/{now}")] {
        change(wrong, "second").await.problem(412, "conflict");
    }
    assert_eq!(world.get(&path).await.json()["name"], "first");
    change(&format!("\"x\", {now}"), "second").await.expect(200);
    change("*", "third").await.expect(200);
    world.ask("PATCH", &path, &[("if-none-match", "*")], "{}").await.problem(412, "conflict");
    world.ask("GET", &path, &[("if-match", &seen)], "").await.problem(412, "conflict");
    let reader = [("if-match", "*"), ("authorization", &format!("Bearer {}", world.reader))];
    world.ask("PATCH", &path, &reader, "{}").await.problem(403, "forbidden");
    let missing = "/v1/jobs/0192f6a0-7c1e-7b3a-9f00-3d1c5a8e2b41";
    world.ask("PATCH", missing, &[("if-match", "*")], "{}").await.problem(404, "not-found");
}

#[tokio::test]
async fn a_deleted_job_is_gone() {
    let world = World::new().await;
    let id = world.completed().await;
    let path = format!("/v1/jobs/{id}");
    assert!(world.ask("DELETE", &path, &[], "").await.expect(204).bytes.is_empty());
    world.ask("DELETE", &path, &[], "").await.problem(404, "not-found");
    world.get(&path).await.problem(404, "not-found");
    assert!(world.blobs.keys().is_empty());
}

#[tokio::test]
async fn a_failed_job_says_why_as_a_problem() {
    let problem = willcall_conformance::samples::problem();
    let world = World::with([Script::Fatal(problem)]).await;
    let id = world.completed().await;
    let job = world.get(&format!("/v1/jobs/{id}")).await.expect(200).json();
    assert_eq!(job["state"], "failed");
    assert_eq!(job["error"]["type"], format!("{URL}/problems/engine-failed"));
    assert_eq!(job["error"]["detail"], "the file cannot be read");
    assert_eq!(job["error"]["instance"], format!("/v1/jobs/{id}"));
    world.get(&format!("/v1/jobs/{id}/download")).await.problem(409, "result-not-ready");
}
