//! Blobs in S3, under the names that [`BlobKey`] gives them.

mod assemble;
mod delete;
mod parts;
mod read;
mod writer;

use std::{
    collections::HashMap,
    ops::Range,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client, error::ProvideErrorMetadata, operation::head_object::HeadObjectOutput,
    presigning::PresigningConfig, primitives::ByteStream, types::ChecksumAlgorithm,
};
use bytes::Bytes;
use willcall_core::{
    Timestamp,
    error::Source,
    file_name::disposition,
    ports::{
        BlobError, BlobHead, BlobKey, BlobPrefix, BlobStore, BlobStream, BlobWriter, Piece, PutNew, SignGet,
        SignPut, SignedLink, SignedUpload,
    },
};

pub(crate) use self::writer::S3BlobWriter;
use crate::{
    Clients,
    backoff::Backoff,
    clients,
    failure::{CallFailed, status},
};

/// The blob store on S3. The bucket must not keep versions, and should remove unfinished uploads after a day: what
/// a killed process left behind.
#[derive(Debug, Clone)]
pub struct S3BlobStore {
    client: Client,
    bucket: String,
}

/// S3 answered what it cannot have meant.
#[derive(Debug, thiserror::Error)]
enum Odd {
    #[error("S3 told no {0}")]
    Untold(&'static str),
    #[error("the range {start}..{end} does not lie within the blob's {size} bytes")]
    Range { start: u64, end: u64, size: u64 },
    #[error("{kept} bytes are kept of the {written} that were written")]
    Size { written: u64, kept: u64 },
}

impl From<Odd> for BlobError {
    fn from(odd: Odd) -> Self {
        Self::Unavailable(Box::new(odd))
    }
}

impl S3BlobStore {
    /// The blobs of that bucket.
    pub fn new(clients: &Clients, bucket: impl Into<String>) -> Self {
        Self { client: clients.s3.clone(), bucket: bucket.into() }
    }

    /// Puts a blob in one request, with a checksum that S3 verifies.
    async fn put_object(
        &self,
        key: &str,
        media_type: &str,
        bytes: Bytes,
        if_none_match: Option<&str>,
        metadata: HashMap<String, String>,
    ) -> Result<PutNew, BlobError> {
        let config = clients::upload(bytes.len());
        let mut backoff = Backoff::default();
        loop {
            let put = self
                .client
                .put_object()
                .bucket(&self.bucket)
                .key(key)
                .content_type(media_type)
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .set_if_none_match(if_none_match.map(str::to_owned))
                .set_metadata(Some(metadata.clone()))
                .body(ByteStream::from(bytes.clone()))
                .customize()
                .config_override(config.clone());
            let Err(error) = put.send().await else { return Ok(PutNew::Created) };
            match error.code() {
                Some("PreconditionFailed") if if_none_match.is_some() => return Ok(PutNew::Exists),
                // Another puts the same blob just now: who was first is known in a moment.
                Some("ConditionalRequestConflict") => {
                    backoff.wait().await.map_err(|error| BlobError::Unavailable(Box::new(error)))?;
                }
                _ => return Err(unavailable("PutObject", error)),
            }
        }
    }

    pub(crate) async fn head_object(&self, key: &str) -> Result<Option<HeadObjectOutput>, BlobError> {
        match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(found) => Ok(Some(found)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(unavailable("HeadObject", error)),
        }
    }
}

#[async_trait]
impl BlobStore for S3BlobStore {
    async fn writer(&self, key: &BlobKey, media_type: &str) -> Result<Box<dyn BlobWriter>, BlobError> {
        let (key, media_type) = (key.to_string(), media_type.to_owned());
        Ok(Box::new(S3BlobWriter::new(self.clone(), key, media_type, HashMap::new())))
    }

    async fn put(&self, key: &BlobKey, media_type: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.put_object(&key.to_string(), media_type, bytes, None, HashMap::new()).await?;
        Ok(())
    }

