//! Uploaded files, read on the job's own thread.

use std::{
    collections::HashSet,
    fmt,
    io::{self, Cursor, Read},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arrow_schema::FieldRef;
use bytes::{Buf, Bytes};
use futures::{StreamExt, stream::Fuse};
use tokio::runtime::Handle;
use willcall_core::{
    Timestamp,
    input::MediaType,
    job::ProblemType,
    json::Object,
    ports::{
        BlobError, BlobKey, BlobStore, BlobStream, DataFile, DataFileEntry, DataFilesError, ExecuteError,
        InputFile,
    },
};

use super::{
    rows::{Gather, TextFile, TypedFile},
    totals::progress,
};
use crate::{
    attempt::Attempt,
    failure::{self, Outcome, fatal, invalid},
    read::{
        Declared, Encoding, FileError, Limits, ReadOptions, Recognised, Row, RowReader, TextFormat,
        Unrecognised,
    },
    scan::{Blocks, OpenFile, read_all},
    schema::plain_field,
};

/// How often a thread that waits for bytes looks whether it may go on.
const LOOK: Duration = Duration::from_millis(200);

/// Reads what clients uploaded.
pub(super) struct Uploads {
    pub(super) wait: Wait,
    pub(super) blobs: Arc<dyn BlobStore>,
    /// Bytes of a Parquet file that are held.
    pub(super) read_memory: usize,
}

/// Waits for the blob store on a thread that may block.
#[derive(Clone)]
pub(super) struct Wait {
    pub(super) handle: Handle,
    pub(super) attempt: Arc<Attempt>,
}

impl Wait {
    /// The outcome, unless the attempt is over first.
    fn on<T>(&self, future: impl Future<Output = T>) -> Outcome<T> {
        self.handle.block_on(async {
            let mut future = std::pin::pin!(future);
            loop {
                tokio::select! {
                    biased;
                    done = &mut future => return Ok(done),
                    () = tokio::time::sleep(LOOK) => {}
                }
                if self.attempt.is_over() {
                    return Err(ExecuteError::Cancelled);
                }
            }
        })
    }
}

impl Uploads {
    /// Reads the files in their order.
    pub(super) fn read(&self, files: &[InputFile], gather: &mut Gather) -> Outcome<()> {
        let all: u64 = files.iter().map(|file| file.bytes).sum();
        let mut before = 0;
        for file in files {
            self.check(file)?;
            let tell = |read: u64| progress(&self.wait.attempt, 0, before + read, all);
            let read = self.file(file, gather, &tell);
            // What is replaced while it is read looks damaged.
            self.check(file)?;
            read?;
            before += file.bytes;
        }
        Ok(())
    }

    /// Fails unless the file is the one that was pinned.
    fn check(&self, file: &InputFile) -> Outcome<()> {
        let head = self.wait.on(self.blobs.head(&file.key))?.map_err(failure::blob)?;
        match head {
            Some(head) if head.etag == file.etag && head.size == file.bytes => Ok(()),
            Some(_) => Err(changed(&file.name, "is not the file that arrived: it was uploaded again")),
            None => Err(changed(&file.name, "is gone")),
        }
    }

    fn file(&self, file: &InputFile, gather: &mut Gather, tell: &dyn Fn(u64)) -> Outcome<()> {
        let name = file.name.as_str();
        if file.bytes == 0 {
            return Err(invalid(format!("{name} is empty")));
        }
        let media_type: Option<MediaType> = file.media_type.parse().ok();
        if media_type == Some(MediaType::Parquet) {
            return self.parquet(file, gather, tell);
        }
        let stream = self.wait.on(self.blobs.stream(&file.key, None))?.map_err(|error| blob(name, error))?;
        let failed: Arc<Mutex<Option<ExecuteError>>> = Arc::default();
        let read: Arc<Mutex<u64>> = Arc::default();
        let input = Streamed {
            wait: self.wait.clone(),
            stream: stream.fuse(),
            name: name.to_owned(),
            ready: Bytes::new(),
            failed: Arc::clone(&failed),
            read: Arc::clone(&read),
        };
        let failure = |error: FileError| match failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(meant) => meant,
            None => invalid(format!("{name}: {error}")),
        };
        let declared = Declared::of_media_type(&file.media_type);
        let opened = RowReader::open(input, declared, ReadOptions::default());
        match opened {
            Err(FileError::Unrecognised(Unrecognised::Parquet { .. }))
                if media_type == Some(MediaType::Binary) =>
            {
                self.parquet(file, gather, tell)
            }
            Err(error) => Err(failure(error)),
            Ok(reader) => {
                let told = || tell(*read.lock().unwrap_or_else(PoisonError::into_inner));
                text(reader, name, gather, &failure, &told)
            }
        }
    }

    fn parquet(&self, file: &InputFile, gather: &mut Gather, tell: &dyn Fn(u64)) -> Outcome<()> {
        let entry = DataFileEntry {
            location: file.name.clone(),
            name: file.name.clone(),
            size: file.bytes,
            modified: Timestamp::from_millis(0),
            mark: file.etag.clone(),
        };
        let uploaded =
            Uploaded { wait: self.wait.clone(), blobs: Arc::clone(&self.blobs), key: file.key.clone() };
        let blocks = Arc::new(Blocks::new(self.read_memory));
        let read = || {
            let open = OpenFile::of_anybody(&entry, Arc::new(uploaded), &blocks)?;
            let fields: Vec<_> = open.schema().fields().iter().map(plain_field).collect();
            let rows = u64::try_from(open.parquet().file_metadata().num_rows()).unwrap_or(0);
            check_columns(&file.name, &fields)?;
            let mut typed = TypedFile::new(gather, &file.name, &fields)?;
            let (mut done, mut decoded) = (0, 0);
            read_all(&self.wait.attempt, &open, &fields, |columns, count| {
                done += count as u64;
                decoded += columns.iter().map(|column| column.get_array_memory_size() as u64).sum::<u64>();
                check_decoded(&file.name, decoded, file.bytes)?;
                tell((u128::from(file.bytes) * u128::from(done) / u128::from(rows.max(1))) as u64);
                typed.add(columns, count)
            })
        };
        // A data set that is damaged is the operator's; an upload is the client's.
        read().map_err(|error| match error {
            _ if self.wait.attempt.is_over() => ExecuteError::Cancelled,
            ExecuteError::Fatal { mut problem, source } if problem.kind == ProblemType::EngineFailed => {
                problem.kind = ProblemType::InvalidRequest;
                ExecuteError::Fatal { problem, source }
            }
            other => other,
        })
    }
}

