//! Appends: rows of every form matched with a data set, compared with a join that looks at each pair.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{collections::BTreeMap, io::Write, path::Path, sync::Arc};

use arrow_array::{
    ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, cast::AsArray,
};
use bytes::Bytes;
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use support::*;
use willcall_core::{
    format::{Format, OutputFormat},
    job::{
        Counts, Problem, ProblemType, Stage, Truncation, TruncationReason,
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

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// One of the ways to write a thing, which are all the same to the comparison.
fn written(thing: usize, compare: Compare, dice: &mut Dice) -> String {
    let pick = |ways: &[String], dice: &mut Dice| ways[dice.roll(ways.len())].clone();
    match compare {
        Compare::Exact => format!(" Exact, \"{thing}\"\nß "),
        Compare::Text => {
            let ways = [
                format!("Zürich Straße {thing}"),
                format!("  ZURICH\u{a0}STRASSE  {thing}"),
                format!("zu\u{308}rich strasse {thing} "),
                format!("ZÜRICH\tStrasse\n{thing}"),
            ];
            pick(&ways, dice)
        }
        Compare::Email => {
            let ways = [format!("ann.{thing}@example.org"), format!(" Ann.{thing}@Example.ORG ")];
            pick(&ways, dice)
        }
        Compare::Phone => {
            let ways = [
                format!("+41 (44) 668 {thing:02}"),
                format!("004144668{thing:02}"),
                format!("4144-668.{thing:02}"),
            ];
            pick(&ways, dice)
        }
    }
}

/// A value and what it is: none where it is null or nothing.
type Value = (Option<String>, Option<usize>);

fn value(things: usize, compare: Compare, dice: &mut Dice) -> Value {
    match dice.roll(12) {
        0 => (None, None),
        1 => (Some(String::new()), None),
        _ => {
            let thing = dice.roll(things);
            (Some(written(thing, compare, dice)), Some(thing))
        }
    }
}

struct Rows {
    /// Number, text key, number key, and a note in many scripts.
    rows: Vec<(String, Value, Option<i64>, String)>,
}

impl Rows {
    fn new(count: usize, things: usize, compare: Compare, dice: &mut Dice) -> Self {
        let notes = ["plain", "with, comma", "\"quoted\"", "two\nlines", "ünï ☃ 漢字", ""];
        let mut row = |number: usize| {
            let of = value(things, compare, dice);
            let n = (dice.roll(10) > 0).then(|| dice.roll(3) as i64);
            (format!("r{number}"), of, n, notes[dice.roll(notes.len())].to_owned())
        };
        Self { rows: (0..count).map(&mut row).collect() }
    }

    fn cells(&self) -> impl Iterator<Item = [Option<String>; 4]> {
        self.rows.iter().map(|(id, (text, _), n, note)| {
            [Some(id.clone()), text.clone(), n.map(|n| n.to_string()), Some(note.clone())]
        })
    }

    fn csv(&self) -> String {
        let mut text = "id,k,n,note\n".to_owned();
        for cells in self.cells() {
            text += &cells.map(|cell| quoted(cell.as_deref())).join(",");
            text.push('\n');
        }
        text
    }

    fn objects(&self) -> Vec<String> {
        let object = |cells: [Option<String>; 4]| {
            let members = ["id", "k", "n", "note"].into_iter().zip(cells).filter(|(_, cell)| cell.is_some());
            serde_json::to_string(&members.collect::<BTreeMap<_, _>>()).unwrap()
        };
        // The first one has all columns, so that they come in this order.
        let first = r#"{"id":"r","k":"","n":null,"note":""}"#.to_owned();
        std::iter::once(first).chain(self.cells().map(object)).collect()
    }

    fn parquet(&self) -> Bytes {
        let column =
            |place: usize| Arc::new(self.cells().map(|cells| cells[place].clone()).collect::<StringArray>());
        let [id, k, note] = [0, 1, 3].map(|place| column(place) as ArrayRef);
        let n: ArrayRef = Arc::new(self.rows.iter().map(|row| row.2).collect::<Int64Array>());
        parquet(&RecordBatch::try_from_iter([("id", id), ("k", k), ("n", n), ("note", note)]).unwrap())
    }

    /// The rows as an upload of that form: its name, its media type, and its bytes.
    fn upload(&self, form: usize) -> (&'static str, &'static str, Bytes) {
        let lines = || self.objects().join("\n");
        match form {
            0 => ("rows.csv", CSV, self.csv().into()),
            1 => ("rows.csv.gz", "application/gzip", gzip(self.csv().as_bytes())),
            2 => {
                let units = std::iter::once(0xFEFF).chain(self.csv().encode_utf16().collect::<Vec<_>>());
                let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
                ("rows.csv", CSV, bytes.into())
            }
            3 => ("rows.jsonl", "application/x-ndjson", lines().into()),
            4 => {
                let zstd = zstd::encode_all(lines().as_bytes(), 1).unwrap();
                ("rows.jsonl.zst", "application/zstd", zstd.into())
            }
            5 => ("rows.json", "application/json", format!("[{}]", self.objects().join(",\n")).into()),
            6 => ("rows.parquet", "application/vnd.apache.parquet", self.parquet()),
            _ => ("rows", "application/octet-stream", self.parquet()),
        }
    }
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

/// A field of CSV as docs/formats.md says that it is written.
fn quoted(value: Option<&str>) -> String {
    match value {
        None => String::new(),
        Some("") => "\"\"".into(),
        Some(text) if text.contains([',', '"', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Some(text) => text.into(),
    }
}

struct Records {
    records: Vec<(Value, Option<i64>)>,
}

impl Records {
    fn new(count: usize, things: usize, compare: Compare, dice: &mut Dice) -> Self {
        let mut record = |_| (value(things, compare, dice), (dice.roll(10) > 0).then(|| dice.roll(3) as i64));
        Self { records: (0..count).map(&mut record).collect() }
    }

    fn data(&self) -> Data {
        let k: ArrayRef =
            Arc::new(self.records.iter().map(|((text, _), _)| text.clone()).collect::<StringArray>());
        let n: ArrayRef = Arc::new(self.records.iter().map(|(_, n)| *n).collect::<Int64Array>());
        let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..self.records.len() as i64));
        let batch = RecordBatch::try_from_iter([("id", id), ("k", k), ("n", n)]).unwrap();
        let half = self.records.len() / 2;
        let rest = self.records.len() - half;
        Data::new().file("a.parquet", &[batch.slice(0, half)], 7).file(
            "b.parquet",
            &[batch.slice(half, rest)],
            100,
        )
    }
}

/// The result as it must be: each row compared with each record.
fn naive(rows: &Rows, records: &Records, by_number: bool, mode: OnMultiple) -> (String, Option<Counts>) {
    let mut text = "id,k,n,note,id_2,n_2,_match,_error\n".to_owned();
    let (mut matched, mut unmatched, mut ambiguous) = (0, 0, 0);
    for ((id, (own, thing), n, note), cells) in rows.rows.iter().zip(rows.cells()) {
        let same = |((_, other), m): &(Value, Option<i64>)| {
            thing.is_some() && thing == other && (!by_number || n.is_some() && n == m)
        };
        let found: Vec<usize> = (0..records.records.len()).filter(|at| same(&records.records[*at])).collect();
        let cells = cells.map(|cell| quoted(cell.as_deref())).join(",");
        let mut line = |record: Option<usize>, told: &str, words: &str| {
            let (id, n) = match record {
                Some(at) => {
                    (at.to_string(), records.records[at].1.map_or_else(String::new, |n| n.to_string()))
                }
                None => Default::default(),
            };
            text += &format!(
                "{cells},{id},{n},{told},{}\n",
                quoted(Some(words).filter(|words| !words.is_empty()))
            );
        };
        let empty = match (thing, n) {
            (None, _) => Some("k"),
            (_, None) if by_number => Some("n"),
            _ => None,
        };
        match (empty, found.as_slice()) {
            (Some(column), _) => line(None, "unmatched", &format!("column \"{column}\" has no value")),
            (None, []) => line(None, "unmatched", "no record matches"),
            (None, [only]) => line(Some(*only), "matched", ""),
            (None, several) => {
                let words = format!("{} records match", several.len());
                match mode {
                    OnMultiple::First => line(Some(several[0]), "ambiguous", &words),
                    OnMultiple::All => several.iter().for_each(|at| line(Some(*at), "ambiguous", &words)),
                    OnMultiple::Error => line(None, "ambiguous", &words),
                }
            }
        }
        match found.len() {
            0 => unmatched += 1,
            1 => matched += 1,
            _ => ambiguous += 1,
        }
        let _ = (id, own, note);
    }
    (text, counts(rows.rows.len() as u64, matched, unmatched, ambiguous, 0))
}

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
        Rows::new(30_000, 9_000, Compare::Email, &mut dice),
        Records::new(20_000, 9_000, Compare::Email, &mut dice),
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
    let limit =
        EngineConfig { sort_memory: 0, spill_limit: Some(100_000), ..EngineConfig::new(spill.path()) };
    let work = by(&[("k", "k", Compare::Email)]);
    let work = AppendWork { fields: vec!["id".into()], ..work };
    let failed = append_with(&Engine::new(limit, local()), &data, work, &[rows.upload(0)]).await;
    match failed.map(|ran| ran.text()) {
        Err(ExecuteError::Fatal { problem, .. }) => {
            assert_eq!(problem.kind, ProblemType::EngineFailed);
            assert!(problem.detail.contains("100000 bytes"), "{}", problem.detail);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_dir(spill.path()).unwrap().count(), 0, "nothing is left on the disk");
}

#[tokio::test]
async fn one_key_that_everybody_has_does_not_blow_up() {
    let records = 3_000;
    let k: ArrayRef = Arc::new(StringArray::from(vec!["same"; records]));
    let v: ArrayRef = Arc::new(Int64Array::from_iter_values(0..records as i64));
    let data = Data::of(RecordBatch::try_from_iter([("k", k), ("v", v)]).unwrap());
    let text: String =
        std::iter::once("k\n".to_owned()).chain((0..20_000).map(|_| "same\n".to_owned())).collect();
    let spill = tempfile::tempdir().unwrap();
    let some = |mode| AppendWork { on_multiple: mode, max_records: 7_000, ..exact("k") };
    for engine in [engine(2), tight(spill.path(), 2)] {
        // 60 million pairs, of which 7,000 are delivered.
        let ran = append_with(&engine, &data, some(OnMultiple::All), &csv(&text)).await.unwrap();
        let lines: Vec<String> = ran.text().lines().skip(1).map(str::to_owned).collect();
        let expected = (0..7_000).map(|n| format!("same,{},ambiguous,3000 records match", n % 3_000));
        assert!(lines.iter().cloned().eq(expected));
        let cut = Some(Truncation { reason: TruncationReason::PlanLimit, limit: 7_000 });
        assert_eq!((ran.delivered.records, ran.delivered.truncated), (7_000, cut.clone()));
        assert_eq!(ran.delivered.counts, counts(20_000, 0, 0, 20_000, 0));
        let ran = append_with(&engine, &data, some(OnMultiple::First), &csv(&text)).await.unwrap();
        assert!(ran.text().lines().skip(1).all(|line| line == "same,0,ambiguous,3000 records match"));
        assert_eq!((ran.delivered.records, ran.delivered.truncated), (7_000, cut));
        assert_eq!(ran.delivered.records_found, Some(20_000));
    }
}

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
    let items: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(items).unwrap();
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
    assert_eq!(
        batch.column_by_name("n").unwrap().as_primitive::<arrow_array::types::Int64Type>().values(),
        &[10, 20]
    );
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
async fn no_rows_are_a_result_without_records() {
    let data = letters();
    let ran = append(&data, exact("k"), &csv("k,x\n")).await;
    assert_eq!(ran.text(), "k,x,v,_match,_error\n");
    assert_eq!((ran.delivered.counts, ran.delivered.pages), (counts(0, 0, 0, 0, 0), Some(1)));
    let ran = append(&data, exact("k"), &[("r.json", "application/json", Bytes::from("[]"))]).await;
    assert_eq!(ran.text(), "v,_match,_error\n");
}

#[tokio::test]
async fn a_file_that_is_not_what_it_should_be_fails_the_batch_and_says_where() {
    let data = letters();
    let damaged = {
        let mut bytes = gzip("k\na\nb\n".repeat(1000).as_bytes()).to_vec();
        bytes.truncate(bytes.len() - 9);
        Bytes::from(bytes)
    };
    let bomb = gzip(&vec![b'a'; 64 << 20]);
    let half = Bytes::from("[{\"k\":\"a\"},\n{\"k\":");
    for (name, media_type, bytes, words) in [
        ("a.csv", CSV, Bytes::new(), &["a.csv is empty"][..]),
        ("a.jsonl", "application/x-ndjson", Bytes::from("\n\n"), &["a.jsonl is empty"]),
        ("a.csv", CSV, Bytes::from("x,y\n1,2\n"), &["a.csv has no column \"k\"", "\"x\", \"y\""]),
        ("a.jsonl", "application/x-ndjson", Bytes::from("{\"x\":1}\n"), &["no column \"k\"", "\"x\""]),
        ("a.csv", CSV, Bytes::from("k,k\n1,2\n"), &["a.csv: line 1", "twice"]),
        ("a.csv", CSV, Bytes::from("{\"k\":1}\n"), &["a.csv", "declared to be CSV", "JSON object"]),
        ("a.json", "application/json", Bytes::from("k\na\n"), &["a.json", "declared to be a JSON array"]),
        ("a.csv.gz", "application/gzip", Bytes::from("k\na\n"), &["declared to be gzip"]),
        ("a.csv.gz", "application/gzip", damaged, &["a.csv.gz", "cut short", "byte"]),
        ("a.csv.gz", "application/gzip", bomb, &["a.csv.gz", "inflate to", "limit"]),
        ("a.json", "application/json", half, &["a.json: line 2", "cut short"]),
        (
            "a.csv",
            CSV,
            parquet(
                &RecordBatch::try_from_iter([("k", Arc::new(StringArray::from(vec!["a"])) as _)]).unwrap(),
            ),
            &["a.csv", "is Parquet"],
        ),
        (
            "a.parquet",
            "application/vnd.apache.parquet",
            Bytes::from("k\na\nb\nc\nd\n"),
            &["a.parquet", "damaged or not Parquet"],
        ),
        ("a.bin", "application/octet-stream", Bytes::from("%PDF-1.7 ..."), &["a.bin", "PDF"]),
    ] {
        let problem = problem(&data, exact("k"), &[(name, media_type, bytes)]).await;
        assert_eq!(problem.kind, ProblemType::InvalidRequest, "{name}: {}", problem.detail);
        for word in words {
            assert!(problem.detail.contains(word), "{word}: {}", problem.detail);
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_not_the_pinned_one_is_a_conflict() {
    let data = letters();
    for (other, words) in [(Some("k\nb\n"), "is not the file that arrived"), (None, "is gone")] {
        let blobs = Arc::new(MemoryBlobs::default());
        let task = append_task(&data, exact("k"), &csv("k\na\n"), &blobs).await;
        let Input::Files(files) = &task.input else { panic!("no files") };
        match other {
            Some(text) => blobs.set(&files[0].key.to_string(), Bytes::from(text)),
            None => drop(blobs.remove(&files[0].key)),
        }
        match engine(2).execute(task).await {
            Err(ExecuteError::Fatal { problem, .. }) => {
                assert_eq!(problem.kind, ProblemType::Conflict);
                assert!(
                    problem.detail.contains(words) && problem.detail.contains("rows.csv"),
                    "{}",
                    problem.detail
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn batches_of_one_container_read_the_same_files_or_conflict() {
    let data = letters();
    let blobs = Arc::new(MemoryBlobs::default());
    let first = append_task(&data, exact("k"), &csv("k\na\n"), &blobs).await;
    let mut second = append_task(&data, exact("k"), &csv("k\nc\n"), &blobs).await;
    second.snapshot = first.snapshot.clone();
    let one = engine(2).execute(first.clone()).await.unwrap();
    let two = engine(2).execute(Task { attempt: 1, ..second.clone() }).await.unwrap();
    assert_eq!(one.dataset, two.dataset);
    let k: ArrayRef = Arc::new(StringArray::from(vec!["c"]));
    let v: ArrayRef = Arc::new(Int64Array::from(vec![60]));
    let batch = RecordBatch::try_from_iter([("k", k), ("v", v)]).unwrap();
    write_parquet(&data.dir.path().join("data.parquet"), &[batch], 10);
    match engine(2).execute(Task { attempt: 2, control: Arc::default(), ..second }).await {
        Err(ExecuteError::Fatal { problem, .. }) => assert_eq!(problem.kind, ProblemType::Conflict),
        other => panic!("{other:?}"),
    }
    let third = append_task(&data, exact("k"), &csv("k\nc\n"), &blobs).await;
    let three = engine(2).execute(third).await.unwrap();
    assert_ne!(three.dataset, one.dataset);
}

#[tokio::test]
async fn a_cancelled_append_stops_and_leaves_nothing_on_the_disk() {
    let mut dice = Dice(3);
    let (rows, records) = (
        Rows::new(60_000, 9_000, Compare::Exact, &mut dice),
        Records::new(30_000, 9_000, Compare::Exact, &mut dice),
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
        assert!(blobs.names().iter().all(|name| !name.contains("result")), "{:?}", blobs.names());
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
