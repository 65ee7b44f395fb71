//! Files beside a goal that are not whole yet, and what is left of them where a command was killed.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use tempfile::{Builder, NamedTempFile, TempPath};

const PREFIX: &str = ".willcall-";
const SUFFIX: &str = ".part";
/// The characters that are drawn by lot between the two. A job's id has more.
const DRAWN: usize = 6;
/// How long a part that nobody holds must have been as it is. Locks alone tell it, but not of hosts that share a directory and no locks.
const STALE: Duration = Duration::from_secs(3600);

/// A part with a name of its own, held by this command.
pub(super) fn make(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(DRAWN);
    // As any new file: what the umask leaves of it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temp = builder.tempfile_in(directory)?;
    // Where there are no locks, nobody removes what they do not hold.
    let _ = temp.as_file().try_lock();
    Ok(temp)
}

/// A part of this name, held by this command, unless there is one.
pub(super) fn make_named(path: &Path) -> io::Result<NamedTempFile> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(NamedTempFile::from_parts(file, TempPath::try_from_path(path)?)),
        // Another command found it first, and goes on with it.
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => {
            fs::remove_file(path)?;
            Err(error)
        }
    }
}

/// Removes the parts that commands left here which were killed: those that were not called after a job, to be gone on with, that nobody
/// holds, and that are old. What cannot be removed stays.
pub(super) fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_drawn) {
            let _ = remove_stale(&entry.path());
        }
    }
}

fn is_drawn(name: &str) -> bool {
    let drawn = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    drawn.is_some_and(|drawn| drawn.len() == DRAWN && drawn.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    let age = SystemTime::now().duration_since(found.modified()?).unwrap_or_default();
    if !found.is_file() || age < STALE {
        return Ok(());
    }
    let file = File::open(path)?;
    file.try_lock()?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aged(path: &Path, age: Duration) {
        let file = File::options().create(true).write(true).truncate(false).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn what_a_killed_command_left_goes_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let held = make(directory.path()).unwrap();
        let stays = [
            ".willcall-0192f6a0-0000-7000-8000-000000000000.part",
            ".willcall-Ab3dE.part",
            ".willcall-Ab3dE-.part",
            ".willcall-Ab3dEf.tag",
            "willcall-Ab3dEf.part",
            "mine.csv",
        ];
        let old = 2 * STALE;
        for path in stays.map(at).iter().chain([&held.path().to_owned(), &at(".willcall-Ab3dEf.part")]) {
            aged(path, old);
        }
        aged(&at(".willcall-Fresh1.part"), Duration::ZERO);
        fs::create_dir(at(".willcall-Direct.part")).unwrap();
        sweep(directory.path());
        for name in stays.iter().chain(&[".willcall-Fresh1.part", ".willcall-Direct.part"]) {
            assert!(at(name).exists(), "{name}");
        }
        assert!(held.path().exists(), "another command writes it");
        assert!(!at(".willcall-Ab3dEf.part").exists());
        sweep(&at("nowhere"));
        // Whoever held it is gone.
        let left = held.into_temp_path().keep().unwrap();
        sweep(directory.path());
        assert!(!left.exists());
    }

    #[test]
    fn a_part_of_a_job_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".willcall-j.part");
        let part = make_named(&path).unwrap();
        assert!(make_named(&path).is_err() && path.exists());
        drop(part);
        assert!(!path.exists());
    }
}
