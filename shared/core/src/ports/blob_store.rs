//! Where results are kept.

use std::{fmt, ops::Range, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{TryStreamExt, stream::BoxStream};

use crate::{AccountId, JobRef, Timestamp, error::Source};

/// A flat store of named bytes. A blob is whole or not there: what a writer has not finished is never seen.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Begins a blob, in place of one of that name once finished. Memory is bounded whatever its size.
    async fn writer(&self, key: &BlobKey, media_type: &str) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Keeps a small blob.
    async fn put(&self, key: &BlobKey, media_type: &str, bytes: Bytes) -> Result<(), BlobError>;

    /// Keeps a small blob unless there is one of that name: of many at once, one is kept.
    async fn put_new(&self, key: &BlobKey, media_type: &str, bytes: Bytes) -> Result<PutNew, BlobError>;

    /// Keeps a blob that is these pieces one after the other, in place of one of that name once it is whole. Stores that can
    /// copy by themselves do: of large blobs next to nothing passes through. A blob that is not as its piece says any more
    /// is [`BlobError::Unavailable`], one that is gone [`BlobError::Missing`]; nothing is kept then.
    async fn assemble(
        &self,
        key: &BlobKey,
        media_type: &str,
        pieces: Vec<Piece>,
    ) -> Result<BlobHead, BlobError> {
        let mut writer = self.writer(key, media_type).await?;
        for piece in pieces {
            let whole = match piece {
                Piece::Bytes(bytes) => {
                    writer.write(bytes).await?;
                    continue;
                }
                Piece::Whole(whole) => whole,
            };
            whole.check(self.head(&whole.key).await?)?;
            let mut stream = self.stream(&whole.key, Some(0..whole.size)).await?;
            while let Some(bytes) = stream.try_next().await? {
                writer.write(bytes).await?;
            }
        }
        writer.finish().await
    }

    /// What is known of the blob without reading it; `None` where there is none.
    async fn head(&self, key: &BlobKey) -> Result<Option<BlobHead>, BlobError>;

    /// The bytes of a range, which must lie within the blob; [`BlobError::Missing`] where there is none.
    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, BlobError>;

    /// The bytes of a range as a stream; the whole where `range` is `None`.
    async fn stream(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobStream, BlobError>;

    /// Removes every blob under the prefix; nothing there is no error. Answers how many went.
    async fn delete_prefix(&self, prefix: &BlobPrefix) -> Result<u64, BlobError>;

    /// A link by which anyone can read the blob until it expires.
    async fn sign_get(&self, key: &BlobKey, sign: &SignGet) -> Result<SignedLink, BlobError>;

    /// A link by which anyone can write the blob with one PUT, of exactly the length and media type that are signed,
    /// until it expires. What is written in part is never seen; what is written again takes the place of the first.
    async fn sign_put(&self, key: &BlobKey, sign: &SignPut) -> Result<SignedUpload, BlobError>;
}

/// Receives a blob's bytes in order. Dropped unfinished, it leaves nothing that can be seen.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError>;

    /// Makes the blob visible, durable once answered.
    async fn finish(self: Box<Self>) -> Result<BlobHead, BlobError>;

    /// Gives it up, and frees what it held.
    async fn abort(self: Box<Self>) -> Result<(), BlobError>;
}

/// The bytes of a blob in order.
pub type BlobStream = BoxStream<'static, Result<Bytes, BlobError>>;

/// What is known of a blob without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobHead {
    /// Its size in bytes.
    pub size: u64,
    /// Changes when its bytes do. Without quotes.
    pub etag: String,
    /// When it was written.
    pub modified: Timestamp,
}

/// What [`BlobStore::assemble`] makes a blob of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Bytes),
    /// Those of another blob.
    Whole(WholeBlob),
}

impl Piece {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Whole(whole) => whole.size,
        }
    }
}

