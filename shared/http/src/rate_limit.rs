//! `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): lists of structured fields whose items
//! are the names of the plan's limits.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use willcall_core::usecases::quota::RateLimit;

use crate::problem::seconds;

pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The limit itself: its quota, and the seconds that the quota is for.
pub(crate) fn policy(limit: &str, value: u64, window: Option<Duration>) -> String {
    match window {
        Some(window) => format!("\"{limit}\";q={value};w={}", seconds(window)),
        None => format!("\"{limit}\";q={value}"),
    }
}

/// What is left of it, and the seconds until all of it is there again.
pub(crate) fn state(limit: &str, left: u64, resets: Duration) -> String {
    format!("\"{limit}\";r={left};t={}", seconds(resets))
}

/// Sets both headers.
pub(crate) fn tell(headers: &mut HeaderMap, rate: &RateLimit) {
    let policy = policy(rate.limit, rate.value, Some(rate.window));
    for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state(rate.limit, rate.left, rate.resets))]
    {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}
