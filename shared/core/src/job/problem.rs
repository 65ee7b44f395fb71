//! Problems (RFC 9457) as the domain speaks of them: a type and words for the client.

use serde::{Deserialize, Serialize};

/// A kind of problem. Its slug is the last segment of the problem's `type` link and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemType {
    /// The request is wrong.
    InvalidRequest,
    /// No working token.
    Unauthenticated,
    /// The token's scope is too weak.
    Forbidden,
    /// No such thing.
    NotFound,
    /// The method is not one that the resource has.
    MethodNotAllowed,
    /// The job has no result yet, or will have none.
    ResultNotReady,
    /// The result has expired.
    Expired,
    /// The state of things does not allow it.
    Conflict,
    /// The idempotency key was used for another request.
    IdempotencyMismatch,
    /// A limit of the plan is reached.
    QuotaExceeded,
    /// The request is too large.
    PayloadTooLarge,
    /// The media type or format cannot be served or read.
    UnsupportedFormat,
    /// The slow API behind Willcall failed.
    UpstreamFailed,
    /// The query could not be carried out.
    EngineFailed,
    /// Something that is needed does not answer now.
    Unavailable,
    /// A defect of the service.
    Internal,
}

impl ProblemType {
    /// Every type.
    pub const ALL: [Self; 16] = [
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::ResultNotReady,
        Self::Expired,
        Self::Conflict,
        Self::IdempotencyMismatch,
        Self::QuotaExceeded,
        Self::PayloadTooLarge,
        Self::UnsupportedFormat,
        Self::UpstreamFailed,
        Self::EngineFailed,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The type's name in links.
    pub fn slug(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid-request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::ResultNotReady => "result-not-ready",
            Self::Expired => "expired",
            Self::Conflict => "conflict",
            Self::IdempotencyMismatch => "idempotency-mismatch",
            Self::QuotaExceeded => "quota-exceeded",
            Self::PayloadTooLarge => "payload-too-large",
            Self::UnsupportedFormat => "unsupported-format",
            Self::UpstreamFailed => "upstream-failed",
            Self::EngineFailed => "engine-failed",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// A short summary that is the same for every problem of the type.
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::Unauthenticated => "A valid token is required",
            Self::Forbidden => "This is not allowed",
            Self::NotFound => "There is no such resource",
            Self::MethodNotAllowed => "The resource does not have this method",
            Self::ResultNotReady => "The job has no result",
            Self::Expired => "The result has expired",
            Self::Conflict => "The state of the resource does not allow this",
            Self::IdempotencyMismatch => "The idempotency key belongs to another request",
            Self::QuotaExceeded => "A limit of the plan is reached",
            Self::PayloadTooLarge => "The request is too large",
            Self::UnsupportedFormat => "The format is not supported",
            Self::UpstreamFailed => "The upstream failed",
            Self::EngineFailed => "The query could not be carried out",
            Self::Unavailable => "The service is not available now",
            Self::Internal => "The service made an error",
        }
    }
}

/// Why a job failed, in words for its owner. The chain of causes is in the log, not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem.
    #[serde(rename = "type")]
    pub kind: ProblemType,
    /// What happened this time.
    pub detail: String,
}

impl Problem {
    /// A problem with its words.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}
