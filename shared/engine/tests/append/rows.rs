//! What comes back of rows: their values, their columns, and what is said of them.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    builder::{ListBuilder, StringBuilder},
    cast::AsArray,
    types::Int64Type,
};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::Compression,
    file::properties::{WriterProperties, WriterVersion},
};
use willcall_core::{
    format::{Format, OutputFormat},
    job::{
        ProblemType,
        kinds::{AppendWork, Compare},
    },
    json::Object,
};

use super::{CSV, append, by, counts, csv, exact, letters, parquet, problem, support::*};

#[tokio::test]
async fn rows_come_back_as_they_were_with_what_is_wrong_with_them() {
    let data = letters();
    let text = "x,k\n1,a\n2,b\n3\n\"4\",\n5,\"\"\n6,d,7\n8,c\n";
    let ran = append(&data, exact("k"), &csv(text)).await;
    let expected = "x,k,v,_match,_error\n1,a,1,matched,\n2,b,2,ambiguous,2 records match\n\
        3,,,malformed,\"rows.csv: row 3, line 4: the row has 1 field, the header 2\"\n\
        4,,,unmatched,\"column \"\"k\"\" has no value\"\n5,\"\",,unmatched,\"column \"\"k\"\" has no value\"\n\
        6,d,,malformed,\"rows.csv: row 6, line 7: the row has 3 fields, the header 2\"\n8,c,6,matched,\n";
    assert_eq!(ran.text(), expected);
    assert_eq!(ran.delivered.counts, counts(7, 2, 2, 1, 2));
    let names: Vec<&str> = ran.delivered.schema.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["x", "k", "v", "_match", "_error"]);
    assert_eq!((ran.delivered.files[0].name.as_str(), ran.delivered.records), ("result.csv", 7));
    assert_eq!(ran.delivered.dataset.as_ref().unwrap().files, 1);
}

#[tokio::test]
async fn of_a_row_with_bytes_that_are_no_text_the_rest_comes_back() {
    let data = letters();
    let text = b"x,k\nZRH,\xe9\n\xe9;\"\",c\n\"a,\xff\",\"c\"\"d\"\n\xc3,1,2\n2,c\n";
    let ran = append(&data, exact("k"), &[("rows.csv", CSV, Bytes::from_static(text))]).await;
    let said = |place: &str, byte: &str| format!("\"rows.csv: {place} of the line, {byte}, is not UTF-8\"");
    let expected = format!(
        "x,k,v,_match,_error\nZRH,,,malformed,{}\n,c,,malformed,{}\n,\"c\"\"d\",,malformed,{}\n,1,,malformed,{}\n2,c,6,matched,\n",
        said("row 1, line 2: byte 5", "0xE9"),
        said("row 2, line 3: byte 1", "0xE9"),
        said("row 3, line 4: byte 4", "0xFF"),
        said("row 4, line 5: byte 1", "0xC3"),
    );
    assert_eq!(ran.text(), expected);
    assert_eq!(ran.delivered.counts, counts(5, 1, 0, 0, 4));

    // Of JSON what stands before: no number is taken for whole that may go on.
    let text = b"{\"x\": 1, \"k\": \"a\"}\n{\"x\": 2, \"k\": \"\xe9\", \"late\": 1}\n{\"k\": \"c\", \"x\": 12\xff3}\n";
    let upload = ("rows.jsonl", "application/x-ndjson", Bytes::from_static(text));
    let ran = append(&data, exact("k"), &[upload]).await;
    let rows: Vec<String> =
        ran.text().lines().map(|line| line.split(",\"rows").next().unwrap().into()).collect();
    assert_eq!(rows, ["x,k,v,_match,_error", "1,a,1,matched,", "2,,,malformed", ",c,,malformed"]);
}

#[tokio::test]
async fn values_that_the_column_cannot_have_are_malformed_and_said() {
    let n: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
    let d: ArrayRef = Arc::new(Decimal128Array::from(vec![150, 275]).with_precision_and_scale(9, 2).unwrap());
    let t: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0, 1_000_000]).with_timezone("UTC"));
    let v: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let data = Data::of(RecordBatch::try_from_iter([("n", n), ("d", d), ("t", t), ("v", v)]).unwrap());
    let text = "n,d,t\n7,1.5,1970-01-01T00:00:00Z\n08,2.750,1970-01-01T01:00:01+01:00\nseven,1,1970-01-01\n\
        7,1.505,1970-01-01\n7,1.5,1970-01-01 00:00:00.0000001\n";
    let work = by(&[("n", "n", Compare::Exact), ("d", "d", Compare::Exact), ("t", "t", Compare::Exact)]);
    let ran = append(&data, work, &csv(text)).await;
    let told: Vec<String> = ran
        .text()
        .lines()
        .skip(1)
        .map(|line| line.split(',').skip(3).collect::<Vec<_>>().join(","))
        .collect();
    assert_eq!(
        told,
        [
            "x,matched,",
            "y,matched,",
            ",malformed,\"column \"\"n\"\": \"\"seven\"\" is not int64\"",
            ",unmatched,no record matches",
            ",unmatched,no record matches"
        ]
    );
}

