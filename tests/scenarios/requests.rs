//! Requests that are wrong, and what they are told.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use willcall_tests::{Client, Host};

async fn refused(client: &Client, query: Value, place: &str, words: &[&str]) -> Result<()> {
    let mut body = json!({"kind": "query", "dataset": "numbers"});
    for (key, value) in query.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    let answer = client.post("/v1/jobs", &body).await?;
    let shown: String = query.to_string().chars().take(200).collect();
    assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
    assert_eq!(answer.problem()?, "invalid-request", "{shown}");
    let complaints = answer.complaints();
    assert!(complaints.contains(&format!("\"{place}\"")), "{shown}: {complaints}");
    for word in words {
        assert!(complaints.contains(word), "{shown}: {word} is not in: {complaints}");
    }
    Ok(())
}

#[tokio::test]
async fn every_mistake_is_named_with_its_place() -> Result<()> {
    let host = Host::with_numbers(100).await?;
    let client = &host.client();
    let deep = format!("{}n = 1{}", "(".repeat(40), ")".repeat(40));
    let long = format!("word = '{}'", "x".repeat(70_000));
    let many = (0..10_001).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    for (query, place, words) in [
        (json!({"dataset": "nubmers"}), "#/dataset", vec!["numbers"]),
        (json!({"dataset": 7}), "#/dataset", vec![]),
        (json!({"filter": "nn = 1"}), "#/filter", vec!["nn", "did you mean"]),
        (json!({"filter": "n = "}), "#/filter", vec![]),
        (json!({"filter": "n = 'x'"}), "#/filter", vec!["int64"]),
        (json!({"filter": "word > 5"}), "#/filter", vec!["text"]),
        (json!({"filter": "n = 1; DROP TABLE numbers"}), "#/filter", vec![]),
        (json!({"filter": "n IN (SELECT 1)"}), "#/filter", vec![]),
        (json!({"filter": "n = 1 UNION SELECT 1"}), "#/filter", vec![]),
        (json!({"filter": "sleep(10) = 1"}), "#/filter", vec!["sleep"]),
        (json!({"filter": "n = ?"}), "#/filter", vec![]),
        (json!({"filter": deep}), "#/filter", vec!["32"]),
        (json!({"filter": long}), "#/filter", vec!["65536"]),
        (json!({"filter": format!("n IN ({many})")}), "#/filter", vec!["10"]),
        (json!({"query": "nn:1"}), "#/query", vec!["nn"]),
        (json!({"query": "bare"}), "#/query", vec![]),
        (json!({"query": "(".repeat(5_000)}), "#/query", vec!["32"]),
        (json!({"query": "word:a*b"}), "#/query", vec![]),
        (json!({"query": "word:/a.*/"}), "#/query", vec![]),
        (json!({"query": "n:[1 TO"}), "#/query", vec![]),
        (json!({"fields": ["n", "wrod"]}), "#/fields/1", vec!["word"]),
        (json!({"fields": ["n", "n"]}), "#/fields/1", vec!["twice"]),
        (json!({"fields": []}), "#/fields", vec![]),
        (json!({"fields": "n"}), "#/fields", vec![]),
        (json!({"view": "all"}), "#/view", vec![]),
        (json!({"sort": ["-nn"]}), "#/sort/0", vec!["nn"]),
        (json!({"limit": -1}), "#/limit", vec![]),
        (json!({"limit": 1.5}), "#/limit", vec![]),
        (json!({"limit": "10"}), "#/limit", vec![]),
        (json!({"offset": -1}), "#/offset", vec![]),
        (json!({"format": "docx"}), "#/format", vec!["csv"]),
        (json!({"compression": "rar"}), "#/compression", vec!["gzip"]),
        (json!({"format": "parquet", "compression": "gzip"}), "#/compression", vec![]),
        (json!({"format": "json", "csv": {"header": false}}), "#/csv", vec![]),
        (json!({"format": "csv", "csv": {"delimiter": ";;"}}), "#/csv/delimiter", vec![]),
        (json!({"format": "csv", "csv": {"delimter": ";"}}), "#/csv/delimter", vec!["delimiter"]),
        (json!({"page_size": 99}), "#/page_size", vec!["100"]),
        (json!({"name": "x".repeat(201)}), "#/name", vec!["200"]),
        (json!({"labels": {"k".repeat(65): "v"}}), "#/labels", vec!["64"]),
        (json!({"filtr": "n = 1"}), "#/filtr", vec!["filter"]),
        (json!({"kind": "append"}), "#/kind", vec![]),
    ] {
        refused(client, query, place, &words).await?;
    }
    let both = client
        .post(
            "/v1/jobs",
            &json!({"kind": "query", "dataset": "numbers", "filter": "x", "format": "docx", "limit": 1}),
        )
        .await?;
    assert!(
        both.complaints().contains("#/filter") && both.complaints().contains("#/format"),
        "{}",
        both.text()
    );
    assert_eq!(client.get("/v1/jobs").await?.json()?["jobs"], json!([]), "nothing refused became a job");
    Ok(())
}

