//! Data sets of text: CSV and JSON Lines, plain and compressed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    error::Error,
    fmt,
    fs::{self, File},
    io::Write,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use support::*;
use willcall_core::{
    catalog::{Column, Dataset, DatasetSource},
    format::Format,
    job::kinds::{QueryWork, SortKey},
    ports::{
        DataFile, DataFileEntry, DataFiles, DataFilesError, DatasetInspector, ExecuteError, Executor,
        InspectError,
    },
    query::{CompareOp, Filter, Literal, Operand},
};
use willcall_engine::{Engine, EngineConfig, LocalDataFiles, ParquetInspector};

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::default());
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::bulk::compress(text.as_bytes(), 3).unwrap()
}

/// A data set of text, and how its source names it.
struct Text {
    data: Data,
    source: DatasetSource,
}

impl Text {
    fn new() -> Self {
        let data = Data::new();
        let source = data.source();
        Self { data, source }
    }

    fn file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.data.dir.path().join(name), bytes).unwrap();
        self
    }

    fn declared(mut self, columns: &[(&str, &str, bool)]) -> Self {
        let column = |(name, data_type, nullable): &(&str, &str, bool)| Column {
            name: (*name).into(),
            data_type: data_type.parse().unwrap(),
            nullable: *nullable,
        };
        self.source.columns = Some(columns.iter().map(column).collect());
        self
    }

    async fn inspect(&self) -> Result<Dataset, InspectError> {
        let facts = ParquetInspector::new(local()).inspect(&self.source).await?;
        Ok(Dataset {
            name: "data".into(),
            description: String::new(),
            source: self.source.clone(),
            views: Default::default(),
            facts,
        })
    }

    /// Why the data set cannot be inspected, with all causes.
    async fn refused(&self) -> String {
        let error = self.inspect().await.unwrap_err();
        let mut words = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            words += &format!(": {error}");
            cause = error.source();
        }
        words
    }

    fn query(dataset: &Dataset, format: Format) -> QueryWork {
        QueryWork {
            dataset: "data".into(),
            filter: None,
            fields: dataset.facts.columns.iter().map(|column| column.name.clone()).collect(),
            sort: Vec::new(),
            limit: None,
            offset: 0,
            max_records: u64::MAX,
            output: willcall_core::format::OutputFormat::plain(format),
            page_size: 1000,
        }
    }

    async fn run(&self, change: impl FnOnce(&mut QueryWork)) -> Ran {
        let dataset = self.inspect().await.unwrap();
        let mut work = Self::query(&dataset, Format::Csv);
        change(&mut work);
        run_on(&engine(3), dataset, work).await.unwrap()
    }
}

async fn run_on(engine: &Engine, dataset: Dataset, work: QueryWork) -> Result<Ran, ExecuteError> {
    let blobs = Arc::new(MemoryBlobs::default());
    let task = task(dataset, work, &blobs);
    let delivered = engine.execute(task.clone()).await?;
    Ok(Ran { delivered, task, blobs })
}

fn detail(error: ExecuteError) -> String {
    match error {
        ExecuteError::Fatal { problem, .. } => format!("{:?}: {}", problem.kind, problem.detail),
        other => panic!("{other:?}"),
    }
}

fn at_least(n: i64) -> Filter {
    Filter::Compare { left: Operand::Column("n".into()), op: CompareOp::Ge, right: Literal::Int(n) }
}

fn rows(range: Range<i64>) -> String {
    let rows: String = range.map(|n| format!("{n},\"text, {n}\"\n")).collect();
    format!("n,t\n{rows}")
}

/// 12,345 records in three files.
fn three_files() -> Text {
    Text::new()
        .file("b.csv", rows(5_000..12_000).replace('\n', "\r\n"))
        .file("a.csv.gz", gzip(&rows(0..5_000)))
        .file("c.csv.zst", zstd(&format!("\u{FEFF}{}", rows(12_000..12_345))))
        .file("_skipped.csv", rows(0..7))
        .file("notes.txt", "not of the data set")
}

