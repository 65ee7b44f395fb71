//! What every [`WebhookStore`] does, and what the [`JobStore`] beside it writes into it.

mod batches;
mod joins;
mod keys;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::join_all;
use willcall_core::{
    Timestamp,
    job::{Job, Transition},
    ports::{JobStore, Notice, WebhookStore},
    webhook::{
        Attempt, Delivery, DeliveryId, DeliveryRef, Disabled, Endpoint, EndpointId, Event, EventKind,
        EventRef, LOG_KEPT, Method, NotifyAddress, Outcome, SealedSecret, Subscriptions, Target, UNTOLD_DUE,
    },
};

use self::{batches::*, joins::*, keys::*};
use crate::samples::{START, account, claim, complete, job, problem};

/// Makes the adapter that is put to the test.
#[async_trait]
pub trait WebhookStoreHarness: Send + Sync + Sized {
    /// A harness with empty stores.
    async fn fresh() -> Self;

    /// The job store, which writes events.
    fn jobs(&self) -> Arc<dyn JobStore>;

    /// The store; each call may answer another handle of the same one.
    fn webhooks(&self) -> Arc<dyn WebhookStore>;
}

crate::suite! {
    $ webhook_store_suite in webhook_store for WebhookStoreHarness {
        subscriptions_are_kept_by_version,
        of_many_savers_of_subscriptions_one_wins,
        a_key_is_kept_with_what_it_makes_or_not_at_all,
        of_many_with_one_key_one_saves,
        keys_of_jobs_and_of_webhooks_are_the_same,
        a_job_under_way_tells_those_who_joined_it_too,
        a_completed_job_tells_who_joins_it_at_once,
        a_job_that_can_tell_no_more_serves_no_more,
        those_who_join_as_the_job_ends_are_all_told,
        a_key_and_an_address_are_kept_in_one_step,
        every_end_of_a_job_with_an_address_writes_its_event,
        an_end_that_nobody_listens_to_writes_none,
        an_endpoint_that_listens_makes_every_job_write_events,
        a_refused_change_writes_no_event,
        an_expiry_is_a_second_event,
        an_event_outlives_its_job,
        an_event_becomes_deliveries_in_one_step,
        of_many_tellers_one_wins,
        deliveries_are_kept_by_version,
        deliveries_of_a_job_are_listed_in_order,
        due_notices_come_in_order_and_by_limit,
        a_removed_event_takes_its_deliveries_along,
        the_end_of_a_batch_is_an_event_of_its_container,
        a_batch_whose_container_nobody_listens_to_writes_no_event,
        batches_that_end_at_once_have_an_event_each,
    }
}

fn address(url: &str) -> NotifyAddress {
    NotifyAddress { url: url.into(), method: Method::Post }
}

fn addressed() -> Job {
    Job { notify: vec![address("https://example.com/hook?ü=1")], ..job("acme") }
}

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId::generate(),
        url: "https://example.com/all".into(),
        description: Some("all of it, ü".into()),
        events: Some([EventKind::ResultsReady, EventKind::JobExpired].into()),
        disabled: None,
        secrets: vec![SealedSecret { sealed: "sealed".into(), created: START, retires: None }],
        created: START,
    }
}

fn subscribed(endpoints: Vec<Endpoint>) -> Subscriptions {
    Subscriptions { version: 1, endpoints, ..Subscriptions::none(account("acme")) }
}

fn event_of(job: &Job, sequence: u32) -> EventRef {
    EventRef { job: job.reference(), sequence }
}

/// A job that has completed, and its event.
async fn completed(harness: &impl WebhookStoreHarness, fresh: Job) -> (Job, Option<Event>) {
    let store = harness.jobs();
    store.insert(&fresh, 1000).await.unwrap();
    store.transition(&fresh.reference(), &claim(), START).await.unwrap();
    let done = store.transition(&fresh.reference(), &complete(1), START).await.unwrap();
    let event = harness.webhooks().event(&event_of(&done, 1)).await.unwrap();
    (done, event)
}

fn delivery(event: &Event, place: u32) -> Delivery {
    Delivery::new(event, Target::Address(place), Some("https://example.com/".into()), Method::Get, START)
}

