//! What jobs deliver in a day, and that no more is added than the limits allow.

use std::time::Duration;

use futures::future::join_all;
use willcall_core::{
    Timestamp,
    job::{DailyLimits, Job, JobState, Refused, Transition},
    ports::{Consumed, TransitionError},
};

use super::JobStoreHarness;
use crate::samples::{START, account, claim, complete, job, job_at, problem};

const MANY: u32 = 10_000;
const DAY: Duration = Duration::from_secs(86_400);

pub(super) async fn what_jobs_deliver_is_added_to_the_day_once(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let end = Timestamp::from_millis((START.day() + 1) * 86_400_000).minus(Duration::from_secs(1));
    let run = async |at: Timestamp| {
        let job = job_at("acme", at);
        store.insert(&job, MANY).await.unwrap();
        store.transition(&job.reference(), &claim(), at).await.unwrap();
        store.transition(&job.reference(), &complete(1), at).await.unwrap();
        assert!(store.transition(&job.reference(), &complete(1), at).await.is_err());
        job.reference()
    };
    let delivered = async |at| {
        let consumed = store.consumed(&account("acme"), at).await.unwrap();
        (consumed.records, consumed.bytes)
    };
    assert_eq!(delivered(end).await, (0, 0));
    run(end).await;
    let kept = run(end).await;
    assert_eq!(delivered(end).await, (20, 200));
    run(end.plus(Duration::from_secs(1))).await;
    assert_eq!(delivered(end).await, (20, 200), "midnight begins another day");
    assert_eq!(delivered(end.plus(DAY)).await, (10, 100));
    store.transition(&kept, &Transition::Expire, end).await.unwrap();
    store.delete(&kept).await.unwrap();
    let failed = job("acme");
    store.insert(&failed, MANY).await.unwrap();
    store
        .transition(&failed.reference(), &Transition::Fail { attempt: None, problem: problem() }, end)
        .await
        .unwrap();
    assert_eq!(delivered(end).await, (20, 200), "what was delivered stays, and nothing else counts");
    assert_eq!(store.consumed(&account("other"), end).await.unwrap(), Consumed::default());
}

pub(super) async fn jobs_that_complete_at_once_are_all_added(harness: &impl JobStoreHarness) {
    let mut jobs = Vec::new();
    for _ in 0..12 {
        let job = job("acme");
        harness.store().insert(&job, MANY).await.unwrap();
        harness.store().transition(&job.reference(), &claim(), START).await.unwrap();
        jobs.push(job.reference());
    }
    let ends = jobs.into_iter().map(|job| {
        let store = harness.store();
        tokio::spawn(async move { store.transition(&job, &complete(1), START).await })
    });
    for end in join_all(ends).await {
        end.unwrap().unwrap();
    }
    let consumed = harness.store().consumed(&account("acme"), START).await.unwrap();
    assert_eq!((consumed.records, consumed.bytes), (120, 1_200));
}

/// A job with these limits that a worker has claimed.
async fn claimed(harness: &impl JobStoreHarness, daily: DailyLimits) -> Job {
    let (store, job) = (harness.store(), Job { daily, ..job("acme") });
    store.insert(&job, MANY).await.unwrap();
    store.transition(&job.reference(), &claim(), START).await.unwrap()
}

/// The end of the first attempt with so many records of ten bytes, told that the day had `day`.
fn delivering(records: u64, day: Consumed) -> Transition {
    let Transition::Complete { attempt, mut result, records_found, records_requested, .. } = complete(1)
    else {
        unreachable!();
    };
    (result.records, result.bytes) = (records, records * 10);
    let day = Some(day);
    Transition::Complete {
        attempt,
        result,
        records_found,
        records_requested,
        counts: None,
        survey: None,
        day,
    }
}

fn is_used_up<T>(outcome: &Result<T, TransitionError>) -> bool {
    matches!(outcome, Err(TransitionError::Refused(Refused::DayUsedUp)))
}

pub(super) async fn jobs_that_complete_at_once_never_exceed_the_days_records(harness: &impl JobStoreHarness) {
    let limits = DailyLimits { records: Some(35), bytes: Some(1_000_000) };
    let mut jobs = Vec::new();
    for _ in 0..12 {
        jobs.push(claimed(harness, limits).await);
    }
    let ends = jobs.iter().map(|job| {
        let (store, job) = (harness.store(), job.reference());
        tokio::spawn(async move { store.transition(&job, &delivering(10, Consumed::default()), START).await })
    });
    let mut late = Vec::new();
    for (job, end) in jobs.iter().zip(join_all(ends).await) {
        match end.unwrap() {
            Ok(done) => assert_eq!(done.state, JobState::Completed),
            refused => {
                assert!(is_used_up(&refused), "{refused:?}");
                late.push(job);
            }
        }
    }
    let (store, acme) = (harness.store(), account("acme"));
    assert_eq!(late.len(), 9);
    assert_eq!(store.open_jobs(&acme).await.unwrap(), 9);
    for job in &late {
        assert_eq!(store.get(&job.reference()).await.unwrap().as_ref(), Some(*job), "nothing is written");
    }
    let day = store.consumed(&acme, START).await.unwrap();
    assert_eq!((day.records, day.bytes), (30, 300));
    let over = store.transition(&late[0].reference(), &delivering(6, Consumed::default()), START).await;
    assert!(is_used_up(&over), "not by one");
    store.transition(&late[0].reference(), &delivering(5, day), START).await.unwrap();
    let empty = store.transition(&late[1].reference(), &delivering(0, day), START).await.unwrap();
    assert_eq!(empty.state, JobState::Completed, "nothing always fits");
    let day = store.consumed(&acme, START).await.unwrap();
    assert_eq!((day.records, day.bytes), (35, 350));
    let free = claimed(harness, DailyLimits::default()).await;
    store.transition(&free.reference(), &delivering(100, day), START).await.unwrap();
}

pub(super) async fn the_last_piece_alone_may_pass_the_days_bytes(harness: &impl JobStoreHarness) {
    let limits = DailyLimits { records: None, bytes: Some(150) };
    let (first, second) = (claimed(harness, limits).await, claimed(harness, limits).await);
    let store = harness.store();
    // Both were told that all is left, and end with the piece that reaches it.
    store.transition(&first.reference(), &delivering(16, Consumed::default()), START).await.unwrap();
    let refused = store.transition(&second.reference(), &delivering(16, Consumed::default()), START).await;
    assert!(is_used_up(&refused));
    let day = store.consumed(&account("acme"), START).await.unwrap();
    assert_eq!(day.bytes, 160);
    // What stands around no record at all has bytes too.
    store.transition(&second.reference(), &delivering(1, day), START).await.unwrap();
    assert_eq!(store.consumed(&account("acme"), START).await.unwrap().bytes, 170);
}

pub(super) async fn midnight_makes_room(harness: &impl JobStoreHarness) {
    let limits = DailyLimits { records: Some(10), bytes: None };
    let (first, second) = (claimed(harness, limits).await, claimed(harness, limits).await);
    let store = harness.store();
    store.transition(&first.reference(), &delivering(10, Consumed::default()), START).await.unwrap();
    let late = delivering(10, Consumed::default());
    let used_up = store.transition(&second.reference(), &late, START).await;
    assert!(is_used_up(&used_up));
    let tomorrow = START.plus(START.left_of_day());
    store.transition(&second.reference(), &late, tomorrow).await.unwrap();
    assert_eq!(store.consumed(&account("acme"), START).await.unwrap().records, 10);
    assert_eq!(store.consumed(&account("acme"), tomorrow).await.unwrap().records, 10);
}
