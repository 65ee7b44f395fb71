//! Items that come in uploaded files.

use std::io::Write;

use bytes::Bytes;
use serde_json::{Value, json};
use willcall_core::{
    job::ProblemType,
    ports::{BlobKey, BlobStore, ExecuteError, Executor as _},
};

use crate::{
    scripted::{Script, Scripted},
    world::{World, tally, upstream},
};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

async fn scripted() -> Scripted {
    Scripted::start(|_| Script::json("{}")).await
}

fn got(scripted: &Scripted) -> Vec<Value> {
    let mut seen = scripted.seen();
    seen.sort_by_key(|seen| seen.number());
    seen.iter().map(|seen| seen.item()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn items_without_an_id_are_named_by_their_numbers_from_where_the_batch_says() {
    let scripted = scripted().await;
    let lines = b"{\"n\": 1}\n{\"n\": 2, \"id\": 7}\n[]\n";
    let mut world =
        World::uploaded(upstream(&scripted, "/", json!({})), &[("a.jsonl", "application/x-ndjson", lines)])
            .await;
    world.work.first_item = Some(1_001);
    let (outcomes, _) = world.run().await;
    let ids: Vec<&str> = outcomes.iter().map(|outcome| outcome.id.text()).collect();
    assert_eq!(ids, ["1001", "7", "1003"]);
    let keys: Vec<u64> = scripted.seen().iter().map(|seen| seen.number()).collect();
    assert!(keys.iter().all(|key| *key <= 3), "what is sent upstream is keyed within the batch: {keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_files_are_sent_as_they_were_written() {
    let scripted = scripted().await;
    let lines = b"{\"id\": 1e400, \"n\": [ -0.0, 12345678901234567890123 ]}\n";
    let more = json!({
        "input": { "properties": { "m": { "type": "number" }, "id": { "type": "number" } } },
    });
    let files: [(&str, &str, &[u8]); 2] = [
        ("a.jsonl", "application/x-ndjson", lines),
        ("b.csv", "text/csv", b"id,m\n0.1000000000000000055,1E500\n"),
    ];
    let world = World::uploaded(upstream(&scripted, "/{id}", more), &files).await;
    let (outcomes, _) = world.run().await;
    let ids: Vec<&str> = outcomes.iter().map(|outcome| outcome.id.text()).collect();
    assert_eq!(ids, ["1e400", "0.1000000000000000055"]);
    let mut seen = scripted.seen();
    seen.sort_by_key(|seen| seen.number());
    let sent: Vec<(&str, &str)> = seen.iter().map(|seen| (seen.line.as_str(), seen.body.as_str())).collect();
    let expected = [
        ("POST /1e400 HTTP/1.1", r#"{"id":1e400,"n":[-0.0,12345678901234567890123]}"#),
        ("POST /0.1000000000000000055 HTTP/1.1", r#"{"id":0.1000000000000000055,"m":1E500}"#),
    ];
    assert_eq!(sent, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_csv_that_is_no_number_of_json_is_not_sent_as_one() {
    let scripted = scripted().await;
    let number = json!({ "input": { "properties": { "n": { "type": "number" } } } });
    let rows = b"id,n\n1,01e400\n2,1.e400\n3,-.5e400\n4,1e400\n";
    let world = World::uploaded(upstream(&scripted, "/", number), &[("a.csv", "text/csv", rows)]).await;
    let (outcomes, delivered) = world.run().await;
    assert_eq!(tally(&outcomes, &delivered), [1, 0, 0, 3]);
    for outcome in &outcomes[..3] {
        let said = outcome.error.as_ref().unwrap();
        assert!(said.contains("/n: must be number"), "{said}");
    }
    assert_eq!(scripted.seen()[0].body, r#"{"id":"4","n":1e400}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_every_format_are_items_in_the_order_of_the_files() {
    let scripted = scripted().await;
    let schema = json!({
        "properties": { "age": { "type": "integer" }, "vip": { "type": "boolean" }, "zip": { "type": "string" } }
    });
    let jsonl = gzip(b"{\"id\": 1, \"deep\": {\"a\": [1, null]}, \"none\": null}\n{\"id\": 2}\n");
    let zstd = zstd::bulk::compress(b"[{\"id\": 3}, {\"id\": 4}]", 3).unwrap();
    let world = World::uploaded(
        upstream(&scripted, "/", json!({ "input": schema })),
        &[
            ("a.csv", "text/csv", b"\xef\xbb\xbfid,age,vip,zip,note\nx,42,true,007,\ny,old,,1,\"a\nb\"\n"),
            ("b.jsonl.gz", "application/gzip", &jsonl),
            ("c.json.zst", "application/zstd", &zstd),
        ],
    )
    .await;
    let (outcomes, delivered) = world.run().await;
    assert_eq!(tally(&outcomes, &delivered), [5, 0, 0, 1]);
    let ids: Vec<Value> = outcomes.iter().map(|outcome| outcome.id.value().unwrap()).collect();
    assert_eq!(ids, [json!("x"), json!("y"), json!(1), json!(2), json!(3), json!(4)]);
    assert!(
        outcomes[1].error.as_ref().unwrap().contains("/age: must be integer"),
        "text that is no number stays text"
    );
    let expected = [
        json!({ "id": "x", "age": 42, "vip": true, "zip": "007" }),
        json!({ "id": 1, "deep": { "a": [1, null] }, "none": null }),
        json!({ "id": 2 }),
        json!({ "id": 3 }),
        json!({ "id": 4 }),
    ];
    assert_eq!(got(&scripted), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_is_told_and_the_others_are_sent() {
    let scripted = scripted().await;
    let world = World::uploaded(
        upstream(&scripted, "/", json!({})),
        &[
            ("a.csv", "text/csv", b"id,b\n1,x\n2\n3,y,z\n4,w\n"),
            ("b.jsonl", "application/x-ndjson", b"{\"id\": 5}\n[]\n{\"id\": \n{\"id\": 8}\n"),
        ],
    )
    .await;
    let (outcomes, delivered) = world.run().await;
    assert_eq!(tally(&outcomes, &delivered), [4, 0, 0, 4]);
    let malformed: Vec<Value> =
        outcomes.iter().filter(|o| o.attempts == 0).map(|o| o.id.value().unwrap()).collect();
    assert_eq!(malformed, [json!(2), json!(3), json!(6), json!(7)], "named by their numbers");
    for (place, words) in [(1, "a.csv: row 2, line 3"), (5, "b.jsonl: row 2, line 2")] {
        let said = outcomes[place].error.as_ref().unwrap();
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_it_should_be_fails_before_anything_is_sent() {
    let scripted = scripted().await;
    let whole = gzip(&b"{\"id\": 1}\n".repeat(5000));
    let deep = format!("[{}", "[".repeat(100_000));
    for (name, media_type, bytes, words) in [
        ("half.jsonl.gz", "application/gzip", &whole[..whole.len() - 10], "half.jsonl.gz: "),
        ("empty.csv", "text/csv", b"", "empty.csv: "),
        ("a.parquet", "application/vnd.apache.parquet", b"PAR1xxxxPAR1", "a.parquet: "),
        ("twice.csv", "text/csv", b"id,id\n1,2\n", "names the column \"id\" twice"),
        ("no.json", "application/json", b"{\"id\": 1}", "no.json: "),
        ("deep.json", "application/json", deep.as_bytes(), "deep.json: "),
        ("page.csv", "application/gzip", b"<html>\n", "page.csv: "),
    ] {
        let files = [("good.csv", "text/csv", &b"id\n1\n2\n"[..]), (name, media_type, bytes)];
        let world = World::uploaded(upstream(&scripted, "/", json!({})), &files).await;
        let error = world.attempt(1).await;
        let Err(ExecuteError::Fatal { problem, .. }) = error else { panic!("{name}: {error:?}") };
        assert_eq!(problem.kind, ProblemType::InvalidRequest, "{name}");
        assert!(problem.detail.contains(words), "{name}: {}", problem.detail);
    }
    assert_eq!(scripted.count(), 0, "nothing of the good file either");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_after_it_arrived_is_not_sent() {
    let scripted = scripted().await;
    let files = [("a.csv", "text/csv", &b"id\n1\n"[..])];
    let world = World::uploaded(upstream(&scripted, "/", json!({})), &files).await;
    let key = BlobKey::Upload { job: world.job.clone(), file: 0 };
    world.blobs.put(&key, "text/csv", Bytes::from_static(b"id\n2\n")).await.unwrap();
    let Err(ExecuteError::Fatal { problem, .. }) = world.attempt(1).await else { panic!("not for good") };
    assert_eq!(problem.kind, ProblemType::Conflict);
    assert_eq!(scripted.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_sent_and_told_in_order() {
    let scripted = scripted().await;
    let mut text = String::from("id\n");
    for n in 0..3000 {
        text += &format!("r{n}\n");
    }
    let files = [("a.csv", "text/csv", text.as_bytes())];
    let world =
        World::uploaded(upstream(&scripted, "/", json!({ "concurrency": 32, "idempotent": true })), &files)
            .await;
    let (outcomes, delivered) = world.run().await;
    assert_eq!(tally(&outcomes, &delivered), [3000, 0, 0, 0]);
    assert!(outcomes.iter().enumerate().all(|(n, outcome)| outcome.id == json!(format!("r{n}"))));
    assert_eq!(scripted.count(), 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_takes_long_to_count_holds_up_nobody_who_stops_the_job() {
    let scripted = Scripted::start(|_| Script::json("{}")).await;
    let mut large = b"id\n".to_vec();
    for number in 0..3_000_000 {
        large.extend_from_slice(format!("{number}\n").as_bytes());
    }
    let files: [(&str, &str, &[u8]); 1] = [("a.csv", "text/csv", &large)];
    let world = World::uploaded(upstream(&scripted, "/", json!({})), &files).await;
    let control: std::sync::Arc<willcall_core::ports::Control> = Default::default();
    let (executor, task) = (std::sync::Arc::clone(&world.executor), world.task(1, &control));
    let running = tokio::spawn(async move { executor.execute(task).await });
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    control.cancel();
    let soon = std::time::Duration::from_secs(1);
    let ended = tokio::time::timeout(soon, running).await.unwrap().unwrap();
    assert!(matches!(ended, Err(ExecuteError::Cancelled)), "{ended:?}");
    assert_eq!(scripted.count(), 0);
}
