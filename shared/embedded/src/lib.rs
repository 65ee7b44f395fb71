//! The one-box host: jobs, queue and accounts in one SQLite file, results in a directory, workers in the process.

mod accounts;
mod blob_store;
mod catalog;
mod database;
mod host;
mod job_queue;
mod job_store;
mod key_file;
mod leftovers;
mod notices;
mod signals;
mod webhooks;
mod workers;

pub use self::{
    accounts::SqliteAccounts,
    blob_store::{DirBlobStore, OpenBlobStoreError},
    catalog::{CatalogProblem, FileCatalog},
    database::{Database, OpenDatabaseError},
    host::{AppParts, Embedded, EmbeddedConfig, OpenError, Recovered},
    job_queue::{Message, SqliteJobQueue},
    job_store::SqliteJobStore,
    key_file::{KeyFileError, read_or_create_key},
    notices::{InProcessNotices, run_notifier},
    signals::InProcessSignals,
    webhooks::SqliteWebhookStore,
    workers::{Handled, run_sweeper, run_workers},
};
