//! How far a job is that is fed by batches, as its owner sees it while they work.

use willcall_conformance::samples::{batch_at, claim, complete, container_at, uploaded};
use willcall_core::{
    job::{BatchCounts, Counts, MAX_FOLLOWED, Progress, Stage, Transition},
    ports::NewBatch,
};

use super::*;

async fn opened(world: &World) -> Job {
    let container = container_at("acme", START);
    world.jobs.insert(&container, 3).await.unwrap();
    container
}

async fn added(world: &World, container: &Job) -> JobRef {
    let batch = batch_at(container, START);
    world.jobs.add_batch(&NewBatch { batch: batch.clone(), key: None }).await.unwrap();
    batch.reference()
}

async fn claimed(world: &World, container: &Job) -> JobRef {
    let batch = added(world, container).await;
    change(world, &batch, uploaded(START)).await;
    change(world, &batch, claim()).await;
    batch
}

async fn change(world: &World, job: &JobRef, transition: Transition) {
    world.jobs.transition(job, &transition, START).await.unwrap();
}

fn counts(total: u64, succeeded: u64) -> Option<Counts> {
    let pending = total - succeeded;
    Some(Counts::Call { total: Some(total), pending, succeeded, failed: 0, unknown: 0, malformed: 0 })
}

/// A renewal that tells of half of ten items, five of which have come back.
fn halfway(stage: Stage) -> Transition {
    let progress = Progress {
        stage,
        records_written: 4,
        bytes_written: 40,
        percent: 50.0,
        counts: counts(10, 5),
        ..Progress::queued()
    };
    Transition::Renew { attempt: 1, progress: Box::new(progress), lease: Duration::from_secs(30) }
}

fn delivered(items: u64) -> Transition {
    match complete(1) {
        Transition::Complete { attempt, result, records_found, records_requested, survey, day, .. } => {
            let counts = counts(items, items);
            Transition::Complete { attempt, result, records_found, records_requested, counts, survey, day }
        }
        other => panic!("{other:?}"),
    }
}

async fn view(world: &World, container: &Job) -> JobView {
    jobs::status(&world.app, &world.caller(), container.id, Duration::ZERO).await.unwrap()
}

#[tokio::test]
async fn a_job_tells_of_its_batches_at_work_what_they_tell_of_themselves() {
    let world = World::delivering();
    let container = opened(&world).await;
    let before = view(&world, &container).await;
    assert_eq!((before.job.progress.stage, before.job.progress.percent), (Stage::Queued, 0.0));
    let (first, second) = (claimed(&world, &container).await, claimed(&world, &container).await);
    let (_third, _waits) = (claimed(&world, &container).await, added(&world, &container).await);
    assert_eq!(view(&world, &container).await.job.progress.stage, Stage::Planning);
    change(&world, &first, delivered(7)).await;
    change(&world, &second, halfway(Stage::Calling)).await;
    for close in [false, true] {
        if close {
            change(&world, &container.reference(), Transition::Close).await;
        }
        let seen = view(&world, &container).await;
        let progress = &seen.job.progress;
        assert_eq!(
            (progress.stage, progress.percent),
            (Stage::Calling, 37.5),
            "a whole one and a half of four"
        );
        assert_eq!((progress.records_written, progress.bytes_written), (14, 140));
        assert_eq!(progress.counts, counts(17, 12));
        let listed = jobs::list(&world.app, &world.caller(), &JobFilter::default(), None, 10).await.unwrap();
        assert_eq!(listed.jobs[0].job, seen.job, "a list tells the same");
    }
    // What polls by the tag sees each step.
    let seen = view(&world, &container).await;
    assert_eq!(view(&world, &container).await.etag(), seen.etag());
    change(&world, &second, halfway(Stage::Writing)).await;
    let after = view(&world, &container).await;
    assert_eq!((after.job.version, after.job.progress.stage), (seen.job.version, Stage::Writing));
    assert_ne!(after.etag(), seen.etag());
    change(&world, &second, Transition::HandBack { attempt: 1 }).await;
    let back = view(&world, &container).await.job.progress;
    assert_eq!((back.stage, back.percent, back.counts), (Stage::Planning, 25.0, counts(7, 7)));
}

#[tokio::test]
async fn a_batch_that_ends_between_two_reads_is_told_once() {
    let world = World::delivering();
    let container = opened(&world).await;
    let batches = [claimed(&world, &container).await, claimed(&world, &container).await];
    let as_it_was = world.job(&container.reference()).await;
    change(&world, &batches[0], delivered(7)).await;
    let problem = Problem::new(ProblemType::EngineFailed, "by the test");
    change(&world, &batches[1], Transition::Fail { attempt: Some(1), problem }).await;
    assert_eq!(view(&world, &container).await.job.progress.percent, 99.9, "the manifest is not written");
    // The record of a container that was read just before, and one of whose batches is gone altogether.
    let batches = BatchCounts { in_progress: 3, ..as_it_was.batches.unwrap() };
    let mut followed = as_it_was.followed.clone();
    followed.push(JobId::generate());
    let stale = Job { id: JobId::generate(), batches: Some(batches), followed, ..as_it_was };
    world.jobs.insert(&stale, 3).await.unwrap();
    let seen = view(&world, &stale).await.job.progress;
    assert_eq!((seen.records_written, seen.counts, seen.percent), (10, counts(7, 7), 66.7));
    assert_eq!(seen.stage, Stage::Queued);
}

#[tokio::test]
async fn no_more_batches_are_read_than_a_job_follows() {
    let world = World::delivering();
    let container = opened(&world).await;
    let mut batches = Vec::new();
    for _ in 0..=MAX_FOLLOWED {
        batches.push(claimed(&world, &container).await);
        change(&world, &batches[batches.len() - 1], halfway(Stage::Calling)).await;
    }
    let followed = world.job(&container.reference()).await.followed;
    assert_eq!(followed, batches[..MAX_FOLLOWED].iter().map(|batch| batch.job).collect::<Vec<_>>());
    let most = 10 * MAX_FOLLOWED as u64;
    assert_eq!(view(&world, &container).await.job.progress.counts, counts(most, most / 2));
    change(&world, &batches[0], Transition::Cancel).await;
    assert_eq!(world.job(&container.reference()).await.followed.len(), MAX_FOLLOWED - 1);
}
