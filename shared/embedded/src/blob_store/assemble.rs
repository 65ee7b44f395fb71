//! Makes a blob of others by copying files.

use std::{path::Path, sync::Weak};

use willcall_core::ports::{BlobError, BlobHead, Piece, WholeBlob};

use super::{
    files::{Staged, blob_error},
    reader::OpenBlob,
};

/// What is copied before it is asked whether anybody still waits.
const STRETCH: u64 = 64 << 20;

/// Nobody waits for the blob any more.
#[derive(Debug, thiserror::Error)]
#[error("the blob was given up while it was being made")]
struct GivenUp;

/// Writes the pieces aside, and gives the whole its name. Gives it up once nobody holds `wanted`.
pub(super) fn pieces(
    root: &Path,
    target: &Path,
    pieces: Vec<Piece>,
    wanted: &Weak<()>,
) -> Result<BlobHead, BlobError> {
    let mut staged = Staged::create(root).map_err(blob_error)?;
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => staged.write(&bytes).map_err(blob_error)?,
            Piece::Whole(whole) => copy(&mut staged, root, &whole, wanted)?,
        }
    }
    staged.sync().map_err(blob_error)?;
    let head = staged.head().map_err(blob_error)?;
    still(wanted)?;
    staged.replace(target).map_err(blob_error)?;
    Ok(head)
}

fn copy(staged: &mut Staged, root: &Path, whole: &WholeBlob, wanted: &Weak<()>) -> Result<(), BlobError> {
    let name = whole.key.to_string();
    let blob = OpenBlob::open(&root.join(&name), &name)?;
    whole.check(Some(blob.head.clone()))?;
    let mut left = whole.size;
    while left > 0 {
        still(wanted)?;
        let stretch = left.min(STRETCH);
        staged.copy(blob.file(), stretch).map_err(blob_error)?;
        left -= stretch;
    }
    Ok(())
}

fn still(wanted: &Weak<()>) -> Result<(), BlobError> {
    if wanted.strong_count() > 0 { Ok(()) } else { Err(BlobError::Unavailable(Box::new(GivenUp))) }
}
