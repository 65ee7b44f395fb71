//! Files of text in a scan: each is read once, from its start to its end, as one unit.

use std::{
    collections::VecDeque,
    io::{self, Read},
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, FieldRef, Schema};
use bytes::{Buf, Bytes};
use willcall_core::{
    catalog::FileFormat,
    ports::{DataFile, DataFileEntry, DataFilesError, ExecuteError},
};

use super::partition::Constants;
use crate::{
    attempt::Attempt,
    failure::{self, Outcome, defect},
    read::{BatchBuilder, Declared, FileError, Limits, ReadOptions, Row, RowReader},
};

/// The bytes of one read.
const PIECE: u64 = 1 << 20;

/// The text that a batch should have.
const BATCH_TEXT: usize = 2 << 20;

/// The format of a data set's files where they are text, by their names. A file of no known ending is Parquet. The error
/// names two files of different formats.
pub(crate) fn text_format<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Option<FileFormat>, String> {
    let mut first: Option<(&str, FileFormat)> = None;
    for name in names {
        let format = FileFormat::of_name(name).unwrap_or(FileFormat::Parquet);
        match first {
            None => first = Some((name, format)),
            Some((other, known)) if known != format => {
                return Err(format!(
                    "the files of a data set have one format: {other:?} is {known}, and {name:?} is {format}"
                ));
            }
            Some(_) => {}
        }
    }
    Ok(first.map(|(_, format)| format).filter(|format| *format != FileFormat::Parquet))
}

/// A file of text.
pub(crate) struct TextFile {
    pub(crate) entry: DataFileEntry,
    pub(crate) file: Arc<dyn DataFile>,
    /// The bytes of a far file that are fetched ahead.
    pub(crate) window: u64,
    /// What its directories tell.
    pub(super) constants: Arc<Constants>,
}

/// Why a file of text could not be read.
pub(crate) enum TextError {
    /// Its bytes cannot be had.
    Read(Arc<DataFilesError>),
    /// Something in it cannot be read; the words name the place.
    Malformed(String),
}

impl TextFile {
    /// The open file of that entry, to be inspected.
    pub(crate) fn new(entry: &DataFileEntry, file: Arc<dyn DataFile>) -> Self {
        Self { entry: entry.clone(), file, window: 4 * PIECE, constants: Arc::default() }
    }