#[tokio::test]
async fn records_come_in_the_order_of_files_and_rows() {
    let text = three_files();
    let dataset = text.inspect().await.unwrap();
    let columns: Vec<_> =
        dataset.facts.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
    assert_eq!(columns, ["n int64", "t text"]);
    assert_eq!((dataset.facts.records, dataset.facts.files), (Some(12_345), 3));
    assert!(dataset.facts.bytes > 1000 && dataset.facts.updated.is_some());
    let ran = text.run(|_| {}).await;
    assert_eq!(ran.text(), rows(0..12_345));
    assert_eq!((ran.delivered.records, ran.delivered.records_found), (12_345, Some(12_345)));
    assert_eq!(ran.delivered.dataset.as_ref().unwrap().files, 3);
    for threads in [1, 4] {
        let again = run_on(&engine(threads), dataset.clone(), Text::query(&dataset, Format::Csv)).await;
        assert_eq!(again.unwrap().bytes(), ran.bytes(), "the same bytes on any number of threads");
    }
}

#[tokio::test]
async fn offset_limit_filter_and_sort_are_as_for_other_data_sets() {
    let text = three_files();
    for (offset, limit) in [(0, 0), (0, 1), (4_999, 3), (11_000, 1_345), (12_344, 9), (99_999, 1)] {
        for filter in [None, Some(at_least(0))] {
            let ran =
                text.run(|work| (work.offset, work.limit, work.filter) = (offset, Some(limit), filter)).await;
            let last = (offset + limit).min(12_345) as i64;
            assert_eq!(ran.text(), rows((offset as i64).min(last)..last), "{offset} {limit}");
            assert_eq!(ran.delivered.records_found, Some(12_345));
        }
    }
    let ran = text.run(|work| (work.filter, work.limit) = (Some(at_least(11_999)), Some(2))).await;
    assert_eq!((ran.text(), ran.delivered.records_found), (rows(11_999..12_001), Some(346)));
    let ran = text
        .run(|work| {
            work.filter = Some(at_least(12_340));
            work.fields = vec!["t".into()];
            work.sort = vec![SortKey { column: "n".into(), descending: true }];
        })
        .await;
    assert_eq!(
        ran.text(),
        "t\n\"text, 12344\"\n\"text, 12343\"\n\"text, 12342\"\n\"text, 12341\"\n\"text, 12340\"\n"
    );
}

#[tokio::test]
async fn records_are_counted_anew_where_the_files_are_others_than_when_they_were_inspected() {
    let text = three_files();
    let dataset = text.inspect().await.unwrap();
    let text = text.file("d.csv", "t,n,more\nx,1,?\n,,\n");
    for (limit, expected) in [(Some(3), rows(0..3)), (None, rows(0..12_345) + "1,x\n,\n")] {
        let mut work = Text::query(&dataset, Format::Csv);
        work.limit = limit;
        let ran = run_on(&engine(2), dataset.clone(), work).await.unwrap();
        assert_eq!((ran.text(), ran.delivered.records_found), (expected, Some(12_347)));
    }
    drop(text);
}

#[tokio::test]
async fn json_lines_give_columns_as_they_are_found() {
    let text = Text::new()
        .file("1.jsonl", "{\"n\":1,\"t\":\"a\",\"at\":\"2026-01-31T10:00:00Z\"}\n{\"n\":2}\n")
        .file(
            "2.ndjson.gz",
            gzip("{\"late\":[1, {\"x\":null}],\"n\":3.5,\"at\":\"2026-01-31T11:00:00.5+01:00\"}\n"),
        )
        .file("3.jsonl", "");
    let dataset = text.inspect().await.unwrap();
    let columns: Vec<_> =
        dataset.facts.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
    assert_eq!(columns, ["n float64", "t text", "at timestamp(microsecond, UTC)", "late text"]);
    assert_eq!(dataset.facts.records, Some(3));
    let ran = text.run(|work| work.output.format = Format::Jsonl).await;
    assert_eq!(
        ran.text(),
        concat!(
            "{\"n\":1.0,\"t\":\"a\",\"at\":\"2026-01-31T10:00:00Z\",\"late\":null}\n",
            "{\"n\":2.0,\"t\":null,\"at\":null,\"late\":null}\n",
            "{\"n\":3.5,\"t\":null,\"at\":\"2026-01-31T10:00:00.500Z\",\"late\":\"[1, {\\\"x\\\":null}]\"}\n",
        )
    );
}

