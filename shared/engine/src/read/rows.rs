//! The rows of a file, one after the other.

use std::{
    fmt,
    io::{Cursor, Read},
    mem,
};

use super::{
    Declared, HEAD, Limits, Recognised, TextFormat,
    array::Elements,
    csv::{self, Records},
    error::{FileError, RowError},
    inflate::Inflate,
    json,
    lines::{Input, Lines, Raw},
    recognise,
    row::{Columns, Field, Row},
    text::Utf8,
};

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// What the file may ask for.
    pub limits: Limits,
    /// What stands between fields of CSV, where it is known. Else the header tells: see [`TextFormat::Csv`].
    pub delimiter: Option<u8>,
}

/// Reads rows. As an iterator it gives each row memory of its own; [`next_row`](Self::next_row) does not.
pub struct RowReader {
    source: Source,
    recognised: Recognised,
    limits: Limits,
    columns: Columns,
    raw: Raw,
    rows: u64,
    ended: bool,
}

enum Source {
    Csv(Records, u8),
    Jsonl(Lines),
    Json(Elements),
}

impl RowReader {
    /// Recognises a file by its first bytes, checks it against what was declared, and reads on to the first row.
    pub fn open(
        mut input: impl Read + Send + 'static,
        declared: Option<Declared>,
        options: ReadOptions,
    ) -> Result<Self, FileError> {
        let mut head = Vec::new();
        input.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
        let recognised = recognise(&head, declared)?;
        Self::new(Cursor::new(head).chain(input), recognised, options)
    }

    /// Reads a file that was recognised. CSV is read as far as its header.
    pub fn new(
        input: impl Read + Send + 'static,
        recognised: Recognised,
        options: ReadOptions,
    ) -> Result<Self, FileError> {
        let ReadOptions { limits, delimiter } = options;
        let input: Input = Box::new(Utf8::new(Inflate::new(input, recognised.encoding, limits)?));
        let (mut columns, mut raw) = (Columns::default(), Raw::default());
        let source = match recognised.format {
            TextFormat::Jsonl => Source::Jsonl(Lines::new(input)),
            TextFormat::Json => Source::Json(Elements::new(input)),
            TextFormat::Csv | TextFormat::Tsv => {
                let tab = (recognised.format == TextFormat::Tsv).then_some(b'\t');
                let mut records = Records::new(input, delimiter.or(tab));
                let delimiter = header(&mut records, &mut columns, &mut raw, &limits)?;
                Source::Csv(records, delimiter)
            }
        };
        Ok(Self { source, recognised, limits, columns, raw, rows: 0, ended: false })
    }

    /// What the file is.
    pub fn recognised(&self) -> Recognised {
        self.recognised
    }

    /// The columns: all of them for CSV, those of the rows so far for JSON.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// What stands between fields, where the file is CSV.
    pub fn delimiter(&self) -> Option<u8> {
        match self.source {
            Source::Csv(_, delimiter) => Some(delimiter),
            Source::Jsonl(_) | Source::Json(_) => None,
        }
    }

    /// How many rows were read, those in error counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Reads the next row into `row`; `None` at the end of the file, and after an error of the file. After an error of
    /// the row, `row` holds what could be read of it, and the next one can be read.
    pub fn next_row(&mut self, row: &mut Row) -> Result<Option<Result<(), RowError>>, FileError> {
        if self.ended {
            return Ok(None);
        }
        let limit = self.limits.row_bytes;
        let next = match &mut self.source {
            Source::Csv(records, _) => records.next(&mut self.raw, limit),
            Source::Jsonl(lines) => lines.next(&mut self.raw, limit),
            Source::Json(elements) => elements.next(&mut self.raw, limit),
        };
        self.ended = !matches!(next, Ok(true));
        if !next? {
            return Ok(None);
        }
        self.rows += 1;
        row.begin(self.rows, self.raw.line);
        Ok(Some(self.read(row)))
    }

    fn read(&mut self, row: &mut Row) -> Result<(), RowError> {
        let (number, line) = (row.number, row.line);
        let wrong = |line, detail| RowError { row: number, line, column: None, detail };
        let text = match text(&self.raw, &self.limits) {
            Ok(text) => text,
            Err((behind, detail)) => {
                self.read_in_part(row);
                return Err(wrong(line + behind, detail));
            }
        };
        match &self.source {
            Source::Csv(_, delimiter) => {
                csv::split(text, *delimiter, row).map_err(|fault| RowError {
                    column: self.columns.names().get(fault.field).cloned(),
                    ..wrong(line, fault.detail.to_owned())
                })?;
                let (fields, columns) = (row.len(), self.columns.len());
                if fields != columns {
                    let detail = format!("the row has {}, the header {columns}", count(fields, "field"));
                    return Err(wrong(line, detail));
                }
                Ok(())
            }
            Source::Jsonl(_) | Source::Json(_) => json::object(text, &mut self.columns, &self.limits, row)
                .map_err(|fault| wrong(line + fault.line, fault.detail)),
        }
    }

