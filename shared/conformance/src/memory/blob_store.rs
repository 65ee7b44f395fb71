//! Blobs in a map.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use willcall_core::{
    Timestamp,
    error::Source,
    ports::{
        BlobError, BlobHead, BlobKey, BlobPrefix, BlobStore, BlobStream, BlobWriter, PutNew, SignGet,
        SignPut, SignedLink, SignedUpload,
    },
};

use super::lock;

#[derive(Debug, Clone)]
struct Blob {
    bytes: Bytes,
    modified: Timestamp,
}

impl Blob {
    fn new(bytes: Bytes) -> Self {
        Self { bytes, modified: Timestamp::system_now() }
    }

    fn head(&self) -> BlobHead {
        BlobHead {
            size: self.bytes.len() as u64,
            etag: hex::encode(&Sha256::digest(&self.bytes)[..16]),
            modified: self.modified,
        }
    }
}

type Blobs = Arc<Mutex<BTreeMap<String, Blob>>>;

/// What a link for an upload takes.
#[derive(Debug, Clone)]
struct Expected {
    key: String,
    media_type: String,
    bytes: u64,
    expires: Timestamp,
}

/// A blob store in memory. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct MemoryBlobStore {
    blobs: Blobs,
    links: Arc<Mutex<BTreeMap<String, (String, Timestamp)>>>,
    uploads: Arc<Mutex<BTreeMap<String, Expected>>>,
    full: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("full, by the test")]
    Full,
    #[error("the range does not lie within the blob")]
    Range,
}

impl From<Broken> for BlobError {
    fn from(broken: Broken) -> Self {
        let source: Source = Box::new(broken);
        match source.downcast_ref() {
            Some(Broken::Full) => Self::Full(source),
            _ => Self::Unavailable(source),
        }
    }
}

impl MemoryBlobStore {
    /// Makes every write fail for want of room, or work again.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// The names of all blobs.
    pub fn keys(&self) -> Vec<String> {
        lock(&self.blobs).keys().cloned().collect()
    }

    /// Changes the bytes of a blob behind the back of its owner; whether there is one.
    pub fn tamper(&self, key: &BlobKey, bytes: impl Into<Bytes>) -> bool {
        lock(&self.blobs).get_mut(&key.to_string()).is_some_and(|blob| {
            *blob = Blob::new(bytes.into());
            true
        })
    }

    /// What a link leads to at `now`, if it works.
    pub fn follow(&self, url: &str, now: Timestamp) -> Option<Bytes> {
        let links = lock(&self.links);
        let (key, _) = links.get(url).filter(|(_, expires)| now < *expires)?;
        lock(&self.blobs).get(key).map(|blob| blob.bytes.clone())
    }

    /// Does what a PUT to a link does at `now`, of the media type that was signed: whether it was taken.
    pub fn upload(&self, url: &str, bytes: impl Into<Bytes>, now: Timestamp) -> bool {
        let media_type = lock(&self.uploads).get(url).map(|expected| expected.media_type.clone());
        self.upload_as(url, media_type.as_deref(), bytes, now)
    }

    /// The same of that media type.
    pub fn upload_as(
        &self,
        url: &str,
        media_type: Option<&str>,
        bytes: impl Into<Bytes>,
        now: Timestamp,
    ) -> bool {
        let bytes = bytes.into();
        let uploads = lock(&self.uploads);
        let fits = |expected: &&Expected| {
            now < expected.expires
                && bytes.len() as u64 == expected.bytes
                && media_type == Some(expected.media_type.as_str())
        };
        uploads.get(url).filter(fits).is_some_and(|expected| {
            lock(&self.blobs).insert(expected.key.clone(), Blob::new(bytes.clone()));
            true
        })
    }

    fn room(&self) -> Result<(), BlobError> {
        if self.full.load(Ordering::SeqCst) { Err(Broken::Full.into()) } else { Ok(()) }
    }

