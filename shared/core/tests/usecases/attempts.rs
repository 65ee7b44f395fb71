//! Attempts: messages that come twice, failures, stalls and shutdowns, and what ends a job.

use futures::future::join_all;
use willcall_conformance::samples;
use willcall_core::{job::Stage, ports::NewBatch};

use super::*;

#[tokio::test]
async fn the_job_is_stored_even_if_its_message_cannot_be_sent() {
    let world = World::delivering();
    world.queue.set_broken(true);
    let job = world.submit().await;
    world.queue.set_broken(false);
    assert_eq!(world.queue.receive(), None);
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(sweep(&world.app).await.unwrap(), Swept::default(), "not due yet");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(sweep(&world.app).await.unwrap(), Swept { resent: 1, ..Swept::default() });
    assert_eq!(world.queue.receive(), Some(job.clone()));
    assert_eq!(sweep(&world.app).await.unwrap(), Swept::default(), "a backlog is not sent again at once");
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert_eq!(world.job(&job).await.state, JobState::Completed);
}

#[tokio::test]
async fn a_message_that_comes_again_does_nothing() {
    let world = World::delivering();
    let job = world.submit().await;
    for _ in 0..3 {
        assert_eq!(world.work(&job).await, Disposition::Done);
    }
    assert_eq!(world.executor.tasks().len(), 1);
    let stranger = JobRef { account: job.account, job: JobId::generate() };
    assert_eq!(world.work(&stranger).await, Disposition::Done);
}

