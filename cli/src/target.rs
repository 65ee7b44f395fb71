//! Where a result goes: a file that appears whole and checked, or a stream that gets it after the check.

mod parts;

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use http::HeaderValue;
use tempfile::{NamedTempFile, TempPath};

use crate::failure::{Exit, Failure};

/// A place for a result. That it can be written is tried before the job is submitted, and nothing is there before there is
/// something to write: whenever the command is killed, no empty file stays.
pub(crate) struct Target {
    temp: Temp,
    goal: Goal,
    /// Beside a part of a known result: the tag that says of which bytes it is a part.
    tag: Option<TempPath>,
}

/// What is written until it is checked.
enum Temp {
    /// Nothing yet; beside the goal, once there is something.
    Nothing,
    /// A file without a name, which goes with the command.
    Spool(File),
    /// A file beside the goal, locked as long as somebody writes it.
    Beside(NamedTempFile),
}

enum Goal {
    /// The temporary file takes this name.
    File(PathBuf),
    /// As [`Goal::File`], unless there is something of that name.
    NewFile(PathBuf),
    /// What is in it is copied to something that is no file: a pipe, a device.
    Stream(PathBuf),
    /// It is copied to stdout.
    Stdout,
}

impl Target {
    /// What the user named: a path, or `-` for stdout.
    pub(crate) fn named(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Self::spool();
        }
        // A link is written through, not replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => {
                Err(Failure::new(Exit::Usage, format!("{} is a directory", path.display()))
                    .advice("name a file in it"))
            }
            Ok(found) if !found.is_file() => Ok(Self::new(Temp::Spool(unnamed()?), Goal::Stream(path))),
            Ok(found) if found.permissions().readonly() => {
                Err(Failure::new(Exit::Failed, format!("{} may not be written", path.display())))
            }
            _ => Self::beside(Goal::File(path)),
        }
    }

    /// A name that the user did not choose: what is there is not replaced.
    pub(crate) fn unnamed(name: &str) -> Result<Self, Failure> {
        let path = PathBuf::from(name);
        if path.symlink_metadata().is_ok() {
            return Err(taken(&path));
        }
        Self::beside(Goal::NewFile(path))
    }

    /// A file without a name, for what is only read again.
    pub(crate) fn spool() -> Result<Self, Failure> {
        Ok(Self::new(Temp::Spool(unnamed()?), Goal::Stdout))
    }

    /// A file that can be made: one without a name is, and is gone again.
    fn beside(goal: Goal) -> Result<Self, Failure> {
        if let Goal::File(path) | Goal::NewFile(path) = &goal {
            tempfile::tempfile_in(directory_of(path)).map_err(|error| unwritable(path, &error))?;
        }
        Ok(Self::new(Temp::Nothing, goal))
    }

    fn new(temp: Temp, goal: Goal) -> Self {
        Self { temp, goal, tag: None }
    }

    /// Where the result is written until it is checked.
    pub(crate) fn file(&mut self) -> io::Result<&mut File> {
        if matches!(self.temp, Temp::Nothing) {
            self.temp = match &self.goal {
                Goal::File(path) | Goal::NewFile(path) => Temp::Beside(parts::make(directory_of(path))?),
                Goal::Stream(_) | Goal::Stdout => Temp::Spool(tempfile::tempfile()?),
            };
        }
        match &mut self.temp {
            Temp::Beside(temp) => Ok(temp.as_file_mut()),
            Temp::Spool(file) => Ok(file),
            Temp::Nothing => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Goes on with the part of the job's result that an earlier command left here, and answers its tag. Nobody else
    /// goes on with it meanwhile.
    pub(crate) fn resume(&mut self, job: &str) -> Option<HeaderValue> {
        let (part, tag) = self.parts_of(job)?;
        let said = fs::read(&tag).ok().and_then(|said| HeaderValue::from_bytes(&said).ok())?;
        let file = File::options().read(true).write(true).open(&part).ok()?;
        file.try_lock().ok()?;
        self.temp = Temp::Beside(NamedTempFile::from_parts(file, TempPath::try_from_path(part).ok()?));
        self.tag = TempPath::try_from_path(tag).ok();
        Some(said)
    }

    /// Calls what is written from now on a part of the job's result with this tag, so that it is found again should
    /// the command be killed. Where that cannot be, a killed command has to begin anew.
    pub(crate) fn begin_part(&mut self, job: &str, etag: &HeaderValue) {
        let Some((part, tag)) = self.parts_of(job) else { return };
        match &self.temp {
            Temp::Beside(temp) if temp.path() == part => {}
            // What is written already stays where it is.
            Temp::Beside(_) | Temp::Spool(_) => return,
            Temp::Nothing => match parts::make_named(&part) {
                Ok(temp) => self.temp = Temp::Beside(temp),
                Err(_) => return,
            },
        }
        if fs::write(&tag, etag.as_bytes()).is_ok() {
            self.tag = TempPath::try_from_path(tag).ok();
        }
    }

    /// Leaves the part for another time, if the failure is one that time may heal.
    pub(crate) fn keep_after(&mut self, failure: &Failure) {
        if let (Some(tag), Temp::Beside(temp), Exit::Unavailable | Exit::Interrupted) =
            (&mut self.tag, &mut self.temp, failure.exit)
        {
            temp.disable_cleanup(true);
            tag.disable_cleanup(true);
        }
    }

    /// Where the part of a job's result and its tag are, for a result that becomes a file.
    fn parts_of(&self, job: &str) -> Option<(PathBuf, PathBuf)> {
        let (Goal::File(path) | Goal::NewFile(path)) = &self.goal else { return None };
        let fits = job.len() <= 64 && job.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let at =
            |ending| std::path::absolute(directory_of(path).join(format!(".willcall-{job}.{ending}"))).ok();
        fits.then_some(()).and_then(|()| Some((at("part")?, at("tag")?)))
    }

    /// Lets the result appear. Not called, nothing remains but what [`Self::keep_after`] leaves.
    pub(crate) fn publish(mut self) -> Result<(), Failure> {
        let path = match &self.goal {
            Goal::Stdout => {
                let place = Path::new("stdout");
                let file = self.file().map_err(|error| unwritable(place, &error))?;
                return copy(file, &mut io::stdout().lock(), place);
            }
            Goal::Stream(path) => {
                let path = path.clone();
                let opened = File::options().write(true).open(&path);
                let mut stream = opened.map_err(|error| unwritable(&path, &error))?;
                return copy(self.file().map_err(|error| unwritable(&path, &error))?, &mut stream, &path);
            }
            Goal::File(path) | Goal::NewFile(path) => path.clone(),
        };
        self.file().and_then(|file| file.sync_all()).map_err(|error| unwritable(&path, &error))?;
        let Temp::Beside(temp) = self.temp else {
            return Err(unwritable(&path, &io::ErrorKind::NotFound.into()));
        };
        let kept = match &self.goal {
            Goal::NewFile(_) => temp.persist_noclobber(&path),
            _ => temp.persist(&path),
        };
        match kept {
            Ok(_) => {
                parts::sweep(directory_of(&path));
                Ok(())
            }
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(taken(&path)),
            Err(error) => Err(unwritable(&path, &error.error)),
        }
    }

    /// Where the result goes, in words.
    pub(crate) fn describe(&self) -> String {
        match &self.goal {
            Goal::Stdout => "stdout".into(),
            Goal::File(path) | Goal::NewFile(path) | Goal::Stream(path) => path.display().to_string(),
        }
    }

    /// How another command is told of the same place.
    pub(crate) fn option(&self) -> String {
        match &self.goal {
            Goal::File(path) => format!(" -o {}", path.display()),
            Goal::Stdout | Goal::NewFile(_) | Goal::Stream(_) => String::new(),
        }
    }

    /// Whether stdout belongs to the result.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.goal, Goal::Stdout)
    }
}

