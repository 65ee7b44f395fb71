//! Exports without an order: which records, in which bytes, in which pages.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{fs::File, io::Read, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    builder::{ListBuilder, StringBuilder},
    cast::AsArray,
    types::Int64Type,
};
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    file::properties::{EnabledStatistics, WriterProperties},
};
use support::*;
use willcall_core::{
    format::{Compression, CsvOptions, Format, OutputFormat, ParquetCodec, ParquetOptions},
    job::{Stage, Truncation, TruncationReason, pages::PAGE_BYTES},
    query::{CompareOp, Filter, Literal, Operand},
};

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(range.clone()));
    let t: ArrayRef = Arc::new(StringArray::from_iter_values(range.map(|n| format!("text, {n}"))));
    RecordBatch::try_from_iter([("n", n), ("t", t)]).unwrap()
}

fn data() -> Data {
    Data::new()
        .file("b.parquet", &[numbers(5_000..12_345)], 3_000)
        .file("a.parquet", &[numbers(0..5_000)], 1_024)
        .file("_skipped.parquet", &[numbers(0..7)], 10)
        .file(".hidden.parquet", &[numbers(0..7)], 10)
        .file("other.txt", &[numbers(0..7)], 10)
}

fn at_least(n: i64) -> Filter {
    Filter::Compare { left: Operand::Column("n".into()), op: CompareOp::Ge, right: Literal::Int(n) }
}

fn line(n: i64) -> String {
    format!("{n},\"text, {n}\"\n")
}

#[tokio::test]
async fn records_come_in_data_set_order_from_every_file() {
    let data = data();
    let ran = run(&data, data.query(Format::Csv).await).await;
    let expected: String = (0..12_345).map(line).collect();
    assert_eq!(ran.text(), format!("n,t\n{expected}"));
    assert_eq!((ran.delivered.records, ran.delivered.records_found), (12_345, Some(12_345)));
    assert_eq!(
        (ran.delivered.dataset.as_ref().unwrap().files, ran.delivered.files[0].name.as_str()),
        (2, "result.csv")
    );
    let bytes = ran.bytes();
    let file = &ran.delivered.files[0];
    assert_eq!(file.bytes, bytes.len() as u64);
    assert_eq!(file.crc32, format!("{:08x}", crc32fast::hash(&bytes)));
    use sha2::Digest;
    assert_eq!(file.sha256, hex::encode(sha2::Sha256::digest(&bytes)));
    let control = &ran.task.control;
    assert_eq!(control.written(), (12_345, bytes.len() as u64));
    assert_eq!((control.found(), control.requested()), (Some(12_345), Some(12_345)));
    assert_eq!((control.part_done(), control.stage()), (1.0, Stage::Committing));
}

#[tokio::test]
async fn offset_and_limit_are_exact_with_and_without_a_filter() {
    let data = data();
    for (offset, limit) in
        [(0, 0), (0, 1), (1_023, 2), (4_999, 3), (5_000, 7_345), (12_344, 9), (12_345, 1), (99_999, 1)]
    {
        for filter in [None, Some(at_least(0))] {
            let mut query = data.query(Format::Jsonl).await;
            (query.offset, query.limit, query.filter) = (offset, Some(limit), filter);
            let ran = run(&data, query).await;
            let last = (offset + limit).min(12_345);
            let expected: String =
                (offset.min(last)..last).map(|n| format!("{{\"n\":{n},\"t\":\"text, {n}\"}}\n")).collect();
            assert_eq!(ran.text(), expected, "{offset} {limit}");
            assert_eq!(ran.delivered.records_found, Some(12_345));
            assert_eq!(ran.task.control.requested(), Some(limit));
            assert_eq!(ran.delivered.truncated, None);
        }
    }
}

#[tokio::test]
async fn found_counts_every_match_although_the_limit_stops_the_export() {
    let data = data();
    let mut query = data.query(Format::Csv).await;
    (query.filter, query.limit, query.offset) = (Some(at_least(345)), Some(5), 2_000);
    let ran = run(&data, query).await;
    let expected: String = (2_345..2_350).map(line).collect();
    assert_eq!(ran.text(), format!("n,t\n{expected}"));
    assert_eq!((ran.delivered.records, ran.delivered.records_found), (5, Some(12_000)));
}

