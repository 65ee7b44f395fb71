//! Where the files of data sets lie.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    catalog::{DatasetSource, FileFormat, Partition, Place},
    error::Source,
};

/// Finds the files of data sets and opens them for reading, each as it was when it was found.
#[async_trait]
pub trait DataFiles: Send + Sync {
    /// The files at a location as they are now, sorted by name: the file that it names; or those files of the directory
    /// that it names which are a data set's ([`FileFormat::of_directory`]),
    /// its own and those of directories below it that tell a value
    /// ([`Partition`]), whose names are paths then. Names that begin with `.` or `_` are
    /// some writer's own and passed over in a directory. [`DataFilesError::Missing`] where that leaves nothing.
    async fn list(&self, source: &DatasetSource) -> Result<Vec<DataFileEntry>, DataFilesError>;

    /// Opens a file of a list. Blocks the thread, as everything of the open file does. Whether the file is still the
    /// one that was listed may be told here, or by what is read of it.
    fn open(&self, entry: &DataFileEntry) -> Result<Arc<dyn DataFile>, DataFilesError>;
}

/// A file as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFileEntry {
    /// Its own location. For the operator and for [`DataFiles::open`]; no client sees it.
    pub location: String,
    /// Its name in the data set; all of its location that a client may see.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Timestamp,
    /// Changes when the file is written or replaced.
    pub mark: String,
}

impl DataFileEntry {
    /// Whether the name of something below a directory, a path where it lies deeper, may be that of a data set's file.
    pub fn is_candidate(name: &str) -> bool {
        let file = name.rsplit('/').next().unwrap_or_default();
        !file.starts_with(['.', '_'])
            && FileFormat::of_name(file).is_some()
            && Partition::of_file(name).is_some()
    }

    /// Of such files, those that are the data set's, as [`DataFiles::list`] tells them.
    pub fn of_directory(mut candidates: Vec<Self>) -> Result<Vec<Self>, DataFilesError> {
        FileFormat::of_directory(&mut candidates, |file| &file.name);
        candidates.sort_by(|a, b| a.name.cmp(&b.name));
        if candidates.is_empty() { Err(DataFilesError::Missing) } else { Ok(candidates) }
    }
}

/// An open file, read by position by many threads at once. Every call blocks its thread until it is done: it belongs
/// on a plain thread or on one for blocking work, never on one that drives an async runtime.
pub trait DataFile: Send + Sync + fmt::Debug {
    /// Reads bytes from `position` on, as many as come in one go; none past the end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DataFilesError>;

    /// The bytes of each range, several at once where that is quicker. A range that does not lie within the file is
    /// an error.
    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, DataFilesError>;

    /// Whether each read takes a trip to somewhere else: whoever reads asks ahead for much at once.
    fn is_far(&self) -> bool;

    /// Fails with [`DataFilesError::Changed`] unless everything read so far is of the file that was listed.
    fn check(&self) -> Result<(), DataFilesError>;
}

/// A file of a data set cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DataFilesError {
    /// There is nothing of that name.
    #[error("there is no such file")]
    Missing,
    /// It is not the file that was listed.
    #[error("the file is not what it was when it was listed")]
    Changed,
    /// It cannot be read, and will not be while nobody mends it: access is denied, or it is no file.
    #[error("the file cannot be read")]
    Unreadable(#[source] Source),
    /// It cannot be read now; trying again may help.
    #[error("the file cannot be read now")]
    Unavailable(#[source] Source),
}

/// The files of a host that serves both its own disk and S3.
#[derive(Clone)]
pub struct DataFilesByPlace {
    /// Serves absolute paths.
    pub disk: Arc<dyn DataFiles>,
    /// Serves `s3://bucket/key`.
    pub s3: Arc<dyn DataFiles>,
}

impl DataFilesByPlace {
    fn at(&self, location: &str) -> &Arc<dyn DataFiles> {
        match Place::of(location) {
            Place::Disk(_) => &self.disk,
            Place::S3 { .. } => &self.s3,
        }
    }
}

#[async_trait]
impl DataFiles for DataFilesByPlace {
    async fn list(&self, source: &DatasetSource) -> Result<Vec<DataFileEntry>, DataFilesError> {
        self.at(&source.location).list(source).await
    }

    fn open(&self, entry: &DataFileEntry) -> Result<Arc<dyn DataFile>, DataFilesError> {
        self.at(&entry.location).open(entry)
    }
}
