//! Jobs in DynamoDB: an item of about 2 KB for each, and an item for the place of each open one.

mod batches;
mod beside;
mod change;
mod insert;
mod item;
mod list;

use std::sync::Arc;

use async_trait::async_trait;
use willcall_core::{
    AccountId, JobId, JobRef, Timestamp,
    idempotency::{KeyHash, KeyRecord},
    job::{Job, Transition},
    ports::{
        AddBatchError, BatchAdded, Consumed, InsertError, JobFilter, JobPage, JobStore, NewBatch, NewJob,
        StoreError, Submitted, TransitionError,
    },
};

use self::item::{SLOT, Stored, job_key, partition, reference};
pub(crate) use self::{
    beside::{key_item, read_key, unknown_at},
    item::shard,
};
use crate::{
    Clients,
    backoff::Exhausted,
    dynamo::{DUE_SHARDS, Table, Unreadable},
    failure::CallFailed,
};

/// The job store on DynamoDB.
///
/// `max_open_jobs` of an insert bounds the places that it looks at, not a count: after a plan's limit was lowered,
/// jobs that hold places above the new limit do not keep new ones from those below it, until they end.
///
/// [`due`](JobStore::due) reads an index that follows the table by some milliseconds.
#[derive(Debug, Clone)]
pub struct DynamoJobStore {
    table: Table,
    lowered: Arc<insert::Lowered>,
}

impl DynamoJobStore {
    /// The jobs of that table.
    pub fn new(clients: &Clients, table: impl Into<String>) -> Self {
        Self { table: Table::new(clients, table), lowered: Arc::default() }
    }

    async fn read(&self, job: &JobRef) -> Result<Option<Stored>, StoreError> {
        read(&self.table, &job.account, job.job).await
    }
}

async fn read(table: &Table, account: &AccountId, job: JobId) -> Result<Option<Stored>, StoreError> {
    let item = table.get(job_key(&JobRef { account: account.clone(), job })).await.map_err(unavailable)?;
    item.as_ref().map(Stored::from_item).transpose().map_err(corrupt)
}

#[async_trait]
impl JobStore for DynamoJobStore {
    async fn submit(&self, new: &NewJob) -> Result<Submitted, InsertError> {
        Box::pin(insert::submit(&self.table, &self.lowered, new)).await
    }

    async fn key(
        &self,
        account: &AccountId,
        key: &KeyHash,
        now: Timestamp,
    ) -> Result<Option<KeyRecord>, StoreError> {
        let found = read_key(&self.table, account, key).await?;
        Ok(found.map(|found| found.record).filter(|record| record.is_live(now)))
    }

    async fn get(&self, job: &JobRef) -> Result<Option<Job>, StoreError> {
        Ok(self.read(job).await?.map(|stored| stored.job))
    }

    async fn add_batch(&self, new: &NewBatch) -> Result<BatchAdded, AddBatchError> {
        Box::pin(batches::add(&self.table, new)).await
    }

    async fn batches(
        &self,
        container: &JobRef,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<JobPage, StoreError> {
        batches::list(&self.table, container, after, limit).await
    }

    async fn list(
        &self,
        account: &AccountId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<JobPage, StoreError> {
        list::list(&self.table, account, filter, before, limit).await
    }

    async fn transition(
        &self,
        job: &JobRef,
        transition: &Transition,
        now: Timestamp,
    ) -> Result<Job, TransitionError> {
        Box::pin(self.change(job, transition, now)).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRef>, StoreError> {
        let due = self.table.due(0..DUE_SHARDS, now, limit, reference).await.map_err(unavailable)?;
        Ok(due.into_iter().map(|(_, job)| job).collect())
    }

    async fn delete(&self, job: &JobRef) -> Result<bool, StoreError> {
        self.remove(job).await
    }

    async fn open_jobs(&self, account: &AccountId) -> Result<u32, StoreError> {
        let slots = self.table.sort_keys(&partition(account), SLOT).await.map_err(StoreError::Unavailable)?;
        Ok(u32::try_from(slots.len()).unwrap_or(u32::MAX))
    }

    async fn consumed(&self, account: &AccountId, now: Timestamp) -> Result<Consumed, StoreError> {
        beside::consumed(&self.table, account, now).await
    }

    async fn queue_position(&self, _job: &JobRef) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
}

fn unavailable(error: CallFailed) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

fn corrupt(error: Unreadable) -> StoreError {
    StoreError::Corrupt(Box::new(error))
}

fn exhausted(error: Exhausted) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}
