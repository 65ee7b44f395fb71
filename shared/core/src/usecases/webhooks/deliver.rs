//! From a notice to what a receiver answered.

use std::time::{Duration, Instant};

use super::{
    Notifier, RACES,
    endpoints::disable_gone,
    secrets::{context, live, live_default},
    send, subscriptions, too_busy,
};
use crate::{
    Error, Timestamp, chain,
    ports::{Message, Notice, Reply, SendError},
    usecases::work::Disposition,
    webhook::{
        Attempt, Delivery, DeliveryRef, Ending, Event, EventRef, LONGEST_DELAY, Method, NotNow, Outcome,
        Secret, Target,
    },
};

/// How long a notice waits after the store or the vault could not be reached.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// A notice that comes early by no more than this waits; one that comes earlier still is a repeat.
const EARLY: Duration = Duration::from_secs(10);

/// Does what the notice asks for, if nobody has done it: makes an event's deliveries, or tries a delivery. Safe to call
/// twice, late, or for what is over.
pub async fn notify(notifier: &Notifier, notice: &Notice) -> Disposition {
    let done = match notice {
        Notice::Event(event) => tell(notifier, event).await,
        Notice::Delivery(delivery) => deliver(notifier, delivery).await,
    };
    done.unwrap_or_else(|error| {
        let job = notice.job().job;
        tracing::error!(job.id = %job, error = chain(&error), "failed to notify");
        Disposition::RetryAfter(STORE_RETRY)
    })
}

/// Makes one delivery for each who is to be told, and wakes a sender for each.
async fn tell(notifier: &Notifier, reference: &EventRef) -> Result<Disposition, Error> {
    for _ in 0..RACES {
        let Some(event) = notifier.store.event(reference).await? else { return Ok(Disposition::Done) };
        if event.told {
            return Ok(Disposition::Done);
        }
        let deliveries = deliveries_of(notifier, &event).await?;
        if notifier.store.save_event(&event.after_telling(), &deliveries).await? {
            for delivery in &deliveries {
                send(notifier, &Notice::Delivery(delivery.reference()), Duration::ZERO).await;
            }
            return Ok(Disposition::Done);
        }
    }
    Err(too_busy())
}

async fn deliveries_of(notifier: &Notifier, event: &Event) -> Result<Vec<Delivery>, Error> {
    let now = notifier.clock.now();
    let found = subscriptions(notifier, &event.account).await?;
    let own = (0..).zip(&event.addresses).map(|(place, address)| {
        Delivery::new(event, Target::Address(place), Some(address.url.clone()), address.method, now)
    });
    let endpoints = found.endpoints.iter().filter(|endpoint| !event.joined && endpoint.wants(event.kind));
    let endpoints = endpoints
        .map(|endpoint| Delivery::new(event, Target::Endpoint(endpoint.id), None, Method::Post, now));
    Ok(own.chain(endpoints).collect())
}

/// Tries a delivery once, if it is its time, and writes down what came of it.
async fn deliver(notifier: &Notifier, reference: &DeliveryRef) -> Result<Disposition, Error> {
    let Some(found) = notifier.store.delivery(reference).await? else { return Ok(Disposition::Done) };
    let begun = match found.begin(notifier.clock.now()) {
        Ok(begun) => begun,
        Err(NotNow::Wait(wait)) if wait <= EARLY => return Ok(Disposition::RetryAfter(wait)),
        // Another notice comes in its time, and the sweeper behind it.
        Err(NotNow::Over | NotNow::Wait(_)) => return Ok(Disposition::Done),
    };
    let message = match prepare(notifier, &begun).await? {
        Ok(message) => message,
        Err(ending) => {
            settle(notifier, reference, None, Outcome::Over(ending)).await?;
            return Ok(Disposition::Done);
        }
    };
    // Another has begun an attempt just now, or it was asked for anew: whoever did sends a notice.
    if !notifier.store.save_delivery(&begun).await? {
        return Ok(Disposition::Done);
    }
    let (at, began) = (message.now, Instant::now());
    let answer = notifier.sender.send(&message).await;
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (status, error, outcome) = judge(answer);
    tracing::info!(
        job.id = %begun.job,
        delivery = %begun.id,
        status,
        error,
        took_ms = millis,
        "tried to deliver"
    );
    let attempt = Attempt { at, millis, status, error };
    settle(notifier, reference, Some(attempt), outcome).await?;
    if let (Outcome::Over(Ending::Gone), Target::Endpoint(id)) = (outcome, begun.id.target) {
        disable_gone(notifier, &begun.account, id, &message.url).await?;
    }
    Ok(Disposition::Done)
}

