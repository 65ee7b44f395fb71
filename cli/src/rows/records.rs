//! Where one row ends and the next begins, by the rules that the server reads by. Only that: what is in a row is the
//! server's to judge.

use std::io::{self, BufRead};

/// The most bytes of a header that are looked at. The server takes no longer one.
const HEADER: usize = 2 << 20;

/// How rows are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// CSV with a header: a line break within quotes ends no row.
    Csv,
    /// A line is a row.
    JsonLines,
}

/// Reads records: rows, and before them the header of CSV.
pub(crate) struct Records<R> {
    input: R,
    rows: Rows,
    /// What stands between fields; `None` until the header has told.
    delimiter: Option<u8>,
}

/// A record as it was passed on, its line break with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) bytes: u64,
    /// Whether it is an empty line, which is no row.
    pub(crate) blank: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    FieldStart,
    Plain,
    Quoted,
    /// Behind a quote that ends the field, or begins a pair.
    Quote,
}

impl<R: BufRead> Records<R> {
    pub(crate) fn new(input: R, rows: Rows) -> Self {
        Self { input, rows, delimiter: None }
    }

    /// Records of CSV whose delimiter is known.
    pub(crate) fn delimited(input: R, delimiter: u8) -> Self {
        Self { input, rows: Rows::Csv, delimiter: Some(delimiter) }
    }

    /// Passes the next record's bytes on in pieces; `None` at the end of the input.
    pub(crate) fn next(
        &mut self,
        mut pass: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<Option<Record>> {
        let mut at = At::FieldStart;
        let mut record = Record { bytes: 0, blank: true };
        let mut header = Vec::new();
        loop {
            let ready = match self.input.fill_buf() {
                Ok(ready) => ready,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if ready.is_empty() {
                break;
            }
            let end = match self.rows {
                Rows::Csv => record_end(ready, &mut at, self.delimiter),
                Rows::JsonLines => ready.iter().position(|byte| *byte == b'\n'),
            };
            let length = end.map_or(ready.len(), |end| end + 1);
            let piece = &ready[..length];
            record.blank &= match self.rows {
                Rows::Csv => piece.iter().all(|byte| matches!(byte, b'\r' | b'\n')),
                Rows::JsonLines => piece.iter().all(u8::is_ascii_whitespace),
            };
            if self.rows == Rows::Csv && self.delimiter.is_none() && header.len() < HEADER {
                header.extend_from_slice(piece);
            }
            pass(piece)?;
            record.bytes += length as u64;
            self.input.consume(length);
            if end.is_some() {
                break;
            }
        }
        if self.rows == Rows::Csv && self.delimiter.is_none() && !record.blank {
            self.delimiter = Some(delimiter_of(&header));
        }
        Ok((record.bytes > 0).then_some(record))
    }

    /// The next record that is no empty line, added to `bytes`; false at the end of the input.
    pub(crate) fn read(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let start = bytes.len();
        while let Some(record) = self.next(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })? {
            if !record.blank {
                return Ok(true);
            }
            bytes.truncate(start);
        }
        Ok(false)
    }

    /// What stands between the fields of CSV, once its header is read.
    pub(crate) fn delimiter(&self) -> u8 {
        self.delimiter.unwrap_or(b',')
    }

    /// The rest of the input, as it comes.
    pub(crate) fn into_rest(self) -> R {
        self.input
    }
}

/// The line break that ends the record, if it is here; `at` is moved on.
fn record_end(bytes: &[u8], at: &mut At, delimiter: Option<u8>) -> Option<usize> {
    for (place, byte) in bytes.iter().enumerate() {
        let between = match delimiter {
            Some(delimiter) => *byte == delimiter,
            None => matches!(byte, b',' | b';' | b'\t'),
        };
        *at = match (*at, byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) => At::Quoted,
            (_, b'\n') => return Some(place),
            (At::FieldStart | At::Quote, b'"') => At::Quoted,
            _ if between => At::FieldStart,
            // A mark of the encoding is none of the first field.
            (At::FieldStart, 0xef | 0xbb | 0xbf) if delimiter.is_none() => At::FieldStart,
            _ => At::Plain,
        };
    }
    None
}

/// A comma where the header has one outside of quotes, else the one of `;` and tab that it has.
fn delimiter_of(header: &[u8]) -> u8 {
    let mut quoted = false;
    let mut seen = [false; 3];
    for byte in header {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => seen[0] = true,
            b';' if !quoted => seen[1] = true,
            b'\t' if !quoted => seen[2] = true,
            _ => {}
        }
    }
    match seen {
        [false, true, false] => b';',
        [false, false, true] => b'\t',
        _ => b',',
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// The records of a text, read through a buffer of each size.
    fn records(text: &str, rows: Rows) -> Vec<String> {
        let mut all = Vec::new();
        for size in [1, 2, 3, 7, 4096] {
            let mut reader = Records::new(BufReader::with_capacity(size, text.as_bytes()), rows);
            let (mut found, mut bytes) = (Vec::new(), Vec::new());
            while reader.read(&mut bytes).unwrap() {
                found.push(String::from_utf8(std::mem::take(&mut bytes)).unwrap());
            }
            all.push(found);
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
        all.remove(0)
    }

    #[test]
    fn line_breaks_within_quotes_end_no_row() {
        let csv = "a,b\r\n\"x\ny\",\"say \"\"hi\n\"\"\"\n\r\n5\" pipe,\"z\"\nlast,";
        let rows = ["a,b\r\n", "\"x\ny\",\"say \"\"hi\n\"\"\"\n", "5\" pipe,\"z\"\n", "last,"];
        assert_eq!(records(csv, Rows::Csv), rows);
        assert_eq!(records("\u{feff}\"a\nb\",c\n1,2\n", Rows::Csv), ["\u{feff}\"a\nb\",c\n", "1,2\n"]);
        // A quote that is never closed takes the rest.
        assert_eq!(records("a\n\"x\ny\nz", Rows::Csv), ["a\n", "\"x\ny\nz"]);
    }

    #[test]
    fn quotes_open_where_a_field_begins_by_the_headers_delimiter() {
        let csv = "a,b\n1;\"2,x\n3,4\n";
        assert_eq!(records(csv, Rows::Csv), ["a,b\n", "1;\"2,x\n", "3,4\n"]);
        let csv = "a;b\n1;\"2\nx\"\n3;4\n";
        assert_eq!(records(csv, Rows::Csv), ["a;b\n", "1;\"2\nx\"\n", "3;4\n"]);
    }

    #[test]
    fn a_line_of_json_is_a_row_whatever_is_in_it() {
        let lines = "{\"a\": \"\\\"\"}\n  \n{}\r\n[1]";
        assert_eq!(records(lines, Rows::JsonLines), ["{\"a\": \"\\\"\"}\n", "{}\r\n", "[1]"]);
        assert!(records("", Rows::JsonLines).is_empty() && records("\n\n", Rows::Csv).is_empty());
    }
}
