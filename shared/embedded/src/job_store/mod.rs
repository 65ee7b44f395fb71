//! Jobs in SQLite: the record as JSON, and beside it the members that are searched for.

mod batch;
mod change;
mod list;
mod row;
mod submit;

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};
use willcall_core::{
    AccountId, JobId, JobRef, Timestamp,
    idempotency::{KeyHash, KeyRecord},
    job::{JOB_SCHEMA, Job, Transition},
    ports::{
        AddBatchError, BatchAdded, Consumed, InsertError, JobFilter, JobPage, JobStore, NewBatch, NewJob,
        StoreError, Submitted, TransitionError,
    },
};

use self::change::{Changed, durability};
pub(crate) use self::{
    change::change_job,
    row::{read_job, reference},
    submit::{read_key, write_key},
};
use crate::{
    InProcessSignals,
    database::{Database, Durability, Failed, Never},
};

/// Past how many waiting jobs the place of one is not counted any more.
const COUNTED: i64 = 10_000;

/// The job store of one box.
#[derive(Clone)]
pub struct SqliteJobStore {
    database: Arc<Database>,
    signals: InProcessSignals,
}

impl SqliteJobStore {
    /// The jobs of `database`; every change is told to `signals` once it is committed.
    pub fn new(database: Arc<Database>, signals: InProcessSignals) -> Self {
        Self { database, signals }
    }
}

#[async_trait]
impl JobStore for SqliteJobStore {
    async fn submit(&self, new: &NewJob) -> Result<Submitted, InsertError> {
        let new = new.clone();
        let submitted =
            self.database.write(Durability::Machine, move |connection| submit::submit(connection, &new));
        submitted.await.map_err(|failed| failed.into_store().unwrap_or_else(InsertError::Store))
    }

    async fn key(
        &self,
        account: &AccountId,
        key: &KeyHash,
        now: Timestamp,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let (account, key) = (account.clone(), key.clone());
        let found = self.database.read(move |connection| read_key(connection, &account, &key, now));
        let found = found.await.map_err(Failed::<Never>::store)?;
        // Whoever repeats a request is promised the job of the first, whose own answer may still wait for its sync.
        if found.is_some() {
            self.database.synced().await.map_err(Failed::store)?;
        }
        Ok(found)
    }

    async fn get(&self, job: &JobRef) -> Result<Option<Job>, StoreError> {
        let job = job.clone();
        self.database.read(move |connection| read_job(connection, &job)).await.map_err(Failed::<Never>::store)
    }

    async fn add_batch(&self, new: &NewBatch) -> Result<BatchAdded, AddBatchError> {
        let (new, signals) = (new.clone(), self.signals.clone());
        let work = move |connection: &rusqlite::Connection| batch::add(connection, &new);
        let added = self.database.write_then(Durability::Machine, work, move |added| {
            if let BatchAdded::Added(container) = added {
                signals.tell(&container.reference());
            }
        });
        added.await.map_err(|failed| failed.into_store().unwrap_or_else(AddBatchError::Store))
    }

