//! Addresses of requests that another's job serves: every one is told.

use std::collections::BTreeSet;

use futures::future::join_all;
use willcall_core::{
    Timestamp,
    idempotency::{IdempotencyKey, NewKey, RequestHash},
    job::{Identity, Job, MAX_ADDRESSES, Reuse},
    ports::{NewJob, Submitted},
    webhook::{EventKind, NotifyAddress},
};

use super::{WebhookStoreHarness, address, endpoint, event_of, subscribed};
use crate::samples::{START, account, claim, complete, job, work};

/// A request that an identical job may serve, and that wants these to be told.
fn joining(notify: &[NotifyAddress]) -> NewJob {
    NewJob {
        identity: Some(Identity::of(&account("acme"), "v1", &work()).unwrap()),
        reuse: Some(Reuse::default()),
        ..NewJob::plain(Job { notify: notify.to_vec(), ..job("acme") }, 1000)
    }
}

fn numbered(n: usize) -> NotifyAddress {
    address(&format!("https://example.com/{n}"))
}

async fn join(harness: &impl WebhookStoreHarness, new: &NewJob) -> Option<Job> {
    match harness.jobs().submit(new).await.unwrap() {
        Submitted::Joined(job) => Some(*job),
        Submitted::Inserted { .. } => None,
        known @ Submitted::Known(_) => panic!("{known:?}"),
    }
}

async fn end(harness: &impl WebhookStoreHarness, job: &Job) -> Job {
    let store = harness.jobs();
    store.transition(&job.reference(), &claim(), START).await.unwrap();
    store.transition(&job.reference(), &complete(1), START).await.unwrap()
}

/// The addresses that events of the job name.
async fn named(harness: &impl WebhookStoreHarness, job: &Job) -> Vec<NotifyAddress> {
    let mut named = Vec::new();
    for sequence in 1..=job.events {
        let event = harness.webhooks().event(&event_of(job, sequence)).await.unwrap().unwrap();
        named.extend(event.addresses);
    }
    named
}

pub(super) async fn a_job_under_way_tells_those_who_joined_it_too(harness: &impl WebhookStoreHarness) {
    let first = joining(&[numbered(0)]);
    assert_eq!(join(harness, &first).await, None);
    let quiet = join(harness, &joining(&[])).await.unwrap();
    assert_eq!(quiet, first.job, "who wants nobody told changes nothing");
    let joined = join(harness, &joining(&[numbered(1)])).await.unwrap();
    assert_eq!((&joined.notify[..], joined.events), (&[numbered(0), numbered(1)][..], 0));
    assert!(joined.version > first.job.version);
    assert_eq!(harness.jobs().get(&joined.reference()).await.unwrap(), Some(joined.clone()));
    let twice = join(harness, &joining(&[numbered(1)])).await.unwrap();
    assert_eq!(twice, joined, "an address is told of an end once");
    let done = end(harness, &joined).await;
    assert_eq!(named(harness, &done).await, joined.notify);
}

pub(super) async fn a_completed_job_tells_who_joins_it_at_once(harness: &impl WebhookStoreHarness) {
    assert!(harness.webhooks().save_subscriptions(&subscribed(vec![endpoint()])).await.unwrap());
    let first = joining(&[numbered(0)]);
    assert_eq!(join(harness, &first).await, None);
    let done = end(harness, &first.job).await;
    let quiet = join(harness, &joining(&[])).await.unwrap();
    assert_eq!(quiet, done);
    for (sequence, address) in [(2, numbered(1)), (3, numbered(0))] {
        let joined = join(harness, &joining(std::slice::from_ref(&address))).await.unwrap();
        assert_eq!(joined.events, sequence);
        assert_eq!(harness.jobs().get(&joined.reference()).await.unwrap(), Some(joined.clone()));
        let event = harness.webhooks().event(&event_of(&joined, sequence)).await.unwrap().unwrap();
        assert_eq!(
            (event.kind, event.addresses, event.told),
            (EventKind::ResultsReady, vec![address], false)
        );
        assert!(event.joined, "the endpoints were told before");
        assert_eq!((&event.data["state"], &event.data["sequence"]), (&"completed".into(), &sequence.into()));
        assert!(event.due_at.is_some());
    }
    let known = harness.jobs().get(&done.reference()).await.unwrap().unwrap();
    assert_eq!(known.notify, [numbered(0), numbered(1)], "they are told when it expires, too");
    let before = harness.webhooks().event(&event_of(&done, 1)).await.unwrap().unwrap();
    assert!(!before.joined);
}

