//! Submits: one transaction of the job, its place, and what is kept and checked beside it. All but the count of the
//! minute's submits are items of the submit's own, so that the submits of one account do not fight over them; and
//! only accounts whose plan limits submits have a count.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use willcall_core::{
    AccountId,
    idempotency::Made,
    job::{Identity, Job},
    ports::{InsertError, NewJob, StoreError, Submitted},
};

use super::{
    beside::{self, Equals, SUBMITS},
    corrupt, exhausted,
    item::{SLOT, Stored, VERSION, job_key, partition, slot_item},
    unavailable,
};
use crate::{
    backoff::{Backoff, below, write_id},
    dynamo::{Answer, If, Item, Table, Write, number},
    webhook_store::event_write,
};

/// How often a job is tried to be noted beside others of its identity.
const NOTES: usize = 3;

/// A write of the transaction, by whose refusal the next step is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Job,
    Key,
    Identity,
    Count,
    Place,
}

pub(super) async fn submit(table: &Table, lowered: &Lowered, new: &NewJob) -> Result<Submitted, InsertError> {
    let write = write_id().map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    let job = &new.job;
    let open = !job.state.is_terminal();
    // Any place may be free; those who submit at once look for different ones.
    let mut slot = None;
    let mut backoff = Backoff::default();
    // The use case has looked for the key just now: the first try leaves it to the condition.
    let mut look = false;
    loop {
        if look && let Some(known) = known(table, new, &write).await? {
            return Ok(known);
        }
        let mut equals = match (&new.identity, new.reuse) {
            (Some(identity), Some(_)) => Some(beside::equals(table, &job.account, identity).await?),
            _ => None,
        };
        if let Some(other) = serving(table, new, equals.as_mut()).await? {
            if let Some(joined) = join(table, new, other, &write).await? {
                return Ok(Submitted::Joined(Box::new(joined)));
            }
        } else if open && new.max_open_jobs == 0 {
            return Err(InsertError::TooManyOpenJobs);
        } else if new.submits_per_minute == Some(0) {
            return Err(InsertError::TooManySubmits);
        } else {
            if open && slot.is_none() {
                let free = lowered.first(table, job, new.max_open_jobs).await?;
                slot = Some(free.ok_or(InsertError::TooManyOpenJobs)?);
            }
            let (parts, writes) = writes(new, slot, equals.as_ref(), &write)?;
            let refused = match table.write(writes).await.map_err(unavailable)? {
                Answer::Written => return inserted(table, new).await,
                Answer::Refused(places) => {
                    places.iter().filter_map(|place| parts.get(*place).copied()).collect()
                }
                Answer::Busy => Vec::new(),
            };
            if refused.contains(&Part::Job) {
                // Its answer was lost, and the SDK tried again.
                return if is_ours(table, job, &write).await? {
                    inserted(table, new).await
                } else {
                    Err(InsertError::Exists)
                };
            }
            let looks_again = refused.contains(&Part::Key) || refused.contains(&Part::Identity);
            if !looks_again && refused.contains(&Part::Count) {
                return Err(InsertError::TooManySubmits);
            }
            if !looks_again && refused.contains(&Part::Place) {
                let free = free_slot(table, job, new.max_open_jobs).await?;
                slot = Some(free.ok_or(InsertError::TooManyOpenJobs)?);
            }
        }
        look = true;
        if let Err(error) = backoff.wait().await {
            return Err(match &new.key {
                Some(_) => InsertError::KeyInUse,
                None => exhausted(error).into(),
            });
        }
    }
}

/// The whole transaction, and what each of its writes is for.
fn writes(
    new: &NewJob,
    slot: Option<u32>,
    equals: Option<&Equals>,
    write: &str,
) -> Result<(Vec<Part>, Vec<Write>), StoreError> {
    let (job, now) = (&new.job, new.job.created);
    let stored = Stored { job: job.clone(), slot, write: write.to_owned() };
    let unwritable = |error: serde_json::Error| StoreError::Corrupt(Box::new(error));
    let mut all = vec![(Part::Job, Write::Put(stored.to_item().map_err(unwritable)?, If::New))];
    if let Some(key) = &new.key {
        let record = key.record(Made::Job(job.id), false, now);
        let item = beside::key_item(&job.account, &key.key, &record, write).map_err(unwritable)?;
        all.push((Part::Key, Write::Put(item, beside::unknown_at(now))));
    }
    if let (Some(identity), Some(equals)) = (&new.identity, equals) {
        all.push((Part::Identity, equals.with(identity, job)));
    }
    if let Some(most) = new.submits_per_minute {
        all.push((Part::Count, beside::count(&job.account, now, most)));
    }
    if let Some(slot) = slot {
        all.push((Part::Place, Write::Put(slot_item(&job.reference(), slot), If::New)));
    }
    Ok(all.into_iter().unzip())
}

