//! What a data set's files tell of their values, and what a dry run finds out by that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod footers;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, sync::Arc, time::Duration};

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array,
    ListArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array, types::Int32Type,
};
use serde_json::{Value, json};
use support::*;
use willcall_core::{
    catalog::ColumnStatistics,
    format::{Compression, Format},
    job::{FoundBy, Survey, kinds::SortKey},
    ports::Executor,
    query::{CompareOp, Filter, Literal, Operand},
};

const FOREVER: Duration = Duration::from_secs(600);

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    let texts = range.clone().map(|n| format!("text number {n}"));
    let t: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    batch([("n", Arc::new(Int64Array::from_iter_values(range))), ("t", t)])
}

async fn known(data: &Data, column: &str) -> ColumnStatistics {
    let statistics = data.dataset().await.facts.statistics.unwrap();
    statistics.columns.get(column).cloned().unwrap_or_default()
}

async fn ends(data: &Data, column: &str) -> (Value, Value, Option<u64>) {
    let known = known(data, column).await;
    (known.min.unwrap_or_default(), known.max.unwrap_or_default(), known.nulls)
}

fn compare(column: &str, op: CompareOp, right: Literal) -> Filter {
    Filter::Compare { left: Operand::Column(column.into()), op, right }
}

fn below(column: &str, n: i64) -> Filter {
    compare(column, CompareOp::Lt, Literal::Int(n))
}

/// What a sample of a few records finds out.
async fn found(data: &Data, filter: Option<Filter>) -> Survey {
    let mut work = data.query(Format::Csv).await;
    work.filter = filter;
    survey(data, work, 0, FOREVER).await
}

async fn decided(data: &Data, filter: Filter) -> u64 {
    let survey = found(data, Some(filter.clone())).await;
    assert_eq!(survey.found_by, FoundBy::Statistics, "{filter:?}");
    survey.at_least
}

#[tokio::test]
async fn every_type_tells_its_ends_over_all_row_groups() {
    let zoned = TimestampMicrosecondArray::from(vec![Some(0), None, Some(-1), Some(86_400_000_000)]);
    let decimal = Decimal128Array::from(vec![Some(-150), Some(12_345_678_901_234_567_890), None, Some(0)]);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]); 4]);
    let rows = batch([
        ("i", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7), Some(i64::MAX)]))),
        ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 1, 2, 3]))),
        ("f", Arc::new(Float64Array::from(vec![Some(-0.0), Some(f64::NAN), Some(0.5), None]))),
        ("g", Arc::new(Float32Array::from(vec![0.1, -0.1, f32::INFINITY, 1.0]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(true), Some(false)]))),
        ("t", Arc::new(StringArray::from(vec![Some("b"), Some(""), None, Some("\"ü\", x")]))),
        ("d", Arc::new(Date32Array::from(vec![Some(-1), Some(0), None, Some(20_454)]))),
        ("z", Arc::new(zoned.with_timezone("UTC"))),
        ("n", Arc::new(decimal.with_precision_and_scale(38, 2).unwrap())),
        ("l", Arc::new(lists)),
        ("x", Arc::new(Int32Array::from(vec![None; 4]))),
    ]);
    let data = Data::new().file("a.parquet", &[rows], 2);
    assert_eq!(ends(&data, "i").await, (json!(i64::MIN), json!(i64::MAX), Some(1)));
    assert_eq!(ends(&data, "u").await, (json!(1), json!(u64::MAX), Some(0)));
    assert_eq!(ends(&data, "f").await, (json!(0.0), json!(0.5), Some(1)));
    assert_eq!(ends(&data, "g").await, (json!(-0.1), json!("Infinity"), Some(0)));
    assert_eq!(ends(&data, "b").await, (json!(false), json!(true), Some(1)));
    assert_eq!(ends(&data, "t").await, (json!(""), json!("b"), Some(1)));
    assert_eq!(ends(&data, "d").await, (json!("1969-12-31"), json!("2026-01-01"), Some(1)));
    let (min, max, nulls) = ends(&data, "z").await;
    assert_eq!((min.as_str().unwrap(), nulls), ("1969-12-31T23:59:59.999999Z", Some(1)));
    assert!(max.as_str().unwrap().starts_with("1970-01-02T00:00:00"), "{max}");
    assert_eq!(ends(&data, "n").await, (json!("-1.50"), json!("123456789012345678.90"), Some(1)));
    assert_eq!(known(&data, "l").await, ColumnStatistics::default(), "an element's ends are not the list's");
    assert_eq!(ends(&data, "x").await, (Value::Null, Value::Null, Some(4)));
    let facts = data.dataset().await.facts;
    assert_eq!((facts.records, facts.statistics.unwrap().row_groups), (Some(4), Some(2)));
}

