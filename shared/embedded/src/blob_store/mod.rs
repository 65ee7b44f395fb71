//! Blobs as files in a directory: written aside, synced, then renamed into place, so that a name leads to a whole
//! file or to none.

mod assemble;
mod files;
mod link;
mod reader;
mod receive;
mod writer;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use willcall_core::{
    Timestamp,
    ports::{
        BlobError, BlobHead, BlobKey, BlobPrefix, BlobStore, BlobStream, BlobWriter, Piece, PutNew, Received,
        SignGet, SignPut, SignedFile, SignedFileError, SignedFiles, SignedLink, SignedUpload,
    },
};

pub(crate) use self::files::{head_of, make_directory, sync_directory};
use self::{
    files::{Staged, blob_error},
    link::LinkKey,
    reader::OpenBlob,
    writer::DirBlobWriter,
};
use crate::key_file::KeyFileError;

/// Where unfinished files are, beside the `results`, `requests` and `uploads` of the keys.
const STAGING: &str = "tmp";
/// Where the keys of requests lead to.
const REQUESTS: &str = "requests";
/// Where the keys of results lead to.
const RESULTS: &str = "results";
/// Where the keys of uploads lead to.
const UPLOADS: &str = "uploads";

/// The blob store of one box. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct DirBlobStore {
    root: Arc<Path>,
    link_key: Arc<LinkKey>,
}

/// The directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenBlobStoreError {
    /// It cannot be made, read or written.
    #[error("{}: cannot be used as a directory for results", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The key of its links cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

impl DirBlobStore {
    /// Opens the directory, making it where there is none, and removes what a dead process left unfinished in it. Links are
    /// signed with the key in `key_file`, which is made at the first start. Blocks: call it where that does no harm.
    pub fn open(root: &Path, key_file: &Path) -> Result<Self, OpenBlobStoreError> {
        let failed = |source| OpenBlobStoreError::Directory { path: root.to_owned(), source };
        let root = std::path::absolute(root).map_err(failed)?;
        files::sweep(&root.join(STAGING)).map_err(failed)?;
        let link_key = LinkKey::read_or_create(key_file)?;
        Ok(Self { root: root.into(), link_key: Arc::new(link_key) })
    }

    /// Where the requests are that are too large for the jobs' records.
    pub(crate) fn requests(&self) -> PathBuf {
        self.root.join(REQUESTS)
    }

    /// Where the files are that clients uploaded for batches.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join(UPLOADS)
    }

    /// Where the results are.
    pub(crate) fn results(&self) -> PathBuf {
        self.root.join(RESULTS)
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        self.root.join(key.to_string())
    }

    /// Does blocking work away from the threads that must not block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let root = Arc::clone(&self.root);
        files::blocking(move || work(&root)).await
    }
}

#[async_trait]
impl BlobStore for DirBlobStore {
    async fn writer(&self, key: &BlobKey, _media_type: &str) -> Result<Box<dyn BlobWriter>, BlobError> {
        let (root, target) = (Arc::clone(&self.root), self.path(key));
        let staged = files::blocking(move || Staged::create(&root).map_err(blob_error)).await?;
        Ok(Box::new(DirBlobWriter::new(staged, target)))
    }

    async fn put(&self, key: &BlobKey, _media_type: &str, bytes: Bytes) -> Result<(), BlobError> {
        let target = self.path(key);
        self.blocking(move |root| {
            let mut staged = Staged::create(root).map_err(blob_error)?;
            staged.write(&bytes).and_then(|()| staged.sync()).map_err(blob_error)?;
            staged.replace(&target).map_err(blob_error)
        })
        .await
    }

    async fn put_new(&self, key: &BlobKey, _media_type: &str, bytes: Bytes) -> Result<PutNew, BlobError> {
        let target = self.path(key);
        self.blocking(move |root| {
            if target.exists() {
                return Ok(PutNew::Exists);
            }
            let mut staged = Staged::create(root).map_err(blob_error)?;
            staged.write(&bytes).and_then(|()| staged.sync()).map_err(blob_error)?;
            staged.place_new(&target).map_err(blob_error)
        })
        .await
    }

    async fn assemble(
        &self,
        key: &BlobKey,
        _media_type: &str,
        pieces: Vec<Piece>,
    ) -> Result<BlobHead, BlobError> {
        let target = self.path(key);
        // Dropped with this call: whoever copies for nobody stops.
        let wanted = Arc::new(());
        let still = Arc::downgrade(&wanted);
        let assembled = self.blocking(move |root| assemble::pieces(root, &target, pieces, &still)).await;
        drop(wanted);
        assembled
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobHead>, BlobError> {
        let path = self.path(key);
        self.blocking(move |_| match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(head_of(&metadata))),
            Ok(_) => Ok(None),
            Err(error) if files::is_missing(&error) => Ok(None),
            Err(error) => Err(blob_error(error)),
        })
        .await
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, BlobError> {
        let (path, name) = (self.path(key), key.to_string());
        self.blocking(move |_| OpenBlob::open(&path, &name)?.read(&range)).await
    }

    async fn stream(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobStream, BlobError> {
        let (path, name) = (self.path(key), key.to_string());
        let blob = self.blocking(move |_| OpenBlob::open(&path, &name)).await?;
        let range = range.unwrap_or(0..blob.head.size);
        blob.stream(range)
    }

    async fn delete_prefix(&self, prefix: &BlobPrefix) -> Result<u64, BlobError> {
        let path = self.root.join(prefix.to_string());
        self.blocking(move |_| files::remove_tree(&path).map_err(blob_error)).await
    }

    async fn sign_get(&self, key: &BlobKey, sign: &SignGet) -> Result<SignedLink, BlobError> {
        Ok(self.link_key.sign(&key.to_string(), sign))
    }

    async fn sign_put(&self, key: &BlobKey, sign: &SignPut) -> Result<SignedUpload, BlobError> {
        Ok(self.link_key.sign_upload(&key.to_string(), sign))
    }
}

#[async_trait]
impl SignedFiles for DirBlobStore {
    async fn open(&self, key: &str, query: &str, now: Timestamp) -> Result<SignedFile, SignedFileError> {
        let link = self.link_key.verify(key, query, now)?;
        let (path, name) = (self.root.join(key), key.to_owned());
        let opened = self.blocking(move |root| OpenBlob::open_within(root, &path, &name)).await;
        match opened {
            Ok(blob) => Ok(SignedFile {
                head: blob.head.clone(),
                file_name: link.file_name,
                media_type: link.media_type,
                body: Box::new(blob),
            }),
            Err(BlobError::Missing(_)) => Err(SignedFileError::Missing),
            Err(error) => Err(SignedFileError::Unavailable(error.into())),
        }
    }

    fn admit(&self, upload: Received<'_>) -> Result<(), SignedFileError> {
        self.link_key.verify_upload(upload.key, upload.query, upload.now).map(drop)
    }

    async fn receive(
        &self,
        upload: Received<'_>,
        body: BlobStream,
    ) -> Result<(BlobKey, BlobHead), SignedFileError> {
        let link = self.link_key.verify_upload(upload.key, upload.query, upload.now)?;
        let (job, file) = BlobKey::upload(upload.key).ok_or(SignedFileError::Invalid)?;
        receive::check(&link, &upload)?;
        let key = BlobKey::Upload { job, file };
        let writer = self.writer(&key, &link.media_type).await;
        let head = receive::write(writer.map_err(receive::failed)?, body, link.bytes).await?;
        Ok((key, head))
    }
}
