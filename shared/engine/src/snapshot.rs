//! The files of a data set: found, stored for the attempts to come, and opened only while they are the same.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use willcall_core::{
    JobRef, Timestamp,
    catalog::Dataset,
    job::ProblemType,
    ports::{BlobError, BlobKey, BlobStore, DataFile, DataFileEntry, DataFiles, DataFilesError, PutNew},
};

use crate::{
    failure::{self, Outcome, fatal, fatal_from},
    local::local_mark,
};

const SCHEMA: u32 = 2;

/// The files that every attempt of a job reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    schema: u32,
    pub(crate) version: String,
    pub(crate) files: Vec<DataFileEntry>,
}

/// What a list of files says of its own form.
#[derive(Deserialize)]
struct Stored {
    schema: u32,
}

/// The first form: files of one box alone.
#[derive(Deserialize)]
struct First {
    location: PathBuf,
    version: String,
    files: Vec<FirstEntry>,
}

#[derive(Deserialize)]
struct FirstEntry {
    name: String,
    size: u64,
    modified_ns: i128,
    inode: u64,
}

impl Snapshot {
    /// The files of a list.
    pub(crate) fn of(files: Vec<DataFileEntry>) -> Self {
        let mut hash = Sha256::new();
        for file in &files {
            hash.update(format!("{:?}\n", (&file.name, file.size, &file.mark)));
        }
        Self { schema: SCHEMA, version: hex::encode(hash.finalize()), files }
    }

    /// The list that the job's first attempt stored, made now where this is the first.
    pub(crate) async fn of_job(
        job: &JobRef,
        dataset: &Dataset,
        files: &Arc<dyn DataFiles>,
        blobs: &Arc<dyn BlobStore>,
    ) -> Outcome<Self> {
        let list = async || Self::now(dataset, files).await;
        Self::stored(&kept(job, blobs, list).await?)
    }

    /// The lists of a statement's data sets, made and stored as one.
    pub(crate) async fn of_statement(
        job: &JobRef,
        datasets: &[Arc<Dataset>],
        files: &Arc<dyn DataFiles>,
        blobs: &Arc<dyn BlobStore>,
    ) -> Outcome<Vec<Self>> {
        let list = async || {
            let mut lists = Vec::with_capacity(datasets.len());
            for dataset in datasets {
                lists.push(Self::now(dataset, files).await?);
            }
            Ok(lists)
        };
        serde_json::from_slice(&kept(job, blobs, list).await?).map_err(failure::defect)
    }

    /// The files as they are now.
    async fn now(dataset: &Dataset, files: &Arc<dyn DataFiles>) -> Outcome<Self> {
        let listed = files.list(&dataset.source).await.map_err(|error| match error {
            DataFilesError::Missing => {
                fatal_from(ProblemType::Conflict, format!("the data set {} is gone", dataset.name), error)
            }
            _ => failure::read(&dataset.name, error),
        })?;
        Ok(Self::of(listed))
    }

    fn stored(bytes: &[u8]) -> Outcome<Self> {
        match serde_json::from_slice::<Stored>(bytes).map_err(failure::defect)?.schema {
            SCHEMA => serde_json::from_slice(bytes).map_err(failure::defect),
            1 => Ok(serde_json::from_slice::<First>(bytes).map_err(failure::defect)?.into()),
            _ => Err(fatal(ProblemType::Internal, "the job's list of files was written by a newer version")),
        }
    }
}

impl From<First> for Snapshot {
    fn from(first: First) -> Self {
        let in_directory = first.location.is_dir();
        let entry = |file: FirstEntry| {
            let path = if in_directory { first.location.join(&file.name) } else { first.location.clone() };
            DataFileEntry {
                location: path.to_string_lossy().into_owned(),
                mark: local_mark(file.inode, file.modified_ns),
                modified: Timestamp::from_millis(i64::try_from(file.modified_ns / 1_000_000).unwrap_or(0)),
                name: file.name,
                size: file.size,
            }
        };
        Self { schema: SCHEMA, version: first.version, files: first.files.into_iter().map(entry).collect() }
    }
}