    /// Opens the file's rows.
    pub(crate) fn rows(&self) -> Result<TextRows<'_>, TextError> {
        let (failed, read): (Arc<OnceLock<Arc<DataFilesError>>>, Arc<AtomicU64>) = Default::default();
        let input = Input {
            file: Arc::clone(&self.file),
            size: self.entry.size,
            position: 0,
            window: if self.file.is_far() { self.window.clamp(PIECE, 4 * PIECE) } else { PIECE },
            ready: VecDeque::new(),
            failed: Arc::clone(&failed),
            read: Arc::clone(&read),
        };
        let options = ReadOptions { limits: Limits::trusting(), delimiter: None };
        match RowReader::open(input, Declared::of_name(&self.entry.name), options) {
            Ok(reader) => Ok(TextRows { reader, failed, read, of: self }),
            Err(error) => Err(self.meaning(error, &failed)),
        }
    }

    /// Hands on all rows in batches of these fields. Begins no further batch after `until`: answers how many bytes of the
    /// file it had read by then, where it did not come to the end.
    pub(super) fn read(
        &self,
        attempt: &Attempt,
        fields: &[FieldRef],
        batch_rows: usize,
        until: Option<Instant>,
        mut each: impl FnMut(RecordBatch) -> Outcome<()>,
    ) -> Outcome<Option<u64>> {
        let failed = |error| failure(&self.entry.name, error);
        let own: Vec<FieldRef> =
            fields.iter().filter(|field| !self.constants.tell(field.name())).cloned().collect();
        let mut builder = BatchBuilder::new(&Schema::new(own)).map_err(defect)?;
        let mut rows = self.rows().map_err(failed)?;
        let (mut row, mut text) = (Row::default(), 0);
        let left_at = loop {
            let more = rows.next(&mut row).map_err(failed)?;
            if more {
                builder
                    .append(&row, rows.reader.columns())
                    .map_err(|error| failure::malformed(&self.entry.name, &error.to_string()))?;
                text += row.text_bytes();
            }
            if builder.rows() >= batch_rows || text >= BATCH_TEXT || !more && builder.rows() > 0 {
                attempt.check()?;
                let batch = builder.finish().map_err(defect)?;
                each(self.with_constants(batch, fields)?)?;
                text = 0;
            }
            if !more {
                break None;
            }
            if builder.rows() == 0 && until.is_some_and(|until| Instant::now() >= until) {
                break Some(rows.read.load(Ordering::Relaxed));
            }
        };
        self.file.check().map_err(|error| failure::read(&self.entry.name, error))?;
        Ok(left_at)
    }

    /// The batch with the columns in the order of `fields`, those that directories tell among them.
    fn with_constants(&self, batch: RecordBatch, fields: &[FieldRef]) -> Outcome<RecordBatch> {
        if batch.num_columns() == fields.len() {
            return Ok(batch);
        }
        let rows = batch.num_rows();
        let column = |field: &FieldRef| {
            let told = self.constants.column(field.name(), rows);
            told.or_else(|| batch.column_by_name(field.name()).cloned())
                .ok_or_else(|| defect("a column is missing"))
        };
        let columns = fields.iter().map(column).collect::<Outcome<_>>()?;
        let nullable = |field: &FieldRef| Field::clone(field).with_nullable(true);
        let schema = Arc::new(Schema::new(fields.iter().map(nullable).collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(defect)
    }

    fn meaning(&self, error: FileError, failed: &OnceLock<Arc<DataFilesError>>) -> TextError {
        if let Some(failed) = failed.get() {
            return TextError::Read(Arc::clone(failed));
        }
        self.malformed(error.to_string())
    }

    /// What is written while it is read looks damaged.
    fn malformed(&self, detail: String) -> TextError {
        match self.file.check() {
            Ok(()) => TextError::Malformed(detail),
            Err(changed) => TextError::Read(Arc::new(changed)),
        }
    }
}

fn failure(file: &str, error: TextError) -> ExecuteError {
    match error {
        TextError::Read(error) => failure::read(file, error),
        TextError::Malformed(detail) => failure::malformed(file, &detail),
    }
}

/// The rows of a file of which none may be in error.
pub(crate) struct TextRows<'a> {
    pub(crate) reader: RowReader,
    failed: Arc<OnceLock<Arc<DataFilesError>>>,
    /// The bytes of the file that the reader has taken.
    read: Arc<AtomicU64>,
    of: &'a TextFile,
}

impl TextRows<'_> {
    /// Reads the next row; false where there is none.
    pub(crate) fn next(&mut self, row: &mut Row) -> Result<bool, TextError> {
        match self.reader.next_row(row) {
            Ok(Some(Ok(()))) => Ok(true),
            Ok(None) => Ok(false),
            Ok(Some(Err(error))) => Err(self.of.malformed(error.to_string())),
            Err(error) => Err(self.of.meaning(error, &self.failed)),
        }
    }
}

/// The bytes of a file from start to end.
struct Input {
    file: Arc<dyn DataFile>,
    size: u64,
    position: u64,
    window: u64,
    ready: VecDeque<Bytes>,
    /// The read that failed: an error on its way through the readers does not keep its type.
    failed: Arc<OnceLock<Arc<DataFilesError>>>,
    read: Arc<AtomicU64>,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(first) = self.ready.front_mut() {
            if first.is_empty() {
                self.ready.pop_front();
                continue;
            }
            let length = first.len().min(buffer.len());
            first.copy_to_slice(&mut buffer[..length]);
            self.read.fetch_add(length as u64, Ordering::Relaxed);
            return Ok(length);
        }
        let end = self.size.min(self.position + self.window);
        if self.position == end || buffer.is_empty() {
            return Ok(0);
        }
        let starts = (self.position..end).step_by(PIECE as usize);
        let ranges: Vec<Range<u64>> = starts.map(|start| start..end.min(start + PIECE)).collect();
        match self.file.read_ranges(&ranges) {
            Ok(pieces) => self.ready.extend(pieces),
            Err(error) => {
                let error = Arc::clone(self.failed.get_or_init(|| Arc::new(error)));
                return Err(io::Error::other(error));
            }
        }
        self.position = end;
        self.read(buffer)
    }
}
