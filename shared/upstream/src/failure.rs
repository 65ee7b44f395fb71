//! What can go wrong in an attempt, and which of it may go right another time.

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

/// The work may go right another time.
pub(crate) fn transient(detail: impl Into<String>, source: impl Into<Source>) -> ExecuteError {
    ExecuteError::Transient { problem: Problem::new(ProblemType::Unavailable, detail), source: source.into() }
}

/// A defect of ours.
pub(crate) fn defect(source: impl Into<Source>) -> ExecuteError {
    let problem = Problem::new(ProblemType::Internal, "the service made an error");
    ExecuteError::Fatal { problem, source: Some(source.into()) }
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
