//! Telling others of jobs: who is told, how, and what became of it.
//!
//! The end of a job writes an event, in the same atomic step. `announce` sends a notice of it; [`notify`] makes of the event
//! one delivery for each who is told, and tries each until its receiver has taken it. [`sweep_notices`] picks up what any of
//! them dropped, and what waits for longer than the queue delays.

mod address;
mod dead_letter;
mod deliver;
mod endpoints;
mod log;
mod once;
mod secrets;
mod sweep;

use std::{sync::Arc, time::Duration};

pub(super) use self::address::addresses;
pub use self::{
    dead_letter::{DeadNotice, dead_notice},
    deliver::notify,
    endpoints::{
        EndpointChange, EndpointDraft, Tested, create_endpoint, delete_endpoint, endpoint, endpoints,
        test_endpoint, update_endpoint,
    },
    log::{notifications, resend},
    once::{Once, create_endpoint_once, rotate_default_secret_once, rotate_endpoint_secret_once},
    secrets::{default_secrets, rotate_default_secret, rotate_endpoint_secret},
    sweep::{SweptNotices, sweep_notices, take_up},
};
use crate::{
    AccountId, Error,
    job::Job,
    ports::{Clock, Notice, NoticeQueue, Sender, Vault, WebhookStore},
    webhook::{Event, Subscriptions},
};

/// What telling others needs.
#[derive(Clone)]
pub struct Notifier {
    /// Endpoints, events and deliveries.
    pub store: Arc<dyn WebhookStore>,
    /// What wakes senders.
    pub queue: Arc<dyn NoticeQueue>,
    /// What carries messages.
    pub sender: Arc<dyn Sender>,
    /// What keeps secrets.
    pub vault: Arc<dyn Vault>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Sends a notice of the event that a job's last change caused, if it caused one. One that cannot be sent is no error: the
/// event is stored, and the sweeper finds it.
pub(super) async fn announce(notifier: &Notifier, job: &Job) {
    if let Some(event) = Event::last_of(job) {
        send(notifier, &Notice::Event(event), Duration::ZERO).await;
    }
}

/// Sends a notice; one that cannot be sent is left to the sweeper.
async fn send(notifier: &Notifier, notice: &Notice, delay: Duration) {
    if let Err(error) = notifier.queue.send(notice, delay).await {
        tracing::warn!(job.id = %notice.job().job, error = %error, "failed to send notice, the sweeper will");
    }
}

/// What the account has, or would begin with.
async fn subscriptions(notifier: &Notifier, account: &AccountId) -> Result<Subscriptions, Error> {
    let found = notifier.store.subscriptions(account).await?;
    Ok(found.unwrap_or_else(|| Subscriptions::none(account.clone())))
}

/// How often a change is judged anew when others change the same at the same time.
pub(super) const RACES: u32 = 20;

fn too_busy() -> Error {
    Error::Unavailable("the record is being changed by too many at once".into())
}
