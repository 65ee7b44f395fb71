//! Batches on one box: what a start takes up of them, and who is woken.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use willcall_conformance::samples::{START, batch_at, claim, complete, container_at, job, uploaded};
use willcall_core::{
    JobRef,
    job::{BatchCounts, Job, JobState, Transition},
    ports::{JobFilter, JobStore, ManualClock, NewBatch, Signals as _},
};
use willcall_embedded::{Database, Embedded, EmbeddedConfig, InProcessSignals, Recovered, SqliteJobStore};

const MANY: u32 = 1_000;
const HOUR: Duration = Duration::from_secs(3_600);

async fn open(path: &Path) -> Embedded {
    Embedded::open(path, EmbeddedConfig { clock: Arc::new(ManualClock::new(START)) }).await.unwrap()
}

/// What a `kill -9` leaves.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn opened(jobs: &Arc<dyn JobStore>) -> Job {
    let container = container_at("acme", START);
    jobs.insert(&container, MANY).await.unwrap();
    container
}

async fn added(jobs: &Arc<dyn JobStore>, container: &Job) -> JobRef {
    let batch = batch_at(container, START);
    jobs.add_batch(&NewBatch { batch: batch.clone(), key: None }).await.unwrap();
    batch.reference()
}

async fn claimed(jobs: &Arc<dyn JobStore>, container: &Job) -> JobRef {
    let batch = added(jobs, container).await;
    jobs.transition(&batch, &uploaded(START), START).await.unwrap();
    jobs.transition(&batch, &claim(), START).await.unwrap();
    batch
}

#[tokio::test]
async fn a_start_takes_up_batches_and_leaves_containers_that_wait_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let killed = open(&first).await;
    let jobs = killed.app_parts().jobs;
    let (waiting, writing, empty) = (opened(&jobs).await, opened(&jobs).await, opened(&jobs).await);
    let held = claimed(&jobs, &waiting).await;
    let queued = added(&jobs, &waiting).await;
    jobs.transition(&queued, &uploaded(START), START).await.unwrap();
    let open_batch = added(&jobs, &waiting).await;
    for container in [&waiting, &writing] {
        jobs.transition(&container.reference(), &Transition::Close, START).await.unwrap();
    }
    jobs.transition(&writing.reference(), &claim(), START).await.unwrap();
    for job in [&writing.reference(), &held, &open_batch] {
        killed.app_parts().queue.send(job, Duration::ZERO).await.unwrap();
    }
    // The messages are written behind this.
    added(&jobs, &empty).await;

    copy(&first, &second);
    let started = open(&second).await;
    assert_eq!(started.recovered(), Recovered { orphans: 2, resent: 1 });
    let jobs = started.app_parts().jobs;
    let found = async |job: &JobRef| jobs.get(job).await.unwrap().unwrap();
    let orphan = found(&held).await;
    assert_eq!((orphan.state, orphan.lost, orphan.leased_until), (JobState::Accepted, 1, None));
    let container = found(&waiting.reference()).await;
    assert_eq!((container.state, container.lost), (JobState::Processing, 0), "nobody held it");
    let counts = BatchCounts { waiting_for_upload: 1, queued: 2, closed: true, ..BatchCounts::default() };
    assert_eq!(container.batches, Some(counts), "it counts its batch where that is");
    assert_eq!(found(&writing.reference()).await.state, JobState::Accepted);
    let mut received = Vec::new();
    while let Some(message) = started.queue().receive(START, HOUR) {
        received.push(message.job);
    }
    received.sort();
    let mut expected = vec![writing.reference(), held, queued, open_batch];
    expected.sort();
    assert_eq!(received, expected, "a batch keeps its message");
}

#[tokio::test]
async fn a_batch_that_was_added_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first");
    let jobs = open(&first).await.app_parts().jobs;
    let container = opened(&jobs).await;
    let mut batches = Vec::new();
    for round in 0..4 {
        for _ in 0..5 {
            batches.push(added(&jobs, &container).await);
        }
        let copied = dir.path().join(format!("copy {round}"));
        copy(&first, &copied);
        let jobs = open(&copied).await.app_parts().jobs;
        let listed = jobs.batches(&container.reference(), None, MANY).await.unwrap().jobs;
        assert_eq!(listed.iter().map(Job::reference).collect::<Vec<_>>(), batches);
        let counts = jobs.get(&container.reference()).await.unwrap().unwrap().batches.unwrap();
        assert_eq!(counts.waiting_for_upload as usize, batches.len());
    }
}

