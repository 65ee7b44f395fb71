//! How values are written, held against readers and writers that are not ours.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use arrow_array::{builder::*, types::*, *};
use arrow_buffer::{IntervalMonthDayNano, NullBuffer, OffsetBuffer, i256};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use half::f16;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use proptest::{collection::vec, option, prelude::*};
use support::*;
use willcall_core::{
    format::{Format, OutputFormat},
    job::ProblemType,
    ports::ExecuteError,
};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
}

async fn text(batch: &RecordBatch, format: Format) -> String {
    let data = Data::of(batch.clone());
    run(&data, data.query(format).await).await.text()
}

/// One row's text, without what stands around it.
async fn cell(array: ArrayRef, format: Format) -> String {
    let one = batch(vec![("a", array), ("z", Arc::new(Int32Array::from(vec![0])))]);
    let text = text(&one, format).await;
    let line = text.lines().last().unwrap();
    let (from, to) = if format == Format::Csv { ("", ",0") } else { ("{\"a\":", ",\"z\":0}") };
    line.strip_prefix(from).and_then(|line| line.strip_suffix(to)).unwrap().to_owned()
}

async fn check(array: ArrayRef, json: &str, csv: &str) {
    assert_eq!(cell(array.clone(), Format::Jsonl).await, json, "{}", array.data_type());
    assert_eq!(cell(array.clone(), Format::Csv).await, csv, "{}", array.data_type());
}

fn one<T: ArrowPrimitiveType>(value: T::Native) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::from_iter_values([value]))
}

#[tokio::test]
async fn integers_are_exact() {
    check(one::<Int64Type>(i64::MIN), "-9223372036854775808", "-9223372036854775808").await;
    check(one::<UInt64Type>(u64::MAX), "18446744073709551615", "18446744073709551615").await;
    check(one::<Int8Type>(-128), "-128", "-128").await;
    check(one::<UInt8Type>(255), "255", "255").await;
    check(one::<Int16Type>(-1), "-1", "-1").await;
    check(one::<UInt16Type>(65535), "65535", "65535").await;
    check(one::<UInt32Type>(u32::MAX), "4294967295", "4294967295").await;
}

#[tokio::test]
async fn decimals_have_all_their_digits() {
    let decimal = |value, precision, scale| -> ArrayRef {
        Arc::new(
            Decimal128Array::from_iter_values([value]).with_precision_and_scale(precision, scale).unwrap(),
        )
    };
    check(decimal(12_345, 15, 2), "123.45", "123.45").await;
    check(
        decimal(-5, 38, 38),
        "-0.00000000000000000000000000000000000005",
        "-0.00000000000000000000000000000000000005",
    )
    .await;
    let big = 99_999_999_999_999_999_999_999_999_999_999_999_999;
    check(decimal(big, 38, 0), &big.to_string(), &big.to_string()).await;
    let digits = "9".repeat(76);
    let wide = Decimal256Array::from_iter_values([i256::from_string(&digits).unwrap()]);
    let wide: ArrayRef = Arc::new(wide.with_precision_and_scale(76, 6).unwrap());
    let expected = format!("{}.{}", "9".repeat(70), "9".repeat(6));
    check(wide, &expected, &expected).await;
}

#[tokio::test]
async fn floats_that_are_not_finite_are_null_in_json_and_counted() {
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5, -0.0];
    let f64s: ArrayRef = Arc::new(Float64Array::from_iter_values(values));
    let f32s: ArrayRef = Arc::new(Float32Array::from_iter_values(values.map(|v| v as f32)));
    let f16s: ArrayRef = Arc::new(Float16Array::from_iter_values(values.map(f16::from_f64)));
    let list = Field::new_list_field(DataType::Float64, true);
    let lists: ArrayRef = Arc::new(ListArray::new(
        Arc::new(list),
        OffsetBuffer::from_lengths([2, 0, 1, 1, 1]),
        f64s.clone(),
        None,
    ));
    let data = Data::of(batch(vec![("a", f64s), ("b", f32s), ("c", f16s), ("d", lists)]));
    for format in [Format::Jsonl, Format::Json] {
        let mut query = data.query(format).await;
        let ran = run(&data, query.clone()).await;
        assert_eq!(ran.delivered.non_finite_as_null, 12);
        assert!(ran.text().contains("{\"a\":null,\"b\":null,\"c\":null,\"d\":[null,null]}"));
        assert!(ran.text().contains("{\"a\":-0.0,\"b\":-0.0,\"c\":-0.0,\"d\":[-0.0]}"));
        // What is left out does not count.
        (query.offset, query.limit) = (1, Some(1));
        assert_eq!(run(&data, query.clone()).await.delivered.non_finite_as_null, 3);
        query.output.compression = willcall_core::format::Compression::Gzip;
        query.offset = 0;
        assert_eq!(run(&data, query).await.delivered.non_finite_as_null, 5);
    }
    let ran = run(&data, data.query(Format::Csv).await).await;
    let lines: Vec<String> = ran.text().lines().map(str::to_owned).collect();
    assert_eq!(lines[1], "NaN,NaN,NaN,\"[null,null]\"");
    assert_eq!(lines[2], "Infinity,Infinity,Infinity,[]");
    assert_eq!(lines[3], "-Infinity,-Infinity,-Infinity,[null]");
    assert_eq!(lines[4], "1.5,1.5,1.5,[1.5]");
}

