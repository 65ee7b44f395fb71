//! Lists, cursors and due jobs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use willcall_core::{
    JobId, Timestamp,
    job::{Job, JobKind, JobState, Transition},
    ports::{JobFilter, JobStore},
};

use super::JobStoreHarness;
use crate::samples::{START, account, claim, complete, job, job_at};

const MANY: u32 = 1_000;

/// Follows the cursor to its end, as a client does.
async fn walk(store: &Arc<dyn JobStore>, filter: &JobFilter, limit: u32) -> Vec<JobId> {
    let (mut ids, mut before) = (Vec::new(), None);
    for _ in 0..1_000 {
        let page = store.list(&account("acme"), filter, before, limit).await.unwrap();
        assert!(page.jobs.len() <= limit as usize, "a page is no longer than its limit");
        ids.extend(page.jobs.iter().map(|job| job.id));
        let Some(next) = page.next else { return ids };
        assert!(before.is_none_or(|before| next < before), "a cursor moves on");
        before = Some(next);
    }
    panic!("the cursor does not end");
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn minutes(n: u64) -> Timestamp {
    START.plus(Duration::from_secs(60 * n))
}

pub(super) async fn every_filter_lists_what_it_says(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let mut jobs: Vec<Job> = (0..12).map(|n| job_at("acme", minutes(n))).collect();
    for (n, job) in jobs.iter_mut().enumerate() {
        job.name = (n % 3 == 0).then(|| format!("name {}", n % 2));
        job.dataset = [Some("flights".into()), Some("airports".into()), None][n % 3].clone();
        job.labels = labels(&[("team", ["ops", "data"][n % 2]), ("n", &(n % 4).to_string())]);
        store.insert(job, MANY).await.unwrap();
    }
    for (n, job) in jobs.iter_mut().enumerate() {
        let end = [None, Some(claim()), Some(Transition::Cancel)][n % 3].clone();
        if let Some(end) = end {
            *job = store.transition(&job.reference(), &end, minutes(20)).await.unwrap();
        }
    }
    store.insert(&job("other"), MANY).await.unwrap();

    let any = JobFilter::default;
    let filters = [
        any(),
        JobFilter { kind: Some(JobKind::Query), ..any() },
        JobFilter { dataset: Some("airports".into()), ..any() },
        JobFilter { dataset: Some("nothing".into()), ..any() },
        JobFilter { name: Some("name 1".into()), ..any() },
        JobFilter { name: Some("name".into()), ..any() },
        JobFilter { labels: labels(&[("team", "ops")]), ..any() },
        JobFilter { labels: labels(&[("team", "ops"), ("n", "2")]), ..any() },
        JobFilter { labels: labels(&[("team", "2")]), ..any() },
        JobFilter { created_after: Some(minutes(4)), ..any() },
        JobFilter { created_before: Some(minutes(4)), ..any() },
        JobFilter { created_after: Some(minutes(2)), created_before: Some(minutes(7)), ..any() },
        JobFilter {
            state: Some(JobState::Accepted),
            dataset: Some("flights".into()),
            labels: labels(&[("team", "ops")]),
            created_after: Some(minutes(1)),
            ..any()
        },
    ];
    let by_state = JobState::ALL.map(|state| JobFilter { state: Some(state), ..any() });
    for filter in filters.into_iter().chain(by_state) {
        let expected: Vec<JobId> =
            jobs.iter().rev().filter(|job| filter.matches(job)).map(|job| job.id).collect();
        assert_eq!(walk(&store, &filter, 5).await, expected, "{filter:?}");
    }
    let page = store.list(&account("acme"), &any(), None, 50).await.unwrap();
    jobs.reverse();
    assert_eq!(page.jobs, jobs, "a list has the whole records, newest first");
    assert_eq!(page.next, None);
}

pub(super) async fn amended_names_and_labels_are_found_anew(harness: &impl JobStoreHarness) {
    let (store, mut job) = (harness.store(), job("acme"));
    job.name = Some("old".into());
    job.labels = labels(&[("team", "ops"), ("gone", "x")]);
    store.insert(&job, MANY).await.unwrap();
    let amend = Transition::Amend {
        name: Some(Some("new".into())),
        labels: Some(labels(&[("team", "data"), ("came", "y")])),
        expires: None,
        version: Some(job.version),
    };
    store.transition(&job.reference(), &amend, START).await.unwrap();
    let named = |name: &str| JobFilter { name: Some(name.into()), ..JobFilter::default() };
    let labelled =
        |key: &str, value: &str| JobFilter { labels: labels(&[(key, value)]), ..JobFilter::default() };
    for stale in [named("old"), labelled("team", "ops"), labelled("gone", "x")] {
        assert!(walk(&store, &stale, 5).await.is_empty(), "{stale:?}");
    }
    for fresh in [named("new"), labelled("team", "data"), labelled("came", "y")] {
        assert_eq!(walk(&store, &fresh, 5).await, [job.id], "{fresh:?}");
    }
}

pub(super) async fn a_cursor_walks_all_jobs_without_gap_or_repeat(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let mut ids = Vec::new();
    for _ in 0..23 {
        let job = job("acme");
        store.insert(&job, MANY).await.unwrap();
        ids.push(job.id);
    }
    ids.reverse();
    for limit in [1, 7, 22, 23, 24] {
        assert_eq!(walk(&store, &JobFilter::default(), limit).await, ids, "limit {limit}");
    }
}

pub(super) async fn a_cursor_walk_with_a_filter_finds_all(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let mut ids = Vec::new();
    for n in 0..30 {
        let mut job = job("acme");
        job.labels = labels(&[("rare", if n % 10 == 0 { "yes" } else { "no" })]);
        store.insert(&job, MANY).await.unwrap();
        if n % 10 == 0 {
            ids.insert(0, job.id);
        }
    }
    let filter = JobFilter { labels: labels(&[("rare", "yes")]), ..JobFilter::default() };
    assert_eq!(walk(&store, &filter, 2).await, ids);
}

pub(super) async fn jobs_inserted_during_a_walk_do_not_disturb_it(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let mut old = Vec::new();
    for _ in 0..6 {
        let job = job("acme");
        store.insert(&job, MANY).await.unwrap();
        old.insert(0, job.id);
    }
    let first = store.list(&account("acme"), &JobFilter::default(), None, 3).await.unwrap();
    store.insert(&job("acme"), MANY).await.unwrap();
    let gone = first.jobs[2].reference();
    assert!(store.delete(&gone).await.unwrap(), "even the job that the cursor names may go");
    let second = store.list(&account("acme"), &JobFilter::default(), first.next, 10).await.unwrap();
    let seen: Vec<JobId> = first.jobs.iter().chain(&second.jobs).map(|job| job.id).collect();
    assert_eq!(seen, old);
}

pub(super) async fn due_jobs_come_in_order_and_by_limit(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let mut expected = Vec::new();
    for (n, minute) in [5, 1, 9, 3, 7].into_iter().enumerate() {
        let mut job = job(["acme", "other"][n % 2]);
        job.due_at = Some(minutes(minute));
        store.insert(&job, MANY).await.unwrap();
        expected.push((minute, job.reference()));
    }
    let mut never = job("acme");
    never.due_at = None;
    store.insert(&never, MANY).await.unwrap();
    expected.sort_by_key(|(minute, _)| *minute);
    let expected: Vec<_> = expected.into_iter().map(|(_, job)| job).collect();
    assert!(store.due(START, 10).await.unwrap().is_empty());
    assert_eq!(store.due(minutes(3), 10).await.unwrap(), expected[..2], "a job is due at its very moment");
    assert_eq!(store.due(minutes(60), 3).await.unwrap(), expected[..3]);
    assert_eq!(store.due(minutes(60), 10).await.unwrap(), expected);
}

pub(super) async fn a_moved_due_time_is_followed(harness: &impl JobStoreHarness) {
    let (store, job) = (harness.store(), job("acme"));
    store.insert(&job, MANY).await.unwrap();
    assert_eq!(store.due(minutes(1), 10).await.unwrap(), [job.reference()]);
    for (transition, minute) in [(Transition::Sent, 2), (claim(), 3), (complete(1), 4)] {
        let after = store.transition(&job.reference(), &transition, minutes(minute)).await.unwrap();
        let due = after.due_at.unwrap();
        assert!(store.due(due.minus(Duration::from_millis(1)), 10).await.unwrap().is_empty());
        assert_eq!(store.due(due, 10).await.unwrap(), [job.reference()]);
    }
}
