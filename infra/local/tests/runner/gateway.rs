//! The HTTP API: events, answers, and the limits of API Gateway.

use std::time::Duration;

use crate::setup::{Setup, until};

#[tokio::test]
async fn a_request_becomes_an_event_and_the_answer_a_response() {
    let setup = Setup::new().await;
    let answer = setup.get("/items/a%20b?x=1&x=2").await;
    assert_eq!((answer.status, &answer.headers["content-type"]), (200, &"application/json".parse().unwrap()));
    let event = answer.json();
    assert_eq!(event["routeKey"], "GET /items/{id}");
    assert_eq!(event["pathParameters"]["id"], "a b");
    assert_eq!(event["queryStringParameters"]["x"], "1,2");
    let host = setup.local.url().trim_start_matches("http://");
    assert_eq!(
        (event["requestContext"]["domainName"].as_str(), event["headers"]["host"].as_str()),
        (Some(host), Some(host))
    );
    let posted = setup.http.post(format!("{}/other", setup.local.url())).body(vec![0xff, 0x00]);
    let event = setup.send(posted).await.json();
    assert_eq!((&event["routeKey"], &event["body"]), (&"$default".into(), &"/wA=".into()));
}

#[tokio::test]
async fn a_stage_is_part_of_the_address_and_of_the_path() {
    let setup = Setup::with(|options| {
        options.parameters.insert("Stage".to_owned(), "v9".to_owned());
    })
    .await;
    assert!(setup.local.url().ends_with("/v9"));
    let event = setup.get("/items/1").await.json();
    assert_eq!((&event["rawPath"], &event["requestContext"]["stage"]), (&"/v9/items/1".into(), &"v9".into()));
    let beside = format!("{}/items/1", setup.local.url().trim_end_matches("/v9"));
    let answer = setup.send(setup.http.get(beside)).await;
    assert_eq!((answer.status, answer.text.as_str()), (404, r#"{"message":"Not Found"}"#));
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let setup = Setup::new().await;
    let url = |path: &str| format!("{}{path}", setup.local.url());
    let long = "x".repeat(10_240);
    assert_eq!(setup.send(setup.http.get(url("/")).header("x-long", &long)).await.status, 431);
    assert_eq!(setup.send(setup.http.get(url(&format!("/?x={long}")))).await.status, 431);
    let fits = &long[..9_000];
    assert_eq!(setup.send(setup.http.get(url("/")).header("x-long", fits)).await.status, 200);

    let post = |bytes: usize, kind: &str| {
        setup.http.post(url("/?do=count")).header("content-type", kind).body(vec![b'x'; bytes])
    };
    assert_eq!(setup.send(post((10 << 20) + 1, "text/plain")).await.status, 413);
    // Less than 10 MB, and more than 6 MB as an event; a third more where it is encoded.
    assert_eq!(setup.send(post(7 << 20, "text/plain")).await.status, 413);
    assert_eq!(setup.send(post(5 << 20, "application/octet-stream")).await.status, 413);
    assert_eq!(setup.send(post(5 << 20, "text/plain")).await.status, 200);

    assert_eq!(setup.get("/?do=big&n=6000000").await.status, 200);
    let refused = setup.get("/?do=big&n=6291556").await;
    assert_eq!((refused.status, refused.text.as_str()), (500, r#"{"message":"Internal Server Error"}"#));
}

#[tokio::test]
async fn a_function_that_takes_too_long_goes_on_without_its_client() {
    let setup = Setup::with(|options| {
        options.overrides.integration_timeout = Some(Duration::from_millis(300));
    })
    .await;
    assert_eq!(setup.get("/?do=count").await.status, 200);
    let answer = setup.get("/?do=sleep&n=900").await;
    assert_eq!((answer.status, answer.text.as_str()), (503, r#"{"message":"Service Unavailable"}"#));
    setup.until_notes(|notes| notes == ["slept"]).await;
}

#[tokio::test]
async fn preflights_never_reach_a_function() {
    let setup = Setup::new().await;
    let url = format!("{}/items/1", setup.local.url());
    let preflight = setup
        .http
        .request(reqwest::Method::OPTIONS, &url)
        .header("origin", "https://a.example")
        .header("access-control-request-method", "POST");
    let answer = setup.send(preflight).await;
    assert_eq!(
        (answer.status, &answer.headers["access-control-allow-methods"]),
        (204, &"GET,POST".parse().unwrap())
    );
    assert!(setup.local.environments("EchoFunction").unwrap().is_empty());
    let answer = setup.send(setup.http.get(&url).header("origin", "https://a.example")).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    until("the environment rests", async || {
        setup.local.environments("EchoFunction").unwrap().iter().all(|environment| !environment.busy)
    })
    .await;
}
