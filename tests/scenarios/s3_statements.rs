//! Whole statements over data sets in S3 on one box: the same as over its disk, and whatever goes wrong while one reads.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use willcall_tests::{Bucket, Client, On, OneBox, Operator, Trouble, numbers_from};

use crate::s3::{SALES, changed_at, failed_at_once, lines, logged, manifest, over, over_both, zipped};

/// How long the host may take to clear up after a statement.
const CLEARED: Duration = Duration::from_secs(20);

/// What reads a data set in different ways: as it comes, counted, sorted, and as either side of a join.
const STATEMENTS: [&str; 5] = [
    "SELECT n, word FROM far",
    "SELECT count(*) AS k, sum(n) AS s FROM far",
    "SELECT n FROM far ORDER BY mixed, n",
    "SELECT far.n FROM far JOIN numbers ON far.n = numbers.n",
    "SELECT far.n FROM numbers JOIN far ON far.n = numbers.n",
];

fn client(host: &OneBox) -> Result<Client> {
    Ok(host.client().with_token(Some(&host.token("sql", "sql", "admin")?)))
}

fn csv(sql: &str) -> Value {
    json!({"sql": sql, "format": "csv"})
}

async fn text(client: &Client, sql: &str) -> Result<String> {
    let job = client.run(csv(sql)).await?;
    client.assert_whole(&job).await?;
    Ok(String::from_utf8(client.fetch(&job).await?)?)
}

