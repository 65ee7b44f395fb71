//! Sorted exports: the order, its ties, nulls and NaN, in memory and spilled.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use support::*;
use tempfile::TempDir;
use willcall_core::{
    format::Format,
    job::kinds::{QueryWork, SortKey},
    query::{CompareOp, Filter, Literal, Operand},
};
use willcall_engine::{Engine, EngineConfig};

const ROWS: usize = 40_000;

fn data() -> (Data, Vec<(Option<i32>, String, usize)>) {
    // A few keys many times over, so that ties decide; scattered without a source of chance.
    let rows: Vec<(Option<i32>, String, usize)> = (0..ROWS)
        .map(|row| {
            let scattered = row.wrapping_mul(2_654_435_761) >> 7;
            let key = (scattered % 11 != 0).then_some((scattered % 501) as i32 - 250);
            (key, format!("text {:04}", scattered % 977), row)
        })
        .collect();
    let batch = |rows: &[(Option<i32>, String, usize)]| {
        let k: ArrayRef = Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.0)));
        let t: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.1)));
        let n: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.2 as i32)));
        RecordBatch::try_from_iter_with_nullable([("k", k, true), ("t", t, false), ("n", n, false)]).unwrap()
    };
    let data = Data::new().file("1.parquet", &[batch(&rows[..25_000])], 4_000).file(
        "2.parquet",
        &[batch(&rows[25_000..])],
        4_000,
    );
    (data, rows)
}

fn keys(descending: bool) -> Vec<SortKey> {
    vec![SortKey { column: "k".into(), descending }]
}

async fn query(data: &Data, sort: Vec<SortKey>) -> QueryWork {
    QueryWork { sort, fields: vec!["n".into()], ..data.query(Format::Jsonl).await }
}

fn ns(text: &str) -> Vec<usize> {
    text.lines().map(|line| line[5..line.len() - 1].parse().unwrap()).collect()
}

/// An engine that has to spill, and the directory that it spills to.
fn tight(threads: usize) -> (Engine, TempDir) {
    let dir = TempDir::new().unwrap();
    let config = EngineConfig { threads, sort_memory: 0, ..EngineConfig::new(dir.path().join("spill")) };
    (Engine::new(config, local()), dir)
}

#[tokio::test]
async fn nulls_come_last_both_ways_and_the_data_sets_order_breaks_ties() {
    let (data, rows) = data();
    for descending in [false, true] {
        let mut expected: Vec<_> = rows.iter().collect();
        expected.sort_by_key(|(key, _, _)| {
            (key.is_none(), key.map(|key| if descending { -i64::from(key) } else { i64::from(key) }))
        });
        let expected: Vec<usize> = expected.into_iter().map(|row| row.2).collect();
        let ran = run(&data, query(&data, keys(descending)).await).await;
        assert_eq!(ns(&ran.text()), expected);
        assert_eq!(ran.delivered.records_found, Some(ROWS as u64));
        assert_eq!(ran.task.control.part_done(), 1.0);
        for threads in [1, 4] {
            let (engine, dir) = tight(threads);
            let spilled = run_with(&engine, &data, query(&data, keys(descending)).await).await.unwrap();
            assert_eq!(spilled.bytes(), ran.bytes());
            assert_eq!(std::fs::read_dir(dir.path().join("spill")).unwrap().count(), 0, "spills are removed");
        }
    }
}

#[tokio::test]
async fn several_keys_and_a_slice_of_the_order() {
    let (data, rows) = data();
    let sort = vec![
        SortKey { column: "t".into(), descending: true },
        SortKey { column: "k".into(), descending: false },
    ];
    let mut expected: Vec<_> = rows.iter().filter(|row| row.2 >= 100).collect();
    expected.sort_by(|a, b| b.1.cmp(&a.1).then((a.0.is_none(), a.0).cmp(&(b.0.is_none(), b.0))));
    let expected: Vec<usize> = expected.into_iter().map(|row| row.2).collect();
    for (offset, limit) in [
        (0, 0),
        (0, 1),
        (0, 50),
        (9_000, 999),
        (9_000, 1_000),
        (9_001, 1_000),
        (30_000, 5_000),
        (39_890, 100),
        (50_000, 5),
    ] {
        let work = QueryWork {
            offset,
            limit: Some(limit),
            filter: Some(Filter::Compare {
                left: Operand::Column("n".into()),
                op: CompareOp::Ge,
                right: Literal::Int(100),
            }),
            ..query(&data, sort.clone()).await
        };
        let last = ((offset + limit) as usize).min(expected.len());
        let expected = &expected[(offset as usize).min(last)..last];
        let ran = run(&data, work.clone()).await;
        assert_eq!(ns(&ran.text()), expected, "{offset} {limit}");
        assert_eq!(ran.delivered.records_found, Some(ROWS as u64 - 100));
        let (engine, _dir) = tight(2);
        assert_eq!(run_with(&engine, &data, work).await.unwrap().bytes(), ran.bytes());
    }
}

