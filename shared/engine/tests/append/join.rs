//! Which records rows get, whatever is held in memory.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use willcall_core::{
    format::{Format, OutputFormat},
    job::{
        ProblemType, Stage, Truncation, TruncationReason,
        kinds::{AppendWork, Compare, OnMultiple},
    },
    ports::{ExecuteError, Executor},
    query::{CompareOp, Filter, Literal, Operand},
};
use willcall_engine::{Engine, EngineConfig};

use super::{
    append, append_task, append_with, by, counts, csv, exact,
    random::{Dice, Records, Rows, naive},
    support::*,
    tight,
};

#[tokio::test]
async fn the_result_is_that_of_a_join_that_looks_at_each_pair() {
    let mut dice = Dice(7);
    let spill = tempfile::tempdir().unwrap();
    let mut turn = 0;
    for (rows, records, things) in [(300, 400, 60), (500, 40, 300), (1, 1, 1), (50, 300, 2)] {
        for compare in Compare::ALL {
            for mode in OnMultiple::ALL {
                let by_number = dice.roll(2) == 0;
                let (rows, records) = (
                    Rows::new(rows, things, compare, &mut dice),
                    Records::new(records, things, compare, &mut dice),
                );
                let data = records.data();
                let mut work = by(&[("k", "k", compare), ("n", "n", Compare::Exact)]);
                work.on.truncate(if by_number { 2 } else { 1 });
                (work.on_multiple, work.fields) = (mode, vec!["id".into(), "n".into()]);
                let (expected, counts) = naive(&rows, &records, by_number, mode);
                let form = turn % 8;
                turn += 1;
                let (name, media_type, bytes) = rows.upload(form);
                let uploads = [(name, media_type, bytes)];
                for engine in [engine(2), tight(spill.path(), 1 + turn % 3)] {
                    let ran = append_with(&engine, &data, work.clone(), &uploads).await.unwrap();
                    let text = ran.text();
                    // The row that names the columns of JSON.
                    let text = match form {
                        3..=5 => {
                            let (first, rest) = text.split_once('\n').unwrap();
                            format!("{first}\n{}", rest.split_once('\n').unwrap().1)
                        }
                        _ => text,
                    };
                    let at = format!("{compare:?} {mode:?} {by_number} {form}");
                    assert_eq!(text, expected, "{at}");
                    if !(3..=5).contains(&form) {
                        assert_eq!(ran.delivered.counts, counts, "{at}");
                        assert_eq!(ran.task.control.counts(), counts, "{at}");
                        assert_eq!(ran.delivered.records_found, Some(rows.rows.len() as u64), "{at}");
                    }
                    assert_eq!(
                        (ran.task.control.part_done(), ran.task.control.stage()),
                        (1.0, Stage::Committing)
                    );
                }
            }
        }
    }
    assert_eq!(std::fs::read_dir(spill.path()).unwrap().count(), 0, "nothing is left on the disk");
}

