//! The user's file, and the parts that it is uploaded in.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::body::Body;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures::stream;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use willcall_core::{format::Compression, job::MAX_BATCHES, usecases::limits::MAX_UPLOAD};

use super::{
    records::{Records, Rows},
    source::RowsFile,
};
use crate::failure::{Exit, Failure};

/// What is read and sent at once.
const PIECE: usize = 256 * 1024;
/// What is looked at to see whether the file is text of single bytes.
const HEAD: usize = 16 * 1024;

/// A file of rows.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    /// What people are told that it is called.
    pub(crate) called: String,
    /// How its rows are told apart, where they can be: not in Parquet, nor in an array of JSON.
    pub(crate) rows: Option<Rows>,
    pub(crate) compression: Compression,
    pub(crate) parts: Vec<Part>,
    /// The columns of CSV, as far as they could be read.
    pub(crate) columns: Option<Vec<String>>,
    /// Whether parts say which rows they have.
    pub(crate) numbered: bool,
}

/// A part of a file, uploaded as a batch of its own.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// What the batch is called. The same bytes at the same place have the same name.
    pub(crate) name: String,
    /// What the file of the batch is called.
    pub(crate) file_name: String,
    /// The number of its first row in the file, from 1.
    pub(crate) first_row: u64,
    /// The header, before the rows of every part but the first.
    header: Bytes,
    range: Range<u64>,
}

impl Input {
    /// Looks at a file, and cuts it into parts of about `most` bytes where `may_split`. Compressed files, Parquet and JSON
    /// that is no JSON Lines are one part.
    pub(crate) fn open(from: &RowsFile, most: u64, may_split: bool) -> Result<Self, Failure> {
        let (path, called) = (from.path(), from.called());
        let unreadable =
            |error: &io::Error| Failure::caused(Exit::Usage, format!("cannot read {called}"), error);
        let file = File::open(path).map_err(|error| unreadable(&error))?;
        let found = file.metadata().map_err(|error| unreadable(&error))?;
        if !found.is_file() {
            return Err(Failure::new(Exit::Usage, format!("{called} is not a file")));
        }
        let size = found.len();
        if size == 0 {
            return Err(Failure::new(Exit::Usage, format!("{called} is empty")));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (rows, compression) = by_name(&name);
        let mut input = Self {
            path: path.to_owned(),
            called: called.to_owned(),
            rows,
            compression,
            parts: Vec::new(),
            columns: None,
            numbered: false,
        };
        if compression == Compression::None && !is_single_bytes(&file).map_err(|error| unreadable(&error))? {
            input.rows = None;
        }
        // As many batches as a job may have must do.
        let most = most.max(size / u64::from(MAX_BATCHES / 2)).max(1);
        input.parts = input
            .cut(BufReader::with_capacity(PIECE, file), &name, most, may_split)
            .map_err(|error| unreadable(&error))?;
        let too_large = |part: &&Part| part.bytes() > MAX_UPLOAD;
        if let Some(part) = input.parts.iter().find(too_large) {
            let words = format!(
                "{called} is {} bytes in one piece, and no more than {MAX_UPLOAD} can be uploaded",
                part.bytes()
            );
            return Err(Failure::new(Exit::Usage, words)
                .advice("split it, or give it as CSV or JSON Lines, not compressed"));
        }
        Ok(input)
    }

    fn cut(
        &mut self,
        mut file: impl BufRead,
        name: &str,
        most: u64,
        may_split: bool,
    ) -> io::Result<Vec<Part>> {
        let splits = may_split && self.compression == Compression::None;
        let Some(rows) = self.rows.filter(|_| splits) else {
            let mut hash = Sha256::new();
            let mut bytes = 0;
            loop {
                let ready = file.fill_buf()?;
                if ready.is_empty() {
                    break;
                }
                hash.update(ready);
                let length = ready.len();
                bytes += length as u64;
                file.consume(length);
            }
            return Ok(vec![Part::new(1, name, 1, Bytes::new(), 0..bytes, hash)]);
        };
        let mut records = Records::new(file, rows);
        let mut header = Vec::new();
        if rows == Rows::Csv {
            // With the blank lines before it, so that the first part is the file as it is.
            while let Some(record) = records.next(|piece| {
                header.extend_from_slice(piece);
                Ok(())
            })? {
                if !record.blank {
                    break;
                }
            }
            self.columns = columns(&header, records.delimiter());
        }
        let header = Bytes::from(header);
        let mut parts = Vec::new();
        let (mut first_row, mut rows) = (1, 0);
        let mut range = 0..header.len() as u64;
        let mut hash = Sha256::new_with_prefix(&header);
        loop {
            let record = records.next(|piece| {
                hash.update(piece);
                Ok(())
            })?;
            range.end += record.map_or(0, |record| record.bytes);
            rows += u64::from(record.is_some_and(|record| !record.blank));
            let full = range.end - range.start >= most;
            if record.is_none() || full {
                let begins = if parts.is_empty() { Bytes::new() } else { header.clone() };
                if range.end > range.start {
                    parts.push(Part::new(parts.len() + 1, name, first_row, begins, range.clone(), hash));
                }
                first_row = rows + 1;
                range.start = range.end;
                hash = Sha256::new_with_prefix(&header);
            }
            if record.is_none() {
                return Ok(parts);
            }
        }
    }

    /// The bytes of all parts.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(Part::bytes).sum()
    }