#[tokio::test]
async fn two_workers_at_once_do_the_work_once() {
    let world = World::new([Script::UntilCancelled]);
    let job = world.submit().await;
    let shutdown = CancellationToken::new();
    let first = world.begin(&job, &shutdown).await;
    assert_eq!(world.work(&job).await, Disposition::Done, "leased by another");
    assert_eq!(world.executor.tasks().len(), 1);
    shutdown.cancel();
    first.await.unwrap();
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_and_leaves_nothing() {
    let world = World::new([Script::Transient(problem()), Script::Deliver(vec!["{}".into()])]);
    let job = world.submit().await;
    assert_eq!(world.work(&job).await, Disposition::RetryAfter(Duration::from_secs(2)));
    assert_eq!(world.job(&job).await.state, JobState::Accepted);
    assert_eq!(world.work(&job).await, Disposition::Done);
    let done = world.job(&job).await;
    assert_eq!((done.state, done.result.unwrap().attempt), (JobState::Completed, 2));
}

#[tokio::test]
async fn the_last_failure_is_the_jobs() {
    let world = World::new([Script::Transient(problem())]);
    let job = world.submit().await;
    for _ in 1..MAX_ATTEMPTS {
        assert!(matches!(world.work(&job).await, Disposition::RetryAfter(_)));
    }
    assert_eq!(world.work(&job).await, Disposition::Done);
    let failed = world.job(&job).await;
    assert_eq!((failed.state, failed.error), (JobState::Failed, Some(problem())));
    assert!(!world.has_files_of(&job));
}

#[tokio::test]
async fn a_fatal_failure_is_final_at_once() {
    let world = World::new([Script::Fatal(problem())]);
    let job = world.submit().await;
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert_eq!(world.job(&job).await.error, Some(problem()));
}

#[tokio::test]
async fn a_panic_in_the_work_is_a_failed_attempt() {
    let world = World::new([Script::Panic, Script::Deliver(vec!["{}".into()])]);
    let job = world.submit().await;
    assert!(matches!(world.work(&job).await, Disposition::RetryAfter(_)));
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert_eq!(world.job(&job).await.state, JobState::Completed);
}

#[tokio::test]
async fn a_full_store_fails_the_job_with_that_reason() {
    let world = World::delivering();
    let job = world.submit().await;
    world.blobs.set_full(true);
    for _ in 0..MAX_ATTEMPTS {
        world.work(&job).await;
    }
    let failed = world.job(&job).await;
    assert_eq!(failed.state, JobState::Failed);
    assert_eq!(failed.error.unwrap().kind, ProblemType::Unavailable);
    assert!(!world.has_files_of(&job));
}

#[tokio::test]
async fn cancel_stops_the_work_and_leaves_no_file() {
    let world = World::new([Script::UntilCancelled]);
    let job = world.submit().await;
    let running = world.begin(&job, &CancellationToken::new()).await;
    let view = jobs::cancel(&world.app, &world.caller(), job.job).await.unwrap();
    assert_eq!(view.job.state, JobState::Cancelled);
    assert_eq!(running.await.unwrap(), Disposition::Done);
    assert!(!world.has_files_of(&job));
    jobs::cancel(&world.app, &world.caller(), job.job).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_stalls_past_its_lease_and_wakes_harms_nobody() {
    let world = World::delivering();
    let job = world.submit().await;
    // The first worker claims, and is not heard of again.
    let claim = willcall_core::job::Transition::Claim { lease: Duration::from_secs(30), max_lost: 2 };
    world.jobs.transition(&job, &claim, world.app.clock.now()).await.unwrap();
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(sweep(&world.app).await.unwrap().resent, 1);
    assert_eq!(world.work(&job).await, Disposition::Done);
    let done = world.job(&job).await;
    assert_eq!((done.state, done.attempt, done.lost), (JobState::Completed, 2, 1));
    // It wakes, and tries to say that it is done.
    let late = willcall_core::job::Transition::Complete {
        attempt: 1,
        result: Box::new(done.result.clone().unwrap()),
        records_found: None,
        records_requested: None,
        counts: None,
        survey: None,
        day: None,
    };
    assert!(world.jobs.transition(&job, &late, world.app.clock.now()).await.is_err());
    assert_eq!(world.job(&job).await, done);
}

#[tokio::test]
async fn a_worker_that_cannot_reach_the_store_stops_by_itself() {
    let world = World::new([Script::UntilCancelled]);
    let job = world.submit().await;
    let running = world.begin(&job, &CancellationToken::new()).await;
    world.jobs.break_with(Some("unplugged"));
    assert_eq!(running.await.unwrap(), Disposition::Done);
    world.jobs.break_with(None);
    assert_eq!(
        world.job(&job).await.state,
        JobState::Processing,
        "the lease runs out, and the sweeper wakes another"
    );
}

#[tokio::test]
async fn a_shutdown_hands_the_job_back_at_no_cost() {
    let world = World::new([Script::UntilCancelled, Script::Deliver(vec!["{}".into()])]);
    let job = world.submit().await;
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    assert_eq!(work(&world.worker(), &job, &shutdown).await, Disposition::RetryAfter(Duration::ZERO));
    let back = world.job(&job).await;
    assert_eq!((back.state, back.failures, back.lost), (JobState::Accepted, 0, 0));
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert_eq!(world.job(&job).await.state, JobState::Completed);
}

#[tokio::test]
async fn a_job_that_loses_every_worker_is_given_up() {
    let world = World::delivering();
    let job = world.submit().await;
    let claim = willcall_core::job::Transition::Claim { lease: Duration::from_secs(30), max_lost: 2 };
    for _ in 0..3 {
        world.jobs.transition(&job, &claim, world.app.clock.now()).await.unwrap();
        world.clock.advance(Duration::from_secs(31));
    }
    assert_eq!(world.work(&job).await, Disposition::Done);
    let failed = world.job(&job).await;
    assert_eq!(failed.state, JobState::Failed);
    assert!(world.executor.tasks().is_empty());
}

#[tokio::test]
async fn a_job_of_seconds_is_seen_at_work() {
    let world = World::new([Script::UntilCancelled]);
    let job = world.submit().await;
    let lease = LeaseSettings { renew_every: Duration::from_secs(6), ..LeaseSettings::default() };
    let worker = Worker { lease, ..world.worker() };
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (job, shutdown) = (job.clone(), shutdown.clone());
        async move { work(&worker, &job, &shutdown).await }
    });
    let seen = tokio::time::timeout(Duration::from_secs(5), async {
        while world.job(&job).await.progress.stage != Stage::Writing {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(seen.await.is_ok(), "the first renewal comes before a whole pause between two");
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn batches_that_run_at_once_together_deliver_what_their_job_may_and_no_more() {
    let world = World::new([Script::Deliver(vec!["{}".into(); 4])]);
    let container = Job { max_records: Some(10), ..samples::container_at("acme", START) };
    world.jobs.insert(&container, 3).await.unwrap();
    let mut run = Vec::new();
    for _ in 0..3 {
        let batch = samples::batch_at(&container, START);
        run.push(batch.reference());
        world.jobs.add_batch(&NewBatch { batch, key: None }).await.unwrap();
        world.jobs.transition(&run[run.len() - 1], &samples::uploaded(START), START).await.unwrap();
    }
    // All are told of the ten before any has completed; two of them fit whole.
    let dispositions = join_all(run.iter().map(|batch| world.work(batch))).await;
    let late = dispositions.iter().position(|one| *one == Disposition::RetryAfter(Duration::ZERO)).unwrap();
    assert_eq!(dispositions.iter().filter(|one| **one == Disposition::Done).count(), 2, "{dispositions:?}");
    let late = &run[late];
    let waits = world.job(late).await;
    assert_eq!((waits.state, waits.failures, waits.lost), (JobState::Accepted, 0, 0));
    assert!(waits.result.is_none() && !world.has_files_of(late), "nothing is left of what was too much");
    assert_eq!(world.job(&container.reference()).await.progress.records_written, 8);
    assert_eq!(world.work(late).await, Disposition::Done);
    let done = world.job(late).await;
    let result = done.result.unwrap();
    assert_eq!((done.state, done.attempt, result.records), (JobState::Completed, 2, 2));
    assert_eq!(result.truncated.unwrap().limit, 2);
    assert_eq!(world.job(&container.reference()).await.progress.records_written, 10);
}
