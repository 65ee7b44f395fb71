//! Writes one blob. One piece goes to the disk while the next is being made.

use std::{io, path::PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinHandle;
use willcall_core::{
    error::Source,
    ports::{BlobError, BlobHead, BlobWriter},
};

use super::files::{Staged, blob_error, blocking};

/// Small pieces are gathered to this size, so that each costs no trip to another thread.
const GATHERED: usize = 512 * 1024;

pub(super) struct DirBlobWriter {
    target: PathBuf,
    gathered: Vec<Bytes>,
    size: usize,
    state: State,
}

enum State {
    Idle(Staged),
    Writing(JoinHandle<(Staged, io::Result<()>)>),
    /// A write failed; the file is gone.
    Failed,
}

/// A writer was used again after it had failed.
#[derive(Debug, thiserror::Error)]
#[error("an earlier write of the blob failed")]
struct FailedBefore;

impl DirBlobWriter {
    pub(super) fn new(staged: Staged, target: PathBuf) -> Self {
        Self { target, gathered: Vec::new(), size: 0, state: State::Idle(staged) }
    }

    /// Waits for the write that is under way, if one is.
    async fn idle(&mut self) -> Result<Staged, BlobError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(staged) => Ok(staged),
            State::Writing(write) => match write.await {
                Ok((staged, Ok(()))) => Ok(staged),
                Ok((_, Err(error))) => Err(blob_error(error)),
                Err(stopped) => {
                    let source: Source = Box::new(stopped);
                    Err(BlobError::Unavailable(source))
                }
            },
            State::Failed => Err(BlobError::Unavailable(Box::new(FailedBefore))),
        }
    }

    async fn flush(&mut self) -> Result<(), BlobError> {
        let mut staged = self.idle().await?;
        let pieces = std::mem::take(&mut self.gathered);
        self.size = 0;
        self.state = State::Writing(tokio::task::spawn_blocking(move || {
            let written = pieces.iter().try_for_each(|piece| staged.write(piece));
            (staged, written)
        }));
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for DirBlobWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if matches!(self.state, State::Failed) {
            return Err(BlobError::Unavailable(Box::new(FailedBefore)));
        }
        self.size += bytes.len();
        self.gathered.push(bytes);
        if self.size >= GATHERED { self.flush().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> Result<BlobHead, BlobError> {
        let mut staged = self.idle().await?;
        let (pieces, target) = (std::mem::take(&mut self.gathered), std::mem::take(&mut self.target));
        blocking(move || {
            pieces.iter().try_for_each(|piece| staged.write(piece)).map_err(blob_error)?;
            staged.sync().map_err(blob_error)?;
            let head = staged.head().map_err(blob_error)?;
            staged.replace(&target).map_err(blob_error)?;
            Ok(head)
        })
        .await
    }

    async fn abort(mut self: Box<Self>) -> Result<(), BlobError> {
        // What failed before is what is being given up.
        let _ = self.idle().await;
        Ok(())
    }
}