/// Fails unless nothing is left of a statement that failed: no part of a result, nothing that was put aside, no process.
async fn nothing_left(host: &OneBox, job: &Value) -> Result<()> {
    let stored = host.stored(job).await?;
    ensure!(stored.iter().all(|name| name.ends_with("/snapshot.json")), "{stored:?}");
    let begun = Instant::now();
    loop {
        let held =
            ["spill", "tmp"].map(|name| fs::read_dir(host.data_dir().join(name)).map_or(0, Iterator::count));
        let left = (held, host.statements()?);
        if left == ([0, 0], 0) {
            return Ok(());
        }
        ensure!(begun.elapsed() < CLEARED, "put aside, half written, processes: {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn statements_over_s3_give_what_they_give_over_the_same_files_on_disk(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    let mut files = Vec::new();
    for (part, start) in SALES {
        files.push((format!("sales/{part}/part.parquet"), numbers_from(start, 40_000)?));
    }
    files.push(("leads/a.csv.gz".to_owned(), zipped(&lines(30_000, 60_000))?));
    let host = over_both(&bucket, &files).await?;
    let client = client(&host)?;
    for (sql, rows) in [
        (
            "SELECT year, month, count(*) AS k, sum(n) AS s, min(mixed) AS least FROM sales GROUP BY year, month \
             ORDER BY year, month",
            3,
        ),
        (
            "SELECT s.n, s.word, l.word AS other FROM sales s JOIN leads l ON CAST(l.n AS BIGINT) = s.n \
             WHERE s.year = 2026 AND s.month = 1 ORDER BY s.n",
            40_000,
        ),
        (
            "SELECT n, row_number() OVER (PARTITION BY month ORDER BY n DESC) AS place FROM sales \
             WHERE word = 'red' ORDER BY place, n LIMIT 500",
            500,
        ),
        (
            "SELECT word FROM leads WHERE n NOT IN (SELECT n FROM leads WHERE n > '000000030099') ORDER BY n",
            100,
        ),
    ] {
        let of = |place: &str| {
            ["sales", "leads"].iter().fold(sql.to_owned(), |sql, name| {
                sql.replace(&format!("{name} "), &format!("\"{place}-{name}\" "))
            })
        };
        let (far, near) = (text(&client, &of("far")).await?, text(&client, &of("near")).await?);
        assert_eq!(far.lines().count(), rows + 1, "{sql}");
        assert!(far == near, "{sql}");
    }

    // One statement over both places; and of what its conditions rule out, nothing is asked for.
    let both = "SELECT count(*) AS k FROM \"far-sales\" a JOIN \"near-sales\" b ON a.mixed = b.mixed";
    assert_eq!(text(&client, both).await?, "k\n120000\n");
    bucket.asked();
    let job =
        client.run(csv("SELECT max(n) AS n FROM \"far-sales\" WHERE year = 2026 AND month > 1")).await?;
    assert_eq!(client.fetch(&job).await?, b"n\n119999\n");
    let read: Vec<String> =
        bucket.asked().into_iter().filter(|asked| asked.contains("part.parquet")).collect();
    assert!(!read.is_empty() && read.iter().all(|asked| asked.contains("month%3D2")), "{read:?}");
    let told = manifest(&client, &job).await?;
    assert_eq!(told["sources"][0]["dataset"], "far-sales", "{told}");
    assert!(!format!("{job}{told}").contains(&bucket.name), "no place of the operator's is shown: {told}");
    Ok(())
}

async fn a_statement_that_is_refused_an_object_fails_at_once(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    for (name, start) in [("a", 0), ("b", 60_000)] {
        bucket.put(&format!("d/{name}.parquet"), &numbers_from(start, 60_000)?)?;
    }
    let host = over(&bucket, &[("far", "d/")]).await?;
    let client = client(&host)?;
    for (code, words) in [
        ("AccessDenied", format!("access to the bucket {} is denied", bucket.name)),
        ("InvalidObjectState", format!("an object of the bucket {} is archived: restore it", bucket.name)),
    ] {
        bucket.trouble("d/b.parquet", Trouble::Refused(403, code), usize::MAX);
        for sql in STATEMENTS {
            let job = client.submit(csv(sql)).await?;
            let job = client.ended(&job).await?;
            let error = failed_at_once(&job, "engine-failed");
            assert_eq!(error["detail"], "b.parquet cannot be read", "{sql}");
            assert!(!job.to_string().contains(&bucket.name), "no place of the operator's is shown: {job}");
            nothing_left(&host, &job).await?;
        }
        // The operator is told what the client is not.
        logged(&host, &words).await?;
        logged(&host, code).await?;
        bucket.mend();
    }
    assert_eq!(text(&client, "SELECT count(*) AS k FROM far").await?, "k\n120000\n");
    Ok(())
}

async fn a_bucket_that_closes_while_a_statement_reads_fails_it(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    bucket.put("d/a.parquet", &numbers_from(0, 300_000)?)?;
    let host = over(&bucket, &[("far", "d/")]).await?;
    let client = client(&host)?;
    for sql in STATEMENTS {
        let job = changed_at(&client, &bucket, ("d/a.parquet", 2), csv(sql), || {
            assert_eq!(host.statements()?, 1, "it runs in a process of its own");
            bucket.trouble(&bucket.name, Trouble::Refused(403, "AccessDenied"), usize::MAX);
            Ok(())
        });
        let job = job.await?;
        let error = failed_at_once(&job, "engine-failed");
        assert_eq!(error["detail"], "a.parquet cannot be read", "{sql}");
        bucket.mend();
        nothing_left(&host, &job).await?;
    }
    logged(&host, &format!("access to the bucket {} is denied", bucket.name)).await
}

async fn an_object_that_is_replaced_or_goes_while_a_statement_reads_is_a_conflict(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    let (small, old, new) =
        (numbers_from(0, 10)?, numbers_from(0, 150_000)?, numbers_from(1_000_000, 150_000)?);
    // Before it is read, in the middle of it, and once more in the middle.
    let changes = [(0, Some(&new)), (2, Some(&new)), (1, None)];
    // A data set for each, which nobody reads again while its files change.
    let cases: Vec<_> = STATEMENTS
        .into_iter()
        .flat_map(|sql| changes.map(|change| (sql, change)))
        .enumerate()
        .map(|(number, case)| (format!("far{number}"), format!("d{number}/"), case))
        .collect();
    for (_, place, _) in &cases {
        bucket.put(&format!("{place}a.parquet"), &small)?;
        bucket.put(&format!("{place}b.parquet"), &old)?;
    }
    let datasets: Vec<_> = cases.iter().map(|(name, place, _)| (name.as_str(), place.as_str())).collect();
    let host = over(&bucket, &datasets).await?;
    let client = client(&host)?;
    for (name, place, (sql, (pass, with))) in &cases {
        let (sql, key) = (sql.replace("far", name), format!("{place}b.parquet"));
        let job = changed_at(&client, &bucket, (&key, *pass), csv(&sql), || match with {
            Some(bytes) => bucket.put(&key, bytes),
            None => bucket.remove(&key),
        });
        let job = job.await?;
        let error = failed_at_once(&job, "conflict");
        let words =
            if with.is_some() { "b.parquet is not the file that it was" } else { "b.parquet is gone" };
        assert!(error["detail"].as_str().unwrap().ends_with(words), "{sql}, after {pass}: {error}");
        nothing_left(&host, &job).await?;
    }

    // Whoever asks then gets all of what is there.
    let counted = "SELECT count(*) AS k, max(n) AS most FROM ";
    assert_eq!(text(&client, &format!("{counted}far1")).await?, "k,most\n150010,1149999\n");
    assert_eq!(text(&client, &format!("{counted}far2")).await?, "k,most\n10,9\n");
    Ok(())
}

async fn what_passes_is_not_seen_and_what_stays_fails_a_statement_after_its_tries(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    bucket.put("d/a.parquet", &numbers_from(0, 100_000)?)?;
    let host = over(&bucket, &[("far", "d/")]).await?;
    let client = client(&host)?;
    let expected = text(&client, STATEMENTS[2]).await?;
    for (trouble, times) in
        [(Trouble::Break, 3), (Trouble::Refused(503, "SlowDown"), 3), (Trouble::Silence, 1)]
    {
        bucket.trouble("d/a.parquet", trouble, times);
        assert!(text(&client, STATEMENTS[2]).await? == expected, "{trouble:?}");
        bucket.mend();
    }
    bucket.trouble("d/a.parquet", Trouble::Break, usize::MAX);
    let job = client.submit(csv(STATEMENTS[0])).await?;
    let job = client.ended(&job).await?;
    assert_eq!((&job["state"], &job["attempts"]), (&json!("failed"), &json!(3)), "{job}");
    assert!(job["error"]["type"].as_str().unwrap().ends_with("/problems/unavailable"), "{job}");
    assert_eq!(job["error"]["detail"], "a.parquet cannot be read now", "{job}");
    nothing_left(&host, &job).await?;
    logged(&host, &format!("S3 does not answer for the bucket {}", bucket.name)).await
}

willcall_tests::scenarios! {
    one_box: [
        statements_over_s3_give_what_they_give_over_the_same_files_on_disk,
        a_statement_that_is_refused_an_object_fails_at_once,
        a_bucket_that_closes_while_a_statement_reads_fails_it,
        an_object_that_is_replaced_or_goes_while_a_statement_reads_is_a_conflict,
        what_passes_is_not_seen_and_what_stays_fails_a_statement_after_its_tries,
    ],
}
