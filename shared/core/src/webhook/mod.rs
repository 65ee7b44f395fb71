//! Webhooks: what is told of a job, to whom, and what became of each telling.

mod allow;
mod delivery;
mod event;
mod payload;
mod secret;
mod subscriptions;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub(crate) use self::subscriptions::rotate;
pub use self::{
    allow::{AllowList, InvalidAllow},
    delivery::{
        ATTEMPTS_KEPT, Attempt, Delivery, DeliveryId, DeliveryRef, DeliveryState, Ending, LAST_ATTEMPT,
        LONGEST_DELAY, NotNow, Outcome, SEND_LEASE, retry_delay,
    },
    event::{Event, EventKind, EventRef, LOG_KEPT, UNTOLD_DUE, WEBHOOK_SCHEMA},
    payload::{MAX_PAYLOAD, test_body},
    secret::{SealedSecret, Secret},
    subscriptions::{Disabled, Endpoint, EndpointId, Subscriptions},
};

/// How an address is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// With a JSON body that tells all.
    #[default]
    Post,
    /// With the essentials as query parameters.
    Get,
}

impl Method {
    /// The method as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Post, Self::Get]
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a method of notification: use POST or GET"))
    }
}

/// An address that a job's own request names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyAddress {
    /// Where.
    pub url: String,
    /// How.
    #[serde(default)]
    pub method: Method,
}

/// Whom an event is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// One of the job's own addresses, by its place among them.
    Address(u32),
    /// An endpoint of the account.
    Endpoint(EndpointId),
}
