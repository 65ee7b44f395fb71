//! Opens a data directory: everything in it belongs to this process alone until it is dropped.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, params};
use willcall_core::{
    Timestamp,
    job::{Transition, Zip},
    ports::{
        Accounts, BlobStore, Clock, JobQueue, JobStore, NoticeQueue, QueueError, Signals, SignedFiles,
        StoreError, SystemClock, WebhookStore,
    },
};

use crate::{
    DirBlobStore, InProcessNotices, InProcessSignals, KeyFileError, OpenBlobStoreError, OpenDatabaseError,
    SqliteAccounts, SqliteJobQueue, SqliteJobStore, SqliteWebhookStore,
    blob_store::make_directory,
    database::{Database, Durability, Failed, Never},
    job_store::{change_job, read_job, reference},
    key_file::{KEY_LEN, read_or_create_key},
    leftovers,
};

/// What the host needs to know beside the directory.
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock) }
    }
}

/// The adapters of one box over one data directory.
pub struct Embedded {
    jobs: SqliteJobStore,
    queue: SqliteJobQueue,
    blobs: DirBlobStore,
    accounts: SqliteAccounts,
    webhooks: SqliteWebhookStore,
    notices: InProcessNotices,
    webhook_key: [u8; KEY_LEN],
    signals: InProcessSignals,
    recovered: Recovered,
}

/// The adapters as use cases take them.
#[derive(Clone)]
pub struct AppParts {
    /// The jobs.
    pub jobs: Arc<dyn JobStore>,
    /// The queue, to send to.
    pub queue: Arc<dyn JobQueue>,
    /// The results.
    pub blobs: Arc<dyn BlobStore>,
    /// The results, by signed link.
    pub files: Arc<dyn SignedFiles>,
    /// The accounts.
    pub accounts: Arc<dyn Accounts>,
    /// What wakes those who wait for a job.
    pub signals: Arc<dyn Signals>,
    /// Who is told of jobs, and what became of it.
    pub webhooks: Arc<dyn WebhookStore>,
    /// What wakes those who tell.
    pub notices: Arc<dyn NoticeQueue>,
}

