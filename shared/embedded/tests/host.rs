//! One box as a whole: what a start takes up, what it refuses, and how its loops behave.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use willcall_conformance::samples::{START, account, claim, complete, job};
use willcall_core::{
    JobRef, Timestamp,
    job::{Job, JobState, Transition},
    ports::{BlobError, BlobKey, JobFilter, JobQueue, ManualClock, StoreError},
};
use willcall_embedded::{Embedded, EmbeddedConfig, Handled, OpenError, Recovered, run_sweeper, run_workers};

#[path = "host/killed.rs"]
mod killed;

const MANY: u32 = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);

async fn open(path: &Path) -> Embedded {
    open_at(path, START).await
}

async fn open_at(path: &Path, now: Timestamp) -> Embedded {
    let config = EmbeddedConfig { clock: Arc::new(ManualClock::new(now)) };
    Embedded::open(path, config).await.unwrap()
}

async fn refusal(path: &Path) -> OpenError {
    match Embedded::open(path, EmbeddedConfig::default()).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

/// What a `kill -9` leaves: the files as they are, while the process that has them open lives on elsewhere.
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

#[tokio::test]
async fn copies_taken_at_any_moment_open_and_hold_what_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first");
    let parts = open(&first).await.app_parts();
    let mut answered = Vec::new();
    for round in 0..6 {
        let copied = dir.path().join(format!("copy {round}"));
        for _ in 0..20 {
            let job = job("acme");
            parts.jobs.insert(&job, MANY).await.unwrap();
            parts.jobs.transition(&job.reference(), &claim(), START).await.unwrap();
            answered.push(parts.jobs.transition(&job.reference(), &complete(1), START).await.unwrap());
        }
        // More is being written while the copy is made; only what was answered before must be in it.
        let (busy, more) = (parts.jobs.clone(), job("acme"));
        let writing = tokio::spawn(async move { busy.insert(&more, MANY).await });
        copy(&first, &copied);
        writing.await.unwrap().unwrap();
        let jobs = open(&copied).await.app_parts().jobs;
        for job in &answered {
            assert_eq!(jobs.get(&job.reference()).await.unwrap().as_ref(), Some(job));
        }
    }
}

#[tokio::test]
async fn a_second_server_on_a_directory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).await;
    let error = refusal(dir.path()).await;
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    let parts = first.app_parts();
    drop(first);
    assert!(matches!(refusal(dir.path()).await, OpenError::InUse { .. }), "its adapters still use it");
    drop(parts);
    open(dir.path()).await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("willcall.db"), "this is no database, but long enough to look at".repeat(100))
        .unwrap();
    let error = refusal(dir.path()).await.to_string();
    assert!(error.contains("willcall.db: is damaged or not a database"), "{error}");
}

#[tokio::test]
async fn a_torn_database_is_told_as_corrupt_and_not_as_missing() {
    let dir = tempfile::tempdir().unwrap();
    let job = job("acme");
    drop({
        let embedded = open(dir.path()).await;
        embedded.app_parts().jobs.insert(&job, MANY).await.unwrap();
        embedded
    });
    let path = dir.path().join("willcall.db");
    let mut bytes = fs::read(&path).unwrap();
    // The first page, which holds the schema, stays whole.
    bytes[4096..].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    match Embedded::open(dir.path(), EmbeddedConfig::default()).await {
        Err(OpenError::Recover { source: StoreError::Corrupt(_), .. } | OpenError::Database(_)) => {}
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it opened"),
    }
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await);
    let connection = rusqlite::Connection::open(dir.path().join("willcall.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = refusal(dir.path()).await.to_string();
    assert!(error.contains("newer version of willcall (form 99"), "{error}");
}

#[tokio::test]
async fn a_job_of_a_newer_form_is_corrupt_and_harms_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (mut newer, fine) = (job("acme"), job("acme"));
    newer.schema = 99;
    let parts = open(dir.path()).await.app_parts();
    for job in [&newer, &fine] {
        parts.jobs.insert(job, MANY).await.unwrap();
    }
    assert!(matches!(parts.jobs.get(&newer.reference()).await, Err(StoreError::Corrupt(_))));
    assert_eq!(parts.jobs.get(&fine.reference()).await.unwrap(), Some(fine));
}