#[tokio::test]
async fn texts_that_are_cut_short_are_bounds_and_long_ones_are_not_told() {
    let (long, word) = ("ä".repeat(100), "b".to_owned());
    let rows = |texts: [&str; 2]| batch([("t", Arc::new(StringArray::from(texts.to_vec())) as ArrayRef)]);
    let data = Data::new().file("a.parquet", &[rows([&word, &long])], 10);
    let cut = known(&data, "t").await;
    assert!(!cut.exact && cut.max.as_ref().unwrap().as_str().unwrap().len() < 100, "{cut:?}");
    let whole = Data::new().file("a.parquet", &[rows(["a", "b"])], 10);
    assert!(known(&whole, "t").await.exact);
    // Cut short, both ends are still bounds: neither a match nor a miss is lost.
    let is_long = compare("t", CompareOp::Eq, Literal::Text(long));
    for (filter, records) in [(is_long.clone(), 1), (Filter::Not(Box::new(is_long)), 1)] {
        assert_eq!(found(&data, Some(filter)).await.at_least, records);
    }
}

#[tokio::test]
async fn row_groups_that_say_nothing_leave_the_whole_unknown_and_are_counted() {
    let data = Data::new().file("a.parquet", &[numbers(0..10)], 5);
    write_silent(&data.dir.path().join("b.parquet"), &[numbers(10..20)], 5);
    assert_eq!(known(&data, "n").await, ColumnStatistics::default());
    assert_eq!(data.dataset().await.facts.records, Some(20), "records need no statistics");
    let all = found(&data, None).await;
    assert_eq!((all.found_by, all.at_least), (FoundBy::Statistics, 20));
    let some = found(&data, Some(below("n", 15))).await;
    assert_eq!((some.found_by, some.at_least), (FoundBy::Counting, 15));
}

#[tokio::test]
async fn what_older_files_lack_is_null_there_and_numbers_that_grew_are_compared_as_what_they_are_now() {
    let old = batch([("n", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef)]);
    let n: ArrayRef = Arc::new(Int64Array::from(vec![5, 1 << 40, 7]));
    let new = batch([("n", n), ("x", Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])))]);
    let data = Data::new().file("a.parquet", &[old], 10).file("b.parquet", &[new], 10);
    assert_eq!(ends(&data, "n").await, (json!(1), json!(1_u64 << 40), Some(0)));
    assert_eq!(ends(&data, "x").await, (json!("a"), json!("c"), Some(3)));
    let is_null = || Filter::IsNull(Operand::Column("x".into()));
    let old = Filter::And(vec![below("n", 5), is_null()]);
    assert_eq!(decided(&data, old).await, 2);
    let is_not = |text: &str| compare("x", CompareOp::Ne, Literal::Text(text.into()));
    assert_eq!(found(&data, Some(is_not("a"))).await.at_least, 1, "null is neither equal nor unequal");
    assert_eq!(decided(&data, Filter::IsNotTrue(Box::new(below("n", 1 << 41)))).await, 0);
}

#[tokio::test]
async fn bounds_of_narrow_floats_are_not_rounded_to_them() {
    // 0.7 as float32 is a little less than 0.7: all of these records match.
    let narrow = batch([("f", Arc::new(Float32Array::from(vec![0.7, 0.7])) as ArrayRef)]);
    let wide = batch([("f", Arc::new(Float64Array::from(vec![0.7])) as ArrayRef)]);
    let data = Data::new().file("a.parquet", &[narrow], 10).file("b.parquet", &[wide], 10);
    let less = compare("f", CompareOp::Lt, Literal::Float(0.7));
    assert_eq!(found(&data, Some(less)).await.at_least, 2);
}

#[tokio::test]
async fn nan_hides_behind_no_bound() {
    let f: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0]));
    let data = Data::of(batch([("f", f)]));
    assert_eq!(ends(&data, "f").await, (json!(1.0), json!(2.0), Some(0)));
    let of = |op, value| Some(compare("f", op, Literal::Float(value)));
    for (filter, records) in [
        (of(CompareOp::Gt, 2.0), 1),
        (of(CompareOp::Le, 2.0), 2),
        (of(CompareOp::Lt, 9.0), 2),
        (of(CompareOp::Ne, 1.0), 2),
        (of(CompareOp::Eq, f64::NAN), 1),
    ] {
        let counted = found(&data, filter.clone()).await;
        assert_eq!((counted.found_by, counted.at_least), (FoundBy::Counting, records), "{filter:?}");
    }
    assert_eq!(decided(&data, compare("f", CompareOp::Ge, Literal::Float(1.0))).await, 3);
    assert_eq!(decided(&data, compare("f", CompareOp::Lt, Literal::Float(0.0))).await, 0);
    let zeros: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, 0.0]));
    let zeros = Data::of(batch([("f", zeros)]));
    assert_eq!(decided(&zeros, compare("f", CompareOp::Lt, Literal::Float(0.0))).await, 0);
    assert_eq!(decided(&zeros, compare("f", CompareOp::Ge, Literal::Float(-0.0))).await, 2);
}

