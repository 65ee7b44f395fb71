//! Batches: each is a job's item like any other, and beside it an item that leads to it from its container.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use willcall_core::{
    JobId, JobRef,
    idempotency::Made,
    job::{Job, Transition},
    ports::{AddBatchError, BatchAdded, JobPage, NewBatch, StoreError},
};

use super::{
    beside, corrupt, exhausted,
    item::{NAME, Stored, VERSION, batch_item, batches_of, job_key, partition},
    read, unavailable,
};
use crate::{
    backoff::{Backoff, write_id},
    dynamo::{Answer, If, SORT_KEY, Table, Unreadable, Write, text},
    failure::CallFailed,
};

/// Where the batch comes among the writes of its adding, and where the key does.
const BATCH: usize = 0;
const KEY: usize = 3;

/// What became of one try.
enum Tried {
    Added(Box<Job>),
    /// Nothing was written, by the conditions at these places.
    Lost(Vec<usize>),
}

/// Adds a batch in one transaction: the batch, its container on the condition that it has not changed since it was read,
/// what leads from one to the other, and the key. As every adding changes the container, what was read of the names of its
/// batches is true when it is written.
pub(super) async fn add(table: &Table, new: &NewBatch) -> Result<BatchAdded, AddBatchError> {
    let write = write_id().map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    let container = new.batch.container().ok_or(AddBatchError::NotFound)?;
    let mut backoff = Backoff::default();
    // The use case has looked for the key just now: the first try leaves it to the condition.
    let mut look = false;
    loop {
        if look && let Some(known) = known(table, new, &container, &write).await? {
            return Ok(known);
        }
        let lost = match try_once(table, new, &container, &write).await {
            Ok(Tried::Added(container)) => return Ok(BatchAdded::Added(container)),
            Ok(Tried::Lost(places)) if places.contains(&BATCH) => {
                match read(table, &container.account, new.batch.id).await? {
                    // Its answer was lost, and the SDK tried again.
                    Some(found) if found.write == write => return as_it_is(table, &container).await,
                    Some(_) if look || new.key.is_none() => return Err(AddBatchError::Exists),
                    _ => places,
                }
            }
            Ok(Tried::Lost(places)) => places,
            Err(AddBatchError::Store(error)) => return Err(error.into()),
            Err(error) if look || new.key.is_none() => return Err(error),
            // What is refused now may have been done before, by the same key.
            Err(_) => {
                look = true;
                continue;
            }
        };
        look = true;
        if let Err(error) = backoff.wait().await {
            let in_use = lost.contains(&KEY);
            return Err(if in_use { AddBatchError::KeyInUse } else { exhausted(error).into() });
        }
    }
}

async fn try_once(
    table: &Table,
    new: &NewBatch,
    container: &JobRef,
    write: &str,
) -> Result<Tried, AddBatchError> {
    let (batch, now) = (&new.batch, new.batch.created);
    let before = read(table, &container.account, container.job).await?.ok_or(AddBatchError::NotFound)?;
    let after = before.job.apply(&Transition::AddBatch(batch.phase()), now)?;
    if let Some(name) = &batch.name
        && let Some(other) = holder_of(table, container, name, batch.id).await?
    {
        return Err(AddBatchError::NameTaken(other));
    }
    let unwritable = |error: serde_json::Error| StoreError::Corrupt(Box::new(error));
    let stored = Stored { job: batch.clone(), slot: None, write: write.to_owned() };
    let changed = Stored { job: after, slot: before.slot, write: write.to_owned() };
    let mut writes = vec![
        Write::Put(stored.to_item().map_err(unwritable)?, If::New),
        Write::Put(changed.to_item().map_err(unwritable)?, If::Number(VERSION, before.job.version)),
        Write::Put(batch_item(container.job, batch), If::Always),
    ];
    if let Some(key) = &new.key {
        let record = key.record(Made::Job(batch.id), false, now);
        let item = beside::key_item(&batch.account, &key.key, &record, write).map_err(unwritable)?;
        writes.push(Write::Put(item, beside::unknown_at(now)));
    }
    Ok(match table.write(writes).await.map_err(unavailable)? {
        Answer::Written => Tried::Added(Box::new(changed.job)),
        Answer::Refused(places) => Tried::Lost(places),
        Answer::Busy => Tried::Lost(Vec::new()),
    })
}