/// What is to be sent, or why it is not sent any more.
async fn prepare(notifier: &Notifier, delivery: &Delivery) -> Result<Result<Message, Ending>, Error> {
    let Some(event) = notifier.store.event(&delivery.event()).await? else { return Ok(Err(Ending::Removed)) };
    let account = &delivery.account;
    let (url, secrets): (String, Vec<Secret>) = match (delivery.id.target, &delivery.url) {
        (Target::Endpoint(id), _) => {
            let found = subscriptions(notifier, account).await?;
            let Some(endpoint) = found.endpoint(id) else { return Ok(Err(Ending::Removed)) };
            if endpoint.disabled.is_some() {
                return Ok(Err(Ending::Disabled));
            }
            let secrets = live(notifier, &context(account, Some(id)), &endpoint.secrets).await?;
            (endpoint.url.clone(), secrets)
        }
        (Target::Address(_), Some(url)) => (url.clone(), live_default(notifier, account).await?),
        (Target::Address(_), None) => return Ok(Err(Ending::Removed)),
    };
    let content = match delivery.method {
        Method::Post => event.body(),
        Method::Get => event.query(),
    };
    let id = delivery.event().message_id();
    Ok(Ok(Message { url, method: delivery.method, id, now: notifier.clock.now(), content, secrets }))
}

/// What an answer means.
fn judge(answer: Result<Reply, SendError>) -> (Option<u16>, Option<String>, Outcome) {
    match answer {
        Ok(Reply { status, retry_after }) => {
            let (error, outcome) = match status {
                200..300 => (None, Outcome::Delivered),
                410 => (None, Outcome::Over(Ending::Gone)),
                300..400 => (Some("redirects are not followed".to_owned()), Outcome::Again(retry_after)),
                _ => (None, Outcome::Again(retry_after)),
            };
            (Some(status), error, outcome)
        }
        Err(error) => (None, Some(error.to_string()), Outcome::Again(None)),
    }
}

/// Writes down what came of an attempt, and sees to the next one.
async fn settle(
    notifier: &Notifier,
    reference: &DeliveryRef,
    attempt: Option<Attempt>,
    outcome: Outcome,
) -> Result<(), Error> {
    let chance = chance();
    for _ in 0..RACES {
        let Some(found) = notifier.store.delivery(reference).await? else { return Ok(()) };
        let now = notifier.clock.now();
        let after = found.end_attempt(attempt.clone(), outcome, now, chance);
        if notifier.store.save_delivery(&after).await? {
            wake_in_time(notifier, &after, now).await;
            return Ok(());
        }
    }
    Err(too_busy())
}

/// Wakes a sender for the delivery's next attempt, unless that is left to the sweeper.
pub(super) async fn wake_in_time(notifier: &Notifier, after: &Delivery, now: Timestamp) {
    let wait = after.next_at.map(|next| next.since(now));
    if let Some(wait) = wait.filter(|wait| *wait <= LONGEST_DELAY) {
        send(notifier, &Notice::Delivery(after.reference()), wait).await;
    }
}

/// A number from 0 to 1 by chance; the middle where there is none to be had.
pub(super) fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