#[tokio::test]
async fn moments_and_decimals_are_decided_as_they_are_stored() {
    let hour = 3_600_000_000;
    let z = TimestampMicrosecondArray::from_iter_values((0..24).map(|n| n * hour)).with_timezone("+02:00");
    let n = Decimal128Array::from_iter_values((0..24).map(|n| n * 100));
    let n = n.with_precision_and_scale(12, 2).unwrap();
    let d = Date32Array::from_iter_values(0..24);
    let rows = batch([("z", Arc::new(z)), ("n", Arc::new(n)), ("d", Arc::new(d))]);
    let data = Data::new().file("a.parquet", &[rows], 6);
    let of = |column, op, literal| compare(column, op, literal);
    assert_eq!(decided(&data, of("z", CompareOp::Lt, Literal::Timestamp(12 * hour))).await, 12);
    assert_eq!(decided(&data, of("n", CompareOp::Ge, Literal::Decimal(600))).await, 18);
    assert_eq!(decided(&data, of("d", CompareOp::Gt, Literal::Date(5))).await, 18);
    assert_eq!(decided(&data, of("d", CompareOp::Ne, Literal::Date(99))).await, 24);
    let inside = found(&data, Some(of("n", CompareOp::Ge, Literal::Decimal(601)))).await;
    assert_eq!((inside.found_by, inside.at_least), (FoundBy::Counting, 17));
}

#[tokio::test]
async fn empty_files_say_nothing_and_hide_nothing() {
    let none = numbers(0..0);
    let data = Data::new().file("a.parquet", std::slice::from_ref(&none), 10);
    assert_eq!(known(&data, "n").await, ColumnStatistics::default());
    let survey = found(&data, Some(below("n", 5))).await;
    assert_eq!((survey.found_by, survey.at_least, survey.bytes_read), (FoundBy::Statistics, 0, 0));
    let data = data.file("b.parquet", &[numbers(3..6)], 10);
    assert_eq!(ends(&data, "n").await, (json!(3), json!(5), Some(0)));
    assert_eq!(known(&data, "n").await.distinct, None, "nobody counted");
}

#[tokio::test]
async fn ends_are_told_in_the_type_that_records_are_read_in() {
    let narrow = batch([("f", Arc::new(Float32Array::from(vec![0.1])) as ArrayRef)]);
    for values in [vec![], vec![None::<f64>]] {
        let wide = batch([("f", Arc::new(Float64Array::from(values)) as ArrayRef)]);
        let data =
            Data::new().file("a.parquet", std::slice::from_ref(&narrow), 10).file("b.parquet", &[wide], 10);
        let (min, max, _) = ends(&data, "f").await;
        let read = run(&data, data.query(Format::Csv).await).await;
        assert_eq!(read.text().lines().nth(1), Some(min.to_string().as_str()));
        assert_eq!((&min, &max), (&json!(f64::from(0.1_f32)), &min), "more than 0.1");
    }
}

