//! What the domain needs of the world. Each port is a small contract; `willcall-conformance` holds it as a suite
//! that every adapter runs whole.

mod accounts;
mod blob_store;
mod catalog;
mod clock;
mod data_files;
mod executor;
mod job_queue;
mod job_store;
mod signals;
mod signed_files;
mod submission;
mod webhooks;

pub use self::{
    accounts::{Accounts, AccountsError},
    blob_store::{
        BlobError, BlobHead, BlobKey, BlobPrefix, BlobStore, BlobStream, BlobWriter, PutNew, SignGet,
        SignedLink,
    },
    catalog::{CatalogError, CatalogSource, DatasetInspector, InspectError},
    clock::{Clock, ManualClock, SystemClock},
    data_files::{DataFile, DataFileEntry, DataFiles, DataFilesByPlace, DataFilesError},
    executor::{Control, Delivered, ExecuteError, Executor, Task},
    job_queue::{JobQueue, QueueError},
    job_store::{InsertError, JobFilter, JobPage, JobStore, StoreError, TransitionError},
    signals::{Listener, Signals},
    signed_files::{SignedFile, SignedFileBody, SignedFileError, SignedFiles},
    submission::{Consumed, NewJob, Submitted},
    webhooks::{
        Message, Notice, NoticeQueue, Reply, SavedOnce, SendError, Sender, UnfitUrl, VAULT_KEY_LEN, Vault,
        VaultError, VaultKey, WebhookStore,
    },
};