#[tokio::test]
async fn declared_columns_have_their_types_and_the_others_are_left_out() {
    let columns = [
        ("price", "decimal(9, 2)", true),
        ("id", "text", false),
        ("day", "date", true),
        ("more", "int32", true),
    ];
    let text = Text::new()
        .file("1.csv", "id,price,day,secret\n007,12.5,2026-01-31,x\n008,,,x\n")
        .file("2.csv", "more,id\n5,009\n")
        .declared(&columns);
    let dataset = text.inspect().await.unwrap();
    assert_eq!(Some(&dataset.facts.columns), text.source.columns.as_ref());
    assert_eq!(dataset.facts.records, Some(3));
    let ran = text.run(|_| {}).await;
    assert_eq!(ran.text(), "price,id,day,more\n12.50,007,2026-01-31,\n,008,,\n,009,,5\n");
    let ran = text
        .run(|work| {
            let price = Operand::Column("price".into());
            let right = Literal::Decimal(1250);
            work.filter = Some(Filter::Compare { left: price, op: CompareOp::Eq, right });
            work.fields = vec!["id".into()];
            work.output.format = Format::Json;
        })
        .await;
    assert_eq!(ran.text(), "[{\"id\":\"007\"}]");
    let one = DatasetSource { location: text.source.location.clone() + "/2.csv", columns: None };
    let facts = ParquetInspector::new(local()).inspect(&one).await.unwrap();
    assert_eq!((facts.records, facts.columns.len()), (Some(1), 2));
}

#[tokio::test]
async fn parquet_and_excel_are_written_from_text() {
    let text = three_files();
    let arrow = text.run(|work| work.output.format = Format::Arrow).await;
    let reader = arrow_ipc::reader::StreamReader::try_new(std::io::Cursor::new(arrow.bytes()), None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 12_345);
    let parquet = text.run(|work| work.output.format = Format::Parquet).await;
    let path = text.data.dir.path().join("result");
    fs::write(&path, parquet.bytes()).unwrap();
    let builder =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap());
    assert_eq!(builder.unwrap().metadata().file_metadata().num_rows(), 12_345);
    let excel = text.run(|work| (work.output.format, work.limit) = (Format::Xlsx, Some(5))).await;
    assert!(excel.bytes().starts_with(b"PK") && excel.delivered.records == 5);
}

#[tokio::test]
async fn what_is_wrong_is_told_with_file_and_line_when_the_catalog_is_loaded() {
    for (name, bytes, said) in [
        ("a.csv", b"a,b\n1,2\n3\n".to_vec(), "a.csv: row 2, line 3: the row has 1 field, the header 2"),
        ("a.csv", b"a,a\n".to_vec(), "a.csv: line 1: the header: names the column \"a\" twice"),
        ("a.csv", b"".to_vec(), "a.csv: line 1: the file is empty"),
        ("a.csv", b"a,b\n1,\xE9\n".to_vec(), "a.csv: row 1, line 2: byte 3 of the line, 0xE9, is not UTF-8"),
        (
            "a.csv",
            b"{\"a\":1}\n".to_vec(),
            "a.csv: the file was declared to be CSV, and begins with a JSON object",
        ),
        ("a.csv.gz", b"a,b\n".to_vec(), "a.csv.gz: the file was declared to be gzip, and is not compressed"),
        ("a.jsonl", b"{\"a\":1}\n[]\n".to_vec(), "a.jsonl: row 2, line 2: invalid type"),
        ("a.jsonl", b"\n".to_vec(), "a.jsonl: there is no row to infer columns from: declare them"),
    ] {
        let text = Text::new().file(name, bytes);
        assert!(matches!(text.inspect().await, Err(InspectError::Mismatch { .. })));
        let words = text.refused().await;
        assert!(words.contains(said), "{words}");
    }
    let cut = gzip(&rows(0..100));
    let words = Text::new().file("a.csv.gz", &cut[..cut.len() - 9]).refused().await;
    assert!(words.contains("the file is cut short: its gzip data ends in the middle"), "{words}");
    let words = Text::new().file("a.csv", "a\n").file("b.jsonl", "{}\n").refused().await;
    assert!(words.contains("\"a.csv\" is CSV, and \"b.jsonl\" is JSON Lines"), "{words}");
    let text = Text::new().file("a.csv", "a\n1\n").declared(&[("a", "int64", true), ("b", "text", true)]);
    let words = text.refused().await;
    assert!(words.contains("no file has the column \"b\" that is declared"), "{words}");
    let files = Text::new().file("a.csv", "a,b\n1,2\n").file("b.csv", "a\n1\n");
    let words = files.declared(&[("b", "int64", false)]).refused().await;
    assert!(words.contains("b.csv: there is no column \"b\", and it must have values"), "{words}");
    let mut parquet = Text::new().declared(&[("a", "text", true)]);
    let column: arrow_array::ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![1]));
    let batch = arrow_array::RecordBatch::try_from_iter([("a", column)]).unwrap();
    parquet.data = parquet.data.file("a.parquet", &[batch], 10);
    assert!(parquet.refused().await.contains("columns are declared, and its files are Parquet"));
}