#[tokio::test]
async fn rows_of_json_keep_the_types_that_all_values_have() {
    let data = letters();
    let items = r#"[
        {"k": "a", "i": 1, "f": 1, "b": true, "m": 1, "t": "2026-01-01", "o": {"x": [1, null]}},
        {"k": "zz", "i": -9007199254740993, "f": 2.5, "b": null, "m": "1", "late": 1.10},
        {"k": 5}, {"k": {"a": 1}}, {"k": "c", "i": null}
    ]"#;
    let items: Vec<Object> = serde_json::from_str(items).unwrap();
    let output = OutputFormat::plain(Format::Jsonl);
    let work = AppendWork { items: Some(items), output: output.clone(), ..exact("k") };
    let ran = append(&data, work, &[]).await;
    let lines: Vec<serde_json::Value> =
        ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines[0].to_string(),
        r#"{"k":"a","i":1,"f":1.0,"b":true,"m":"1","t":"2026-01-01","o":"{\"x\":[1,null]}","late":null,"v":1,"_match":"matched","_error":null}"#
    );
    assert_eq!(lines[1]["i"].to_string(), "-9007199254740993");
    assert_eq!((&lines[1]["f"], &lines[1]["m"], &lines[1]["late"]), (&2.5.into(), &"1".into(), &1.1.into()));
    assert_eq!((&lines[2]["_match"], &lines[2]["k"]), (&"unmatched".into(), &"5".into()));
    assert_eq!(lines[3]["_error"], "column \"k\": arrays and objects cannot be matched");
    assert_eq!((&lines[3]["_match"], &lines[3]["k"]), (&"malformed".into(), &"{\"a\":1}".into()));
    assert_eq!(lines[4]["v"], 6);
    assert_eq!(ran.delivered.counts, counts(5, 2, 2, 0, 1));

    let broken = "{\"k\":\"a\"}\n{\"k\":\n[1]\n{\"k\":\"c\"}\n";
    let uploads = [("rows.jsonl", "application/x-ndjson", Bytes::from(broken))];
    let ran = append(&data, AppendWork { output, ..exact("k") }, &uploads).await;
    let told: Vec<serde_json::Value> =
        ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<&str> = told.iter().map(|line| line["_match"].as_str().unwrap()).collect();
    assert_eq!(states, ["matched", "malformed", "malformed", "matched"]);
    assert!(told[1]["_error"].as_str().unwrap().starts_with("rows.jsonl: row 2, line 2: "), "{}", told[1]);

    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let items = serde_json::from_str(&format!("[{{\"k\":{deep}}}]")).unwrap();
    let ran = append(&data, AppendWork { items: Some(items), ..exact("k") }, &[]).await;
    assert!(ran.text().contains(",malformed,\"items: row 1, line 1: "), "{}", ran.text());
    assert_eq!(ran.delivered.counts, counts(1, 0, 0, 0, 1));
}

#[tokio::test]
async fn files_of_one_batch_share_their_columns_in_order_of_appearance() {
    let data = letters();
    let typed = RecordBatch::try_from_iter([
        ("k", Arc::new(StringArray::from(vec!["a", "c"])) as ArrayRef),
        ("n", Arc::new(Int64Array::from(vec![10, 20])) as ArrayRef),
    ]);
    let typed = parquet(&typed.unwrap());
    let uploads = [
        ("one.csv", CSV, Bytes::from("k,x\na,1\n")),
        ("two.csv", CSV, Bytes::from("y;k\n2;b\n")),
        ("three.parquet", "application/vnd.apache.parquet", typed.clone()),
        ("four.jsonl", "application/x-ndjson", Bytes::from("{\"n\":true,\"k\":\"q\"}\n")),
    ];
    let ran = append(&data, exact("k"), &uploads).await;
    assert_eq!(
        ran.text(),
        "k,x,y,n,v,_match,_error\na,1,,,1,matched,\nb,,2,,2,ambiguous,2 records match\na,,,10,1,matched,\n\
         c,,,20,6,matched,\nq,,,true,,unmatched,no record matches\n"
    );
    let mut work = exact("k");
    work.output = OutputFormat::plain(Format::Parquet);
    let ran = append(&data, work, &uploads[2..3]).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(ran.bytes()).unwrap().build().unwrap();
    let batch = reader.map(Result::unwrap).next().unwrap();
    assert_eq!(batch.column_by_name("n").unwrap().as_primitive::<Int64Type>().values(), &[10, 20]);
}