/// What became of the key meanwhile, if it is known.
async fn known(
    table: &Table,
    new: &NewBatch,
    container: &JobRef,
    write: &str,
) -> Result<Option<BatchAdded>, AddBatchError> {
    let Some(key) = &new.key else { return Ok(None) };
    let found = beside::read_key(table, &container.account, &key.key).await?;
    let Some(found) = found.filter(|found| found.record.is_live(new.batch.created)) else { return Ok(None) };
    if found.write == write {
        // It is this very adding's: the answer to it was lost.
        return as_it_is(table, container).await.map(Some);
    }
    Ok(Some(BatchAdded::Known(found.record)))
}

/// What is told of a batch that was added by a write whose answer was lost.
async fn as_it_is(table: &Table, container: &JobRef) -> Result<BatchAdded, AddBatchError> {
    let found = read(table, &container.account, container.job).await?.ok_or(AddBatchError::NotFound)?;
    Ok(BatchAdded::Added(Box::new(found.job)))
}

/// The batch of the container, other than `own`, that keeps others from that name.
async fn holder_of(
    table: &Table,
    container: &JobRef,
    name: &str,
    own: JobId,
) -> Result<Option<JobId>, StoreError> {
    let prefix = batches_of(container.job);
    let query = table
        .between(&partition(&container.account), &prefix, &format!("{prefix}g"))
        .filter_expression("#name = :name")
        .expression_attribute_names("#name", NAME)
        .expression_attribute_values(":name", AttributeValue::S(name.to_owned()));
    let mut from = None;
    loop {
        let page = query
            .clone()
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| unavailable(CallFailed::new("Query", error)))?;
        let mut named = Vec::new();
        for item in page.items() {
            named.push(batch_of(text(item, SORT_KEY).map_err(corrupt)?, &prefix).map_err(corrupt)?);
        }
        let others = all(table, container, &named).await?;
        if let Some(holder) = others.iter().find(|other| other.id != own && other.holds_name(name)) {
            return Ok(Some(holder.id));
        }
        from = page.last_evaluated_key;
        if from.is_none() {
            return Ok(None);
        }
    }
}

pub(super) async fn list(
    table: &Table,
    container: &JobRef,
    after: Option<JobId>,
    limit: u32,
) -> Result<JobPage, StoreError> {
    let prefix = batches_of(container.job);
    let first = after.map_or_else(|| prefix.clone(), |id| format!("{prefix}{id}"));
    // `g` follows the hexadecimal digits, so it is past every id.
    let query = table.between(&partition(&container.account), &first, &format!("{prefix}g"));
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    // The batch of the cursor itself, and the one that tells that there are more.
    let ask = i32::try_from(limit.saturating_add(2)).unwrap_or(i32::MAX);
    let (mut ids, mut from) = (Vec::new(), None);
    loop {
        let page = query
            .clone()
            .limit(ask)
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| unavailable(CallFailed::new("Query", error)))?;
        for item in page.items() {
            let id = batch_of(text(item, SORT_KEY).map_err(corrupt)?, &prefix).map_err(corrupt)?;
            if after.is_none_or(|after| id > after) {
                ids.push(id);
            }
        }
        from = page.last_evaluated_key;
        if from.is_none() || ids.len() > wanted {
            break;
        }
    }
    let more = ids.len() > wanted;
    ids.truncate(wanted);
    let next = ids.last().copied().filter(|_| more);
    Ok(JobPage { jobs: all(table, container, &ids).await?, next })
}

/// The records of those batches, in their order, less those that are gone.
async fn all(table: &Table, container: &JobRef, ids: &[JobId]) -> Result<Vec<Job>, StoreError> {
    let key = |job: &JobId| job_key(&JobRef { account: container.account.clone(), job: *job });
    let items = table.get_all(ids.iter().map(key).collect()).await.map_err(StoreError::Unavailable)?;
    let mut found = HashMap::with_capacity(items.len());
    for item in &items {
        let job = Stored::from_item(item).map_err(corrupt)?.job;
        found.insert(job.id, job);
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

fn batch_of(sort_key: &str, prefix: &str) -> Result<JobId, Unreadable> {
    let id = sort_key.strip_prefix(prefix).ok_or(Unreadable::Attribute(SORT_KEY))?;
    id.parse().map_err(|error: willcall_core::id::InvalidId| Unreadable::Value {
        attribute: SORT_KEY,
        source: Box::new(error),
    })
}
