//! The one-box host: jobs, queue and accounts in one SQLite file, results in a directory, workers in the process.

mod accounts;
mod blob_store;
mod database;
mod job_queue;
mod job_store;
mod signals;

pub use self::{
    accounts::SqliteAccounts,
    blob_store::{DirBlobStore, LinkKeyError, OpenBlobStoreError},
    database::{Database, OpenDatabaseError},
    job_queue::{Message, SqliteJobQueue},
    job_store::SqliteJobStore,
    signals::InProcessSignals,
};