    /// The text of a part, as it is uploaded and inflated.
    pub(crate) fn read(&self, part: &Part) -> io::Result<Box<dyn BufRead>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(part.range.start))?;
        let rest = file.take(part.range.end - part.range.start);
        let whole = Read::chain(io::Cursor::new(part.header.clone()), rest);
        inflated(whole, self.compression)
    }
}

/// The text of compressed bytes.
pub(super) fn inflated(input: impl Read + 'static, compression: Compression) -> io::Result<Box<dyn BufRead>> {
    Ok(match compression {
        Compression::None => Box::new(BufReader::with_capacity(PIECE, input)),
        Compression::Gzip => Box::new(BufReader::with_capacity(PIECE, MultiGzDecoder::new(input))),
        Compression::Zstd => {
            Box::new(BufReader::with_capacity(PIECE, zstd::stream::read::Decoder::new(input)?))
        }
    })
}

/// How the rows of a file of that name are told apart, and how it is compressed.
fn by_name(name: &str) -> (Option<Rows>, Compression) {
    let name = name.to_ascii_lowercase();
    let (stem, compression) = match name.rsplit_once('.') {
        Some((stem, "gz")) => (stem, Compression::Gzip),
        Some((stem, "zst")) => (stem, Compression::Zstd),
        _ => (name.as_str(), Compression::None),
    };
    let rows = match stem.rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv" | "tsv") => Some(Rows::Csv),
        Some("jsonl" | "ndjson" | "jsons") => Some(Rows::JsonLines),
        _ => None,
    };
    (rows, compression)
}

/// Whether rows can be told apart byte by byte: not in UTF-16, which has bytes that are zero.
fn is_single_bytes(mut file: &File) -> io::Result<bool> {
    let mut head = Vec::new();
    (&mut file).take(HEAD as u64).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(!head.contains(&0) && !head.starts_with(&[0xff, 0xfe]) && !head.starts_with(&[0xfe, 0xff]))
}

fn columns(header: &[u8], delimiter: u8) -> Option<Vec<String>> {
    let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).from_reader(header);
    let record = reader.records().next()?.ok()?;
    Some(record.iter().map(str::to_owned).collect())
}

impl Part {
    fn new(
        number: usize,
        name: &str,
        first_row: u64,
        header: Bytes,
        range: Range<u64>,
        hash: Sha256,
    ) -> Self {
        let sha256 = hex::encode(hash.finalize());
        let stem: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        // The number comes first, so that the ending still tells what it is.
        let file_name = if number == 1 { stem } else { format!("{number}-{stem}") };
        Self { name: format!("{number} {}", &sha256[..32]), file_name, first_row, header, range }
    }

    /// The bytes that are uploaded.
    pub(crate) fn bytes(&self) -> u64 {
        self.header.len() as u64 + (self.range.end - self.range.start)
    }

