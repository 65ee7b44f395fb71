//! What can go wrong in an attempt, and which of it may go right another time.

use std::{error::Error, io};

use parquet::errors::ParquetError;
use willcall_core::{
    error::Source,
    job::{Problem, ProblemType},
    ports::{BlobError, ExecuteError},
};

pub(crate) type Outcome<T> = Result<T, ExecuteError>;

/// The work cannot be done, now or ever.
pub(crate) fn fatal(kind: ProblemType, detail: impl Into<String>) -> ExecuteError {
    ExecuteError::Fatal { problem: Problem::new(kind, detail), source: None }
}

/// The work cannot be done, and the log has more to say of it than the client may know.
pub(crate) fn fatal_from(
    kind: ProblemType,
    detail: impl Into<String>,
    source: impl Into<Source>,
) -> ExecuteError {
    ExecuteError::Fatal { problem: Problem::new(kind, detail), source: Some(source.into()) }
}

/// The work may go right another time.
pub(crate) fn transient(detail: impl Into<String>, source: impl Into<Source>) -> ExecuteError {
    ExecuteError::Transient { problem: Problem::new(ProblemType::Unavailable, detail), source: source.into() }
}

/// A defect of ours.
pub(crate) fn defect(source: impl Into<Source>) -> ExecuteError {
    fatal_from(ProblemType::Internal, "the engine made an error", source)
}

/// The data set is not what the job was accepted for.
pub(crate) fn changed(file: &str, what: &str) -> ExecuteError {
    fatal(
        ProblemType::Conflict,
        format!("the data set changed while the job was waiting or running: {file} {what}"),
    )
}

/// The blob store did not do what it was asked for.
pub(crate) fn blob(error: BlobError) -> ExecuteError {
    match error {
        BlobError::Full(_) => transient("there is no space for the result", error),
        BlobError::Missing(_) | BlobError::Unavailable(_) => {
            transient("the store of results does not answer", error)
        }
    }
}

/// Reading a data file failed in the file system.
pub(crate) fn read(file: &str, error: io::Error) -> ExecuteError {
    match error.kind() {
        io::ErrorKind::NotFound => changed(file, "is gone"),
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::InvalidData => {
            fatal_from(ProblemType::EngineFailed, format!("{file} cannot be read"), error)
        }
        _ => transient(format!("{file} cannot be read now"), error),
    }
}

/// Decoding a data file failed.
pub(crate) fn decode(file: &str, error: ParquetError) -> ExecuteError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            let passes = !matches!(io.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData);
            if passes && io.raw_os_error().is_some() {
                return transient(format!("{file} cannot be read now"), error);
            }
        }
        cause = inner.source();
    }
    fatal_from(ProblemType::EngineFailed, format!("{file} is damaged or not Parquet"), error)
}

/// Spilling a sort to disk failed.
pub(crate) fn spill(error: impl Into<Source>) -> ExecuteError {
    transient("there is no space to sort the records", error)
}
