//! Random rows and records, and the join that looks at each pair of them.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use willcall_core::job::{
    Counts,
    kinds::{Compare, OnMultiple},
};

use super::{CSV, counts, gzip, parquet, support::Data};

/// Numbers that look random and are the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// One of the ways to write a thing, which are all the same to the comparison.
pub(super) fn written(thing: usize, compare: Compare, dice: &mut Dice) -> String {
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
pub(super) type Value = (Option<String>, Option<usize>);

pub(super) fn value(things: usize, compare: Compare, dice: &mut Dice) -> Value {
    match dice.roll(12) {
        0 => (None, None),
        1 => (Some(String::new()), None),
        _ => {
            let thing = dice.roll(things);
            (Some(written(thing, compare, dice)), Some(thing))
        }
    }
}

pub(super) struct Rows {
    /// Number, text key, number key, and a note in many scripts.
    pub(super) rows: Vec<(String, Value, Option<i64>, String)>,
}

impl Rows {
    pub(super) fn new(count: usize, things: usize, compare: Compare, dice: &mut Dice) -> Self {
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
    pub(super) fn upload(&self, form: usize) -> (&'static str, &'static str, Bytes) {
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

/// A field of CSV as docs/formats.md says that it is written.
pub(super) fn quoted(value: Option<&str>) -> String {
    match value {
        None => String::new(),
        Some("") => "\"\"".into(),
        Some(text) if text.contains([',', '"', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Some(text) => text.into(),
    }
}

pub(super) struct Records {
    records: Vec<(Value, Option<i64>)>,
}

impl Records {
    pub(super) fn new(count: usize, things: usize, compare: Compare, dice: &mut Dice) -> Self {
        let mut record = |_| (value(things, compare, dice), (dice.roll(10) > 0).then(|| dice.roll(3) as i64));
        Self { records: (0..count).map(&mut record).collect() }
    }

    pub(super) fn data(&self) -> Data {
        let k: ArrayRef =
            Arc::new(self.records.iter().map(|((text, _), _)| text.clone()).collect::<StringArray>());
        let n: ArrayRef = Arc::new(self.records.iter().map(|(_, n)| *n).collect::<Int64Array>());
        let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..self.records.len() as i64));
        let batch = RecordBatch::try_from_iter([("id", id), ("k", k), ("n", n)]).unwrap();
        let half = self.records.len() / 2;
        let rest = self.records.len() - half;
        Data::new().file("a.parquet", &[batch.slice(0, half)], 7.max(half / 10)).file(
            "b.parquet",
            &[batch.slice(half, rest)],
            100,
        )
    }
}

/// The result as it must be: each row compared with each record.
pub(super) fn naive(
    rows: &Rows,
    records: &Records,
    by_number: bool,
    mode: OnMultiple,
) -> (String, Option<Counts>) {
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
