//! Accounts take turns: the order in which jobs are received, and what a job is told of its place in it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use willcall_conformance::samples::{START, batch_at, claim, container_at, job, uploaded};
use willcall_core::{
    JobRef,
    job::{Job, JobKind},
    ports::{JobQueue, ManualClock, NewBatch},
};
use willcall_embedded::{Embedded, EmbeddedConfig, Handled, run_workers};

const HOUR: Duration = Duration::from_secs(3_600);

/// Inserts and sends jobs of the account, in the order of the answer.
async fn submit(embedded: &Embedded, account: &str, count: usize) -> Vec<JobRef> {
    submit_as(embedded, account, JobKind::Query, count).await
}

async fn submit_as(embedded: &Embedded, account: &str, kind: JobKind, count: usize) -> Vec<JobRef> {
    let (jobs, queue) = (embedded.app_parts().jobs, embedded.queue());
    let all: Vec<_> = (0..count).map(|_| Job { kind, ..job(account) }).collect();
    let inserts = all.iter().map(|job| jobs.insert(job, u32::MAX));
    let inserted: Vec<_> = stream::iter(inserts).buffer_unordered(1_000).collect().await;
    assert!(inserted.iter().all(Result::is_ok));
    for job in &all {
        queue.send(&job.reference(), Duration::ZERO).await.unwrap();
    }
    all.iter().map(|job| job.reference()).collect()
}