#[tokio::test]
async fn only_the_plans_cut_is_a_truncation() {
    let data = data();
    let cut = Some(Truncation { reason: TruncationReason::PlanLimit, limit: 100 });
    for (limit, offset, expected) in [
        (None, 0, cut.clone()),
        (Some(100), 0, None),
        (Some(101), 0, cut.clone()),
        (Some(50), 0, None),
        (None, 12_245, None),
        (None, 12_244, cut.clone()),
    ] {
        let mut query = data.query(Format::Csv).await;
        (query.limit, query.offset, query.max_records) = (limit, offset, 100);
        let ran = run(&data, query).await;
        assert_eq!(ran.delivered.truncated, expected, "{limit:?} {offset}");
        let control = &ran.task.control;
        assert_eq!(control.requested(), Some(limit.unwrap_or(12_345 - offset)), "the plan's cut is no wish");
        assert_eq!((control.written().0, control.part_done()), (ran.delivered.records, 1.0));
    }
}

#[tokio::test]
async fn fields_come_in_the_order_asked_for() {
    let data = data();
    let mut query = data.query(Format::Csv).await;
    (query.fields, query.limit) = (vec!["t".into(), "n".into()], Some(1));
    assert_eq!(run(&data, query).await.text(), "t,n\n\"text, 0\",0\n");
    let mut query = data.query(Format::Csv).await;
    (query.fields, query.filter) = (vec!["n".into()], Some(at_least(12_344)));
    assert_eq!(run(&data, query).await.text(), "n\n12344\n");
}

#[tokio::test]
async fn every_page_is_a_document_and_all_pages_are_the_file() {
    let data = data();
    for format in [Format::Csv, Format::Jsonl, Format::Json] {
        for compression in Compression::ALL {
            for filter in [None, Some(at_least(10))] {
                let mut query = data.query(format).await;
                query.output.compression = compression;
                (query.page_size, query.filter) = (700, filter.clone());
                let ran = run(&data, query).await;
                let whole = inflate(compression, &ran.bytes());
                let pages = ran.pages();
                let records = ran.delivered.records as usize;
                assert_eq!(pages.len(), records.div_ceil(700));
                let first = if filter.is_some() { 10 } else { 0 };
                let rows: Vec<String> = pages.iter().flat_map(|page| rows(format, page)).collect();
                assert_eq!(rows.len(), records);
                assert_eq!(rows, self::rows(format, &whole), "{format} {compression}");
                assert_eq!(self::rows(format, &pages[1]).len(), 700);
                assert!(rows[0].contains(&format!("text, {first}")), "{}", rows[0]);
                let suffix = format!("result.{}{}", format.extension(), compression.suffix());
                assert_eq!(ran.delivered.files[0].name, suffix);
            }
        }
    }
}

fn inflate(compression: Compression, bytes: &[u8]) -> String {
    let mut text = String::new();
    match compression {
        Compression::None => text = String::from_utf8(bytes.to_vec()).unwrap(),
        Compression::Gzip => {
            flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        }
        Compression::Zstd => {
            zstd::stream::read::Decoder::new(bytes).unwrap().read_to_string(&mut text).unwrap();
        }
    }
    text
}

/// The rows of a document, read by a reader that is not ours.
fn rows(format: Format, document: &str) -> Vec<String> {
    match format {
        Format::Csv => {
            let mut reader = csv::Reader::from_reader(document.as_bytes());
            assert_eq!(reader.headers().unwrap(), vec!["n", "t"]);
            reader.records().map(|row| format!("{:?}", row.unwrap().iter().collect::<Vec<_>>())).collect()
        }
        Format::Jsonl => document.lines().map(|line| parse(line).to_string()).collect(),
        _ => parse(document).as_array().unwrap().iter().map(ToString::to_string).collect(),
    }
}