/// Whether two paths lead to one file, by links of either kind too; `-` is stdin.
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| match path.as_os_str().as_encoded_bytes() {
        b"-" => fs::metadata("/dev/stdin"),
        _ => fs::metadata(path),
    };
    let (Ok(one_found), Ok(other_found)) = (place(one), place(other)) else { return false };
    if !one_found.is_file() || !other_found.is_file() {
        return false;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (one_found.dev(), one_found.ino()) == (other_found.dev(), other_found.ino())
    }
    #[cfg(not(unix))]
    {
        matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
    }
}

/// Refuses an output that is one of the files read for it: it would take the place of what may be nowhere else.
pub(crate) fn refuse_own_input<'a>(
    output: &Path,
    inputs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), Failure> {
    // Stdout is nobody's input here: `-` of an input is stdin.
    if output.as_os_str() == "-" || !inputs.into_iter().any(|input| same_file(output, input)) {
        return Ok(());
    }
    let words = format!("{} is read, and would be overwritten by the result", output.display());
    Err(Failure::new(Exit::Usage, words).advice("name another file with -o"))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn taken(path: &Path) -> Failure {
    Failure::new(Exit::Failed, format!("{} is there already", path.display()))
        .advice("name the file with -o: that one is replaced")
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::caused(Exit::Failed, format!("cannot write {}", path.display()), error)
}

fn unnamed() -> Result<File, Failure> {
    tempfile::tempfile()
        .map_err(|error| Failure::caused(Exit::Failed, "cannot write a temporary file", &error))
}

/// A reader that has had enough (`| head`) is no failure.
fn copy(from: &mut File, to: &mut impl Write, path: &Path) -> Result<(), Failure> {
    let copied = from.seek(SeekFrom::Start(0)).and_then(|_| io::copy(from, to)).and_then(|_| to.flush());
    match copied {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritable(path, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.csv");
        fs::write(&path, "old").unwrap();
        let mut given_up = Target::named(&path).unwrap();
        given_up.file().unwrap().write_all(b"half").unwrap();
        drop(given_up);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut target = Target::named(&path).unwrap();
        target.file().unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        target.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["x.csv"]);
    }

    #[test]
    fn a_link_is_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut target = Target::named(&link).unwrap();
        target.file().unwrap().write_all(b"new").unwrap();
        target.publish().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(link.symlink_metadata().unwrap().is_symlink());
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let mut target = Target::named(Path::new("/dev/null")).unwrap();
        target.file().unwrap().write_all(b"x").unwrap();
        target.publish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn what_cannot_be_written_is_known_at_once() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Target::named(directory.path()).err().unwrap().exit, Exit::Usage);
        let nowhere = directory.path().join("missing/x.csv");
        assert_eq!(Target::named(&nowhere).err().unwrap().exit, Exit::Failed);
    }

    #[test]
    fn a_part_is_found_again_by_one_at_a_time_and_only_for_its_job() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.csv");
        let etag = HeaderValue::from_static("\"tag\"");
        let mut broken = Target::named(&path).unwrap();
        assert_eq!(broken.resume("j-1"), None);
        broken.begin_part("j-1", &etag);
        broken.file().unwrap().write_all(b"half").unwrap();
        assert_eq!(Target::named(&path).unwrap().resume("j-1"), None, "another has it");
        broken.keep_after(&Failure::new(Exit::Unavailable, "broke"));
        drop(broken);
        assert_eq!(names(directory.path()), [".willcall-j-1.part", ".willcall-j-1.tag"]);
        assert_eq!(Target::named(&path).unwrap().resume("j-2"), None);
        assert_eq!(Target::named(&path).unwrap().resume("../x"), None);
        let mut resumed = Target::named(&path).unwrap();
        assert_eq!(resumed.resume("j-1"), Some(etag.clone()));
        resumed.file().unwrap().seek(SeekFrom::End(0)).unwrap();
        resumed.file().unwrap().write_all(b" whole").unwrap();
        resumed.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"half whole");
        assert_eq!(names(directory.path()), ["x.csv"]);
        // What is wrong is not gone on with.
        let mut corrupt = Target::named(&path).unwrap();
        corrupt.begin_part("j-1", &etag);
        corrupt.keep_after(&Failure::new(Exit::Corrupt, "wrong"));
        drop(corrupt);
        assert_eq!(names(directory.path()), ["x.csv"]);
    }

    #[test]
    fn one_file_is_known_by_whatever_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("x.csv"), "x").unwrap();
        fs::write(at("other.csv"), "x").unwrap();
        std::os::unix::fs::symlink(at("x.csv"), at("soft.csv")).unwrap();
        fs::hard_link(at("x.csv"), at("hard.csv")).unwrap();
        for (name, same) in [
            ("x.csv", true),
            ("soft.csv", true),
            ("hard.csv", true),
            ("other.csv", false),
            ("new.csv", false),
        ] {
            assert_eq!(same_file(&at("x.csv"), &at(name)), same, "{name}");
            assert_eq!(
                refuse_own_input(&at(name), [&at("other.csv"), &at("x.csv")]).is_err(),
                same || name == "other.csv"
            );
        }
        assert!(refuse_own_input(Path::new("-"), [&at("x.csv")]).is_ok());
        // What is no file is not replaced.
        assert!(!same_file(Path::new("/dev/null"), Path::new("/dev/null")));
    }

    #[test]
    fn nothing_is_there_before_there_is_something_to_write() {
        let directory = tempfile::tempdir().unwrap();
        let mut target = Target::named(&directory.path().join("x.csv")).unwrap();
        let other = Target::unnamed(directory.path().join("y.csv").to_str().unwrap()).unwrap();
        assert!(names(directory.path()).is_empty(), "a command that is killed now leaves nothing");
        target.file().unwrap().write_all(b"x").unwrap();
        assert!(matches!(names(directory.path()).as_slice(), [name] if name.ends_with(".part")));
        target.publish().unwrap();
        assert_eq!(names(directory.path()), ["x.csv"]);
        // A result may have no bytes at all.
        other.publish().unwrap();
        assert_eq!(names(directory.path()), ["x.csv", "y.csv"]);
    }

    #[test]
    fn a_name_nobody_chose_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.csv");
        let target = Target::unnamed(path.to_str().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(target.publish().is_err());
        assert!(Target::unnamed(path.to_str().unwrap()).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }
}
