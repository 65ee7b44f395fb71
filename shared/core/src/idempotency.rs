//! Idempotency keys: a client's own name for a request that must not be done twice.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{AccountId, JobId, Timestamp, webhook::EndpointId};

/// How long a key is known after it was used with success.
pub const KEY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// The most characters of a key.
pub const MAX_KEY: usize = 255;

/// A key as the client gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl FromStr for IdempotencyKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.chars().count() {
            1..=MAX_KEY => Ok(Self(text.to_owned())),
            length => Err(format!("must have 1 to {MAX_KEY} characters, not {length}")),
        }
    }
}

impl IdempotencyKey {
    /// What stores keep of it.
    pub fn hash(&self) -> KeyHash {
        KeyHash(hex::encode(Sha256::digest(self.0.as_bytes())))
    }
}

/// SHA-256 of a key: of one length and one alphabet, whatever the client wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(String);

impl KeyHash {
    /// Lower-case hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of what a request asks for, however it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestHash(String);

impl RequestHash {
    /// The hash of a request to `target` that says `request`. The order of members does not count, nor do members that
    /// are null: one that a later version adds changes no hash of requests without it.
    pub fn of(target: &str, request: &impl Serialize) -> Result<Self, serde_json::Error> {
        let canonical = canonical(serde_json::to_value(request)?);
        let bytes = serde_json::to_vec(&(target, canonical))?;
        Ok(Self(hex::encode(Sha256::digest(bytes))))
    }
}

fn canonical(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> =
                members.into_iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members.into_iter().map(|(name, value)| (name, canonical(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(canonical).collect(),
        other => other,
    }
}

/// What is kept of a key that was used with success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// What the first request asked for.
    pub request: RequestHash,
    /// The status that it was answered with, as HTTP numbers them.
    pub status: u16,
    /// What it led to.
    #[serde(flatten)]
    pub made: Made,
    /// Whether that was there before.
    pub reused: bool,
    /// From when on the key can be used for something else.
    pub expires: Timestamp,
}

/// What a request that has a key leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// A job, or a batch, which is one.
    Job(JobId),
    /// An endpoint, or a new secret of it.
    Webhook(EndpointId),
    /// A new default secret of the account.
    DefaultSecret(AccountId),
}

impl KeyRecord {
    /// Whether the key is still known at `now`. Stores forget later than that.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires
    }
}

/// A key that comes with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The key.
    pub key: KeyHash,
    /// What the request asks for.
    pub request: RequestHash,
    /// The status that success is answered with.
    pub status: u16,
}

impl NewKey {
    /// What is kept once the request has led to what it asks for at `now`.
    pub fn record(&self, made: Made, reused: bool, now: Timestamp) -> KeyRecord {
        KeyRecord {
            request: self.request.clone(),
            status: self.status,
            made,
            reused,
            expires: now.plus(KEY_KEPT),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_have_1_to_255_characters() {
        for bad in [String::new(), "k".repeat(256)] {
            assert!(bad.parse::<IdempotencyKey>().is_err(), "{}", bad.len());
        }
        let one: IdempotencyKey = "k".repeat(255).parse().unwrap();
        assert_eq!(one.hash().as_str().len(), 64);
        assert_ne!(one.hash(), "k".repeat(254).parse::<IdempotencyKey>().unwrap().hash());
    }

    #[test]
    fn equal_requests_have_equal_hashes_however_they_are_written() {
        let of = |target, value: Value| RequestHash::of(target, &value).unwrap();
        let one =
            of("/v1/jobs", json!({"limit": 5, "fields": ["a", "b"], "csv": {"null": "", "header": true}}));
        let same =
            json!({"name": null, "csv": {"header": true, "null": ""}, "fields": ["a", "b"], "limit": 5});
        assert_eq!(one, of("/v1/jobs", same));
        for (target, other) in [
            ("/v1/other", json!({"limit": 5, "fields": ["a", "b"], "csv": {"null": "", "header": true}})),
            ("/v1/jobs", json!({"limit": 6, "fields": ["a", "b"], "csv": {"null": "", "header": true}})),
            ("/v1/jobs", json!({"limit": 5, "fields": ["b", "a"], "csv": {"null": "", "header": true}})),
            ("/v1/jobs", json!({"limit": "5", "fields": ["a", "b"], "csv": {"null": "", "header": true}})),
        ] {
            assert_ne!(one, of(target, other.clone()), "{other}");
        }
    }

    #[test]
    fn a_key_is_forgotten_a_day_after_its_use() {
        let now = Timestamp::from_millis(1_000);
        let request = RequestHash::of("/", &()).unwrap();
        let key = NewKey { key: "k".parse::<IdempotencyKey>().unwrap().hash(), request, status: 202 };
        let record = key.record(Made::Job(JobId::generate()), false, now);
        assert!(record.is_live(now.plus(KEY_KEPT).minus(Duration::from_millis(1))));
        assert!(!record.is_live(now.plus(KEY_KEPT)));
    }

    #[test]
    fn a_record_says_what_was_made_under_a_name_of_its_own() {
        let (job, endpoint) = (JobId::generate(), EndpointId::generate());
        for (made, member) in [
            (Made::Job(job), json!({ "job": job })),
            (Made::Webhook(endpoint), json!({ "webhook": endpoint })),
            (Made::DefaultSecret("acme".parse().unwrap()), json!({ "default_secret": "acme" })),
        ] {
            let request = RequestHash::of("/", &()).unwrap();
            let key = NewKey { key: "k".parse::<IdempotencyKey>().unwrap().hash(), request, status: 201 };
            let record = key.record(made, false, Timestamp::from_millis(0));
            let written = serde_json::to_value(&record).unwrap();
            let (name, value) = member.as_object().unwrap().iter().next().unwrap();
            assert_eq!(written.get(name), Some(value), "{written}");
            assert_eq!(serde_json::from_value::<KeyRecord>(written).unwrap(), record);
        }
    }
}