/// A blob as it was found: only as such is it copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeBlob {
    /// The blob.
    pub key: BlobKey,
    /// Its size in bytes.
    pub size: u64,
    /// Its tag.
    pub etag: String,
}

impl WholeBlob {
    /// An error where the blob is gone, or another by now.
    pub fn check(&self, head: Option<BlobHead>) -> Result<(), BlobError> {
        let head = head.ok_or_else(|| BlobError::Missing(self.key.to_string()))?;
        if head.size == self.size && head.etag == self.etag { Ok(()) } else { Err(self.changed()) }
    }

    /// The error of one that is another by now.
    pub fn changed(&self) -> BlobError {
        BlobError::Unavailable(Box::new(ChangedBlob(self.key.to_string())))
    }
}

/// A blob that was to be copied is not the one that was found.
#[derive(Debug, thiserror::Error)]
#[error("the blob {0} was changed since it was found")]
struct ChangedBlob(String);

/// Whether [`BlobStore::put_new`] kept what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutNew {
    /// It did.
    Created,
    /// There was one already.
    Exists,
}

/// What a signed link says of the blob to whoever follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignGet {
    /// The base of the link where the store is served by this very host; unused where it has its own address.
    pub base_url: String,
    /// The file name that a browser saves it under.
    pub file_name: String,
    /// The media type to answer with.
    pub media_type: String,
    /// Now, and how long the link works.
    pub now: Timestamp,
    /// How long the link works.
    pub lifetime: Duration,
}

/// A link that works until it expires.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedLink {
    /// The link.
    pub url: String,
    /// Until when it works.
    pub expires: Timestamp,
}

impl fmt::Debug for SignedLink {
    /// Leaves the link out: whoever has it can read the blob.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedLink").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// What a signed link for an upload demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignPut {
    /// The base of the link where the store is served by this very host; unused where it has its own address.
    pub base_url: String,
    /// The media type, to be sent as `Content-Type`.
    pub media_type: String,
    /// How many bytes, to be sent as `Content-Length`.
    pub bytes: u64,
    /// Now.
    pub now: Timestamp,
    /// How long the link works.
    pub lifetime: Duration,
}

/// A link for an upload, that works until it expires.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUpload {
    /// Where to PUT the file.
    pub url: String,
    /// The headers that the PUT must have beside its length.
    pub headers: Vec<(String, String)>,
    /// Until when it works.
    pub expires: Timestamp,
}

impl fmt::Debug for SignedUpload {
    /// Leaves the link out: whoever has it can write the blob.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedUpload").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// The name of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BlobKey {
    /// A request too large for the job's record.
    Request(JobRef),
    /// The list of files that every attempt of the job reads.
    Snapshot(JobRef),
    /// A file of a result.
    Result {
        /// The job.
        job: JobRef,
        /// The attempt that wrote it.
        attempt: u32,
        /// Its name: letters, digits, `.`, `-` and `_`.
        file: String,
    },
    /// A file that a client uploads for a batch.
    Upload {
        /// The batch.
        job: JobRef,
        /// Its place among the batch's files.
        file: usize,
    },
    /// A part of the journal of a job that calls an upstream: which items were sent, and what came back.
    Journal {
        /// The job.
        job: JobRef,
        /// The attempt that wrote it.
        attempt: u32,
        /// Its number among the parts of that attempt, from 0.
        part: u32,
    },
    /// Where the pages of the result begin: 16 bytes a page.
    PageIndex {
        /// The job.
        job: JobRef,
        /// The attempt that wrote it.
        attempt: u32,
    },
    /// The manifest.
    Manifest {
        /// The job.
        job: JobRef,
        /// The attempt that wrote it.
        attempt: u32,
    },
    /// The zip of result and manifest.
    Zip {
        /// The job.
        job: JobRef,
        /// The attempt that delivered what is in it.
        attempt: u32,
    },
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(job) => write!(f, "requests/{job}.json"),
            Self::Snapshot(job) => write!(f, "results/{job}/snapshot.json"),
            Self::Result { job, attempt, file } => write!(f, "results/{job}/{attempt}/{file}"),
            Self::Upload { job, file } => write!(f, "uploads/{job}/{file}"),
            Self::Journal { job, attempt, part } => write!(f, "results/{job}/journal/{attempt}-{part}.jsonl"),
            Self::PageIndex { job, attempt } => write!(f, "results/{job}/{attempt}/pages.idx"),
            Self::Manifest { job, attempt } => write!(f, "results/{job}/{attempt}/manifest.json"),
            Self::Zip { job, attempt } => write!(f, "results/{job}/{attempt}/all.zip"),
        }
    }
}