/// What the job's first attempt stored, made by `list` where this is the first.
async fn kept<T: Serialize>(
    job: &JobRef,
    blobs: &Arc<dyn BlobStore>,
    list: impl AsyncFnOnce() -> Outcome<T> + Send,
) -> Outcome<Bytes> {
    let key = BlobKey::Snapshot(job.clone());
    if blobs.head(&key).await.map_err(failure::blob)?.is_none() {
        let bytes = Bytes::from(serde_json::to_vec(&list().await?).map_err(failure::defect)?);
        // Another attempt may have been faster: the stored list is the one that counts.
        let kept = blobs.put_new(&key, "application/json", bytes.clone()).await;
        if kept.map_err(failure::blob)? == PutNew::Created {
            return Ok(bytes);
        }
    }
    let missing = || failure::blob(BlobError::Missing(key.to_string()));
    let head = blobs.head(&key).await.map_err(failure::blob)?.ok_or_else(missing)?;
    blobs.read(&key, 0..head.size).await.map_err(failure::blob)
}

/// Opens a file of the list, if it still is that file.
pub(crate) fn open(files: &dyn DataFiles, entry: &DataFileEntry) -> Outcome<Arc<dyn DataFile>> {
    files.open(entry).map_err(|error| failure::read(&entry.name, error))
}

#[cfg(test)]
mod tests {
    use willcall_core::ports::ExecuteError;

    use super::*;

    #[test]
    fn a_list_of_the_first_form_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        std::fs::write(&path, "x").unwrap();
        for (location, file) in [(directory.path(), "a.parquet"), (path.as_path(), "a.parquet")] {
            let text = format!(
                r#"{{"schema":1,"location":{location:?},"version":"v","files":[{{"name":"{file}","size":1,
                "modified_ns":1767603600123456789,"inode":77}}]}}"#
            );
            let snapshot = Snapshot::stored(text.as_bytes()).unwrap();
            assert_eq!(snapshot.version, "v");
            let entry = &snapshot.files[0];
            assert_eq!((entry.location.as_str(), entry.name.as_str()), (path.to_str().unwrap(), "a.parquet"));
            assert_eq!((entry.size, entry.mark.as_str()), (1, "77-1767603600123456789"));
            assert_eq!(entry.modified, Timestamp::from_millis(1_767_603_600_123));
        }
    }

    #[test]
    fn a_list_of_this_form_comes_back_and_a_newer_one_is_refused() {
        let entry = DataFileEntry {
            location: "s3://bucket/a.parquet".into(),
            name: "a.parquet".into(),
            size: 7,
            modified: Timestamp::from_millis(5),
            mark: "\"etag\"".into(),
        };
        let snapshot = Snapshot::of(vec![entry]);
        let text = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(Snapshot::stored(text.as_bytes()).unwrap(), snapshot);
        let newer = text.replace("\"schema\":2", "\"schema\":3");
        assert!(matches!(Snapshot::stored(newer.as_bytes()), Err(ExecuteError::Fatal { .. })));
        assert!(Snapshot::stored(b"{}").is_err());
    }

    #[test]
    fn the_version_tells_names_sizes_and_marks_apart() {
        let entry = |name: &str, size, mark: &str| DataFileEntry {
            location: format!("/data/{name}"),
            name: name.into(),
            size,
            modified: Timestamp::from_millis(0),
            mark: mark.into(),
        };
        let version = |entry| Snapshot::of(vec![entry]).version;
        let first = version(entry("a", 1, "m"));
        assert_eq!(version(entry("a", 1, "m")), first);
        for other in [entry("b", 1, "m"), entry("a", 2, "m"), entry("a", 1, "n")] {
            assert_ne!(version(other), first);
        }
    }
}
