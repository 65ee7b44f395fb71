//! Faults: files that are damaged, changed or gone, stores that fail, jobs that are stopped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    fs,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use support::*;
use willcall_core::{
    catalog::DatasetSource,
    format::Format,
    job::{ProblemType, kinds::SortKey},
    ports::*,
    query::{Filter, Operand},
};
use willcall_engine::ParquetInspector;

fn numbers(rows: i64) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let t: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("text {}", n * 7919))));
    RecordBatch::try_from_iter([("n", n), ("t", t)]).unwrap()
}

fn two_files() -> Data {
    Data::new().file("a.parquet", &[numbers(5_000)], 1_000).file("b.parquet", &[numbers(5_000)], 1_000)
}

fn fatal(error: ExecuteError) -> (ProblemType, String) {
    match error {
        ExecuteError::Fatal { problem, .. } => (problem.kind, problem.detail),
        other => panic!("{other:?}"),
    }
}

fn transient(error: ExecuteError) -> (ProblemType, String) {
    match error {
        ExecuteError::Transient { problem, .. } => (problem.kind, problem.detail),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_attempt_reads_the_files_that_the_first_one_listed() {
    let data = two_files();
    let blobs = Arc::new(MemoryBlobs::default());
    let first = task(data.dataset().await, data.query(Format::Csv).await, &blobs);
    let one = engine(2).execute(first.clone()).await.unwrap();
    let data = data.file("c.parquet", &[numbers(7)], 10);
    let second = Task { attempt: 2, control: Arc::default(), ..first };
    let two = engine(2).execute(second).await.unwrap();
    assert_eq!(one, two);
    assert_eq!(blobs.names().iter().filter(|name| name.ends_with("result.csv")).count(), 2);
    drop(data);
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_listed_is_a_conflict_that_names_it() {
    for change in ["rewritten", "removed", "touched"] {
        let data = two_files();
        let blobs = Arc::new(MemoryBlobs::default());
        let first = task(data.dataset().await, data.query(Format::Csv).await, &blobs);
        engine(2).execute(first.clone()).await.unwrap();
        let path = data.dir.path().join("b.parquet");
        match change {
            "rewritten" => write_parquet(&path, &[numbers(6)], 10),
            "removed" => fs::remove_file(&path).unwrap(),
            _ => fs::File::open(&path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap(),
        }
        let again = Task { attempt: 2, control: Arc::default(), ..first };
        let (kind, detail) = fatal(engine(2).execute(again).await.unwrap_err());
        assert_eq!(kind, ProblemType::Conflict, "{change}");
        assert!(detail.contains("b.parquet"), "{detail}");
        assert!(!detail.contains(data.dir.path().to_str().unwrap()), "{detail}");
    }
}

#[tokio::test]
async fn a_data_set_that_is_gone_is_a_conflict() {
    let data = two_files();
    let work = data.query(Format::Csv).await;
    let dataset = data.dataset().await;
    let blobs = Arc::new(MemoryBlobs::default());
    fs::remove_file(data.dir.path().join("a.parquet")).unwrap();
    fs::remove_file(data.dir.path().join("b.parquet")).unwrap();
    let (kind, detail) = fatal(engine(2).execute(task(dataset, work, &blobs)).await.unwrap_err());
    assert_eq!((kind, detail.contains("data")), (ProblemType::Conflict, true));
    assert!(blobs.names().is_empty());
}

#[tokio::test]
async fn a_column_that_is_not_what_it_was_at_submit_is_a_conflict() {
    let data = two_files();
    let work = data.query(Format::Csv).await;
    let dataset = data.dataset().await;
    let n: ArrayRef = Arc::new(StringArray::from(vec!["now text"]));
    let t: ArrayRef = Arc::new(StringArray::from(vec!["t"]));
    let other = RecordBatch::try_from_iter([("n", n), ("t", t)]).unwrap();
    for name in ["a.parquet", "b.parquet"] {
        write_parquet(&data.dir.path().join(name), std::slice::from_ref(&other), 10);
    }
    let blobs = Arc::new(MemoryBlobs::default());
    let (kind, detail) = fatal(engine(2).execute(task(dataset, work, &blobs)).await.unwrap_err());
    assert_eq!((kind, detail.contains("\"n\"")), (ProblemType::Conflict, true), "{detail}");
}

#[tokio::test]
async fn damage_anywhere_in_a_file_is_an_error_and_never_a_panic_or_a_hang() {
    let data = Data::new().file("a.parquet", &[numbers(3_000)], 1_000);
    let work = data.query(Format::Csv).await;
    let dataset = data.dataset().await;
    let path = data.dir.path().join("a.parquet");
    let good = fs::read(&path).unwrap();
    let mut failed = 0;
    for at in (0..good.len()).step_by(good.len() / 150) {
        let mut bad = good.clone();
        for byte in bad.iter_mut().skip(at).take(3) {
            *byte ^= 0xA5;
        }
        fs::write(&path, &bad).unwrap();
        let blobs = Arc::new(MemoryBlobs::default());
        match engine(2).execute(task(dataset.clone(), work.clone(), &blobs)).await {
            // Parquet without checksums cannot tell all damage from data.
            Ok(_) => {}
            Err(ExecuteError::Fatal { problem, .. }) => {
                failed += 1;
                let known = [ProblemType::EngineFailed, ProblemType::Conflict].contains(&problem.kind);
                assert!(known && !blobs.names().iter().any(|name| name.contains("result.")), "{problem:?}");
                if problem.kind == ProblemType::EngineFailed {
                    assert!(problem.detail.contains("a.parquet"), "{problem:?}");
                }
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(failed > 10, "{failed}");
    for length in [0, 3, 8, 100, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        let blobs = Arc::new(MemoryBlobs::default());
        let (kind, detail) =
            fatal(engine(2).execute(task(dataset.clone(), work.clone(), &blobs)).await.unwrap_err());
        assert_eq!(kind, ProblemType::EngineFailed);
        assert!(detail.contains("a.parquet"), "{detail}");
    }
}

#[tokio::test]
async fn a_store_that_fails_is_transient_and_leaves_nothing() {
    let data = Data::new().file("a.parquet", &[numbers(60_000)], 5_000);
    for (fault, words) in [(Fault::Full, "no space"), (Fault::Unavailable, "does not answer")] {
        for (format, after) in [
            (Format::Csv, 0),
            (Format::Csv, 600_000),
            (Format::Parquet, 1_000),
            (Format::Json, 1_500_000),
            (Format::Arrow, 1_000),
            (Format::Arrow, 600_000),
            (Format::Xlsx, 0),
            (Format::Xlsx, 100_000),
        ] {
            let blobs = Arc::new(MemoryBlobs::failing(fault, after));
            let job = task(data.dataset().await, data.query(format).await, &blobs);
            let (kind, detail) = transient(engine(2).execute(job).await.unwrap_err());
            assert_eq!(kind, ProblemType::Unavailable);
            assert!(detail.contains(words), "{detail}");
            assert!(!blobs.names().iter().any(|name| name.contains("result.")));
            assert!(blobs.aborted.load(Ordering::SeqCst) > 0);
        }
    }
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up_when_nothing_moves() {
    let data = two_files();
    let blobs = Arc::new(MemoryBlobs::failing(Fault::Hang, 0));
    let job = task(data.dataset().await, data.query(Format::Csv).await, &blobs);
    let engine = engine(2).with_patience(Duration::from_millis(300));
    let (kind, detail) = transient(engine.execute(job).await.unwrap_err());
    assert_eq!(kind, ProblemType::Unavailable);
    assert!(detail.contains("no progress"), "{detail}");
}

#[tokio::test]
async fn a_cancelled_job_stops_soon_and_aborts_its_blobs() {
    let data = Data::new().file("a.parquet", &[numbers(200_000)], 20_000);
    let sorted = vec![SortKey { column: "t".into(), descending: false }];
    let formats = [Format::Jsonl, Format::Arrow, Format::Xlsx];
    for (sort, format) in
        [vec![], sorted].into_iter().flat_map(|sort| formats.map(|format| (sort.clone(), format)))
    {
        let blobs = Arc::new(MemoryBlobs::failing(Fault::Hang, 1));
        let mut work = data.query(format).await;
        work.sort = sort;
        let job = task(data.dataset().await, work, &blobs);
        let control = Arc::clone(&job.control);
        let running = tokio::spawn(async move { engine(2).execute(job).await });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        control.cancel();
        assert!(matches!(running.await.unwrap(), Err(ExecuteError::Cancelled)));
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert!(!blobs.names().iter().any(|name| name.contains("result.")));
    }
}

#[tokio::test]
async fn a_job_cancelled_before_it_begins_writes_nothing() {
    let data = two_files();
    let blobs = Arc::new(MemoryBlobs::default());
    let job = task(data.dataset().await, data.query(Format::Csv).await, &blobs);
    job.control.cancel();
    assert!(matches!(engine(2).execute(job).await, Err(ExecuteError::Cancelled)));
    assert!(blobs.names().is_empty());
}

#[tokio::test]
async fn inspection_tells_columns_counts_and_a_version_that_changes_with_the_files() {
    let data = two_files();
    let facts = ParquetInspector::new(local()).inspect(&data.source()).await.unwrap();
    let columns: Vec<String> =
        facts.columns.iter().map(|c| format!("{} {} {}", c.name, c.data_type, c.nullable)).collect();
    assert_eq!(columns, ["n int64 false", "t text false"]);
    assert_eq!((facts.records, facts.files), (Some(10_000), 2));
    assert!(facts.bytes > 0 && facts.updated.is_some());
    assert_eq!(ParquetInspector::new(local()).version(&data.source()).await.unwrap(), facts.version);
    let data = data.file("c.parquet", &[numbers(1)], 10);
    assert_ne!(ParquetInspector::new(local()).version(&data.source()).await.unwrap(), facts.version);
    let one = DatasetSource::at(data.dir.path().join("c.parquet").to_string_lossy().into_owned());
    assert_eq!(ParquetInspector::new(local()).inspect(&one).await.unwrap().records, Some(1));
}

#[tokio::test]
async fn inspection_names_the_file_that_does_not_fit() {
    let data = two_files();
    let nowhere = DatasetSource::at(data.dir.path().join("x").to_string_lossy().into_owned());
    assert!(matches!(
        ParquetInspector::new(local()).inspect(&nowhere).await,
        Err(InspectError::Missing { .. })
    ));
    assert!(matches!(
        ParquetInspector::new(local()).version(&nowhere).await,
        Err(InspectError::Missing { .. })
    ));
    let n: ArrayRef = Arc::new(StringArray::from(vec!["text"]));
    let odd = RecordBatch::try_from_iter([("n", n.clone()), ("t", n)]).unwrap();
    let data = data.file("c.parquet", &[odd], 10);
    let error = ParquetInspector::new(local()).inspect(&data.source()).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, InspectError::Mismatch { .. }), "{text}");
    assert!(text.contains("c.parquet") && text.contains("\"n\"") && text.contains("int64"), "{text}");
    fs::write(data.dir.path().join("b.parquet"), b"PAR1 not really").unwrap();
    let error = ParquetInspector::new(local()).inspect(&data.source()).await.unwrap_err();
    assert!(matches!(&error, InspectError::Unreadable { location, .. } if location.ends_with("b.parquet")));
    let empty = Data::new();
    assert!(matches!(
        ParquetInspector::new(local()).inspect(&empty.source()).await,
        Err(InspectError::Missing { .. })
    ));
}

#[tokio::test]
async fn a_column_that_a_file_lacks_is_null_there() {
    let n = |n: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![n])) };
    let t: ArrayRef = Arc::new(StringArray::from(vec![Some("t")]));
    let with = RecordBatch::try_from_iter_with_nullable([("t", t, true), ("n", n(2), false)]).unwrap();
    let without = RecordBatch::try_from_iter_with_nullable([("n", n(1), false)]).unwrap();
    let data = Data::new().file("1.parquet", &[without], 10).file("2.parquet", &[with], 10);
    let mut work = data.query(Format::Csv).await;
    assert_eq!(run(&data, work.clone()).await.text(), "n,t\n1,\n2,t\n");
    work.filter = Some(Filter::IsNull(Operand::Column("t".into())));
    assert_eq!(run(&data, work.clone()).await.text(), "n,t\n1,\n");
    work.filter = Some(Filter::Not(Box::new(Filter::IsNull(Operand::Column("t".into())))));
    work.sort = vec![SortKey { column: "t".into(), descending: true }];
    assert_eq!(run(&data, work).await.text(), "n,t\n2,t\n");
}
