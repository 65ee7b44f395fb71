//! Attempts: messages that come twice, failures, stalls and shutdowns, and what ends a job.

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
