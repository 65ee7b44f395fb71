//! Fakes that keep everything in memory, for tests of use cases.

mod accounts;
mod blob_store;
mod catalog;
mod executor;
mod job_queue;
mod job_store;
mod signals;
mod webhooks;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::{
    accounts::MemoryAccounts,
    blob_store::MemoryBlobStore,
    catalog::FixedCatalog,
    executor::{FakeExecutor, Script},
    job_queue::MemoryJobQueue,
    job_store::MemoryJobStore,
    signals::MemorySignals,
    webhooks::{Answer, FakeNotifier, FakeSender, MemoryNoticeQueue, MemoryWebhookStore, OpenVault},
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
