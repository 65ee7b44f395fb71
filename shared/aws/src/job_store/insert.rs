//! Inserts: one transaction of new items only, so that the submits of one account do not fight over a counter.

use std::collections::HashSet;

use willcall_core::{
    job::Job,
    ports::{InsertError, StoreError},
};

use super::{
    corrupt, exhausted,
    item::{SLOT, Stored, job_key, partition, slot_item},
    unavailable,
};
use crate::{
    backoff::{Backoff, below, write_id},
    dynamo::{Answer, If, Table, Write},
};

/// Where the job comes among the writes, before its place.
const JOB_WRITE: usize = 0;

pub(super) async fn insert(table: &Table, job: &Job, max_open_jobs: u32) -> Result<(), InsertError> {
    let mut write = write_id().map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    let open = !job.state.is_terminal();
    if open && max_open_jobs == 0 {
        return Err(InsertError::TooManyOpenJobs);
    }
    // Any place may be free; those who submit at once look for different ones.
    let mut slot = u32::try_from(below(max_open_jobs.into())).ok().filter(|_| open);
    let mut backoff = Backoff::default();
    loop {
        let stored = Stored { job: job.clone(), slot, write };
        let item = stored.to_item().map_err(|error| StoreError::Corrupt(Box::new(error)))?;
        let mut writes = vec![Write::Put(item, If::New)];
        writes.extend(slot.map(|slot| Write::Put(slot_item(&job.reference(), slot), If::New)));
        match table.write(writes).await.map_err(unavailable)? {
            Answer::Written => return Ok(()),
            Answer::Refused(places) if places.contains(&JOB_WRITE) => {
                return if is_ours(table, job, &stored.write).await? {
                    Ok(())
                } else {
                    Err(InsertError::Exists)
                };
            }
            Answer::Refused(_) => {
                slot = Some(free_slot(table, job, max_open_jobs).await?.ok_or(InsertError::TooManyOpenJobs)?);
            }
            Answer::Busy => {}
        }
        write = stored.write;
        backoff.wait().await.map_err(exhausted)?;
    }
}

/// Whether the item is there by this very insert: its answer was lost, and the SDK tried again.
async fn is_ours(table: &Table, job: &Job, write: &str) -> Result<bool, StoreError> {
    let item = table.get(job_key(&job.reference())).await.map_err(unavailable)?;
    let found = item.as_ref().map(Stored::from_item).transpose().map_err(corrupt)?;
    Ok(found.is_some_and(|found| found.write == write))
}

/// One of the places that are free now, by chance.
async fn free_slot(table: &Table, job: &Job, max_open_jobs: u32) -> Result<Option<u32>, StoreError> {
    let taken = table.sort_keys(&partition(&job.account), SLOT).await.map_err(StoreError::Unavailable)?;
    let taken: HashSet<u32> = taken.iter().filter_map(|slot| slot.parse().ok()).collect();
    let free: Vec<u32> = (0..max_open_jobs).filter(|slot| !taken.contains(slot)).collect();
    let chosen = usize::try_from(below(free.len() as u64)).unwrap_or(0);
    Ok(free.get(chosen).copied())
}
