//! Requests that are wrong, and what they are told.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use willcall_tests::{Client, On, unique};

async fn refused(client: &Client, mark: &str, query: Value, place: &str, words: &[&str]) -> Result<()> {
    let mut body = json!({"kind": "query", "dataset": "numbers", "labels": {"mark": mark}});
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

async fn every_mistake_is_named_with_its_place(on: On) -> Result<()> {
    let host = on.numbers(100).await?;
    let (client, mark) = (&host.client(), unique());
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
        (json!({"kind": "append"}), "#/on", vec!["missing"]),
    ] {
        refused(client, &mark, query, place, &words).await?;
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
    let listed = client.get(&format!("/v1/jobs?label.mark={mark}")).await?.json()?;
    assert_eq!(listed["jobs"], json!([]), "nothing refused became a job");
    Ok(())
}

async fn bodies_that_are_no_request(on: On) -> Result<()> {
    let host = on.numbers(10).await?;
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

async fn paths_and_methods_that_are_not_there(on: On) -> Result<()> {
    let host = on.numbers(10).await?;
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
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("POST")), "{:?}", answer.headers);
    let job = "/v1/jobs/01920000-0000-7000-8000-000000000000";
    let answer = client.send(client.request(Method::PUT, job)).await?;
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("PATCH")), "{:?}", answer.headers);
    Ok(())
}

willcall_tests::scenarios! {
    client: [
        every_mistake_is_named_with_its_place,
        bodies_that_are_no_request,
        paths_and_methods_that_are_not_there,
    ],
}