    /// The body of an upload, read as it is sent; `sent` counts. A file that has become shorter breaks it.
    pub(crate) fn body(&self, path: &Path, sent: Arc<AtomicU64>) -> Body {
        let (path, range, header) = (path.to_owned(), self.range.clone(), self.header.clone());
        sent.store(0, Ordering::Relaxed);
        let first = (!header.is_empty()).then(|| header.clone());
        let state = (None::<tokio::fs::File>, first, range.end - range.start);
        Body::from_stream(stream::try_unfold(state, move |(file, first, left)| {
            let (path, sent) = (path.clone(), Arc::clone(&sent));
            async move {
                if let Some(header) = first {
                    sent.fetch_add(header.len() as u64, Ordering::Relaxed);
                    return Ok(Some((header, (file, None, left))));
                }
                if left == 0 {
                    return Ok::<_, io::Error>(None);
                }
                let mut file = match file {
                    Some(file) => file,
                    None => {
                        let mut file = tokio::fs::File::open(&path).await?;
                        file.seek(SeekFrom::Start(range.start)).await?;
                        file
                    }
                };
                let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
                let read = file.read(&mut piece).await?;
                if read == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter"));
                }
                piece.truncate(read);
                sent.fetch_add(read as u64, Ordering::Relaxed);
                Ok(Some((Bytes::from(piece), (Some(file), None, left - read as u64))))
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn parts(name: &str, text: &str, most: u64) -> (Input, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        let input = Input::open(&RowsFile::at(&path).unwrap(), most, true).unwrap();
        let texts = input.parts.iter().map(|part| {
            let mut text = String::new();
            input.read(part).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(part.bytes(), text.len() as u64);
            text
        });
        let texts = texts.collect();
        (input, texts)
    }

    #[test]
    fn every_part_of_csv_has_the_header_and_whole_rows() {
        let csv = "\u{feff}id,note\r\n1,\"a\r\nb\"\r\n2,c\r\n3,d\r\n";
        let (input, texts) = parts("x.csv", csv, 16);
        assert_eq!(input.columns.as_deref().unwrap(), ["id", "note"]);
        assert_eq!(texts, ["\u{feff}id,note\r\n1,\"a\r\nb\"\r\n", "\u{feff}id,note\r\n2,c\r\n3,d\r\n"]);
        let (_, again) = parts("y.csv", csv, 16);
        assert_eq!(texts, again);
        assert_eq!(parts("x.csv", csv, 1000).1, [csv]);
        assert_eq!(parts("x.csv", "id\n", 1).1, ["id\n"], "a header alone is a part");
    }

    #[test]
    fn lines_of_json_are_cut_between_lines_and_the_rest_is_not_cut() {
        let lines = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}";
        assert_eq!(parts("x.jsonl", lines, 16).1, ["{\"a\":1}\n{\"a\":2}\n", "{\"a\":3}"]);
        for name in ["x.json", "x.parquet", "x", "x.csv.gz.txt"] {
            assert_eq!(parts(name, lines, 1).1, [lines], "{name}");
        }
        // UTF-16.
        assert!(parts("x.csv", "a\0,\0b\0\n\0", 1).0.rows.is_none());
    }

    #[test]
    fn a_part_says_which_rows_of_the_file_it_has() {
        let first = |name, text, most| {
            parts(name, text, most).0.parts.iter().map(|part| part.first_row).collect::<Vec<_>>()
        };
        assert_eq!(first("x.csv", "\nid,note\n1,\"a\nb\"\n\n2,c\n3,d\n4,e", 8), [1, 2, 4]);
        assert_eq!(first("x.jsonl", "{\"a\":1}\n \n{\"a\":2}\n{\"a\":3}\n", 9), [1, 2]);
        assert_eq!(first("x.json", "[{}, {}]", 1), [1]);
    }

    #[test]
    fn a_part_is_named_by_what_is_in_it() {
        let names =
            |text| parts("x.jsonl", text, 1).0.parts.into_iter().map(|part| part.name).collect::<Vec<_>>();
        let one = names("{\"a\":1}\n{\"a\":2}\n");
        assert_eq!(one, names("{\"a\":1}\n{\"a\":2}\n"));
        let other = names("{\"a\":1}\n{\"a\":3}\n");
        assert_eq!((&one[0], one.len()), (&other[0], 2));
        assert_ne!(one[1], other[1]);
    }

    #[test]
    fn what_is_no_file_of_rows_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("x.csv");
        fs::write(&empty, "").unwrap();
        for path in [empty.as_path(), directory.path(), Path::new("missing.csv")] {
            let opened = RowsFile::at(path).and_then(|rows| Input::open(&rows, 1, true));
            assert_eq!(opened.err().unwrap().exit, Exit::Usage, "{}", path.display());
        }
    }
}