    fn bytes(&self, key: &BlobKey) -> Result<Bytes, BlobError> {
        let key = key.to_string();
        lock(&self.blobs).get(&key).map(|blob| blob.bytes.clone()).ok_or(BlobError::Missing(key))
    }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Result<Bytes, BlobError> {
    if range.start > range.end || range.end > bytes.len() as u64 {
        return Err(Broken::Range.into());
    }
    let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) else {
        return Err(Broken::Range.into());
    };
    Ok(bytes.slice(start..end))
}

#[async_trait]
impl BlobStore for MemoryBlobStore {
    async fn writer(&self, key: &BlobKey, _media_type: &str) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.room()?;
        let store = self.clone();
        Ok(Box::new(MemoryBlobWriter { store, key: key.to_string(), bytes: BytesMut::new() }))
    }

    async fn put(&self, key: &BlobKey, _media_type: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.room()?;
        lock(&self.blobs).insert(key.to_string(), Blob::new(bytes));
        Ok(())
    }

    async fn put_new(&self, key: &BlobKey, _media_type: &str, bytes: Bytes) -> Result<PutNew, BlobError> {
        self.room()?;
        let mut blobs = lock(&self.blobs);
        if blobs.contains_key(&key.to_string()) {
            return Ok(PutNew::Exists);
        }
        blobs.insert(key.to_string(), Blob::new(bytes));
        Ok(PutNew::Created)
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobHead>, BlobError> {
        Ok(lock(&self.blobs).get(&key.to_string()).map(Blob::head))
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, BlobError> {
        slice(&self.bytes(key)?, &range)
    }

    async fn stream(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobStream, BlobError> {
        let bytes = self.bytes(key)?;
        let bytes = slice(&bytes, &range.unwrap_or(0..bytes.len() as u64))?;
        let pieces: Vec<_> = bytes.chunks(64 * 1024).map(Bytes::copy_from_slice).map(Ok).collect();
        Ok(futures::stream::iter(pieces).boxed())
    }

    async fn delete_prefix(&self, prefix: &BlobPrefix) -> Result<u64, BlobError> {
        let prefix = prefix.to_string();
        let mut blobs = lock(&self.blobs);
        let before = blobs.len();
        blobs.retain(|key, _| if prefix.ends_with('/') { !key.starts_with(&prefix) } else { *key != prefix });
        Ok((before - blobs.len()) as u64)
    }

    async fn sign_get(&self, key: &BlobKey, sign: &SignGet) -> Result<SignedLink, BlobError> {
        let expires = sign.now.plus(sign.lifetime);
        let url = format!("{}/v1/files/{key}?expires={}", sign.base_url, expires.as_millis());
        lock(&self.links).insert(url.clone(), (key.to_string(), expires));
        Ok(SignedLink { url, expires })
    }

    async fn sign_put(&self, key: &BlobKey, sign: &SignPut) -> Result<SignedUpload, BlobError> {
        let expires = sign.now.plus(sign.lifetime);
        let url = format!("{}/v1/files/{key}?expires={}&put", sign.base_url, expires.as_millis());
        let media_type = sign.media_type.clone();
        let expected = Expected { key: key.to_string(), media_type, bytes: sign.bytes, expires };
        lock(&self.uploads).insert(url.clone(), expected);
        let headers = vec![("content-type".into(), sign.media_type.clone())];
        Ok(SignedUpload { url, headers, expires })
    }
}

struct MemoryBlobWriter {
    store: MemoryBlobStore,
    key: String,
    bytes: BytesMut,
}

#[async_trait]
impl BlobWriter for MemoryBlobWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.store.room()?;
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<BlobHead, BlobError> {
        self.store.room()?;
        let blob = Blob::new(self.bytes.freeze());
        let head = blob.head();
        lock(&self.store.blobs).insert(self.key, blob);
        Ok(head)
    }

    async fn abort(self: Box<Self>) -> Result<(), BlobError> {
        Ok(())
    }
}
