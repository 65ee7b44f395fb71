//! Reads an open blob: a range at once, or as a stream of pieces read a little ahead.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream};
use willcall_core::ports::{BlobError, BlobHead, BlobStream, SignedFileBody};

use super::files::{blob_error, blocking, head_of, is_missing};

/// The size of a piece of a stream.
const PIECE: u64 = 256 * 1024;
/// Pieces that are read ahead of who takes them.
const AHEAD: usize = 2;

/// A blob held open: whatever happens to its name, its bytes stay.
#[derive(Debug)]
pub(super) struct OpenBlob {
    file: Arc<File>,
    pub(super) head: BlobHead,
}

/// A range was asked for that the blob does not have.
#[derive(Debug, thiserror::Error)]
#[error("the range {start}..{end} does not lie within {size} bytes")]
struct OutOfRange {
    start: u64,
    end: u64,
    size: u64,
}

impl OpenBlob {
    pub(super) fn open(path: &Path, name: &str) -> Result<Self, BlobError> {
        let failed = |error| match is_missing(&error) {
            true => BlobError::Missing(name.to_owned()),
            false => blob_error(error),
        };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(BlobError::Missing(name.to_owned()));
        }
        Ok(Self { head: head_of(&metadata), file: Arc::new(file) })
    }

    /// As [`Self::open`], but follows no link that leads out of `root`.
    pub(super) fn open_within(root: &Path, path: &Path, name: &str) -> Result<Self, BlobError> {
        let missing = |error: io::Error| match is_missing(&error) {
            true => BlobError::Missing(name.to_owned()),
            false => blob_error(error),
        };
        let (real_root, real) =
            (root.canonicalize().map_err(missing)?, path.canonicalize().map_err(missing)?);
        match real.strip_prefix(&real_root) {
            Ok(within) if within == Path::new(name) => Self::open(&real, name),
            _ => Err(BlobError::Missing(name.to_owned())),
        }
    }

    pub(super) fn read(&self, range: &Range<u64>) -> Result<Bytes, BlobError> {
        self.check(range)?;
        read_at(&self.file, range.start, range.end - range.start)
    }

    pub(super) fn stream(self, range: Range<u64>) -> Result<BlobStream, BlobError> {
        self.check(&range)?;
        let pieces = (range.start..range.end).step_by(PIECE as usize).map(move |start| {
            let (file, size) = (Arc::clone(&self.file), PIECE.min(range.end - start));
            blocking(move || read_at(&file, start, size))
        });
        Ok(stream::iter(pieces).buffered(AHEAD).boxed())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn check(&self, range: &Range<u64>) -> Result<(), BlobError> {
        if range.start <= range.end && range.end <= self.head.size {
            return Ok(());
        }
        let out = OutOfRange { start: range.start, end: range.end, size: self.head.size };
        Err(BlobError::Unavailable(Box::new(out)))
    }
}

impl SignedFileBody for OpenBlob {
    fn stream(self: Box<Self>, range: Range<u64>) -> BlobStream {
        match (*self).stream(range) {
            Ok(stream) => stream,
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }
}

fn read_at(file: &File, start: u64, size: u64) -> Result<Bytes, BlobError> {
    let size = usize::try_from(size).map_err(|e| BlobError::Unavailable(Box::new(e)))?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, start).map_err(blob_error)?;
    Ok(bytes.into())
}
