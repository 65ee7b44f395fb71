//! Insert, read, change, delete.

use std::collections::BTreeMap;

use futures::future::join_all;
use willcall_core::{
    Timestamp,
    job::{
        DryRun, FoundBy, JobState, PartCounted, Progress, Refused, StoredRequest, Survey, Transition, Values,
    },
    ports::{InsertError, JobFilter, TransitionError},
};

use super::JobStoreHarness;
use crate::samples::{START, account, claim, complete, job, problem, reference};

const MANY: u32 = 1_000;

pub(super) async fn inserted_job_is_read_back_whole(harness: &impl JobStoreHarness) {
    let (store, mut job) = (harness.store(), job("acme"));
    job.name = Some("late departures".into());
    job.labels = BTreeMap::from([("team".into(), "ops".into())]);
    job.view = Some("delays".into());
    store.insert(&job, MANY).await.unwrap();
    assert_eq!(store.get(&job.reference()).await.unwrap(), Some(job));
}

pub(super) async fn a_taken_id_is_refused(harness: &impl JobStoreHarness) {
    let (store, job) = (harness.store(), job("acme"));
    store.insert(&job, MANY).await.unwrap();
    let mut other = job.clone();
    other.name = Some("other".into());
    assert!(matches!(store.insert(&other, MANY).await, Err(InsertError::Exists)));
    assert_eq!(store.get(&job.reference()).await.unwrap(), Some(job.clone()));
    assert_eq!(store.open_jobs(&job.account).await.unwrap(), 1, "the refused insert took no place");

    let many = crate::samples::job("acme");
    let inserts = (0..16).map(|_| {
        let (store, job) = (harness.store(), many.clone());
        tokio::spawn(async move { store.insert(&job, MANY).await.is_ok() })
    });
    let made = join_all(inserts).await.into_iter().filter(|made| *made.as_ref().unwrap()).count();
    assert_eq!(made, 1, "of many inserts of one id, one is made");
}

pub(super) async fn large_unicode_jobs_come_back_as_they_were(harness: &impl JobStoreHarness) {
    let (store, mut job) = (harness.store(), job("acme"));
    let text: String = "späte Abflüge 🛫 遅延 \u{0}\u{202e}'\"\\%_".chars().cycle().take(256).collect();
    job.name = Some(text.chars().take(200).collect());
    job.labels = (0..20).map(|n| (format!("{n:02}-{}", "ключ".repeat(15)), text.clone())).collect();
    if let StoredRequest::Inline(request) = &mut job.request {
        request.original =
            serde_json::json!({ "filter": "é".repeat(3_000), "number": 12_345_678_901_234_567_u64 }).into();
    }
    store.insert(&job, MANY).await.unwrap();
    assert_eq!(store.get(&job.reference()).await.unwrap().as_ref(), Some(&job));
    let filter = JobFilter { labels: job.labels.clone(), name: job.name.clone(), ..JobFilter::default() };
    let page = store.list(&job.account, &filter, None, 10).await.unwrap();
    assert_eq!(page.jobs, [job]);
}

pub(super) async fn accounts_do_not_see_each_other(harness: &impl JobStoreHarness) {
    let (store, mine) = (harness.store(), job("acme"));
    store.insert(&mine, MANY).await.unwrap();
    // `acme` is the beginning of the other's name, and the id is the same.
    for name in ["acm", "acme-2", "other"] {
        let mut theirs = mine.reference();
        theirs.account = account(name);
        assert_eq!(store.get(&theirs).await.unwrap(), None);
        assert!(!store.delete(&theirs).await.unwrap());
        let change = store.transition(&theirs, &Transition::Cancel, START).await;
        assert!(matches!(change, Err(TransitionError::NotFound)));
        assert_eq!(store.open_jobs(&theirs.account).await.unwrap(), 0);
        assert!(store.list(&theirs.account, &JobFilter::default(), None, 10).await.unwrap().jobs.is_empty());
    }
    assert_eq!(store.get(&mine.reference()).await.unwrap(), Some(mine));
}

pub(super) async fn a_missing_job_is_no_error_to_read_and_one_to_change(harness: &impl JobStoreHarness) {
    let (store, nobody) = (harness.store(), reference("acme"));
    assert_eq!(store.get(&nobody).await.unwrap(), None);
    assert!(!store.delete(&nobody).await.unwrap());
    assert_eq!(store.queue_position(&nobody).await.unwrap(), None);
    let change = store.transition(&nobody, &Transition::Cancel, START).await;
    assert!(matches!(change, Err(TransitionError::NotFound)));
}

