//! One Parquet file, open: its metadata, and reads that many threads make through one handle.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    errors::{ParquetError, Result},
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
        reader::{ChunkReader, Length},
    },
};
use willcall_core::ports::ExecuteError;

use crate::{
    failure::{self, Outcome},
    schema::plain_schema,
    snapshot::FileEntry,
};

/// A file that is read by position, so that threads do not move each other's place in it.
#[derive(Debug, Clone)]
pub(crate) struct SharedFile {
    file: Arc<File>,
    size: u64,
    /// Whether the operating system failed a read: the decoder's errors do not keep that.
    failed: Arc<AtomicBool>,
}

impl SharedFile {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), size, failed: Arc::default() })
    }
}

impl Length for SharedFile {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for SharedFile {
    type T = BufReader<Cursor>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::new(Cursor { file: self.clone(), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // A damaged footer can ask for any amount.
        if start.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(ParquetError::EOF("a range lies past the end of the file".into()));
        }
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, start);
        self.note(&read);
        read?;
        Ok(bytes.into())
    }
}

impl SharedFile {
    fn note<T>(&self, read: &io::Result<T>) {
        if read.as_ref().is_err_and(|error| error.raw_os_error().is_some()) {
            self.failed.store(true, Ordering::Relaxed);
        }
    }
}

/// A place in a [`SharedFile`].
#[derive(Debug)]
pub(crate) struct Cursor {
    file: SharedFile,
    position: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.file.read_at(buffer, self.position);
        self.file.note(&read);
        let read = read?;
        self.position += read as u64;
        Ok(read)
    }
}

/// A file with its metadata read, in the types in which the engine works where its decoder can give them.
pub(crate) struct OpenFile {
    pub(crate) entry: FileEntry,
    pub(crate) reader: SharedFile,
    pub(crate) metadata: ArrowReaderMetadata,
}

impl OpenFile {
    pub(crate) fn new(entry: &FileEntry, file: File) -> Outcome<Self> {
        let reader = SharedFile::new(file).map_err(|error| failure::read(&entry.name, error))?;
        let metadata = load(&reader).map_err(|error| failure::decode(&entry.name, error))?;
        let metadata = with_offset_index(&reader, metadata);
        Ok(Self { entry: entry.clone(), reader, metadata })
    }

    /// What a failure to decode this file means.
    pub(crate) fn failure(&self, error: impl Into<ParquetError>) -> ExecuteError {
        let (name, error) = (&self.entry.name, error.into());
        if self.reader.failed.load(Ordering::Relaxed) {
            failure::transient(format!("{name} cannot be read now"), error)
        } else {
            failure::decode(name, error)
        }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    pub(crate) fn parquet(&self) -> &Arc<ParquetMetaData> {
        self.metadata.metadata()
    }

    /// Whether it is known how many records each page of a column has.
    pub(crate) fn has_offset_index(&self, row_group: usize, column: usize) -> bool {
        let index = self.parquet().offset_index().and_then(|groups| groups.get(row_group)?.get(column));
        index.is_some_and(|index| !index.page_locations().is_empty())
    }

    /// Fails unless the file is still what it was when it was listed: called after reading, it vouches for what was
    /// read.
    pub(crate) fn check(&self) -> Outcome<()> {
        self.entry.check(&self.reader.file)
    }
}

/// Reads a file's footer.
pub(crate) fn load(reader: &SharedFile) -> Result<ArrowReaderMetadata> {
    let own = ArrowReaderMetadata::load(reader, ArrowReaderOptions::new())?;
    let plain = plain_schema(own.schema());
    if &plain == own.schema().as_ref() {
        return Ok(own);
    }
    let options = ArrowReaderOptions::new().with_schema(Arc::new(plain));
    ArrowReaderMetadata::try_new(Arc::clone(own.metadata()), options).or_else(|_| {
        // Parquet's own types are plain; what Arrow's schema says beyond them is lost.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        ArrowReaderMetadata::try_new(Arc::clone(own.metadata()), options)
    })
}

/// Adds the offset index where there are lists or maps: it alone tells where their records lie. A file whose index
/// is missing or damaged is read without.
fn with_offset_index(reader: &SharedFile, metadata: ArrowReaderMetadata) -> ArrowReaderMetadata {
    let file = metadata.metadata();
    if file.file_metadata().schema_descr().columns().iter().all(|column| column.max_rep_level() == 0) {
        return metadata;
    }
    let add = || {
        let mut indexes = ParquetMetaDataReader::new_with_metadata(ParquetMetaData::clone(file))
            .with_offset_index_policy(PageIndexPolicy::Optional);
        indexes.read_page_indexes(reader)?;
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(metadata.schema()));
        ArrowReaderMetadata::try_new(Arc::new(indexes.finish()?), options)
    };
    match catch_unwind(AssertUnwindSafe(add)) {
        Ok(Ok(indexed)) => indexed,
        _ => metadata,
    }
}
