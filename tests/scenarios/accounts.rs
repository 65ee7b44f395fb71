//! What accounts, tokens and plans allow.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use willcall_tests::{On, id, write_numbers};

async fn the_plan_truncates_and_says_so(on: On) -> Result<()> {
    let host = on.numbers(1_000).await?;
    let small = host.client_of("small", "small", "submit")?;
    let job = small.run(json!({"dataset": "numbers", "format": "csv"})).await?;
    assert_eq!(job["result"]["records"], 10);
    assert_eq!(job["result"]["truncated"], json!({"reason": "plan_limit", "limit": 10}));
    assert_eq!(job["progress"]["records_found"], 1000);
    assert_eq!(job["progress"]["records_requested"], 1000);
    for query in [json!({"limit": 10}), json!({"limit": 500, "filter": "n < 10"}), json!({"offset": 990})] {
        let mut body = query.clone();
        body["dataset"] = json!("numbers");
        let job = small.run(body).await?;
        assert_eq!(job["result"]["truncated"], Value::Null, "{query}");
    }
    let answer =
        small.post("/v1/jobs", &json!({"kind": "query", "dataset": "numbers", "format": "parquet"})).await?;
    assert!(answer.complaints().contains("#/format"), "{}", answer.text());
    Ok(())
}

async fn accounts_do_not_see_each_other(on: On) -> Result<()> {
    let host = on.numbers(100).await?;
    let owner = host.client();
    let job = owner.run(json!({"dataset": "numbers"})).await?;
    let other = host.client_of("other", "everything", "admin")?;
    let path = format!("/v1/jobs/{}", id(&job));
    for path in
        ["", "/result", "/manifest", "/download", "/result/pages/0"].map(|tail| format!("{path}{tail}"))
    {
        let answer = other.get(&path).await?;
        assert_eq!((answer.status, answer.problem()?.as_str()), (404, "not-found"), "{path}");
    }
    assert_eq!(other.post(&format!("{path}/cancel"), &json!({})).await?.status, 404);
    assert_eq!(other.patch(&path, &json!({"name": "mine"})).await?.status, 404);
    assert_eq!(other.delete(&path).await?.status, 404);
    assert_eq!(other.get("/v1/jobs").await?.json()?["jobs"], json!([]));
    assert_eq!(owner.get(&path).await?.status, 200, "and nothing happened to it");
    Ok(())
}

async fn the_plan_hides_data_sets(on: On) -> Result<()> {
    let host = on
        .datasets(&[("numbers", "numbers.parquet"), ("secret", "secret.parquet")], |folder| {
            write_numbers(&folder.join("numbers.parquet"), 10)?;
            write_numbers(&folder.join("secret.parquet"), 10)
        })
        .await?;
    let small = host.client_of("small", "small", "submit")?;
    let sets = small.get("/v1/datasets").await?.json()?;
    assert!(sets.to_string().contains("numbers") && !sets.to_string().contains("secret"), "{sets}");
    assert_eq!(small.get("/v1/datasets/secret").await?.status, 404);
    assert_eq!(small.get("/v1/datasets/secret/records").await?.status, 404);
    let answer = small.post("/v1/jobs", &json!({"kind": "query", "dataset": "secrets"})).await?;
    assert_eq!(answer.status, 400);
    assert!(!answer.text().contains("\"secret\""), "a hidden data set is not suggested: {}", answer.text());
    Ok(())
}

async fn tokens_are_needed_in_one_of_three_forms(on: On) -> Result<()> {
    let host = on.numbers(10).await?;
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
    assert!(!host.operator()?.log().contains(&token), "the log holds a token");
    Ok(())
}

async fn a_revoked_token_is_dead_at_once(on: On) -> Result<()> {
    let host = on.numbers(10).await?;
    let token = host.token("tests", "everything", "read")?;
    let reader = host.client().with_token(Some(&token));
    assert_eq!(reader.get("/v1/account").await?.status, 200);
    let operator = host.operator()?;
    let listed = operator.command(&["token", "list", "--json"])?.output()?;
    let listed: Value = serde_json::from_slice(&listed.stdout)?;
    assert!(!listed.to_string().contains("wc_"), "a list shows no token: {listed}");
    let tokens = listed.as_array().or_else(|| listed["tokens"].as_array()).cloned().unwrap();
    let found = tokens.iter().find(|token| token["scope"] == "read").unwrap();
    let id = found["id"].as_str().unwrap();
    assert!(operator.command(&["token", "revoke", id])?.output()?.status.success());
    assert_eq!(reader.get("/v1/account").await?.status, 401);
    Ok(())
}

async fn open_jobs_are_counted(on: On) -> Result<()> {
    let host = on.numbers(300_000).await?;
    let small = host.client_of("small", "small", "submit")?;
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

willcall_tests::scenarios! {
    operator: [
        the_plan_truncates_and_says_so,
        accounts_do_not_see_each_other,
        the_plan_hides_data_sets,
        tokens_are_needed_in_one_of_three_forms,
        a_revoked_token_is_dead_at_once,
        open_jobs_are_counted,
    ],
}