pub(super) async fn a_transition_is_kept_and_answered(harness: &impl JobStoreHarness) {
    let (store, job) = (harness.store(), job("acme"));
    store.insert(&job, MANY).await.unwrap();
    let mut expected = job.clone();
    let progress = Progress { records_written: 5, percent: 50.0, ..Progress::queued() };
    let renew = Transition::Renew {
        attempt: 1,
        progress: Box::new(progress),
        lease: std::time::Duration::from_secs(30),
    };
    for (seconds, transition) in
        (1..).zip([Transition::Sent, claim(), renew, complete(1), Transition::Expire])
    {
        let now = Timestamp::from_millis(START.as_millis() + seconds * 1000);
        expected = expected.apply(&transition, now).unwrap();
        assert_eq!(store.transition(&job.reference(), &transition, now).await.unwrap(), expected);
        assert_eq!(store.get(&job.reference()).await.unwrap().as_ref(), Some(&expected));
    }
}

pub(super) async fn what_a_dry_run_found_out_is_kept(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let part = Survey {
        found_by: FoundBy::Part,
        at_least: 3,
        at_most: Some(1 << 50),
        likely: 1 << 40,
        bytes_read: 1 << 45,
        whole_files: true,
        values: Some(Values { bytes: 1 << 42, records: 1 << 41 }),
        part: Some(PartCounted { weight: 5, of: 1 << 45, millis: 25_000 }),
    };
    let exact =
        Survey { found_by: FoundBy::Statistics, at_most: None, values: None, part: None, ..part.clone() };
    for told in [part, exact] {
        let mut job = job("acme");
        job.dry_run = Some(DryRun {
            cap: u64::MAX,
            offset: 1,
            sorted: true,
            dataset_bytes: 7,
            prices: None,
            sort: vec!["carrier".into()],
            survey: None,
        });
        store.insert(&job, MANY).await.unwrap();
        store.transition(&job.reference(), &claim(), START).await.unwrap();
        let mut complete = complete(1);
        if let Transition::Complete { survey, .. } = &mut complete {
            *survey = Some(Box::new(told.clone()));
        }
        let completed = store.transition(&job.reference(), &complete, START).await.unwrap();
        assert_eq!(completed.dry_run.as_ref().and_then(|dry_run| dry_run.survey.as_ref()), Some(&told));
        assert_eq!(store.get(&job.reference()).await.unwrap(), Some(completed));
    }
}

pub(super) async fn a_refused_transition_changes_nothing(harness: &impl JobStoreHarness) {
    let (store, job) = (harness.store(), job("acme"));
    store.insert(&job, MANY).await.unwrap();
    let refused = store.transition(&job.reference(), &complete(1), START).await;
    assert!(matches!(refused, Err(TransitionError::Refused(Refused::StaleAttempt))));
    assert_eq!(store.get(&job.reference()).await.unwrap().as_ref(), Some(&job));
    store.transition(&job.reference(), &Transition::Cancel, START).await.unwrap();
    let again = store.transition(&job.reference(), &Transition::Cancel, START).await;
    assert!(matches!(again, Err(TransitionError::Refused(Refused::Unchanged))));
}

