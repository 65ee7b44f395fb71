//! What becomes of a batch, and of its container in the same step.

use futures::stream::{self, StreamExt};
use willcall_core::{
    job::{BatchPhase, Counts, Job, JobState, Progress, Refused, Transition, UNSENT_DUE},
    ports::TransitionError,
};

use super::{
    JobStoreHarness,
    batches::{added, claimed, found, opened, queued},
};
use crate::samples::{START, account, batch_at, claim, complete, job, problem, uploaded};

const MANY: u32 = 1_000;
const LEASE: std::time::Duration = std::time::Duration::from_secs(30);

/// The end of that attempt with ten rows.
fn matched(attempt: u32) -> Transition {
    let Transition::Complete { attempt, result, records_found, records_requested, .. } = complete(attempt)
    else {
        unreachable!();
    };
    let counts = Counts::Append { rows: 10, matched: 7, unmatched: 2, ambiguous: 1, malformed: 0 };
    Transition::Complete {
        attempt,
        result,
        records_found,
        records_requested,
        counts: Some(counts),
        day: None,
    }
}

fn fail(attempt: u32) -> Transition {
    Transition::Fail { attempt: Some(attempt), problem: problem() }
}

pub(super) async fn a_batch_takes_its_container_along(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let container = opened(&store).await;
    let bystander = added(&store, &container).await;
    let mut batch = added(&store, &container).await;
    let mut container = found(&store, &container).await;
    let progress = Progress { records_written: 5, ..Progress::queued() };
    let renew = Transition::Renew { attempt: 1, progress: Box::new(progress), lease: LEASE };
    let retry = Transition::Retry { attempt: 2, gained: false, problem: problem() };
    let hand_back = Transition::HandBack { attempt: 3 };
    let steps = [
        (uploaded(START), BatchPhase::Queued),
        (Transition::Sent, BatchPhase::Queued),
        (Transition::Resent, BatchPhase::Queued),
        (claim(), BatchPhase::InProgress),
        (renew, BatchPhase::InProgress),
        (Transition::Orphan, BatchPhase::Queued),
        (claim(), BatchPhase::InProgress),
        (retry, BatchPhase::Queued),
        (claim(), BatchPhase::InProgress),
        (hand_back, BatchPhase::Queued),
        (claim(), BatchPhase::InProgress),
        (matched(4), BatchPhase::Completed),
    ];
    for (second, (transition, phase)) in (1..).zip(steps) {
        let now = START.plus(std::time::Duration::from_secs(second));
        let change = batch.change(Some(&container), &transition, now).unwrap();
        batch = store.transition(&batch.reference(), &transition, now).await.unwrap();
        assert_eq!((&batch, batch.phase()), (&change.job, phase), "{transition:?}");
        assert_eq!(found(&store, &batch).await, batch);
        container = change.container.unwrap_or(container);
        assert_eq!(found(&store, &container).await, container, "{transition:?}");
        let counts = container.batches.unwrap();
        assert_eq!((counts.count(phase), counts.waiting_for_upload, counts.total()), (1, 1, 2));
    }
    assert_eq!((container.progress.records_written, container.progress.bytes_written), (10, 100));
    assert_eq!(found(&store, &bystander).await, bystander);
}

pub(super) async fn a_refused_change_of_a_batch_leaves_its_container(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let container = opened(&store).await;
    let batch = claimed(&store, &container).await;
    let before = found(&store, &container).await;
    for refused in [complete(2), fail(0), uploaded(START), claim(), Transition::Abandon] {
        let outcome = store.transition(&batch.reference(), &refused, START).await;
        assert!(matches!(outcome, Err(TransitionError::Refused(_))), "{refused:?}");
        assert_eq!(found(&store, &batch).await, batch);
        assert_eq!(found(&store, &container).await, before);
    }
}

pub(super) async fn batches_that_end_at_once_are_all_counted(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let container = opened(&store).await;
    let mut ends = Vec::new();
    for n in 0..20 {
        let batch = claimed(&store, &container).await;
        ends.push((batch, [matched(1), matched(1), fail(1), Transition::Cancel][n % 4].clone()));
    }
    store.transition(&container.reference(), &Transition::Close, START).await.unwrap();
    let early = store.transition(&container.reference(), &claim(), START).await;
    assert!(matches!(early, Err(TransitionError::Refused(Refused::BatchesPending(20)))));
    let ends =
        ends.into_iter().map(|(batch, end)| {
            let store = harness.store();
            async move {
                tokio::spawn(async move { store.transition(&batch.reference(), &end, START).await }).await
            }
        });
    let outcomes: Vec<_> = stream::iter(ends).buffer_unordered(harness.at_once()).collect().await;
    for outcome in outcomes {
        outcome.unwrap().unwrap();
    }
    let ready = found(&store, &container).await;
    let counts = ready.batches.unwrap();
    assert_eq!((counts.completed, counts.failed, counts.cancelled), (10, 5, 5));
    assert_eq!((counts.total(), counts.is_ready()), (20, true), "the last one leaves nothing to wait for");
    assert_eq!(ready.due_at, Some(START.plus(UNSENT_DUE)), "its message is due");
    assert_eq!((ready.progress.records_written, ready.progress.bytes_written), (100, 1_000));
    let sum = Counts::Append { rows: 100, matched: 70, unmatched: 20, ambiguous: 10, malformed: 0 };
    assert_eq!(ready.progress.counts, Some(sum));
    let consumed = store.consumed(&container.account, START).await.unwrap();
    assert_eq!((consumed.records, consumed.bytes), (100, 1_000));

    store.transition(&container.reference(), &claim(), START).await.unwrap();
    let done = store.transition(&container.reference(), &complete(1), START).await.unwrap();
    assert_eq!(done.state, JobState::Completed);
    let after = store.consumed(&container.account, START).await.unwrap();
    assert_eq!(after, consumed, "what its batches delivered is not delivered twice");
    assert_eq!(store.open_jobs(&container.account).await.unwrap(), 0);
}

