//! Data sets in directories that tell values, and whose files have grown.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{fs, sync::Arc};

use arrow_array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use support::*;
use willcall_core::{
    format::Format,
    job::kinds::SortKey,
    ports::{DatasetInspector, ExecuteError},
    query::{CompareOp, Filter, Literal, Operand, TextMatch},
};
use willcall_engine::ParquetInspector;

fn column(name: &str) -> Operand {
    Operand::Column(name.into())
}

fn equals(name: &str, literal: Literal) -> Filter {
    Filter::Compare { left: column(name), op: CompareOp::Eq, right: literal }
}

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
    RecordBatch::try_from_iter([("n", n)]).unwrap()
}

trait InDirectories {
    fn at(self, path: &str, batch: RecordBatch) -> Self;
}

impl InDirectories for Data {
    fn at(self, path: &str, batch: RecordBatch) -> Self {
        fs::create_dir_all(self.dir.path().join(path).parent().unwrap()).unwrap();
        self.file(path, &[batch], 1_000)
    }
}

/// Three files, one of them in a directory without a value.
fn data() -> Data {
    Data::new()
        .at("year=2025/month=02/a.parquet", numbers(0..2))
        .at("year=2026/month=01/a.parquet", numbers(2..4))
        .at("year=2026/month=__HIVE_DEFAULT_PARTITION__/b.parquet", numbers(4..5))
        .at("below/x.parquet", numbers(90..91))
}

async fn columns(data: &Data) -> Vec<String> {
    let columns = data.dataset().await.facts.columns;
    columns.iter().map(|c| format!("{} {} {}", c.name, c.data_type, c.nullable)).collect()
}