/// Jobs of that account, every second of which cannot be read, each in another way.
async fn half_unreadable(path: &Path, embedded: &Embedded) -> (Vec<Job>, Vec<Job>) {
    let jobs = embedded.app_parts().jobs;
    let (mut fine, mut broken) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        for made in [&mut broken, &mut fine] {
            let job = job("acme");
            jobs.insert(&job, MANY).await.unwrap();
            made.push(job);
        }
    }
    let connection = rusqlite::Connection::open(path.join("willcall.db")).unwrap();
    for (job, change) in broken.iter().zip([
        "schema = 99",
        "body = CAST('{' AS BLOB)",
        "schema = 'none'",
        "created = 'never'",
        "id = substr(id, 1, 35)",
    ]) {
        let sql = format!("UPDATE jobs SET {change} WHERE id = ?1");
        assert_eq!(connection.execute(&sql, [job.id.to_string()]).unwrap(), 1);
    }
    (fine, broken)
}

#[tokio::test]
async fn jobs_that_cannot_be_read_do_not_hide_the_others_of_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).await;
    let (mut fine, _broken) = half_unreadable(dir.path(), &embedded).await;
    fine.reverse();
    let jobs = embedded.app_parts().jobs;
    for filter in [
        JobFilter::default(),
        JobFilter { state: Some(JobState::Accepted), ..JobFilter::default() },
        JobFilter { dataset: Some("flights".into()), ..JobFilter::default() },
    ] {
        for limit in [1, 2, 100] {
            let (mut found, mut before) = (Vec::new(), None);
            loop {
                let page = jobs.list(&account("acme"), &filter, before, limit).await.unwrap();
                found.extend(page.jobs);
                assert!(page.next.is_none() || page.next != before, "the cursor moves");
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(found, fine, "{limit} at a time");
        }
    }
}

#[tokio::test]
async fn jobs_that_cannot_be_read_do_not_keep_others_from_the_sweeper() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).await;
    let (fine, broken) = half_unreadable(dir.path(), &embedded).await;
    let jobs = embedded.app_parts().jobs;
    let due = jobs.due(START.plus(HOUR), 100).await.unwrap();
    assert!(fine.iter().all(|job| due.contains(&job.reference())));
    assert!(due.contains(&broken[1].reference()), "bodies are not looked at");
    assert!(!due.contains(&broken[0].reference()), "a newer version's job is left to that version");
    let first = jobs.due(START.plus(HOUR), 1).await.unwrap();
    assert_eq!(first, [fine[0].reference()], "what cannot be read takes nobody's place");
}

#[tokio::test]
async fn what_a_data_directory_holds_is_for_its_owner_though_the_directory_is_for_all() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let embedded = open(dir.path()).await;
    embedded.app_parts().jobs.insert(&job("acme"), MANY).await.unwrap();
    for name in ["willcall.db", "willcall.db-wal", "willcall.db-shm", "willcall.lock", "link.key"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(dir.path().join("blobs")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = refusal(&file.join("data")).await;
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
    assert!(error.to_string().contains("file/data"), "{error}");

    let read_only = dir.path().join("read only");
    fs::create_dir(&read_only).unwrap();
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write there all the same.
    if fs::write(read_only.join("probe"), "").is_err() {
        let error = refusal(&read_only).await;
        assert!(error.to_string().contains("read only: cannot be used as data directory"), "{error}");
    }
}

#[tokio::test]
async fn blobs_and_links_survive_a_restart_and_half_written_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let killed = open(&first).await;
    let (blobs, job) = (killed.app_parts().blobs, job("acme").reference());
    let key = BlobKey::Manifest { job: job.clone(), attempt: 1 };
    blobs.put(&key, "application/json", Bytes::from_static(b"{}")).await.unwrap();
    let half = BlobKey::Result { job, attempt: 1, file: "result.csv".into() };
    let mut writer = blobs.writer(&half, "text/csv").await.unwrap();
    writer.write(Bytes::from(vec![b'x'; 2 << 20])).await.unwrap();
    let sign = willcall_core::ports::SignGet {
        base_url: "http://localhost".into(),
        file_name: "manifest.json".into(),
        media_type: "application/json".into(),
        now: START,
        lifetime: HOUR,
    };
    let url = blobs.sign_get(&key, &sign).await.unwrap().url;
    copy(&first, &second);

    let parts = open(&second).await.app_parts();
    assert_eq!(fs::read_dir(second.join("blobs/tmp")).unwrap().count(), 0);
    assert_eq!(parts.blobs.head(&half).await.unwrap(), None);
    let (path, query) = url.split_once("/v1/files/").unwrap().1.split_once('?').unwrap();
    let file = parts.files.open(path, query, START).await.unwrap();
    assert_eq!((file.head.size, file.media_type.as_str()), (2, "application/json"));
}