/// What is told of an insert that was made.
async fn inserted(table: &Table, new: &NewJob) -> Result<Submitted, InsertError> {
    let job = &new.job;
    if let (Some(identity), None) = (&new.identity, new.reuse) {
        // Not within the transaction: many equal jobs at once would fight over it. Without it, a job is not reused.
        if let Err(error) = note(table, identity, job).await {
            tracing::warn!(job.id = %job.id, error = %error, "failed to note the identity of a job");
        }
    }
    let submits = match new.submits_per_minute {
        None => None,
        Some(_) => match table.get(beside::submits_key(&job.account, job.created)).await {
            Ok(found) => found.and_then(|item: Item| number(&item, SUBMITS).ok().flatten()),
            // The job is inserted all the same; its count is not told.
            Err(error) => {
                tracing::warn!(job.id = %job.id, error = %error, "failed to read the count of submits");
                None
            }
        },
    };
    Ok(Submitted::Inserted { submits })
}

/// Keeps the job as the latest of its identity. Where others do the same again and again, one of theirs does as well.
async fn note(table: &Table, identity: &Identity, job: &Job) -> Result<(), StoreError> {
    for _ in 0..NOTES {
        let equals = beside::equals(table, &job.account, identity).await?;
        if table.write(vec![equals.with(identity, job)]).await.map_err(unavailable)? == Answer::Written {
            break;
        }
    }
    Ok(())
}

/// What became of the key meanwhile, if it is known.
async fn known(table: &Table, new: &NewJob, write: &str) -> Result<Option<Submitted>, StoreError> {
    let Some(key) = &new.key else { return Ok(None) };
    let job = &new.job;
    let Some(found) = beside::read_key(table, &job.account, &key.key).await? else { return Ok(None) };
    if !found.record.is_live(job.created) {
        return Ok(None);
    }
    if found.write == write && found.record.reused {
        // It is this very submit's: the answer to its writing was lost.
        let other = match found.record.made {
            Made::Job(id) => super::read(table, &job.account, id).await?,
            Made::Webhook(_) | Made::DefaultSecret(_) => None,
        };
        if let Some(other) = other {
            return Ok(Some(Submitted::Joined(Box::new(other.job))));
        }
    }
    Ok(Some(Submitted::Known(found.record)))
}

/// The latest job that serves in place of the new one. Of `equals` those are kept that may serve another time.
async fn serving(
    table: &Table,
    new: &NewJob,
    equals: Option<&mut Equals>,
) -> Result<Option<Stored>, StoreError> {
    let (Some(reuse), Some(equals)) = (new.reuse, equals) else { return Ok(None) };
    let mut kept = Vec::with_capacity(equals.jobs.len());
    for id in &equals.jobs {
        let Some(found) = super::read(table, &new.job.account, *id).await? else { continue };
        if reuse.serves(&found.job, &new.job.notify, new.job.created) {
            return Ok(Some(found));
        }
        if !found.job.state.leaves_nothing() {
            kept.push(*id);
        }
    }
    equals.jobs = kept;
    Ok(None)
}

/// Keeps the key of a submit that is served by another's job, and gives that job its addresses; answers the job as it is
/// then. `None` where the key was used or the job changed meanwhile.
async fn join(table: &Table, new: &NewJob, other: Stored, write: &str) -> Result<Option<Job>, StoreError> {
    let unwritable = |error: serde_json::Error| StoreError::Corrupt(Box::new(error));
    if other.write == write {
        // It is this very submit's: the answer to its writing was lost.
        return Ok(Some(other.job));
    }
    let now = new.job.created;
    let (mut writes, mut served) = (Vec::new(), other.job);
    if let Some((joined, event)) = served.joined(&new.job.notify, now) {
        let stored = Stored { job: joined.clone(), slot: other.slot, write: write.to_owned() };
        let item = stored.to_item().map_err(unwritable)?;
        writes.push(Write::Put(item, If::Number(VERSION, served.version)));
        writes.extend(event.as_ref().map(event_write).transpose()?);
        served = joined;
    }
    if let Some(key) = &new.key {
        let record = key.record(Made::Job(served.id), true, now);
        let item = beside::key_item(&served.account, &key.key, &record, write).map_err(unwritable)?;
        writes.push(Write::Put(item, beside::unknown_at(now)));
    }
    if writes.is_empty() {
        return Ok(Some(served));
    }
    let answer = table.write(writes).await.map_err(unavailable)?;
    Ok((answer == Answer::Written).then_some(served))
}