pub(super) async fn of_many_claims_one_wins(harness: &impl JobStoreHarness) {
    let (store, job) = (harness.store(), job("acme"));
    store.insert(&job, MANY).await.unwrap();
    let claims = (0..32).map(|_| {
        let (store, job) = (harness.store(), job.reference());
        tokio::spawn(async move { store.transition(&job, &claim(), START).await })
    });
    let (mut won, mut refused) = (0, 0);
    for outcome in join_all(claims).await {
        match outcome.unwrap() {
            Ok(job) => {
                assert_eq!((job.attempt, job.state), (1, JobState::Processing));
                won += 1;
            }
            Err(TransitionError::Refused(Refused::Leased(_))) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((won, refused), (1, 31));
}

pub(super) async fn a_stale_attempt_is_refused(harness: &impl JobStoreHarness) {
    let (store, job) = (harness.store(), job("acme"));
    store.insert(&job, MANY).await.unwrap();
    store.transition(&job.reference(), &claim(), START).await.unwrap();
    let late = START.plus(std::time::Duration::from_secs(31));
    store.transition(&job.reference(), &claim(), late).await.unwrap();
    for stale in [
        complete(1),
        Transition::HandBack { attempt: 1 },
        Transition::Retry { attempt: 1, gained: false, problem: problem() },
        Transition::Fail { attempt: Some(1), problem: problem() },
    ] {
        let refused = store.transition(&job.reference(), &stale, late).await;
        assert!(matches!(refused, Err(TransitionError::Refused(Refused::StaleAttempt))), "{stale:?}");
    }
    let done = store.transition(&job.reference(), &complete(2), late).await.unwrap();
    assert_eq!(done.result.unwrap().attempt, 2);
}

pub(super) async fn an_orphan_is_claimed_at_once_and_counts_as_lost(harness: &impl JobStoreHarness) {
    let (store, job) = (harness.store(), job("acme"));
    store.insert(&job, MANY).await.unwrap();
    let free = store.transition(&job.reference(), &Transition::Orphan, START).await;
    assert!(matches!(free, Err(TransitionError::Refused(Refused::State(JobState::Accepted)))));
    for lost in 1..=3 {
        store.transition(&job.reference(), &claim(), START).await.unwrap();
        let orphan = store.transition(&job.reference(), &Transition::Orphan, START).await.unwrap();
        assert_eq!((orphan.state, orphan.lost, orphan.leased_until), (JobState::Accepted, lost, None));
        assert!(orphan.due_at.is_some(), "the sweeper finds it should its message be lost");
    }
    let last = store.transition(&job.reference(), &claim(), START).await.unwrap();
    assert_eq!((last.attempt, last.lost), (4, 3));
    let stale = store.transition(&job.reference(), &complete(3), START).await;
    assert!(matches!(stale, Err(TransitionError::Refused(Refused::StaleAttempt))));
    store.transition(&job.reference(), &Transition::Orphan, START).await.unwrap();
    let given_up = store.transition(&job.reference(), &claim(), START).await;
    assert!(matches!(given_up, Err(TransitionError::Refused(Refused::Exhausted))));
}

pub(super) async fn cancel_or_complete_wins_never_both(harness: &impl JobStoreHarness) {
    for _ in 0..20 {
        let (store, job) = (harness.store(), job("acme"));
        store.insert(&job, MANY).await.unwrap();
        store.transition(&job.reference(), &claim(), START).await.unwrap();
        let race = [Transition::Cancel, complete(1)].map(|end| {
            let (store, job) = (harness.store(), job.reference());
            tokio::spawn(async move { store.transition(&job, &end, START).await.is_ok() })
        });
        let outcomes: Vec<bool> = join_all(race).await.into_iter().map(|o| o.unwrap()).collect();
        assert_eq!(outcomes.iter().filter(|won| **won).count(), 1, "{outcomes:?}");
        let state = store.get(&job.reference()).await.unwrap().unwrap().state;
        assert_eq!(state, if outcomes[0] { JobState::Cancelled } else { JobState::Completed });
    }
}

pub(super) async fn concurrent_changes_lose_none(harness: &impl JobStoreHarness) {
    let (store, job) = (harness.store(), job("acme"));
    store.insert(&job, MANY).await.unwrap();
    let changes = (0..24).map(|_| {
        let (store, job) = (harness.store(), job.reference());
        tokio::spawn(async move { store.transition(&job, &Transition::Resent, START).await })
    });
    for outcome in join_all(changes).await {
        outcome.unwrap().unwrap();
    }
    let after = store.get(&job.reference()).await.unwrap().unwrap();
    assert_eq!((after.resends, after.version), (24, job.version + 24));
}

pub(super) async fn a_deleted_job_is_gone_everywhere(harness: &impl JobStoreHarness) {
    let (store, mut job) = (harness.store(), job("acme"));
    job.labels = BTreeMap::from([("team".into(), "ops".into())]);
    store.insert(&job, MANY).await.unwrap();
    assert!(store.delete(&job.reference()).await.unwrap());
    assert!(!store.delete(&job.reference()).await.unwrap());
    assert_eq!(store.get(&job.reference()).await.unwrap(), None);
    for filter in [
        JobFilter::default(),
        JobFilter { labels: job.labels.clone(), ..JobFilter::default() },
        JobFilter { state: Some(JobState::Accepted), ..JobFilter::default() },
    ] {
        assert!(store.list(&job.account, &filter, None, 10).await.unwrap().jobs.is_empty());
    }
    let far = START.plus(std::time::Duration::from_secs(86_400));
    assert!(store.due(far, 10).await.unwrap().is_empty());
    store.insert(&job, MANY).await.unwrap();
    assert_eq!(store.get(&job.reference()).await.unwrap(), Some(job), "the id can be used again");
}

pub(super) async fn of_many_changes_judged_on_one_version_one_is_made(harness: &impl JobStoreHarness) {
    let (store, job) = (harness.store(), job("acme"));
    store.insert(&job, 100).await.unwrap();
    let changes = (0..16).map(|n| {
        let (store, job) = (harness.store(), job.clone());
        tokio::spawn(async move {
            let name = Some(Some(format!("{n}")));
            let amend = Transition::Amend { name, labels: None, expires: None, version: Some(job.version) };
            store.transition(&job.reference(), &amend, START).await
        })
    });
    let mut made = Vec::new();
    for change in join_all(changes).await {
        match change.unwrap() {
            Ok(job) => made.push(job),
            Err(error) => assert!(matches!(error, TransitionError::Refused(Refused::Changed)), "{error}"),
        }
    }
    assert_eq!(made.len(), 1);
    assert_eq!(store.get(&job.reference()).await.unwrap().as_ref(), made.first());
}
