//! Removes the requests of jobs that were never made, as a process that dies between the two writes leaves one; and what
//! was uploaded for batches that are gone, as an upload may be under way while its batch is removed; and results, and zips
//! of results, of jobs that are gone, as the process that wrote the last of them may die before it looks again.

use std::{
    fs::{self, ReadDir},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Weak,
    time::Duration,
};

use rusqlite::{OptionalExtension, params};
use willcall_core::{AccountId, JobId, JobRef, Timestamp};

use crate::{
    DirBlobStore,
    blob_store::head_of,
    database::{Database, Failed, Never},
};

/// Younger ones may belong to a job that is being made.
const OLD: Duration = Duration::from_secs(3600);
/// How many are looked at in one go: bounds what is in memory, and how long a reader of the database is taken.
const AT_ONCE: usize = 256;

/// What may be left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Files `{account}/{job}.json`.
    Requests,
    /// Directories `{account}/{batch}`.
    Uploads,
    /// Directories `{account}/{job}`.
    Results,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Uploads => "uploads",
            Self::Results => "results",
        }
    }
}

/// Goes through all requests, uploads and results, and answers how many went. It does not keep the database open: once nobody else
/// uses it, it ends.
pub(crate) async fn sweep_all(database: Weak<Database>, blobs: DirBlobStore, now: Timestamp) -> u64 {
    let requests = sweep(database.clone(), Kind::Requests, blobs.requests(), now).await;
    let uploads = sweep(database.clone(), Kind::Uploads, blobs.uploads(), now).await;
    requests + uploads + sweep(database, Kind::Results, blobs.results(), now).await
}

async fn sweep(database: Weak<Database>, kind: Kind, directory: PathBuf, now: Timestamp) -> u64 {
    let mut removed = 0;
    let mut walk = Walk { kind, directory, accounts: None, account: None };
    loop {
        let (walked, found) = match blocking(move || walk.next(now).map(|found| (walk, found))).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(kind = kind.as_str(), error = %error, "failed to look for files without a job");
                break;
            }
        };
        walk = walked;
        if found.is_empty() {
            break;
        }
        let Some(database) = database.upgrade() else { break };
        let orphans = database.read(move |connection| without_job(connection, found)).await;
        drop(database);
        let gone = match orphans {
            Ok(orphans) => blocking(move || remove(kind, &orphans, now)).await,
            Err(failed) => Err(io::Error::other(failed.source())),
        };
        match gone {
            Ok(gone) => removed += gone,
            Err(error) => {
                tracing::warn!(kind = kind.as_str(), error = %error, "failed to remove files without a job");
                break;
            }
        }
    }
    if removed > 0 {
        tracing::info!(kind = kind.as_str(), removed, "removed files whose jobs are not there");
    }
    removed
}

/// Where in the directories the sweep is.
struct Walk {
    kind: Kind,
    directory: PathBuf,
    accounts: Option<ReadDir>,
    account: Option<(AccountId, ReadDir)>,
}

impl Walk {
    /// The next that are old; none at the end.
    fn next(&mut self, now: Timestamp) -> io::Result<Vec<(JobRef, PathBuf)>> {
        let mut found = Vec::new();
        while found.len() < AT_ONCE {
            let Some((account, files)) = &mut self.account else {
                match self.next_account()? {
                    Some(next) => self.account = Some(next),
                    None => break,
                }
                continue;
            };
            let Some(file) = files.next() else {
                self.account = None;
                continue;
            };
            let path = file?.path();
            // What is not named like one was put there by someone else.
            if let Some(job) = job_of(self.kind, &path)
                && is_old(self.kind, &path, now)?
            {
                found.push((JobRef { account: account.clone(), job }, path));
            }
        }
        Ok(found)
    }

    fn next_account(&mut self) -> io::Result<Option<(AccountId, ReadDir)>> {
        let accounts = match &mut self.accounts {
            Some(accounts) => accounts,
            None => match fs::read_dir(&self.directory) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                opened => self.accounts.insert(opened?),
            },
        };
        for entry in accounts {
            let entry = entry?;
            let account = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(account) = account
                && entry.file_type()?.is_dir()
            {
                return Ok(Some((account, fs::read_dir(entry.path())?)));
            }
        }
        Ok(None)
    }
}

