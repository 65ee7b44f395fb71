//! The one SQLite file of a data directory: a single writer that commits in groups, and a few readers.

mod open;
mod writer;

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{Semaphore, oneshot};
use willcall_core::{error::Source, ports::StoreError};

#[cfg(test)]
pub(crate) use self::open::MIGRATIONS;
pub use self::open::OpenDatabaseError;
use self::writer::{Command, Writer};

/// Connections that read at the same time.
const READERS: usize = 4;

/// What a commit must survive before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The death of the process.
    Process,
    /// The death of the machine: costs a sync of the disk, shared by all that wait for one.
    Machine,
}

/// A database file, owned by this process alone.
pub struct Database {
    writer: Writer,
    readers: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    /// Given back when nobody uses the database any more.
    lock: Option<File>,
}

/// A command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed<E> {
    /// It found a reason of its own.
    By(E),
    /// SQLite failed; whether a write was done is not known.
    Sql(rusqlite::Error),
    /// What was found cannot be read.
    Unreadable(Source),
    /// The database has stopped, or the command panicked.
    Stopped,
}

impl<E> From<rusqlite::Error> for Failed<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl<E> From<serde_json::Error> for Failed<E> {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

/// The database has stopped.
#[derive(Debug, thiserror::Error)]
#[error("the database has stopped")]
struct Stopped;

impl<E> Failed<E> {
    /// Sorts the failure for ports: the command's own reason, or the store's failure.
    pub(crate) fn into_store(self) -> Result<E, StoreError> {
        match self {
            Self::By(reason) => Ok(reason),
            Self::Unreadable(source) => Err(StoreError::Corrupt(source)),
            Self::Stopped => Err(StoreError::Unavailable(Box::new(Stopped))),
            Self::Sql(error) if is_damage(&error) => Err(StoreError::Corrupt(error.into())),
            Self::Sql(error) => Err(StoreError::Unavailable(error.into())),
        }
    }
}

/// A command that has no reason of its own to fail.
#[derive(Debug)]
pub(crate) enum Never {}

impl Failed<Never> {
    /// The failure as ports name it.
    pub(crate) fn store(self) -> StoreError {
        match self.into_store() {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    /// The failure as an error with its chain.
    pub(crate) fn source(self) -> Source {
        Box::new(self.store())
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    match error {
        Error::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..) => true,
        _ => false,
    }
}

impl Database {
    /// Keeps a lock for as long as the database is open.
    pub(crate) fn holding(mut self, lock: File) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Runs `work` in the next group of writes and answers once the group is committed. `work` is all or nothing: where
    /// it fails, nothing of it is kept and its neighbours in the group are not touched.
    pub(crate) async fn write<T, E>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, Failed<E>> + Send + 'static,
    ) -> Result<T, Failed<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.write_then(durability, work, |_| ()).await
    }

    /// As [`Self::write`]; `after` sees what was committed, even where the caller has gone away meanwhile.
    pub(crate) async fn write_then<T, E>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, Failed<E>> + Send + 'static,
        after: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, Failed<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let answer = self.submit(durability, work, after);
        answer.await.unwrap_or(Err(Failed::Stopped))
    }

    /// Puts `work` in line and returns at once; commands are run in the order of these calls.
    pub(crate) fn submit<T, E>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, Failed<E>> + Send + 'static,
        after: impl FnOnce(&T) + Send + 'static,
    ) -> oneshot::Receiver<Result<T, Failed<E>>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.writer.send(Command::new(durability, work, move |result: Result<T, Failed<E>>| {
            if let Ok(value) = &result {
                after(value);
            }
            // Nobody listens where the caller has gone away; the write stands all the same.
            let _ = sender.send(result);
        }));
        receiver
    }

    /// Answers once everything that a read has seen so far survives the death of the machine: reads also see what was
    /// committed and waits for its sync.
    pub(crate) async fn synced(&self) -> Result<(), Failed<Never>> {
        self.write(Durability::Machine, |_| Ok(())).await
    }

    /// Runs `work` on a reading connection. It sees every write that was answered before this call.
    pub(crate) async fn read<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failed<E>> + Send + 'static,
    ) -> Result<T, Failed<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return Err(Failed::Stopped);
        };
        let readers = Arc::clone(&self.readers);
        // The closure gives the connection back itself: it also runs to its end when the caller has gone away.
        tokio::task::spawn_blocking(move || {
            let reader = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(reader) = reader else { return Err(Failed::Stopped) };
            let result = catch_unwind(AssertUnwindSafe(|| work(&reader)));
            readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            drop(permit);
            result.unwrap_or(Err(Failed::Stopped))
        })
        .await
        .unwrap_or(Err(Failed::Stopped))
    }
}
