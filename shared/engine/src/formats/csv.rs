//! CSV as RFC 4180 quotes it, with lines that end in a line feed alone: what DuckDB, pandas and arrow-csv write,
//! and what every reader takes.
//!
//! A field is quoted where it holds the delimiter, a quote or a line break, and where it would read as null. Null is the options' text, by default nothing; empty text is `""`. In a table of one column a null that is
//! nothing is `""` too: an empty line would be no record to most readers. NaN is `NaN`, infinities are `Infinity`
//! and `-Infinity`. Columns that hold values are JSON text, bytes are base64.

use arrow_array::ArrayRef;
use willcall_core::{format::CsvOptions, job::pages::is_formula};

use super::{
    Chunk,
    json::write_value,
    value::{Bound, Text, Values},
};

/// Encodes records as lines of CSV.
pub(crate) struct CsvEncoder {
    delimiter: u8,
    /// What stands for null, quoted if need be.
    null: Vec<u8>,
    /// The options' text for null, which no value must look like.
    null_text: Vec<u8>,
    safe: bool,
    /// Whether the delimiter can be a part of a number or a date.
    odd_delimiter: bool,
}

impl CsvEncoder {
    pub(super) fn new(options: &CsvOptions, columns: usize) -> Self {
        let delimiter = u8::try_from(options.delimiter).unwrap_or(b',');
        let mut encoder = Self {
            delimiter,
            null: Vec::new(),
            null_text: options.null.clone().into_bytes(),
            safe: options.spreadsheet_safe,
            odd_delimiter: delimiter.is_ascii_alphanumeric() || b"+-.:/=".contains(&delimiter),
        };
        let mut null = Vec::new();
        if columns == 1 && options.null.is_empty() {
            null.extend_from_slice(b"\"\"");
        } else if encoder.needs_quotes(options.null.as_bytes()) {
            write_quoted(options.null.as_bytes(), &mut null);
        } else {
            null.extend_from_slice(options.null.as_bytes());
        }
        encoder.null = null;
        encoder
    }

    pub(super) fn encode(&self, columns: &[ArrayRef], rows: usize, chunk: &mut Chunk) -> Result<(), String> {
        let dirty = |bytes: &[u8]| self.needs_quotes(bytes) || super::json::needs_escape(bytes);
        let columns = columns
            .iter()
            .map(|column| {
                let bound = match column.data_type() {
                    data_type if data_type.is_nested() => Bound::new(column, &dirty)?,
                    _ => Bound::new(column, &|bytes| self.needs_quotes(bytes))?,
                };
                Ok((self.way(&bound.values), bound))
            })
            .collect::<Result<Vec<_>, String>>()?;
        let Chunk { text, ends, non_finite } = chunk;
        let mut scratch = Vec::new();
        for row in 0..rows {
            let mut odd = 0;
            for (index, (way, column)) in columns.iter().enumerate() {
                if index > 0 {
                    text.push(self.delimiter);
                }
                if column.is_null(row) {
                    text.extend_from_slice(&self.null);
                    continue;
                }
                match (way, &column.values) {
                    (Way::Direct, values) => values.write(row, text),
                    (Way::Text, Values::Text(values)) => self.write_text(values, row, text),
                    (_, values) => {
                        scratch.clear();
                        self.write_scratch(way, column, row, &mut scratch, &mut odd);
                        if self.safe && *way == Way::Careful && !values.is_bare() && begins_formula(&scratch)
                        {
                            scratch.insert(0, b'\'');
                        }
                        self.write_field(&scratch, text);
                    }
                }
            }
            if odd > 0 {
                non_finite.push((ends.len(), odd));
            }
            text.push(b'\n');
            ends.push(text.len());
        }
        Ok(())
    }

    /// How a column's values are written: found once a batch.
    fn way(&self, values: &Values<'_>) -> Way {
        match values {
            Values::Text(_) => Way::Text,
            values if values.is_nested() => Way::Nested,
            values if values.is_float() || self.odd_delimiter => Way::Careful,
            values if self.safe && !values.is_bare() => Way::Careful,
            values if self.may_read_as_null(values) => Way::Careful,
            _ => Way::Direct,
        }
    }

    /// Whether a value of the column may look like null.
    fn may_read_as_null(&self, values: &Values<'_>) -> bool {
        match (values, self.null_text.as_slice()) {
            // No bytes are no text.
            (Values::Binary(_) | Values::FixedBinary(_), _) => true,
            (_, []) => false,
            (Values::Boolean(_), null) => null == b"true" || null == b"false",
            (values, [first, ..]) if values.is_bare() => first.is_ascii_digit() || *first == b'-',
            _ => true,
        }
    }

    fn reads_as_null(&self, value: &[u8]) -> bool {
        value.is_empty() || value == self.null_text
    }

    fn write_scratch(&self, way: &Way, column: &Bound<'_>, row: usize, out: &mut Vec<u8>, odd: &mut u64) {
        if *way == Way::Nested {
            write_value(column, row, out, odd);
            return;
        }
        match column.values.float(row) {
            Some(value) if value.is_nan() => out.extend_from_slice(b"NaN"),
            Some(f64::INFINITY) => out.extend_from_slice(b"Infinity"),
            Some(f64::NEG_INFINITY) => out.extend_from_slice(b"-Infinity"),
            _ => column.values.write(row, out),
        }
    }

    #[inline]
    fn write_text(&self, values: &Text<'_>, row: usize, out: &mut Vec<u8>) {
        let value = values.value(row);
        if self.safe && begins_formula(value) {
            self.write_field(&[b"'", value].concat(), out);
            return;
        }
        if self.reads_as_null(value) || (!values.clean && self.needs_quotes(value)) {
            write_quoted(value, out);
            return;
        }
        values.write(row, out);
    }

    fn write_field(&self, value: &[u8], out: &mut Vec<u8>) {
        if self.reads_as_null(value) || self.needs_quotes(value) {
            write_quoted(value, out);
        } else {
            out.extend_from_slice(value);
        }
    }

    /// Whether any byte asks for quotes. Looks at all of them: that is fast, a loop with an end in it is not.
    fn needs_quotes(&self, bytes: &[u8]) -> bool {
        let delimiter = self.delimiter;
        let asks = |byte: &u8| (*byte == b'"') | (*byte == delimiter) | (*byte == b'\n') | (*byte == b'\r');
        bytes.iter().fold(false, |any, byte| any | asks(byte))
    }
}

/// How a column's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// As they are.
    Direct,
    /// As text.
    Text,
    /// As JSON text.
    Nested,
    /// Looked at one by one.
    Careful,
}

fn begins_formula(value: &[u8]) -> bool {
    // The first byte decides, and is a character of its own.
    value
        .first()
        .is_some_and(|first| first.is_ascii() && is_formula(char::from(*first).encode_utf8(&mut [0; 4])))
}

fn write_quoted(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| *byte == b'"') {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'"');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
