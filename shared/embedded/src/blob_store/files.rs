//! What the directory store does with files: stage, sync, place, remove.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use willcall_core::{
    Timestamp,
    error::Source,
    ports::{BlobError, BlobHead, PutNew},
};

use super::STAGING;

/// How often placing a file is tried anew where its directory was removed meanwhile.
const PLACINGS: u32 = 8;

static STAGED: AtomicU64 = AtomicU64::new(0);
static LAST_WRITTEN: AtomicU64 = AtomicU64::new(0);

/// A file that is being written aside. Dropped, it goes.
#[derive(Debug)]
pub(super) struct Staged {
    file: File,
    aside: Aside,
}

/// The name of a staged file; removes what it leads to when dropped.
#[derive(Debug)]
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        // Gone already where the file was renamed into place.
        let _ = fs::remove_file(&self.0);
    }
}

impl Staged {
    pub(super) fn create(root: &Path) -> io::Result<Self> {
        let number = STAGED.fetch_add(1, Ordering::Relaxed);
        let path = root.join(STAGING).join(format!("{}-{number}", std::process::id()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok(Self { file, aside: Aside(path) })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Appends the next bytes of another file, which the system copies by itself, without a copy where it can.
    pub(super) fn copy(&mut self, source: &File, bytes: u64) -> io::Result<()> {
        match io::copy(&mut source.take(bytes), &mut self.file)? {
            copied if copied == bytes => Ok(()),
            _ => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Makes the bytes survive a crash of the machine.
    pub(super) fn sync(&self) -> io::Result<()> {
        // The file system's clock ticks every few milliseconds and inodes are used again, so two versions of a blob
        // could look alike. A time that never comes twice tells them apart.
        self.file.set_modified(UNIX_EPOCH + Duration::from_nanos(unique_nanos()))?;
        self.file.sync_all()
    }

    pub(super) fn head(&self) -> io::Result<BlobHead> {
        Ok(head_of(&self.file.metadata()?))
    }

    /// Gives the file its name, in place of one that has it.
    pub(super) fn replace(self, target: &Path) -> io::Result<()> {
        place(target, || fs::rename(&self.aside.0, target))
    }

    /// Gives the file its name unless one has it.
    pub(super) fn place_new(self, target: &Path) -> io::Result<PutNew> {
        match place(target, || fs::hard_link(&self.aside.0, target)) {
            Ok(()) => Ok(PutNew::Created),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(PutNew::Exists),
            Err(error) => Err(error),
        }
    }
}

fn place(target: &Path, act: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let parent = target.parent().unwrap_or(Path::new("/"));
    let mut tries = 0;
    loop {
        make_directory(parent)?;
        match act() {
            // Someone removed the directory between the two steps.
            Err(error) if error.kind() == ErrorKind::NotFound && tries < PLACINGS => tries += 1,
            Err(error) => return Err(error),
            Ok(()) => return sync_directory(parent),
        }
    }
}

/// Makes a directory and those above it, each known to its parent for good.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => parent.map_or(Ok(()), sync_directory),
    }
}

pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(directory) => directory.sync_all(),
        // Removed meanwhile, and what was in it with it.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the staging directory, empty.
pub(super) fn sweep(staging: &Path) -> io::Result<()> {
    make_directory(staging)?;
    for entry in fs::read_dir(staging)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Removes a file, or a directory with all that is in it; answers how many files went.
pub(super) fn remove_tree(path: &Path) -> io::Result<u64> {
    let removed = remove(path)?;
    if removed > 0
        && let Some(parent) = path.parent()
    {
        sync_directory(parent)?;
    }
    Ok(removed)
}

fn remove(path: &Path) -> io::Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if is_missing(&error) => return Ok(0),
        Err(error) => return Err(error),
    };
    if !metadata.is_dir() {
        return match fs::remove_file(path) {
            Ok(()) => Ok(1),
            Err(error) if is_missing(&error) => Ok(0),
            Err(error) => Err(error),
        };
    }
    let mut removed = 0;
    for entry in fs::read_dir(path)? {
        removed += remove(&entry?.path())?;
    }
    match fs::remove_dir(path) {
        // Someone writes into it right now: a late writer's file is swept another time.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty || is_missing(&error) => Ok(removed),
        Err(error) => Err(error),
        Ok(()) => Ok(removed),
    }
}

pub(crate) fn head_of(metadata: &Metadata) -> BlobHead {
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    BlobHead {
        size: metadata.len(),
        etag: format!("{:x}-{:x}{nanos:08x}-{:x}", metadata.len(), seconds, metadata.ino()),
        modified: Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)),
    }
}

pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Sorts a failure by what the caller can do about it.
pub(super) fn blob_error(error: io::Error) -> BlobError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            BlobError::Full(error.into())
        }
        _ => BlobError::Unavailable(error.into()),
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|stopped| {
        let source: Source = Box::new(stopped);
        Err(BlobError::Unavailable(source))
    })
}

/// The time in nanoseconds, later than at every call before in this process.
fn unique_nanos() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX / 2);
    let before = LAST_WRITTEN.fetch_max(now, Ordering::SeqCst);
    if before < now { now } else { LAST_WRITTEN.fetch_add(1, Ordering::SeqCst) + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_or_quota_is_told_from_other_failures() {
        // ENOSPC, EDQUOT, EFBIG; EACCES, EIO, EROFS
        for (code, full) in [(28, true), (122, true), (27, true), (13, false), (5, false), (30, false)] {
            let sorted = blob_error(io::Error::from_raw_os_error(code));
            assert_eq!(matches!(sorted, BlobError::Full(_)), full, "{code}");
        }
    }

    #[test]
    fn no_two_writes_have_the_same_time() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..1000).map(|_| unique_nanos()).collect::<Vec<_>>()))
            .collect();
        let mut times: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        times.sort_unstable();
        times.dedup();
        assert_eq!(times.len(), 4000);
    }

    #[test]
    fn what_a_dead_process_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let staging = dir.path().join(STAGING);
        sweep(&staging).unwrap();
        fs::write(staging.join("1-1"), "half").unwrap();
        sweep(&staging).unwrap();
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
    }
}
