//! Where jobs put aside what memory does not hold: a directory and the bytes in it, within a limit.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arrow_schema::ArrowError;
use tempfile::TempDir;
use willcall_core::ports::ExecuteError;

use crate::failure::{Outcome, defect, spill, too_large_to_spill};

/// A directory that is made when something is to be put there, and goes with everything in it.
pub(crate) struct Spill {
    parent: PathBuf,
    made: Mutex<Option<TempDir>>,
    limit: Option<u64>,
    purpose: Purpose,
    used: AtomicU64,
    over: AtomicBool,
}

/// What is put aside for: errors say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Records are brought into an order.
    Sort,
    /// Rows are matched with records.
    Match,
}

impl Spill {
    pub(crate) fn new(parent: &Path, limit: Option<u64>, purpose: Purpose) -> Arc<Self> {
        let (made, used, over) = Default::default();
        Arc::new(Self { parent: parent.to_owned(), made, limit, purpose, used, over })
    }

    /// A new file, and where it is.
    pub(crate) fn file(self: &Arc<Self>) -> Outcome<(SpillFile, PathBuf)> {
        let (file, path) = tempfile::NamedTempFile::new_in(self.path()?)
            .and_then(|file| file.keep().map_err(|error| error.error))
            .map_err(spill)?;
        Ok((SpillFile { file, held: Held { spill: Arc::clone(self), bytes: 0 } }, path))
    }

    /// What a failure to write here means.
    pub(crate) fn failure(&self, error: impl Into<willcall_core::error::Source>) -> ExecuteError {
        match self.limit.filter(|_| self.over.load(Ordering::Relaxed)) {
            Some(limit) => too_large_to_spill(self.purpose, limit),
            None => spill(error),
        }
    }

    fn path(&self) -> Outcome<PathBuf> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref() {
            return Ok(made.path().to_owned());
        }
        std::fs::create_dir_all(&self.parent).map_err(spill)?;
        let directory =
            tempfile::Builder::new().prefix("willcall-spill-").tempdir_in(&self.parent).map_err(spill)?;
        let path = directory.path().to_owned();
        *made = Some(directory);
        Ok(path)
    }
}

/// Bytes on the disk; dropped when they are gone from it.
pub(crate) struct Held {
    spill: Arc<Spill>,
    bytes: u64,
}

impl Held {
    fn grow(&mut self, bytes: u64) -> io::Result<()> {
        let used = self.spill.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.bytes += bytes;
        if self.spill.limit.is_some_and(|limit| used > limit) {
            self.spill.over.store(true, Ordering::Relaxed);
            return Err(io::Error::other("the job puts aside more than it may"));
        }
        Ok(())
    }

    /// Where the bytes are.
    pub(crate) fn spill(&self) -> &Spill {
        &self.spill
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.spill.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A file that is written, and counted.
pub(crate) struct SpillFile {
    file: File,
    held: Held,
}

impl SpillFile {
    /// Ends the writing.
    pub(crate) fn written(self) -> Held {
        self.held
    }
}

impl Write for SpillFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.grow(bytes.len() as u64)?;
        // Whole, so that what is counted is there.
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What a failure to spill means: the disk's are told apart from ours.
pub(crate) fn spilling(spill: &Spill, error: ArrowError) -> ExecuteError {
    match error {
        ArrowError::IoError(..) => spill.failure(error),
        other => defect(other),
    }
}
