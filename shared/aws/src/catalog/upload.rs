//! Brings the files of a local data set into the bucket: each is kept, copied or uploaded.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use willcall_core::{
    error::Source,
    ports::{BlobError, BlobWriter},
};

use super::{S3Publisher, layout};
use crate::{blob_store::S3BlobWriter, clients, failure::CallFailed};

/// The metadata that tells an object's SHA-256.
const SHA256: &str = "willcall-sha256";
const MEDIA_TYPE: &str = "application/vnd.apache.parquet";
/// Files that are hashed, or asked for, at once.
const AT_ONCE: usize = 8;
/// What is read of a file in one go.
const PIECE: usize = 1 << 20;
/// The largest object that S3 copies in one step.
const MOST_COPIED: u64 = 5 << 30;
/// What a key may have in the header that names the source of a copy.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A file of a data set on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name in the data set.
    pub name: String,
}

/// What brings a data set into the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Where the data set is, once all steps are carried out.
    pub location: String,
    /// One step a file.
    pub steps: Vec<Step>,
}

/// What brings one file into the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The file.
    pub file: LocalFile,
    /// Its size when it was hashed.
    pub size: u64,
    /// What is to be done.
    pub action: Action,
    sha256: String,
    key: String,
}

/// How a file comes into the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is there: an object of that name, size and SHA-256.
    Keep,
    /// S3 copies it from this key, where an earlier edition has it.
    Copy(String),
    /// It is uploaded.
    Upload,
}

/// A catalog or a data set was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A local file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A local file is another one than it was a moment before.
    #[error("{}: changed while it was being uploaded", .0.display())]
    Changed(PathBuf),
    /// Somebody else replaced the catalog meanwhile.
    #[error("another build has replaced the catalog meanwhile")]
    Overtaken,
    /// There is no such bucket.
    #[error("there is no bucket {0}")]
    NoBucket(String),
    /// S3 did not do what it was asked for.
    #[error("the bucket {bucket} does not do what it is asked for")]
    Failed {
        /// The bucket.
        bucket: String,
        /// Why.
        #[source]
        source: Source,
    },
}

struct Hashed {
    size: u64,
    sha256: String,
}

impl S3Publisher {
    /// Finds out what brings the files of a data set into the bucket. Reads all of each file; changes nothing. With
    /// `directory` the data set is all of them, else it is the one file.
    pub async fn plan(
        &self,
        dataset: &str,
        files: Vec<LocalFile>,
        directory: bool,
    ) -> Result<Upload, PublishError> {
        let hashes = files.iter().map(|file| hash_of(file.path.clone()));
        let hashes: Vec<Hashed> = stream::iter(hashes).buffered(AT_ONCE).try_collect().await?;
        let marks = files.iter().zip(&hashes);
        let edition = layout::of_edition(
            dataset,
            marks.map(|(file, hashed)| (file.name.as_str(), hashed.size, hashed.sha256.as_str())),
        );
        let earlier = self.by_size(&layout::of_dataset(dataset)).await?;
        let steps = files.into_iter().zip(hashes).map(|(file, hashed)| {
            let key = format!("{edition}{}", file.name);
            let Hashed { size, sha256 } = hashed;
            // Of files that look the same, the one that is in place already comes first.
            let mut same: Vec<String> = earlier.get(&size).cloned().unwrap_or_default();
            same.retain(|other| other.strip_suffix(&file.name).is_some_and(|before| before.ends_with('/')));
            same.sort_by_key(|other| *other != key);
            async move {
                let action = self.action(&key, size, &sha256, same).await?;
                Ok(Step { file, size, action, sha256, key })
            }
        });
        let steps: Vec<Step> = stream::iter(steps).buffered(AT_ONCE).try_collect().await?;
        let below = match steps.as_slice() {
            [only] if !directory => only.key.as_str(),
            _ => &edition,
        };
        Ok(Upload { location: format!("s3://{}/{below}", self.bucket), steps })
    }

    async fn action(
        &self,
        key: &str,
        size: u64,
        sha256: &str,
        same: Vec<String>,
    ) -> Result<Action, PublishError> {
        for other in same {
            let head = self.store.head_object(&other).await.map_err(|error| self.failed(error))?;
            let digest = head.as_ref().and_then(|head| head.metadata()?.get(SHA256));
            if digest.map(String::as_str) != Some(sha256) {
                continue;
            }
            if other == key {
                return Ok(Action::Keep);
            }
            if size <= MOST_COPIED {
                return Ok(Action::Copy(other));
            }
        }
        Ok(Action::Upload)
    }

