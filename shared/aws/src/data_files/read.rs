//! Reads of one object, each on the condition that it is still the one that was listed.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use aws_sdk_s3::{Client, primitives::ByteStream};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use willcall_core::ports::{DataFile, DataFileEntry, DataFilesError};

use super::{failed, runtime::OwnRuntime};
use crate::{backoff::jitter, failure::CallFailed};

/// Ranges that are fetched at the same time for one thread.
const AT_ONCE: usize = 8;

/// A body that broke off is fetched anew this often: the SDK tries again only until a body begins.
const BODIES: u32 = 4;

/// The longest wait before a body is fetched anew.
const PAUSE: Duration = Duration::from_millis(400);

/// An object, or rather what of it is asked for.
pub(super) struct S3DataFile {
    object: Object,
    size: u64,
    runtime: Arc<OwnRuntime>,
}

#[derive(Clone)]
struct Object {
    client: Client,
    bucket: String,
    key: String,
    tag: String,
}

/// S3 answered other bytes than those that were asked for.
#[derive(Debug, thiserror::Error)]
enum Odd {
    #[error("the range {start}..{end} does not lie within the object's {size} bytes")]
    Outside { start: u64, end: u64, size: u64 },
    #[error("{got} bytes came of the {wanted} that were asked for")]
    Short { wanted: u64, got: u64 },
}

impl fmt::Debug for S3DataFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{} {}", self.object.bucket, self.object.key, self.object.tag)
    }
}

impl S3DataFile {
    pub(super) fn new(
        client: &Client,
        runtime: &Arc<OwnRuntime>,
        bucket: &str,
        key: &str,
        entry: &DataFileEntry,
    ) -> Self {
        let object = Object {
            client: client.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            tag: entry.mark.clone(),
        };
        Self { object, size: entry.size, runtime: Arc::clone(runtime) }
    }
}

impl DataFile for S3DataFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DataFilesError> {
        let end = position.saturating_add(buffer.len() as u64).min(self.size);
        if position >= end {
            return Ok(0);
        }
        let bytes = self.read_ranges(std::slice::from_ref(&(position..end)))?.concat();
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, DataFilesError> {
        if let Some(range) = ranges.iter().find(|range| range.start > range.end || range.end > self.size) {
            let odd = Odd::Outside { start: range.start, end: range.end, size: self.size };
            return Err(DataFilesError::Unreadable(Box::new(odd)));
        }
        let (object, ranges) = (self.object.clone(), ranges.to_vec());
        self.runtime.wait(async move {
            let reads = ranges.into_iter().map(|range| {
                let object = object.clone();
                // Boxed: the SDK's futures are large.
                Box::pin(async move { object.read(range).await })
            });
            stream::iter(reads).buffered(AT_ONCE).try_collect().await
        })
    }

    fn is_far(&self) -> bool {
        true
    }

    /// Nothing is read but on the condition that it is the same object.
    fn check(&self) -> Result<(), DataFilesError> {
        Ok(())
    }
}

impl Object {
    async fn read(&self, range: Range<u64>) -> Result<Bytes, DataFilesError> {
        // No range of S3's is empty.
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut tries = 1;
        loop {
            let body = self.get(&range).await?;
            match collect(body, &range).await {
                Err(DataFilesError::Unavailable(_)) if tries < BODIES => {
                    tokio::time::sleep(jitter(PAUSE)).await;
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn get(&self, range: &Range<u64>) -> Result<ByteStream, DataFilesError> {
        let get =
            self.client.get_object().bucket(&self.bucket).key(&self.key).if_match(&self.tag).range(format!(
                "bytes={}-{}",
                range.start,
                range.end - 1
            ));
        let got = get.send().await.map_err(|error| failed("GetObject", error))?;
        Ok(got.body)
    }
}

async fn collect(mut body: ByteStream, range: &Range<u64>) -> Result<Bytes, DataFilesError> {
    let wanted = range.end - range.start;
    let length = usize::try_from(wanted).map_err(|error| DataFilesError::Unreadable(error.into()))?;
    let mut bytes = BytesMut::with_capacity(length);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| {
            let failed = CallFailed::other("reading a body of GetObject", error);
            DataFilesError::Unavailable(Box::new(failed))
        })?;
        bytes.extend_from_slice(&piece);
        // More than was asked for is not to be held either.
        if bytes.len() > length {
            break;
        }
    }
    if bytes.len() != length {
        let odd = Odd::Short { wanted, got: bytes.len() as u64 };
        return Err(DataFilesError::Unavailable(Box::new(odd)));
    }
    Ok(bytes.freeze())
}
