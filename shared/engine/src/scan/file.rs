//! One Parquet file, open: its metadata, and reads that many threads make through one handle.

use std::{
    io::{BufReader, Read},
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
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
use willcall_core::ports::{DataFile, DataFileEntry, DataFilesError, ExecuteError};

use super::{
    far::{Blocks, FarFile},
    partition::Constants,
};
use crate::{
    failure::{self, Outcome},
    schema::plain_schema,
};

/// The bytes at a far file's end that are fetched first: most footers, with their indexes of pages, are smaller.
const FOOTER: u64 = 128 << 10;

/// Offset indexes of a far file that are larger are not worth their fetching.
const FAR_INDEXES: u64 = 4 << 20;

/// A file as the decoder reads it: a near one directly, a far one through the blocks that were fetched of it.
#[derive(Debug, Clone)]
pub(crate) struct SharedFile {
    file: Arc<dyn DataFile>,
    size: u64,
    far: Option<Arc<FarFile>>,
    /// The first read that failed: the decoder's errors do not keep why.
    failed: Arc<OnceLock<Arc<DataFilesError>>>,
}

impl SharedFile {
    /// The open file of that entry; `blocks` keeps what is fetched of it if it is far.
    pub(crate) fn new(entry: &DataFileEntry, file: Arc<dyn DataFile>, blocks: &Arc<Blocks>) -> Self {
        let far =
            file.is_far().then(|| Arc::new(FarFile::new(Arc::clone(&file), entry.size, Arc::clone(blocks))));
        Self { file, size: entry.size, far, failed: Arc::default() }
    }

    /// Why a read failed, if one did.
    pub(crate) fn failed(&self) -> Option<&Arc<DataFilesError>> {
        self.failed.get()
    }

    /// The file as a far one, if it is.
    pub(crate) fn far(&self) -> Option<&FarFile> {
        self.far.as_deref()
    }

    /// Reads from `position` on, as many bytes as come in one go.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize> {
        let read = match &self.far {
            None => self.file.read_at(buffer, position),
            Some(far) => far.read_at(buffer, position),
        };
        read.map_err(|error| self.note(error))
    }

    /// Fetches what is about to be read of a far file.
    pub(crate) fn fetch(&self, ranges: &[Range<u64>]) -> Result<()> {
        match &self.far {
            None => Ok(()),
            Some(far) => far.fetch(ranges).map_err(|error| self.note(error)),
        }
    }

    fn note(&self, error: DataFilesError) -> ParquetError {
        let error = self.failed.get_or_init(|| Arc::new(error));
        ParquetError::External(Arc::clone(error).into())
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
        if let Some(far) = &self.far {
            return far.bytes(start, length).map_err(|error| self.note(error));
        }
        let mut bytes = vec![0; length];
        let mut read = 0;
        while read < length {
            match self.read_at(&mut bytes[read..], start + read as u64)? {
                0 => return Err(ParquetError::EOF("the file ends before its end".into())),
                more => read += more,
            }
        }
        Ok(bytes.into())
    }
}

/// A place in a [`SharedFile`].
#[derive(Debug)]
pub(crate) struct Cursor {
    file: SharedFile,
    position: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.position).map_err(std::io::Error::other)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// A file with its metadata read, in the types in which the engine works where its decoder can give them.
pub(crate) struct OpenFile {
    pub(crate) entry: DataFileEntry,
    pub(crate) reader: SharedFile,
    pub(crate) metadata: ArrowReaderMetadata,
    /// What its directories tell.
    pub(super) constants: Arc<Constants>,
}

impl OpenFile {
    pub(crate) fn new(
        entry: &DataFileEntry,
        file: Arc<dyn DataFile>,
        blocks: &Arc<Blocks>,
        constants: Arc<Constants>,
    ) -> Outcome<Self> {
        let reader = SharedFile::new(entry, file, blocks);
        let metadata = load(&reader).map_err(|error| failure(entry, &reader, error))?;
        let metadata = with_offset_index(&reader, metadata);
        Ok(Self::with(entry, reader, metadata, constants))
    }

    /// A file of anybody: its pages lie one behind the other, and nothing beside them says where.
    pub(crate) fn of_anybody(
        entry: &DataFileEntry,
        file: Arc<dyn DataFile>,
        blocks: &Arc<Blocks>,
    ) -> Outcome<Self> {
        let reader = SharedFile::new(entry, file, blocks);
        let metadata = load(&reader).map_err(|error| failure(entry, &reader, error))?;
        Ok(Self::with(entry, reader, metadata, Arc::default()))
    }

    fn with(
        entry: &DataFileEntry,
        reader: SharedFile,
        metadata: ArrowReaderMetadata,
        constants: Arc<Constants>,
    ) -> Self {
        if let Some(far) = reader.far() {
            far.set_chunks(metadata.metadata());
        }
        Self { entry: entry.clone(), reader, metadata, constants }
    }

    /// What a failure to decode this file means.
    pub(crate) fn failure(&self, error: impl Into<ParquetError>) -> ExecuteError {
        failure(&self.entry, &self.reader, error.into())
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
        self.reader.file.check().map_err(|error| failure::read(&self.entry.name, error))
    }
}

/// What a failure to decode means: a read that failed is behind it, or the file is damaged.
fn failure(entry: &DataFileEntry, reader: &SharedFile, error: ParquetError) -> ExecuteError {
    match reader.failed() {
        Some(failed) => failure::read(&entry.name, Arc::clone(failed)),
        // What is written while it is read looks damaged.
        None => match reader.file.check() {
            Err(changed) => failure::read(&entry.name, changed),
            Ok(()) => failure::decode(&entry.name, error),
        },
    }
}

/// Reads a file's footer.
pub(crate) fn load(reader: &SharedFile) -> Result<ArrowReaderMetadata> {
    // One trip for most footers, instead of one for their length and one for the rest.
    let footer = reader.size.saturating_sub(FOOTER)..reader.size;
    reader.fetch(std::slice::from_ref(&footer))?;
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

/// The bytes of all offset indexes.
fn indexes_size(file: &ParquetMetaData) -> u64 {
    let columns = file.row_groups().iter().flat_map(|group| group.columns());
    columns.filter_map(|column| u64::try_from(column.offset_index_length()?).ok()).sum()
}

/// Adds the offset index where there are lists or maps, as it alone tells where their records lie, and to far files,
/// of which fewer pages must be fetched with it. A file whose index is missing or damaged is read without.
fn with_offset_index(reader: &SharedFile, metadata: ArrowReaderMetadata) -> ArrowReaderMetadata {
    let file = metadata.metadata();
    let flat = file.file_metadata().schema_descr().columns().iter().all(|column| column.max_rep_level() == 0);
    if flat && (reader.far().is_none() || indexes_size(file) > FAR_INDEXES) {
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
