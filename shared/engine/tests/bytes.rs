//! Results that end once they have so many bytes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use support::*;
use willcall_core::{
    format::{Compression, Format, ParquetOptions},
    job::{Truncation, TruncationReason, kinds::SortKey},
    ports::Executor,
};

const ROWS: i64 = 10_000;

fn data() -> Data {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
    let t: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|n| format!("text, {}", n * 7919))));
    let batch = RecordBatch::try_from_iter([("n", n), ("t", t)]).unwrap();
    Data::new().file("a.parquet", &[batch], 1_000)
}

#[tokio::test]
async fn a_result_ends_with_the_piece_that_reaches_the_limit_and_says_so() {
    let data = data();
    for (format, compression, sort) in [
        (Format::Csv, Compression::None, vec![]),
        (Format::Json, Compression::None, vec![]),
        (Format::Jsonl, Compression::Gzip, vec![]),
        (Format::Csv, Compression::None, vec!["t"]),
        (Format::Parquet, Compression::None, vec![]),
    ] {
        let mut query = data.query(format).await;
        query.output.compression = compression;
        query.page_size = 500;
        if format == Format::Parquet {
            query.output.parquet =
                Some(ParquetOptions { row_group_size: 1_000, ..ParquetOptions::default() });
        }
        let ascending = |column: &&str| SortKey { column: (*column).into(), descending: false };
        query.sort = sort.iter().map(ascending).collect();
        let whole = run(&data, query.clone()).await;
        let size = whole.delivered.files[0].bytes;
        let blobs = Arc::new(MemoryBlobs::default());
        let mut task = task(data.dataset().await, query, &blobs);
        for (limit, expected) in [(size * 10, false), (size, false), (size / 3, true), (1, true)] {
            task.max_bytes = Some(limit);
            task.attempt += 1;
            let delivered = engine(3).execute(task.clone()).await.unwrap();
            let cut = Some(Truncation { reason: TruncationReason::DailyLimit, limit: delivered.records });
            assert_eq!(delivered.truncated, cut.filter(|_| expected), "{format} {limit} of {size}");
            assert_eq!(delivered.records_found, Some(ROWS as u64), "{format}: all are counted");
            let ran = Ran { delivered, task: task.clone(), blobs: Arc::clone(&blobs) };
            let file = &ran.delivered.files[0];
            assert_eq!((file.bytes, file.records), (ran.bytes().len() as u64, ran.delivered.records));
            if !expected {
                assert_eq!(ran.bytes(), whole.bytes(), "{format}");
                continue;
            }
            assert!(file.records < ROWS as u64 && file.bytes < size, "{format} {limit} of {size}");
            match (format, compression) {
                (Format::Json, _) => {
                    let records: Vec<serde_json::Value> = serde_json::from_slice(&ran.bytes()).unwrap();
                    assert_eq!(records.len() as u64, file.records, "it is a document all the same");
                }
                (Format::Csv, _) => {
                    assert!(whole.text().starts_with(&ran.text()) && ran.text().ends_with('\n'));
                }
                _ => {}
            }
            if format.is_text() {
                assert_eq!(ran.pages().len() as u64, ran.delivered.pages.unwrap());
            }
        }
    }
}

#[tokio::test]
async fn plain_text_ends_with_the_very_record_that_reaches_the_limit() {
    let data = data();
    for (format, sort) in [
        (Format::Csv, vec![]),
        (Format::Json, vec![]),
        (Format::Jsonl, vec![]),
        (Format::Csv, vec!["t"]),
        (Format::Jsonl, vec!["t"]),
    ] {
        let mut query = data.query(format).await;
        let ascending = |column: &&str| SortKey { column: (*column).into(), descending: false };
        query.sort = sort.iter().map(ascending).collect();
        let whole = run(&data, query.clone()).await;
        let text = whole.text();
        let blobs = Arc::new(MemoryBlobs::default());
        let mut task = task(data.dataset().await, query, &blobs);
        // Where the last of three records ends, and a byte on either side.
        let ends: Vec<usize> = match format {
            Format::Json => text.match_indices('}').map(|(at, _)| at + 1).collect(),
            _ => text.match_indices('\n').map(|(at, _)| at + 1).collect(),
        };
        let header = usize::from(format == Format::Csv);
        for (limit, records) in [(ends[2 + header] - 1, 3), (ends[2 + header], 3), (ends[2 + header] + 1, 4)]
        {
            task.max_bytes = Some(limit as u64);
            task.attempt += 1;
            let delivered = engine(3).execute(task.clone()).await.unwrap();
            // A record of JSON Lines ends with its line; the document's end is not a record's.
            assert_eq!(delivered.records, records, "{format} {sort:?} {limit}");
            let ran = Ran { delivered, task: task.clone(), blobs: Arc::clone(&blobs) };
            let end = ends[records as usize - 1 + header];
            assert!(ran.text().starts_with(&text[..end]), "{format} {sort:?} {limit}");
            assert!(ran.text().len() - end <= 3, "and what ends the file alone comes behind");
        }
    }
}

#[tokio::test]
async fn columns_end_with_the_piece_that_reaches_the_limit() {
    let rows = 150_000;
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let data = Data::new().file("a.parquet", &[RecordBatch::try_from_iter([("n", n)]).unwrap()], 50_000);
    for format in [Format::Arrow, Format::Xlsx] {
        let query = data.query(format).await;
        let size = run(&data, query.clone()).await.delivered.files[0].bytes;
        for limit in [1, size / 3] {
            let mut task = task(data.dataset().await, query.clone(), &Arc::new(MemoryBlobs::default()));
            task.max_bytes = Some(limit);
            let delivered = engine(3).execute(task).await.unwrap();
            let cut = Truncation { reason: TruncationReason::DailyLimit, limit: delivered.records };
            assert_eq!(delivered.truncated, Some(cut), "{format} {limit} of {size}");
            assert_eq!(delivered.records > 0, limit > 1, "{format}");
            assert!(delivered.records < rows as u64 && delivered.files[0].bytes < size, "{format}");
        }
    }
}