#[tokio::test]
async fn a_link_out_of_the_directory_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let parts = open(dir.path()).await.app_parts();
    let key = BlobKey::Manifest { job: job("acme").reference(), attempt: 1 };
    parts.blobs.put(&key, "application/json", Bytes::from_static(b"{}")).await.unwrap();
    let path = dir.path().join("blobs").join(key.to_string());
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(dir.path().join("link.key"), &path).unwrap();
    let sign = willcall_core::ports::SignGet {
        base_url: String::new(),
        file_name: "x".into(),
        media_type: "y".into(),
        now: START,
        lifetime: HOUR,
    };
    let url = parts.blobs.sign_get(&key, &sign).await.unwrap().url;
    let (path, query) = url.split_once("/v1/files/").unwrap().1.split_once('?').unwrap();
    assert!(parts.files.open(path, query, START).await.is_err());
}

async fn send(embedded: &Embedded, count: usize) -> Vec<JobRef> {
    let jobs: Vec<JobRef> = (0..count).map(|_| job("acme").reference()).collect();
    for job in &jobs {
        embedded.queue().send(job, Duration::ZERO).await.unwrap();
    }
    jobs
}

#[tokio::test]
async fn workers_handle_every_message_and_survive_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).await;
    let mut jobs = send(&embedded, 40).await;
    let (seen, shutdown) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
    let handler = {
        let (seen, shutdown) = (Arc::clone(&seen), shutdown.clone());
        move |job: JobRef, _: CancellationToken| {
            let (seen, shutdown) = (Arc::clone(&seen), shutdown.clone());
            async move {
                let count = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(job);
                    seen.len()
                };
                if count == 40 {
                    shutdown.cancel();
                }
                assert!(count % 4 != 0, "by the test");
                Handled::Done
            }
        }
    };
    let abandoned = run_workers(embedded.queue(), 3, handler, shutdown, HOUR).await;
    assert_eq!(abandoned, 0);
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    jobs.sort();
    assert_eq!(seen, jobs);
    assert!(embedded.queue().receive(START, HOUR).is_none());
    let later = START.plus(Duration::from_secs(60));
    let mut again = 0;
    while embedded.queue().receive(later, HOUR).is_some() {
        again += 1;
    }
    assert_eq!(again, 10, "the messages whose handlers panicked come again");
}

#[tokio::test]
async fn a_send_wakes_a_waiting_worker() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).await;
    let waits = {
        let queue = embedded.queue();
        tokio::spawn(async move { queue.received(HOUR).await })
    };
    tokio::task::yield_now().await;
    let sent = send(&embedded, 1).await;
    assert_eq!(waits.await.unwrap().job, sent[0]);
}

#[tokio::test]
async fn shutdown_tells_handlers_and_abandons_those_that_do_not_listen() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).await;
    send(&embedded, 5).await;
    let (begun, shutdown) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let handler = {
        let (begun, shutdown) = (Arc::clone(&begun), shutdown.clone());
        move |_: JobRef, token: CancellationToken| {
            let number = begun.fetch_add(1, Ordering::SeqCst);
            let shutdown = shutdown.clone();
            async move {
                if number == 1 {
                    shutdown.cancel();
                    std::future::pending::<()>().await;
                }
                token.cancelled().await;
                Handled::RetryAfter(Duration::ZERO)
            }
        }
    };
    let abandoned = run_workers(embedded.queue(), 3, handler, shutdown, Duration::from_millis(100)).await;
    assert_eq!(abandoned, 1);
    assert_eq!(begun.load(Ordering::SeqCst), 2, "nothing is received after the shutdown");
    let mut left = 0;
    while embedded.queue().receive(START, HOUR).is_some() {
        left += 1;
    }
    assert_eq!(left, 4, "all but the abandoned one, which is free at the next start");
    drop(embedded);
}

#[tokio::test]
async fn messages_survive_a_restart_with_their_delays() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = open(dir.path()).await;
    let parts = embedded.app_parts();
    let jobs = [job("acme"), job("acme")];
    for job in &jobs {
        parts.jobs.insert(job, MANY).await.unwrap();
    }
    parts.queue.send(&jobs[0].reference(), Duration::from_secs(300)).await.unwrap();
    parts.queue.send(&jobs[1].reference(), Duration::ZERO).await.unwrap();
    assert!(embedded.queue().receive(START, HOUR).is_some());
    drop((embedded, parts));
    let embedded = open(dir.path()).await;
    assert_eq!(embedded.queue().receive(START, HOUR).map(|m| m.job), Some(jobs[1].reference()));
    assert!(embedded.queue().receive(START, HOUR).is_none());
    let later = START.plus(Duration::from_secs(300));
    assert_eq!(embedded.queue().receive(later, HOUR).map(|m| m.job), Some(jobs[0].reference()));
}

