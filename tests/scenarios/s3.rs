//! Data sets in S3 on one box: the same as on its disk, and whatever goes wrong on the way there.

use std::{fs, io::Write, time::Duration};

use anyhow::{Result, ensure};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use willcall_tests::{Bucket, Client, Directory, On, OneBox, Operator, Trouble, id, numbers_from, unique};

/// How long the host may take to notice what has changed in S3.
const NOTICE: Duration = Duration::from_secs(30);

pub(crate) const SALES: [(&str, i64); 3] =
    [("year=2025/month=12", 0), ("year=2026/month=1", 40_000), ("year=2026/month=2", 80_000)];

/// A host over data sets in the bucket, each a name and a key, and over `numbers`, which lies on its disk.
pub(crate) async fn over(bucket: &Bucket, datasets: &[(&str, &str)]) -> Result<OneBox> {
    start(bucket, datasets, Bucket::credentials()).await
}

async fn start(
    bucket: &Bucket,
    datasets: &[(&str, &str)],
    environment: Vec<(&'static str, String)>,
) -> Result<OneBox> {
    let located: Vec<_> = datasets.iter().map(|(name, key)| (*name, bucket.location(key))).collect();
    let mut datasets: Vec<_> = located.iter().map(|(name, location)| (*name, location.as_str())).collect();
    datasets.push(("numbers", "near.csv"));
    let directory = Directory::new(&datasets, |folder| Ok(fs::write(folder.join("near.csv"), "n\n1\n2\n")?))?;
    // One after the other, so that a job can be made to wait for another.
    OneBox::start_with(directory.with(&bucket.endpoint())?, environment, &["--workers", "1"]).await
}

/// A host over the same files in the bucket and on its disk, those below `sales/` and below `leads/` each a data set:
/// `far-sales`, `near-sales` and so on. `numbers` is `near-sales` once more.
pub(crate) async fn over_both(bucket: &Bucket, files: &[(String, Vec<u8>)]) -> Result<OneBox> {
    for (key, bytes) in files {
        bucket.put(key, bytes)?;
    }
    let far = ["sales", "leads"].map(|name| (format!("far-{name}"), bucket.location(&format!("{name}/"))));
    let mut datasets: Vec<_> = far.iter().map(|(name, place)| (name.as_str(), place.as_str())).collect();
    datasets.extend([("near-sales", "sales"), ("near-leads", "leads"), ("numbers", "sales")]);
    let directory = Directory::new(&datasets, |folder| {
        for (key, bytes) in files {
            let path = folder.join(key);
            fs::create_dir_all(path.parent().unwrap())?;
            fs::write(path, bytes)?;
        }
        Ok(())
    })?;
    OneBox::start_with(directory.with(&bucket.endpoint())?, Bucket::credentials(), &[]).await
}

pub(crate) fn zipped(text: &str) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?)
}