    async fn put_new(&self, key: &BlobKey, media_type: &str, bytes: Bytes) -> Result<PutNew, BlobError> {
        self.put_object(&key.to_string(), media_type, bytes, Some("*"), HashMap::new()).await
    }

    async fn assemble(
        &self,
        key: &BlobKey,
        media_type: &str,
        pieces: Vec<Piece>,
    ) -> Result<BlobHead, BlobError> {
        let (key, media_type) = (key.to_string(), media_type.to_owned());
        let mut writer = Box::new(S3BlobWriter::new(self.clone(), key, media_type, HashMap::new()));
        match writer.assemble(pieces).await {
            Ok(()) => writer.finish_alone().await,
            Err(error) => {
                // What failed before is what is told.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobHead>, BlobError> {
        self.head_object(&key.to_string()).await?.as_ref().map(blob_head).transpose()
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, BlobError> {
        self.read_range(&key.to_string(), range).await
    }

    async fn stream(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobStream, BlobError> {
        self.open(&key.to_string(), range).await
    }

    async fn delete_prefix(&self, prefix: &BlobPrefix) -> Result<u64, BlobError> {
        self.delete_all(&prefix.to_string()).await
    }

    async fn sign_get(&self, key: &BlobKey, sign: &SignGet) -> Result<SignedLink, BlobError> {
        let config = presigning(sign.now, sign.lifetime)?;
        let signed = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key.to_string())
            .response_content_type(&sign.media_type)
            .response_content_disposition(disposition(&sign.file_name))
            .presigned(config)
            .await
            .map_err(|error| not_signed(error.into()))?;
        Ok(SignedLink { url: signed.uri().to_owned(), expires: sign.now.plus(sign.lifetime) })
    }

    /// Length and media type are among the headers that are signed: S3 refuses a PUT that has others.
    async fn sign_put(&self, key: &BlobKey, sign: &SignPut) -> Result<SignedUpload, BlobError> {
        let bytes = i64::try_from(sign.bytes).map_err(|error| not_signed(error.into()))?;
        let signed = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key.to_string())
            .content_length(bytes)
            .content_type(&sign.media_type)
            .presigned(presigning(sign.now, sign.lifetime)?)
            .await
            .map_err(|error| not_signed(error.into()))?;
        // Whoever sends a body tells its length by itself; a browser lets nobody else tell it.
        let headers = signed.headers().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
        let headers = headers.map(|(name, value)| (header_name(name), value.to_owned()));
        Ok(SignedUpload {
            url: signed.uri().to_owned(),
            headers: headers.collect(),
            expires: sign.now.plus(sign.lifetime),
        })
    }
}

/// From when and how long a link works.
fn presigning(now: Timestamp, lifetime: Duration) -> Result<PresigningConfig, BlobError> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    let config = PresigningConfig::builder().start_time(now).expires_in(lifetime).build();
    config.map_err(|error| not_signed(error.into()))
}

fn not_signed(error: Source) -> BlobError {
    BlobError::Unavailable(Box::new(CallFailed::other("signing a link", error)))
}

/// As people write it: `Content-Type`.
fn header_name(lower: &str) -> String {
    let part = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    lower.split('-').filter(|part| !part.is_empty()).map(part).collect::<Vec<_>>().join("-")
}

fn blob_head(head: &HeadObjectOutput) -> Result<BlobHead, BlobError> {
    let size = head.content_length().and_then(|size| u64::try_from(size).ok()).ok_or(Odd::Untold("size"))?;
    let etag = head.e_tag().ok_or(Odd::Untold("entity tag"))?.trim_matches('"').to_owned();
    let modified = head.last_modified().and_then(|time| time.to_millis().ok()).ok_or(Odd::Untold("time"))?;
    Ok(BlobHead { size, etag, modified: Timestamp::from_millis(modified) })
}

fn unavailable<E>(operation: &'static str, error: E) -> BlobError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    BlobError::Unavailable(Box::new(CallFailed::new(operation, error)))
}
