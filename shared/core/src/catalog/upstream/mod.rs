//! Upstreams: somebody's slow API, that jobs call.

mod entry;
mod schema;
mod template;

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    entry::{HeaderEntry, RetriesEntry, SecretEntry, UpstreamEntry},
    schema::{JsonSchema, Misfit},
    template::UrlTemplate,
};
use crate::{json::Object, webhook::AllowList};

/// An upstream as the catalog knows it. Secrets are named here, never held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// What it does, in the operator's words.
    pub description: String,
    /// The method of every call.
    pub method: UpstreamMethod,
    /// Where each item is sent.
    pub url: UrlTemplate,
    /// Headers of every call, by their names in lower case.
    pub headers: BTreeMap<String, HeaderSource>,
    /// How long one call may take, from connecting to the end of the answer.
    pub timeout: Duration,
    /// The most calls at once of one worker.
    pub concurrency: u32,
    /// How often all workers together may call.
    pub rate: Option<Rate>,
    /// How many workers share the rate: each keeps to its part.
    pub workers: u32,
    /// Which calls are made again, and when.
    pub retries: Retries,
    /// Whether a call that is made twice with the same key does no more than one that is made once.
    pub idempotent: bool,
    /// The header that carries an item's key, in lower case.
    pub idempotency_header: String,
    /// What an item must be.
    pub input: Option<JsonSchema>,
    /// What an answer must be.
    pub output: Option<JsonSchema>,
    /// The most bytes of an answer's body.
    pub max_response_bytes: u64,
    /// What may be reached beside the public internet.
    pub allow: AllowList,
}

impl Upstream {
    /// Why the item cannot be sent, each reason with its place in the item as a JSON pointer; empty where it can.
    pub fn check(&self, item: &Object) -> Vec<Misfit> {
        let mut misfits = match &self.input {
            // The schema's own words come first: they are the operator's contract.
            Some(schema) => schema.check_object(item.members()),
            None => Vec::new(),
        };
        if misfits.is_empty()
            && let Err(misfit) = self.url.expand(item)
        {
            misfits.push(misfit);
        }
        misfits
    }
}

/// The method of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum UpstreamMethod {
    /// Reads: the item is in the address alone.
    Get,
    /// Reads no body.
    Head,
    /// Sends the item as a JSON body.
    Post,
    /// Sends the item as a JSON body.
    Put,
    /// Sends the item as a JSON body.
    Patch,
    /// Removes: the item is in the address alone.
    Delete,
}

impl UpstreamMethod {
    /// Every method.
    pub const ALL: [Self; 6] = [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The method as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether the item is sent as the body.
    pub fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }

    /// Whether doing it twice is doing it once (RFC 9110 §9.2.2).
    pub fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }
}

impl fmt::Display for UpstreamMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the value of a header comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderSource {
    /// What stands in the catalog.
    Value(String),
    /// A secret that is looked up when calls are made.
    Secret {
        /// What stands before it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
        /// The secret.
        secret: SecretRef,
    },
}

/// Where a secret is kept. Only its name is ever in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// In a variable of the environment that does the work.
    Env(String),
    /// In the store of secrets that the host has, by its name or address there.
    Stored(String),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::Stored(name) => write!(f, "the stored secret {name}"),
        }
    }
}

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How often.
    pub calls: u32,
    /// In how long.
    pub per: Duration,
}

/// Which calls are made again, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// The most attempts of one item, the first one counted.
    pub attempts: u32,
    /// How long after the first attempt the second one comes, about; each later one takes twice as long.
    pub backoff: Duration,
    /// The longest that one item waits between two attempts. An upstream that asks for more has failed.
    pub max_wait: Duration,
    /// The statuses after which a call is made again.
    pub statuses: Vec<u16>,
}

impl Retries {
    /// What holds where the operator does not say otherwise. An upstream that must not be called twice is called again
    /// only where it said that it did nothing.
    pub fn default_for(idempotent: bool) -> Self {
        let statuses = if idempotent { vec![408, 429, 500, 502, 503, 504] } else { vec![429, 503] };
        let (backoff, max_wait) = (Duration::from_millis(500), Duration::from_secs(60));
        Self { attempts: 4, backoff, max_wait, statuses }
    }
}