#[tokio::test]
async fn a_long_list_is_not_gone_through_for_each_row_group() {
    // Row groups of one value each, all of them before the list.
    let rows: Vec<RecordBatch> = (0..2_000).map(|n| numbers(n..n + 1)).collect();
    let data = Data::new().file("a.parquet", &rows, 1);
    let values = (10_000..210_000).map(Literal::Int).collect();
    let list = Filter::In { operand: Operand::Column("n".into()), values };
    let begun = std::time::Instant::now();
    assert_eq!(decided(&data, list).await, 0);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn directories_tell_all_their_values() {
    let data = Data::new();
    let files =
        [("year=2025/kind=b", 3), ("year=2026/kind=a", 2), ("year=2026/kind=__HIVE_DEFAULT_PARTITION__", 5)];
    for (directory, rows) in files {
        fs::create_dir_all(data.dir.path().join(directory)).unwrap();
        write_parquet(&data.dir.path().join(directory).join("a.parquet"), &[numbers(0..rows)], 100);
    }
    let year = known(&data, "year").await;
    assert_eq!((year.min, year.max, year.nulls), (Some(json!(2025)), Some(json!(2026)), Some(0)));
    assert_eq!(
        (year.exact, year.distinct, year.values),
        (true, Some(2), Some(vec![json!(2025), json!(2026)]))
    );
    let kind = known(&data, "kind").await;
    assert_eq!((kind.nulls, kind.distinct), (Some(5), Some(2)));
    assert_eq!(kind.values, Some(vec![json!("a"), json!("b"), Value::Null]));
    let is = |text: &str| compare("kind", CompareOp::Eq, Literal::Text(text.into()));
    assert_eq!(decided(&data, is("a")).await, 2);
    assert_eq!(decided(&data, Filter::Not(Box::new(is("a")))).await, 3, "null is not known to differ");
    assert_eq!(decided(&data, Filter::IsNotTrue(Box::new(is("a")))).await, 8);
    assert_eq!(decided(&data, Filter::And(vec![is("b"), below("n", 3)])).await, 3);
}

#[tokio::test]
async fn directories_without_a_record_tell_no_value() {
    let data = Data::new();
    for (directory, rows) in [("p=1", 0), ("p=2", 3), ("p=__HIVE_DEFAULT_PARTITION__", 0)] {
        fs::create_dir(data.dir.path().join(directory)).unwrap();
        write_parquet(&data.dir.path().join(directory).join("a.parquet"), &[numbers(0..rows)], 100);
    }
    let told = known(&data, "p").await;
    assert_eq!((told.min, told.max, told.exact), (Some(json!(2)), Some(json!(2)), true));
    assert_eq!((told.nulls, told.distinct, told.values), (Some(0), Some(1), Some(vec![json!(2)])));
    let data = Data::new();
    for (directory, text) in
        [("p=1", "n\n"), ("p=2", "n\n1\n2\n"), ("p=__HIVE_DEFAULT_PARTITION__", "n\n3\n")]
    {
        fs::create_dir(data.dir.path().join(directory)).unwrap();
        fs::write(data.dir.path().join(directory).join("a.csv"), text).unwrap();
    }
    let told = known(&data, "p").await;
    assert_eq!((told.min, told.nulls, told.distinct), (Some(json!(2)), Some(1), Some(1)));
    assert_eq!(told.values, Some(vec![json!(2), Value::Null]));
}

#[tokio::test]
async fn a_dry_run_never_answers_from_statistics_of_files_that_were_replaced() {
    let data = Data::new().file("a.parquet", &[numbers(0..10)], 10);
    let (dataset, mut work) = (data.dataset().await, data.query(Format::Csv).await);
    work.filter = Some(below("n", 100));
    let data = data.file("a.parquet", &[numbers(90..140)], 10);
    assert_ne!(data.dataset().await.facts.version, dataset.facts.version);
    let blobs = Arc::new(MemoryBlobs::default());
    let job = task(dataset, work, &blobs);
    job.control.inquire(willcall_core::job::Inquiry {
        sort: Vec::new(),
        offset: 0,
        cap: u64::MAX,
        count_for: FOREVER,
    });
    engine(2).execute(job.clone()).await.unwrap();
    let survey = job.control.survey().unwrap();
    assert_eq!((survey.found_by, survey.at_least), (FoundBy::Statistics, 10));
    assert_eq!(ends(&data, "n").await, (json!(90), json!(139), Some(0)));
}

#[tokio::test]
async fn what_statistics_decide_is_counted_without_reading_a_record() {
    let data = Data::new().file("a.parquet", &[numbers(0..1_000)], 100);
    // Every page is spoilt; the footer alone is sound.
    let path = data.dir.path().join("a.parquet");
    let mut bytes = fs::read(&path).unwrap();
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
    let footer = bytes.len() - 8 - length as usize;
    bytes[4..footer].fill(0xEE);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(found(&data, None).await.at_least, 1_000);
    assert_eq!(decided(&data, below("n", 300)).await, 300);
    let both = Filter::Or(vec![below("n", 100), compare("n", CompareOp::Ge, Literal::Int(900))]);
    assert_eq!(decided(&data, both).await, 200);
}

#[tokio::test]
async fn bytes_are_those_of_needed_columns_in_row_groups_that_may_match() {
    let data = Data::new().file("a.parquet", &[numbers(0..1_000)], 100);
    let of = async |fields: &[&str], filter: Option<Filter>, sort: &str, limit: Option<u64>| {
        let mut work = data.query(Format::Csv).await;
        work.fields = fields.iter().map(|&field| field.to_owned()).collect();
        (work.filter, work.limit) = (filter, limit);
        if !sort.is_empty() {
            work.sort = vec![SortKey { column: sort.into(), descending: false }];
        }
        survey(&data, work, 0, FOREVER).await.bytes_read
    };
    let size = fs::metadata(data.dir.path().join("a.parquet")).unwrap().len();
    let (both, n, t) = (
        of(&["n", "t"], None, "", None).await,
        of(&["n"], None, "", None).await,
        of(&["t"], None, "", None).await,
    );
    assert_eq!(n + t, both);
    assert!(0 < n && n < t && both < size, "{n} {t} {both} {size}");
    // A third of the row groups are taken whole, without a look at what the filter asks of.
    let third = of(&["t"], Some(below("n", 300)), "", None).await;
    assert!(third < t / 2, "{third} {t}");
    let with_filter = of(&["t"], Some(below("n", 301)), "", None).await;
    assert!(with_filter > third && with_filter < t, "{with_filter}");
    assert_eq!(of(&["n"], None, "t", None).await, both, "a sort reads its column");
    assert!(of(&["n", "t"], None, "", Some(100)).await <= both / 9);
    assert_eq!(of(&["n", "t"], None, "n", Some(100)).await, both, "whichever comes first, all are read");
    assert_eq!(of(&["n", "t"], None, "", Some(0)).await, 0);
}

#[tokio::test]
async fn what_is_not_counted_in_time_lies_between_bounds() {
    let scattered = |n: i64| (n * 7_919) % 1_000;
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values((0..10_000).map(scattered)));
    let data = Data::new().file("a.parquet", &[batch([("n", n)])], 500);
    let mut work = data.query(Format::Csv).await;
    work.filter = Some(below("n", 250));
    let whole = survey(&data, work.clone(), 0, FOREVER).await;
    assert_eq!((whole.found_by, whole.at_least, whole.at_most), (FoundBy::Counting, 2_500, Some(2_500)));
    let none = survey(&data, work.clone(), 10, Duration::ZERO).await;
    assert_eq!((none.found_by, none.at_least, none.at_most), (FoundBy::Part, 0, Some(10_000)));
    assert_eq!(none.likely, 5_000, "as likely one way as the other");
    assert_eq!(none.values.map(|values| values.records), Some(10_000));
    let text = Data::new();
    fs::write(text.dir.path().join("a.csv"), "n\n1\n2\n3\n").unwrap();
    let mut work = text.query(Format::Csv).await;
    work.filter = Some(below("n", 3));
    let none = survey(&text, work.clone(), 0, Duration::ZERO).await;
    assert_eq!((none.found_by, none.at_least, none.at_most), (FoundBy::Part, 0, Some(3)));
    let counted = survey(&text, work.clone(), 0, FOREVER).await;
    assert_eq!((counted.found_by, counted.at_least, counted.whole_files), (FoundBy::Counting, 2, true));
    assert_eq!(counted.bytes_read, 8);
    work.filter = None;
    let all = survey(&text, work, 0, FOREVER).await;
    assert_eq!((all.found_by, all.at_least), (FoundBy::Statistics, 3), "counted when it was loaded");
}

