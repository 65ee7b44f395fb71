//! Reads of ranges, exact to the byte: S3 itself cuts a range that reaches past the end.

use std::ops::Range;

use aws_sdk_s3::{operation::get_object::GetObjectOutput, primitives::ByteStream};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use willcall_core::ports::{BlobError, BlobStream, WholeBlob};

use super::{Odd, S3BlobStore, blob_head, unavailable};
use crate::failure::{CallFailed, status};

/// A body that broke off is fetched anew this often: the SDK tries again only until a body begins.
const BODIES: u32 = 3;

impl S3BlobStore {
    pub(super) async fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlobError> {
        let wanted = Some(range.clone());
        collect_of(&range, || self.get(key, &wanted)).await
    }

    /// The bytes of a range of a blob that must still be the one that was found.
    pub(super) async fn read_as_found(
        &self,
        whole: &WholeBlob,
        range: Range<u64>,
    ) -> Result<Bytes, BlobError> {
        collect_of(&range, || self.get_as_found(whole, &range)).await
    }

    async fn get_as_found(
        &self,
        whole: &WholeBlob,
        range: &Range<u64>,
    ) -> Result<Option<ByteStream>, BlobError> {
        let key = whole.key.to_string();
        let got = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(&key)
            .range(format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
            .if_match(format!("\"{}\"", whole.etag))
            .send()
            .await
            .map_err(|error| match status(&error) {
                Some(404) => BlobError::Missing(key),
                Some(412 | 416) => whole.changed(),
                _ => unavailable("GetObject", error),
            })?;
        Ok(Some(got.body))
    }

    pub(super) async fn open(&self, key: &str, range: Option<Range<u64>>) -> Result<BlobStream, BlobError> {
        let Some(body) = self.get(key, &range).await? else { return Ok(stream::empty().boxed()) };
        let pieces = stream::unfold(body, |mut body| async {
            let piece = body.next().await?;
            Some((piece.map_err(broken), body))
        });
        Ok(pieces.boxed())
    }

    /// The body of the range; `None` where it is empty and lies within the blob.
    async fn get(&self, key: &str, range: &Option<Range<u64>>) -> Result<Option<ByteStream>, BlobError> {
        if let Some(range) = range
            && range.start >= range.end
        {
            return self.check_empty(key, range).await.map(|()| None);
        }
        let header = range.as_ref().map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let got = self.client.get_object().bucket(&self.bucket).key(key).set_range(header).send().await;
        let got = match got {
            Ok(got) => got,
            Err(error) => {
                return Err(match (status(&error), range) {
                    (Some(404), _) => BlobError::Missing(key.to_owned()),
                    (Some(416), Some(range)) => self.outside(key, range).await?.into(),
                    _ => unavailable("GetObject", error),
                });
            }
        };
        if let Some(range) = range {
            check_length(&got, range)?;
        }
        Ok(Some(got.body))
    }

    /// No range of S3's is empty, so whether this one lies within the blob is found by asking for its size.
    async fn check_empty(&self, key: &str, range: &Range<u64>) -> Result<(), BlobError> {
        let size = self.size(key).await?;
        let within = range.start == range.end && range.end <= size;
        if within { Ok(()) } else { Err(Odd::Range { start: range.start, end: range.end, size }.into()) }
    }

    async fn outside(&self, key: &str, range: &Range<u64>) -> Result<Odd, BlobError> {
        Ok(Odd::Range { start: range.start, end: range.end, size: self.size(key).await? })
    }

    async fn size(&self, key: &str) -> Result<u64, BlobError> {
        let head = self.head_object(key).await?.ok_or_else(|| BlobError::Missing(key.to_owned()))?;
        Ok(blob_head(&head)?.size)
    }
}

/// The bytes of the body that `get` fetches, which is fetched anew where it broke off. None where there is no body.
async fn collect_of<F>(range: &Range<u64>, get: impl Fn() -> F + Send) -> Result<Bytes, BlobError>
where
    F: Future<Output = Result<Option<ByteStream>, BlobError>> + Send,
{
    let mut fetched = 0;
    loop {
        let Some(body) = get().await? else { return Ok(Bytes::new()) };
        fetched += 1;
        match collect(body, range).await {
            Err(_) if fetched < BODIES => {}
            outcome => return outcome,
        }
    }
}

fn check_length(got: &GetObjectOutput, range: &Range<u64>) -> Result<(), BlobError> {
    let length =
        got.content_length().and_then(|length| u64::try_from(length).ok()).ok_or(Odd::Untold("length"))?;
    if length == range.end - range.start {
        return Ok(());
    }
    Err(Odd::Range { start: range.start, end: range.end, size: range.start + length }.into())
}

async fn collect(mut body: ByteStream, range: &Range<u64>) -> Result<Bytes, BlobError> {
    let length =
        usize::try_from(range.end - range.start).map_err(|error| BlobError::Unavailable(Box::new(error)))?;
    let mut bytes = BytesMut::with_capacity(length);
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(broken)?);
    }
    if bytes.len() != length {
        return Err(Odd::Range {
            start: range.start,
            end: range.end,
            size: range.start + bytes.len() as u64,
        }
        .into());
    }
    Ok(bytes.freeze())
}

fn broken(error: aws_sdk_s3::primitives::ByteStreamError) -> BlobError {
    BlobError::Unavailable(Box::new(CallFailed::other("reading a body of GetObject", error)))
}