/// Fails where a file of that many bytes has come to more than one may. Columns of few values are written in next to no bytes,
/// so how many times larger they are is looked at later than of text.
fn check_decoded(file: &str, decoded: u64, bytes: u64) -> Outcome<()> {
    const RATIO_FROM: u64 = 1 << 30;
    let Limits { text_bytes, ratio, .. } = Limits::default();
    if decoded > text_bytes {
        return Err(invalid(format!("{file} has more than {text_bytes} bytes, decoded, which is the limit")));
    }
    if decoded > RATIO_FROM && decoded / bytes.max(1) > ratio {
        return Err(invalid(format!(
            "the {bytes} bytes of {file} decode to {decoded} and more: at most {ratio} times as many are the limit"
        )));
    }
    Ok(())
}

/// Fails where a file with types has columns that one of text could not have.
fn check_columns(file: &str, fields: &[FieldRef]) -> Outcome<()> {
    let most = Limits::default().columns;
    if fields.len() > most {
        return Err(invalid(format!("{file} has {} columns: at most {most} are the limit", fields.len())));
    }
    let mut names = HashSet::new();
    match fields.iter().find(|field| !names.insert(field.name())) {
        Some(twice) => Err(invalid(format!("{file} names the column {:?} twice", twice.name()))),
        None => Ok(()),
    }
}

/// Reads rows that came with the request.
pub(super) fn items(items: &[Object], gather: &mut Gather) -> Outcome<()> {
    let mut lines = Vec::new();
    for item in items {
        lines.extend_from_slice(item.text().as_bytes());
        lines.push(b'\n');
    }
    let recognised = Recognised { encoding: Encoding::None, format: TextFormat::Jsonl };
    let failure = |error: FileError| invalid(format!("items: {error}"));
    let reader = RowReader::new(Cursor::new(lines), recognised, ReadOptions::default()).map_err(failure)?;
    text(reader, "items", gather, &failure, &|| {})
}

