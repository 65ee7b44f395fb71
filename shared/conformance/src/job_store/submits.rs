//! Keys, counts, and jobs that serve in place of others.

use std::time::Duration;

use futures::{
    future::join_all,
    stream::{self, StreamExt},
};
use willcall_core::{
    Timestamp,
    idempotency::{IdempotencyKey, KEY_KEPT, Made, NewKey, RequestHash},
    job::{Identity, Job, JobState, Reuse, Transition, Truncation, TruncationReason},
    ports::{Consumed, InsertError, JobFilter, NewJob, Submitted},
};

use super::{JobStoreHarness, MINUTE};
use crate::samples::{START, account, claim, complete, job, job_at, problem, work};

const MANY: u32 = 10_000;
const CROWD: usize = 1_000;
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn key(name: &str, asks: &str) -> NewKey {
    let key = name.parse::<IdempotencyKey>().unwrap().hash();
    NewKey { key, request: RequestHash::of("/v1/jobs", &asks).unwrap(), status: 202 }
}

fn keyed(job: Job, name: &str) -> NewJob {
    NewJob { key: Some(key(name, "x")), ..NewJob::plain(job, MANY) }
}

fn identity(offset: u64) -> Identity {
    let mut work = work();
    work.offset = offset;
    Identity::of(&account("acme"), "v1", &work).unwrap()
}

fn reusing(job: Job, max_age: Option<Duration>) -> NewJob {
    NewJob { identity: Some(identity(0)), reuse: Some(Reuse { max_age }), ..NewJob::plain(job, MANY) }
}

fn limited(job: Job, most: u32) -> NewJob {
    NewJob { submits_per_minute: Some(most), ..NewJob::plain(job, MANY) }
}

pub(super) async fn a_key_is_kept_with_its_job(harness: &impl JobStoreHarness) {
    let (store, first) = (harness.store(), job("acme"));
    let name = key("k", "x").key;
    assert_eq!(store.key(&first.account, &name, START).await.unwrap(), None);
    let made = store.submit(&keyed(first.clone(), "k")).await.unwrap();
    assert_eq!(made, Submitted::Inserted { submits: None });
    let expected = key("k", "x").record(Made::Job(first.id), false, START);
    assert_eq!(store.key(&first.account, &name, START).await.unwrap().as_ref(), Some(&expected));
    for asks in ["x", "y"] {
        let second = job("acme");
        let again = NewJob { key: Some(key("k", asks)), ..NewJob::plain(second.clone(), MANY) };
        let known = store.submit(&again).await.unwrap();
        assert_eq!(
            known,
            Submitted::Known(expected.clone()),
            "whether it asks for the same is not the store's to say"
        );
        assert_eq!(store.get(&second.reference()).await.unwrap(), None);
    }
    assert_eq!(store.open_jobs(&first.account).await.unwrap(), 1, "what was known took no place");
    let other = job("other");
    assert_eq!(store.key(&other.account, &name, START).await.unwrap(), None, "keys are by account");
    store.submit(&keyed(other, "k")).await.unwrap();
    store.delete(&first.reference()).await.unwrap();
    assert_eq!(store.key(&first.account, &name, START).await.unwrap(), Some(expected), "it outlives its job");
}

pub(super) async fn a_key_that_expired_is_as_good_as_new(harness: &impl JobStoreHarness) {
    let (store, first) = (harness.store(), job("acme"));
    store.submit(&keyed(first.clone(), "k")).await.unwrap();
    let last = START.plus(KEY_KEPT).minus(Duration::from_millis(1));
    let known = store.submit(&keyed(job_at("acme", last), "k")).await.unwrap();
    assert!(matches!(known, Submitted::Known(record) if record.made == Made::Job(first.id)));
    let then = START.plus(KEY_KEPT);
    let name = key("k", "x").key;
    assert_eq!(store.key(&first.account, &name, then).await.unwrap(), None);
    let second = job_at("acme", then);
    assert_eq!(
        store.submit(&keyed(second.clone(), "k")).await.unwrap(),
        Submitted::Inserted { submits: None }
    );
    assert_eq!(store.key(&first.account, &name, then).await.unwrap().unwrap().made, Made::Job(second.id));
}

