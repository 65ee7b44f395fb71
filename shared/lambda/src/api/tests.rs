use std::{sync::Arc, time::Duration};

use axum::{extract::Request as AxumRequest, routing::get};
use lambda_http::{IntoResponse, request};
use serde_json::{Value, json};
use willcall_conformance::{
    FakeNotifier, FixedCatalog, MemoryAccounts, MemoryBlobStore, MemoryJobQueue, MemoryJobStore,
    MemorySignals,
};
use willcall_core::{account::Plan, catalog::Catalog, ports::SystemClock, usecases::Settings};

use super::*;

fn app() -> App {
    let signals = MemorySignals::default();
    let plan = Plan::default_named("free");
    let catalog = Catalog {
        hash: "c".repeat(64),
        datasets: Default::default(),
        default_plan: plan.name.clone(),
        plans: [(plan.name.clone(), plan)].into(),
        upstreams: Default::default(),
    };
    let jobs = MemoryJobStore::new(signals.clone());
    App {
        notifier: FakeNotifier::new(&jobs, Arc::new(SystemClock)).notifier(),
        jobs: Arc::new(jobs),
        queue: Arc::new(MemoryJobQueue::new(Arc::new(SystemClock))),
        blobs: Arc::new(MemoryBlobStore::default()),
        accounts: Arc::new(MemoryAccounts::default()),
        catalog: Arc::new(FixedCatalog::new(catalog)),
        signals: Arc::new(signals),
        clock: Arc::new(SystemClock),
        settings: Settings {
            public_url: String::new(),
            max_wait: Duration::from_secs(25),
            default_sync_wait: Duration::from_secs(10),
            max_sync_wait: Duration::from_secs(25),
            inline_limit: None,
        },
    }
}

/// An event of an HTTP API, as API Gateway sends it.
fn event(stage: &str, path: &str, query: &str, body: Option<Value>) -> Value {
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "evil.example.com", "x-forwarded-proto": "https", "accept": "*/*"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc",
            "domainName": "abc.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "abc",
            "http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": stage,
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1_583_348_638_390_u64
        },
        "isBase64Encoded": false
    });
    if let Some(body) = body {
        event["body"] = body;
        event["requestContext"]["http"]["method"] = "POST".into();
    }
    event
}

/// Tells what it was asked.
fn echo(app: App) -> Router {
    let url = app.settings.public_url;
    let handler = async move |request: AxumRequest| {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let id = parts.headers.get("x-request-id").map(|id| id.to_str().unwrap().to_owned());
        json!({
            "uri": parts.uri.to_string(), "url": url, "id": id, "body": String::from_utf8_lossy(&body),
        })
        .to_string()
    };
    Router::new().route("/v1/{*rest}", get(handler.clone()).post(handler)).route("/", get(async || "root"))
}

async fn ask(api: &Api, event: Value) -> (u16, Value) {
    let request = request::from_str(&event.to_string()).unwrap();
    let response = api.clone().answer(request).await.into_response().await;
    let status = response.status().as_u16();
    let LambdaBody::Text(text) = response.into_body() else { panic!("no text") };
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn links_begin_with_the_domain_and_stage_that_api_gateway_names() {
    let api = Api::new(app(), None, echo);
    let (_, told) = ask(&api, event("$default", "/v1/jobs", "", None)).await;
    assert_eq!(told["url"], "https://abc.execute-api.eu-central-1.amazonaws.com");
    let (_, told) = ask(&api, event("prod", "/prod/v1/jobs", "", None)).await;
    assert_eq!(told["url"], "https://abc.execute-api.eu-central-1.amazonaws.com/prod");
    assert_eq!(told["uri"], "/v1/jobs");
    let named = Api::new(app(), Some("https://data.example.com/x".into()), echo);
    for path in ["/v1/jobs", "/x/v1/jobs", "/prod/v1/jobs"] {
        let (_, told) = ask(&named, event("prod", path, "", None)).await;
        assert_eq!(
            (&told["url"], &told["uri"]),
            (&json!("https://data.example.com/x"), &json!("/v1/jobs")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn path_and_query_arrive_as_they_were_sent() {
    let api = Api::new(app(), None, echo);
    let query = "filter=a%20%3D%201&name=x+y&fields=a,b&empty=";
    for (path, expected) in [("/v1/a%2Fb/%C3%A4", "/v1/a%2Fb/%C3%A4"), ("/v1/prod/x", "/v1/prod/x")] {
        let (status, told) = ask(&api, event("$default", path, query, None)).await;
        assert_eq!((status, told["uri"].as_str().unwrap()), (200, format!("{expected}?{query}").as_str()));
    }
    let (_, told) = ask(&api, event("prod", "/prod", "", None)).await;
    assert_eq!(told, "root");
}

#[tokio::test]
async fn bodies_arrive_decoded() {
    let api = Api::new(app(), None, echo);
    let (_, told) = ask(&api, event("$default", "/v1/jobs", "", Some(json!("{\"ä\":1}")))).await;
    assert_eq!(told["body"], "{\"ä\":1}");
    let mut encoded = event("$default", "/v1/jobs", "", Some(json!("eyJhIjoxfQ==")));
    encoded["isBase64Encoded"] = true.into();
    assert_eq!(ask(&api, encoded).await.1["body"], "{\"a\":1}");
}

#[tokio::test]
async fn a_request_without_an_id_gets_that_of_api_gateway() {
    let api = Api::new(app(), None, echo);
    assert_eq!(ask(&api, event("$default", "/v1/jobs", "", None)).await.1["id"], "JKJaXmPLvHcESHA");
    let mut own = event("$default", "/v1/jobs", "", None);
    own["headers"]["x-request-id"] = "mine".into();
    assert_eq!(ask(&api, own).await.1["id"], "mine");
}

#[tokio::test]
async fn routers_are_kept_for_few_addresses() {
    let api = Api::new(app(), None, echo);
    for index in 0..20 {
        let mut other = event("$default", "/v1/jobs", "", None);
        other["requestContext"]["domainName"] = format!("d{index}.example.com").into();
        let (_, told) = ask(&api, other).await;
        assert_eq!(told["url"], format!("https://d{index}.example.com"));
    }
    assert_eq!(api.inner.routers.lock().unwrap().len(), KEPT);
}

#[tokio::test]
async fn the_real_routes_answer_problems_with_links_of_the_address() {
    let api = Api::new(app(), None, willcall_http::status_routes);
    let (status, problem) = ask(&api, event("prod", "/prod/v1/jobs", "", None)).await;
    assert_eq!(status, 401);
    assert_eq!(
        problem["type"],
        "https://abc.execute-api.eu-central-1.amazonaws.com/prod/problems/unauthenticated"
    );
    assert_eq!(
        (&problem["instance"], &problem["request_id"]),
        (&json!("/v1/jobs"), &json!("JKJaXmPLvHcESHA"))
    );
    let (status, _) = ask(&api, event("$default", "/nothing", "", None)).await;
    assert_eq!(status, 404);
}
