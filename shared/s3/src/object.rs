//! Reads of one object, each on the condition that it is still the one that was listed.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{GetOptions, GetRange, ObjectStore, aws::AmazonS3, path::Path};
use willcall_core::ports::{DataFile, DataFileEntry, DataFilesError};

use crate::{failure::failed, listing::path, runtime::OwnRuntime};

/// Ranges that are fetched at the same time for one thread.
const AT_ONCE: usize = 8;

/// An object, or rather what of it is asked for.
pub(crate) struct S3Object {
    object: Object,
    size: u64,
    runtime: Arc<OwnRuntime>,
}

#[derive(Clone)]
struct Object {
    store: Arc<AmazonS3>,
    bucket: String,
    path: Path,
    tag: String,
}

/// Other bytes than those that were asked for.
#[derive(Debug, thiserror::Error)]
enum Odd {
    #[error("the range {start}..{end} does not lie within the object's {size} bytes")]
    Outside { start: u64, end: u64, size: u64 },
    #[error("{got} bytes came of the {wanted} that were asked for")]
    Short { wanted: u64, got: u64 },
}

impl fmt::Debug for S3Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{} {}", self.object.bucket, self.object.path, self.object.tag)
    }
}

impl S3Object {
    pub(crate) fn new(
        store: Arc<AmazonS3>,
        runtime: &Arc<OwnRuntime>,
        bucket: &str,
        key: &str,
        entry: &DataFileEntry,
    ) -> Result<Self, DataFilesError> {
        let object = Object { store, bucket: bucket.to_owned(), path: path(key)?, tag: entry.mark.clone() };
        Ok(Self { object, size: entry.size, runtime: Arc::clone(runtime) })
    }
}

impl DataFile for S3Object {
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
    /// A body that breaks off is continued by the client, on the same condition.
    async fn read(&self, range: Range<u64>) -> Result<Bytes, DataFilesError> {
        // No range of S3's is empty.
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted = range.end - range.start;
        let options = GetOptions {
            if_match: Some(self.tag.clone()),
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(&self.path, options).await;
        let bytes = got.map_err(|error| failed(&self.bucket, error))?.bytes().await;
        let bytes = bytes.map_err(|error| failed(&self.bucket, error))?;
        let got = bytes.len() as u64;
        if got != wanted {
            return Err(DataFilesError::Unavailable(Box::new(Odd::Short { wanted, got })));
        }
        Ok(bytes)
    }
}
