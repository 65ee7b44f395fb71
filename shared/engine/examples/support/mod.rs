//! What the measuring tools share.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    ops::Range,
    path::PathBuf,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use willcall_core::{Timestamp, ports::*};

/// Blobs as plain files of a directory, without durability.
#[derive(Clone)]
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    /// Where a blob lies; its folder is made.
    pub(crate) fn path(&self, key: &BlobKey) -> Result<PathBuf, BlobError> {
        let path = self.0.join(key.to_string());
        fs::create_dir_all(path.parent().unwrap_or(&self.0)).map_err(failed)?;
        Ok(path)
    }
}

fn failed(error: std::io::Error) -> BlobError {
    BlobError::Unavailable(error.into())
}

#[async_trait]
impl BlobStore for Directory {
    async fn writer(&self, key: &BlobKey, _: &str) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(Writer(File::create(self.path(key)?).map_err(failed)?)))
    }

    async fn put(&self, key: &BlobKey, _: &str, bytes: Bytes) -> Result<(), BlobError> {
        fs::write(self.path(key)?, bytes).map_err(failed)
    }

    async fn put_new(&self, key: &BlobKey, media_type: &str, bytes: Bytes) -> Result<PutNew, BlobError> {
        self.put(key, media_type, bytes).await.map(|()| PutNew::Created)
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobHead>, BlobError> {
        let modified = Timestamp::from_millis(0);
        let head = |file: fs::Metadata| BlobHead { size: file.len(), etag: String::new(), modified };
        Ok(fs::metadata(self.path(key)?).ok().map(head))
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, BlobError> {
        let mut file = File::open(self.path(key)?).map_err(failed)?;
        file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(range.end - range.start).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes.into())
    }

    async fn stream(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobStream, BlobError> {
        let size = fs::metadata(self.path(key)?).map_err(failed)?.len();
        let Range { start, end } = range.unwrap_or(0..size);
        let (own, key) = (self.clone(), key.clone());
        let starts = futures::stream::iter((start..end).step_by(1 << 20));
        let pieces = starts.then(move |start| {
            let (own, key) = (own.clone(), key.clone());
            async move { own.read(&key, start..end.min(start + (1 << 20))).await }
        });
        Ok(pieces.boxed())
    }

    async fn delete_prefix(&self, _: &BlobPrefix) -> Result<u64, BlobError> {
        Ok(0)
    }

    async fn sign_get(&self, key: &BlobKey, _: &SignGet) -> Result<SignedLink, BlobError> {
        Err(BlobError::Missing(key.to_string()))
    }

    async fn sign_put(&self, key: &BlobKey, _: &SignPut) -> Result<SignedUpload, BlobError> {
        Err(BlobError::Missing(key.to_string()))
    }
}

struct Writer(File);

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.0.write_all(&bytes).map_err(failed)
    }

    async fn finish(self: Box<Self>) -> Result<BlobHead, BlobError> {
        let size = self.0.metadata().map_err(failed)?.len();
        Ok(BlobHead { size, etag: String::new(), modified: Timestamp::from_millis(0) })
    }

    async fn abort(self: Box<Self>) -> Result<(), BlobError> {
        Ok(())
    }
}