pub(super) async fn a_batch_of_an_ended_container_can_only_be_given_up(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let (ended, gone) = (opened(&store).await, opened(&store).await);
    let mut batches = Vec::new();
    for container in [&ended, &gone] {
        batches.push(added(&store, container).await);
        batches.push(queued(&store, container).await);
        batches.push(claimed(&store, container).await);
    }
    store.transition(&ended.reference(), &Transition::Cancel, START).await.unwrap();
    store.delete(&gone.reference()).await.unwrap();
    let after = found(&store, &ended).await;
    for (n, batch) in batches.iter().enumerate() {
        let on = [uploaded(START), claim(), complete(1)][n % 3].clone();
        let outcome = store.transition(&batch.reference(), &on, START).await;
        assert!(
            matches!(outcome, Err(TransitionError::Refused(Refused::State(JobState::Cancelled)))),
            "{outcome:?}"
        );
        assert_eq!(found(&store, batch).await, *batch);
        let given_up = store.transition(&batch.reference(), &Transition::Cancel, START).await.unwrap();
        assert_eq!(given_up.state, JobState::Cancelled);
        assert_eq!(found(&store, batch).await, given_up);
    }
    assert_eq!(found(&store, &ended).await, after, "it has ended as it was");
    assert_eq!(store.get(&gone.reference()).await.unwrap(), None, "and what is gone stays gone");
    assert_eq!(store.consumed(&account("acme"), START).await.unwrap().records, 0);
}

pub(super) async fn a_container_ends_before_or_after_each_of_its_batches(harness: &impl JobStoreHarness) {
    for _ in 0..5 {
        let store = harness.store();
        let container = opened(&store).await;
        let mut ends = vec![(container.reference(), Transition::Cancel)];
        for _ in 0..6 {
            ends.push((claimed(&store, &container).await.reference(), complete(1)));
        }
        ends.swap(0, 3);
        let ends = ends.into_iter().map(|(job, end)| {
            let store = harness.store();
            async move { tokio::spawn(async move { store.transition(&job, &end, START).await }).await }
        });
        let outcomes: Vec<_> = stream::iter(ends).buffer_unordered(harness.at_once()).collect().await;
        let mut completed = 0;
        for outcome in outcomes {
            match outcome.unwrap() {
                Ok(job) if job.id == container.id => assert_eq!(job.state, JobState::Cancelled),
                Ok(batch) => {
                    assert_eq!(batch.state, JobState::Completed);
                    completed += 1;
                }
                Err(TransitionError::Refused(Refused::State(JobState::Cancelled))) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        let after = found(&store, &container).await;
        assert_eq!(after.state, JobState::Cancelled);
        assert_eq!(after.batches.unwrap().completed, completed, "it counts what completed before it ended");
        let batches = store.batches(&container.reference(), None, 10).await.unwrap().jobs;
        let done = |batch: &&Job| batch.state == JobState::Completed;
        assert_eq!(batches.iter().filter(done).count(), completed as usize);
    }
}

pub(super) async fn a_batch_waits_among_the_jobs_of_its_account(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let container = opened(&store).await;
    let batches = [queued(&store, &container).await, queued(&store, &container).await];
    let waiting = added(&store, &container).await;
    let job = job("acme");
    store.insert(&job, MANY).await.unwrap();
    let position = async |job: &Job| store.queue_position(&job.reference()).await.unwrap();
    assert_eq!(position(&container).await, None, "no worker takes what is open");
    assert_eq!(position(&waiting).await, None);
    // A store that cannot tell cheaply tells nothing, of any job.
    let positions = [position(&batches[0]).await, position(&batches[1]).await, position(&job).await];
    if positions.iter().all(Option::is_none) {
        return;
    }
    assert_eq!(positions, [Some(0), Some(1), Some(2)]);
}

pub(super) async fn a_batch_that_was_added_while_its_container_closed_is_counted_or_refused(
    harness: &impl JobStoreHarness,
) {
    let store = harness.store();
    let container = opened(&store).await;
    let adds = (0..10).map(|n| {
        let (store, container) = (harness.store(), container.clone());
        async move {
            tokio::spawn(async move {
                if n == 5 {
                    store.transition(&container.reference(), &Transition::Close, START).await.unwrap();
                    return false;
                }
                let batch = batch_at(&container, START);
                store.add_batch(&super::batches::plain(batch)).await.is_ok()
            })
            .await
        }
    });
    let outcomes: Vec<_> = stream::iter(adds).buffer_unordered(harness.at_once()).collect().await;
    let made = outcomes.into_iter().filter(|made| *made.as_ref().unwrap()).count();
    let counts = found(&store, &container).await.batches.unwrap();
    assert_eq!((counts.total() as usize, counts.closed), (made, true));
    assert_eq!(store.batches(&container.reference(), None, 50).await.unwrap().jobs.len(), made);
}