/// Whether the item is there by this very insert.
async fn is_ours(table: &Table, job: &Job, write: &str) -> Result<bool, StoreError> {
    let item = table.get(job_key(&job.reference())).await.map_err(unavailable)?;
    let found = item.as_ref().map(Stored::from_item).transpose().map_err(corrupt)?;
    Ok(found.is_some_and(|found| found.write == write))
}

/// One of the places that are free now, by chance.
async fn free_slot(table: &Table, job: &Job, max_open_jobs: u32) -> Result<Option<u32>, StoreError> {
    Ok(choose(&taken_slots(table, &job.account).await?, max_open_jobs))
}

fn choose(taken: &BTreeSet<u32>, max_open_jobs: u32) -> Option<u32> {
    let free: Vec<u32> = (0..allowed(taken, max_open_jobs)).filter(|slot| !taken.contains(slot)).collect();
    let chosen = usize::try_from(below(free.len() as u64)).unwrap_or(0);
    free.get(chosen).copied()
}

async fn taken_slots(table: &Table, account: &AccountId) -> Result<BTreeSet<u32>, StoreError> {
    let taken = table.sort_keys(&partition(account), SLOT).await.map_err(StoreError::Unavailable)?;
    Ok(taken.iter().filter_map(|slot| slot.parse().ok()).collect())
}

/// Below which place a job may take one: all that are, unless others are taken beyond, from a time when the plan allowed
/// more. As many as those are left out, so that the submits of one moment exceed the limit together no more than one does.
fn allowed(taken: &BTreeSet<u32>, max_open_jobs: u32) -> u32 {
    let mut allowed = max_open_jobs;
    while allowed > 0 && u64::from(allowed) + taken.range(allowed..).count() as u64 > max_open_jobs.into() {
        allowed -= 1;
    }
    allowed
}

/// Of which accounts no place is known to be taken beyond the limit that they have, so that their submits need not look
/// before they take one. Forgotten after a while, for other processes may have known another limit in between.
#[derive(Debug, Default)]
pub(super) struct Lowered(Mutex<HashMap<AccountId, (u32, Instant)>>);

/// For how long what was seen counts: less than two changes of a plan can take.
const SEEN: Duration = Duration::from_secs(30);
/// How many accounts are remembered.
const ACCOUNTS: usize = 10_000;

impl Lowered {
    /// A place to try first, by chance; `None` where none is free.
    async fn first(&self, table: &Table, job: &Job, max_open_jobs: u32) -> Result<Option<u32>, StoreError> {
        if self.knows(&job.account, max_open_jobs) {
            return Ok(u32::try_from(below(max_open_jobs.into())).ok());
        }
        let taken = taken_slots(table, &job.account).await?;
        if taken.range(max_open_jobs..).next().is_none() {
            self.remember(&job.account, max_open_jobs);
            return Ok(u32::try_from(below(max_open_jobs.into())).ok());
        }
        Ok(choose(&taken, max_open_jobs))
    }

    fn knows(&self, account: &AccountId, max_open_jobs: u32) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(account).is_some_and(|(limit, at)| *limit == max_open_jobs && at.elapsed() < SEEN)
    }

    fn remember(&self, account: &AccountId, max_open_jobs: u32) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= ACCOUNTS {
            seen.clear();
        }
        seen.insert(account.clone(), (max_open_jobs, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_beyond_the_limit_leave_as_many_fewer_below_it() {
        for (taken, most, expected) in [
            (&[][..], 3, 3),
            (&[0, 1, 2], 3, 3),
            (&[7], 3, 2),
            // The one in place 2 is among those that count.
            (&[2, 7], 3, 1),
            (&[0, 7], 3, 2),
            (&[5, 6, 7, 8, 9], 3, 0),
            (&[0, 5, 6], 3, 1),
            (&[1, 5, 6], 3, 0),
            (&[4], 0, 0),
        ] {
            let taken: BTreeSet<u32> = taken.iter().copied().collect();
            let allowed = allowed(&taken, most);
            assert_eq!(allowed, expected, "{taken:?} of {most}");
            let beyond = taken.range(allowed..).count() as u32;
            assert!(allowed + beyond <= most || allowed == 0, "all that may be open together");
        }
    }
}
