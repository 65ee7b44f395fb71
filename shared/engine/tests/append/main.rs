//! Appends: rows of every form matched with a data set.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod faults;
mod join;
mod random;
mod rows;
mod sheet;
#[path = "../support/mod.rs"]
mod support;

use std::{io::Write, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use support::*;
use willcall_core::{
    format::{Format, OutputFormat},
    job::{
        Counts, Problem,
        kinds::{AppendWork, Compare, MatchKey, OnMultiple, Work},
    },
    ports::*,
};
use willcall_engine::{Engine, EngineConfig};

const CSV: &str = "text/csv";

/// An append to the data's column `v` by its column of the same name as the rows'.
fn by(keys: &[(&str, &str, Compare)]) -> AppendWork {
    let key = |(input, column, compare): &(&str, &str, Compare)| MatchKey {
        input: (*input).into(),
        column: (*column).into(),
        compare: *compare,
    };
    AppendWork {
        dataset: "data".into(),
        on: keys.iter().map(key).collect(),
        on_multiple: OnMultiple::First,
        fields: vec!["v".into()],
        max_records: u64::MAX,
        output: OutputFormat::plain(Format::Csv),
        page_size: 1000,
        items: None,
    }
}

fn exact(column: &str) -> AppendWork {
    by(&[(column, column, Compare::Exact)])
}

/// A task with those uploads in the store, pinned.
async fn append_task(
    data: &Data,
    work: AppendWork,
    uploads: &[(&str, &str, Bytes)],
    blobs: &Arc<MemoryBlobs>,
) -> Task {
    let query = data.query(Format::Csv).await;
    let mut task = task(data.dataset().await, query, blobs);
    task.work = Arc::new(Work::Append(Box::new(work)));
    let mut files = Vec::new();
    for (number, (name, media_type, bytes)) in uploads.iter().enumerate() {
        let key = BlobKey::Upload { job: task.job.clone(), file: number };
        blobs.set(&key.to_string(), bytes.clone());
        let etag = Shared(Arc::clone(blobs)).head(&key).await.unwrap().unwrap().etag;
        let (name, media_type, bytes) = ((*name).into(), (*media_type).into(), bytes.len() as u64);
        files.push(InputFile { key, name, media_type, bytes, etag });
    }
    if !files.is_empty() {
        task.input = Input::Files(files);
    }
    task
}

async fn append_with(
    engine: &Engine,
    data: &Data,
    work: AppendWork,
    uploads: &[(&str, &str, Bytes)],
) -> Result<Ran, ExecuteError> {
    let blobs = Arc::new(MemoryBlobs::default());
    let task = append_task(data, work, uploads, &blobs).await;
    let delivered = engine.execute(task.clone()).await?;
    Ok(Ran { delivered, task, blobs })
}

async fn append(data: &Data, work: AppendWork, uploads: &[(&str, &str, Bytes)]) -> Ran {
    append_with(&engine(2), data, work, uploads).await.unwrap()
}

fn csv(text: &str) -> Vec<(&'static str, &'static str, Bytes)> {
    vec![("rows.csv", CSV, Bytes::copy_from_slice(text.as_bytes()))]
}

async fn problem(data: &Data, work: AppendWork, uploads: &[(&str, &str, Bytes)]) -> Problem {
    match append_with(&engine(2), data, work, uploads).await.map(|ran| ran.text()) {
        Err(ExecuteError::Fatal { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

/// An engine that can hold nothing in memory.
fn tight(spill: &Path, threads: usize) -> Engine {
    let config = EngineConfig { threads, sort_memory: 0, ..EngineConfig::new(spill) };
    Engine::new(config, local())
}

fn counts(rows: u64, matched: u64, unmatched: u64, ambiguous: u64, malformed: u64) -> Option<Counts> {
    Some(Counts::Append { rows, matched, unmatched, ambiguous, malformed })
}

/// Keys `a`, `b`, `b`, null, empty, `c` with values 1 to 6.
fn letters() -> Data {
    let k: ArrayRef =
        Arc::new(StringArray::from(vec![Some("a"), Some("b"), Some("b"), None, Some(""), Some("c")]));
    let v: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=6));
    Data::of(RecordBatch::try_from_iter([("k", k), ("v", v)]).unwrap())
}

fn parquet(batch: &RecordBatch) -> Bytes {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}