    /// The keys below the prefix by the size of their objects.
    async fn by_size(&self, prefix: &str) -> Result<BTreeMap<u64, Vec<String>>, PublishError> {
        let mut keys: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for (key, size) in self.list(prefix).await? {
            keys.entry(size).or_default().push(key);
        }
        Ok(keys)
    }

    /// Does what a step says. Done again, it does no harm.
    pub async fn carry_out(&self, step: &Step) -> Result<(), PublishError> {
        match &step.action {
            Action::Keep => Ok(()),
            Action::Copy(from) => self.copy(from, &step.key).await,
            Action::Upload => self.upload(step).await,
        }
    }

    /// The object is there with its metadata once S3 has copied it whole.
    async fn copy(&self, from: &str, to: &str) -> Result<(), PublishError> {
        let copied = self
            .client
            .copy_object()
            .bucket(&self.bucket)
            .key(to)
            .copy_source(format!("{}/{}", self.bucket, utf8_percent_encode(from, PLAIN)))
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .customize()
            .config_override(clients::assembly())
            .send()
            .await;
        copied.map(|_| ()).map_err(|error| self.failed(CallFailed::new("CopyObject", error)))
    }

    async fn upload(&self, step: &Step) -> Result<(), PublishError> {
        let metadata = HashMap::from([(SHA256.to_owned(), step.sha256.clone())]);
        let (key, path) = (step.key.clone(), &step.file.path);
        let mut writer: Box<dyn BlobWriter> =
            Box::new(S3BlobWriter::new(self.store.clone(), key, MEDIA_TYPE.to_owned(), metadata));
        match self.send(&mut *writer, path, &step.sha256).await {
            Ok(()) => writer.finish().await.map(|_| ()).map_err(|error| self.failed(error)),
            Err(error) => {
                // What cannot be taken back now, the bucket's rule for unfinished uploads removes.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    /// Passes the file on, as long as it is the one that was hashed.
    async fn send(&self, writer: &mut dyn BlobWriter, path: &Path, sha256: &str) -> Result<(), PublishError> {
        let (pieces, mut received) = mpsc::channel::<Bytes>(2);
        let owned = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || {
            read(&owned, |piece| pieces.blocking_send(Bytes::copy_from_slice(piece)).is_ok())
        });
        while let Some(piece) = received.recv().await {
            writer.write(piece).await.map_err(|error| self.failed(error))?;
        }
        match stopped(path, reading.await)? {
            hashed if hashed.sha256 == sha256 => Ok(()),
            _ => Err(PublishError::Changed(path.to_owned())),
        }
    }

    pub(super) fn failed(&self, error: impl Into<Failed>) -> PublishError {
        match error.into() {
            Failed::Call(error) if error.is("NoSuchBucket") => PublishError::NoBucket(self.bucket.clone()),
            Failed::Call(error) => PublishError::Failed { bucket: self.bucket.clone(), source: error.into() },
            Failed::Blob(error) => PublishError::Failed { bucket: self.bucket.clone(), source: error.into() },
        }
    }
}

/// What failed of S3.
pub(super) enum Failed {
    Call(CallFailed),
    Blob(BlobError),
}

impl From<CallFailed> for Failed {
    fn from(error: CallFailed) -> Self {
        Self::Call(error)
    }
}

impl From<BlobError> for Failed {
    fn from(error: BlobError) -> Self {
        Self::Blob(error)
    }
}

async fn hash_of(path: PathBuf) -> Result<Hashed, PublishError> {
    let owned = path.clone();
    let hashing = tokio::task::spawn_blocking(move || read(&owned, |_| true));
    stopped(&path, hashing.await)
}

fn stopped(
    path: &Path,
    outcome: Result<io::Result<Hashed>, tokio::task::JoinError>,
) -> Result<Hashed, PublishError> {
    let outcome = outcome.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
    outcome.map_err(|source| PublishError::Read { path: path.to_owned(), source })
}

/// Reads the file to its end, or until nobody wants more of it.
fn read(path: &Path, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<Hashed> {
    let mut file = File::open(path)?;
    let (mut hash, mut size, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&piece[..read]);
                size += read as u64;
                if !take(&piece[..read]) {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Hashed { size, sha256: hex::encode(hash.finalize()) })
}