#[tokio::test]
async fn a_file_with_a_header_alone_has_no_records() {
    let text = Text::new().file("a.csv", "a,b\n");
    let dataset = text.inspect().await.unwrap();
    assert_eq!((dataset.facts.records, dataset.facts.columns.len()), (Some(0), 2));
    let ran = text.run(|_| {}).await;
    assert_eq!((ran.text().as_str(), ran.delivered.records_found), ("a,b\n", Some(0)));
}

#[tokio::test]
async fn a_value_that_is_none_of_its_columns_type_fails_the_job_and_names_the_place() {
    let declared = [("n", "int64", true), ("t", "text", true)];
    let text =
        Text::new().file("a.csv", rows(0..9_000)).file("b.csv", "t,n\nx,1\ny,2.5\n").declared(&declared);
    let dataset = text.inspect().await.unwrap();
    let error = run_on(&engine(2), dataset.clone(), Text::query(&dataset, Format::Csv)).await.err().unwrap();
    assert_eq!(detail(error), "EngineFailed: b.csv: row 2, line 3, column \"n\": \"2.5\" is not int64");
    let mut work = Text::query(&dataset, Format::Csv);
    work.fields = vec!["t".into()];
    let ran = run_on(&engine(2), dataset.clone(), work).await.unwrap();
    assert_eq!(ran.delivered.records, 9_002, "a column that nobody asks for is not read");
    let text = text.file("b.csv", "t,n\nx,1\ny\n");
    let error = run_on(&engine(2), dataset.clone(), Text::query(&dataset, Format::Csv)).await.err().unwrap();
    assert_eq!(detail(error), "EngineFailed: b.csv: row 2, line 3: the row has 1 field, the header 2");
    drop(text);
}

#[tokio::test]
async fn files_that_change_or_go_end_the_job_with_a_conflict() {
    let text = three_files();
    let dataset = text.inspect().await.unwrap();
    let blobs = Arc::new(MemoryBlobs::default());
    let first = task(dataset.clone(), Text::query(&dataset, Format::Csv), &blobs);
    engine(2).execute(first.clone()).await.unwrap();
    let text = text.file("b.csv", rows(5_000..12_000));
    // A later attempt of the same job.
    let error = engine(2).execute(first.clone()).await.err().unwrap();
    assert!(detail(error).starts_with("Conflict: the data set changed"));
    fs::remove_file(text.data.dir.path().join("b.csv")).unwrap();
    let error = engine(2).execute(first).await.err().unwrap();
    assert!(detail(error).ends_with("b.csv is gone"));
}

/// The disk as if it were far away, and perhaps failing.
#[derive(Clone, Default)]
struct Far {
    fetched: Arc<AtomicU64>,
    /// After how many bytes what happens.
    fault: Option<(u64, fn() -> DataFilesError)>,
}

struct FarFile(Arc<dyn DataFile>, Far);

impl fmt::Debug for FarFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl DataFiles for Far {
    async fn list(&self, source: &DatasetSource) -> Result<Vec<DataFileEntry>, DataFilesError> {
        LocalDataFiles.list(source).await
    }

