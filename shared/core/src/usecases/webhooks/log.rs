//! The log of a job's deliveries.

use std::time::Duration;

use super::{Notifier, RACES, send, too_busy};
use crate::{
    Error, JobId,
    account::{Caller, Scope},
    ports::Notice,
    usecases::{App, view::find},
    webhook::{Delivery, DeliveryId, DeliveryRef},
};

/// What was told of the job, to whom, and what became of it. What has just happened may not be in it yet.
pub async fn notifications(app: &App, caller: &Caller, job: JobId) -> Result<Vec<Delivery>, Error> {
    caller.require(Scope::Read)?;
    let job = caller.job(job);
    find(app, &job).await?;
    Ok(app.notifier.store.deliveries(&job).await?)
}

/// Delivers once more, at once, whether it was delivered or not: the same message with the same `webhook-id`.
pub async fn resend(app: &App, caller: &Caller, job: JobId, id: DeliveryId) -> Result<Delivery, Error> {
    caller.require(Scope::Submit)?;
    let job = caller.job(job);
    find(app, &job).await?;
    let notifier: &Notifier = &app.notifier;
    let reference = DeliveryRef { job, id };
    for _ in 0..RACES {
        let found = notifier.store.delivery(&reference).await?.ok_or(Error::NotFound("notification"))?;
        let after = found.resent(notifier.clock.now());
        if notifier.store.save_delivery(&after).await? {
            send(notifier, &Notice::Delivery(reference), Duration::ZERO).await;
            return Ok(after);
        }
    }
    Err(too_busy())
}