async fn refused(data: &Data) -> String {
    ParquetInspector::new(local()).inspect(&data.source()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn directories_tell_columns_behind_those_of_the_files() {
    let data = data();
    assert_eq!(columns(&data).await, ["n int64 false", "year int64 false", "month int64 true"]);
    let ran = run(&data, data.query(Format::Csv).await).await;
    let all = "n,year,month\n0,2025,2\n1,2025,2\n2,2026,1\n3,2026,1\n4,2026,\n";
    assert_eq!(ran.text(), all);
    assert_eq!(
        (ran.delivered.dataset.as_ref().unwrap().files, ran.delivered.dataset.as_ref().unwrap().files_read),
        (3, 3)
    );
    let mut work = data.query(Format::Jsonl).await;
    work.fields = vec!["month".into(), "year".into()];
    (work.offset, work.limit) = (3, Some(9));
    let text = run(&data, work).await.text();
    assert_eq!(text, "{\"month\":1,\"year\":2026}\n{\"month\":null,\"year\":2026}\n");
    let mut work = data.query(Format::Csv).await;
    work.sort = ["month", "n"].map(|name| SortKey { column: name.into(), descending: true }).into();
    let text = run(&data, work).await.text();
    assert_eq!(text, "n,year,month\n1,2025,2\n0,2025,2\n3,2026,1\n2,2026,1\n4,2026,\n");
}

#[tokio::test]
async fn files_that_the_filter_rules_out_are_not_read() {
    let data = data();
    let year = || equals("year", Literal::Int(2026));
    let n = |n| equals("n", Literal::Int(n));
    let cases = [
        (year(), 2, 2, "2,2026,1\n3,2026,1\n4,2026,\n"),
        (Filter::Not(Box::new(year())), 2, 1, "0,2025,2\n1,2025,2\n"),
        (Filter::IsNull(column("month")), 1, 1, "4,2026,\n"),
        (Filter::And(vec![year(), n(3)]), 2, 2, "3,2026,1\n"),
        (Filter::Or(vec![Filter::And(vec![year(), n(0)]), n(1)]), 3, 3, "1,2025,2\n"),
        (
            Filter::Or(vec![equals("month", Literal::Int(2)), equals("month", Literal::Int(9))]),
            1,
            1,
            "0,2025,2\n1,2025,2\n",
        ),
        (Filter::In { operand: column("year"), values: vec![Literal::Int(1), Literal::Int(2)] }, 0, 0, ""),
        (Filter::CompareOperands { left: column("n"), op: CompareOp::Eq, right: column("month") }, 3, 3, ""),
    ];
    for (filter, _, files, rows) in cases {
        let mut work = data.query(Format::Csv).await;
        work.filter = Some(filter.clone());
        let ran = run(&data, work).await;
        assert_eq!(ran.text(), format!("n,year,month\n{rows}"), "{filter:?}");
        assert_eq!(
            (
                ran.delivered.dataset.as_ref().unwrap().files,
                ran.delivered.dataset.as_ref().unwrap().files_read
            ),
            (3, files),
            "{filter:?}"
        );
        assert_eq!(ran.delivered.records_found, Some(rows.lines().count() as u64));
    }
    // Not even looked into: it is no Parquet any more.
    let dataset = data.dataset().await;
    fs::write(data.dir.path().join("year=2025/month=02/a.parquet"), "damaged").unwrap();
    let mut work = willcall_core::job::kinds::QueryWork { filter: Some(year()), ..data_query(&dataset) };
    work.fields = vec!["n".into()];
    let blobs = Arc::new(MemoryBlobs::default());
    let job = task(dataset.clone(), work.clone(), &blobs);
    let delivered = willcall_core::ports::Executor::execute(&engine(2), job).await.unwrap();
    assert_eq!(delivered.records, 3);
    work.filter = None;
    let job = task(dataset, work, &blobs);
    let outcome = willcall_core::ports::Executor::execute(&engine(2), job).await;
    assert!(matches!(outcome, Err(ExecuteError::Fatal { .. })));
}

fn data_query(dataset: &willcall_core::catalog::Dataset) -> willcall_core::job::kinds::QueryWork {
    willcall_core::job::kinds::QueryWork {
        dataset: dataset.name.clone(),
        filter: None,
        fields: Vec::new(),
        sort: Vec::new(),
        limit: None,
        offset: 0,
        max_records: u64::MAX,
        output: willcall_core::format::OutputFormat::plain(Format::Csv),
        page_size: 1000,
    }
}

#[tokio::test]
async fn values_are_decoded_and_typed_by_all_of_them() {
    let data = Data::new()
        .at("day=2026-01-31/code=007/city=S%C3%A3o%20Paulo%2FSP/a.parquet", numbers(0..1))
        .at("day=2026-02-01/code=12/city=/a.parquet", numbers(1..2));
    assert_eq!(
        columns(&data).await,
        ["n int64 false", "day date false", "code int64 false", "city text false"]
    );
    let mut work = data.query(Format::Csv).await;
    assert_eq!(
        run(&data, work.clone()).await.text(),
        "n,day,code,city\n0,2026-01-31,7,São Paulo/SP\n1,2026-02-01,12,\"\"\n"
    );
    let like = Filter::Text {
        operand: column("city"),
        matches: TextMatch::Prefix,
        pattern: "s".into(),
        ignore_case: true,
    };
    work.filter = Some(like);
    let ran = run(&data, work).await;
    assert_eq!((ran.delivered.records, ran.delivered.dataset.as_ref().unwrap().files_read), (1, 1));
    let data = data.at("day=soon/code=x/city=/a.parquet", numbers(2..3));
    assert_eq!(columns(&data).await[1..3], ["day text false", "code text false"]);
}

#[tokio::test]
async fn directories_are_believed_before_a_column_of_the_same_name() {
    let both = |year: i64| {
        let one = |n: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![n])) };
        RecordBatch::try_from_iter([("year", one(year)), ("n", one(5))]).unwrap()
    };
    let data = Data::new().at("year=2026/a.parquet", both(1)).at("year=2025/a.parquet", both(2026));
    assert_eq!(columns(&data).await, ["n int64 false", "year int64 false"]);
    let mut work = data.query(Format::Csv).await;
    work.filter = Some(equals("year", Literal::Int(2026)));
    let ran = run(&data, work).await;
    assert_eq!(
        (ran.text().as_str(), ran.delivered.dataset.as_ref().unwrap().files_read),
        ("n,year\n5,2026\n", 1)
    );
}

#[tokio::test]
async fn directories_that_do_not_fit_together_are_named() {
    let words = refused(&Data::new().at("a=1/x.parquet", numbers(0..1)).at("y.parquet", numbers(0..1))).await;
    assert!(
        words.contains("\"a=1/x.parquet\" are [\"a\"]") && words.contains("\"y.parquet\" are []"),
        "{words}"
    );
    let words = refused(&Data::new().at("a=1/a=2/x.parquet", numbers(0..1))).await;
    assert!(words.contains("tell the column \"a\" twice"), "{words}");
}