async fn subscriptions_are_kept_by_version(harness: &impl WebhookStoreHarness) {
    let (store, acme) = (harness.webhooks(), account("acme"));
    assert_eq!(store.subscriptions(&acme).await.unwrap(), None);
    let first = subscribed(vec![endpoint(), endpoint()]);
    assert!(!store.save_subscriptions(&Subscriptions { version: 2, ..first.clone() }).await.unwrap());
    assert!(store.save_subscriptions(&first).await.unwrap());
    assert!(!store.save_subscriptions(&first).await.unwrap(), "version 1 is there already");
    assert_eq!(store.subscriptions(&acme).await.unwrap(), Some(first.clone()));
    let second = Subscriptions { version: 2, endpoints: Vec::new(), ..first.clone() };
    assert!(store.save_subscriptions(&second).await.unwrap());
    assert!(!store.save_subscriptions(&Subscriptions { version: 4, ..first }).await.unwrap());
    assert_eq!(store.subscriptions(&acme).await.unwrap(), Some(second));
    assert_eq!(store.subscriptions(&account("other")).await.unwrap(), None);
}

async fn of_many_savers_of_subscriptions_one_wins(harness: &impl WebhookStoreHarness) {
    let saves = (0..16).map(|_| {
        let (store, mine) = (harness.webhooks(), subscribed(vec![endpoint()]));
        tokio::spawn(async move { store.save_subscriptions(&mine).await.unwrap().then_some(mine) })
    });
    let saved: Vec<Subscriptions> =
        join_all(saves).await.into_iter().filter_map(|one| one.unwrap()).collect();
    assert_eq!(saved.len(), 1);
    let found = harness.webhooks().subscriptions(&account("acme")).await.unwrap();
    assert_eq!(found.as_ref(), saved.first());
}

async fn every_end_of_a_job_with_an_address_writes_its_event(harness: &impl WebhookStoreHarness) {
    let fail = Transition::Fail { attempt: Some(1), problem: problem() };
    let ends = [
        (complete(1), EventKind::ResultsReady, "completed"),
        (fail, EventKind::JobFailed, "failed"),
        (Transition::Cancel, EventKind::JobCancelled, "cancelled"),
    ];
    for (end, kind, state) in ends {
        let (store, fresh) = (harness.jobs(), addressed());
        let reference = fresh.reference();
        store.insert(&fresh, 1000).await.unwrap();
        store.transition(&reference, &Transition::Sent, START).await.unwrap();
        store.transition(&reference, &claim(), START).await.unwrap();
        assert_eq!(harness.webhooks().event(&event_of(&fresh, 1)).await.unwrap(), None);
        let ended = store.transition(&reference, &end, START).await.unwrap();
        assert_eq!(ended.events, 1);
        assert_eq!(store.get(&reference).await.unwrap(), Some(ended.clone()), "it is counted in the record");
        let event = harness.webhooks().event(&event_of(&fresh, 1)).await.unwrap().unwrap();
        assert_eq!((event.kind, event.sequence, event.version), (kind, 1, 1));
        assert_eq!((event.occurred, event.told), (START, false));
        assert_eq!(event.addresses, fresh.notify);
        assert_eq!(event.data["state"], state);
        assert_eq!(event.data["job_id"], fresh.id.to_string());
        assert_eq!(event.due_at, Some(START.plus(UNTOLD_DUE)));
    }
}

async fn an_end_that_nobody_listens_to_writes_none(harness: &impl WebhookStoreHarness) {
    let disabled = Endpoint { disabled: Some(Disabled::Gone), ..endpoint() };
    assert!(harness.webhooks().save_subscriptions(&subscribed(vec![disabled])).await.unwrap());
    let (done, event) = completed(harness, job("acme")).await;
    assert_eq!((done.events, event), (0, None));
}

async fn an_endpoint_that_listens_makes_every_job_write_events(harness: &impl WebhookStoreHarness) {
    assert!(harness.webhooks().save_subscriptions(&subscribed(vec![endpoint()])).await.unwrap());
    let (done, event) = completed(harness, job("acme")).await;
    assert_eq!(done.events, 1);
    assert_eq!(event.unwrap().addresses, []);
    let (other, event) = completed(harness, job("other")).await;
    assert_eq!((other.events, event), (0, None), "it is another account's");
}