impl BlobKey {
    /// The batch and the place of the file that a key names, where it is a key of an upload as [`BlobKey::Upload`] prints it.
    pub fn upload(key: &str) -> Option<(JobRef, usize)> {
        let mut parts = key.strip_prefix("uploads/")?.split('/');
        let job = JobRef { account: parts.next()?.parse().ok()?, job: parts.next()?.parse().ok()? };
        let file: usize = parts.next()?.parse().ok()?;
        let upload = Self::Upload { job, file };
        match (upload.to_string() == key, upload) {
            (true, Self::Upload { job, file }) => Some((job, file)),
            _ => None,
        }
    }
}

/// Blobs that go together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BlobPrefix {
    /// Everything that a job's attempts wrote, and its snapshot.
    Results(JobRef),
    /// Everything that one attempt wrote.
    Attempt {
        /// The job.
        job: JobRef,
        /// The attempt.
        attempt: u32,
    },
    /// The job's request.
    Request(JobRef),
    /// Everything that was uploaded for a batch.
    Uploads(JobRef),
    /// Everything of an account.
    Account(AccountId),
}

impl fmt::Display for BlobPrefix {
    /// Ends in `/`, or is a whole key: `results/a/1` must not take `results/a/10` with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Results(job) => write!(f, "results/{job}/"),
            Self::Attempt { job, attempt } => write!(f, "results/{job}/{attempt}/"),
            Self::Request(job) => write!(f, "requests/{job}.json"),
            Self::Uploads(job) => write!(f, "uploads/{job}/"),
            Self::Account(account) => write!(f, "results/{account}/"),
        }
    }
}

/// The blob store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such blob.
    #[error("there is no blob {0}")]
    Missing(String),
    /// There is no room for it.
    #[error("the blob store is full")]
    Full(#[source] Source),
    /// It does not answer now; trying again may help.
    #[error("the blob store does not answer")]
    Unavailable(#[source] Source),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_an_upload_reads_back_and_no_other_does() {
        let job = JobRef { account: "acme".parse().unwrap(), job: crate::JobId::generate() };
        for file in [0, 9, 10] {
            let key = BlobKey::Upload { job: job.clone(), file }.to_string();
            assert_eq!(BlobKey::upload(&key), Some((job.clone(), file)));
        }
        let batch = job.job;
        for key in [
            format!("uploads/acme/{batch}"),
            format!("uploads/acme/{batch}/"),
            format!("uploads/acme/{batch}/00"),
            format!("uploads/acme/{batch}/+1"),
            format!("uploads/acme/{batch}/-1"),
            format!("uploads/acme/{batch}/0/0"),
            format!("uploads/acme/{batch}/0/"),
            format!("uploads/acme//{batch}/0"),
            format!("uploads/../{batch}/0"),
            format!("uploads/acme/{}/0", "x".repeat(36)),
            format!("results/acme/{batch}/0"),
            format!("uploads/acme/{}/0", batch.to_string().to_uppercase()),
            format!("/uploads/acme/{batch}/0"),
            format!("uploads/acme/{batch}/99999999999999999999"),
            String::new(),
        ] {
            assert_eq!(BlobKey::upload(&key), None, "{key}");
        }
    }
}