#[tokio::test]
async fn whoever_waits_for_a_container_is_woken_by_its_batches() {
    let dir = tempfile::tempdir().unwrap();
    let database = Arc::new(Database::open(&dir.path().join("willcall.db")).unwrap());
    let signals = InProcessSignals::default();
    let jobs: Arc<dyn JobStore> = Arc::new(SqliteJobStore::new(database, signals.clone()));
    let container = opened(&jobs).await;
    let woken = async |job: &JobRef, change: &dyn Fn() -> futures::future::BoxFuture<'static, ()>| {
        let mut listener = signals.listen(job);
        change().await;
        tokio::time::timeout(Duration::from_secs(5), listener.changed(HOUR)).await.is_ok()
    };
    let batch = batch_at(&container, START);
    let reference = batch.reference();
    let add = || {
        let (jobs, batch) = (Arc::clone(&jobs), batch.clone());
        Box::pin(async move {
            jobs.add_batch(&NewBatch { batch, key: None }).await.unwrap();
        }) as _
    };
    assert!(woken(&container.reference(), &add).await, "by a new one");
    for (listened, step) in [
        (container.reference(), uploaded(START)),
        (reference.clone(), claim()),
        (container.reference(), complete(1)),
    ] {
        let change = || {
            let (jobs, reference, step) = (Arc::clone(&jobs), reference.clone(), step.clone());
            Box::pin(async move {
                jobs.transition(&reference, &step, START).await.unwrap();
            }) as _
        };
        assert!(woken(&listened, &change).await, "{step:?}");
    }
}

#[tokio::test]
async fn one_batch_that_cannot_be_read_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).await;
    let jobs = embedded.app_parts().jobs;
    let container = opened(&jobs).await;
    let mut batches = Vec::new();
    for _ in 0..3 {
        batches.push(added(&jobs, &container).await);
    }
    let connection = rusqlite::Connection::open(dir.path().join("willcall.db")).unwrap();
    let sql = "UPDATE jobs SET body = CAST('{' AS BLOB) WHERE id = ?1";
    assert_eq!(connection.execute(sql, [batches[1].job.to_string()]).unwrap(), 1);
    for limit in [1, 2, 10] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = jobs.batches(&container.reference(), after, limit).await.unwrap();
            found.extend(page.jobs.iter().map(Job::reference));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, [batches[0].clone(), batches[2].clone()], "{limit} at a time");
    }
}

/// What the program wrote before there were batches.
#[tokio::test]
async fn a_database_of_before_is_brought_up_with_its_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("willcall.db");
    let old = Job { name: Some("x".into()), ..job("acme") };
    {
        let connection = rusqlite::Connection::open(&path).unwrap();
        for migration in [
            include_str!("../migrations/1.sql"),
            include_str!("../migrations/2-submits.sql"),
            include_str!("../migrations/3-webhooks.sql"),
        ] {
            connection.execute_batch(migration).unwrap();
        }
        connection.pragma_update(None, "user_version", 3).unwrap();
        let sql =
            "INSERT INTO jobs (account, id, schema, state, open, kind, dataset, name, created, due_at, body)
            VALUES ('acme', ?1, 1, 'accepted', 1, 'query', 'flights', 'x', ?2, NULL, ?3)";
        let body = serde_json::to_vec(&old).unwrap();
        connection.execute(sql, rusqlite::params![old.id.to_string(), START.as_millis(), body]).unwrap();
    }
    let jobs = open(dir.path()).await.app_parts().jobs;
    let any = JobFilter::default;
    for filter in [
        any(),
        JobFilter { name: Some("x".into()), ..any() },
        JobFilter { dataset: Some("flights".into()), ..any() },
        JobFilter { state: Some(JobState::Accepted), ..any() },
    ] {
        let listed = jobs.list(&old.account, &filter, None, 10).await.unwrap().jobs;
        assert_eq!(listed, std::slice::from_ref(&old));
    }
    assert_eq!(jobs.open_jobs(&old.account).await.unwrap(), 1);
    let container = opened(&jobs).await;
    added(&jobs, &container).await;
    assert_eq!(jobs.open_jobs(&old.account).await.unwrap(), 2);
}