async fn a_refused_change_writes_no_event(harness: &impl WebhookStoreHarness) {
    let (done, _) = completed(harness, addressed()).await;
    let refused = harness.jobs().transition(&done.reference(), &Transition::Cancel, START).await;
    assert!(refused.is_err());
    assert_eq!(harness.webhooks().event(&event_of(&done, 2)).await.unwrap(), None);
    let amend =
        Transition::Amend { name: Some(Some("x".into())), labels: None, expires: None, version: None };
    let amended = harness.jobs().transition(&done.reference(), &amend, START).await.unwrap();
    assert_eq!(amended.events, 1);
}

async fn an_expiry_is_a_second_event(harness: &impl WebhookStoreHarness) {
    let (done, _) = completed(harness, addressed()).await;
    let later = START.plus(Duration::from_secs(8 * 86_400));
    let expired = harness.jobs().transition(&done.reference(), &Transition::Expire, later).await.unwrap();
    assert_eq!(expired.events, 2);
    let event = harness.webhooks().event(&event_of(&done, 2)).await.unwrap().unwrap();
    assert_eq!((event.kind, event.occurred), (EventKind::JobExpired, later));
    assert_eq!(event.data["sequence"], 2);
}

async fn an_event_outlives_its_job(harness: &impl WebhookStoreHarness) {
    let (done, event) = completed(harness, addressed()).await;
    assert!(harness.jobs().delete(&done.reference()).await.unwrap());
    assert_eq!(harness.webhooks().event(&event_of(&done, 1)).await.unwrap(), event);
}

async fn an_event_becomes_deliveries_in_one_step(harness: &impl WebhookStoreHarness) {
    let store = harness.webhooks();
    let (done, event) = completed(harness, addressed()).await;
    let event = event.unwrap();
    let told = event.after_telling();
    let deliveries = [delivery(&event, 0), delivery(&event, 1)];
    assert!(!store.save_event(&event, &deliveries).await.unwrap(), "that version is there already");
    assert_eq!(store.deliveries(&done.reference()).await.unwrap(), [], "nothing is written by half");
    assert!(store.save_event(&told, &deliveries[..1]).await.unwrap());
    assert_eq!(store.event(&event.reference()).await.unwrap(), Some(told.clone()));
    // One that is there already has moved on: it stays as it is.
    let begun = deliveries[0].begin(START).unwrap();
    assert!(store.save_delivery(&begun).await.unwrap());
    assert!(store.save_event(&told.postponed(START), &deliveries).await.unwrap());
    assert_eq!(store.deliveries(&done.reference()).await.unwrap(), [begun, deliveries[1].clone()]);
}

async fn of_many_tellers_one_wins(harness: &impl WebhookStoreHarness) {
    let (done, event) = completed(harness, addressed()).await;
    let event = event.unwrap();
    let saves = (0..16).map(|_| {
        let (store, event) = (harness.webhooks(), event.clone());
        tokio::spawn(async move {
            store.save_event(&event.after_telling(), &[delivery(&event, 0)]).await.unwrap()
        })
    });
    let won = join_all(saves).await.into_iter().filter(|one| *one.as_ref().unwrap()).count();
    assert_eq!(won, 1);
    assert_eq!(harness.webhooks().deliveries(&done.reference()).await.unwrap(), [delivery(&event, 0)]);
}

async fn deliveries_are_kept_by_version(harness: &impl WebhookStoreHarness) {
    let store = harness.webhooks();
    let event = completed(harness, addressed()).await.1.unwrap();
    let first = delivery(&event, 0);
    assert_eq!(store.delivery(&first.reference()).await.unwrap(), None);
    assert!(store.save_event(&event.after_telling(), std::slice::from_ref(&first)).await.unwrap());
    let begun = first.begin(START).unwrap();
    let saves = (0..8).map(|_| {
        let (store, begun) = (harness.webhooks(), begun.clone());
        tokio::spawn(async move { store.save_delivery(&begun).await.unwrap() })
    });
    let won = join_all(saves).await.into_iter().filter(|one| *one.as_ref().unwrap()).count();
    assert_eq!(won, 1, "one attempt begins");
    let attempt = Attempt { at: START, millis: 12, status: Some(500), error: Some("ü".into()) };
    let ended = begun.end_attempt(Some(attempt), Outcome::Again(None), START, 0.5);
    assert!(store.save_delivery(&ended).await.unwrap());
    assert!(!store.save_delivery(&begun.postponed(START)).await.unwrap(), "it is not the newest any more");
    assert_eq!(store.delivery(&first.reference()).await.unwrap(), Some(ended));
}

