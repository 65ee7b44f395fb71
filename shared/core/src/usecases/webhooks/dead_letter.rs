//! What becomes of deliveries whose notices the queue has given up.

use super::{
    Notifier, RACES,
    deliver::{chance, wake_in_time},
    too_busy,
};
use crate::{
    Error,
    ports::Notice,
    webhook::{Attempt, DeliveryState, Outcome, SEND_LEASE},
};

/// What became of a notice that is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadNotice {
    /// Its delivery has another attempt in its log, which failed; the next one follows in its time, if any is left.
    Counted,
    /// There is nothing to count: it is over, another is at it, or it never came to an attempt. The store says when it is
    /// looked at again, and the sweeper does so.
    Left,
}

/// Deals with a notice that was received too often without being done with. Nothing is lost with it, as the store has what
/// is to be told. But an attempt that was begun, and that nobody lived to end, counts as one that failed: a delivery that
/// ends each of its senders does not do so for ever. Repeatable; an error means that nothing is known, and the letter must
/// be kept.
pub async fn dead_notice(notifier: &Notifier, notice: &Notice) -> Result<DeadNotice, Error> {
    let Notice::Delivery(reference) = notice else { return Ok(DeadNotice::Left) };
    for _ in 0..RACES {
        let Some(found) = notifier.store.delivery(reference).await? else { return Ok(DeadNotice::Left) };
        let now = notifier.clock.now();
        let until = match found.leased_until {
            Some(until) if found.state == DeliveryState::Pending && until <= now => until,
            _ => return Ok(DeadNotice::Left),
        };
        let attempt = Attempt {
            at: until.minus(SEND_LEASE),
            millis: 0,
            status: None,
            error: Some("the attempt broke off".to_owned()),
        };
        let after = found.end_attempt(Some(attempt), Outcome::Again(None), now, chance());
        if notifier.store.save_delivery(&after).await? {
            wake_in_time(notifier, &after, now).await;
            tracing::error!(
                job.id = %after.job,
                delivery = %after.id,
                state = after.state.as_str(),
                "counted an attempt that broke off, by its dead letter"
            );
            return Ok(DeadNotice::Counted);
        }
    }
    Err(too_busy())
}
