//! Headers of the contract that this version does not serve. Who sends one counts on what it promises.

use axum::extract::FromRequestParts;
use http::{HeaderName, request::Parts};

use crate::problem::Failure;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request that does not ask to be done once only: two with one key would make two jobs.
pub(crate) struct WithoutKey;

impl<S: Send + Sync> FromRequestParts<S> for WithoutKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        if parts.headers.contains_key(IDEMPOTENCY_KEY) {
            let detail =
                "is not served by this version: leave it out, and look among your jobs before you repeat";
            return Err(Failure::at("header Idempotency-Key", detail));
        }
        Ok(Self)
    }
}
