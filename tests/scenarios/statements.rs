//! Whole statements: joins, aggregates, windows and parameters; what is refused; what goes wrong at run time.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use willcall_tests::{Client, Host, On, id, numbers_file, unique, write_numbers};

/// A host with `numbers`, a hundred records, and `more`, ten.
async fn two(on: On) -> Result<Host> {
    on.datasets(&[("numbers", "numbers.parquet"), ("more", "more.parquet")], |folder| {
        write_numbers(&folder.join("numbers.parquet"), 100)?;
        write_numbers(&folder.join("more.parquet"), 10)
    })
    .await
}

fn client(host: &Host) -> Result<Client> {
    host.client_of("sql", "sql", "admin")
}

async fn lines(client: &Client, query: Value) -> Result<Vec<Value>> {
    let mut body = json!({"format": "jsonl"});
    for (name, value) in query.as_object().context("no object")? {
        body[name] = value.clone();
    }
    let job = client.run(body).await?;
    client.assert_whole(&job).await?;
    let text = String::from_utf8(client.fetch(&job).await?)?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

async fn joins_aggregates_and_windows_give_what_they_should(on: On) -> Result<()> {
    let host = two(on).await?;
    let client = client(&host)?;
    for (sql, expected) in [
        (
            "SELECT word, count(*) AS k, sum(n) AS s, min(n) AS least FROM numbers GROUP BY word ORDER BY least",
            json!([
                {"word": "red", "k": 25, "s": 1200, "least": 0},
                {"word": "green", "k": 25, "s": 1225, "least": 1},
                {"word": "blue", "k": 25, "s": 1250, "least": 2},
                {"word": null, "k": 25, "s": 1275, "least": 3}
            ]),
        ),
        (
            "SELECT a.n, b.word FROM numbers a JOIN more b ON a.n = b.n WHERE b.n BETWEEN 3 AND 5 ORDER BY a.n",
            json!([{"n": 3, "word": null}, {"n": 4, "word": "red"}, {"n": 5, "word": "green"}]),
        ),
        (
            "SELECT a.n, b.n AS other FROM numbers a LEFT JOIN more b USING (n) WHERE a.n IN (9, 10) ORDER BY 1",
            json!([{"n": 9, "other": 9}, {"n": 10, "other": null}]),
        ),
        (
            "SELECT n, row_number() OVER (PARTITION BY word ORDER BY n DESC) AS place, sum(n) OVER (ORDER BY n) AS so_far \
             FROM more WHERE word = 'red' ORDER BY n",
            json!([
                {"n": 0, "place": 3, "so_far": 0},
                {"n": 4, "place": 2, "so_far": 4},
                {"n": 8, "place": 1, "so_far": 12}
            ]),
        ),
        (
            "WITH high AS (SELECT * FROM numbers WHERE n > 97) \
             SELECT n, CASE WHEN word IS NULL THEN 'none' ELSE upper(word) END AS w FROM high \
             WHERE n NOT IN (SELECT n FROM more) ORDER BY n",
            json!([{"n": 98, "w": "BLUE"}, {"n": 99, "w": "none"}]),
        ),
        ("SELECT count(*) AS k FROM (SELECT n FROM numbers UNION SELECT n FROM more) t", json!([{"k": 100}])),
        ("SELECT (SELECT max(n) FROM more) AS most, 1 + 1 AS two", json!([{"most": 9, "two": 2}])),
        ("SELECT n FROM numbers WHERE n > 1000", json!([])),
    ] {
        assert_eq!(Value::from(lines(&client, json!({"sql": sql})).await?), expected, "{sql}");
    }
    Ok(())
}

async fn a_statement_shows_what_it_was_and_what_it_read(on: On) -> Result<()> {
    let host = two(on).await?;
    let client = client(&host)?;
    let sql = "SELECT a.n FROM numbers a JOIN more b ON a.n = b.n ORDER BY a.n";
    let job = client.run(json!({"sql": sql, "format": "csv", "name": "both"})).await?;
    assert_eq!(
        (&job["kind"], &job["dataset"], &job["request"]["sql"]),
        (&json!("query"), &Value::Null, &json!(sql))
    );
    assert_eq!(job["result"]["records"], 10);
    let manifest = client.get(&format!("/v1/jobs/{}/manifest", id(&job))).await?.json()?;
    let names: Vec<&Value> =
        manifest["sources"].as_array().context("no sources")?.iter().map(|s| &s["dataset"]).collect();
    assert_eq!(names, [&json!("more"), &json!("numbers")]);
    assert_eq!(manifest["schema"][0]["name"], "n");
    let page = client.get(&format!("/v1/jobs/{}/result/pages/0", id(&job))).await?;
    assert_eq!(page.text(), "n\n0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let again = client.post(&format!("/v1/jobs/{}/rerun", id(&job)), &json!({})).await?.json()?;
    let again = client.ended(&again).await?;
    assert_eq!(
        (&again["state"], &again["result"]["sha256"]),
        (&json!("completed"), &job["result"]["sha256"])
    );
    Ok(())
}

async fn parameters_are_values_of_their_types(on: On) -> Result<()> {
    let host = two(on).await?;
    let client = client(&host)?;
    let sql = "SELECT n FROM more WHERE n >= $from AND (word = $word OR $all) ORDER BY n";
    let asked = |parameters: Value| json!({"sql": sql, "parameters": parameters});
    let red = lines(&client, asked(json!({"from": 1, "word": "red", "all": false}))).await?;
    assert_eq!(Value::from(red), json!([{"n": 4}, {"n": 8}]));
    let hostile = lines(&client, asked(json!({"from": 0, "word": "red' OR 'a' = 'a", "all": false}))).await?;
    assert!(hostile.is_empty(), "a value is no part of the text: {hostile:?}");
    let typed = json!({
        "sql": "SELECT $d - INTERVAL '1 day' AS before, $t AS t, $x * 2 AS twice, $f AS f",
        "parameters": {
            "d": {"type": "date", "value": "2024-03-01"}, "t": {"type": "timestamp", "value": "2024-01-31T10:30:00+01:00"},
            "x": {"type": "decimal", "value": "1.05"}, "f": 0.5
        }
    });
    let typed = lines(&client, typed).await?;
    assert!(typed[0]["before"].as_str().is_some_and(|text| text.starts_with("2024-02-29")), "{typed:?}");
    assert!(typed[0]["t"].as_str().is_some_and(|text| text.starts_with("2024-01-31T09:30:00")), "{typed:?}");
    assert_eq!((&typed[0]["twice"], &typed[0]["f"]), (&json!(2.10), &json!(0.5)));
    Ok(())
}

async fn what_does_more_than_read_is_refused(on: On) -> Result<()> {
    let host = two(on).await?;
    let client = client(&host)?;
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM generate_series(1, 1000000000)",
        "SELECT repeat('x', 1000000000)",
        "SELECT version()",
        "COPY numbers TO '/tmp/x.csv'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE SELECT * FROM numbers",
        "DROP TABLE numbers",
        "SELECT 1; DROP TABLE numbers",
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT * FROM x",
    ] {
        let answer = client.post("/v1/jobs", &json!({"kind": "query", "sql": sql})).await?;
        assert_eq!((answer.status, answer.problem()?.as_str()), (400, "invalid-request"), "{sql}");
        assert!(
            answer.complaints().contains("#/sql") && answer.complaints().contains("line 1"),
            "{}",
            answer.text()
        );
    }
    let deep = format!("SELECT {}", "(".repeat(60_000));
    assert_eq!(client.post("/v1/jobs", &json!({"kind": "query", "sql": deep})).await?.status, 400);
    let records = client.post("/v1/datasets/numbers/records", &json!({"sql": "SELECT 1"})).await?;
    assert!(records.status == 400 && records.text().contains("POST /v1/jobs"), "{}", records.text());
    Ok(())
}

async fn plans_decide_who_may_write_statements_and_over_what(on: On) -> Result<()> {
    let host = two(on).await?;
    let everything = host.client();
    let asked = |sql: &str| json!({"kind": "query", "sql": sql});
    let answer = everything.post("/v1/jobs", &asked("SELECT * FROM numbers")).await?;
    assert_eq!((answer.status, answer.problem()?.as_str()), (403, "forbidden"), "{}", answer.text());
    assert!(answer.text().contains("does not allow sql"), "{}", answer.text());
    assert_eq!(everything.get("/v1/account").await?.json()?["limits"]["sql"], false);
    let narrow = host.client_of("narrow", "sql-small", "submit")?;
    assert_eq!(narrow.get("/v1/account").await?.json()?["limits"]["sql"], true);
    let told = async |name: &str| -> Result<String> {
        let answer = narrow.post("/v1/jobs", &asked(&format!("SELECT * FROM numbers, {name}"))).await?;
        assert_eq!(answer.status, 400, "{}", answer.text());
        Ok(answer.complaints().replace(name, "it"))
    };
    assert_eq!(told("more").await?, told("mole").await?, "what is not allowed is not there");
    let job = narrow.run(json!({"sql": "SELECT n FROM numbers ORDER BY n", "format": "csv"})).await?;
    assert_eq!(job["result"]["truncated"], json!({"reason": "plan_limit", "limit": 10}));
    Ok(())
}

async fn what_goes_wrong_at_run_time_is_told(on: On) -> Result<()> {
    let host = two(on).await?;
    let client = client(&host)?;
    for (sql, words) in [
        ("SELECT 1 / (n - n) AS x FROM numbers", "zero"),
        ("SELECT CAST(word AS INT) AS x FROM numbers WHERE word IS NOT NULL", "red"),
        ("SELECT nn FROM numbers", "nn"),
        ("SELECT n + word FROM numbers GROUP BY n", ""),
    ] {
        let job = client.submit(json!({"sql": sql, "format": "csv"})).await?;
        let job = client.ended(&job).await?;
        assert_eq!(job["state"], "failed", "{sql}: {job}");
        let detail = job["error"]["detail"].as_str().unwrap_or_default().to_lowercase();
        assert!(!detail.is_empty() && detail.contains(words), "{sql}: {job}");
        assert!(!job["error"].to_string().contains("/tmp"), "{job}");
    }
    Ok(())
}

async fn limit_offset_and_formats_are_those_of_every_query(on: On) -> Result<()> {
    let host = two(on).await?;
    let client = client(&host)?;
    let sql = "SELECT n, word FROM numbers ORDER BY n LIMIT 50";
    let cut = lines(&client, json!({"sql": sql, "limit": 2, "offset": 48})).await?;
    assert_eq!(Value::from(cut), json!([{"n": 48, "word": "red"}, {"n": 49, "word": "green"}]));
    for format in ["json", "jsonl", "csv", "parquet", "arrow", "xlsx"] {
        let job = client.run(json!({"sql": sql, "format": format})).await?;
        assert_eq!(job["result"]["records"], 50, "{format}");
        client.assert_whole(&job).await?;
    }
    let job = client.run(json!({"sql": sql, "format": "csv", "compression": "zstd"})).await?;
    client.assert_whole(&job).await?;
    Ok(())
}

async fn statements_are_repeated_by_key_and_served_by_their_equals(on: On) -> Result<()> {
    let host = two(on).await?;
    let client = client(&host)?;
    let key = unique();
    let body = json!({"kind": "query", "sql": "SELECT count(*) AS k FROM more", "format": "csv"});
    let ask = async |body: &Value| {
        let request =
            client.request(reqwest::Method::POST, "/v1/jobs").header("idempotency-key", &key).json(body);
        client.send(request).await
    };
    let first = ask(&body).await?.json()?;
    let again = ask(&body).await?;
    assert_eq!((again.header("idempotent-replayed"), id(&again.json()?)), (Some("true"), id(&first)));
    let mut other = body.clone();
    other["sql"] = json!("SELECT 1");
    assert_eq!(ask(&other).await?.status, 422);
    client.ended(&first).await?;
    let mut reusing = body.clone();
    reusing["reuse"] = json!(true);
    let served = client.post("/v1/jobs", &reusing).await?.json()?;
    assert_eq!((&served["reused"], id(&served)), (&json!(true), id(&first)));
    host.operator()?.update("more.parquet", numbers_file(11)?).await?;
    let fresh = client.post("/v1/jobs", &reusing).await?.json()?;
    assert_ne!(id(&fresh), id(&first), "the data is another");
    let fresh = client.ended(&fresh).await?;
    assert_eq!(String::from_utf8(client.fetch(&fresh).await?)?, "k\n11\n");
    Ok(())
}

async fn a_dry_run_of_a_statement_tells_what_it_would_take(on: On) -> Result<()> {
    let host = two(on).await?;
    let client = client(&host)?;
    let body = json!({"kind": "query", "sql": "SELECT n FROM more", "format": "csv"});
    let answer = client.post("/v1/jobs?dry_run=true", &body).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let estimate = answer.json()?;
    assert_eq!((&estimate["records"], &estimate["records_found"]), (&json!(10), &json!(10)));
    assert!(estimate["bytes_read"].as_u64().is_some_and(|bytes| bytes > 0), "{estimate}");
    Ok(())
}

willcall_tests::scenarios! {
    operator: [
        joins_aggregates_and_windows_give_what_they_should,
        a_statement_shows_what_it_was_and_what_it_read,
        parameters_are_values_of_their_types,
        what_does_more_than_read_is_refused,
        plans_decide_who_may_write_statements_and_over_what,
        what_goes_wrong_at_run_time_is_told,
        limit_offset_and_formats_are_those_of_every_query,
        statements_are_repeated_by_key_and_served_by_their_equals,
        a_dry_run_of_a_statement_tells_what_it_would_take,
    ],
}