async fn deliveries_of_a_job_are_listed_in_order(harness: &impl WebhookStoreHarness) {
    let store = harness.webhooks();
    let (done, event) = completed(harness, addressed()).await;
    let event = event.unwrap();
    let (_, other) = completed(harness, addressed()).await;
    let other = other.unwrap();
    assert!(store.save_event(&other.after_telling(), &[delivery(&other, 0)]).await.unwrap());
    let targets = [
        Target::Address(10),
        Target::Address(2),
        Target::Endpoint(EndpointId::generate()),
        Target::Address(0),
    ];
    let deliveries = targets.map(|target| Delivery::new(&event, target, None, Method::Post, START));
    assert!(store.save_event(&event.after_telling(), &deliveries).await.unwrap());
    let mut expected = targets;
    expected.sort();
    let found = store.deliveries(&done.reference()).await.unwrap();
    let found: Vec<Target> = found.iter().map(|delivery| delivery.id.target).collect();
    assert_eq!(found, expected);
}

async fn due_notices_come_in_order_and_by_limit(harness: &impl WebhookStoreHarness) {
    let store = harness.webhooks();
    let at = |seconds: u64| START.plus(Duration::from_secs(seconds));
    let mut expected: Vec<(Timestamp, Notice)> = Vec::new();
    for n in 0..5_u64 {
        let event = completed(harness, addressed()).await.1.unwrap();
        let mut told = event.after_telling();
        told.due_at = Some(at(1000 - n));
        let mut later = delivery(&event, 0);
        later.due_at = Some(at(2000 + n));
        let over = delivery(&event, 1).begin(START).unwrap();
        let over = Delivery { version: 1, ..over.end_attempt(None, Outcome::Delivered, START, 0.5) };
        assert_eq!(over.due_at, None);
        assert!(store.save_event(&told, &[later.clone(), over]).await.unwrap());
        expected.push((at(1000 - n), Notice::Event(event.reference())));
        expected.push((at(2000 + n), Notice::Delivery(later.reference())));
    }
    expected.sort();
    assert_eq!(due(&*store, at(10_000), 100).await, expected);
    assert_eq!(due(&*store, at(10_000), 3).await, expected[..3]);
    assert_eq!(due(&*store, at(999), 100).await, expected[..4]);
    assert_eq!(due(&*store, at(995), 100).await, []);
}

/// What is due, once an index that follows its table has followed.
async fn due(store: &dyn WebhookStore, now: Timestamp, limit: u32) -> Vec<(Timestamp, Notice)> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    store.due_notices(now, limit).await.unwrap()
}

async fn a_removed_event_takes_its_deliveries_along(harness: &impl WebhookStoreHarness) {
    let store = harness.webhooks();
    let (done, event) = completed(harness, addressed()).await;
    let event = event.unwrap();
    let later = START.plus(LOG_KEPT);
    let expired = harness.jobs().transition(&done.reference(), &Transition::Expire, later).await.unwrap();
    let second = store.event(&event_of(&expired, 2)).await.unwrap().unwrap();
    for event in [&event, &second] {
        assert!(
            store
                .save_event(&event.after_telling(), &[delivery(event, 0), delivery(event, 1)])
                .await
                .unwrap()
        );
    }
    for _ in 0..2 {
        store.remove_event(&event.reference()).await.unwrap();
        assert_eq!(store.event(&event.reference()).await.unwrap(), None);
        let left = store.deliveries(&done.reference()).await.unwrap();
        assert_eq!(left, [delivery(&second, 0), delivery(&second, 1)]);
    }
    let gone = DeliveryId { sequence: 1, target: Target::Address(0) };
    let gone = DeliveryRef { job: done.reference(), id: gone };
    assert_eq!(store.delivery(&gone).await.unwrap(), None);
}