#[tokio::test]
async fn what_is_put_aside_leaves_no_trace_in_the_result() {
    let mut dice = Dice(11);
    let (rows, records) = (
        Rows::new(9_000, 3_000, Compare::Email, &mut dice),
        Records::new(6_000, 3_000, Compare::Email, &mut dice),
    );
    let data = records.data();
    let spill = tempfile::tempdir().unwrap();
    for (format, mode) in [
        (Format::Jsonl, OnMultiple::All),
        (Format::Parquet, OnMultiple::First),
        (Format::Arrow, OnMultiple::All),
    ] {
        let mut work = by(&[("k", "k", Compare::Email)]);
        (work.on_multiple, work.fields, work.output) =
            (mode, vec!["id".into(), "k".into()], OutputFormat::plain(format));
        let uploads = [rows.upload(0)];
        let held = append(&data, work.clone(), &uploads).await;
        for memory in [0, 200_000] {
            let config = EngineConfig { threads: 3, sort_memory: memory, ..EngineConfig::new(spill.path()) };
            let tight = Engine::new(config, local());
            let ran = append_with(&tight, &data, work.clone(), &uploads).await.unwrap();
            assert!(ran.bytes() == held.bytes(), "{format} {memory}");
            assert_eq!(ran.delivered, held.delivered);
        }
    }
    let limit = EngineConfig { sort_memory: 0, spill_limit: Some(50_000), ..EngineConfig::new(spill.path()) };
    let work = by(&[("k", "k", Compare::Email)]);
    let work = AppendWork { fields: vec!["id".into()], ..work };
    let failed = append_with(&Engine::new(limit, local()), &data, work, &[rows.upload(0)]).await;
    match failed.map(|ran| ran.text()) {
        Err(ExecuteError::Fatal { problem, .. }) => {
            assert_eq!(problem.kind, ProblemType::EngineFailed);
            assert!(problem.detail.contains("50000 bytes"), "{}", problem.detail);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_dir(spill.path()).unwrap().count(), 0, "nothing is left on the disk");
}

#[tokio::test]
async fn one_key_that_everybody_has_does_not_blow_up() {
    let records = 500;
    let k: ArrayRef = Arc::new(StringArray::from(vec!["same"; records]));
    let v: ArrayRef = Arc::new(Int64Array::from_iter_values(0..records as i64));
    let data = Data::of(RecordBatch::try_from_iter([("k", k), ("v", v)]).unwrap());
    let text: String =
        std::iter::once("k\n".to_owned()).chain((0..3_000).map(|_| "same\n".to_owned())).collect();
    let spill = tempfile::tempdir().unwrap();
    let some = |mode| AppendWork { on_multiple: mode, max_records: 1_200, ..exact("k") };
    for engine in [engine(2), tight(spill.path(), 2)] {
        // One and a half million pairs, of which 1,200 are delivered.
        let ran = append_with(&engine, &data, some(OnMultiple::All), &csv(&text)).await.unwrap();
        let lines: Vec<String> = ran.text().lines().skip(1).map(str::to_owned).collect();
        let expected = (0..1_200).map(|n| format!("same,{},ambiguous,500 records match", n % 500));
        assert!(lines.iter().cloned().eq(expected));
        let cut = Some(Truncation { reason: TruncationReason::PlanLimit, limit: 1_200 });
        assert_eq!((ran.delivered.records, ran.delivered.truncated), (1_200, cut.clone()));
        assert_eq!(ran.delivered.counts, counts(3_000, 0, 0, 3_000, 0));
        let ran = append_with(&engine, &data, some(OnMultiple::First), &csv(&text)).await.unwrap();
        assert!(ran.text().lines().skip(1).all(|line| line == "same,0,ambiguous,500 records match"));
        assert_eq!((ran.delivered.records, ran.delivered.truncated), (1_200, cut));
        assert_eq!(ran.delivered.records_found, Some(3_000));
    }
}

#[tokio::test]
async fn few_rows_read_only_the_records_that_they_ask_for() {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..50_000));
    let v: ArrayRef = Arc::new(StringArray::from_iter_values((0..50_000).map(|n| format!("text {n}"))));
    let data =
        Data::new().file("a.parquet", &[RecordBatch::try_from_iter([("n", n), ("v", v)]).unwrap()], 20_000);
    let ran = append(&data, exact("n"), &csv("n\n49999\n-1\n0\n20000\n19999\n")).await;
    assert_eq!(
        ran.text(),
        "n,v,_match,_error\n49999,text 49999,matched,\n-1,,unmatched,no record matches\n0,text 0,matched,\n\
         20000,text 20000,matched,\n19999,text 19999,matched,\n"
    );
}
#[tokio::test]
async fn a_cancelled_append_stops_and_leaves_nothing_on_the_disk() {
    let mut dice = Dice(3);
    let (rows, records) = (
        Rows::new(20_000, 9_000, Compare::Exact, &mut dice),
        Records::new(10_000, 9_000, Compare::Exact, &mut dice),
    );
    let data = records.data();
    let spill = tempfile::tempdir().unwrap();
    let work = AppendWork { fields: vec!["id".into()], ..exact("k") };
    for stage in [Stage::Reading, Stage::Sorting, Stage::Writing] {
        let blobs = Arc::new(MemoryBlobs::default());
        let task = append_task(&data, work.clone(), &[rows.upload(0)], &blobs).await;
        let control = Arc::clone(&task.control);
        let watch = tokio::spawn(async move {
            while control.stage() != stage {
                tokio::task::yield_now().await;
            }
            control.cancel();
        });
        let done = tight(spill.path(), 1).execute(task).await;
        assert!(matches!(done, Err(ExecuteError::Cancelled)), "{stage:?} {done:?}");
        watch.await.unwrap();
        assert!(blobs.names().iter().all(|name| !name.contains("/result.")), "{:?}", blobs.names());
    }
    // Its threads end soon after.
    for _ in 0..500 {
        if std::fs::read_dir(spill.path()).unwrap().count() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("something is left on the disk");
}

#[tokio::test]
async fn a_data_set_of_text_in_directories_is_matched_as_any_other() {
    let data = Data::new();
    let many: String = (0..10_000).map(|n| format!("{n},k{n}\n")).collect();
    for (year, text) in [(2025, "k,v\nc,-1\n".to_owned()), (2026, format!("v,k\n{many}"))] {
        let directory = data.dir.path().join(format!("year={year}"));
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("a.csv"), text).unwrap();
    }
    let work = AppendWork { fields: vec!["v".into(), "year".into()], ..exact("k") };
    let few = append(&data, work.clone(), &csv("x,k\n1,k77\n2,c\n3,nobody\n")).await;
    let text = few.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["x,k,v,year,_match,_error", "1,k77,77,2026,matched,", "2,c,-1,2025,matched,"]);
    assert_eq!(few.delivered.counts, counts(3, 2, 1, 0, 0));
    let rows: String = (0..9_000).map(|n| format!("{n},k{n}\n")).collect();
    let all = append(&data, work.clone(), &csv(&format!("x,k\n{rows}"))).await;
    let expected: String = (0..9_000).map(|n| format!("{n},k{n},{n},2026,matched,\n")).collect();
    assert_eq!(all.text(), format!("x,k,v,year,_match,_error\n{expected}"));
    let spill = tempfile::tempdir().unwrap();
    let tight =
        append_with(&tight(spill.path(), 2), &data, work, &csv(&format!("x,k\n{rows}"))).await.unwrap();
    assert_eq!(tight.bytes(), all.bytes());
}