#[tokio::test]
async fn bodies_that_are_no_request() -> Result<()> {
    let host = Host::with_numbers(10).await?;
    let client = host.client();
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let huge =
        format!("{{\"kind\":\"query\",\"dataset\":\"numbers\",\"filter\":\"{}\"}}", "x".repeat(1 << 20));
    for (media, body, status, kind) in [
        ("application/json", "", 400, "invalid-request"),
        ("application/json", "{\"kind\": \"query\"", 400, "invalid-request"),
        ("application/json", "[]", 400, "invalid-request"),
        ("application/json", "null", 400, "invalid-request"),
        ("application/json", "{} {}", 400, "invalid-request"),
        (
            "application/json",
            "{\"kind\":\"query\",\"kind\":\"query\",\"dataset\":\"numbers\"}",
            400,
            "invalid-request",
        ),
        ("application/json", nested.as_str(), 400, "invalid-request"),
        ("application/json", huge.as_str(), 413, "payload-too-large"),
        ("text/plain", "{}", 415, "unsupported-format"),
        ("application/x-www-form-urlencoded", "kind=query", 415, "unsupported-format"),
    ] {
        let request = client.request(Method::POST, "/v1/jobs").header("content-type", media);
        let answer = client.send(request.body(body.to_owned())).await?;
        let shown: String = body.chars().take(60).collect();
        assert_eq!((answer.status, answer.problem()?.as_str()), (status, kind), "{media} {shown}");
    }
    let invalid = client.request(Method::POST, "/v1/jobs").header("content-type", "application/json");
    let answer = client.send(invalid.body(vec![b'{', b'"', 0xFF, b'"', b'}'])).await?;
    assert_eq!(answer.status, 400);
    Ok(())
}

