//! What the end of a batch tells: an event of its container.

use futures::future::join_all;
use willcall_core::{
    job::{Job, Transition},
    ports::NewBatch,
    webhook::{Event, EventKind, NotifyAddress, UNTOLD_DUE},
};

use super::{WebhookStoreHarness, address, endpoint, event_of, subscribed};
use crate::samples::{START, batch_at, claim, complete, container_at, problem, uploaded};

fn container(notify: Vec<NotifyAddress>) -> Job {
    Job { notify, ..container_at("acme", START) }
}

/// A batch of the container that a worker has.
async fn claimed_batch(harness: &impl WebhookStoreHarness, container: &Job) -> Job {
    let (store, batch) = (harness.jobs(), batch_at(container, START));
    // A batch has no addresses of its own.
    let batch = Job { notify: Vec::new(), ..batch };
    store.add_batch(&NewBatch { batch: batch.clone(), key: None }).await.unwrap();
    store.transition(&batch.reference(), &uploaded(START), START).await.unwrap();
    store.transition(&batch.reference(), &claim(), START).await.unwrap()
}

pub(super) async fn the_end_of_a_batch_is_an_event_of_its_container(harness: &impl WebhookStoreHarness) {
    let (jobs, store) = (harness.jobs(), harness.webhooks());
    let container = container(vec![address("https://example.com/hook")]);
    jobs.insert(&container, 1000).await.unwrap();
    let fail = Transition::Fail { attempt: Some(1), problem: problem() };
    let ends =
        [(complete(1), EventKind::BatchCompleted, "completed"), (fail, EventKind::BatchFailed, "failed")];
    for (sequence, (end, kind, state)) in (1..).zip(ends) {
        let batch = claimed_batch(harness, &container).await;
        assert_eq!(store.event(&event_of(&container, sequence)).await.unwrap(), None);
        let ended = jobs.transition(&batch.reference(), &end, START).await.unwrap();
        assert_eq!(Event::last_of(&ended), Some(event_of(&container, sequence)), "whoever ended it can tell");
        assert_eq!(jobs.get(&batch.reference()).await.unwrap(), Some(ended));
        let event = store.event(&event_of(&container, sequence)).await.unwrap().unwrap();
        assert_eq!((event.kind, event.sequence, event.version), (kind, sequence, 1));
        assert_eq!((event.job, &event.addresses), (container.id, &container.notify));
        assert_eq!(event.data["job_id"], container.id.to_string());
        assert_eq!(event.data["batch"]["batch_id"], batch.id.to_string());
        assert_eq!(event.data["batch"]["state"], state);
        assert_eq!(event.due_at, Some(START.plus(UNTOLD_DUE)));
        assert_eq!(store.event(&event_of(&batch, 1)).await.unwrap(), None, "a batch has none of its own");
    }
    let given_up = claimed_batch(harness, &container).await;
    let given_up = jobs.transition(&given_up.reference(), &Transition::Cancel, START).await.unwrap();
    assert_eq!(given_up.events, 0, "whoever gave it up knows");
    jobs.transition(&container.reference(), &Transition::Close, START).await.unwrap();
    jobs.transition(&container.reference(), &claim(), START).await.unwrap();
    let done = jobs.transition(&container.reference(), &complete(1), START).await.unwrap();
    assert_eq!(done.events, 3);
    let event = store.event(&event_of(&container, 3)).await.unwrap().unwrap();
    assert_eq!(event.kind, EventKind::ResultsReady);
    assert_eq!(store.event(&event_of(&container, 4)).await.unwrap(), None);
}

pub(super) async fn a_batch_whose_container_nobody_listens_to_writes_no_event(
    harness: &impl WebhookStoreHarness,
) {
    let (jobs, quiet) = (harness.jobs(), container(Vec::new()));
    jobs.insert(&quiet, 1000).await.unwrap();
    let batch = claimed_batch(harness, &quiet).await;
    let done = jobs.transition(&batch.reference(), &complete(1), START).await.unwrap();
    assert_eq!((done.events, harness.webhooks().event(&event_of(&quiet, 1)).await.unwrap()), (0, None));
    assert!(harness.webhooks().save_subscriptions(&subscribed(vec![endpoint()])).await.unwrap());
    let batch = claimed_batch(harness, &quiet).await;
    let done = jobs.transition(&batch.reference(), &complete(1), START).await.unwrap();
    assert_eq!(done.events, 1, "an endpoint listens now");
    let event = harness.webhooks().event(&event_of(&quiet, 1)).await.unwrap().unwrap();
    assert_eq!((event.kind, event.addresses.len()), (EventKind::BatchCompleted, 0));
}

pub(super) async fn batches_that_end_at_once_have_an_event_each(harness: &impl WebhookStoreHarness) {
    let container = container(vec![address("https://example.com/hook")]);
    harness.jobs().insert(&container, 1000).await.unwrap();
    let mut batches = Vec::new();
    for _ in 0..8 {
        batches.push(claimed_batch(harness, &container).await);
    }
    let ends = batches.iter().map(|batch| {
        let (store, batch) = (harness.jobs(), batch.reference());
        tokio::spawn(async move { store.transition(&batch, &complete(1), START).await.unwrap() })
    });
    let mut ended: Vec<Job> = join_all(ends).await.into_iter().map(|one| one.unwrap()).collect();
    ended.sort_by_key(|batch| batch.events);
    let store = harness.webhooks();
    for (sequence, batch) in (1..).zip(&ended) {
        assert_eq!(batch.events, sequence, "each has a number of its own");
        let event = store.event(&event_of(&container, sequence)).await.unwrap().unwrap();
        assert_eq!(event.data["batch"]["batch_id"], batch.id.to_string());
    }
    assert_eq!(harness.jobs().get(&container.reference()).await.unwrap().unwrap().events, 8);
}