    /// Reads what can be read of a row with bytes that are no UTF-8: of CSV the fields without such, of JSON the members
    /// before the first. Nothing is read of a row that is too large, of which nothing is held.
    fn read_in_part(&mut self, row: &mut Row) {
        match &self.source {
            Source::Csv(_, delimiter) => {
                // What stands for such bytes stands between the same delimiters and quotes. A field that has U+FFFD of its
                // own goes with those, which is safer than to take half of a text for all of it.
                let _ = csv::split(&String::from_utf8_lossy(&self.raw.bytes), *delimiter, row);
                row.forget(|text| text.contains(char::REPLACEMENT_CHARACTER));
            }
            Source::Jsonl(_) | Source::Json(_) => {
                let text = self.raw.bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
                // A number that ends there would be taken for a whole one.
                let text = text.trim_end_matches(|c: char| c.is_ascii_digit() || ".eE+-".contains(c));
                let _ = json::object(text, &mut self.columns, &self.limits, row);
            }
        }
    }
}

impl Iterator for RowReader {
    type Item = Result<Result<Row, RowError>, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut row = Row::default();
        match self.next_row(&mut row) {
            Ok(Some(read)) => Some(Ok(read.map(|()| row))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl fmt::Debug for RowReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowReader")
            .field("recognised", &self.recognised)
            .field("columns", &self.columns.len())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// The text of a row; else what is wrong, and how many lines behind its first.
fn text<'a>(raw: &'a Raw, limits: &Limits) -> Result<&'a str, (u64, String)> {
    if raw.too_large {
        let quote = if raw.in_quotes { "; perhaps a quote in it is not closed" } else { "" };
        let detail = format!("it has more than {} bytes, which is the limit{quote}", limits.row_bytes);
        return Err((0, detail));
    }
    std::str::from_utf8(&raw.bytes).map_err(|error| {
        let valid = &raw.bytes[..error.valid_up_to()];
        let behind = super::lines::breaks(valid);
        let in_line = valid.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        let byte = raw.bytes[error.valid_up_to()];
        (behind, format!("byte {in_line} of the line, 0x{byte:02X}, is not UTF-8"))
    })
}

/// Reads the header. Answers the delimiter.
fn header(
    records: &mut Records,
    columns: &mut Columns,
    raw: &mut Raw,
    limits: &Limits,
) -> Result<u8, FileError> {
    if !records.next(raw, limits.row_bytes)? {
        return Err(FileError::malformed(
            1,
            "the file is empty: CSV begins with a header that names the columns",
        ));
    }
    let line = raw.line;
    let wrong = |detail: String| FileError::malformed(line, format!("the header: {detail}"));
    let header = text(raw, limits).map_err(|(_, detail)| wrong(detail))?;
    let delimiter = match records.delimiter {
        Some(delimiter) => delimiter,
        None => csv::delimiter_of(header).map_err(wrong)?,
    };
    records.delimiter = Some(delimiter);
    let mut names = Row::default();
    csv::split(header, delimiter, &mut names)
        .map_err(|fault| wrong(format!("in column {}: {}", fault.field + 1, fault.detail)))?;
    if names.len() > limits.columns {
        return Err(FileError::TooLarge(format!(
            "the header names {} columns: at most {} are the limit",
            names.len(),
            limits.columns
        )));
    }
    for place in 0..names.len() {
        let name = match names.field(place) {
            Field::Text(name) if !name.trim().is_empty() => name,
            _ => return Err(wrong(format!("column {} has no name", place + 1))),
        };
        if name.len() > limits.name_bytes {
            return Err(FileError::TooLarge(format!(
                "the name of column {} is longer than {} bytes, which is the limit",
                place + 1,
                limits.name_bytes
            )));
        }
        if name.replace("\r\n", "").contains('\r') {
            return Err(wrong("lines must end in LF or CRLF, not in CR alone".into()));
        }
        if !columns.add(name) {
            return Err(wrong(format!("names the column {name:?} twice")));
        }
    }
    mem::take(&mut raw.bytes);
    Ok(delimiter)
}

fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

impl From<Recognised> for Declared {
    fn from(recognised: Recognised) -> Self {
        Self { format: Some(recognised.format), encoding: Some(recognised.encoding) }
    }
}