#[tokio::test]
async fn what_sizes_of_values_say_of_a_result_is_of_its_order() {
    let n = || (0..20_000_i64).map(|n| n.wrapping_mul(0x5851_F42D_4C95_7F2D).rotate_left(17));
    let words = n().map(|n| ["red", "green", "blue", "of another colour"][(n & 3) as usize]);
    let rows = batch([
        ("number", Arc::new(Int64Array::from_iter_values(n().map(|n| n >> 40)))),
        ("word", Arc::new(StringArray::from_iter_values(words))),
        ("day", Arc::new(Date32Array::from_iter_values(n().map(|n| (n & 0x3FFF) as i32)))),
        ("part", Arc::new(Float64Array::from_iter_values(n().map(|n| (n & 0xFFFF) as f64 / 100.0)))),
    ]);
    let data = Data::new().file("a.parquet", &[rows], 5_000);
    for format in [Format::Csv, Format::Json, Format::Jsonl, Format::Parquet, Format::Arrow, Format::Xlsx] {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let is_text = matches!(format, Format::Csv | Format::Json | Format::Jsonl);
            if !is_text && compression != Compression::None {
                continue;
            }
            let mut work = data.query(format).await;
            work.output.compression = compression;
            let told = survey(&data, work.clone(), 0, FOREVER).await.written(20_000, format, compression);
            let written = run(&data, work).await.bytes().len() as f64;
            let ratio = told.unwrap() as f64 / written;
            println!("{format} {compression:?} {ratio}");
            assert!((0.5..2.0).contains(&ratio), "{format} {compression:?}: {ratio}");
        }
    }
}
