//! What the system does, in words of the domain. Handlers translate to and from these; nothing else decides.

pub mod accounts;
pub mod authenticate;
pub mod batches;
pub mod datasets;
pub mod dead_letter;
mod draft;
pub mod dry_run;
mod followed;
pub mod idempotency;
pub mod jobs;
pub mod limits;
pub mod quota;
pub mod records;
pub mod results;
pub mod submit;
pub mod sweep;
pub mod upstreams;
pub mod view;
pub mod webhooks;
pub mod work;
pub mod zips;

use std::{sync::Arc, time::Duration};

pub use draft::{
    AboutDraft, AppendDraft, CallDraft, CsvDraft, Draft, MatchDraft, ParquetDraft, QueryDraft, SqlDraft,
};
pub use view::JobView;
pub use webhooks::Notifier;

use crate::{
    Error,
    ports::{
        Accounts, AccountsError, BlobError, BlobStore, CatalogError, CatalogSource, Clock, JobQueue,
        JobStore, Signals, StoreError, TransitionError, VaultError,
    },
};

/// Everything a use case needs, as the host wired it.
#[derive(Clone)]
pub struct App {
    /// Jobs.
    pub jobs: Arc<dyn JobStore>,
    /// What wakes workers.
    pub queue: Arc<dyn JobQueue>,
    /// Results.
    pub blobs: Arc<dyn BlobStore>,
    /// Accounts and tokens.
    pub accounts: Arc<dyn Accounts>,
    /// Data sets and plans.
    pub catalog: Arc<dyn CatalogSource>,
    /// What wakes those who wait.
    pub signals: Arc<dyn Signals>,
    /// What tells others of jobs.
    pub notifier: Notifier,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What differs between hosts.
    pub settings: Settings,
}

/// What differs between hosts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The base of every link, without a slash at the end.
    pub public_url: String,
    /// The longest that a status request may wait.
    pub max_wait: Duration,
    /// How long a synchronous request waits unless it says otherwise.
    pub default_sync_wait: Duration,
    /// The longest that a synchronous request may wait.
    pub max_sync_wait: Duration,
    /// The most bytes that this host answers inline; `None` for no limit.
    pub inline_limit: Option<u64>,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(Box::new(error)),
            StoreError::Corrupt(_) => Self::Internal(Box::new(error)),
        }
    }
}

impl From<TransitionError> for Error {
    fn from(error: TransitionError) -> Self {
        match error {
            TransitionError::NotFound => Self::NotFound("job"),
            TransitionError::Refused(refused) => Self::Conflict(refused.to_string()),
            TransitionError::Store(error) => error.into(),
        }
    }
}

impl From<BlobError> for Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Missing(_) => Self::Internal(Box::new(error)),
            BlobError::Full(_) | BlobError::Unavailable(_) => Self::Unavailable(Box::new(error)),
        }
    }
}

impl From<AccountsError> for Error {
    fn from(error: AccountsError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unavailable(_) => Self::Unavailable(Box::new(error)),
            VaultError::Unreadable => Self::Internal(Box::new(error)),
        }
    }
}

impl From<CatalogError> for Error {
    fn from(error: CatalogError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
