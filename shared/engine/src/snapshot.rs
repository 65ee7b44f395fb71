//! The files of a data set: found, stored for the attempts to come, and opened only while they are the same.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use willcall_core::{
    JobRef,
    job::ProblemType,
    ports::{BlobError, BlobKey, BlobStore, PutNew},
};

use crate::failure::{self, Outcome, changed, fatal, fatal_from};

const SCHEMA: u32 = 1;

/// The files that every attempt of a job reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    schema: u32,
    location: PathBuf,
    pub(crate) version: String,
    pub(crate) files: Vec<FileEntry>,
}

/// A file as it was when the list was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Its name below the location; the only thing of its path that a client may see.
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) modified_ns: i128,
    pub(crate) inode: u64,
}

impl FileEntry {
    fn new(name: String, metadata: &Metadata) -> Self {
        Self {
            name,
            size: metadata.size(),
            modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// Fails with a conflict unless the open file is still the one that the list names.
    pub(crate) fn check(&self, file: &File) -> Outcome<()> {
        let metadata = file.metadata().map_err(|error| failure::read(&self.name, error))?;
        if Self::new(self.name.clone(), &metadata) == *self {
            Ok(())
        } else {
            Err(changed(&self.name, "is not the file that it was"))
        }
    }
}

impl Snapshot {
    /// The files at a location as they are now, sorted by name. A directory gives its own Parquet files, not those
    /// below; names that begin with `.` or `_` are some writer's own.
    pub(crate) fn list(location: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(location)?;
        let mut files = Vec::new();
        if metadata.is_dir() {
            for entry in fs::read_dir(location)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with(['.', '_']) || !name.ends_with(".parquet") {
                    continue;
                }
                let metadata = match fs::metadata(entry.path()) {
                    Ok(metadata) => metadata,
                    // Replaced or removed since it was listed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                if metadata.is_file() {
                    files.push(FileEntry::new(name, &metadata));
                }
            }
            files.sort_by(|a, b| a.name.cmp(&b.name));
            if files.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the directory has no .parquet file"));
            }
        } else {
            let name = location.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(FileEntry::new(name, &metadata));
        }
        let mut hash = Sha256::new();
        for file in &files {
            let mark = (&file.name, file.size, file.modified_ns, file.inode);
            hash.update(format!("{mark:?}\n"));
        }
        let version = hex::encode(hash.finalize());
        Ok(Self { schema: SCHEMA, location: location.to_owned(), version, files })
    }

    /// The list that the job's first attempt stored, made now where this is the first.
    pub(crate) async fn of_job(
        job: &JobRef,
        dataset: &str,
        location: &Path,
        blobs: &Arc<dyn BlobStore>,
    ) -> Outcome<Self> {
        let key = BlobKey::Snapshot(job.clone());
        if blobs.head(&key).await.map_err(failure::blob)?.is_none() {
            let listed = {
                let location = location.to_owned();
                tokio::task::spawn_blocking(move || Self::list(&location)).await.map_err(failure::defect)?
            };
            let listed = listed.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    fatal_from(ProblemType::Conflict, format!("the data set {dataset} is gone"), error)
                }
                _ => failure::read(dataset, error),
            })?;
            let bytes = serde_json::to_vec(&listed).map_err(failure::defect)?;
            // Another attempt may have been faster: the stored list is the one that counts.
            let kept = blobs.put_new(&key, "application/json", Bytes::from(bytes)).await;
            if kept.map_err(failure::blob)? == PutNew::Created {
                return Ok(listed);
            }
        }
        let missing = || failure::blob(BlobError::Missing(key.to_string()));
        let head = blobs.head(&key).await.map_err(failure::blob)?.ok_or_else(missing)?;
        let bytes = blobs.read(&key, 0..head.size).await.map_err(failure::blob)?;
        let stored: Self = serde_json::from_slice(&bytes).map_err(failure::defect)?;
        if stored.schema > SCHEMA {
            return Err(fatal(
                ProblemType::Internal,
                "the job's list of files was written by a newer version",
            ));
        }
        Ok(stored)
    }

    /// Where the file is.
    pub(crate) fn path(&self, file: &FileEntry) -> PathBuf {
        if self.location.is_dir() { self.location.join(&file.name) } else { self.location.clone() }
    }

    /// Opens a file of the list, if it still is that file.
    pub(crate) fn open(&self, entry: &FileEntry) -> Outcome<File> {
        let file = File::open(self.path(entry)).map_err(|error| failure::read(&entry.name, error))?;
        entry.check(&file)?;
        Ok(file)
    }
}
