//! What can be wrong with a file, and what with a row of it.

use std::{fmt, io};

use super::Unrecognised;

/// A file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Its bytes cannot be had. Trying again may help.
    #[error("the bytes of the file cannot be read")]
    Unreadable(#[source] io::Error),
    /// Its content is not what it must be from here on.
    #[error("{}{detail}", at(*line))]
    Malformed {
        /// The line, from 1, where it can be told.
        line: Option<u64>,
        /// What is wrong.
        detail: String,
    },
    /// It is not what it was said to be, or nothing that is read here.
    #[error(transparent)]
    Unrecognised(#[from] Unrecognised),
    /// It has more than [`Limits`](super::Limits) allow. The words name the limit.
    #[error("{0}")]
    TooLarge(String),
}

impl FileError {
    pub(super) fn malformed(line: u64, detail: impl Into<String>) -> Self {
        Self::Malformed { line: Some(line), detail: detail.into() }
    }
}

fn at(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

/// One row cannot be used; those after it can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row}, line {line}{}: {detail}", of(column.as_deref()))]
pub struct RowError {
    /// The row, from 1, the header not counted.
    pub row: u64,
    /// The line on which the fault is found, from 1; where that is not known, on which the row begins.
    pub line: u64,
    /// The column, where it is one column's fault.
    pub column: Option<String>,
    /// What is wrong, with the value where it is one value's fault.
    pub detail: String,
}

fn of(column: Option<&str>) -> String {
    column.map_or_else(String::new, |column| format!(", column {column:?}"))
}

/// An error of the layers below the rows, on its way through [`io::Read`].
#[derive(Debug)]
pub(super) struct Stopped(pub(super) FileError);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Stopped {}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        Self::other(Stopped(error))
    }
}

impl From<io::Error> for FileError {
    /// The error that a layer below meant, or else one of whoever gives the bytes.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Stopped>() {
            Ok(Stopped(meant)) => meant,
            Err(error) => Self::Unreadable(error),
        }
    }
}

/// A value as an error shows it: quoted, and cut where it is long.
pub(super) fn shown(value: &str) -> String {
    const SHOWN: usize = 64;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}