#[tokio::test]
async fn columns_of_the_data_set_give_way_to_the_rows() {
    let data = letters();
    let mut work = exact("k");
    work.fields = vec!["v".into(), "k".into()];
    let ran = append(&data, work, &csv("k,v,k_2\na,9,8\n")).await;
    assert_eq!(ran.text(), "k,v,k_2,v_2,k_3,_match,_error\na,9,8,1,a,matched,\n");
    for reserved in ["_match", "_error"] {
        let problem = problem(&data, exact("k"), &csv(&format!("k,{reserved}\na,1\n"))).await;
        assert_eq!(problem.kind, ProblemType::InvalidRequest);
        assert!(problem.detail.contains(reserved), "{}", problem.detail);
    }
}

#[tokio::test]
async fn every_format_of_result_is_written_and_text_has_its_pages() {
    let data = letters();
    let text: String = (0..250).map(|n| format!("{n},{}\n", ["a", "b", "x"][n % 3])).collect();
    let rows = csv(&format!("n,k\n{text}"));
    let plain = append(&data, exact("k"), &rows).await.text();
    let lines: Vec<&str> = plain.lines().skip(1).collect();
    for format in Format::ALL {
        let work = AppendWork { output: OutputFormat::plain(format), page_size: 100, ..exact("k") };
        let ran = append(&data, work, &rows).await;
        assert_eq!(ran.delivered.records, 250, "{format}");
        assert_eq!(ran.task.control.written(), (250, ran.bytes().len() as u64), "{format}");
        if format.is_text() {
            assert_eq!(ran.delivered.pages, Some(3));
            let pages = ran.pages();
            if format == Format::Csv {
                let header = "n,k,v,_match,_error\n";
                let paged: Vec<&str> =
                    pages.iter().flat_map(|page| page.strip_prefix(header).unwrap().lines()).collect();
                assert_eq!(paged, lines);
            }
        } else {
            assert_eq!(ran.delivered.pages, None);
        }
    }
}

#[tokio::test]
async fn parquet_of_every_compression_comes_back_whole_and_in_its_order_lists_too() {
    const ROWS: usize = 12_000;
    let mut tags = ListBuilder::new(StringBuilder::new());
    for row in 0..ROWS {
        for tag in 0..row % 4 {
            tags.values().append_value(format!("tag {tag} of {}", row % 300));
        }
        tags.append(row % 7 != 0);
    }
    let k: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("key {row}"))));
    let rows = RecordBatch::try_from_iter([("k", k), ("tags", Arc::new(tags.finish()) as ArrayRef)]).unwrap();
    let data = letters();
    let work = || AppendWork { output: OutputFormat::plain(Format::Jsonl), ..exact("k") };
    let mut expected = None;
    for (compression, version) in [
        (Compression::SNAPPY, WriterVersion::PARQUET_1_0),
        (Compression::GZIP(Default::default()), WriterVersion::PARQUET_2_0),
        (Compression::BROTLI(Default::default()), WriterVersion::PARQUET_1_0),
        (Compression::LZ4, WriterVersion::PARQUET_2_0),
    ] {
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_writer_version(version)
            .set_data_page_row_count_limit(700)
            .set_write_batch_size(100)
            .set_dictionary_page_size_limit(4_000);
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties.build())).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        let uploads = [("rows.parquet", "application/vnd.apache.parquet", Bytes::from(bytes))];
        let ran = append(&data, work(), &uploads).await;
        assert_eq!(ran.delivered.counts, counts(ROWS as u64, 0, ROWS as u64, 0, 0), "{compression:?}");
        let text = ran.text();
        for (row, line) in text.lines().enumerate() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let tags: Vec<_> = (0..row % 4).map(|tag| format!("tag {tag} of {}", row % 300)).collect();
            let tags = if row % 7 == 0 { serde_json::Value::Null } else { tags.into() };
            assert_eq!((&line["k"], &line["tags"]), (&format!("key {row}").into(), &tags), "{compression:?}");
        }
        assert_eq!(*expected.get_or_insert_with(|| text.clone()), text, "{compression:?}");
    }
}
