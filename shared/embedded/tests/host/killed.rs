//! What a start takes up of a process that was killed.

use super::*;

#[tokio::test]
async fn of_completed_jobs_only_those_with_a_wanted_zip_keep_their_message() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let killed = open(&first).await;
    let parts = killed.app_parts();
    let jobs = [job("acme"), job("acme")];
    for job in &jobs {
        parts.jobs.insert(job, MANY).await.unwrap();
        parts.queue.send(&job.reference(), Duration::ZERO).await.unwrap();
        parts.jobs.transition(&job.reference(), &claim(), START).await.unwrap();
        parts.jobs.transition(&job.reference(), &complete(1), START).await.unwrap();
    }
    parts.jobs.transition(&jobs[1].reference(), &Transition::WantZip, START).await.unwrap();
    copy(&first, &second);
    let started = open_at(&second, START).await;
    let message = started.queue().receive(START, HOUR).unwrap();
    assert_eq!(message.job, jobs[1].reference());
    assert!(started.queue().receive(START, HOUR).is_none());
}

#[tokio::test]
async fn jobs_of_a_killed_process_can_be_claimed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let killed = open(&first).await;
    let parts = killed.app_parts();
    let jobs: Vec<Job> = (0..5).map(|_| job("acme")).collect();
    for job in &jobs {
        parts.jobs.insert(job, MANY).await.unwrap();
    }
    // In work with its message received; in work with a lost message; done; waiting; waiting, never sent.
    for job in &jobs[..4] {
        parts.queue.send(&job.reference(), Duration::ZERO).await.unwrap();
    }
    let message = killed.queue().receive(START, HOUR).unwrap();
    assert_eq!(message.job, jobs[0].reference());
    for job in &jobs[..3] {
        parts.jobs.transition(&job.reference(), &claim(), START).await.unwrap();
    }
    let lost = killed.queue().receive(START, HOUR).unwrap();
    killed.queue().acknowledge(&lost);
    parts.jobs.transition(&jobs[2].reference(), &complete(1), START).await.unwrap();

    copy(&first, &second);
    let now = START.plus(Duration::from_secs(1));
    let started = open_at(&second, now).await;
    assert_eq!(started.recovered(), Recovered { orphans: 2, resent: 2 });
    let parts = started.app_parts();
    let mut received = Vec::new();
    while let Some(message) = started.queue().receive(now, HOUR) {
        received.push(message.job.clone());
    }
    received.sort();
    let expected: Vec<JobRef> = [0, 1, 3, 4].iter().map(|n| jobs[*n].reference()).collect();
    assert_eq!(received, expected, "each open job has one message, the done one has none");
    for (n, job) in jobs.iter().enumerate() {
        let found = parts.jobs.get(&job.reference()).await.unwrap().unwrap();
        let (state, lost) = [
            (JobState::Accepted, 1),
            (JobState::Accepted, 1),
            (JobState::Completed, 0),
            (JobState::Accepted, 0),
            (JobState::Accepted, 0),
        ][n];
        assert_eq!((found.state, found.lost), (state, lost), "job {n}");
    }
    let again = parts.jobs.transition(&jobs[0].reference(), &claim(), now).await.unwrap();
    assert_eq!((again.attempt, again.lost), (2, 1));
    let stale = parts.jobs.transition(&jobs[0].reference(), &complete(1), now).await;
    assert!(stale.is_err(), "the dead process's attempt has no say");
}
