//! What can go wrong in an attempt, and which of it may go right another time.

use std::sync::Arc;

use parquet::errors::ParquetError;
use willcall_core::{
    error::Source,
    job::{Problem, ProblemType},
    ports::{BlobError, DataFilesError, ExecuteError},
};

use crate::spill::Purpose;

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

/// A data file cannot be had.
pub(crate) fn read(file: &str, error: impl Into<Arc<DataFilesError>>) -> ExecuteError {
    let error = error.into();
    match *error {
        DataFilesError::Missing => changed(file, "is gone"),
        DataFilesError::Changed => changed(file, "is not the file that it was"),
        DataFilesError::Unreadable(_) => {
            fatal_from(ProblemType::EngineFailed, format!("{file} cannot be read"), error)
        }
        DataFilesError::Unavailable(_) => transient(format!("{file} cannot be read now"), error),
    }
}

/// Decoding a data file failed.
pub(crate) fn decode(file: &str, error: ParquetError) -> ExecuteError {
    fatal_from(ProblemType::EngineFailed, format!("{file} is damaged or not Parquet"), error)
}

/// A data file of text has something in it that cannot be read. The words name the place.
pub(crate) fn malformed(file: &str, detail: &str) -> ExecuteError {
    fatal(ProblemType::EngineFailed, format!("{file}: {detail}"))
}

/// The disk has less room than the job needs, now and ever.
pub(crate) fn too_large_to_spill(purpose: Purpose, limit: u64) -> ExecuteError {
    let (what, instead) = match purpose {
        Purpose::Sort => ("sort", "ask for fewer fields or records, or without sort"),
        Purpose::Match => ("match", "ask for fewer fields, or send the rows in smaller batches"),
    };
    fatal(
        ProblemType::EngineFailed,
        format!(
            "the {what} does not fit the worker's disk: it needs more than {limit} bytes there; {instead}"
        ),
    )
}

/// Spilling to disk failed.
pub(crate) fn spill(error: impl Into<Source>) -> ExecuteError {
    transient("there is no space to put records aside", error)
}

/// What a client uploaded is not what it should be.
pub(crate) fn invalid(detail: impl Into<String>) -> ExecuteError {
    fatal(ProblemType::InvalidRequest, detail)
}
