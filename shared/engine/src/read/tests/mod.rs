//! Files good and bad, read whole.

mod bytes;
mod csv;
mod json;
mod recognise;
mod typed;

use std::io::Cursor;

use super::*;

/// What a file gave: each row's values, or what was said of it; and what ended it, if not its end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    columns: Vec<String>,
    rows: Vec<Result<Vec<String>, String>>,
    ended: Option<String>,
}

/// A value as the tests write it: `?` missing, `-` null, text as it is, the rest with its type.
fn shown(field: Field<'_>) -> String {
    match field {
        Field::Missing => "?".into(),
        Field::Null => "-".into(),
        Field::Text(text) => text.into(),
        Field::Boolean(value) => format!("bool {value}"),
        Field::Number(text) => format!("number {text}"),
        Field::Json(text) => format!("json {text}"),
    }
}

fn read_with(bytes: impl Into<Vec<u8>>, declared: &str, options: ReadOptions) -> Seen {
    let mut seen = Seen::default();
    let opened = RowReader::open(Cursor::new(bytes.into()), Declared::of_name(declared), options);
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => {
            seen.ended = Some(error.to_string());
            return seen;
        }
    };
    let mut row = Row::default();
    loop {
        match reader.next_row(&mut row) {
            Ok(Some(Ok(()))) => {
                let fields = (0..reader.columns().len()).map(|place| shown(row.field(place)));
                seen.rows.push(Ok(fields.collect()));
            }
            Ok(Some(Err(error))) => seen.rows.push(Err(error.to_string())),
            Ok(None) => break,
            Err(error) => {
                seen.ended = Some(error.to_string());
                break;
            }
        }
    }
    assert!(matches!(reader.next_row(&mut row), Ok(None)), "nothing comes after the end");
    assert_eq!(reader.rows(), seen.rows.len() as u64);
    seen.columns = reader.columns().names().to_vec();
    seen
}

fn read(bytes: impl Into<Vec<u8>>, declared: &str) -> Seen {
    read_with(bytes, declared, ReadOptions::default())
}

/// What ended the file, which must be an error.
fn refused(bytes: impl Into<Vec<u8>>, declared: &str) -> String {
    read(bytes, declared).ended.expect("the file is refused")
}

/// Rows that are all good, with `|` between values.
fn lines(seen: &Seen) -> Vec<String> {
    assert_eq!(seen.ended, None);
    seen.rows.iter().map(|row| row.as_ref().expect("the row is good").join("|")).collect()
}
