//! Reads of one object, each on the condition that it is still the one that was listed.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use willcall_core::ports::{DataFile, DataFileEntry, DataFilesError};

use crate::OwnRuntime;

/// Ranges that are fetched at the same time for one thread.
const AT_ONCE: usize = 8;

/// A client's way to one object.
pub trait ReadRange: Clone + fmt::Debug + Send + Sync + 'static {
    /// Exactly the bytes of a range, which is not empty and lies within what was listed. Fails with
    /// [`DataFilesError::Changed`] where the object is not the one that was listed any more.
    fn read(&self, range: Range<u64>) -> impl Future<Output = Result<Bytes, DataFilesError>> + Send;
}

/// Other bytes than those that were asked for.
#[derive(Debug, thiserror::Error)]
enum Odd {
    #[error("the range {start}..{end} does not lie within the object's {size} bytes")]
    Outside { start: u64, end: u64, size: u64 },
    #[error("{got} bytes came of the {wanted} that were asked for")]
    Short { wanted: u64, got: u64 },
}

/// The error of a read that `got` another number of bytes than it `wanted`.
pub fn short(wanted: u64, got: u64) -> DataFilesError {
    DataFilesError::Unavailable(Box::new(Odd::Short { wanted, got }))
}

/// An object as a data file.
pub struct ObjectFile<R> {
    object: R,
    size: u64,
    runtime: Arc<OwnRuntime>,
}

impl<R> ObjectFile<R> {
    /// The object that was listed as `entry`.
    pub fn new(object: R, entry: &DataFileEntry, runtime: &Arc<OwnRuntime>) -> Self {
        Self { object, size: entry.size, runtime: Arc::clone(runtime) }
    }
}

impl<R: fmt::Debug> fmt::Debug for ObjectFile<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

impl<R: ReadRange> DataFile for ObjectFile<R> {
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
                // Boxed: clients' futures are large.
                Box::pin(async move {
                    // No range of an object store's is empty.
                    if range.is_empty() { Ok(Bytes::new()) } else { object.read(range).await }
                })
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