fn parse(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_page_ends_before_it_grows_past_its_bytes() {
    let large = "x".repeat(700 << 10);
    let huge = "y".repeat(PAGE_BYTES + 1);
    let texts = [&large, &large, &large, &huge, "z", &large];
    let t: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let data = Data::of(RecordBatch::try_from_iter([("t", t)]).unwrap());
    for compression in Compression::ALL {
        for format in [Format::Jsonl, Format::Json] {
            let mut query = data.query(format).await;
            query.output.compression = compression;
            let ran = run(&data, query).await;
            let lengths: Vec<usize> = ran
                .pages()
                .iter()
                .map(|page| {
                    if format == Format::Json {
                        parse(page).as_array().unwrap().len()
                    } else {
                        page.lines().count()
                    }
                })
                .collect();
            assert_eq!(lengths, [2, 1, 1, 2], "{format} {compression}");
        }
    }
}

#[tokio::test]
async fn an_empty_result_is_valid_and_has_one_empty_page() {
    let data = data();
    for (format, whole) in [(Format::Csv, "n,t\n"), (Format::Json, "[]"), (Format::Jsonl, "")] {
        for compression in Compression::ALL {
            let mut query = data.query(format).await;
            query.output.compression = compression;
            query.filter = Some(at_least(99_999));
            let ran = run(&data, query).await;
            assert_eq!(inflate(compression, &ran.bytes()), whole);
            assert_eq!(ran.pages(), [whole]);
            assert_eq!((ran.delivered.records, ran.delivered.records_found), (0, Some(0)));
        }
    }
    let mut query = data.query(Format::Parquet).await;
    query.filter = Some(at_least(99_999));
    let ran = run(&data, query).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(ran.bytes()).unwrap();
    assert_eq!((reader.schema().fields().len(), reader.metadata().file_metadata().num_rows()), (2, 0));
    assert_eq!(ran.delivered.pages, None);
    assert!(!ran.blobs.names().iter().any(|name| name.ends_with("pages.idx")));
}

#[tokio::test]
async fn csv_options_are_kept() {
    let texts = [Some("=1+1"), Some("a;b"), Some(""), None, Some("NULL"), Some("-x\"y")];
    let t: ArrayRef = Arc::new(StringArray::from_iter(texts));
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values([-1, 2, 3, 4, 5, 6]));
    let data = Data::of(RecordBatch::try_from_iter([("t", t), ("n", n)]).unwrap());
    let mut query = data.query(Format::Csv).await;
    query.output.csv =
        Some(CsvOptions { delimiter: ';', null: "NULL".into(), header: false, spreadsheet_safe: true });
    let expected = "'=1+1;-1\n\"a;b\";2\n\"\";3\nNULL;4\n\"NULL\";5\n\"'-x\"\"y\";6\n";
    assert_eq!(run(&data, query.clone()).await.text(), expected);
    query.output.csv = None;
    let expected = "t,n\n=1+1,-1\na;b,2\n\"\",3\n,4\nNULL,5\n\"-x\"\"y\",6\n";
    assert_eq!(run(&data, query.clone()).await.text(), expected);
    query.fields = vec!["t".into()];
    assert!(run(&data, query).await.text().contains("\n\"\"\n\"\"\nNULL\n"), "no line is empty");
}

#[tokio::test]
async fn parquet_has_row_groups_of_the_size_asked_for() {
    let data = data();
    for codec in [ParquetCodec::None, ParquetCodec::Snappy, ParquetCodec::Zstd] {
        let mut query = data.query(Format::Parquet).await;
        query.output.parquet = Some(ParquetOptions { codec, row_group_size: 1_000 });
        (query.offset, query.filter) = (5, Some(at_least(5)));
        let ran = run(&data, query).await;
        let read = read_parquet(ran.bytes());
        let n: Vec<i64> =
            read.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(n, (10..12_345).collect::<Vec<_>>());
        let metadata = ParquetRecordBatchReaderBuilder::try_new(ran.bytes()).unwrap().metadata().clone();
        let groups: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(groups, [vec![1_000; 12], vec![335]].concat());
        assert_eq!(ran.delivered.records, 12_335);
    }
}