#[tokio::test]
async fn a_few_records_too_wide_for_memory_are_sorted_on_disk() {
    let rows = 3_000_i32;
    let k: ArrayRef = Arc::new(Int32Array::from_iter_values((0..rows).map(|row| row * 7 % 1_009)));
    let t: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("{row:02000}"))));
    let n: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
    let data = Data::of(RecordBatch::try_from_iter([("k", k), ("t", t), ("n", n)]).unwrap());
    let mut expected: Vec<i32> = (0..rows).collect();
    expected.sort_by_key(|row| row * 7 % 1_009);
    // Fewer records than needed, as many, and more: of those the ones needed do not fit, or do.
    for (limit, memory, spills) in [
        (10_000, 1 << 20, true),
        (3_000, 1 << 20, true),
        (2_000, 1 << 20, true),
        (20, 1 << 20, false),
        (10_000, 256 << 20, false),
    ] {
        let dir = TempDir::new().unwrap();
        let spill_dir = dir.path().join("spill");
        let config = EngineConfig { threads: 2, sort_memory: memory, ..EngineConfig::new(&spill_dir) };
        let mut work = query(&data, keys(false)).await;
        (work.fields, work.limit) = (vec!["n".into(), "t".into()], Some(limit));
        let ran = run_with(&Engine::new(config, local()), &data, work).await.unwrap();
        let first = &expected[..expected.len().min(limit as usize)];
        let lines: String = first.iter().map(|n| format!("{{\"n\":{n},\"t\":\"{n:02000}\"}}\n")).collect();
        assert!(ran.text() == lines, "{limit} {memory}");
        assert_eq!(spill_dir.exists(), spills, "{limit} {memory}");
    }
}

#[tokio::test]
async fn nan_is_the_greatest_and_the_zeros_are_equal() {
    let values = [0.0, f64::NAN, -1.0, f64::INFINITY, -0.0, -f64::NAN, f64::NEG_INFINITY, 0.0];
    let k: ArrayRef = Arc::new(Float64Array::from_iter_values(values));
    let n: ArrayRef = Arc::new(Int32Array::from_iter_values(0..8));
    let data = Data::of(RecordBatch::try_from_iter([("k", k), ("n", n)]).unwrap());
    let up = run(&data, query(&data, keys(false)).await).await;
    assert_eq!(ns(&up.text()), [6, 2, 0, 4, 7, 3, 1, 5]);
    let down = run(&data, query(&data, keys(true)).await).await;
    assert_eq!(ns(&down.text()), [1, 5, 3, 0, 4, 7, 2, 6]);
}

#[tokio::test]
async fn more_runs_than_one_merge_reads_are_merged_in_passes() {
    let rows = 600_000;
    let wide = "w".repeat(100);
    let k: ArrayRef = Arc::new(Int32Array::from_iter_values((0..rows).map(|row| row % 1_009)));
    let t: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|_| &wide)));
    let n: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
    let data = Data::of(RecordBatch::try_from_iter([("k", k), ("t", t), ("n", n)]).unwrap());
    let (engine, _dir) = tight(2);
    let mut work = query(&data, keys(false)).await;
    work.fields = vec!["n".into(), "t".into()];
    let ran = run_with(&engine, &data, work).await.unwrap();
    let mut expected: Vec<i32> = (0..rows).collect();
    expected.sort_by_key(|row| row % 1_009);
    let got = ran.text();
    let got = got.lines().map(|line| line[5..].split(',').next().unwrap().parse::<i32>().unwrap());
    assert!(got.eq(expected));
}

