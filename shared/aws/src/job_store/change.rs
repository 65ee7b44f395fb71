//! Changes of a job: read it, judge the change on what was read, and write only if it still is what was read.

use willcall_core::{
    JobRef, Timestamp,
    job::{Change, Job, Refused, Transition},
    ports::{StoreError, TransitionError},
};

use super::{
    DynamoJobStore,
    beside::add_delivered,
    exhausted,
    item::{HOLDER, Stored, VERSION, entry_key, job_key, slot_key},
    unavailable,
};
use crate::{
    backoff::{Backoff, write_id},
    dynamo::{Answer, If, Write},
    webhook_store::{event_write, is_listening},
};

/// Where the job comes among the writes.
const JOB: usize = 0;
/// Where its place comes.
const PLACE: usize = 1;

impl DynamoJobStore {
    pub(super) async fn change(
        &self,
        job: &JobRef,
        transition: &Transition,
        now: Timestamp,
    ) -> Result<Job, TransitionError> {
        let write = write_id().map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        let mut backoff = Backoff::default();
        let mut place_is_ours = true;
        loop {
            let before = self.read(job).await?.ok_or(TransitionError::NotFound)?;
            // The answer to an earlier try was lost: to judge the change anew would refuse it.
            if before.write == write {
                return Ok(before.job);
            }
            let container = self.container(&before.job, transition, now).await?;
            let mut change =
                before.job.change(container.as_ref().map(|container| &container.job), transition, now)?;
            let event = self.event(&mut change, now).await?;
            let after = change.job;
            let freed = before.slot.filter(|_| after.state.is_terminal());
            let delivered = after.day_entry(&before.job, transition);
            let delivered = delivered.map(|entry| add_delivered(&after.account, &entry, now));
            let slot = before.slot.filter(|_| freed.is_none());
            let stored = Stored { job: after, slot, write: write.clone() };
            let mut writes = vec![put(&stored, before.job.version)?];
            let place = freed.filter(|_| place_is_ours);
            writes.extend(place.map(|slot| free(job, slot)));
            let day = delivered.is_some().then_some(writes.len());
            writes.extend(delivered);
            writes.extend(event);
            let mut beside = None;
            if let (Some(before), Some(after)) = (container, change.container) {
                beside = Some(writes.len());
                // It does not end by its batches, and keeps its place.
                let changed = Stored { job: after, slot: before.slot, write: write.clone() };
                writes.push(put(&changed, before.job.version)?);
            }
            match self.table.write(writes).await.map_err(unavailable)? {
                Answer::Written => return Ok(stored.job),
                // Where the job's own write was refused as well, or its container's, another changed it, or an answer was lost.
                Answer::Refused(places)
                    if day.is_some_and(|day| places.contains(&day))
                        && !places.contains(&JOB)
                        && !beside.is_some_and(|container| places.contains(&container)) =>
                {
                    return Err(Refused::DayUsedUp.into());
                }
                Answer::Refused(places) if place.is_some() && places == [PLACE] => {
                    place_is_ours = lost_place(job);
                }
                Answer::Refused(_) | Answer::Busy => {}
            }
            backoff.wait().await.map_err(exhausted)?;
        }
    }

    /// The container of a batch, if the transition brings the batch to another phase: nothing else, as the lease that is
    /// renewed every few seconds, asks for it.
    async fn container(
        &self,
        before: &Job,
        transition: &Transition,
        now: Timestamp,
    ) -> Result<Option<Stored>, TransitionError> {
        let Some(container) = before.container() else { return Ok(None) };
        if before.apply(transition, now)?.phase() == before.phase() {
            return Ok(None);
        }
        Ok(self.read(&container).await?)
    }

    /// The write of the event that the change causes, if it causes one. Nothing else writes events of that number, as the
    /// record of the job that the event is of counts them.
    async fn event(&self, change: &mut Change, now: Timestamp) -> Result<Option<Write>, StoreError> {
        if !change.may_tell() {
            return Ok(None);
        }
        let of = change.container.as_ref().unwrap_or(&change.job);
        let listening = of.notify.is_empty() && is_listening(&self.table, &of.account).await?;
        change.event(listening, now).map(|event| event_write(&event)).transpose()
    }

    pub(super) async fn remove(&self, job: &JobRef) -> Result<bool, StoreError> {
        let mut backoff = Backoff::default();
        let (mut seen, mut place_is_ours) = (false, true);
        loop {
            // Gone after it was seen: by this very call, whose answer was lost, or by another's at the same time.
            let Some(before) = self.read(job).await? else { return Ok(seen) };
            seen = true;
            let mut writes = vec![Write::Delete(job_key(job), If::Number(VERSION, before.job.version))];
            let place = before.slot.filter(|_| place_is_ours);
            writes.extend(place.map(|slot| free(job, slot)));
            writes.extend(entry_key(&before.job).map(|entry| Write::Delete(entry, If::Always)));
            match self.table.write(writes).await.map_err(unavailable)? {
                Answer::Written => return Ok(true),
                Answer::Refused(places) if place.is_some() && places == [PLACE] => {
                    place_is_ours = lost_place(job);
                }
                Answer::Refused(_) | Answer::Busy => {}
            }
            backoff.wait().await.map_err(exhausted)?;
        }
    }
}

/// Puts the record in place of the one of that version.
fn put(stored: &Stored, version: u64) -> Result<Write, StoreError> {
    let item = stored.to_item().map_err(|error| StoreError::Corrupt(Box::new(error)))?;
    Ok(Write::Put(item, If::Number(VERSION, version)))
}

/// Somebody meddled with the table; that must not keep the job from ending. Answers that the place is not the job's.
fn lost_place(job: &JobRef) -> bool {
    tracing::error!(job.id = %job.job, "the place of the job is held by another");
    false
}

/// Gives a place back, if it is still the job's.
fn free(job: &JobRef, slot: u32) -> Write {
    Write::Delete(slot_key(&job.account, slot), If::TextOrGone(HOLDER, job.job.to_string()))
}
