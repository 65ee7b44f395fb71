//! What is noted of a job beside its output, so that a command that was interrupted goes on with it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use willcall_core::JobId;

use crate::{
    failure::{Exit, Failure},
    host::write_whole,
};

/// The note of one job.
pub(crate) struct Ledger {
    path: Option<PathBuf>,
    pub(crate) entry: Entry,
}

/// What is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The key that the job was submitted under: it is there before the job is.
    pub(crate) key: String,
    /// The job, once it is known.
    pub(crate) job: Option<String>,
    /// What makes it the same job: request, input, and where it was submitted.
    digest: String,
}

impl Ledger {
    /// The note beside the output, if it is of this very work; else a new one.
    pub(crate) fn open(output: Option<&Path>, digest: &str) -> Self {
        let path = output.and_then(|output| {
            let name = output.file_name()?.to_string_lossy();
            Some(output.with_file_name(format!(".{name}.willcall")))
        });
        let noted = path.as_ref().and_then(|path| fs::read(path).ok());
        let noted = noted.and_then(|noted| serde_json::from_slice::<Entry>(&noted).ok());
        match noted.filter(|entry| entry.digest == digest) {
            Some(entry) => Self { path, entry },
            None => Self { path, entry: Entry { key: new_key(), job: None, digest: digest.to_owned() } },
        }
    }

    /// Forgets the job, for one that cannot be gone on with.
    pub(crate) fn renew(&mut self) {
        (self.entry.key, self.entry.job) = (new_key(), None);
    }

    /// Writes it down.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let text = serde_json::to_string(&self.entry).unwrap_or_default();
        write_whole(path, &text).map_err(|error| {
            Failure::caused(Exit::Failed, format!("cannot write {}", path.display()), &error)
        })
    }

    /// Removes it, once nothing is left to go on with.
    pub(crate) fn remove(&self) {
        if let Some(path) = &self.path {
            // Left there, it would lead to a job that has ended, and a new one would be made.
            let _ = fs::remove_file(path);
        }
    }

    /// Whether a later command finds it.
    pub(crate) fn is_kept(&self) -> bool {
        self.path.is_some()
    }
}

fn new_key() -> String {
    format!("cli-{}", JobId::generate())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_for_the_same_work_alone() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("x.csv");
        let mut first = Ledger::open(Some(&output), "a");
        first.entry.job = Some("j".into());
        first.save().unwrap();
        assert_eq!(Ledger::open(Some(&output), "a").entry, first.entry);
        let other = Ledger::open(Some(&output), "b");
        assert!(other.entry.job.is_none() && other.entry.key != first.entry.key);
        fs::write(directory.path().join(".x.csv.willcall"), "{").unwrap();
        assert!(Ledger::open(Some(&output), "a").entry.job.is_none());
        first.remove();
        assert!(Ledger::open(Some(&output), "a").entry.job.is_none());
        assert!(!Ledger::open(None, "a").is_kept());
    }
}