pub(super) async fn of_many_submits_with_one_key_one_inserts(harness: &impl JobStoreHarness) {
    let submits = (0..CROWD).map(|_| {
        let (store, new) = (harness.store(), keyed(job("acme"), "k"));
        async move { tokio::spawn(async move { (new.job.id, store.submit(&new).await.unwrap()) }).await }
    });
    let outcomes: Vec<_> = stream::iter(submits).buffer_unordered(harness.at_once()).collect().await;
    let (mut inserted, mut known) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome.unwrap() {
            (id, Submitted::Inserted { .. }) => inserted.push(id),
            (_, Submitted::Known(record)) => known.push(record.made),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((inserted.len(), known.len()), (1, CROWD - 1));
    assert!(known.iter().all(|made| *made == Made::Job(inserted[0])), "all are told of the one");
    let store = harness.store();
    assert_eq!(store.open_jobs(&account("acme")).await.unwrap(), 1);
    assert_eq!(store.list(&account("acme"), &JobFilter::default(), None, 10).await.unwrap().jobs.len(), 1);
}

pub(super) async fn a_refused_submit_keeps_no_key_and_is_not_counted(harness: &impl JobStoreHarness) {
    let (store, first) = (harness.store(), job("acme"));
    let full = NewJob { max_open_jobs: 0, submits_per_minute: Some(5), ..keyed(first.clone(), "k") };
    assert!(matches!(store.submit(&full).await, Err(InsertError::TooManyOpenJobs)));
    store.insert(&first, MANY).await.unwrap();
    let taken = NewJob { submits_per_minute: Some(5), ..keyed(first.clone(), "k") };
    assert!(matches!(store.submit(&taken).await, Err(InsertError::Exists)));
    let too_many = NewJob { submits_per_minute: Some(0), ..keyed(job("acme"), "k") };
    assert!(matches!(store.submit(&too_many).await, Err(InsertError::TooManySubmits)));
    assert_eq!(store.key(&first.account, &key("k", "x").key, START).await.unwrap(), None);
    assert_eq!(store.consumed(&first.account, START).await.unwrap(), Consumed::default());
    assert_eq!(store.open_jobs(&first.account).await.unwrap(), 1);
}

pub(super) async fn concurrent_submits_never_exceed_the_minutes_limit(harness: &impl JobStoreHarness) {
    let submits = (0..40).map(|_| {
        let (store, new) = (harness.store(), limited(job("acme"), 10));
        tokio::spawn(async move { store.submit(&new).await })
    });
    let mut counts = Vec::new();
    for outcome in join_all(submits).await {
        match outcome.unwrap() {
            Ok(Submitted::Inserted { submits }) => counts.push(submits.unwrap()),
            Err(InsertError::TooManySubmits) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(counts.len(), 10, "all that are allowed, and not one more");
    assert_eq!(counts.iter().max(), Some(&10));
    let store = harness.store();
    assert_eq!(store.open_jobs(&account("acme")).await.unwrap(), 10);
    assert_eq!(store.consumed(&account("acme"), START).await.unwrap().submits, 10);
}

pub(super) async fn submits_are_counted_by_minute_and_account(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let begin = Timestamp::from_millis(START.minute() * 60_000);
    let end = begin.plus(MINUTE).minus(Duration::from_millis(1));
    let counted = async |name: &str, at| store.submit(&limited(job_at(name, at), 2)).await;
    assert_eq!(counted("acme", begin).await.unwrap(), Submitted::Inserted { submits: Some(1) });
    assert_eq!(counted("acme", end).await.unwrap(), Submitted::Inserted { submits: Some(2) });
    assert!(matches!(counted("acme", end).await, Err(InsertError::TooManySubmits)));
    assert_eq!(counted("other", end).await.unwrap(), Submitted::Inserted { submits: Some(1) });
    let next = begin.plus(MINUTE);
    assert_eq!(counted("acme", next).await.unwrap(), Submitted::Inserted { submits: Some(1) });
    assert!(matches!(counted("acme", begin).await, Err(InsertError::TooManySubmits)), "the clock went back");
    assert_eq!(
        store.submit(&NewJob::plain(job("acme"), MANY)).await.unwrap(),
        Submitted::Inserted { submits: None }
    );
    assert_eq!(store.consumed(&account("acme"), begin).await.unwrap().submits, 2);
    assert_eq!(store.consumed(&account("acme"), next).await.unwrap().submits, 1);
}

pub(super) async fn an_identical_job_serves_those_who_ask_for_it(harness: &impl JobStoreHarness) {
    let (store, first) = (harness.store(), job("acme"));
    let first_of = NewJob { identity: Some(identity(0)), ..NewJob::plain(first.clone(), MANY) };
    assert_eq!(store.submit(&first_of).await.unwrap(), Submitted::Inserted { submits: None });
    let joined =
        NewJob { key: Some(key("k", "x")), submits_per_minute: Some(5), ..reusing(job("acme"), None) };
    assert_eq!(store.submit(&joined).await.unwrap(), Submitted::Joined(Box::new(first.clone())));
    assert_eq!(store.get(&joined.job.reference()).await.unwrap(), None);
    let record = store.key(&first.account, &key("k", "x").key, START).await.unwrap().unwrap();
    assert_eq!((record.made, record.reused), (Made::Job(first.id), true));
    assert_eq!(store.consumed(&first.account, START).await.unwrap().submits, 0, "who joins submits nothing");
    let unlike = NewJob { identity: Some(identity(1)), ..reusing(job("acme"), None) };
    assert_eq!(store.submit(&unlike).await.unwrap(), Submitted::Inserted { submits: None });

    store.transition(&first.reference(), &claim(), START).await.unwrap();
    let done = store.transition(&first.reference(), &complete(1), START).await.unwrap();
    let later = START.plus(MINUTE);
    let young = reusing(job_at("acme", later), Some(MINUTE + Duration::from_millis(1)));
    assert_eq!(store.submit(&young).await.unwrap(), Submitted::Joined(Box::new(done.clone())));
    let second = reusing(job_at("acme", later), Some(MINUTE));
    assert_eq!(store.submit(&second).await.unwrap(), Submitted::Inserted { submits: None });
    let latest = store.submit(&reusing(job_at("acme", later), None)).await.unwrap();
    assert_eq!(latest, Submitted::Joined(Box::new(second.job.clone())), "the latest serves");
    store.delete(&second.job.reference()).await.unwrap();
    let before = store.submit(&reusing(job_at("acme", later), None)).await.unwrap();
    assert_eq!(before, Submitted::Joined(Box::new(done)), "what was deleted hides none before it");
    store.delete(&first.reference()).await.unwrap();
    let third = store.submit(&reusing(job_at("acme", later), None)).await.unwrap();
    assert_eq!(third, Submitted::Inserted { submits: None }, "what was deleted serves nobody");
}

pub(super) async fn what_ended_without_a_whole_result_serves_nobody(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let fail = Transition::Fail { attempt: Some(1), problem: problem() };
    let Transition::Complete { attempt, mut result, records_found, records_requested, counts, day } =
        complete(1)
    else {
        unreachable!();
    };
    result.truncated = Some(Truncation { reason: TruncationReason::DailyLimit, limit: 10 });
    let cut = Transition::Complete { attempt, result, records_found, records_requested, counts, day };
    for end in [fail, Transition::Cancel, cut, complete(1)] {
        let new = reusing(job("acme"), None);
        assert_eq!(store.submit(&new).await.unwrap(), Submitted::Inserted { submits: None }, "{end:?}");
        let job = new.job.reference();
        store.transition(&job, &claim(), START).await.unwrap();
        store.transition(&job, &end, START).await.unwrap();
    }
    let expired = reusing(job_at("acme", START.plus(7 * DAY)), None);
    assert_eq!(store.submit(&expired).await.unwrap(), Submitted::Inserted { submits: None });
}

pub(super) async fn of_many_that_could_serve_each_other_one_inserts(harness: &impl JobStoreHarness) {
    let submits = (0..24).map(|_| {
        let (store, new) = (harness.store(), reusing(job("acme"), None));
        tokio::spawn(async move { store.submit(&new).await.unwrap() })
    });
    let mut inserted = 0;
    for outcome in join_all(submits).await {
        match outcome.unwrap() {
            Submitted::Inserted { .. } => inserted += 1,
            Submitted::Joined(job) => assert_eq!(job.state, JobState::Accepted),
            other @ Submitted::Known(_) => panic!("{other:?}"),
        }
    }
    assert_eq!(inserted, 1);
    assert_eq!(harness.store().open_jobs(&account("acme")).await.unwrap(), 1);
}

pub(super) async fn what_came_to_nothing_hides_no_job_before_it(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let own = |at| NewJob { identity: Some(identity(0)), ..NewJob::plain(job_at("acme", at), MANY) };
    let first = own(START);
    store.submit(&first).await.unwrap();
    // It is under way still when the others come.
    let first = first.job.reference();
    store.transition(&first, &claim(), START).await.unwrap();
    let fail = Transition::Fail { attempt: Some(1), problem: problem() };
    let mut later = Vec::new();
    for end in [fail, Transition::Cancel] {
        let new = own(START.plus(MINUTE));
        assert_eq!(store.submit(&new).await.unwrap(), Submitted::Inserted { submits: None });
        store.transition(&new.job.reference(), &claim(), START).await.unwrap();
        later.push((new.job.reference(), end));
    }
    for (job, end) in &later {
        store.transition(job, end, START).await.unwrap();
    }
    let under_way = store.get(&first).await.unwrap().unwrap();
    let at = START.plus(2 * MINUTE);
    let joined = store.submit(&reusing(job_at("acme", at), Some(Duration::ZERO))).await.unwrap();
    assert_eq!(joined, Submitted::Joined(Box::new(under_way)), "it still runs");
    let done = store.transition(&first, &complete(1), at).await.unwrap();
    let old = reusing(job_at("acme", at.plus(MINUTE)), Some(MINUTE));
    assert_eq!(store.submit(&old).await.unwrap(), Submitted::Inserted { submits: None }, "it is too old");
    store.transition(&old.job.reference(), &Transition::Cancel, at).await.unwrap();
    let joined = store.submit(&reusing(job_at("acme", at.plus(MINUTE)), None)).await.unwrap();
    assert_eq!(joined, Submitted::Joined(Box::new(done)), "it serves though three came after it");
    store.delete(&first).await.unwrap();
    let last = store.submit(&reusing(job_at("acme", at.plus(MINUTE)), None)).await.unwrap();
    assert_eq!(last, Submitted::Inserted { submits: None }, "none is left");
}
