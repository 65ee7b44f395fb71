//! The service itself: the contract, its pages, health, and what is not there.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use http::Request;
use serde_json::Value;
use willcall_core::{
    catalog::Catalog,
    job::ProblemType,
    ports::{CatalogError, CatalogSource},
};

use crate::world::{Answer, Log, URL, World};

async fn open(world: &World, method: &str, path: &str) -> Answer {
    world.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let world = World::new().await;
    for path in ["/nothing", "/v1", "/v1/", "/v1/jobs/", "/v2/jobs", "/v1/files/x", "/%ff"] {
        open(&world, "GET", path).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let world = World::new().await;
    let id = world.submit().await;
    for (method, path, allowed) in [
        ("PUT", "/v1/jobs".to_owned(), vec!["GET", "HEAD", "POST"]),
        ("POST", format!("/v1/jobs/{id}"), vec!["DELETE", "GET", "HEAD", "PATCH"]),
        ("GET", format!("/v1/jobs/{id}/cancel"), vec!["POST"]),
        ("DELETE", "/v1/datasets".to_owned(), vec!["GET", "HEAD"]),
        ("POST", "/docs".to_owned(), vec!["GET", "HEAD"]),
    ] {
        let answer = open(&world, method, &path).await;
        answer.problem(405, "method-not-allowed");
        let mut found: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
        found.sort_unstable();
        assert_eq!(found, allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_others_are_made() {
    let world = World::new().await;
    let with = |id: &str| Request::get("/nothing").header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(world.send(with("abc-123")).await.header("x-request-id"), "abc-123");
    for id in ["a b", "", "{}", &"x".repeat(129)] {
        let answer = world.send(with(id)).await;
        assert_eq!(answer.header("x-request-id").len(), 36, "{id:?}");
        answer.problem(404, "not-found");
    }
}

#[tokio::test]
async fn every_type_of_problem_is_explained() {
    let world = World::new().await;
    for kind in ProblemType::ALL {
        let page = open(&world, "GET", &format!("/problems/{}", kind.slug())).await.expect(200);
        assert!(page.text().contains("What to do") && page.text().contains(kind.slug()));
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
    }
    open(&world, "GET", "/problems/nothing").await.problem(404, "not-found");
}

#[tokio::test]
async fn the_documentation_shows_every_operation_and_fetches_nothing() {
    let world = World::new().await;
    let page = open(&world, "GET", "/docs").await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let text = page.text();
    assert!(text.contains(URL) && !text.contains("<script") && !text.contains(" src="));
    let document = open(&world, "GET", "/v1/openapi.json").await.expect(200).json();
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(text.contains(path), "{path}");
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(text.contains(&format!("<section id=\"{id}\">")), "{id}");
        }
    }
}

#[tokio::test]
async fn every_documented_operation_is_served() {
    let world = World::new().await;
    let document = open(&world, "GET", "/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], URL);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if path.starts_with("/v1/files/") {
                continue;
            }
            let concrete =
                path.replace("{slug}", "expired").replace("{dataset}", "flights").replace("{n}", "0");
            let concrete = concrete.replace("{id}", "0192f6a0-7c1e-7b3a-9f00-3d1c5a8e2b41");
            let answer = open(&world, &method.to_uppercase(), &concrete).await;
            // Without a token, a route that wants one answers 401 and others 200: neither 404 nor 405.
            let wanted = if operation["security"].is_array() { 200 } else { 401 };
            assert_eq!(answer.status, wanted, "{method} {path}");
            assert!(operation["responses"].get(answer.status.to_string()).is_some(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn answers_are_as_the_document_says() {
    let world = World::new().await;
    let id = world.completed().await;
    let document = open(&world, "GET", "/v1/openapi.json").await.json();
    for (path, schema) in [
        (format!("/v1/jobs/{id}"), "Job"),
        ("/v1/jobs".to_owned(), "JobList"),
        (format!("/v1/jobs/{id}/manifest"), "Manifest"),
        ("/v1/datasets".to_owned(), "DatasetList"),
        ("/v1/datasets/flights".to_owned(), "Dataset"),
        ("/v1/account".to_owned(), "Account"),
        (format!("/v1/jobs/{id}/download?redirect=false"), "DownloadLink"),
        ("/healthz".to_owned(), "Health"),
    ] {
        let answer = world.get(&path).await.expect(200).json();
        let schema = &document["components"]["schemas"][schema];
        let members = answer.as_object().unwrap();
        let properties = schema["properties"].as_object().unwrap();
        for name in schema["required"].as_array().unwrap() {
            assert!(members.contains_key(name.as_str().unwrap()), "{path}: {name} is missing");
        }
        for (name, value) in members {
            let property = properties.get(name).unwrap_or_else(|| panic!("{path}: {name} is not documented"));
            assert!(fits(property, value), "{path}: {name}: {value} is not {property}");
        }
    }
}

/// Whether a value's kind is one that its schema names.
fn fits(schema: &Value, value: &Value) -> bool {
    if let Some(all) = schema["oneOf"].as_array() {
        return all.iter().any(|schema| fits(schema, value));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match &schema["type"] {
        Value::String(name) => name == kind,
        Value::Array(names) => names.iter().any(|name| name == kind),
        _ => schema["$ref"].is_string() && kind == "object",
    }
}

#[tokio::test]
async fn health_is_that_of_what_the_service_needs() {
    let world = World::new().await;
    assert_eq!(open(&world, "GET", "/healthz").await.expect(200).json()["status"], "ok");
    world.jobs.break_with(Some("down"));
    open(&world, "GET", "/healthz").await.problem(503, "unavailable");
}

#[tokio::test]
async fn data_sets_never_tell_where_their_files_are() {
    let world = World::new().await;
    let list = world.get("/v1/datasets").await.expect(200);
    assert!(!list.text().contains("secret"), "neither the place nor what the plan lacks");
    let dataset = &list.json()["datasets"][0];
    assert_eq!(dataset["name"], "flights");
    assert_eq!(dataset["columns"][1]["type"], "int64");
    assert_eq!(dataset["views"][0]["name"], "delays");
    let mut alone = world.get("/v1/datasets/flights").await.expect(200).json();
    assert!(!alone.to_string().contains("secret"));
    assert!(alone.as_object_mut().unwrap().remove("statistics").is_some(), "a list is without");
    assert_eq!(alone, *dataset);
    assert_eq!(world.get("/v1/datasets?x=1").await.pointers(), ["?x"]);
}

#[tokio::test]
async fn the_account_shows_plan_and_usage() {
    let world = World::new().await;
    world.submit().await;
    let account = world.get_as(&world.reader, "/v1/account").await.expect(200).json();
    assert_eq!(
        (&account["account"], &account["plan"], &account["scope"]),
        (&"acme".into(), &"free".into(), &"read".into())
    );
    assert_eq!((&account["usage"]["open_jobs"], &account["limits"]["max_open_jobs"]), (&1.into(), &3.into()));
}

#[tokio::test]
async fn browsers_of_any_site_may_ask() {
    let world = World::new().await;
    let request = Request::options("/v1/jobs")
        .header("origin", "https://site.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = world.send(request.body(Body::empty()).unwrap()).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert!(answer.header("access-control-allow-headers").contains("authorization"));
    let answer = world.ask("GET", "/v1/jobs", &[("origin", "https://site.example")], "").await;
    assert!(answer.header("access-control-expose-headers").contains("willcall-job-id"));
    assert!(!answer.headers.contains_key("access-control-allow-credentials"));
}

#[tokio::test]
async fn each_lambdas_routes_stand_alone() {
    use tower::ServiceExt;
    let world = World::new().await;
    let ask = async |router: axum::Router, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap().status().as_u16()
    };
    let app = || world.app.clone();
    assert_eq!(ask(willcall_http::submit_routes(app()), "POST", "/v1/jobs").await, 401);
    assert_eq!(ask(willcall_http::submit_routes(app()), "GET", "/v1/jobs").await, 405);
    assert_eq!(ask(willcall_http::status_routes(app()), "GET", "/v1/jobs").await, 401);
    assert_eq!(ask(willcall_http::status_routes(app()), "GET", "/v1/jobs/x/result").await, 404);
    assert_eq!(ask(willcall_http::download_routes(app()), "GET", "/v1/jobs/x/result").await, 401);
}

struct Panics;

#[async_trait]
impl CatalogSource for Panics {
    async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError> {
        panic!("by the test")
    }
}

#[tokio::test]
async fn a_handler_that_panics_is_a_problem_like_any_other() {
    let mut world = World::new().await;
    world.app.catalog = Arc::new(Panics);
    let text = world.get("/v1/datasets").await.problem(500, "internal");
    assert!(!text.contains("by the test"), "{text}");
}

#[tokio::test]
async fn a_request_is_one_line_in_the_log_without_what_was_asked() {
    let world = World::new().await;
    let (log, guard) = Log::begin();
    let id = "0192f6a0-7c1e-7b3a-9f00-3d1c5a8e2b41";
    let answer = world.get(&format!("/v1/jobs/{id}?wait=0")).await;
    world.jobs.break_with(Some("the disk is gone"));
    world.get("/v1/jobs?name=private").await.problem(503, "unavailable");
    drop(guard);
    let text = log.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for part in ["route=\"/v1/jobs/{id}\"", "status=404", "account=\"acme\"", answer.header("x-request-id")] {
        assert!(lines[0].contains(part), "{part}: {text}");
    }
    assert!(lines[1].contains("the disk is gone"), "the cause is in the log: {text}");
    assert!(!text.contains(&world.token) && !text.contains("private") && !text.contains(id), "{text}");
}
