//! What wakes senders when all else fails, and removes logs that have had their time.

use std::{collections::HashSet, time::Duration};

use super::Notifier;
use crate::{
    Error, Timestamp, chain,
    ports::Notice,
    webhook::{DeliveryState, LONGEST_DELAY},
};

/// Notices looked at in one call of the store.
const BATCH: u32 = 100;
/// Rounds of one sweep, so that it ends even while ever more falls due.
const ROUNDS: u32 = 100;
/// How long after waking a sender it is looked whether one came.
const WOKEN_DUE: Duration = Duration::from_secs(300);

/// What a sweep of notices did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweptNotices {
    /// Senders woken.
    pub woken: u32,
    /// Logs removed.
    pub removed: u32,
    /// What could not be dealt with; it stays due.
    pub failed: u32,
}

/// Deals with every event and delivery that is due. Two sweeps at once do no harm: notices may come twice.
pub async fn sweep_notices(notifier: &Notifier) -> Result<SweptNotices, Error> {
    let mut swept = SweptNotices::default();
    // What was looked at is passed over: it failed, or an index has not followed yet.
    let mut seen = HashSet::new();
    for _ in 0..ROUNDS {
        let limit = BATCH.saturating_add(u32::try_from(seen.len()).unwrap_or(u32::MAX));
        let due = notifier.store.due_notices(notifier.clock.now(), limit).await?;
        let full = due.len() >= limit as usize;
        for (_, notice) in due {
            if !seen.insert(notice.clone()) {
                continue;
            }
            if let Err(error) = sweep_one(notifier, &notice, &mut swept).await {
                swept.failed += 1;
                tracing::error!(job.id = %notice.job().job, error = chain(&error), "failed to sweep notice");
            }
        }
        if !full {
            break;
        }
    }
    Ok(swept)
}

async fn sweep_one(notifier: &Notifier, notice: &Notice, swept: &mut SweptNotices) -> Result<(), Error> {
    let now = notifier.clock.now();
    let is_due = |due: Option<Timestamp>| due.is_some_and(|due| due <= now);
    let again = now.plus(WOKEN_DUE);
    match notice {
        Notice::Event(reference) => match notifier.store.event(reference).await? {
            Some(event) if event.told && is_due(event.due_at) => {
                notifier.store.remove_event(reference).await?;
                swept.removed += 1;
            }
            Some(event) if is_due(event.due_at) => {
                wake(notifier, notice).await?;
                // Where it has changed meanwhile, somebody has dealt with it.
                notifier.store.save_event(&event.postponed(again), &[]).await?;
                swept.woken += 1;
            }
            _ => {}
        },
        Notice::Delivery(reference) => match notifier.store.delivery(reference).await? {
            Some(delivery) if delivery.state == DeliveryState::Pending && is_due(delivery.due_at) => {
                wake(notifier, notice).await?;
                notifier.store.save_delivery(&delivery.postponed(again)).await?;
                swept.woken += 1;
            }
            _ => {}
        },
    }
    Ok(())
}

async fn wake(notifier: &Notifier, notice: &Notice) -> Result<(), Error> {
    notifier.queue.send(notice, Duration::ZERO).await.map_err(|error| Error::Unavailable(Box::new(error)))
}

/// Wakes senders for everything that is to be done within a quarter of an hour, for a host whose queue does not outlive
/// it. Answers for how many.
pub async fn take_up(notifier: &Notifier) -> Result<u32, Error> {
    let now = notifier.clock.now();
    let mut taken = 0;
    for (_, notice) in notifier.store.due_notices(now.plus(LONGEST_DELAY), u32::MAX).await? {
        let from = match &notice {
            Notice::Event(_) => Some(now),
            Notice::Delivery(reference) => {
                let found = notifier.store.delivery(reference).await?;
                found.and_then(|delivery| delivery.next_at.max(delivery.leased_until))
            }
        };
        let Some(from) = from else { continue };
        let sent = notifier.queue.send(&notice, from.since(now)).await;
        sent.map_err(|error| Error::Unavailable(Box::new(error)))?;
        taken += 1;
    }
    Ok(taken)
}
