//! Reading pages: where a page lies in a result's file, and what makes its bytes a document of their own.
//!
//! `pages.idx` holds [`INDEX_ENTRY`] bytes a page, so page `n` costs two ranged reads wherever it lies: its entry,
//! then its bytes. A page's bytes are its rows alone. What makes the rows of all pages one file (the brackets and
//! commas of a JSON array, the CSV header) lies between the pages; with compression it stands in gzip members or
//! zstd frames of its own, and so does each page. A result without records has one page without rows.
//!
//! A page ends at `page_size` records, or before the record that would take it past [`PAGE_BYTES`]; only a page of
//! one record is longer.

use std::{
    io::{self, Read},
    ops::Range,
};

use crate::format::{Compression, CsvOptions, Format, OutputFormat};

/// How many bytes of `pages.idx` tell of one page: offset and length in the file, unsigned 64-bit, little-endian.
pub const INDEX_ENTRY: u64 = 16;

/// The most bytes of text in a page of several records.
pub const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// A page longer than this, inflated, is not one that Willcall wrote.
const INFLATED_LIMIT: u64 = 1 << 30;

/// The bytes of `pages.idx` that tell of page `page`.
pub fn index_range(page: u64) -> Range<u64> {
    let start = page.saturating_mul(INDEX_ENTRY);
    start..start.saturating_add(INDEX_ENTRY)
}

/// An entry of `pages.idx`: the range of the page's bytes in the file. `None` where the bytes are no entry.
pub fn page_range(entry: &[u8]) -> Option<Range<u64>> {
    let (start, length) = entry.split_at_checked(8)?;
    let start = u64::from_le_bytes(start.try_into().ok()?);
    let length = u64::from_le_bytes(length.try_into().ok()?);
    Some(start..start.checked_add(length)?)
}

/// The entry of `pages.idx` for a page.
pub fn index_entry(offset: u64, length: u64) -> [u8; INDEX_ENTRY as usize] {
    let mut entry = [0; INDEX_ENTRY as usize];
    entry[..8].copy_from_slice(&offset.to_le_bytes());
    entry[8..].copy_from_slice(&length.to_le_bytes());
    entry
}

/// A page as a document of its own, identity-encoded: `stored` is the page's bytes as they lie in the file,
/// `fields` the columns of the result.
pub fn page_document(output: &OutputFormat, fields: &[String], stored: &[u8]) -> io::Result<Vec<u8>> {
    let (before, after) = frame(output, fields.iter().map(String::as_str));
    let mut document = before;
    match output.compression {
        Compression::None => document.extend_from_slice(stored),
        Compression::Gzip => read_limited(flate2::read::MultiGzDecoder::new(stored), &mut document)?,
        Compression::Zstd => read_limited(zstd::stream::read::Decoder::new(stored)?, &mut document)?,
    }
    document.extend_from_slice(after);
    Ok(document)
}

/// What stands before the first row and after the last one, in the file and in each page alike.
pub fn frame<'a>(output: &OutputFormat, columns: impl Iterator<Item = &'a str>) -> (Vec<u8>, &'static [u8]) {
    match output.format {
        Format::Json => (b"[".to_vec(), b"]"),
        Format::Csv => (csv_header(&output.csv.clone().unwrap_or_default(), columns), b""),
        Format::Jsonl | Format::Parquet | Format::Arrow | Format::Xlsx => (Vec::new(), b""),
    }
}

/// The header line of a CSV file, with its line end; empty where the options ask for none.
pub fn csv_header<'a>(options: &CsvOptions, columns: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut line = Vec::new();
    if !options.header {
        return line;
    }
    let mut delimiter = [0; 4];
    let delimiter = options.delimiter.encode_utf8(&mut delimiter).as_bytes();
    for (index, name) in columns.enumerate() {
        if index > 0 {
            line.extend_from_slice(delimiter);
        }
        let danger = options.spreadsheet_safe && is_formula(name);
        let quote = name.is_empty()
            || name.contains(['"', '\n', '\r', options.delimiter])
            || (danger && options.delimiter == '\'')
            || name.starts_with(' ')
            || name.ends_with(' ');
        if quote {
            line.push(b'"');
        }
        if danger {
            line.push(b'\'');
        }
        line.extend_from_slice(name.replace('"', "\"\"").as_bytes());
        if quote {
            line.push(b'"');
        }
    }
    line.push(b'\n');
    line
}

/// Whether a spreadsheet would run the text as a formula.
pub fn is_formula(text: &str) -> bool {
    matches!(text.as_bytes().first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'))
}

fn read_limited(reader: impl Read, into: &mut Vec<u8>) -> io::Result<()> {
    let read = reader.take(INFLATED_LIMIT).read_to_end(into)? as u64;
    if read == INFLATED_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the page inflates past any page's size"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_index_entry_reads_back() {
        assert_eq!(page_range(&index_entry(7, 5)), Some(7..12));
        assert_eq!(index_range(3), 48..64);
        assert_eq!(page_range(&[0; 15]), None);
        assert_eq!(page_range(&[0; 17]), None);
        assert_eq!(page_range(&index_entry(u64::MAX, 1)), None);
    }

    #[test]
    fn a_page_becomes_a_document_in_each_compression() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"{\"a\":1}").unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::bulk::compress(b"{\"a\":1}", 3).unwrap();
        for (compression, stored) in [
            (Compression::None, b"{\"a\":1}".to_vec()),
            (Compression::Gzip, gzip.clone()),
            (Compression::Zstd, zstd),
        ] {
            let output = OutputFormat { compression, ..OutputFormat::plain(Format::Json) };
            assert_eq!(page_document(&output, &["a".to_owned()], &stored).unwrap(), b"[{\"a\":1}]");
        }
        let output = OutputFormat { compression: Compression::Gzip, ..OutputFormat::plain(Format::Jsonl) };
        assert!(page_document(&output, &[], &gzip[..gzip.len() - 3]).is_err());
        assert!(page_document(&output, &[], b"not gzip").is_err());
    }

    #[test]
    fn a_header_quotes_what_needs_it() {
        let mut options = CsvOptions::default();
        let line = |options: &CsvOptions, names: &[&str]| {
            String::from_utf8(csv_header(options, names.iter().copied())).unwrap()
        };
        assert_eq!(
            line(&options, &["a", "b c", "d,e", "f\"g", "", "h\ni"]),
            "a,b c,\"d,e\",\"f\"\"g\",\"\",\"h\ni\"\n"
        );
        options.delimiter = ';';
        options.spreadsheet_safe = true;
        assert_eq!(line(&options, &["a,b", "=1", "-x;"]), "a,b;'=1;\"'-x;\"\n");
        options.delimiter = '\'';
        assert_eq!(line(&options, &["a", "=1"]), "a'\"'=1\"\n");
        options.header = false;
        assert_eq!(line(&options, &["a"]), "");
    }
}
