//! What telling others of jobs needs: where it is noted, what wakes it, what carries it, what keeps its secrets.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{QueueError, StoreError};
use crate::{
    AccountId, JobRef, Timestamp,
    error::Source,
    idempotency::{KeyHash, KeyRecord},
    webhook::{Delivery, DeliveryRef, Event, EventRef, Method, Secret, Subscriptions},
};

/// The record of endpoints, events and deliveries. Events are written by the [`JobStore`](super::JobStore), with the
/// change that causes them. What a method has answered is seen by every later read.
///
/// Every record has a version. A record is saved in place of the version just before its own, or, as version 1, in place
/// of none; otherwise nothing is written and the answer is `false`: read it anew.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// The account's endpoints and default secret; `None` where it never had any.
    async fn subscriptions(&self, account: &AccountId) -> Result<Option<Subscriptions>, StoreError>;

    /// Keeps them. Survives a crash of the machine once answered. From then on the account's ending jobs cause events as
    /// [`Subscriptions::is_listening`] says.
    async fn save_subscriptions(&self, subscriptions: &Subscriptions) -> Result<bool, StoreError>;

    /// Keeps them together with the record of a key, in one atomic step. Nothing is written where the account's key is
    /// known at `now`, nor where another version is there.
    async fn save_subscriptions_once(
        &self,
        subscriptions: &Subscriptions,
        key: &KeyHash,
        record: &KeyRecord,
        now: Timestamp,
    ) -> Result<SavedOnce, StoreError>;

    /// The event.
    async fn event(&self, event: &EventRef) -> Result<Option<Event>, StoreError>;

    /// Keeps the event together with deliveries of it, in one atomic step. Deliveries that are there already stay as they
    /// are.
    async fn save_event(&self, event: &Event, deliveries: &[Delivery]) -> Result<bool, StoreError>;

    /// Removes the event and all its deliveries for good. Repeatable.
    async fn remove_event(&self, event: &EventRef) -> Result<(), StoreError>;

    /// All deliveries of the job, by event and then by who is told.
    async fn deliveries(&self, job: &JobRef) -> Result<Vec<Delivery>, StoreError>;

    /// The delivery.
    async fn delivery(&self, delivery: &DeliveryRef) -> Result<Option<Delivery>, StoreError>;

    /// Keeps the delivery.
    async fn save_delivery(&self, delivery: &Delivery) -> Result<bool, StoreError>;

    /// Events and deliveries whose `due_at` is at or before `now`, with it, longest due first, at most `limit`.
    async fn due_notices(&self, now: Timestamp, limit: u32) -> Result<Vec<(Timestamp, Notice)>, StoreError>;
}

/// What became of a change with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SavedOnce {
    /// It is kept, and so is its key.
    Saved,
    /// Another was kept in between: read anew.
    Overtaken,
    /// Its key was used before, and is still known.
    Known(KeyRecord),
}

/// What is to be looked at: an event to be passed on, or a delivery to be tried.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// An event.
    Event(EventRef),
    /// A delivery.
    Delivery(DeliveryRef),
}

impl Notice {
    /// The job that it is of.
    pub fn job(&self) -> &JobRef {
        match self {
            Self::Event(event) => &event.job,
            Self::Delivery(delivery) => &delivery.job,
        }
    }
}

/// Wakes a sender. As with jobs the queue owns nothing: a notice may come twice, late or never.
#[async_trait]
pub trait NoticeQueue: Send + Sync {
    /// Sends the notice, to be received once `delay` (at most 15 minutes) has passed.
    async fn send(&self, notice: &Notice, delay: Duration) -> Result<(), QueueError>;
}

/// What is sent to an address once.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where.
    pub url: String,
    /// How.
    pub method: Method,
    /// The `webhook-id`.
    pub id: String,
    /// The present moment: the `webhook-timestamp`, and what dates in the answer are compared with.
    pub now: Timestamp,
    /// The body of a POST; what is added to the query of a GET.
    pub content: String,
    /// What signs it, newest first.
    pub secrets: Vec<Secret>,
}

/// What a receiver answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The status. One of redirection is an answer like any other: it is not followed.
    pub status: u16,
    /// How long it asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Carries messages to addresses over HTTP, as Standard Webhooks signs them.
///
/// The addresses come from clients, so none is reached that is not of the public internet, unless the operator allows it:
/// neither by its text, nor by what its name leads to at the moment of connecting, nor by a redirect.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Whether messages could be sent to the address, as far as its text tells. What a name leads to is judged at each
    /// send.
    fn check(&self, url: &str) -> Result<(), UnfitUrl>;

    /// Sends the message once, in 15 seconds at most, the answer included.
    async fn send(&self, message: &Message) -> Result<Reply, SendError>;
}

/// An address to which nothing is ever sent; in words for its owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnfitUrl(pub String);

/// There was no answer. What is displayed is for the owner of the address; the source is for the log.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing is sent to such an address.
    #[error(transparent)]
    Unfit(#[from] UnfitUrl),
    /// The name leads nowhere.
    #[error("the host name leads nowhere")]
    Unresolved(#[source] Source),
    /// The name leads only to addresses to which nothing is sent.
    #[error("the host name leads to an address that is not allowed")]
    NotAllowed,
    /// Nobody could be connected to.
    #[error("could not connect")]
    Connect(#[source] Source),
    /// There is no trust or no encryption.
    #[error("the encrypted connection failed: {0}")]
    Tls(String),
    /// It took too long.
    #[error("there was no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// The connection broke, or what came was no HTTP.
    #[error("the connection broke before there was an answer")]
    Broken(#[source] Source),
}

/// Encrypts secrets, so that whoever reads the store does not have them.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Encrypts. `context` is what the secret is for: only with it can the secret be had again.
    async fn seal(&self, context: &str, secret: &Secret) -> Result<String, VaultError>;

    /// What was encrypted for that purpose.
    async fn open(&self, context: &str, sealed: &str) -> Result<Secret, VaultError>;
}

/// A secret cannot be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key cannot be had now; trying again may help.
    #[error("the key of the secrets cannot be had")]
    Unavailable(#[source] Source),
    /// It was encrypted with another key, for another purpose, or is damaged.
    #[error("the secret cannot be decrypted")]
    Unreadable,
}

/// Bytes of a key of secrets.
pub const VAULT_KEY_LEN: usize = 32;

/// Where the key that encrypts secrets is kept: a file, a bucket.
#[async_trait]
pub trait VaultKey: Send + Sync {
    /// The key; always the same.
    async fn key(&self) -> Result<[u8; VAULT_KEY_LEN], Source>;
}

/// A key that is at hand.
#[async_trait]
impl VaultKey for [u8; VAULT_KEY_LEN] {
    async fn key(&self) -> Result<[u8; VAULT_KEY_LEN], Source> {
        Ok(*self)
    }
}