#[tokio::test]
async fn an_arrow_stream_has_batches_of_bounded_size() {
    let rows = 150_000;
    let data = Data::new().file("big.parquet", &[numbers(0..rows)], 40_000);
    let mut query = data.query(Format::Arrow).await;
    (query.fields, query.offset) = (vec!["n".into()], 5);
    let ran = run(&data, query.clone()).await;
    let batches = read_arrow(ran.bytes());
    let n: Vec<i64> =
        batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(n, (5..rows).collect::<Vec<_>>());
    let sizes: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes, [65_536, 65_536, 150_000 - 5 - 2 * 65_536]);
    assert_eq!((ran.delivered.records, ran.delivered.pages), (149_995, None));
    assert_eq!(ran.delivered.files[0].name, "result.arrows");
    assert_eq!(ran.task.control.written().0, 149_995);
    assert!(!ran.blobs.names().iter().any(|name| name.ends_with("pages.idx")));
    // As much of what is large.
    let t: ArrayRef = Arc::new(StringArray::from_iter_values((0..20).map(|_| "x".repeat(1 << 20))));
    let data = Data::of(RecordBatch::try_from_iter([("t", t)]).unwrap());
    let ran = run(&data, data.query(Format::Arrow).await).await;
    let sizes: Vec<usize> = read_arrow(ran.bytes()).iter().map(RecordBatch::num_rows).collect();
    assert_eq!(sizes, [vec![3; 6], vec![2]].concat());
    query.filter = Some(at_least(i64::MAX));
    let data = self::data();
    let ran = run(&data, query).await;
    let bytes = ran.bytes();
    let reader = StreamReader::try_new(bytes.as_ref(), None).unwrap();
    assert_eq!((reader.schema().fields().len(), reader.count()), (1, 0));
}

fn read_arrow(bytes: Bytes) -> Vec<RecordBatch> {
    StreamReader::try_new(bytes.as_ref(), None).unwrap().collect::<Result<_, _>>().unwrap()
}

