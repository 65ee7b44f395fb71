//! What dead attempts leave behind.

use bytes::Bytes;
use willcall_core::{
    job::{SWEEP_AFTER_END, Transition},
    ports::Clock,
};

use super::*;

fn part(job: &JobRef, attempt: u32) -> BlobKey {
    BlobKey::Result { job: job.clone(), attempt, file: "result.json".into() }
}

impl World {
    /// An attempt whose worker dies after it has written a file, and whose lease then runs out.
    async fn die(&self, job: &JobRef, attempt: u32) {
        let claim = Transition::Claim { lease: Duration::from_secs(30), max_lost: 2 };
        self.jobs.transition(job, &claim, self.clock.now()).await.unwrap();
        self.leave(job, attempt).await;
        self.clock.advance(Duration::from_secs(31));
    }

    async fn leave(&self, job: &JobRef, attempt: u32) {
        let bytes = Bytes::from_static(b"half");
        self.app.blobs.put(&part(job, attempt), "application/json", bytes).await.unwrap();
    }

    fn attempts_with_files(&self, job: &JobRef) -> Vec<String> {
        let prefix = format!("results/{job}/");
        let keys = self.blobs.keys();
        let mut found: Vec<String> = keys
            .iter()
            .filter_map(|key| Some(key.strip_prefix(&prefix)?.split('/').next()?.to_owned()))
            .collect();
        found.dedup();
        found
    }
}

#[tokio::test]
async fn what_dead_attempts_wrote_is_swept_once_another_has_completed() {
    let world = World::delivering();
    let job = world.submit().await;
    world.die(&job, 1).await;
    world.die(&job, 2).await;
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert_eq!(world.attempts_with_files(&job), ["3"], "the worker that completes removes what there is");
    // As if it had died before that, or a writer came late.
    world.leave(&job, 1).await;
    world.leave(&job, 2).await;
    assert_eq!(sweep(&world.app).await.unwrap(), Swept::default(), "late ones have their time");
    world.clock.advance(SWEEP_AFTER_END);
    let swept = sweep(&world.app).await.unwrap();
    assert_eq!(swept, Swept { purged: 1, ..Swept::default() });
    assert_eq!(world.attempts_with_files(&job), ["3"]);
    let done = world.job(&job).await;
    assert_eq!(
        (done.state, done.due_at),
        (JobState::Completed, done.expires),
        "nothing is left but to expire"
    );
    assert_eq!(sweep(&world.app).await.unwrap(), Swept::default());
    assert!(results::manifest(&world.app, &world.caller(), job.job).await.is_ok());
}

#[tokio::test]
async fn what_dead_attempts_of_a_failed_job_wrote_is_swept() {
    let world = World::new([Script::Fatal(Problem::new(ProblemType::EngineFailed, "broken"))]);
    let job = world.submit().await;
    world.die(&job, 1).await;
    assert_eq!(world.work(&job).await, Disposition::Done);
    assert_eq!(world.job(&job).await.state, JobState::Failed);
    assert_eq!(world.attempts_with_files(&job), ["1"]);
    world.clock.advance(SWEEP_AFTER_END);
    assert_eq!(sweep(&world.app).await.unwrap().purged, 1);
    assert!(!world.has_files_of(&job));
}

#[tokio::test]
async fn a_job_that_the_first_attempt_completed_is_not_looked_at_before_it_expires() {
    let world = World::delivering();
    let job = world.submit().await;
    world.work(&job).await;
    let done = world.job(&job).await;
    assert_eq!(done.due_at, done.expires);
}

#[tokio::test]
async fn clocks_that_jump_lose_no_job() {
    let world = World::delivering();
    let job = world.submit().await;
    // A day back, between the submit and its work: what is due by the record is due later, and is not lost.
    world.clock.set(START.minus(DAY));
    assert_eq!(sweep(&world.app).await.unwrap(), Swept::default());
    let claim = Transition::Claim { lease: Duration::from_secs(30), max_lost: 2 };
    let claimed = world.jobs.transition(&job, &claim, world.clock.now()).await.unwrap();
    assert_eq!(claimed.leased_until, Some(START.minus(DAY).plus(Duration::from_secs(30))));
    // A year forth while a worker has it: its lease is past, another may take it, and the first is fenced off.
    world.clock.set(START.plus(365 * DAY));
    assert_eq!(sweep(&world.app).await.unwrap().resent, 1);
    assert_eq!(world.work(&job).await, Disposition::Done);
    let done = world.job(&job).await;
    assert_eq!((done.state, done.attempt, done.lost), (JobState::Completed, 2, 1));
    let stale = Transition::HandBack { attempt: 1 };
    assert!(world.jobs.transition(&job, &stale, world.clock.now()).await.is_err());
    // Back again: the result is there, is not expired before its time, and no duration is negative.
    world.clock.set(START);
    assert_eq!(sweep(&world.app).await.unwrap(), Swept::default());
    let seen = jobs::status(&world.app, &world.caller(), job.job, Duration::ZERO).await.unwrap();
    assert_eq!(seen.job.state, JobState::Completed);
    assert!(seen.download.is_some());
    let waiting = world.submit().await;
    world.clock.set(START.minus(DAY));
    let seen = jobs::status(&world.app, &world.caller(), waiting.job, Duration::ZERO).await.unwrap();
    assert_eq!(seen.duration(), Duration::ZERO);
    // Long after: everything goes in its turn.
    world.clock.set(START.plus(380 * DAY));
    let swept = sweep(&world.app).await.unwrap();
    assert_eq!((swept.expired, swept.resent), (1, 1));
    world.clock.set(START.plus(420 * DAY));
    assert_eq!(sweep(&world.app).await.unwrap().removed, 1);
}