#[tokio::test]
async fn sorted_parquet_has_the_order() {
    let (data, rows) = data();
    let mut work = query(&data, keys(false)).await;
    work.output = willcall_core::format::OutputFormat::plain(Format::Parquet);
    let ran = run(&data, work).await;
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(ran.bytes(), 50_000).unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    use arrow_array::{cast::AsArray, types::Int32Type};
    let first = batches[0].column(0).as_primitive::<Int32Type>().value(0) as usize;
    let smallest = rows.iter().filter_map(|row| row.0.map(|key| (key, row.2))).min().unwrap();
    assert_eq!(first, smallest.1);
    assert_eq!(ran.delivered.records, ROWS as u64);
}

#[tokio::test]
async fn columns_that_were_spilled_give_the_same_bytes_as_those_in_memory() {
    let (data, _) = data();
    for format in [Format::Arrow, Format::Xlsx] {
        let mut work = query(&data, keys(true)).await;
        work.output = willcall_core::format::OutputFormat::plain(format);
        work.limit = Some(30_000);
        let ran = run(&data, work.clone()).await;
        for threads in [1, 3] {
            let (engine, _dir) = tight(threads);
            assert!(run_with(&engine, &data, work.clone()).await.unwrap().bytes() == ran.bytes(), "{format}");
        }
    }
}

#[tokio::test]
async fn a_place_to_spill_that_cannot_be_used_is_transient() {
    let (data, _) = data();
    let file = data.dir.path().join("1.parquet");
    let config = EngineConfig { threads: 2, sort_memory: 0, ..EngineConfig::new(file.join("spill")) };
    let error =
        run_with(&Engine::new(config, local()), &data, query(&data, keys(false)).await).await.err().unwrap();
    let willcall_core::ports::ExecuteError::Transient { problem, .. } = error else { panic!("{error:?}") };
    assert_eq!(problem.kind, willcall_core::job::ProblemType::Unavailable);
}

#[tokio::test]
async fn a_sort_that_is_larger_than_the_disk_may_hold_fails_and_says_so() {
    let (data, rows) = data();
    let dir = TempDir::new().unwrap();
    let spill_dir = dir.path().join("spill");
    let tight = EngineConfig { threads: 2, sort_memory: 0, ..EngineConfig::new(&spill_dir) };
    let mut work = query(&data, keys(false)).await;
    work.fields = vec!["n".into(), "t".into()];
    let least = rows.iter().map(|row| row.1.len() as u64).sum::<u64>();
    let config = EngineConfig { spill_limit: Some(least / 2), ..tight.clone() };
    let error = run_with(&Engine::new(config, local()), &data, work.clone()).await.err().unwrap();
    let willcall_core::ports::ExecuteError::Fatal { problem, .. } = error else { panic!("{error:?}") };
    assert_eq!(problem.kind, willcall_core::job::ProblemType::EngineFailed);
    assert!(problem.detail.contains("does not fit the worker's disk"), "{}", problem.detail);
    assert_eq!(std::fs::read_dir(&spill_dir).unwrap().count(), 0, "nothing is left there");
    let unlimited = run_with(&Engine::new(tight.clone(), local()), &data, work.clone()).await.unwrap();
    let config = EngineConfig { spill_limit: Some(8 * least), ..tight };
    let enough = run_with(&Engine::new(config, local()), &data, work).await.unwrap();
    assert_eq!(enough.bytes(), unlimited.bytes());
}

#[tokio::test]
async fn runs_that_were_merged_do_not_count_against_the_disk() {
    let rows = 100_000;
    let wide = "w".repeat(100);
    let k: ArrayRef = Arc::new(Int32Array::from_iter_values((0..rows).map(|row| row % 1_009)));
    let t: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|_| &wide)));
    let data = Data::of(RecordBatch::try_from_iter([("k", k), ("t", t)]).unwrap());
    let dir = TempDir::new().unwrap();
    // Each record is written twice, once in a run and once in a merge of runs, but only some of them are there twice
    // at a time.
    let limit = Some(rows as u64 * 108 * 17 / 10);
    let config =
        EngineConfig { threads: 1, sort_memory: 0, spill_limit: limit, ..EngineConfig::new(dir.path()) };
    let mut work = query(&data, keys(false)).await;
    work.fields = vec!["t".into()];
    let ran = run_with(&Engine::new(config, local()), &data, work).await.unwrap();
    assert_eq!(ran.delivered.records, rows as u64);
}