#[tokio::test]
async fn moments_are_rfc_3339() {
    let ts = |zone: Option<&str>| -> ArrayRef {
        let array = TimestampMicrosecondArray::from_iter_values([1_700_000_000_123_456]);
        Arc::new(array.with_timezone_opt(zone))
    };
    check(ts(Some("UTC")), "\"2023-11-14T22:13:20.123456Z\"", "2023-11-14T22:13:20.123456Z").await;
    check(ts(Some("+05:30")), "\"2023-11-14T22:13:20.123456Z\"", "2023-11-14T22:13:20.123456Z").await;
    check(ts(None), "\"2023-11-14T22:13:20.123456\"", "2023-11-14T22:13:20.123456").await;
    check(
        one::<TimestampNanosecondType>(-1),
        "\"1969-12-31T23:59:59.999999999\"",
        "1969-12-31T23:59:59.999999999",
    )
    .await;
    check(one::<TimestampSecondType>(0), "\"1970-01-01T00:00:00\"", "1970-01-01T00:00:00").await;
    check(one::<Date32Type>(-719_162), "\"0001-01-01\"", "0001-01-01").await;
    check(one::<Date64Type>(86_400_000), "\"1970-01-02\"", "1970-01-02").await;
    check(one::<Time32MillisecondType>(3_600_001), "\"01:00:00.001\"", "01:00:00.001").await;
    check(one::<Time64NanosecondType>(86_399_999_999_999), "\"23:59:59.999999999\"", "23:59:59.999999999")
        .await;
    check(one::<DurationMillisecondType>(-1_500), "\"-PT1.500S\"", "-PT1.500S").await;
}

#[tokio::test]
async fn bytes_and_text_keep_what_they_are() {
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&[0_u8, 255, 16][..]]));
    check(bytes, "\"AP8Q\"", "AP8Q").await;
    let fixed: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([[1_u8]].into_iter()).unwrap());
    check(fixed, "\"AQ==\"", "AQ==").await;
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    check(text("é \u{1F600} \u{7f}"), "\"é \u{1F600} \u{7f}\"", "é \u{1F600} \u{7f}").await;
    check(text("a\"b\\c/\t\u{1}"), r#""a\"b\\c/\t\u0001""#, "\"a\"\"b\\c/\t\u{1}\"").await;
    check(text(""), "\"\"", "\"\"").await;
    let null: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
    check(null, "null", "").await;
    check(Arc::new(BooleanArray::from(vec![true])), "true", "true").await;
}