/// Lines of CSV with a header, all of one length.
pub(crate) fn lines(from: u64, rows: u64) -> String {
    let row = |n: u64| format!("{n:012},{:016x}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    "n,word\n".to_owned() + &(from..from + rows).map(row).collect::<String>()
}

pub(crate) async fn manifest(client: &Client, job: &Value) -> Result<Value> {
    client.get(&format!("/v1/jobs/{}/manifest", id(job))).await?.json()
}

/// What `catalog check` says of what is wrong.
fn complaints(host: &OneBox) -> Result<String> {
    let checked = host.command(&["catalog", "check"])?.output()?;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    ensure!(!checked.status.success(), "nothing is wrong: {said}");
    Ok(said)
}

/// Waits for the log to say it.
pub(crate) async fn logged(host: &OneBox, words: &str) -> Result<()> {
    let begun = std::time::Instant::now();
    while !host.log().contains(words) {
        ensure!(begun.elapsed() < NOTICE, "no {words:?} in {}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn serves_what_is_near(host: &OneBox) -> Result<()> {
    let job = host.client().run(json!({"dataset": "numbers"})).await?;
    ensure!(job["result"]["records"] == 2, "{job}");
    Ok(())
}

/// Fails unless the job has, in its first attempt, with a problem of that type; answers the problem.
pub(crate) fn failed_at_once(job: &Value, problem: &str) -> Value {
    let error = job["error"].clone();
    assert_eq!((&job["state"], &job["attempts"]), (&json!("failed"), &json!(1)), "{job}");
    assert!(error["type"].as_str().unwrap().ends_with(&format!("/problems/{problem}")), "{job}");
    assert_eq!(job["result"], Value::Null);
    error
}

async fn files_in_s3_give_what_the_same_files_on_disk_give(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    let mut files = Vec::new();
    for (part, start) in SALES {
        files.push((format!("sales/{part}/part.parquet"), numbers_from(start, 40_000)?));
    }
    for (name, from) in [("leads/a.csv.gz", 0), ("leads/b.csv.gz", 100_000)] {
        files.push((name.to_owned(), zipped(&lines(from, 30_000))?));
    }
    // What is no file of a data set is passed over in either place.
    files.push(("sales/_SUCCESS".into(), Vec::new()));
    let host = over_both(&bucket, &files).await?;
    let client = host.client();
    for name in ["sales", "leads"] {
        let of = async |place: &str| -> Result<Value> {
            let mut found = client.get(&format!("/v1/datasets/{place}-{name}")).await?.json()?;
            for own in ["name", "link", "version", "updated", "modified"] {
                found.as_object_mut().unwrap().remove(own);
            }
            Ok(found)
        };
        let (far, near) = (of("far").await?, of("near").await?);
        assert_eq!(far["columns"], near["columns"]);
        assert_eq!((&far["records"], &far["bytes"]), (&near["records"], &near["bytes"]));
    }
    for (name, query) in [
        ("sales", json!({"format": "csv"})),
        ("sales", json!({"format": "parquet", "filter": "month = 2 AND word = 'red'"})),
        (
            "sales",
            json!({"format": "jsonl", "sort": ["-mixed"], "limit": 1_000, "fields": ["mixed", "year"]}),
        ),
        ("leads", json!({"format": "csv"})),
        (
            "leads",
            json!({"format": "json", "filter": "n < '000000000100' OR n >= '000000129000'", "sort": ["-word"]}),
        ),
    ] {
        let mut results = Vec::new();
        for place in ["far", "near"] {
            let mut query = query.clone();
            query["dataset"] = json!(format!("{place}-{name}"));
            let job = client.run(query).await?;
            client.assert_whole(&job).await?;
            let source = manifest(&client, &job).await?["source"].clone();
            results.push((client.fetch(&job).await?, source["files"].clone(), source["files_read"].clone()));
        }
        assert!(results[0].0.len() > 100);
        assert!(results[0] == results[1], "{name} {query}: {:?} {:?}", results[0].1, results[1].1);
    }
    Ok(())
}

async fn objects_that_the_filter_rules_out_are_not_asked_for(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    for (part, start) in SALES {
        bucket.put(&format!("sales/{part}/part.parquet"), &numbers_from(start, 1_000)?)?;
    }
    let host = over(&bucket, &[("sales", "sales/")]).await?;
    let client = host.client();
    bucket.asked();
    let job = client.run(json!({"dataset": "sales", "filter": "year = 2026 AND month > 1"})).await?;
    assert_eq!(job["result"]["records"], 1_000);
    let source = manifest(&client, &job).await?["source"].clone();
    assert_eq!((&source["files"], &source["files_read"]), (&json!(3), &json!(1)), "{source}");
    let read: Vec<String> =
        bucket.asked().into_iter().filter(|asked| asked.contains("part.parquet")).collect();
    assert!(!read.is_empty() && read.iter().all(|asked| asked.contains("month%3D2")), "{read:?}");
    assert!(!job.to_string().contains(&bucket.name), "no place of the operator's is shown: {job}");
    Ok(())
}

async fn a_bucket_that_refuses_is_named_with_what_it_takes(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    bucket.put("d/a.parquet", &numbers_from(0, 1_000)?)?;
    bucket.trouble(&bucket.name, Trouble::Refused(403, "AccessDenied"), usize::MAX);
    let host = over(&bucket, &[("far", "d/")]).await?;
    let client = host.client();
    let denied = format!("access to the bucket {} is denied", bucket.name);
    logged(&host, &denied).await?;
    let said = complaints(&host)?;
    assert!(said.contains("datasets.far") && said.contains(&denied), "{said}");
    assert!(said.contains("s3:ListBucket and s3:GetObject"), "{said}");
    serves_what_is_near(&host).await?;
    let answer = client.post("/v1/jobs", &json!({"kind": "query", "dataset": "far"})).await?;
    assert_eq!((answer.status, answer.problem()?.as_str()), (400, "invalid-request"), "{}", answer.text());

    // Once it is let in, no restart is needed.
    bucket.mend();
    let begun = std::time::Instant::now();
    while client.get("/v1/datasets/far").await?.status != 200 {
        ensure!(begun.elapsed() < NOTICE, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.run(json!({"dataset": "far"})).await?["result"]["records"], 1_000);
    Ok(())
}

async fn a_job_that_is_refused_an_object_fails_at_once(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    for name in ["a", "b"] {
        bucket.put(&format!("d/{name}.parquet"), &numbers_from(0, 1_000)?)?;
    }
    let host = over(&bucket, &[("far", "d/")]).await?;
    let client = host.client();
    for (code, words) in [
        ("AccessDenied", format!("access to the bucket {} is denied", bucket.name)),
        ("InvalidObjectState", format!("an object of the bucket {} is archived: restore it", bucket.name)),
    ] {
        bucket.trouble("d/b.parquet", Trouble::Refused(403, code), usize::MAX);
        let job = client.submit(json!({"dataset": "far", "format": "jsonl"})).await?;
        let job = client.ended(&job).await?;
        let error = failed_at_once(&job, "engine-failed");
        assert!(error["detail"].as_str().unwrap().contains("b.parquet"), "{error}");
        assert!(!job.to_string().contains(&bucket.name), "no place of the operator's is shown: {job}");
        logged(&host, &words).await?;
        bucket.mend();
    }
    serves_what_is_near(&host).await
}

async fn a_bucket_that_is_missing_is_named(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    let missing = format!("missing-{}", unique());
    let location = format!("s3://{missing}/d/");
    let object = format!("s3://{missing}/d.csv");
    let directory =
        Directory::new(&[("far", &location), ("one", &object), ("numbers", "near.csv")], |folder| {
            Ok(fs::write(folder.join("near.csv"), "n\n1\n2\n")?)
        })?;
    let host = OneBox::start_with(directory.with(&bucket.endpoint())?, Bucket::credentials(), &[]).await?;
    let said = complaints(&host)?;
    let words = format!("there is no bucket {missing}");
    for name in ["far", "one"] {
        let line = said.lines().find(|line| line.trim_start().starts_with(&format!("datasets.{name}: ")));
        assert!(line.is_some_and(|line| line.contains(&words)), "{name}: {said}");
    }
    logged(&host, &words).await?;
    serves_what_is_near(&host).await
}

/// Runs a query that waits at a read of an object, after so many that pass, changes the bucket meanwhile, and answers
/// the job as it has ended.
pub(crate) async fn changed_at(
    client: &Client,
    bucket: &Bucket,
    (key, pass): (&str, usize),
    query: Value,
    change: impl FnOnce() -> Result<()>,
) -> Result<Value> {
    bucket.hold(&format!("GET /{}/{key}", bucket.name), pass);
    let job = client.submit(query).await?;
    bucket.held().await?;
    change()?;
    bucket.release();
    client.ended(&job).await
}

async fn an_object_that_is_replaced_while_a_job_reads_is_a_conflict(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    let (old, new) = (numbers_from(0, 300_000)?, numbers_from(1_000_000, 300_000)?);
    bucket.put("p/a.parquet", &numbers_from(0, 10)?)?;
    bucket.put("p/b.parquet", &old)?;
    let (old_lines, new_lines) = (lines(0, 150_000), lines(500_000, 150_000));
    assert_eq!(old_lines.len(), new_lines.len(), "its size does not tell");
    bucket.put("t/a.csv", old_lines.as_bytes())?;
    let host = over(&bucket, &[("parquet", "p/"), ("text", "t/")]).await?;
    let client = host.client();
    let parquet = json!({"dataset": "parquet", "format": "csv"});
    // Before it is read, and in the middle of it.
    for pass in [0, 2] {
        let job = changed_at(&client, &bucket, ("p/b.parquet", pass), parquet.clone(), || {
            bucket.put("p/b.parquet", &new)
        });
        let job = job.await?;
        let error = failed_at_once(&job, "conflict");
        assert!(
            error["detail"].as_str().unwrap().contains("b.parquet is not the file that it was"),
            "{error}"
        );
        let stored = host.stored(&job).await?;
        assert!(stored.iter().all(|name| name.ends_with("/snapshot.json")), "{stored:?}");
        bucket.put("p/b.parquet", &old)?;
    }
    let text = json!({"dataset": "text", "format": "csv"});
    let job = changed_at(&client, &bucket, ("t/a.csv", 4), text.clone(), || {
        bucket.put("t/a.csv", new_lines.as_bytes())
    });
    let error = failed_at_once(&job.await?, "conflict");
    assert!(error["detail"].as_str().unwrap().contains("a.csv"), "{error}");

    // Whoever asks then gets all of the new ones.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let job = client.run(parquet).await?;
    assert_eq!(job["result"]["records"], 300_010);
    let job = client.run(text).await?;
    let rows = String::from_utf8(client.fetch(&job).await?)?;
    assert_eq!(rows.lines().count(), 150_001);
    assert!(rows.lines().skip(1).all(|row| row >= "000000500000"), "a mix of two versions");
    Ok(())
}

async fn an_object_that_goes_before_its_job_is_worked_on_is_a_conflict(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    bucket.put("slow/a.parquet", &numbers_from(0, 1_000)?)?;
    bucket.put("gone.csv", lines(0, 10).as_bytes())?;
    bucket.put("two/a.csv", lines(0, 10).as_bytes())?;
    bucket.put("two/b.csv", lines(10, 10).as_bytes())?;
    let host = over(&bucket, &[("slow", "slow/"), ("gone", "gone.csv"), ("two", "two/")]).await?;
    let client = host.client();
    bucket.hold("slow/a.parquet", 0);
    let slow = client.submit(json!({"dataset": "slow"})).await?;
    bucket.held().await?;
    let gone = client.submit(json!({"dataset": "gone"})).await?;
    bucket.remove("gone.csv")?;
    bucket.release();
    assert_eq!(client.ended(&slow).await?["state"], "completed");
    let error = failed_at_once(&client.ended(&gone).await?, "conflict");
    // Told by the catalog, or by the files where the catalog has not looked since.
    assert!(error["detail"].as_str().unwrap().contains("the data set"), "{error}");

    // And one of several that goes after they were listed.
    let job = changed_at(&client, &bucket, ("two/b.csv", 0), json!({"dataset": "two"}), || {
        bucket.remove("two/b.csv")
    });
    let error = failed_at_once(&job.await?, "conflict");
    assert!(error["detail"].as_str().unwrap().contains("b.csv is gone"), "{error}");
    Ok(())
}

async fn an_endpoint_that_hangs_or_breaks_off_is_asked_again(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    bucket.put("d/a.parquet", &numbers_from(0, 100_000)?)?;
    let host = over(&bucket, &[("far", "d/")]).await?;
    let client = host.client();
    let query = json!({"dataset": "far", "format": "csv"});
    let expected = client.fetch(&client.run(query.clone()).await?).await?;
    for (what, trouble, times) in [
        ("d/a.parquet", Trouble::Break, 3),
        ("d/a.parquet", Trouble::Refused(503, "SlowDown"), 3),
        ("d/a.parquet", Trouble::Silence, 1),
        ("list-type", Trouble::Break, 2),
    ] {
        bucket.trouble(what, trouble, times);
        let job = client.run(query.clone()).await?;
        assert_eq!(client.fetch(&job).await?, expected, "{trouble:?}");
        bucket.mend();
    }
    Ok(())
}

async fn an_endpoint_that_stays_away_fails_the_job_after_its_tries(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    bucket.put("d/a.parquet", &numbers_from(0, 100_000)?)?;
    let host = over(&bucket, &[("far", "d/")]).await?;
    let client = host.client();
    bucket.trouble(&bucket.name, Trouble::Break, usize::MAX);
    let job = client.submit(json!({"dataset": "far"})).await?;
    // What does not need it goes on meanwhile.
    serves_what_is_near(&host).await?;
    let job = client.ended(&job).await?;
    assert_eq!((&job["state"], &job["attempts"]), (&json!("failed"), &json!(3)), "{job}");
    assert!(job["error"]["type"].as_str().unwrap().ends_with("/problems/unavailable"), "{job}");
    logged(&host, &format!("S3 does not answer for the bucket {}", bucket.name)).await?;
    // What was known of the data set is known still, and the next job finds it.
    bucket.mend();
    assert_eq!(client.run(json!({"dataset": "far", "limit": 7})).await?["result"]["records"], 7);
    Ok(())
}

async fn credentials_that_are_missing_are_asked_for(_: On) -> Result<()> {
    let bucket = Bucket::new()?;
    bucket.put("d/a.parquet", &numbers_from(0, 10)?)?;
    for (environment, words) in [
        (
            vec![("AWS_EC2_METADATA_DISABLED", "true".to_owned())],
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (vec![("AWS_PROFILE", "mine".to_owned())], "profiles are not read here"),
        (vec![("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned())], "set both"),
    ] {
        let host = start(&bucket, &[("far", "d/")], environment).await?;
        let said = complaints(&host)?;
        assert!(said.contains("datasets.far") && said.contains(words), "{said}");
        logged(&host, words).await?;
        serves_what_is_near(&host).await?;
    }
    assert!(bucket.asked().is_empty(), "nothing is asked for without them");
    Ok(())
}

willcall_tests::scenarios! {
    one_box: [
        files_in_s3_give_what_the_same_files_on_disk_give,
        objects_that_the_filter_rules_out_are_not_asked_for,
        a_bucket_that_refuses_is_named_with_what_it_takes,
        a_job_that_is_refused_an_object_fails_at_once,
        a_bucket_that_is_missing_is_named,
        an_object_that_is_replaced_while_a_job_reads_is_a_conflict,
        an_object_that_goes_before_its_job_is_worked_on_is_a_conflict,
        an_endpoint_that_hangs_or_breaks_off_is_asked_again,
        an_endpoint_that_stays_away_fails_the_job_after_its_tries,
        credentials_that_are_missing_are_asked_for,
    ],
}
