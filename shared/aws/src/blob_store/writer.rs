//! Writes a blob of any size: one request while it is small, else a multipart upload with few parts on their way
//! at once. Nothing can be seen of it before it is finished.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use tokio::{
    runtime::Handle,
    task::{JoinHandle, JoinSet},
};
use willcall_core::ports::{BlobError, BlobHead, BlobWriter};

use super::{
    Odd, S3BlobStore, blob_head,
    parts::{MOST_PARTS, part_size, parts_in_flight},
    unavailable,
};
use crate::{backoff::write_id, clients};

/// The metadata that tells whose upload an object came from.
const WRITE: &str = "willcall-write";

pub(crate) struct S3BlobWriter {
    store: S3BlobStore,
    key: String,
    media_type: String,
    metadata: HashMap<String, String>,
    /// What is not yet on its way: less than a part.
    filling: BytesMut,
    written: u64,
    upload: Option<Upload>,
    /// An upload that S3 is being told of, by a task of its own: should nobody wait for it any more, it can still be
    /// given up.
    beginning: Option<JoinHandle<Result<Upload, BlobError>>>,
    /// A part was lost, or may have been: what is left must not become a blob.
    failed: bool,
}

/// An upload in parts that S3 knows of.
struct Upload {
    id: String,
    /// The name by which the finished object is known to be this one.
    write: String,
    sent: i32,
    on_their_way: JoinSet<Result<CompletedPart, BlobError>>,
    done: Vec<CompletedPart>,
}

/// More was written than S3 keeps in one object.
#[derive(Debug, thiserror::Error)]
#[error("a blob can have no more than {MOST_PARTS} parts")]
struct TooLarge;

/// An earlier write failed.
#[derive(Debug, thiserror::Error)]
#[error("a part of the blob was not written")]
struct Incomplete;

/// The task of a part stopped without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the upload of a part was given up")]
struct GivenUp(#[source] tokio::task::JoinError);

impl S3BlobWriter {
    pub(crate) fn new(
        store: S3BlobStore,
        key: String,
        media_type: String,
        metadata: HashMap<String, String>,
    ) -> Self {
        Self {
            store,
            key,
            media_type,
            metadata,
            filling: BytesMut::new(),
            written: 0,
            upload: None,
            beginning: None,
            failed: false,
        }
    }

    fn next_part_size(&self) -> usize {
        part_size(self.upload.as_ref().map_or(0, |upload| upload.sent) + 1)
    }

    pub(super) fn store(&self) -> &S3BlobStore {
        &self.store
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Whether S3 knows of an upload in parts.
    pub(super) fn is_in_parts(&self) -> bool {
        self.upload.is_some()
    }

    /// Takes all that a small blob consists of, to be sent when it is finished.
    pub(super) fn write_small(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.written = bytes.len() as u64;
        self.filling = bytes.into();
        Ok(())
    }

    /// Sends what has been gathered as the next part, once there is room on the way.
    async fn send_part(&mut self) -> Result<(), BlobError> {
        let bytes = self.filling.split().freeze();
        let (store, written) = (self.store.clone(), self.written);
        self.add_part(written, parts_in_flight(bytes.len()), |key, id, number| async move {
            store.upload_part(key, id, number, bytes).await
        })
        .await
    }

    /// Has the next part made, by key, upload and number, once no more than `most` are on their way. `written` is what the blob has
    /// with it.
    pub(super) async fn add_part<F>(
        &mut self,
        written: u64,
        most: usize,
        make: impl FnOnce(String, String, i32) -> F,
    ) -> Result<(), BlobError>
    where
        F: Future<Output = Result<CompletedPart, BlobError>> + Send + 'static,
    {
        self.written = written;
        let upload = match self.upload.take() {
            Some(upload) => upload,
            None => {
                let (store, key) = (self.store.clone(), self.key.clone());
                let (media_type, metadata) = (self.media_type.clone(), self.metadata.clone());
                let begin = || tokio::spawn(store.begin(key, media_type, metadata));
                let begun = self.beginning.get_or_insert_with(begin).await;
                self.beginning = None;
                begun.map_err(|error| BlobError::Unavailable(Box::new(GivenUp(error))))??
            }
        };
        let upload = self.upload.insert(upload);
        if upload.sent >= MOST_PARTS {
            return Err(BlobError::Full(Box::new(TooLarge)));
        }
        while upload.on_their_way.len() >= most {
            upload.one_done().await?;
        }
        upload.sent += 1;
        upload.on_their_way.spawn(make(self.key.clone(), upload.id.clone(), upload.sent));
        Ok(())
    }

    async fn kept(&self) -> Result<BlobHead, BlobError> {
        let head = self.store.head_object(&self.key).await?;
        let head = head.ok_or_else(|| BlobError::Missing(self.key.clone()))?;
        let head = blob_head(&head)?;
        if head.size == self.written {
            Ok(head)
        } else {
            Err(Odd::Size { written: self.written, kept: head.size }.into())
        }
    }
}

impl Upload {
    /// Waits for one of the parts that are on their way.
    async fn one_done(&mut self) -> Result<(), BlobError> {
        if let Some(part) = self.on_their_way.join_next().await {
            self.done.push(part.map_err(|error| BlobError::Unavailable(Box::new(GivenUp(error))))??);
        }
        Ok(())
    }

    async fn all_done(&mut self) -> Result<(), BlobError> {
        while !self.on_their_way.is_empty() {
            self.one_done().await?;
        }
        Ok(())
    }
}

impl S3BlobStore {
    async fn begin(
        self,
        key: String,
        media_type: String,
        metadata: HashMap<String, String>,
    ) -> Result<Upload, BlobError> {
        let write = write_id().map_err(|error| BlobError::Unavailable(Box::new(error)))?;
        let begun = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .content_type(media_type)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_metadata(Some(metadata))
            .metadata(WRITE, &write)
            .send()
            .await
            .map_err(|error| unavailable("CreateMultipartUpload", error))?;
        let id = begun.upload_id.ok_or(Odd::Untold("upload"))?;
        Ok(Upload { id, write, sent: 0, on_their_way: JoinSet::new(), done: Vec::new() })
    }

    pub(super) async fn upload_part(
        &self,
        key: String,
        upload: String,
        number: i32,
        bytes: Bytes,
    ) -> Result<CompletedPart, BlobError> {
        let config = clients::upload(bytes.len());
        let sent = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(config)
            .send()
            .await
            .map_err(|error| unavailable("UploadPart", error))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .build())
    }

    /// Makes one object of the parts.
    async fn complete(&self, key: &str, upload: &mut Upload) -> Result<(), BlobError> {
        upload.done.sort_by_key(|part| part.part_number());
        let parts = CompletedMultipartUpload::builder().set_parts(Some(upload.done.clone())).build();
        let completed = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(&upload.id)
            .multipart_upload(parts)
            .customize()
            .config_override(clients::assembly())
            .send()
            .await;
        let Err(error) = completed else { return Ok(()) };
        // The answer to an earlier try may have been lost: then the object is there, and is this one.
        if error.code() == Some("NoSuchUpload") {
            let head = self.head_object(key).await?;
            if head.as_ref().and_then(|head| head.metadata()?.get(WRITE)) == Some(&upload.write) {
                return Ok(());
            }
        }
        Err(unavailable("CompleteMultipartUpload", error))
    }

    /// Gives an upload up once none of its parts is on its way, so that no part comes after it and stays.
    async fn abort(&self, key: &str, mut upload: Upload) -> Result<(), BlobError> {
        upload.on_their_way.shutdown().await;
        self.give_up(key, &upload.id).await
    }

    /// Tells S3 that nothing becomes of an upload. One that is not there any more is no failure.
    pub(super) async fn give_up(&self, key: &str, upload: &str) -> Result<(), BlobError> {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        match abort.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(unavailable("AbortMultipartUpload", error)),
        }
    }
}