#[tokio::test]
async fn nested_values_are_json_in_both() {
    let items: ArrayRef = Arc::new(StringArray::from(vec![Some("a,\"b\""), None]));
    let list: ArrayRef = Arc::new(ListArray::new(
        Arc::new(Field::new_list_field(DataType::Utf8, true)),
        OffsetBuffer::from_lengths([2]),
        items.clone(),
        None,
    ));
    check(list, r#"["a,\"b\"",null]"#, r#""[""a,\""b\"""",null]""#).await;
    let fields =
        Fields::from(vec![Field::new("x\"", DataType::Int32, true), Field::new("d", DataType::Date32, true)]);
    let members: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(Date32Array::from(vec![Some(0), None]))];
    let structs = StructArray::new(fields.clone(), members, Some(NullBuffer::from(vec![true, false])));
    let of: ArrayRef = Arc::new(ListArray::new(
        Arc::new(Field::new_list_field(DataType::Struct(fields), true)),
        OffsetBuffer::from_lengths([2]),
        Arc::new(structs),
        None,
    ));
    check(of, r#"[{"x\"":1,"d":"1970-01-01"},null]"#, r#""[{""x\"""":1,""d"":""1970-01-01""},null]""#).await;
    let mut map = MapBuilder::new(None, Int32Builder::new(), StringBuilder::new());
    map.keys().append_slice(&[1, -2]);
    map.values().append_value("one");
    map.values().append_null();
    map.append(true).unwrap();
    check(Arc::new(map.finish()), r#"{"1":"one","-2":null}"#, r#""{""1"":""one"",""-2"":null}""#).await;
}

#[tokio::test]
async fn other_layouts_of_the_same_values_are_written_alike() {
    let dictionary: DictionaryArray<Int8Type> = ["a", "b", "a"].into_iter().collect();
    let large: ArrayRef = Arc::new(LargeStringArray::from(vec!["a", "b", "a"]));
    let view: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b", "a"]));
    let data = Data::of(batch(vec![("a", Arc::new(dictionary)), ("b", large), ("c", view)]));
    let ran = run(&data, data.query(Format::Csv).await).await;
    assert_eq!(ran.text(), "a,b,c\na,a,a\nb,b,b\na,a,a\n");
    let types: Vec<String> = ran.delivered.schema.iter().map(|column| column.data_type.to_string()).collect();
    assert_eq!(types, ["text", "text", "text"]);
    let items = Int32Array::from(vec![1, 2, 3, 4]);
    let field = Arc::new(Field::new_list_field(DataType::Int32, true));
    let fixed: ArrayRef = Arc::new(FixedSizeListArray::new(field.clone(), 2, Arc::new(items.clone()), None));
    let large: ArrayRef =
        Arc::new(LargeListArray::new(field, OffsetBuffer::from_lengths([2, 2]), Arc::new(items), None));
    let both = batch(vec![("a", fixed), ("b", large)]);
    assert_eq!(text(&both, Format::Jsonl).await, "{\"a\":[1,2],\"b\":[1,2]}\n{\"a\":[3,4],\"b\":[3,4]}\n");
    let nulls: ArrayRef = Arc::new(NullArray::new(1));
    check(nulls, "null", "").await;
}

#[tokio::test]
async fn intervals_are_iso_8601() {
    let months: ArrayRef = Arc::new(IntervalYearMonthArray::from(vec![14]));
    let data = Data::of(batch(vec![("a", months)]));
    assert_eq!(run(&data, data.query(Format::Jsonl).await).await.text(), "{\"a\":\"P14M\"}\n");
    // Parquet cannot be written with it, so it is never met in a file of ours; no reader gives it either.
    assert_eq!(IntervalMonthDayNano::new(0, 0, 0), IntervalMonthDayNano::ZERO);
}

#[tokio::test]
async fn a_map_without_text_for_keys_fails_at_once_for_text_formats() {
    let keys = Fields::from(vec![Field::new("k", DataType::Int32, false)]);
    let entries = Fields::from(vec![
        Field::new("keys", DataType::Struct(keys.clone()), false),
        Field::new("values", DataType::Int32, true),
    ]);
    let key: ArrayRef = Arc::new(StructArray::new(keys, vec![one::<Int32Type>(1)], None));
    let entry = StructArray::new(entries.clone(), vec![key, one::<Int32Type>(2)], None);
    let field = Arc::new(Field::new("entries", DataType::Struct(entries), false));
    let map: ArrayRef = Arc::new(MapArray::new(field, OffsetBuffer::from_lengths([1]), entry, None, false));
    let data = Data::of(batch(vec![("m", map)]));
    for format in [Format::Csv, Format::Json, Format::Jsonl, Format::Xlsx] {
        let Err(ExecuteError::Fatal { problem, .. }) = try_run(&data, data.query(format).await).await else {
            panic!("{format}")
        };
        assert_eq!(problem.kind, ProblemType::UnsupportedFormat);
        assert!(problem.detail.contains("\"m\""), "{}", problem.detail);
    }
    assert_eq!(run(&data, data.query(Format::Parquet).await).await.delivered.records, 1);
    assert_eq!(run(&data, data.query(Format::Arrow).await).await.delivered.records, 1);
}

#[tokio::test]
async fn text_that_no_cell_holds_fails_and_is_named_and_is_no_matter_where_it_is_left_out() {
    let texts = (0..5_000).map(|row| if row == 4_321 { "é".repeat(32_768) } else { format!("{row}") });
    let t: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let data = Data::of(batch(vec![("n", Arc::new(Int32Array::from_iter_values(0..5_000))), ("t", t)]));
    let mut work = data.query(Format::Xlsx).await;
    work.offset = 300;
    let Err(ExecuteError::Fatal { problem, .. }) = try_run(&data, work.clone()).await else { panic!() };
    assert_eq!(problem.kind, ProblemType::UnsupportedFormat);
    for words in ["record 4022 ", "32768 characters", "\"t\"", "holds 32767"] {
        assert!(problem.detail.contains(words), "{}", problem.detail);
    }
    let left_out = [
        willcall_core::job::kinds::QueryWork { limit: Some(4_021), ..work.clone() },
        willcall_core::job::kinds::QueryWork { offset: 4_322, ..work.clone() },
        willcall_core::job::kinds::QueryWork { fields: vec!["n".into()], ..work },
    ];
    for work in left_out {
        run(&data, work).await;
    }
}

#[tokio::test]
async fn arrow_keeps_what_parquet_has() {
    let money = Decimal128Array::from(vec![Some(-1), None, Some(10_i128.pow(37))]);
    let money: ArrayRef = Arc::new(money.with_precision_and_scale(38, 3).unwrap());
    let zoned = TimestampNanosecondArray::from(vec![Some(-1), None, Some(i64::MAX)]);
    let zoned: ArrayRef = Arc::new(zoned.with_timezone("Europe/Helsinki"));
    let mut lists = ListBuilder::new(Int16Builder::new());
    lists.append_value([Some(1), None]);
    lists.append_null();
    lists.append_value([]);
    let columns = batch(vec![
        ("u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("money", money),
        ("zoned", zoned),
        ("lists", Arc::new(lists.finish())),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\0"[..]), None, Some(b"")]))),
    ]);
    let data = Data::of(columns.clone());
    let ran = run(&data, data.query(Format::Arrow).await).await;
    let bytes = ran.bytes();
    let mut reader = arrow_ipc::reader::StreamReader::try_new(bytes.as_ref(), None).unwrap();
    let read = reader.next().unwrap().unwrap();
    assert_eq!(read.columns(), columns.columns());
    assert_eq!(read.schema().fields(), columns.schema().fields());
    assert!(reader.next().is_none());
}

fn columns() -> impl Strategy<Value = RecordBatch> {
    let text = prop_oneof![any::<String>(), Just(String::new()), "[,\"\n\r;' a=]{0,6}"];
    let row = (
        option::of(text),
        option::of(any::<i64>()),
        option::of(any::<f64>().prop_filter("finite", |v| v.is_finite())),
        option::of(any::<f32>().prop_filter("finite", |v| v.is_finite())),
        option::of(-719_528_i32..2_932_897),
        option::of(-60_000_000_000_000_000_i64..250_000_000_000_000_000),
        option::of(-999_999_999_999_999_i128..999_999_999_999_999),
        option::of(any::<bool>()),
        option::of(vec(option::of(any::<i32>()), 0..4)),
    );
    vec(row, 1..40).prop_map(|rows| {
        macro_rules! column {
            ($type:ty, $at:tt) => {
                Arc::new(rows.iter().map(|row| row.$at.clone()).collect::<$type>()) as ArrayRef
            };
        }
        let decimals = rows.iter().map(|row| row.6).collect::<Decimal128Array>();
        let stamps = rows.iter().map(|row| row.5).collect::<TimestampMicrosecondArray>();
        let mut lists = ListBuilder::new(Int32Builder::new());
        rows.iter().for_each(|row| lists.append_option(row.8.clone()));
        batch(vec![
            ("text", column!(StringArray, 0)),
            ("int", column!(Int64Array, 1)),
            ("f64", column!(Float64Array, 2)),
            ("f32", column!(Float32Array, 3)),
            ("date", column!(Date32Array, 4)),
            ("stamp", Arc::new(stamps)),
            ("decimal", Arc::new(decimals.with_precision_and_scale(15, 3).unwrap())),
            ("bool", column!(BooleanArray, 7)),
            ("list", Arc::new(lists.finish())),
        ])
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn json_says_what_arrow_json_says(batch in columns()) {
        let ours = block_on(text(&batch, Format::Jsonl));
        let mut theirs = Vec::new();
        let mut writer = arrow_json::writer::WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, arrow_json::writer::LineDelimited>(&mut theirs);
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let theirs = String::from_utf8(theirs).unwrap();
        prop_assert_eq!(ours.lines().count(), batch.num_rows());
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            let (mut ours, mut theirs): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(ours).unwrap(), serde_json::from_str(theirs).unwrap());
            // Of two shortest forms of one float32, either will do.
            for side in [&mut ours, &mut theirs] {
                let value = side["f32"].as_f64();
                side["f32"] = value.map(|value| value as f32).into();
            }
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn csv_says_what_arrow_csv_says(batch in columns()) {
        let flat = batch.project(&[0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        let ours = block_on(text(&flat, Format::Csv));
        let mut theirs = Vec::new();
        arrow_csv::Writer::new(&mut theirs).write(&flat).unwrap();
        let read = |text: &[u8]| -> Vec<csv::StringRecord> {
            csv::Reader::from_reader(text).records().map(Result::unwrap).collect()
        };
        let (ours, theirs) = (read(ours.as_bytes()), read(&theirs));
        prop_assert_eq!(ours.len(), flat.num_rows());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                if [2, 3].contains(&index) && !ours.is_empty() {
                    prop_assert_eq!(ours.parse::<f64>().unwrap(), theirs.parse::<f64>().unwrap());
                } else {
                    prop_assert_eq!(ours, theirs);
                }
            }
        }
    }

    #[test]
    fn csv_reads_back_as_what_it_was(texts in vec(option::of(".{0,9}|[,;\"\n\r ]{1,4}"), 1..30), delimiter in "[,;|\t 1.e-]", safe in any::<bool>()) {
        let column: ArrayRef = Arc::new(StringArray::from_iter(texts.clone()));
        let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values((0..texts.len()).map(|n| n as f64 / -4.0)));
        let data = Data::of(batch(vec![("a", column), ("b", numbers)]));
        let delimiter = delimiter.chars().next().unwrap();
        let ran = block_on(async {
            let mut query = data.query(Format::Csv).await;
            query.output.csv = Some(willcall_core::format::CsvOptions {
                delimiter, spreadsheet_safe: safe, ..Default::default()
            });
            run(&data, query).await
        });
        let text = ran.text();
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter as u8).from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        prop_assert_eq!(rows.len(), texts.len());
        for (index, (row, text)) in rows.iter().zip(&texts).enumerate() {
            let text = text.as_deref().unwrap_or("");
            let danger = safe && willcall_core::job::pages::is_formula(text);
            let expected = if danger { format!("'{text}") } else { text.to_owned() };
            prop_assert_eq!(&row[0], expected);
            prop_assert_eq!(row[1].parse::<f64>().unwrap(), index as f64 / -4.0);
        }
    }

    #[test]
    fn parquet_reads_back_as_what_it_was(batch in columns()) {
        let data = Data::of(batch.clone());
        let ran = block_on(async {
            let mut query = data.query(Format::Parquet).await;
            query.output = OutputFormat::plain(Format::Parquet);
            run(&data, query).await
        });
        let reader = ParquetRecordBatchReader::try_new(ran.bytes(), 1 << 20).unwrap();
        let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        prop_assert_eq!(&read[0], &batch);
    }
}

#[test]
fn moments_agree_with_arrow_over_all_units() {
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        // Within the years that RFC 3339 knows, where Arrow writes as we do.
        let step = 77_777_777 * i64::pow(1000, unit as u32) + 123;
        let step = step.min(i64::MAX / 400);
        let stamps = Int64Array::from_iter_values((-400..400).map(|n: i64| n * step));
        let stamps = stamps.into_data().into_builder().data_type(DataType::Timestamp(unit, None));
        let stamps = make_array(stamps.build().unwrap());
        let batch = batch(vec![("t", stamps)]);
        let ours = block_on(text(&batch, Format::Jsonl));
        let mut theirs = Vec::new();
        arrow_json::LineDelimitedWriter::new(&mut theirs).write(&batch).unwrap();
        assert!(ours == String::from_utf8(theirs).unwrap(), "{unit:?}");
    }
}
