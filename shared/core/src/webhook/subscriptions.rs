//! Who is told of an account's jobs, and by which secrets it is signed.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{EventKind, SealedSecret, WEBHOOK_SCHEMA};
use crate::{AccountId, Timestamp, id::InvalidId};

/// How long the secret before goes on to sign after a rotation, beside the new one.
const OVERLAP: Duration = Duration::from_secs(86_400);

/// Names an endpoint: a UUIDv7, so that the order of ids is the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointId(Uuid);

impl EndpointId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for EndpointId {
    type Err = InvalidId;

    /// Accepts only the form that is printed.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let uuid = Uuid::try_parse(text).map_err(|_| InvalidId)?;
        if uuid.as_hyphenated().to_string() == text { Ok(Self(uuid)) } else { Err(InvalidId) }
    }
}

/// An address that is told of all jobs of its account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Where.
    pub url: String,
    /// What its owner calls it.
    pub description: Option<String>,
    /// Of what; `None` for everything.
    pub events: Option<BTreeSet<EventKind>>,
    /// Why nothing is sent to it, if nothing is.
    pub disabled: Option<Disabled>,
    /// What signs, newest first.
    pub secrets: Vec<SealedSecret>,
    /// When it was made.
    pub created: Timestamp,
}

/// Why nothing is sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disabled {
    /// Its owner said so.
    ByOwner,
    /// It answered that it is gone (410).
    Gone,
}

impl Disabled {
    /// The reason as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByOwner => "by_owner",
            Self::Gone => "gone",
        }
    }
}

impl Endpoint {
    /// Whether it wants to be told of such an event.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.disabled.is_none() && self.events.as_ref().is_none_or(|events| events.contains(&kind))
    }
}

/// The endpoints of an account, and the secret that signs what goes to addresses of single jobs. One record for all:
/// there are few, and whether there is anybody to tell is asked at the end of every job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriptions {
    /// The version of this form.
    pub schema: u32,
    /// Changes with every write; stores compare it to detect races. The first that is written is 1.
    pub version: u64,
    /// Whose.
    pub account: AccountId,
    /// The endpoints, oldest first.
    pub endpoints: Vec<Endpoint>,
    /// The account's default secret, newest first; empty until it is first needed.
    pub secrets: Vec<SealedSecret>,
}

impl Subscriptions {
    /// What an account has that has written nothing yet.
    pub fn none(account: AccountId) -> Self {
        Self { schema: WEBHOOK_SCHEMA, version: 0, account, endpoints: Vec::new(), secrets: Vec::new() }
    }

    /// Whether any endpoint is to be told of anything.
    pub fn is_listening(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.disabled.is_none())
    }

    /// The endpoint of that id.
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.id == id)
    }

    /// The endpoint of that id, to be changed.
    pub fn endpoint_mut(&mut self, id: EndpointId) -> Option<&mut Endpoint> {
        self.endpoints.iter_mut().find(|endpoint| endpoint.id == id)
    }
}

/// Puts a new secret before the others. The one that was newest goes on to sign for a day; any older one stops: two
/// sign at most.
pub(crate) fn rotate(secrets: &mut Vec<SealedSecret>, sealed: String, now: Timestamp) {
    secrets.truncate(1);
    for secret in secrets.iter_mut() {
        let end = now.plus(OVERLAP);
        secret.retires = Some(secret.retires.map_or(end, |retires| retires.min(end)));
    }
    secrets.insert(0, SealedSecret { sealed, created: now, retires: None });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_secrets_sign_after_a_rotation_and_one_a_day_later() {
        let at = |hours: u64| Timestamp::from_millis(0).plus(Duration::from_secs(3600 * hours));
        let live = |secrets: &[SealedSecret], now| {
            let live = secrets.iter().filter(|secret| secret.is_live(now));
            live.map(|secret| secret.sealed.clone()).collect::<Vec<_>>()
        };
        let mut secrets = Vec::new();
        rotate(&mut secrets, "a".into(), at(0));
        rotate(&mut secrets, "b".into(), at(100));
        assert_eq!(live(&secrets, at(100)), ["b", "a"]);
        assert_eq!(live(&secrets, at(123)), ["b", "a"]);
        assert_eq!(live(&secrets, at(124)), ["b"]);
        rotate(&mut secrets, "c".into(), at(110));
        assert_eq!(live(&secrets, at(110)), ["c", "b"], "never three");
    }
}