#[tokio::test]
async fn a_sweeper_goes_on_after_a_panic_and_ends_on_shutdown() {
    let (sweeps, shutdown) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let sweep = {
        let (sweeps, shutdown) = (Arc::clone(&sweeps), shutdown.clone());
        move || {
            let count = sweeps.fetch_add(1, Ordering::SeqCst);
            let shutdown = shutdown.clone();
            async move {
                assert!(count != 0, "by the test");
                if count == 2 {
                    shutdown.cancel();
                }
            }
        }
    };
    run_sweeper(Duration::ZERO, sweep, shutdown).await;
    assert_eq!(sweeps.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_refused_write_in_a_group_does_not_touch_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let parts = open(dir.path()).await.app_parts();
    let taken = job("acme");
    parts.jobs.insert(&taken, MANY).await.unwrap();
    let writes = (0..64).map(|n| {
        let (store, job) = (Arc::clone(&parts.jobs), if n % 2 == 0 { taken.clone() } else { job("acme") });
        tokio::spawn(async move { store.insert(&job, MANY).await.is_ok() })
    });
    let outcomes = futures::future::join_all(writes).await;
    let made = outcomes.into_iter().filter(|made| *made.as_ref().unwrap()).count();
    assert_eq!((made, parts.jobs.open_jobs(&account("acme")).await.unwrap()), (32, 33));
    let cancel = parts.jobs.transition(&taken.reference(), &Transition::Cancel, START).await.unwrap();
    assert_eq!(cancel.state, JobState::Cancelled);
}

#[tokio::test]
async fn a_start_removes_old_requests_of_jobs_that_were_never_made() {
    let dir = tempfile::tempdir().unwrap();
    let made = job("acme");
    let keys = [made.reference(), job("acme").reference()].map(BlobKey::Request);
    {
        let parts = open(dir.path()).await.app_parts();
        parts.jobs.insert(&made, MANY).await.unwrap();
        for key in &keys {
            parts.blobs.put(key, "application/json", Bytes::from_static(b"{}")).await.unwrap();
        }
    }
    let [kept, gone] = keys.map(|key| dir.path().join("blobs").join(key.to_string()));
    for path in [&kept, &gone] {
        let written = UNIX_EPOCH + Duration::from_millis(START.as_millis().unsigned_abs()) - HOUR * 2;
        fs::File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
    }
    let _embedded = open(dir.path()).await;
    // It goes on beside the start, which does not wait for it.
    let removed = tokio::time::timeout(Duration::from_secs(30), async {
        while gone.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    removed.await.expect("the request is removed");
    assert!(kept.exists());
}

/// Set in the process whose files cannot grow past a limit.
const LIMITED: &str = "WILLCALL_TEST_LIMITED";

/// In a process of its own, whose files the system lets grow to 1 MiB: the writer meets what it meets on a full disk,
/// whoever runs the tests.
#[test]
fn a_full_disk_fails_the_blob_and_leaves_no_part_of_it() {
    if std::env::var_os(LIMITED).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(fill_the_disk());
    }
    // Blocks of 512 bytes. The signal that comes with the error would end the process.
    let output = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ && ulimit -f 2048 && exec \"$0\" --exact --nocapture \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg("a_full_disk_fails_the_blob_and_leaves_no_part_of_it")
        .env(LIMITED, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{output:?}");
}

async fn fill_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let parts = open(dir.path()).await.app_parts();
    let key = BlobKey::Result { job: job("acme").reference(), attempt: 1, file: "result.csv".into() };
    let piece = Bytes::from(vec![b'x'; 512 * 1024]);
    let mut writer = parts.blobs.writer(&key, "text/csv").await.unwrap();
    let mut result = Ok(());
    for _ in 0..16 {
        result = writer.write(piece.clone()).await;
        if result.is_err() {
            break;
        }
    }
    assert!(matches!(result, Err(BlobError::Full(_))), "{result:?}");
    assert!(writer.write(piece.clone()).await.is_err() && writer.finish().await.is_err());

    // What does not fit is met by the last write as well, and by a blob that is kept at once.
    let mut writer = parts.blobs.writer(&key, "text/csv").await.unwrap();
    for piece in [piece.clone(), piece.clone(), Bytes::from_static(b"more")] {
        writer.write(piece).await.unwrap();
    }
    assert!(matches!(writer.finish().await, Err(BlobError::Full(_))));
    let large = Bytes::from([&piece[..]; 3].concat());
    let put = parts.blobs.put(&key, "text/csv", large).await;
    assert!(matches!(put, Err(BlobError::Full(_))), "{put:?}");

    assert_eq!(parts.blobs.head(&key).await.unwrap(), None);
    let left = fs::read_dir(dir.path().join("blobs/tmp")).unwrap().count();
    assert_eq!(left, 0, "the room is free again");
    parts.blobs.put(&key, "text/csv", Bytes::from_static(b"fits")).await.unwrap();
}