pub(super) async fn a_job_that_can_tell_no_more_serves_no_more(harness: &impl WebhookStoreHarness) {
    let first = joining(&[numbered(0)]);
    assert_eq!(join(harness, &first).await, None);
    for n in 1..MAX_ADDRESSES {
        assert_eq!(join(harness, &joining(&[numbered(n)])).await.unwrap().id, first.job.id);
    }
    assert_eq!(join(harness, &joining(&[numbered(3)])).await.unwrap().id, first.job.id, "it is known");
    assert_eq!(join(harness, &joining(&[])).await.unwrap().id, first.job.id);
    let over = joining(&[numbered(MAX_ADDRESSES)]);
    assert_eq!(join(harness, &over).await, None, "it gets a job of its own");
    let latest = join(harness, &joining(&[numbered(0)])).await.unwrap();
    assert_eq!((latest.id, latest.notify.len()), (over.job.id, 2), "which serves from now on");
}

pub(super) async fn those_who_join_as_the_job_ends_are_all_told(harness: &impl WebhookStoreHarness) {
    let first = joining(&[numbered(0)]);
    assert_eq!(join(harness, &first).await, None);
    let reference = first.job.reference();
    harness.jobs().transition(&reference, &claim(), START).await.unwrap();
    let joins = (1..12).map(|n| {
        let (store, new) = (harness.jobs(), joining(&[numbered(n)]));
        tokio::spawn(async move { drop(store.submit(&new).await.unwrap()) })
    });
    let store = harness.jobs();
    let ending =
        tokio::spawn(async move { drop(store.transition(&reference, &complete(1), START).await.unwrap()) });
    for task in join_all(joins.chain([ending])).await {
        task.unwrap();
    }
    let done = harness.jobs().get(&first.job.reference()).await.unwrap().unwrap();
    let told = named(harness, &done).await;
    assert_eq!(told.len(), 12, "each once: {told:?}");
    let urls: BTreeSet<String> = told.into_iter().map(|address| address.url).collect();
    assert_eq!(urls, (0..12).map(|n| numbered(n).url).collect());
}

pub(super) async fn a_key_and_an_address_are_kept_in_one_step(harness: &impl WebhookStoreHarness) {
    let first = joining(&[]);
    assert_eq!(join(harness, &first).await, None);
    let request = RequestHash::of("/v1/jobs", &"x").unwrap();
    let key = NewKey { key: "k".parse::<IdempotencyKey>().unwrap().hash(), request, status: 202 };
    let new = NewJob { key: Some(key.clone()), ..joining(&[numbered(1)]) };
    let joined = join(harness, &new).await.unwrap();
    assert_eq!(joined.notify, [numbered(1)]);
    let again = NewJob { job: Job { notify: vec![numbered(2)], ..job("acme") }, ..new };
    let known = harness.jobs().submit(&again).await.unwrap();
    assert!(matches!(known, Submitted::Known(record) if record.reused));
    let after = harness.jobs().get(&first.job.reference()).await.unwrap();
    assert_eq!(after, Some(joined), "what is repeated changes nothing");
    let at: Timestamp = START;
    assert!(harness.jobs().key(&account("acme"), &key.key, at).await.unwrap().is_some());
}
