//! Where rows are read from: the user's file, or one that keeps what came by stdin or a pipe, because rows are read more than once.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use tempfile::TempDir;

use crate::failure::{Exit, Failure};

/// What is looked at to see what came.
const HEAD: u64 = 64 * 1024;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// A file of rows.
pub(crate) struct RowsFile {
    path: PathBuf,
    called: String,
    /// The directory of a file that was made here. It goes with this.
    _kept: Option<TempDir>,
}

impl RowsFile {
    /// The file of that name; `-` is stdin. What is no file, as stdin and pipes, is read to its end first.
    pub(crate) fn at(path: &Path) -> Result<Self, Failure> {
        let is_stdin = path.as_os_str() == "-" || path == Path::new("/dev/stdin");
        let called = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
        let unreadable =
            |error: &io::Error| Failure::caused(Exit::Usage, format!("cannot read {called}"), error);
        if is_stdin {
            return Self::keep(&mut io::stdin().lock(), "stdin", called);
        }
        let found = fs::metadata(path).map_err(|error| unreadable(&error))?;
        if found.is_file() || found.is_dir() {
            return Ok(Self { path: path.to_owned(), called, _kept: None });
        }
        let mut stream = File::open(path).map_err(|error| unreadable(&error))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::keep(&mut stream, &name, called)
    }

    /// Keeps what comes, under a name that tells what it is where nobody else does.
    fn keep(stream: &mut impl Read, name: &str, called: String) -> Result<Self, Failure> {
        let failed = |error: &io::Error| {
            Failure::caused(Exit::Failed, format!("cannot keep what comes from {called}"), error)
        };
        let kept = tempfile::tempdir().map_err(|error| failed(&error))?;
        let path = kept.path().join(name);
        File::create_new(&path)
            .and_then(|mut file| io::copy(stream, &mut file))
            .map_err(|error| failed(&error))?;
        let path = match path.extension() {
            Some(_) => path,
            None => {
                let ending = seen(&path).map_err(|error| failed(&error))?;
                let told = kept.path().join(format!("{name}{ending}"));
                fs::rename(&path, &told).map_err(|error| failed(&error))?;
                told
            }
        };
        Ok(Self { path, called, _kept: Some(kept) })
    }

    /// Where it can be read.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What people are told that it is called.
    pub(crate) fn called(&self) -> &str {
        &self.called
    }
}

/// The ending that a file's first bytes show; none where the server is to see for itself.
fn seen(path: &Path) -> io::Result<String> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    if head.starts_with(GZIP) {
        return Ok(format!("{}.gz", text_ending(&inflated(MultiGzDecoder::new(File::open(path)?)))));
    }
    if head.starts_with(ZSTD) {
        let inflating = zstd::stream::read::Decoder::new(File::open(path)?)?;
        return Ok(format!("{}.zst", text_ending(&inflated(inflating))));
    }
    Ok(text_ending(&head).to_owned())
}

/// The beginning of what was compressed, as far as it can be read: where it is broken, the server says so.
fn inflated(from: impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    let _ = from.take(HEAD).read_to_end(&mut head);
    head
}

fn text_ending(head: &[u8]) -> &'static str {
    if head.starts_with(b"PAR1") {
        return ".parquet";
    }
    // In UTF-16 every other byte of most texts is zero.
    if head.contains(&0) {
        return "";
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => ".jsonl",
        Some(b'[') => ".json",
        Some(_) => ".csv",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn name_of(bytes: &[u8], name: &str) -> String {
        let kept = RowsFile::keep(&mut &bytes[..], name, "stdin".into()).unwrap();
        assert_eq!(fs::read(kept.path()).unwrap(), bytes);
        kept.path().file_name().unwrap().to_string_lossy().into_owned()
    }

    #[test]
    fn what_comes_by_a_stream_is_seen_by_how_it_begins() {
        let gzip = |text: &[u8]| {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(text).unwrap();
            packed.finish().unwrap()
        };
        for (bytes, name) in [
            (b"code,n\nZRH,1\n".to_vec(), "stdin.csv"),
            (b"\xef\xbb\xbf\n \"code\";n\n".to_vec(), "stdin.csv"),
            (b"\n{\"a\":1}\n".to_vec(), "stdin.jsonl"),
            (b"  [{\"a\":1}]".to_vec(), "stdin.json"),
            (b"PAR1...PAR1".to_vec(), "stdin.parquet"),
            (b"\xff\xfea\0,\0b\0".to_vec(), "stdin"),
            (gzip(b"a,b\n"), "stdin.csv.gz"),
            (gzip(b"{\"a\":1}"), "stdin.jsonl.gz"),
            (zstd::encode_all(&b"a,b\n"[..], 0).unwrap(), "stdin.csv.zst"),
            (b"\x1f\x8bbroken".to_vec(), "stdin.gz"),
            (b"\x28\xb5\x2f\xfd".to_vec(), "stdin.zst"),
            (Vec::new(), "stdin"),
        ] {
            assert_eq!(name_of(&bytes, "stdin"), name);
        }
        assert_eq!(name_of(b"{\"a\":1}", "pipe.csv"), "pipe.csv", "a name that tells goes first");
    }

    #[test]
    fn what_was_kept_goes_again() {
        let kept = RowsFile::keep(&mut &b"a\n"[..], "stdin", "stdin".into()).unwrap();
        let path = kept.path().to_owned();
        drop(kept);
        assert!(!path.exists());
    }
}