    async fn batches(
        &self,
        container: &JobRef,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<JobPage, StoreError> {
        let container = container.clone();
        let page = self.database.read(move |connection| batch::list(connection, &container, after, limit));
        page.await.map_err(Failed::<Never>::store)
    }

    async fn list(
        &self,
        account: &AccountId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<JobPage, StoreError> {
        let (account, filter) = (account.clone(), filter.clone());
        let page =
            self.database.read(move |connection| list::list(connection, &account, &filter, before, limit));
        page.await.map_err(Failed::<Never>::store)
    }

    async fn transition(
        &self,
        job: &JobRef,
        transition: &Transition,
        now: Timestamp,
    ) -> Result<Job, TransitionError> {
        let (durability, signals) = (durability(transition), self.signals.clone());
        let (job, transition) = (job.clone(), transition.clone());
        let work = move |connection: &rusqlite::Connection| {
            let Some(before) = read_job(connection, &job)? else {
                return Err(Failed::By(TransitionError::NotFound));
            };
            let changed = change_job(connection, &before, &transition, now)?;
            changed.map_err(|refused| Failed::By(refused.into()))
        };
        let tell = move |changed: &Changed| {
            signals.tell(&changed.job.reference());
            changed.container.iter().for_each(|container| signals.tell(container));
        };
        let changed = self.database.write_then(durability, work, tell).await.map(|changed| changed.job);
        changed.map_err(|failed| failed.into_store().unwrap_or_else(TransitionError::Store))
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRef>, StoreError> {
        let due = self.database.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT account, id FROM jobs WHERE due_at <= ?1 AND schema <= ?2 ORDER BY due_at, account, id",
            )?;
            let mut rows = statement.query(params![now.as_millis(), JOB_SCHEMA])?;
            let mut due = Vec::new();
            // Those that cannot be read would stay due and take the places of those behind them.
            while due.len() < limit as usize
                && let Some(found) = rows.next()?
            {
                match reference::<Never>(found, 0, 1) {
                    Ok(job) => due.push(job),
                    Err(failed) => tracing::error!(error = %failed.source(), "a due job cannot be read"),
                }
            }
            Ok(due)
        });
        due.await.map_err(Failed::<Never>::store)
    }

    async fn delete(&self, job: &JobRef) -> Result<bool, StoreError> {
        let (wanted, signals, deleted) = (job.clone(), self.signals.clone(), job.clone());
        let work = move |connection: &rusqlite::Connection| row::delete_job(connection, &wanted);
        let gone = self.database.write_then(Durability::Machine, work, move |_| signals.tell(&deleted));
        gone.await.map_err(Failed::<Never>::store)
    }

    async fn open_jobs(&self, account: &AccountId) -> Result<u32, StoreError> {
        let account = account.clone();
        let open = self.database.read(move |connection| Ok(row::open_jobs(connection, &account)?));
        open.await.map_err(Failed::<Never>::store)
    }

    async fn consumed(&self, account: &AccountId, now: Timestamp) -> Result<Consumed, StoreError> {
        let account = account.clone();
        let found = self.database.read(move |connection| Ok(submit::consumed(connection, &account, now)?));
        found.await.map_err(Failed::<Never>::store)
    }

    async fn queue_position(&self, job: &JobRef) -> Result<Option<u64>, StoreError> {
        let job = job.clone();
        let position = self.database.read(move |connection| Ok(queue_position(connection, &job)?));
        position.await.map_err(Failed::<Never>::store)
    }
}

/// Accounts are served in turn: a job with `n` of its own account's before it waits for those, and for at most `n`
/// of each other account.
fn queue_position(connection: &rusqlite::Connection, job: &JobRef) -> rusqlite::Result<Option<u64>> {
    let id = job.job.to_string();
    let calls: Option<bool> = connection
        .prepare_cached(
            "SELECT kind = 'call' FROM jobs WHERE account = ?1 AND id = ?2 AND state = 'accepted'",
        )?
        .query_row(params![job.account.as_str(), id], |row| row.get(0))
        .optional()?;
    // Calls have workers of their own: neither waits for the other.
    let Some(calls) = calls else { return Ok(None) };
    let waiting: i64 = connection
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'accepted' LIMIT ?1)")?
        .query_row(params![COUNTED + 1], |row| row.get(0))?;
    if waiting > COUNTED {
        return Ok(None);
    }
    let own: i64 = connection
        .prepare_cached(
            "SELECT count(*) FROM jobs
                WHERE state = 'accepted' AND account = ?1 AND id < ?2 AND (kind = 'call') = ?3",
        )?
        .query_row(params![job.account.as_str(), id, calls], |row| row.get(0))?;
    let others: i64 = connection
        .prepare_cached(
            "SELECT coalesce(sum(min(jobs, ?2)), 0) FROM (SELECT account, count(*) AS jobs FROM jobs
                WHERE state = 'accepted' AND (kind = 'call') = ?3 GROUP BY account) WHERE account <> ?1",
        )?
        .query_row(params![job.account.as_str(), own, calls], |row| row.get(0))?;
    Ok(u64::try_from(own + others).ok())
}
