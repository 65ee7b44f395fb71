//! Files that this very host serves by signed link, where the blob store has no address of its own.

use std::ops::Range;

use async_trait::async_trait;

use super::{BlobHead, BlobKey, BlobStream};
use crate::{Timestamp, error::Source};

/// Opens what a link of [`BlobStore::sign_get`](super::BlobStore::sign_get) leads to. A link is
/// `{base_url}/v1/files/{key}?{query}`.
#[async_trait]
pub trait SignedFiles: Send + Sync {
    /// Opens the file of a link: `key` is what follows `/v1/files/` in the request's path and `query` what follows
    /// its `?`, both exactly as they came, still percent-encoded. No file is touched before the signature is right.
    async fn open(&self, key: &str, query: &str, now: Timestamp) -> Result<SignedFile, SignedFileError>;

    /// Whether the link of an upload is right, and not expired: what must be so before anything is told about its batch.
    fn admit(&self, upload: Received<'_>) -> Result<(), SignedFileError>;

    /// Takes the file of a link of [`BlobStore::sign_put`](super::BlobStore::sign_put), by the same rules: one of the
    /// signed media type whose body has the signed length. Nothing is seen of one that breaks off.
    async fn receive(
        &self,
        upload: Received<'_>,
        body: BlobStream,
    ) -> Result<(BlobKey, BlobHead), SignedFileError>;
}

/// A PUT as it came.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// What follows `/v1/files/` in the request's path.
    pub key: &'a str,
    /// What follows its `?`.
    pub query: &'a str,
    /// `Content-Type`, if it has one.
    pub media_type: Option<&'a str>,
    /// `Content-Length`, if it has one.
    pub length: Option<u64>,
    /// Now.
    pub now: Timestamp,
}

/// A file that a valid link led to, held open: what is read from it is what `head` speaks of, even if the file is
/// replaced or removed meanwhile.
pub struct SignedFile {
    /// Size, tag and time of the file.
    pub head: BlobHead,
    /// The name that a browser saves it under.
    pub file_name: String,
    /// The media type to answer with.
    pub media_type: String,
    /// The bytes.
    pub body: Box<dyn SignedFileBody>,
}

impl std::fmt::Debug for SignedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedFile").field("head", &self.head).finish_non_exhaustive()
    }
}

/// The bytes of an open file.
pub trait SignedFileBody: Send {
    /// Streams a range, which must lie within the file; a part past its end is an error of the stream.
    fn stream(self: Box<Self>, range: Range<u64>) -> BlobStream;
}

/// A link does not work.
#[derive(Debug, thiserror::Error)]
pub enum SignedFileError {
    /// It was not made by this host, or was changed since.
    #[error("the link is not valid")]
    Invalid,
    /// It worked once. Another can be had from the job.
    #[error("the link has expired")]
    Expired,
    /// The file is not what the link is for. The words are for the client.
    #[error("{0}")]
    Unfit(String),
    /// The request does not say how many bytes it brings, and must say that it is this many.
    #[error("the link is for a file with the header Content-Length: {0}")]
    Unannounced(u64),
    /// It is right, but the file is gone.
    #[error("the file is gone")]
    Missing,
    /// The file cannot be read now; trying again may help.
    #[error("the file cannot be read")]
    Unavailable(#[source] Source),
}