async fn open() -> (tempfile::TempDir, Embedded) {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { clock: Arc::new(ManualClock::new(START)) };
    let embedded = Embedded::open(dir.path(), config).await.unwrap();
    (dir, embedded)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_jobs_of_one_account_do_not_delay_anothers_one() {
    let (_dir, embedded) = open().await;
    let (jobs, queue) = (embedded.app_parts().jobs, embedded.queue());
    let many = submit(&embedded, "many", 9_999).await;
    // Some of the many were received before the one comes.
    for _ in 0..3 {
        let message = queue.receive(START, HOUR).unwrap();
        jobs.transition(&message.job, &claim(), START).await.unwrap();
    }
    let one = submit(&embedded, "one", 1).await.remove(0);
    assert_eq!(jobs.queue_position(&one).await.unwrap(), Some(0));
    let last = jobs.queue_position(many.last().unwrap()).await.unwrap();
    assert_eq!(last, Some(9_995 + 1), "all of its own before it, and the other's one");
    let received: Vec<JobRef> = (0..2).map(|_| queue.receive(START, HOUR).unwrap().job).collect();
    assert!(received.contains(&one), "the one waits for one job at most");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jobs_place_is_told_as_it_is_received_but_for_one_turn_of_each_other_account() {
    let (_dir, embedded) = open().await;
    let (store, queue) = (embedded.app_parts().jobs, embedded.queue());
    let mut jobs = Vec::new();
    for (account, count) in [("a", 7), ("b", 2), ("c", 4), ("a", 3), ("d", 1)] {
        jobs.extend(submit(&embedded, account, count).await);
    }
    let mut told = Vec::new();
    for job in &jobs {
        told.push((job.clone(), store.queue_position(job).await.unwrap().unwrap()));
    }
    let mut order = Vec::new();
    while let Some(message) = queue.receive(START, HOUR) {
        order.push(message.job);
    }
    assert_eq!(order.len(), jobs.len());
    for (job, position) in told {
        let before = order.iter().position(|received| *received == job).unwrap() as u64;
        assert!((position..=position + 3).contains(&before), "told {position}, and {before} came before");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_containers_many_batches_do_not_delay_anothers_one_job() {
    let (_dir, embedded) = open().await;
    let (jobs, queue) = (embedded.app_parts().jobs, embedded.queue());
    let container = container_at("many", START);
    jobs.insert(&container, 10).await.unwrap();
    let mut batches = Vec::new();
    for _ in 0..200 {
        let batch = batch_at(&container, START);
        jobs.add_batch(&NewBatch { batch: batch.clone(), key: None }).await.unwrap();
        jobs.transition(&batch.reference(), &uploaded(START), START).await.unwrap();
        queue.send(&batch.reference(), Duration::ZERO).await.unwrap();
        batches.push(batch.reference());
    }
    let own = submit(&embedded, "many", 1).await.remove(0);
    let one = submit(&embedded, "one", 1).await.remove(0);
    assert_eq!(jobs.queue_position(&one).await.unwrap(), Some(0));
    assert_eq!(jobs.queue_position(&batches[150]).await.unwrap(), Some(150 + 1));
    assert_eq!(jobs.queue_position(&own).await.unwrap(), Some(200 + 1), "they wait before its own");
    let received: Vec<JobRef> = (0..2).map(|_| queue.receive(START, HOUR).unwrap().job).collect();
    assert!(received.contains(&one), "batches take their account's turn, and no turns of their own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accounts_long_jobs_leave_a_worker_for_anothers_one() {
    let (_dir, embedded) = open().await;
    submit(&embedded, "long", 20).await;
    let (started, mut running) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |job: JobRef, token: CancellationToken| {
        let started = started.clone();
        async move {
            let long = job.account.as_str() == "long";
            started.send(job).unwrap();
            if long {
                token.cancelled().await;
            }
            Handled::Done
        }
    };
    let shutdown = CancellationToken::new();
    let workers = tokio::spawn(run_workers(embedded.queue(), 4, handler, shutdown.clone(), HOUR));
    for _ in 0..3 {
        assert_eq!(running.recv().await.unwrap().account.as_str(), "long");
    }
    let fourth = tokio::time::timeout(Duration::from_millis(200), running.recv()).await;
    assert!(fourth.is_err(), "the last worker is left to the others");
    // One after the other, each at once.
    for _ in 0..3 {
        let one = submit(&embedded, "one", 1).await.remove(0);
        let next = tokio::time::timeout(Duration::from_secs(30), running.recv()).await;
        assert_eq!(next.unwrap(), Some(one));
    }
    shutdown.cancel();
    assert_eq!(workers.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_many_accounts_that_hang_keep_no_other_job_waiting() {
    let (_dir, embedded) = open().await;
    for account in ["a", "b", "c", "d"] {
        submit_as(&embedded, account, JobKind::Call, 4).await;
    }
    let (started, mut running) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |job: JobRef, token: CancellationToken| {
        let started = started.clone();
        async move {
            let hangs = job.account.as_str() != "one";
            started.send(job).unwrap();
            if hangs {
                token.cancelled().await;
            }
            Handled::Done
        }
    };
    let shutdown = CancellationToken::new();
    let workers = tokio::spawn(run_workers(embedded.queue(), 2, handler, shutdown.clone(), HOUR));
    let mut hanging = Vec::new();
    for _ in 0..2 {
        hanging.push(running.recv().await.unwrap());
    }
    assert_ne!(hanging[0].account, hanging[1].account, "no account has all");
    let third = tokio::time::timeout(Duration::from_millis(200), running.recv()).await;
    assert!(third.is_err(), "calls are no more than they have workers");
    let (queue, jobs) = (embedded.queue(), embedded.app_parts().jobs);
    assert!(queue.is_awaited(&hanging[0]), "other calls wait for its worker");
    for before in 0..2 {
        let one = submit(&embedded, "one", 1).await.remove(0);
        let next = tokio::time::timeout(Duration::from_secs(30), running.recv()).await;
        assert_eq!(next.unwrap(), Some(one.clone()));
        assert_eq!(jobs.queue_position(&one).await.unwrap(), Some(before), "calls are not before it");
    }
    shutdown.cancel();
    assert_eq!(workers.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_other_workers_makes_no_job_make_way() {
    let (_dir, embedded) = open().await;
    let queue = embedded.queue();
    let call = submit_as(&embedded, "a", JobKind::Call, 1).await.remove(0);
    let held = queue.receive(START, HOUR).unwrap();
    assert_eq!(held.job, call);
    submit(&embedded, "b", 3).await;
    assert!(!queue.is_awaited(&call), "they have workers of their own");
    let query = queue.receive(START, HOUR).unwrap();
    assert!(queue.is_awaited(&query.job));
    let more = submit_as(&embedded, "b", JobKind::Call, 1).await.remove(0);
    assert!(queue.is_awaited(&call));
    assert!(!queue.is_awaited(&more), "nobody does it yet");
    queue.acknowledge(&held);
    assert!(!queue.is_awaited(&call));
}
