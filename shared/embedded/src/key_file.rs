//! Keys in files of their own, readable by their owner only.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::blob_store::{make_directory, sync_directory};

/// Bytes of a key.
pub(crate) const KEY_LEN: usize = 32;

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or made.
    #[error("{}: the key cannot be read or made", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds no key.
    #[error("{}: holds {found} bytes, not a key of {KEY_LEN}; remove it to have one made (what the old one signed or hid is lost)", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
    /// There is no randomness to make a key of.
    #[error("no random bytes for a key")]
    Random(#[source] getrandom::Error),
}

/// Reads the key; makes one, readable by its owner only, where there is none.
pub fn read_or_create_key(path: &Path) -> Result<[u8; KEY_LEN], KeyFileError> {
    let failed = |source| KeyFileError::File { path: path.to_owned(), source };
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut key = [0; KEY_LEN];
            getrandom::fill(&mut key).map_err(KeyFileError::Random)?;
            create(path, &key).map_err(failed)?;
            // Another may have been first: the one in the file is the one that holds.
            fs::read(path)
        }
        read => read,
    }
    .map_err(failed)?;
    bytes
        .try_into()
        .map_err(|bytes: Vec<u8>| KeyFileError::Length { path: path.to_owned(), found: bytes.len() })
}

/// Makes the file whole or not at all; one that is there stays.
fn create(path: &Path, key: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directory(parent)?;
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    let placed =
        file.write_all(key).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&aside, path));
    fs::remove_file(&aside)?;
    match placed {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(parent),
    }
}
