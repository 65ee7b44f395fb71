//! Data files on this host's own disk.

use std::{
    fs::{self, File, Metadata},
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use willcall_core::{
    Timestamp,
    catalog::{DatasetSource, FileFormat, Partition, Place},
    ports::{DataFile, DataFileEntry, DataFiles, DataFilesError},
};

/// Directories below each other that are looked into: a link that leads back would have no end.
const DEEPEST: usize = 16;

/// The files of data sets at absolute paths. The mark of a file is its inode and its time in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDataFiles;

#[async_trait]
impl DataFiles for LocalDataFiles {
    async fn list(&self, source: &DatasetSource) -> Result<Vec<DataFileEntry>, DataFilesError> {
        let location = source.location.clone();
        let listed = tokio::task::spawn_blocking(move || list(path(&location)?)).await;
        listed.map_err(|stopped| DataFilesError::Unavailable(stopped.into()))?
    }

    fn open(&self, entry: &DataFileEntry) -> Result<Arc<dyn DataFile>, DataFilesError> {
        let file = File::open(path(&entry.location)?).map_err(failed)?;
        let file = LocalDataFile { file, entry: entry.clone() };
        file.check()?;
        Ok(Arc::new(file))
    }
}

/// A file that is read by position, so that threads do not move each other's place in it.
#[derive(Debug)]
struct LocalDataFile {
    file: File,
    entry: DataFileEntry,
}

impl DataFile for LocalDataFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DataFilesError> {
        loop {
            match self.file.read_at(buffer, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| DataFilesError::Unavailable(error.into())),
            }
        }
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, DataFilesError> {
        let read = |range: &Range<u64>| {
            let length = range.end.checked_sub(range.start).filter(|_| range.end <= self.entry.size);
            let length = length.and_then(|length| usize::try_from(length).ok()).ok_or_else(past_the_end)?;
            let mut bytes = vec![0; length];
            self.file.read_exact_at(&mut bytes, range.start).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => DataFilesError::Changed,
                _ => DataFilesError::Unavailable(error.into()),
            })?;
            Ok(bytes.into())
        };
        ranges.iter().map(read).collect()
    }

    fn is_far(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), DataFilesError> {
        let metadata = self.file.metadata().map_err(failed)?;
        if metadata.size() == self.entry.size && mark(&metadata) == self.entry.mark {
            Ok(())
        } else {
            Err(DataFilesError::Changed)
        }
    }
}

fn path(location: &str) -> Result<&Path, DataFilesError> {
    match Place::of(location) {
        Place::Disk(path) => Ok(path),
        Place::S3 { .. } => {
            Err(DataFilesError::Unreadable("this host reads data from its own disk, not from S3".into()))
        }
    }
}

fn list(location: &Path) -> Result<Vec<DataFileEntry>, DataFilesError> {
    let metadata = fs::metadata(location).map_err(failed)?;
    if !metadata.is_dir() {
        let name = location.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![entry(location, name, &metadata)]);
    }
    let mut files = Vec::new();
    gather(location, "", 0, &mut files)?;
    DataFileEntry::of_directory(files)
}

/// Adds the files of a directory, and of those below it that tell a value. `above` is what stands before their names.
fn gather(
    directory: &Path,
    above: &str,
    depth: usize,
    files: &mut Vec<DataFileEntry>,
) -> Result<(), DataFilesError> {
    if depth > DEEPEST {
        let detail = format!("{}: directories lie in each other too deep", directory.display());
        return Err(DataFilesError::Unreadable(detail.into()));
    }
    for found in fs::read_dir(directory).map_err(failed)? {
        let found = found.map_err(failed)?;
        let name = found.file_name().to_string_lossy().into_owned();
        let (is_file, is_partition) =
            (FileFormat::of_name(&name).is_some(), Partition::of_directory(&name).is_some());
        if name.starts_with(['.', '_']) || !is_file && !is_partition {
            continue;
        }
        match fs::metadata(found.path()) {
            Ok(metadata) if metadata.is_file() && is_file => {
                files.push(entry(&found.path(), format!("{above}{name}"), &metadata));
            }
            Ok(metadata) if metadata.is_dir() && is_partition => {
                gather(&found.path(), &format!("{above}{name}/"), depth + 1, files)?;
            }
            Ok(_) => {}
            // Replaced or removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

fn entry(path: &Path, name: String, metadata: &Metadata) -> DataFileEntry {
    let millis = metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000);
    DataFileEntry {
        location: path.to_string_lossy().into_owned(),
        name,
        size: metadata.size(),
        modified: Timestamp::from_millis(millis),
        mark: mark(metadata),
    }
}

fn mark(metadata: &Metadata) -> String {
    local_mark(
        metadata.ino(),
        i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
    )
}

/// The mark of a file of this disk.
pub(crate) fn local_mark(inode: u64, modified_ns: i128) -> String {
    format!("{inode}-{modified_ns}")
}

fn past_the_end() -> DataFilesError {
    DataFilesError::Unreadable("a range lies past the end of the file".into())
}

fn failed(error: io::Error) -> DataFilesError {
    match error.kind() {
        io::ErrorKind::NotFound => DataFilesError::Missing,
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::InvalidInput => DataFilesError::Unreadable(error.into()),
        _ => DataFilesError::Unavailable(error.into()),
    }
}