/// What a start found to be taken up again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Jobs that the last process held when it died.
    pub orphans: u64,
    /// Accepted jobs, those among them, that had no message.
    pub resent: u64,
}

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{}: is in use by another willcall; stop it, or use another data directory", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be made or written.
    #[error("{}: cannot be used as data directory", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its database cannot be opened.
    #[error(transparent)]
    Database(#[from] OpenDatabaseError),
    /// Its results cannot be opened.
    #[error(transparent)]
    Blobs(#[from] OpenBlobStoreError),
    /// The key of webhooks' secrets cannot be used.
    #[error(transparent)]
    WebhookKey(#[from] KeyFileError),
    /// What the database holds cannot be taken up.
    #[error("{}: what the last run left cannot be taken up", path.display())]
    Recover {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The messages cannot be read.
    #[error("{}: the queue cannot be read", path.display())]
    Queue {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: QueueError,
    },
}

impl Embedded {
    /// Takes the directory for this process, making it where there is none, and takes up what the last process left: jobs
    /// that it held can be claimed at once, and every accepted job has its message. Requests and uploads of jobs that are
    /// not there are removed later on.
    pub async fn open(path: &Path, config: EmbeddedConfig) -> Result<Self, OpenError> {
        let owned = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || open_files(&owned)).await;
        let (database, blobs, webhook_key) = opened.unwrap_or_else(|stopped| {
            Err(OpenError::Directory { path: path.to_owned(), source: io::Error::other(stopped) })
        })?;
        let recovered = recover(&database, config.clock.now())
            .await
            .map_err(|source| OpenError::Recover { path: path.to_owned(), source })?;
        if recovered != Recovered::default() {
            tracing::info!(
                orphans = recovered.orphans,
                resent = recovered.resent,
                "took up what the last run left"
            );
        }
        let now = config.clock.now();
        let notices = InProcessNotices::new(Arc::clone(&config.clock));
        let queue = SqliteJobQueue::open(Arc::clone(&database), config.clock)
            .await
            .map_err(|source| OpenError::Queue { path: path.to_owned(), source })?;
        // There may be many files to look at, and nothing waits for that.
        tokio::spawn(leftovers::sweep_all(Arc::downgrade(&database), blobs.clone(), now));
        let signals = InProcessSignals::default();
        Ok(Self {
            jobs: SqliteJobStore::new(Arc::clone(&database), signals.clone()),
            webhooks: SqliteWebhookStore::new(Arc::clone(&database)),
            accounts: SqliteAccounts::new(database),
            notices,
            webhook_key,
            queue,
            blobs,
            signals,
            recovered,
        })
    }

    /// The adapters as use cases take them.
    pub fn app_parts(&self) -> AppParts {
        AppParts {
            jobs: Arc::new(self.jobs.clone()),
            queue: Arc::new(self.queue.clone()),
            blobs: Arc::new(self.blobs.clone()),
            files: Arc::new(self.blobs.clone()),
            accounts: Arc::new(self.accounts.clone()),
            signals: Arc::new(self.signals.clone()),
            webhooks: Arc::new(self.webhooks.clone()),
            notices: Arc::new(self.notices.clone()),
        }
    }

    /// The queue of notices, to receive from: what [`run_notifier`](crate::run_notifier) takes.
    pub fn notices(&self) -> InProcessNotices {
        self.notices.clone()
    }

    /// The key that hides the secrets of webhooks, from a file beside the database: whoever has a copy of the database alone
    /// does not have them.
    pub fn webhook_key(&self) -> [u8; KEY_LEN] {
        self.webhook_key
    }

    /// The queue, to receive from: what [`run_workers`](crate::run_workers) takes.
    pub fn queue(&self) -> SqliteJobQueue {
        self.queue.clone()
    }

    /// What this start took up.
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }
}

fn open_files(path: &Path) -> Result<(Arc<Database>, DirBlobStore, [u8; KEY_LEN]), OpenError> {
    let failed = |source| OpenError::Directory { path: path.to_owned(), source };
    make_directory(path).map_err(failed)?;
    let lock = lock(path)?;
    let database = Database::open(&path.join("willcall.db"))?.holding(lock);
    let blobs = DirBlobStore::open(&path.join("blobs"), &path.join("link.key"))?;
    let webhook_key = read_or_create_key(&path.join("webhook.key"))?;
    Ok((Arc::new(database), blobs, webhook_key))
}

/// The lock goes with the process, however it ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Directory { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join("willcall.lock"))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// No other process can hold a lease on these jobs, so nobody need wait until it has run out.
async fn recover(database: &Database, now: Timestamp) -> Result<Recovered, StoreError> {
    let recovered = database.write(Durability::Machine, move |connection| {
        let mut held = Vec::new();
        {
            let mut statement =
                connection.prepare("SELECT account, id FROM jobs WHERE state = 'processing'")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                held.push(reference::<Never>(row, 0, 1)?);
            }
        }
        let mut recovered = Recovered::default();
        for job in held {
            let before = match read_job::<Never>(connection, &job) {
                Ok(Some(before)) => before,
                Ok(None) => continue,
                // One record that cannot be read must not keep the others from being served.
                Err(Failed::Unreadable(error)) => {
                    tracing::error!(job.id = %job.job, error = %error, "a job cannot be read");
                    continue;
                }
                Err(other) => return Err(other),
            };
            // Refused of a container that waits for its batches: nobody held it.
            match change_job::<Never>(connection, &before, &Transition::Orphan, now) {
                Ok(orphaned) => recovered.orphans += u64::from(orphaned.is_ok()),
                Err(Failed::Unreadable(error)) => {
                    tracing::error!(job.id = %job.job, error = %error, "a batch's container cannot be read");
                }
                Err(other) => return Err(other),
            }
        }
        connection.execute(
            "DELETE FROM messages WHERE NOT EXISTS (SELECT 1 FROM jobs
                WHERE jobs.account = messages.account AND jobs.id = messages.job
                AND jobs.state NOT IN ('failed', 'cancelled', 'expired'))",
            [],
        )?;
        forget_idle(connection)?;
        let resent = connection.execute(
            "INSERT OR IGNORE INTO messages (account, job, visible_at)
                SELECT account, id, ?1 FROM jobs WHERE state = 'accepted' ORDER BY id",
            params![now.as_millis()],
        )?;
        recovered.resent = resent as u64;
        Ok(recovered)
    });
    recovered.await.map_err(Failed::<Never>::store)
}

/// Removes the messages of completed jobs of which no zip is wanted: those whose attempt ended with its process.
fn forget_idle(connection: &Connection) -> Result<(), Failed<Never>> {
    let mut statement = connection.prepare(
        "SELECT messages.account, messages.job FROM messages JOIN jobs
            ON jobs.account = messages.account AND jobs.id = messages.job WHERE jobs.state = 'completed'",
    )?;
    let mut rows = statement.query([])?;
    let mut completed = Vec::new();
    while let Some(row) = rows.next()? {
        completed.push(reference::<Never>(row, 0, 1)?);
    }
    for job in completed {
        let wanted = match read_job::<Never>(connection, &job) {
            Ok(found) => found.is_some_and(|found| matches!(found.zip, Some(Zip::Wanted { .. }))),
            // It is told of where it is asked for, and no worker can do anything with it.
            Err(Failed::Unreadable(_)) => false,
            Err(other) => return Err(other),
        };
        if !wanted {
            connection.execute(
                "DELETE FROM messages WHERE account = ?1 AND job = ?2",
                params![job.account.as_str(), job.job.to_string()],
            )?;
        }
    }
    Ok(())
}