#[tokio::test]
async fn tokens_are_needed_in_one_of_three_forms() -> Result<()> {
    let host = Host::with_numbers(10).await?;
    let client = host.client();
    let token = host.token("tests", "everything", "read")?;
    let nobody = client.with_token(None);
    let get = || nobody.request(Method::GET, "/v1/account");
    assert_eq!(nobody.send(get().bearer_auth(&token)).await?.status, 200);
    assert_eq!(nobody.send(get().basic_auth(&token, Some(""))).await?.status, 200);
    assert_eq!(nobody.send(get().header("x-api-key", &token)).await?.status, 200);
    let mistyped = format!("{}{}", &token[..token.len() - 1], if token.ends_with('0') { '1' } else { '0' });
    for request in [
        get(),
        get().bearer_auth("wrong"),
        get().bearer_auth(&mistyped),
        get().basic_auth(&token, Some("password")),
        get().basic_auth("user", Some(&token)),
        get().header("x-api-key", ""),
        get().header("authorization", "Basic %%%"),
        get().header("authorization", format!("Digest {token}")),
    ] {
        let answer = nobody.send(request).await?;
        assert_eq!((answer.status, answer.problem()?.as_str()), (401, "unauthenticated"));
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"willcall\", Basic realm=\"willcall\"")
        );
        assert!(!answer.text().contains("wc_"), "{}", answer.text());
    }
    let reader = client.with_token(Some(&token));
    let answer = reader.post("/v1/jobs", &json!({"kind": "query", "dataset": "numbers"})).await?;
    assert_eq!((answer.status, answer.problem()?.as_str()), (403, "forbidden"));
    for path in ["/healthz", "/v1/openapi.json", "/docs", "/problems/not-found"] {
        assert_eq!(nobody.get(path).await?.status, 200, "{path}");
    }
    assert!(!host.log().contains(&token), "the log holds a token");
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_is_dead_at_once() -> Result<()> {
    let host = Host::with_numbers(10).await?;
    let token = host.token("tests", "everything", "read")?;
    let reader = host.client().with_token(Some(&token));
    assert_eq!(reader.get("/v1/account").await?.status, 200);
    let listed = host.command(&["token", "list", "--json"])?.output()?;
    let listed: Value = serde_json::from_slice(&listed.stdout)?;
    assert!(!listed.to_string().contains("wc_"), "a list shows no token: {listed}");
    let tokens = listed.as_array().or_else(|| listed["tokens"].as_array()).cloned().unwrap();
    let found = tokens.iter().find(|token| token["scope"] == "read").unwrap();
    let id = found["id"].as_str().unwrap();
    assert!(host.command(&["token", "revoke", id])?.output()?.status.success());
    assert_eq!(reader.get("/v1/account").await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there() -> Result<()> {
    let host = Host::with_numbers(10).await?;
    let client = host.client();
    for path in [
        "/v1",
        "/v2/jobs",
        "/v1/jobs/",
        "/v1/jobs/x",
        "/v1/jobs/..%2f..%2fetc",
        "/v1/jobs/%00",
        "/v1/jobs/01920000-0000-7000-8000-000000000000",
        "/v1/datasets/..%2fx",
        "/problems/nope",
        "/v1/files/results/tests/x",
        "/v1/files/..%2f..%2fwillcall.db",
        "/v1/files//etc/passwd",
    ] {
        let answer = client.get(path).await?;
        assert!([400, 403, 404].contains(&answer.status), "{path}: {}", answer.status);
        answer.problem()?;
    }
    let answer = client.send(client.request(Method::PUT, "/v1/jobs")).await?;
    assert_eq!((answer.status, answer.problem()?.as_str()), (405, "method-not-allowed"));
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("POST")));
    Ok(())
}

#[tokio::test]
async fn open_jobs_are_counted() -> Result<()> {
    let host = Host::with_numbers(300_000).await?;
    let small = host.client().with_token(Some(&host.token("small", "small", "submit")?));
    let query = json!({"kind": "query", "dataset": "numbers", "sort": ["mixed"], "format": "csv"});
    let submits = (0..12).map(|_| small.post("/v1/jobs", &query));
    let answers = futures::future::try_join_all(submits).await?;
    let (mut accepted, mut refused) = (0, 0);
    for answer in &answers {
        match answer.status {
            202 => accepted += 1,
            429 => {
                refused += 1;
                assert_eq!(answer.problem()?, "quota-exceeded");
                assert!(answer.header("retry-after").is_some());
                assert!(answer.header("ratelimit").is_some() && answer.header("ratelimit-policy").is_some());
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(accepted >= 2 && refused >= 1, "{accepted} accepted, {refused} refused");
    let usage = small.get("/v1/account").await?.json()?;
    assert!(usage["usage"]["open_jobs"].as_u64().is_some_and(|open| open <= 2), "{usage}");
    for answer in answers.iter().filter(|answer| answer.status == 202) {
        small.ended(&answer.json()?).await?;
    }
    assert_eq!(small.get("/v1/account").await?.json()?["usage"]["open_jobs"], 0);
    Ok(())
}