    fn open(&self, entry: &DataFileEntry) -> Result<Arc<dyn DataFile>, DataFilesError> {
        Ok(Arc::new(FarFile(LocalDataFiles.open(entry)?, self.clone())))
    }
}

impl DataFile for FarFile {
    fn read_at(&self, _: &mut [u8], _: u64) -> Result<usize, DataFilesError> {
        panic!("a far file is read in large pieces");
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, DataFilesError> {
        let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        assert!(bytes <= 4 << 20, "no more is held than is allowed");
        let before = self.1.fetched.fetch_add(bytes, Ordering::SeqCst);
        match self.1.fault {
            Some((after, fault)) if before >= after => Err(fault()),
            _ => self.0.read_ranges(ranges),
        }
    }

    fn is_far(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), DataFilesError> {
        self.0.check()
    }
}

#[tokio::test]
async fn far_files_are_fetched_in_large_pieces_once() {
    let text = Text::new().file("a.csv", rows(0..400_000)).file("b.csv", rows(400_000..400_010));
    let dataset = text.inspect().await.unwrap();
    assert!(dataset.facts.bytes > 8 << 20);
    let far = Far::default();
    let config = EngineConfig { threads: 2, ..EngineConfig::new(std::env::temp_dir()) };
    let engine = Engine::new(config.clone(), Arc::new(far.clone()));
    let ran = run_on(&engine, dataset.clone(), Text::query(&dataset, Format::Csv)).await.unwrap();
    assert_eq!(ran.text(), rows(0..400_010));
    assert_eq!(far.fetched.load(Ordering::SeqCst), dataset.facts.bytes);
    let gone: fn() -> DataFilesError = || DataFilesError::Changed;
    let down: fn() -> DataFilesError = || DataFilesError::Unavailable("reset".into());
    for (fault, is_conflict) in [(gone, true), (down, false)] {
        let far = Far { fault: Some((4 << 20, fault)), ..Far::default() };
        let engine = Engine::new(config.clone(), Arc::new(far));
        let error = run_on(&engine, dataset.clone(), Text::query(&dataset, Format::Csv)).await.err().unwrap();
        match error {
            ExecuteError::Transient { .. } => assert!(!is_conflict),
            error => assert!(is_conflict && detail(error).contains("a.csv is not the file that it was")),
        }
        let inspector =
            ParquetInspector::new(Arc::new(Far { fault: Some((1 << 20, fault)), ..Far::default() }));
        assert!(matches!(inspector.inspect(&text.source).await, Err(InspectError::Unreadable { .. })));
    }
}

#[tokio::test]
async fn json_files_are_arrays_of_objects_read_as_json_lines_are() {
    let text = Text::new()
        .file("1.json", " [{\"n\":1,\"t\":\"[a, }\"},\n {\"n\":2}\n]\n")
        .file("2.json.gz", gzip("[{\"late\":[1, {\"x\":null}],\"n\":3.5}]"))
        .file("3.json.zst", zstd("[]"))
        .file("4.json", "\u{feff}[\r\n{\"n\":4}\r\n]");
    let dataset = text.inspect().await.unwrap();
    let columns: Vec<_> =
        dataset.facts.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
    assert_eq!(columns, ["n float64", "t text", "late text"]);
    assert_eq!((dataset.facts.records, dataset.facts.files), (Some(4), 4));
    let ran = text.run(|_| {}).await;
    assert_eq!(ran.text(), "n,t,late\n1.0,\"[a, }\",\n2.0,,\n3.5,,\"[1, {\"\"x\"\":null}]\"\n4.0,,\n");
    let some = text.run(|work| (work.offset, work.limit, work.fields) = (1, Some(2), vec!["n".into()])).await;
    assert_eq!((some.text().as_str(), some.delivered.records_found), ("n\n2.0\n3.5\n", Some(4)));

    let columns = [("n", "decimal(5, 1)", false), ("more", "int32", true)];
    let declared = text.declared(&columns);
    assert_eq!(declared.run(|_| {}).await.text(), "n,more\n1.0,\n2.0,\n3.5,\n4.0,\n");
}

#[tokio::test]
async fn json_files_lie_in_directories_that_tell_values_too() {
    let text = Text::new();
    for (path, bytes) in [("year=2025", "[{\"n\":1}]"), ("year=2026", "[{\"n\":2},{\"n\":3}]")] {
        fs::create_dir(text.data.dir.path().join(path)).unwrap();
        fs::write(text.data.dir.path().join(path).join("a.json"), bytes).unwrap();
    }
    let ran = text.run(|_| {}).await;
    assert_eq!(ran.text(), "n,year\n1,2025\n2,2026\n3,2026\n");
}

#[tokio::test]
async fn a_large_array_is_read_piece_by_piece() {
    let objects: Vec<String> = (0..200_000).map(|n| format!("{{\"n\":{n},\"t\":\"{n:040}\"}}")).collect();
    let text = Text::new().file("a.json", format!("[{}]", objects.join(",\n")));
    let ran = text.run(|work| work.fields = vec!["n".into()]).await;
    assert_eq!(ran.delivered.records, 200_000);
    assert!(ran.text().ends_with("\n199998\n199999\n"));
}

#[tokio::test]
async fn what_is_no_array_of_objects_is_told_with_file_and_line() {
    let deep = format!("[{{\"a\":{}{}}}]", "[".repeat(10_000), "]".repeat(10_000));
    for (bytes, said) in [
        ("{\"a\":1}", "a.json: the file was declared to be a JSON array, and begins with a JSON object"),
        ("{\"a\":1}\n{\"a\":2}\n", "a.json: the file was declared to be a JSON array, and begins with"),
        ("3", "a.json: the file was declared to be a JSON array, and begins with '3'"),
        ("", "a.json: line 1: the file is empty: an array begins with ["),
        ("[]", "a.json: there is no row to infer columns from: declare them"),
        ("[{\"a\":1}", "a.json: line 1: the file is cut short: it ends in the middle of the array"),
        ("[{\"a\":1},\n{\"a\":", "a.json: line 2: the file is cut short"),
        ("[{\"a\":1},", "a.json: line 1: the file is cut short"),
        (
            "[{\"a\":1}\n{\"a\":2}]",
            "a.json: line 2: '{' is not expected here: between elements stands a comma",
        ),
        ("[{\"a\":1},,{\"a\":2}]", "a.json: line 1: ',' is not expected here: an element is missing"),
        ("[{\"a\":1}]\n[]", "a.json: line 2: '[' is not expected here: nothing may come behind"),
        ("[{\"a\":1},\n\n7]", "a.json: row 2, line 3: invalid type"),
        ("[[1, 2]]", "a.json: row 1, line 1: invalid type"),
        ("[{\"a\":1,\"a\":2}]", "a.json: row 1, line 1: "),
        (deep.as_str(), "a.json: row 1, line 1: "),
    ] {
        let words = Text::new().file("a.json", bytes).refused().await;
        assert!(words.contains(said), "{words}");
    }
    let cut = gzip("[{\"a\":1},{\"a\":2}]");
    let words = Text::new().file("a.json.gz", &cut[..cut.len() - 9]).refused().await;
    assert!(words.contains("a.json.gz") && words.contains("cut short"), "{words}");
    let words = Text::new()
        .file("a.json", "[{}]")
        .file("b.json", "[{\"a\":\"x\"}]")
        .declared(&[("a", "int64", false)]);
    let words = words.refused().await;
    assert!(words.contains("a.json: there is no column \"a\", and it must have values"), "{words}");
    // What is found out only when values are read.
    let text = Text::new().file("a.json", "[{\"a\":1},\n{\"a\":\"x\"}]").declared(&[("a", "int64", true)]);
    let dataset = text.inspect().await.unwrap();
    let failed =
        run_on(&engine(1), dataset.clone(), Text::query(&dataset, Format::Csv)).await.map(drop).unwrap_err();
    let words = detail(failed);
    assert!(
        words.contains("a.json") && words.contains("row 2, line 2") && words.contains("\"a\""),
        "{words}"
    );
    // Beside other formats, JSON is a note about them.
    let text = Text::new().file("a.csv", "a\n1\n").file("schema.json", "{}");
    assert_eq!(text.run(|_| {}).await.text(), "a\n1\n");
}