/// The upload, also one that has only just begun.
async fn begun(
    upload: Option<Upload>,
    beginning: Option<JoinHandle<Result<Upload, BlobError>>>,
) -> Option<Upload> {
    match (upload, beginning) {
        (None, Some(beginning)) => beginning.await.ok()?.ok(),
        (upload, _) => upload,
    }
}

#[async_trait]
impl BlobWriter for S3BlobWriter {
    async fn write(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        if self.failed {
            return Err(BlobError::Unavailable(Box::new(Incomplete)));
        }
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            let size = self.next_part_size();
            let room = size.saturating_sub(self.filling.len());
            let piece = bytes.split_to(bytes.len().min(room));
            self.filling.extend_from_slice(&piece);
            if self.filling.len() >= size {
                self.failed = true;
                self.send_part().await?;
                self.failed = false;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<BlobHead, BlobError> {
        if self.failed {
            return Err(BlobError::Unavailable(Box::new(Incomplete)));
        }
        if self.upload.is_some() && !self.filling.is_empty() {
            self.send_part().await?;
        }
        // Borrowed until it is done, so that dropping this gives up an upload that failed.
        if let Some(upload) = &mut self.upload {
            upload.all_done().await?;
            self.store.complete(&self.key, upload).await?;
            self.upload = None;
        } else {
            let bytes = self.filling.split().freeze();
            let metadata = std::mem::take(&mut self.metadata);
            self.store.put_object(&self.key, &self.media_type, bytes, None, metadata).await?;
        }
        self.kept().await
    }

    async fn abort(mut self: Box<Self>) -> Result<(), BlobError> {
        let upload = begun(self.upload.take(), self.beginning.take()).await;
        match upload {
            Some(upload) => self.store.abort(&self.key, upload).await,
            None => Ok(()),
        }
    }
}

impl Drop for S3BlobWriter {
    /// An upload that is neither finished nor aborted is given up in the background; should the process end first,
    /// the bucket's rule for unfinished uploads removes it.
    fn drop(&mut self) {
        let (upload, beginning) = (self.upload.take(), self.beginning.take());
        if upload.is_none() && beginning.is_none() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (store, key) = (self.store.clone(), self.key.clone());
        runtime.spawn(async move {
            let Some(upload) = begun(upload, beginning).await else { return };
            if let Err(error) = store.abort(&key, upload).await {
                tracing::warn!(error = %error, "failed to abort upload");
            }
        });
    }
}
