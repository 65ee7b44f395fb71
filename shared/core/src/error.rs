//! What a use case can answer instead of its result. Each variant is a decision of the caller's; the HTTP status
//! and the wording of a problem document are chosen by the HTTP layer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{account::Scope, format::Format, job::JobState};

/// An error with the chain of what caused it, for the log; never shown to a client.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The error with everything that caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text += ": ";
        text += &source.to_string();
        next = source.source();
    }
    text
}

/// One thing wrong with a request: what, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// What is wrong, for the person who wrote the request.
    pub detail: String,
    /// Where: `#/filter` in a body (a JSON pointer, RFC 6901), `?limit` in a query string.
    pub pointer: String,
}

impl FieldError {
    /// An error at the member `name` of the request.
    pub fn at(name: &str, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), pointer: format!("#/{name}") }
    }
}

/// Why a use case did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong; the client can mend it.
    #[error("invalid request: {}", summarise(.0))]
    Invalid(Vec<FieldError>),
    /// There is no token, or it does not work.
    #[error("unauthenticated")]
    Unauthenticated,
    /// The token works but its scope is too weak.
    #[error("the token lacks the scope {0}")]
    Forbidden(Scope),
    /// The account's plan does not have what the request needs.
    #[error("the plan {plan:?} has no {what}")]
    NotInPlan {
        /// The plan.
        plan: String,
        /// What it lacks, as a plan names it.
        what: &'static str,
    },
    /// There is no such thing, or it is another account's.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// There is no page with this number.
    #[error("page {page} not found: the result has {pages}")]
    NoSuchPage {
        /// The page asked for.
        page: u64,
        /// How many there are.
        pages: u64,
    },
    /// The job has not completed: there is no result yet, or there never will be.
    #[error("the job is {0}: it has no result")]
    NotReady(JobState),
    /// The result was there, and has expired.
    #[error("the result has expired")]
    Expired,
    /// The job is in a state that does not allow this.
    #[error("conflict: {0}")]
    Conflict(String),
    /// A limit of the plan is reached; it may be tried again.
    #[error("quota exceeded: {limit} is {value}")]
    QuotaExceeded {
        /// The limit's name in the plan.
        limit: &'static str,
        /// Its value.
        value: u64,
        /// For how long the value is; `None` for what is counted at one moment.
        window: Option<Duration>,
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used for another request")]
    KeyMismatch,
    /// Requests with the same idempotency key are under way; it may be tried again.
    #[error("the idempotency key is in use")]
    KeyInUse {
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// The request is larger than a limit.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The most bytes it may have.
        limit: u64,
    },
    /// The result has no pages in this format.
    #[error("{0} has no pages")]
    NoPages(Format),
    /// Something that is needed does not answer now; trying again may help.
    #[error("unavailable")]
    Unavailable(#[source] Source),
    /// A defect, or damage to what was stored.
    #[error("internal error")]
    Internal(#[source] Source),
}

impl Error {
    /// A request that is wrong in one place.
    pub fn invalid(name: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::at(name, detail)])
    }
}

fn summarise(errors: &[FieldError]) -> String {
    errors.iter().map(|e| format!("{}: {}", e.pointer, e.detail)).collect::<Vec<_>>().join("; ")
}