fn job_of(kind: Kind, path: &Path) -> Option<JobId> {
    let name = path.file_name()?.to_str()?;
    match kind {
        Kind::Requests => name.strip_suffix(".json")?.parse().ok(),
        Kind::Uploads | Kind::Results => name.parse().ok(),
    }
}

/// `false` also where there is none any more. A directory is as old as what was last put into it.
fn is_old(kind: Kind, path: &Path, now: Timestamp) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => {
            let fits = match kind {
                Kind::Requests => metadata.is_file(),
                Kind::Uploads | Kind::Results => metadata.is_dir(),
            };
            Ok(fits && head_of(&metadata).modified.plus(OLD) < now)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn without_job(
    connection: &rusqlite::Connection,
    found: Vec<(JobRef, PathBuf)>,
) -> Result<Vec<PathBuf>, Failed<Never>> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM jobs WHERE account = ?1 AND id = ?2")?;
    let mut orphans = Vec::new();
    for (job, path) in found {
        let known: Option<i64> = statement
            .query_row(params![job.account.as_str(), job.job.to_string()], |row| row.get(0))
            .optional()?;
        if known.is_none() {
            orphans.push(path);
        }
    }
    Ok(orphans)
}

fn remove(kind: Kind, orphans: &[PathBuf], now: Timestamp) -> io::Result<u64> {
    let mut removed = 0;
    for path in orphans {
        // Not one that was written anew meanwhile.
        if is_old(kind, path, now)? {
            let gone = match kind {
                Kind::Requests => fs::remove_file(path),
                Kind::Uploads | Kind::Results => fs::remove_dir_all(path),
            };
            match gone {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(removed)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::Arc, time::UNIX_EPOCH};

    use willcall_conformance::samples::{START, batch_at, container_at, job, reference};
    use willcall_core::{
        job::Transition,
        ports::{BlobKey, JobStore, NewBatch},
    };

    use super::*;
    use crate::{InProcessSignals, SqliteJobStore};

    fn put(root: &Path, name: &str, age: Duration) -> PathBuf {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let written = START.minus(age).as_millis();
        let written = UNIX_EPOCH + Duration::from_millis(u64::try_from(written).unwrap());
        File::create(&path).unwrap().set_modified(written).unwrap();
        path
    }

    #[tokio::test]
    async fn only_old_requests_without_a_job_go() {
        let dir = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&dir.path().join("willcall.db")).unwrap());
        let jobs = SqliteJobStore::new(Arc::clone(&database), InProcessSignals::default());
        let requests = dir.path().join("requests");
        let none = sweep(Arc::downgrade(&database), Kind::Requests, requests.clone(), START).await;
        assert_eq!(none, 0, "there is no directory of requests yet");

        let (kept, hour, minute) = (job("acme"), Duration::from_secs(3600), Duration::from_secs(60));
        jobs.insert(&kept, 10).await.unwrap();
        let name = |job: JobRef| BlobKey::Request(job).to_string();
        // More than fit in one go, and of more than one account.
        let gone: Vec<PathBuf> = (0..AT_ONCE + 5)
            .map(|n| name(reference(if n % 7 == 0 { "acme" } else { "other" })))
            .map(|name| put(dir.path(), &name, hour + minute))
            .collect();
        let stays = [
            put(dir.path(), &name(kept.reference()), hour * 100),
            put(dir.path(), &name(reference("acme")), hour - minute),
            put(dir.path(), "requests/acme/notes.json", hour * 100),
            put(dir.path(), "requests/readme", hour * 100),
        ];
        let removed = sweep(Arc::downgrade(&database), Kind::Requests, requests.clone(), START).await;
        assert_eq!(removed, gone.len() as u64);
        assert!(gone.iter().all(|path| !path.exists()));
        assert!(stays.iter().all(|path| path.exists()));
        assert_eq!(sweep(Arc::downgrade(&database), Kind::Requests, requests, START).await, 0);
    }

    /// The directory of a batch, into which files were put that long ago.
    fn uploaded(root: &Path, batch: JobRef, age: Duration) -> PathBuf {
        let first = put(root, &BlobKey::Upload { job: batch.clone(), file: 0 }.to_string(), age);
        put(root, &BlobKey::Upload { job: batch, file: 1 }.to_string(), age);
        let directory = first.parent().unwrap().to_owned();
        let written = u64::try_from(START.minus(age).as_millis()).unwrap();
        File::open(&directory).unwrap().set_modified(UNIX_EPOCH + Duration::from_millis(written)).unwrap();
        directory
    }

    #[tokio::test]
    async fn only_old_uploads_without_a_batch_go() {
        let dir = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&dir.path().join("willcall.db")).unwrap());
        let jobs = SqliteJobStore::new(Arc::clone(&database), InProcessSignals::default());
        let container = container_at("acme", START);
        jobs.insert(&container, 10).await.unwrap();
        let (waiting, ended) = (batch_at(&container, START), batch_at(&container, START));
        for batch in [&waiting, &ended] {
            jobs.add_batch(&NewBatch { batch: batch.clone(), key: None }).await.unwrap();
        }
        jobs.transition(&ended.reference(), &Transition::Cancel, START).await.unwrap();
        let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
        let gone = uploaded(dir.path(), reference("acme"), hour + minute);
        let stays = [
            uploaded(dir.path(), waiting.reference(), hour * 100),
            uploaded(dir.path(), ended.reference(), hour * 100),
            uploaded(dir.path(), reference("acme"), hour - minute),
            put(dir.path(), "uploads/acme/notes.txt", hour * 100),
            put(dir.path(), &format!("uploads/acme/{}", reference("acme").job), hour * 100),
        ];
        let uploads = dir.path().join("uploads");
        assert_eq!(sweep(Arc::downgrade(&database), Kind::Uploads, uploads.clone(), START).await, 1);
        assert!(!gone.exists());
        assert!(stays.iter().all(|path| path.exists()), "what a record tells of goes with the record");
        assert_eq!(sweep(Arc::downgrade(&database), Kind::Uploads, uploads, START).await, 0);
    }

    #[tokio::test]
    async fn only_old_results_without_a_job_go() {
        let dir = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&dir.path().join("willcall.db")).unwrap());
        let jobs = SqliteJobStore::new(Arc::clone(&database), InProcessSignals::default());
        let kept = job("acme");
        jobs.insert(&kept, 10).await.unwrap();
        let old =
            UNIX_EPOCH + Duration::from_millis(u64::try_from(START.minus(OLD * 2).as_millis()).unwrap());
        let result = |job: JobRef, old: Option<std::time::SystemTime>| {
            let zip = put(dir.path(), &BlobKey::Zip { job: job.clone(), attempt: 1 }.to_string(), OLD * 2);
            let directory = dir.path().join("results").join(job.to_string());
            File::open(&directory)
                .unwrap()
                .set_modified(old.unwrap_or_else(std::time::SystemTime::now))
                .unwrap();
            zip
        };
        let gone = result(reference("acme"), Some(old));
        let stays = [result(kept.reference(), Some(old)), result(reference("acme"), None)];
        let results = dir.path().join("results");
        assert_eq!(sweep(Arc::downgrade(&database), Kind::Results, results.clone(), START).await, 1);
        assert!(!gone.exists() && stays.iter().all(|path| path.exists()));
        assert_eq!(sweep(Arc::downgrade(&database), Kind::Results, results, START).await, 0);
    }

    #[tokio::test]
    async fn a_sweep_ends_with_the_database() {
        let dir = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&dir.path().join("willcall.db")).unwrap());
        let name = BlobKey::Request(reference("acme")).to_string();
        let path = put(dir.path(), &name, Duration::from_secs(7200));
        let weak = Arc::downgrade(&database);
        drop(database);
        assert_eq!(sweep(weak, Kind::Requests, dir.path().join("requests"), START).await, 0);
        assert!(path.exists());
    }
}