/// Reads rows of text.
fn text(
    mut reader: RowReader,
    name: &str,
    gather: &mut Gather,
    failure: &dyn Fn(FileError) -> ExecuteError,
    tell: &dyn Fn(),
) -> Outcome<()> {
    let format = reader.recognised().format;
    let mut file = TextFile::new(gather, name, format.is_json(), reader.columns())?;
    let mut row = Row::default();
    while let Some(read) = reader.next_row(&mut row).map_err(failure)? {
        file.add(&row, reader.columns(), read.as_ref().err())?;
        if reader.rows().is_multiple_of(1024) {
            tell();
        }
    }
    if reader.rows() == 0 && format == TextFormat::Jsonl {
        return Err(invalid(format!("{name} is empty")));
    }
    file.finish(reader.columns())
}

fn changed(file: &str, what: &str) -> ExecuteError {
    fatal(ProblemType::Conflict, format!("the upload changed while it was read: {file} {what}"))
}

fn blob(file: &str, error: BlobError) -> ExecuteError {
    match error {
        BlobError::Missing(_) => changed(file, "is gone"),
        BlobError::Full(_) | BlobError::Unavailable(_) => {
            failure::transient(format!("{file} cannot be read now"), error)
        }
    }
}

/// A blob read from start to end.
struct Streamed {
    wait: Wait,
    /// Readers ask again behind the end, which not every stream withstands.
    stream: Fuse<BlobStream>,
    name: String,
    ready: Bytes,
    /// Why no more bytes come: the reader's errors do not keep it.
    failed: Arc<Mutex<Option<ExecuteError>>>,
    read: Arc<Mutex<u64>>,
}

impl Streamed {
    fn next(&mut self) -> Outcome<Option<Bytes>> {
        let Some(next) = self.wait.on(self.stream.next())? else { return Ok(None) };
        self.wait.attempt.check()?;
        next.map(Some).map_err(|error| blob(&self.name, error))
    }
}

impl Read for Streamed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() {
            match self.next() {
                Ok(Some(bytes)) => self.ready = bytes,
                Ok(None) => return Ok(0),
                Err(error) => {
                    let told = io::Error::other(error.to_string());
                    *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return Err(told);
                }
            }
        }
        let length = self.ready.len().min(buffer.len());
        self.ready.copy_to_slice(&mut buffer[..length]);
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) += length as u64;
        Ok(length)
    }
}

/// A blob read by position.
struct Uploaded {
    wait: Wait,
    blobs: Arc<dyn BlobStore>,
    key: BlobKey,
}

impl fmt::Debug for Uploaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploaded").field("key", &self.key).finish_non_exhaustive()
    }
}

impl DataFile for Uploaded {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DataFilesError> {
        let end = position + buffer.len() as u64;
        let bytes = self.read_ranges(std::slice::from_ref(&(position..end)))?.remove(0);
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, DataFilesError> {
        let read = |range: &Range<u64>| {
            let bytes = self.wait.on(self.blobs.read(&self.key, range.clone()));
            let bytes = bytes.map_err(|error| DataFilesError::Unavailable(error.into()))?;
            bytes.map_err(|error| match error {
                BlobError::Missing(_) => DataFilesError::Missing,
                BlobError::Full(_) | BlobError::Unavailable(_) => DataFilesError::Unavailable(error.into()),
            })
        };
        ranges.iter().map(read).collect()
    }

    fn is_far(&self) -> bool {
        true
    }

    /// Whoever reads the upload looks at its ETag before and after.
    fn check(&self) -> Result<(), DataFilesError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_may_decode_to_much_and_not_to_any_amount() {
        for (decoded, bytes, fits) in [
            (1 << 30, 1_000, true),
            ((1 << 30) + 1, 1_000, false),
            (40 << 30, 100 << 20, true),
            (64 << 30, 5 << 30, true),
            ((64 << 30) + 1, 5 << 30, false),
            (2 << 30, 0, false),
        ] {
            assert_eq!(check_decoded("a.parquet", decoded, bytes).is_ok(), fits, "{decoded} of {bytes}");
        }
    }
}
