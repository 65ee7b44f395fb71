//! What moves a job when all else fails, and removes what has had its time.

use std::{collections::HashSet, time::Duration};

use super::{App, batches, jobs::remove, webhooks::announce};
use crate::{
    Error, JobRef, Timestamp, chain,
    job::{BATCH_IDLE, Job, JobState, RECORD_KEPT, Transition},
    ports::{BlobPrefix, TransitionError},
};

/// Jobs looked at in one call of the store.
const BATCH: u32 = 100;
/// Rounds of one sweep, so that it ends even while ever more falls due.
const ROUNDS: u32 = 100;

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Messages sent again.
    pub resent: u32,
    /// Jobs found in order.
    pub postponed: u32,
    /// Jobs and batches given up because nobody fed them.
    pub abandoned: u32,
    /// Results expired.
    pub expired: u32,
    /// Left-overs of attempts without a result removed.
    pub purged: u32,
    /// Records removed.
    pub removed: u32,
    /// Jobs that could not be dealt with; they stay due.
    pub failed: u32,
}

/// Deals with every job that is due. Two sweeps at once do no harm: each step is repeatable, and the store judges
/// each transition on the record as it is.
pub async fn sweep(app: &App) -> Result<Swept, Error> {
    sweep_until(app, None).await
}

/// The same for a host that must be done by a moment: no job is begun after `until`; what is left stays due.
pub async fn sweep_until(app: &App, until: Option<Timestamp>) -> Result<Swept, Error> {
    let late = || until.is_some_and(|until| app.clock.now() >= until);
    let mut swept = Swept::default();
    // Those that failed stay due and come first in every round: they are passed over, so that they hold up no other.
    let mut failed = HashSet::new();
    for _ in 0..ROUNDS {
        let limit = BATCH + swept.failed;
        let due = app.jobs.due(app.clock.now(), limit).await?;
        for job in &due {
            if late() {
                return Ok(swept);
            }
            if failed.contains(job) {
                continue;
            }
            if let Err(error) = sweep_one(app, job, &mut swept).await {
                swept.failed += 1;
                failed.insert(job.clone());
                tracing::error!(job.id = %job.job, error = chain(&error), "failed to sweep job");
            }
        }
        if due.len() < limit as usize {
            break;
        }
    }
    Ok(swept)
}

async fn sweep_one(app: &App, job: &JobRef, swept: &mut Swept) -> Result<(), Error> {
    let Some(found) = app.jobs.get(job).await? else { return Ok(()) };
    let now = app.clock.now();
    // A batch's record goes with its container.
    let record_due = |expires: Option<Timestamp>| {
        found.container.is_none() && expires.is_none_or(|e| now >= e.plus(RECORD_KEPT))
    };
    // A batch whose container has ended without it.
    if let Some(container) = found.container().filter(|_| !found.state.is_terminal()) {
        let live = app.jobs.get(&container).await?.is_some_and(|container| !container.state.is_terminal());
        if !live {
            settle(app, job, &Transition::Cancel, now).await?;
            swept.abandoned += 1;
            return Ok(());
        }
    }
    match found.state {
        // Fed since it was listed as due.
        JobState::Open if found.due_at.is_some_and(|due| now < due) => {}
        JobState::Open => {
            if found.upload.is_some() && batches::look_for_files(app, &found).await? {
                swept.resent += 1;
            } else if now >= found.fed_at().plus(BATCH_IDLE) && !is_busy(&found) {
                // One that was fed or closed just now is not given up, and its batches go on.
                if settle(app, job, &Transition::Abandon, now).await? {
                    batches::wake_container(app, &Job { state: JobState::Cancelled, ..found }).await;
                    batches::end_all(app, job).await?;
                    swept.abandoned += 1;
                }
            } else {
                settle(app, job, &Transition::Postpone, now).await?;
                swept.postponed += 1;
            }
        }
        JobState::Processing if found.batches.is_some_and(|batches| batches.pending() > 0) => {
            settle(app, job, &Transition::Postpone, now).await?;
            swept.postponed += 1;
        }
        JobState::Processing if found.leased_until.is_some_and(|until| now < until) => {
            settle(app, job, &Transition::Postpone, now).await?;
            swept.postponed += 1;
        }
        // Past its lease or never claimed: whoever gets the message claims it, or fails it for good.
        JobState::Accepted | JobState::Processing => {
            app.queue.send(job, Duration::ZERO).await.map_err(|error| Error::Unavailable(Box::new(error)))?;
            settle(app, job, &Transition::Resent, now).await?;
            swept.resent += 1;
        }
        // A batch's result goes with its container.
        JobState::Completed if found.expires.is_none_or(|expires| now < expires) => {
            let delivered = found.result.as_ref().map(|result| result.attempt);
            // One that was extended since it was listed as due is due no more.
            if found.due_at.is_some_and(|due| due <= now) {
                for attempt in (1..=found.attempt).filter(|attempt| Some(*attempt) != delivered) {
                    app.blobs.delete_prefix(&BlobPrefix::Attempt { job: job.clone(), attempt }).await?;
                }
                // Whoever gets the message packs the zip that somebody waits for.
                if found.zip_waits(now) {
                    let sent = app.queue.send(job, Duration::ZERO).await;
                    sent.map_err(|error| Error::Unavailable(Box::new(error)))?;
                    swept.resent += 1;
                }
                settle(app, job, &Transition::Purged, now).await?;
                swept.purged += 1;
            }
        }
        JobState::Completed => {
            if found.batches.is_some() {
                batches::end_all(app, job).await?;
            }
            app.blobs.delete_prefix(&BlobPrefix::Results(job.clone())).await?;
            settle(app, job, &Transition::Expire, now).await?;
            swept.expired += 1;
        }
        JobState::Failed | JobState::Cancelled if !record_due(found.expires) => {
            if found.batches.is_some() {
                batches::end_all(app, job).await?;
            }
            batches::remove_files(app, job).await?;
            settle(app, job, &Transition::Purged, now).await?;
            swept.purged += 1;
        }
        JobState::Failed | JobState::Cancelled | JobState::Expired => {
            remove(app, &found).await?;
            swept.removed += 1;
        }
    }
    Ok(())
}

/// Whether batches of the job wait for a worker or are being worked on: nobody need feed it meanwhile.
fn is_busy(job: &Job) -> bool {
    job.batches.is_some_and(|batches| batches.queued + batches.in_progress > 0)
}

/// Makes the transition, and answers whether it was made; a job that has moved on meanwhile needs none.
async fn settle(app: &App, job: &JobRef, transition: &Transition, now: Timestamp) -> Result<bool, Error> {
    match app.jobs.transition(job, transition, now).await {
        Ok(after) if matches!(transition, Transition::Expire | Transition::Abandon) => {
            announce(&app.notifier, &after).await;
            Ok(true)
        }
        Ok(_) => Ok(true),
        Err(TransitionError::Refused(_) | TransitionError::NotFound) => Ok(false),
        Err(error @ TransitionError::Store(_)) => Err(error.into()),
    }
}
