//! CSV: records, whose quoted fields may hold line breaks, and their fields.
//!
//! A quote at the start of a field opens it, and `""` within is one quote; elsewhere a quote is a character like any
//! other. Our own reader, because the library's does not tell `""`, which is empty text, from nothing, which is null.

use super::{
    error::FileError,
    lines::{Input, Raw, breaks, ready},
    row::{Kind, Row},
};

/// Where in a record a byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    FieldStart,
    Plain,
    Quoted,
    /// Behind a quote in a quoted field: its end, or the first half of `""`.
    Quote,
}

/// Records of a file.
pub(super) struct Records {
    input: Input,
    line: u64,
    /// What stands between fields; `None` until the header has told.
    pub(super) delimiter: Option<u8>,
}

impl Records {
    pub(super) fn new(input: Input, delimiter: Option<u8>) -> Self {
        Self { input, line: 1, delimiter }
    }

    /// The next record; false at the end of the file. Blank lines are none.
    pub(super) fn next(&mut self, raw: &mut Raw, limit: usize) -> Result<bool, FileError> {
        loop {
            raw.begin(self.line);
            if !self.record(raw, limit)? {
                return Ok(false);
            }
            raw.end_line();
            if raw.too_large || !raw.bytes.is_empty() {
                return Ok(true);
            }
        }
    }

    fn record(&mut self, raw: &mut Raw, limit: usize) -> Result<bool, FileError> {
        let mut at = At::FieldStart;
        let mut any = false;
        let mut opened = self.line;
        loop {
            let ready = ready(&mut self.input)?;
            if ready.is_empty() {
                return if at == At::Quoted { Err(open(opened, "to the end of the file")) } else { Ok(any) };
            }
            any = true;
            let (end, quote) = record_end(ready, &mut at, self.delimiter);
            if let Some(quote) = quote {
                opened = self.line + breaks(&ready[..quote]);
            }
            let length = end.unwrap_or(ready.len());
            raw.add(&ready[..length], limit, at == At::Quoted);
            if raw.in_quotes {
                return Err(open(opened, &format!("within {limit} bytes, the limit of a row")));
            }
            self.line += breaks(&ready[..length]);
            self.input.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                self.line += 1;
                return Ok(true);
            }
        }
    }
}

/// A quote that takes all that follows into its field: no row behind it can be told.
fn open(line: u64, within: &str) -> FileError {
    FileError::malformed(line, format!("the quote that opens here is not closed {within}"))
}

/// The line break that ends the record, if it is here, and the last quote that opens a field; `at` is moved on.
fn record_end(bytes: &[u8], at: &mut At, delimiter: Option<u8>) -> (Option<usize>, Option<usize>) {
    let between = |byte: u8| delimiter.map_or(matches!(byte, b',' | b';' | b'\t'), |own| own == byte);
    let mut state = *at;
    let (mut end, mut quote) = (None, None);
    for (place, byte) in bytes.iter().enumerate() {
        state = match (state, *byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) => At::Quoted,
            (_, b'\n') => {
                end = Some(place);
                break;
            }
            (At::FieldStart, b'"') => {
                quote = Some(place);
                At::Quoted
            }
            (At::Quote, b'"') => At::Quoted,
            (_, byte) if between(byte) => At::FieldStart,
            // What stands behind a closing quote is told when the fields are read.
            (At::FieldStart | At::Plain | At::Quote, _) => At::Plain,
        };
    }
    *at = state;
    (end, quote)
}

/// The delimiter that a header shows: a comma where there is one outside of quotes, else `;` or tab where there is but
/// one of these, and a comma where there is none at all: the file has one column. The error says what is in doubt.
pub(super) fn delimiter_of(header: &str) -> Result<u8, String> {
    let mut quoted = false;
    let (mut comma, mut semicolon, mut tab) = (false, false, false);
    for byte in header.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => comma = true,
            b';' if !quoted => semicolon = true,
            b'\t' if !quoted => tab = true,
            _ => {}
        }
    }
    match (comma, semicolon, tab) {
        (true, ..) | (false, false, false) => Ok(b','),
        (false, true, false) => Ok(b';'),
        (false, false, true) => Ok(b'\t'),
        (false, true, true) => {
            Err("the header has semicolons and tabs and no comma: which of them stands between fields is not told"
                .into())
        }
    }
}

/// What is wrong with a record, and in which field, from 0.
pub(super) struct Fault {
    pub(super) field: usize,
    pub(super) detail: &'static str,
}

/// Adds the fields of a record to the row.
pub(super) fn split(record: &str, delimiter: u8, row: &mut Row) -> Result<(), Fault> {
    let bytes = record.as_bytes();
    let mut at = 0;
    loop {
        let field = row.len();
        at = if bytes.get(at) == Some(&b'"') {
            let (end, closed) = quoted(record, at + 1, row);
            if !closed {
                return Err(Fault { field, detail: "the quote that opens it is not closed" });
            }
            if end < bytes.len() && bytes[end] != delimiter {
                return Err(Fault { field, detail: "there is text behind its closing quote" });
            }
            end
        } else {
            let rest = &bytes[at..];
            let end = at + rest.iter().position(|byte| *byte == delimiter).unwrap_or(rest.len());
            let kind = if end == at { Kind::Null } else { Kind::Text };
            row.push(kind, &record[at..end]);
            end
        };
        if at >= bytes.len() {
            return Ok(());
        }
        at += 1;
    }
}

/// Adds a quoted field that begins at `start`. Answers where it has ended, and whether by a quote.
fn quoted(record: &str, start: usize, row: &mut Row) -> (usize, bool) {
    let bytes = record.as_bytes();
    let begin = row.text().len();
    let mut from = start;
    let (end, closed) = loop {
        let Some(quote) = bytes[from..].iter().position(|byte| *byte == b'"').map(|place| from + place)
        else {
            row.text().push_str(&record[from..]);
            break (bytes.len(), false);
        };
        if bytes.get(quote + 1) == Some(&b'"') {
            row.text().push_str(&record[from..=quote]);
            from = quote + 2;
        } else {
            row.text().push_str(&record[from..quote]);
            break (quote + 1, true);
        }
    };
    let range = begin..row.text().len();
    row.push_added(Kind::Text, range);
    (end, closed)
}
