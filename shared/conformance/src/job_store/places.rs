//! Places for open jobs, and the place in the queue.

use futures::future::join_all;
use willcall_core::{
    job::{Job, Transition},
    ports::InsertError,
};

use super::JobStoreHarness;
use crate::samples::{START, account, claim, complete, job, problem};

const MANY: u32 = 1_000;

async fn insert_many(harness: &impl JobStoreHarness, count: usize, limit: u32) -> Vec<Job> {
    let inserts = (0..count).map(|_| {
        let (store, job) = (harness.store(), job("acme"));
        tokio::spawn(async move { (store.insert(&job, limit).await, job) })
    });
    let mut made = Vec::new();
    for outcome in join_all(inserts).await {
        match outcome.unwrap() {
            (Ok(()), job) => made.push(job),
            (Err(InsertError::TooManyOpenJobs), _) => {}
            (Err(other), _) => panic!("{other:?}"),
        }
    }
    made
}

pub(super) async fn concurrent_inserts_never_exceed_the_limit(harness: &impl JobStoreHarness) {
    let made = insert_many(harness, 64, 10).await;
    assert_eq!(made.len(), 10, "every place is taken, and not one more");
    let store = harness.store();
    assert_eq!(store.open_jobs(&account("acme")).await.unwrap(), 10);
    assert!(matches!(store.insert(&job("acme"), 10).await, Err(InsertError::TooManyOpenJobs)));
    for job in &made[..3] {
        store.transition(&job.reference(), &Transition::Cancel, START).await.unwrap();
    }
    assert_eq!(insert_many(harness, 64, 10).await.len(), 3, "three places were freed");
}

pub(super) async fn a_limit_that_was_lowered_holds_for_those_who_come_then(harness: &impl JobStoreHarness) {
    let made = insert_many(harness, 12, 12).await;
    assert_eq!(made.len(), 12);
    let store = harness.store();
    let end = async |jobs: &[Job]| {
        for job in jobs {
            store.transition(&job.reference(), &Transition::Cancel, START).await.unwrap();
        }
    };
    assert!(insert_many(harness, 8, 4).await.is_empty(), "there are more than the limit by now");
    end(&made[..8]).await;
    assert!(insert_many(harness, 8, 4).await.is_empty(), "there are as many, whatever places they have");
    end(&made[8..10]).await;
    assert!(insert_many(harness, 16, 4).await.len() <= 2, "two more at most");
    assert!(store.open_jobs(&account("acme")).await.unwrap() <= 4);
    end(&made[10..]).await;
    insert_many(harness, 16, 4).await;
    assert_eq!(
        store.open_jobs(&account("acme")).await.unwrap(),
        4,
        "once those have ended, all that the limit allows"
    );
}

pub(super) async fn an_ended_or_deleted_job_frees_its_place(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let fail = Transition::Fail { attempt: Some(1), problem: problem() };
    for end in [complete(1), fail, Transition::Cancel] {
        let open = job("acme");
        store.insert(&open, 1).await.unwrap();
        store.transition(&open.reference(), &claim(), START).await.unwrap();
        assert!(
            matches!(store.insert(&job("acme"), 1).await, Err(InsertError::TooManyOpenJobs)),
            "a job in work has its place still"
        );
        store.transition(&open.reference(), &end, START).await.unwrap();
        assert_eq!(store.open_jobs(&open.account).await.unwrap(), 0, "{end:?}");
    }
    let open = job("acme");
    store.insert(&open, 1).await.unwrap();
    assert!(store.delete(&open.reference()).await.unwrap());
    let next = job("acme");
    store.insert(&next, 1).await.unwrap();
    store.transition(&next.reference(), &Transition::Cancel, START).await.unwrap();
    assert!(store.delete(&next.reference()).await.unwrap(), "a place is not freed twice");
    assert_eq!(store.open_jobs(&next.account).await.unwrap(), 0);
    assert_eq!(insert_many(harness, 8, 1).await.len(), 1);
}

pub(super) async fn limits_are_by_account(harness: &impl JobStoreHarness) {
    let store = harness.store();
    store.insert(&job("acme"), 1).await.unwrap();
    store.insert(&job("other"), 1).await.unwrap();
    assert!(matches!(store.insert(&job("acme"), 0).await, Err(InsertError::TooManyOpenJobs)));
    store.insert(&job("acme"), 2).await.unwrap();
}

pub(super) async fn open_jobs_are_counted(harness: &impl JobStoreHarness) {
    let store = harness.store();
    assert_eq!(store.open_jobs(&account("acme")).await.unwrap(), 0);
    let jobs = [job("acme"), job("acme"), job("acme")];
    for job in &jobs {
        store.insert(job, MANY).await.unwrap();
    }
    store.transition(&jobs[0].reference(), &claim(), START).await.unwrap();
    assert_eq!(store.open_jobs(&account("acme")).await.unwrap(), 3);
    store.transition(&jobs[0].reference(), &Transition::HandBack { attempt: 1 }, START).await.unwrap();
    assert_eq!(store.open_jobs(&account("acme")).await.unwrap(), 3);
    store.transition(&jobs[1].reference(), &Transition::Cancel, START).await.unwrap();
    store.transition(&jobs[1].reference(), &Transition::Purged, START).await.unwrap();
    assert_eq!(store.open_jobs(&account("acme")).await.unwrap(), 2);
}

pub(super) async fn queue_position_counts_what_is_taken_before(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let jobs = [job("acme"), job("acme"), job("acme")];
    for job in &jobs {
        store.insert(job, MANY).await.unwrap();
    }
    let mut positions = Vec::new();
    for job in &jobs {
        positions.push(store.queue_position(&job.reference()).await.unwrap());
    }
    // A store that cannot tell cheaply tells nothing, of any job.
    if positions.iter().all(Option::is_none) {
        return;
    }
    assert_eq!(positions, [Some(0), Some(1), Some(2)]);
    store.transition(&jobs[0].reference(), &claim(), START).await.unwrap();
    assert_eq!(store.queue_position(&jobs[0].reference()).await.unwrap(), None, "it does not wait");
    assert_eq!(store.queue_position(&jobs[2].reference()).await.unwrap(), Some(1));
}
