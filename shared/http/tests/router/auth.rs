//! Who may do what.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::world::World;

#[tokio::test]
async fn a_token_works_in_three_forms() {
    let world = World::new().await;
    let basic = format!("basic {}", BASE64_STANDARD.encode(format!("{}:", world.token)));
    world.ask("GET", "/v1/account", &[("authorization", &basic)], "").await.expect(200);
    let lower = format!("bearer {}", world.token);
    world.ask("GET", "/v1/account", &[("authorization", &lower)], "").await.expect(200);
    let request = http::Request::get("/v1/account").header("x-api-key", &world.token);
    world.send(request.body(axum::body::Body::empty()).unwrap()).await.expect(200);
}

#[tokio::test]
async fn without_a_working_token_there_is_nothing() {
    let world = World::new().await;
    let expired = world.get("/v1/account").await.expect(200);
    assert_eq!(expired.json()["account"], "acme");
    let other = if world.token.ends_with('x') { 'y' } else { 'x' };
    let wrong = format!("Bearer {}{other}", &world.token[..world.token.len() - 1]);
    let password = format!("Basic {}", BASE64_STANDARD.encode(format!("{}:x", world.token)));
    for header in ["", "Bearer", "Bearer ", "Digest x", wrong.as_str(), password.as_str()] {
        let answer = world.ask("GET", "/v1/account", &[("authorization", header)], "").await;
        let text = answer.problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"willcall\", Basic realm=\"willcall\"");
        assert!(!text.contains(&world.token[..20]), "{header}");
    }
    let differing = [("x-api-key", world.other.as_str())];
    world.ask("GET", "/v1/account", &differing, "").await.problem(401, "unauthenticated");
    world.clock.advance(std::time::Duration::from_secs(366 * 86_400));
    world.get("/v1/account").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn every_route_under_v1_asks_for_a_token() {
    let world = World::new().await;
    let job = "/v1/jobs/0192f6a0-7c1e-7b3a-9f00-3d1c5a8e2b41";
    for (method, path) in [
        ("POST", "/v1/jobs".to_owned()),
        ("GET", "/v1/jobs".to_owned()),
        ("GET", job.to_owned()),
        ("PATCH", job.to_owned()),
        ("DELETE", job.to_owned()),
        ("POST", format!("{job}/cancel")),
        ("GET", format!("{job}/download")),
        ("GET", format!("{job}/result")),
        ("GET", format!("{job}/result/pages/0")),
        ("GET", format!("{job}/manifest")),
        ("GET", "/v1/datasets".to_owned()),
        ("GET", "/v1/datasets/flights".to_owned()),
        ("GET", "/v1/datasets/flights/records".to_owned()),
        ("POST", "/v1/datasets/flights/records".to_owned()),
        ("GET", "/v1/account".to_owned()),
    ] {
        let answer = world.ask(method, &path, &[("authorization", "Bearer nobody")], "").await;
        answer.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_reader_changes_nothing() {
    let world = World::new().await;
    let id = world.completed().await;
    let reader = format!("Bearer {}", world.reader);
    let reader = [("authorization", reader.as_str())];
    world.ask("GET", &format!("/v1/jobs/{id}"), &reader, "").await.expect(200);
    world.ask("GET", &format!("/v1/jobs/{id}/result"), &reader, "").await.expect(200);
    let query = r#"{"kind": "query", "dataset": "flights"}"#;
    for (method, path, body) in [
        ("POST", "/v1/jobs".to_owned(), query),
        ("PATCH", format!("/v1/jobs/{id}"), "{}"),
        ("DELETE", format!("/v1/jobs/{id}"), ""),
        ("POST", format!("/v1/jobs/{id}/cancel"), ""),
        ("GET", "/v1/datasets/flights/records".to_owned(), ""),
    ] {
        let text = world.ask(method, &path, &reader, body).await.problem(403, "forbidden");
        assert!(text.contains("submit"), "{text}");
    }
}

#[tokio::test]
async fn another_accounts_job_is_not_there() {
    let world = World::new().await;
    let id = world.completed().await;
    let other = format!("Bearer {}", world.other);
    let other = [("authorization", other.as_str())];
    for (method, path) in [
        ("GET", format!("/v1/jobs/{id}")),
        ("PATCH", format!("/v1/jobs/{id}")),
        ("DELETE", format!("/v1/jobs/{id}")),
        ("POST", format!("/v1/jobs/{id}/cancel")),
        ("GET", format!("/v1/jobs/{id}/download")),
        ("GET", format!("/v1/jobs/{id}/result")),
        ("GET", format!("/v1/jobs/{id}/result/pages/0")),
        ("GET", format!("/v1/jobs/{id}/manifest")),
    ] {
        world.ask(method, &path, &other, "").await.problem(404, "not-found");
    }
    let list = world.ask("GET", "/v1/jobs", &other, "").await.expect(200);
    assert_eq!(list.json()["jobs"].as_array().unwrap().len(), 0);
    world.get(&format!("/v1/jobs/{id}")).await.expect(200);
}
