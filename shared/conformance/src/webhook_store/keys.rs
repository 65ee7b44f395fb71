//! Keys of requests that make webhooks: kept with what is made, and the same as those of jobs.

use std::time::Duration;

use futures::future::join_all;
use willcall_core::{
    Timestamp,
    idempotency::{IdempotencyKey, KEY_KEPT, KeyRecord, Made, NewKey, RequestHash},
    ports::{NewJob, SavedOnce, Submitted},
    webhook::Subscriptions,
};

use super::{WebhookStoreHarness, endpoint, subscribed};
use crate::samples::{START, account, job};

fn key(text: &str) -> NewKey {
    let request = RequestHash::of("/v1/webhooks", &text).unwrap();
    NewKey { key: text.parse::<IdempotencyKey>().unwrap().hash(), request, status: 201 }
}

/// What is kept of the key that made the newest endpoint.
fn record_of(key: &NewKey, subscriptions: &Subscriptions, now: Timestamp) -> KeyRecord {
    key.record(Made::Webhook(subscriptions.endpoints.last().unwrap().id), false, now)
}

pub(super) async fn a_key_is_kept_with_what_it_makes_or_not_at_all(harness: &impl WebhookStoreHarness) {
    let (store, jobs, acme) = (harness.webhooks(), harness.jobs(), account("acme"));
    let (first, key) = (subscribed(vec![endpoint()]), key("k"));
    let record = record_of(&key, &first, START);
    let wrong = Subscriptions { version: 2, ..first.clone() };
    let overtaken = store.save_subscriptions_once(&wrong, &key.key, &record, START).await.unwrap();
    assert_eq!(overtaken, SavedOnce::Overtaken);
    assert_eq!(jobs.key(&acme, &key.key, START).await.unwrap(), None, "the key goes with it");
    let saved = store.save_subscriptions_once(&first, &key.key, &record, START).await.unwrap();
    assert_eq!(saved, SavedOnce::Saved);
    assert_eq!(store.subscriptions(&acme).await.unwrap(), Some(first.clone()));
    assert_eq!(jobs.key(&acme, &key.key, START).await.unwrap(), Some(record.clone()));

    let second = Subscriptions { version: 2, endpoints: vec![endpoint()], ..first.clone() };
    let later = START.plus(KEY_KEPT).minus(Duration::from_millis(1));
    let again = record_of(&key, &second, later);
    for newest in [&first, &second] {
        let known = store.save_subscriptions_once(newest, &key.key, &again, later).await.unwrap();
        assert_eq!(known, SavedOnce::Known(record.clone()));
    }
    assert_eq!(store.subscriptions(&acme).await.unwrap(), Some(first.clone()), "nothing is written");
    let forgotten = START.plus(KEY_KEPT);
    let again = record_of(&key, &second, forgotten);
    let saved = store.save_subscriptions_once(&second, &key.key, &again, forgotten).await.unwrap();
    assert_eq!(saved, SavedOnce::Saved);
    assert_eq!(jobs.key(&acme, &key.key, forgotten).await.unwrap(), Some(again));
    assert!(harness.webhooks().save_subscriptions(&Subscriptions { version: 3, ..first }).await.unwrap());
}

pub(super) async fn of_many_with_one_key_one_saves(harness: &impl WebhookStoreHarness) {
    let saves = (0..16).map(|_| {
        let (store, mine) = (harness.webhooks(), subscribed(vec![endpoint()]));
        tokio::spawn(async move {
            let (key, id) = (key("k"), mine.endpoints[0].id);
            let record = record_of(&key, &mine, START);
            (id, store.save_subscriptions_once(&mine, &key.key, &record, START).await.unwrap())
        })
    });
    let (mut saved, mut known) = (Vec::new(), Vec::new());
    for outcome in join_all(saves).await {
        match outcome.unwrap() {
            (id, SavedOnce::Saved) => saved.push(Made::Webhook(id)),
            (_, SavedOnce::Known(record)) => known.push(record.made),
            (_, SavedOnce::Overtaken) => panic!("whoever is overtaken is so by the key"),
        }
    }
    assert_eq!((saved.len(), known.len()), (1, 15));
    assert!(known.iter().all(|made| *made == saved[0]));
    let found = harness.webhooks().subscriptions(&account("acme")).await.unwrap().unwrap();
    assert_eq!(Made::Webhook(found.endpoints[0].id), saved[0]);
}

pub(super) async fn keys_of_jobs_and_of_webhooks_are_the_same(harness: &impl WebhookStoreHarness) {
    let (store, jobs, key) = (harness.webhooks(), harness.jobs(), key("k"));
    let new = NewJob { key: Some(key.clone()), ..NewJob::plain(job("acme"), 1000) };
    assert!(matches!(jobs.submit(&new).await.unwrap(), Submitted::Inserted { .. }));
    let mine = subscribed(vec![endpoint()]);
    let record = record_of(&key, &mine, START);
    let known = store.save_subscriptions_once(&mine, &key.key, &record, START).await.unwrap();
    assert!(matches!(known, SavedOnce::Known(record) if record.made == Made::Job(new.job.id)));
    let others = Subscriptions { version: 1, ..Subscriptions::none(account("other")) };
    let saved = store.save_subscriptions_once(&others, &key.key, &record, START).await.unwrap();
    assert_eq!(saved, SavedOnce::Saved, "another account's key is another");
}