#[tokio::test]
async fn nulls_of_records_that_match_stay_nulls() {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
    let words = (0..1_000).map(|n| [Some("red"), Some("green"), Some("blue"), None][n % 4]);
    let words: ArrayRef = Arc::new(words.collect::<StringArray>());
    let data = Data::of(RecordBatch::try_from_iter([("n", n), ("v", words)]).unwrap());
    let spill = tempfile::tempdir().unwrap();
    for (input, expected) in [
        (
            "5,x\n999,z\n1000,none\n",
            "5,x,green,matched,\n999,z,,matched,\n1000,none,,unmatched,no record matches\n",
        ),
        ("999,z\n", "999,z,,matched,\n"),
        ("3,z\n2,y\n", "3,z,,matched,\n2,y,blue,matched,\n"),
        ("6,a\n7,b\n", "6,a,blue,matched,\n7,b,,matched,\n"),
    ] {
        for engine in [engine(2), tight(spill.path(), 2)] {
            let uploads = csv(&format!("n,name\n{input}"));
            let ran = append_with(&engine, &data, exact("n"), &uploads).await.unwrap();
            assert_eq!(ran.text(), format!("n,name,v,_match,_error\n{expected}"));
        }
    }
    let mut query = data.query(Format::Csv).await;
    let (left, right) = (Operand::Column("n".into()), Literal::Int(998));
    query.filter = Some(Filter::Compare { left, op: CompareOp::Ge, right });
    assert_eq!(run(&data, query).await.text(), "n,v\n998,blue\n999,\n");
}

#[tokio::test]
async fn a_large_row_that_many_records_match_is_never_copied_for_all_of_them_at_once() {
    let k: ArrayRef = Arc::new(StringArray::from(vec!["a"; 2_200]));
    let v: ArrayRef = Arc::new(Int64Array::from_iter_values(0..2_200));
    let data = Data::of(RecordBatch::try_from_iter([("k", k), ("v", v)]).unwrap());
    let mut work = exact("k");
    (work.on_multiple, work.output) = (OnMultiple::All, OutputFormat::plain(Format::Parquet));
    let large = "x".repeat(1 << 20).split_off(64);
    let ran = append(&data, work, &csv(&format!("k,x\na,{large}\n"))).await;
    assert_eq!(ran.delivered.records, 2_200);

    let v: ArrayRef = Arc::new(StringArray::from(vec![large.as_str()]));
    let k: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let data = Data::of(RecordBatch::try_from_iter([("k", k), ("v", v)]).unwrap());
    let mut work = exact("k");
    work.output = OutputFormat::plain(Format::Parquet);
    let ran = append(&data, work, &csv(&format!("k\n{}", "a\n".repeat(200)))).await;
    assert_eq!((ran.delivered.records, ran.delivered.counts), (200, counts(200, 200, 0, 0, 0)));
}
