//! Files that are not what they should be, and files that change.

use std::{io::Write, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use willcall_core::{
    job::ProblemType,
    ports::{ExecuteError, Executor, Input, Task},
};

use super::{CSV, append, append_task, counts, csv, exact, gzip, letters, parquet, problem, support::*};

#[tokio::test]
async fn a_file_that_is_not_what_it_should_be_fails_the_batch_and_says_where() {
    let data = letters();
    let damaged = {
        let mut bytes = gzip("k\na\nb\n".repeat(1000).as_bytes()).to_vec();
        bytes.truncate(bytes.len() - 9);
        Bytes::from(bytes)
    };
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(b"k\n").unwrap();
        encoder.write_all(&vec![b'a'; 40 << 20]).unwrap();
        Bytes::from(encoder.finish().unwrap())
    };
    let columns = |names: Vec<String>| {
        let column = Arc::new(StringArray::from(vec!["a"])) as ArrayRef;
        parquet(
            &RecordBatch::try_from_iter(names.into_iter().map(|name| (name, Arc::clone(&column)))).unwrap(),
        )
    };
    let twice = columns(vec!["k".into(), "x".into(), "x".into()]);
    let wide = columns((0..1001).map(|n| format!("k{n}")).collect());
    let half = Bytes::from("[{\"k\":\"a\"},\n{\"k\":");
    for (name, media_type, bytes, words) in [
        ("a.csv", CSV, Bytes::new(), &["a.csv is empty"][..]),
        ("a.jsonl", "application/x-ndjson", Bytes::from("\n\n"), &["a.jsonl is empty"]),
        ("a.csv", CSV, Bytes::from("x,y\n1,2\n"), &["a.csv has no column \"k\"", "\"x\", \"y\""]),
        ("a.jsonl", "application/x-ndjson", Bytes::from("{\"x\":1}\n"), &["no column \"k\"", "\"x\""]),
        ("a.csv", CSV, Bytes::from("k,k\n1,2\n"), &["a.csv: line 1", "twice"]),
        ("a.csv", CSV, Bytes::from("k,x\na,1\nb,\"2\na,3\n"), &["a.csv: line 3", "quote", "not closed"]),
        ("a.csv", CSV, Bytes::from("{\"k\":1}\n"), &["a.csv", "declared to be CSV", "JSON object"]),
        ("a.json", "application/json", Bytes::from("k\na\n"), &["a.json", "declared to be a JSON array"]),
        ("a.csv.gz", "application/gzip", Bytes::from("k\na\n"), &["declared to be gzip"]),
        ("a.csv.gz", "application/gzip", damaged, &["a.csv.gz", "cut short", "byte"]),
        ("a.csv.gz", "application/gzip", bomb, &["a.csv.gz", "inflate to", "limit"]),
        ("a.json", "application/json", half, &["a.json: line 2", "cut short"]),
        (
            "a.csv",
            CSV,
            parquet(
                &RecordBatch::try_from_iter([("k", Arc::new(StringArray::from(vec!["a"])) as _)]).unwrap(),
            ),
            &["a.csv", "is Parquet"],
        ),
        (
            "a.parquet",
            "application/vnd.apache.parquet",
            Bytes::from("k\na\nb\nc\nd\n"),
            &["a.parquet", "damaged or not Parquet"],
        ),
        ("a.parquet", "application/vnd.apache.parquet", twice, &["a.parquet", "\"x\" twice"]),
        ("a.parquet", "application/vnd.apache.parquet", wide, &["a.parquet has 1001 columns", "limit"]),
        ("a.bin", "application/octet-stream", Bytes::from("%PDF-1.7 ..."), &["a.bin", "PDF"]),
    ] {
        let problem = problem(&data, exact("k"), &[(name, media_type, bytes)]).await;
        assert_eq!(problem.kind, ProblemType::InvalidRequest, "{name}: {}", problem.detail);
        for word in words {
            assert!(problem.detail.contains(word), "{word}: {}", problem.detail);
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_not_the_pinned_one_is_a_conflict() {
    let data = letters();
    for (other, words) in [(Some("k\nb\n"), "is not the file that arrived"), (None, "is gone")] {
        let blobs = Arc::new(MemoryBlobs::default());
        let task = append_task(&data, exact("k"), &csv("k\na\n"), &blobs).await;
        let Input::Files(files) = &task.input else { panic!("no files") };
        match other {
            Some(text) => blobs.set(&files[0].key.to_string(), Bytes::from(text)),
            None => drop(blobs.remove(&files[0].key)),
        }
        match engine(2).execute(task).await {
            Err(ExecuteError::Fatal { problem, .. }) => {
                assert_eq!(problem.kind, ProblemType::Conflict);
                assert!(
                    problem.detail.contains(words) && problem.detail.contains("rows.csv"),
                    "{}",
                    problem.detail
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn batches_of_one_container_read_the_same_files_or_conflict() {
    let data = letters();
    let blobs = Arc::new(MemoryBlobs::default());
    let first = append_task(&data, exact("k"), &csv("k\na\n"), &blobs).await;
    let mut second = append_task(&data, exact("k"), &csv("k\nc\n"), &blobs).await;
    second.snapshot = first.snapshot.clone();
    let one = engine(2).execute(first.clone()).await.unwrap();
    let two = engine(2).execute(Task { attempt: 1, ..second.clone() }).await.unwrap();
    assert_eq!(one.dataset, two.dataset);
    let k: ArrayRef = Arc::new(StringArray::from(vec!["c"]));
    let v: ArrayRef = Arc::new(Int64Array::from(vec![60]));
    let batch = RecordBatch::try_from_iter([("k", k), ("v", v)]).unwrap();
    write_parquet(&data.dir.path().join("data.parquet"), &[batch], 10);
    match engine(2).execute(Task { attempt: 2, control: Arc::default(), ..second }).await {
        Err(ExecuteError::Fatal { problem, .. }) => assert_eq!(problem.kind, ProblemType::Conflict),
        other => panic!("{other:?}"),
    }
    let third = append_task(&data, exact("k"), &csv("k\nc\n"), &blobs).await;
    let three = engine(2).execute(third).await.unwrap();
    assert_ne!(three.dataset, one.dataset);
}

#[tokio::test]
async fn no_rows_are_a_result_without_records() {
    let data = letters();
    let ran = append(&data, exact("k"), &csv("k,x\n")).await;
    assert_eq!(ran.text(), "k,x,v,_match,_error\n");
    assert_eq!((ran.delivered.counts, ran.delivered.pages), (counts(0, 0, 0, 0, 0), Some(1)));
    let ran = append(&data, exact("k"), &[("r.json", "application/json", Bytes::from("[]"))]).await;
    assert_eq!(ran.text(), "v,_match,_error\n");
}