fn read_parquet(bytes: Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    reader.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn bytes_do_not_depend_on_the_number_of_threads() {
    let data = data();
    for format in Format::ALL {
        for compression in [Compression::None, Compression::Zstd] {
            for sort in
                [vec![], vec![willcall_core::job::kinds::SortKey { column: "t".into(), descending: true }]]
            {
                let mut query = data.query(format).await;
                query.sort = sort;
                query.output = OutputFormat::plain(format);
                if format.is_text() {
                    query.output.compression = compression;
                }
                if format == Format::Parquet {
                    query.output.parquet =
                        Some(ParquetOptions { row_group_size: 1_500, ..Default::default() });
                }
                let one = run_with(&engine(1), &data, query.clone()).await.unwrap();
                for _ in 0..3 {
                    let four = run_with(&engine(4), &data, query.clone()).await.unwrap();
                    assert_eq!(one.bytes(), four.bytes());
                    assert_eq!(one.delivered, four.delivered);
                    if format.is_text() {
                        assert_eq!(one.index(), four.index());
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn row_groups_larger_than_a_unit_are_read_in_parts_without_a_seam() {
    let rows = 150_000;
    let data = Data::new().file("big.parquet", &[numbers(0..rows)], 1 << 20);
    let mut query = data.query(Format::Csv).await;
    query.fields = vec!["n".into()];
    (query.offset, query.limit) = (70_001, Some(70_000));
    let expected: String = (70_001..140_001).map(|n| format!("{n}\n")).collect();
    assert_eq!(run(&data, query.clone()).await.text(), format!("n\n{expected}"));
    query.filter = Some(at_least(1));
    let expected: String = (70_002..140_002).map(|n| format!("{n}\n")).collect();
    let ran = run(&data, query).await;
    assert_eq!(ran.text(), format!("n\n{expected}"));
    assert_eq!(ran.delivered.records_found, Some(rows as u64 - 1));
}

#[tokio::test]
async fn lists_are_written_alike_with_and_without_an_index_of_their_pages() {
    let rows = 30_000_i64;
    let wide = "w".repeat(300);
    let batch = {
        let mut lists = ListBuilder::new(StringBuilder::new());
        (0..rows).for_each(|n| {
            lists.append_value((0..n % 4).map(|item| Some(format!("{n} {item} {wide}"))));
        });
        let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        RecordBatch::try_from_iter([("n", n), ("l", Arc::new(lists.finish()) as ArrayRef)]).unwrap()
    };
    let data = |indexed: bool| {
        let data = Data::new();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(20_000))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(!indexed);
        let file = File::create(data.dir.path().join("a.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        data
    };
    let (with, without) = (data(true), data(false));
    for format in Format::ALL {
        for (filter, offset, limit) in [
            (None, 0, None),
            (None, 15_001, Some(7_000)),
            (Some(at_least(12_345)), 0, None),
            (Some(at_least(12_345)), 9_000, Some(5)),
        ] {
            let mut query = with.query(format).await;
            (query.filter, query.offset, query.limit) = (filter.clone(), offset, limit);
            let expected = run(&with, query.clone()).await;
            let ran = run(&without, query).await;
            let first = if filter.is_some() { 12_345 } else { 0 } + offset as i64;
            let records = (rows - first).min(limit.map_or(rows, |limit| limit as i64));
            assert_eq!(ran.delivered.records, records as u64);
            let same = match format {
                // Where a page ends depends on the batches that were read.
                Format::Parquet => joined(ran.bytes()) == joined(expected.bytes()),
                _ => ran.bytes() == expected.bytes(),
            };
            assert!(same, "{format} {offset} {limit:?}");
            assert_eq!(ran.delivered.records_found, expected.delivered.records_found);
            if format == Format::Jsonl {
                let last = format!("{}", parse(ran.text().lines().last().unwrap())["n"]);
                assert_eq!(last, (first + records - 1).to_string());
            }
        }
    }
}

fn joined(bytes: Bytes) -> RecordBatch {
    let batches = read_parquet(bytes);
    arrow_select::concat::concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[tokio::test]
async fn no_value_is_written_like_null() {
    let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(11), None]));
    let f: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), None]));
    let b: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
    let d: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), Some(1), None]));
    let x: ArrayRef = Arc::new(BinaryArray::from(vec![Some(&b""[..]), Some(&b"\0"[..]), None]));
    let t: ArrayRef = Arc::new(StringArray::from(vec![Some("=1"), Some("t"), None]));
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append(true);
    lists.append_value([Some("i")]);
    lists.append_null();
    let columns =
        [("n", n), ("f", f), ("b", b), ("d", d), ("x", x), ("t", t), ("l", Arc::new(lists.finish()) as _)];
    let data =
        Data::of(RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap());
    let plain = ["1", "1.5", "true", "1970-01-01", "\"\"", "'=1", "[]"];
    let second = ["11", "NaN", "false", "1970-01-02", "AA==", "t", "\"[\"\"i\"\"]\""];
    let nulls =
        ["", "1", "11", "1.5", "NaN", "true", "false", "1970-01-01", "AA==", "'=1", "t", "[]", "NULL", "-"];
    for null in nulls {
        let mut query = data.query(Format::Csv).await;
        query.output.csv =
            Some(CsvOptions { delimiter: ';', null: null.into(), header: false, spreadsheet_safe: true });
        let row = |values: [&str; 7]| {
            values
                .map(|value| if value == null { format!("\"{value}\"") } else { value.to_owned() })
                .join(";")
        };
        let expected = format!("{}\n{}\n{}\n", row(plain), row(second), [null; 7].join(";"));
        assert_eq!(run(&data, query).await.text(), expected, "{null:?}");
    }
}

#[tokio::test]
async fn the_guard_of_a_formula_is_no_delimiter() {
    let t: ArrayRef = Arc::new(StringArray::from(vec!["=1", "a", "-x"]));
    let n: ArrayRef = Arc::new(Int64Array::from(vec![-1, 2, 3]));
    let data = Data::of(RecordBatch::try_from_iter([("=t", t), ("n", n)]).unwrap());
    let mut query = data.query(Format::Csv).await;
    query.output.csv = Some(CsvOptions { delimiter: '\'', spreadsheet_safe: true, ..CsvOptions::default() });
    assert_eq!(run(&data, query).await.text(), "\"'=t\"'n\n\"'=1\"'-1\na'2\n\"'-x\"'3\n");
}
