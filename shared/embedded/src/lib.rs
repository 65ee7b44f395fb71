//! The one-box host: jobs, queue and accounts in one SQLite file, results in a directory, workers in the process.

mod accounts;
mod blob_store;
mod catalog;
mod database;
mod host;
mod job_queue;
mod job_store;
mod leftovers;
mod signals;
mod workers;

pub use self::{
    accounts::SqliteAccounts,
    blob_store::{DirBlobStore, LinkKeyError, OpenBlobStoreError},
    catalog::{CatalogProblem, FileCatalog},
    database::{Database, OpenDatabaseError},
    host::{AppParts, Embedded, EmbeddedConfig, OpenError, Recovered},
    job_queue::{Message, SqliteJobQueue},
    job_store::SqliteJobStore,
    signals::InProcessSignals,
    workers::{Handled, run_sweeper, run_workers},
};
