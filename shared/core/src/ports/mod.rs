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
mod secrets;
mod signals;
mod signed_files;
mod submission;
mod webhooks;

pub use self::{
    accounts::{Accounts, AccountsError},
    blob_store::{
        BlobError, BlobHead, BlobKey, BlobPrefix, BlobStore, BlobStream, BlobWriter, Piece, PutNew, SignGet,
        SignPut, SignedLink, SignedUpload, WholeBlob,
    },
    catalog::{CatalogError, CatalogSource, DatasetInspector, InspectError},
    clock::{Clock, ManualClock, SystemClock},
    data_files::{DataFile, DataFileEntry, DataFiles, DataFilesByPlace, DataFilesError},
    executor::{
        Control, DatasetRead, Delivered, ExecuteError, Executor, ExecutorByKind, Input, InputFile, Subject,
        Task,
    },
    job_queue::{JobQueue, QueueError},
    job_store::{AddBatchError, InsertError, JobFilter, JobPage, JobStore, StoreError, TransitionError},
    secrets::{EnvironmentSecrets, SecretError, Secrets},
    signals::{Listener, Signals},
    signed_files::{Received, SignedFile, SignedFileBody, SignedFileError, SignedFiles},
    submission::{BatchAdded, Consumed, NewBatch, NewJob, Submitted},
    webhooks::{
        Message, Notice, NoticeQueue, Reply, SavedOnce, SendError, Sender, UnfitUrl, VAULT_KEY_LEN, Vault,
        VaultError, VaultKey, WebhookStore,
    },
};
