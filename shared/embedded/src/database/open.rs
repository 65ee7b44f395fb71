//! Opens the database file and brings it to the form that this code reads.

use std::{
    fs::{File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::{
    Database, READERS, is_damage,
    writer::{SyncLog, Writer},
};

/// What brings the file from each version to the next; the version is the number of those that were run.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/1.sql"),
    include_str!("../../migrations/2-submits.sql"),
    include_str!("../../migrations/3-webhooks.sql"),
    include_str!("../../migrations/4-batches.sql"),
    include_str!("../../migrations/5-identities.sql"),
];

/// The database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDatabaseError {
    /// A newer version of the program has written it.
    #[error("{}: was written by a newer version of willcall (form {found}, this one knows up to {known})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: i64,
        /// The newest form that this code reads.
        known: i64,
    },
    /// It is damaged, or no database.
    #[error("{}: is damaged or not a database; put back a copy, or move it away to begin anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// It cannot be opened or written.
    #[error("{}: cannot be opened for writing", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Its file cannot be made.
    #[error("{}: cannot be made", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The thread that writes could not be started.
    #[error("cannot start the database's thread")]
    Thread(#[source] std::io::Error),
}

impl Database {
    /// Opens the file, making it where there is none. The caller sees to it that no other process does the same.
    pub fn open(path: &Path) -> Result<Self, OpenDatabaseError> {
        let failed = |source: rusqlite::Error| match is_damage(&source) {
            true => OpenDatabaseError::Damaged { path: path.to_owned(), source },
            false => OpenDatabaseError::Unusable { path: path.to_owned(), source },
        };
        make_private(path).map_err(|source| OpenDatabaseError::File { path: path.to_owned(), source })?;
        let mut connection = connect(path).map_err(failed)?;
        let found: i64 =
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        if found > known {
            return Err(OpenDatabaseError::Newer { path: path.to_owned(), found, known });
        }
        migrate(&mut connection, found).map_err(failed)?;
        let readers =
            (0..READERS).map(|_| connect_reader(path)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        // From here on the writer syncs the log itself, where a commit needs it.
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
        let sync =
            sync_log(path).map_err(|source| OpenDatabaseError::File { path: path.to_owned(), source })?;
        let writer = Writer::start(connection, sync).map_err(OpenDatabaseError::Thread)?;
        Ok(Self {
            writer,
            readers: Arc::new(Mutex::new(readers)),
            permits: Arc::new(Semaphore::new(READERS)),
            lock: None,
        })
    }
}

/// Syncs the log of the database, which the connections that are open keep in its place. SQLite holds no lock on it that
/// opening it once more could drop. Its name is synced here: SQLite would do that with its own first sync.
fn sync_log(path: &Path) -> std::io::Result<SyncLog> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let log = File::open(PathBuf::from(name))?;
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(directory)?.sync_all()?;
    }
    Ok(Box::new(move || log.sync_data()))
}

/// Makes the file for its owner alone where there is none: SQLite would let others read it, as far as the umask does.
/// The files beside it get its mode. One that is there is not opened, as closing it would drop SQLite's own locks.
fn make_private(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    set_up(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A crash of the machine during a migration must not lose it half.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    // Read-write at the level of the file, because readers share the index of the log; SQL may not write.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "cache_size", -16_384)
}

fn migrate(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    for (version, migration) in (1_i64..).zip(MIGRATIONS) {
        if version > found {
            let transaction = connection.transaction()?;
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()?;
        }
    }
    Ok(())
}