#[tokio::test]
async fn text_in_directories_is_read_and_ruled_out_the_same() {
    let data = Data::new();
    for (path, text) in [
        ("region=eu/year=2025/a.csv", "n,t\n1,x\n2,y\n"),
        ("region=eu/year=2026/a.csv", "t,n\nz,3\n"),
        ("region=us/year=2026/a.csv", "n,t\n4,w\n"),
    ] {
        fs::create_dir_all(data.dir.path().join(path).parent().unwrap()).unwrap();
        fs::write(data.dir.path().join(path), text).unwrap();
    }
    assert_eq!(
        columns(&data).await,
        ["n int64 true", "t text true", "region text false", "year int64 false"]
    );
    let mut work = data.query(Format::Csv).await;
    let text = run(&data, work.clone()).await.text();
    assert_eq!(text, "n,t,region,year\n1,x,eu,2025\n2,y,eu,2025\n3,z,eu,2026\n4,w,us,2026\n");
    work.filter = Some(Filter::And(vec![
        equals("year", Literal::Int(2026)),
        Filter::Compare { left: column("n"), op: CompareOp::Lt, right: Literal::Int(4) },
    ]));
    work.fields = vec!["year".into(), "t".into()];
    let ran = run(&data, work.clone()).await;
    assert_eq!(
        (ran.text().as_str(), ran.delivered.dataset.as_ref().unwrap().files_read),
        ("year,t\n2026,z\n", 2)
    );
    work.fields = vec!["region".into()];
    work.filter = None;
    assert_eq!(run(&data, work).await.text(), "region\neu\neu\neu\nus\n");
}

#[tokio::test]
async fn numbers_that_grew_are_widened_and_what_older_files_lack_is_null() {
    let old: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int32Array::from(vec![1, -2]))),
        ("size", Arc::new(UInt32Array::from(vec![u32::MAX, 0]))),
        ("x", Arc::new(Float32Array::from(vec![0.5, 2.0]))),
    ];
    let new: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![5_000_000_000]))),
        ("x", Arc::new(Float64Array::from(vec![1e300]))),
        ("size", Arc::new(Int32Array::from(vec![-1]))),
        ("note", Arc::new(StringArray::from(vec!["new"]))),
    ];
    let data = Data::new().file("2025.parquet", &[RecordBatch::try_from_iter(old).unwrap()], 10).file(
        "2026.parquet",
        &[RecordBatch::try_from_iter(new).unwrap()],
        10,
    );
    assert_eq!(
        columns(&data).await,
        ["id int64 false", "size int64 false", "x float64 false", "note text true"]
    );
    let mut work = data.query(Format::Csv).await;
    assert_eq!(
        run(&data, work.clone()).await.text(),
        "id,size,x,note\n1,4294967295,0.5,\n-2,0,2,\n5000000000,-1,1e+300,new\n".replace(",2,", ",2.0,")
    );
    for (filter, rows) in [
        (Filter::Compare { left: column("id"), op: CompareOp::Ge, right: Literal::Int(4_999_999_999) }, 1),
        (Filter::Compare { left: column("id"), op: CompareOp::Lt, right: Literal::Int(0) }, 1),
        (equals("size", Literal::Int(4_294_967_295)), 1),
        (Filter::Compare { left: column("x"), op: CompareOp::Lt, right: Literal::Float(1e299) }, 2),
        (Filter::IsNull(column("note")), 2),
    ] {
        work.filter = Some(filter.clone());
        assert_eq!(run(&data, work.clone()).await.delivered.records, rows, "{filter:?}");
    }
    work.filter = None;
    work.output.format = Format::Parquet;
    work.sort = vec![SortKey { column: "id".into(), descending: true }];
    assert_eq!(run(&data, work).await.delivered.records, 3);
}

#[tokio::test]
async fn files_that_are_read_may_all_have_a_narrower_type_or_lack_a_column() {
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![5_000_000_000]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["t"]));
    let data = Data::new()
        .at("year=2025/a.parquet", RecordBatch::try_from_iter([("n", narrow)]).unwrap())
        .at("year=2026/a.parquet", RecordBatch::try_from_iter([("n", wide), ("t", text)]).unwrap());
    let mut work = data.query(Format::Csv).await;
    work.filter = Some(Filter::And(vec![
        equals("year", Literal::Int(2025)),
        Filter::Compare { left: column("n"), op: CompareOp::Lt, right: Literal::Int(5_000_000_000) },
    ]));
    let ran = run(&data, work).await;
    assert_eq!(
        (ran.text().as_str(), ran.delivered.dataset.as_ref().unwrap().files_read),
        ("n,t,year\n1,,2025\n", 1)
    );
}

#[tokio::test]
async fn types_that_do_not_fit_are_named_with_both_files() {
    let n: ArrayRef = Arc::new(StringArray::from(vec!["text"]));
    let data = Data::new()
        .file("a.parquet", &[numbers(0..1)], 10)
        .file("b.parquet", &[numbers(1..2)], 10)
        .file("c.parquet", &[RecordBatch::try_from_iter([("n", n)]).unwrap()], 10);
    let words = refused(&data).await;
    assert!(words.contains("c.parquet: the column \"n\" is text here and int64 in a.parquet"), "{words}");
}
