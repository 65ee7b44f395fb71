//! Batches: added with their container's count, and listed by it alone.

use std::{collections::BTreeMap, sync::Arc};

use futures::stream::{self, StreamExt};
use willcall_core::{
    JobId, Timestamp,
    idempotency::Made,
    job::{
        BatchCounts, BatchPhase, Job, JobKind, JobState, MAX_BATCHES, Problem, ProblemType, Refused,
        Transition,
    },
    ports::{AddBatchError, BatchAdded, InsertError, JobFilter, JobStore, NewBatch, NewJob, Submitted},
};

use super::{JobStoreHarness, submits::key};
use crate::samples::{
    START, account, batch_at, claim, complete, container_at, job, problem, reference, uploaded,
};

const MANY: u32 = 1_000;
const CROWD: usize = 20;

pub(super) fn plain(batch: Job) -> NewBatch {
    NewBatch { batch, key: None }
}

/// A container that is there.
pub(super) async fn opened(store: &Arc<dyn JobStore>) -> Job {
    let container = container_at("acme", START);
    store.insert(&container, MANY).await.unwrap();
    container
}

/// A batch that was added to the container.
pub(super) async fn added(store: &Arc<dyn JobStore>, container: &Job) -> Job {
    let batch = batch_at(container, START);
    store.add_batch(&plain(batch.clone())).await.unwrap();
    batch
}

/// One whose file has arrived.
pub(super) async fn queued(store: &Arc<dyn JobStore>, container: &Job) -> Job {
    let batch = added(store, container).await;
    store.transition(&batch.reference(), &uploaded(START), START).await.unwrap()
}

/// One that a worker has.
pub(super) async fn claimed(store: &Arc<dyn JobStore>, container: &Job) -> Job {
    let batch = queued(store, container).await;
    store.transition(&batch.reference(), &claim(), START).await.unwrap()
}

/// The record as it is now.
pub(super) async fn found(store: &Arc<dyn JobStore>, job: &Job) -> Job {
    store.get(&job.reference()).await.unwrap().unwrap()
}

fn named(container: &Job, name: &str) -> Job {
    Job { name: Some(name.into()), ..batch_at(container, START) }
}

fn malformed() -> Problem {
    Problem::new(ProblemType::InvalidRequest, "no such column")
}

pub(super) async fn a_batch_is_added_with_its_containers_count(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let mut container = opened(&store).await;
    let waiting = named(&container, "part 1 of späte Abflüge 🛫");
    let whole = Job { state: JobState::Accepted, ..batch_at(&container, START.plus(super::MINUTE)) };
    for batch in [waiting, whole] {
        container = container.apply(&Transition::AddBatch(batch.phase()), batch.created).unwrap();
        let made = store.add_batch(&plain(batch.clone())).await.unwrap();
        assert_eq!(made, BatchAdded::Added(Box::new(container.clone())));
        assert_eq!(found(&store, &container).await, container);
        assert_eq!(found(&store, &batch).await, batch);
    }
    let counts = container.batches.unwrap();
    assert_eq!((counts.waiting_for_upload, counts.queued, counts.total()), (1, 1, 2));
}

pub(super) async fn a_container_that_takes_no_batch_is_left_as_it_is(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let (closed, ended) = (opened(&store).await, opened(&store).await);
    store.transition(&closed.reference(), &Transition::Close, START).await.unwrap();
    store.transition(&ended.reference(), &Transition::Cancel, START).await.unwrap();
    let almost = BatchCounts { cancelled: MAX_BATCHES - 1, ..BatchCounts::default() };
    let full = Job { batches: Some(almost), ..container_at("acme", START) };
    store.insert(&full, MANY).await.unwrap();
    let last = added(&store, &full).await;
    let ordinary = job("acme");
    store.insert(&ordinary, MANY).await.unwrap();
    for (container, expected) in [
        (&closed, Refused::Closed),
        (&ended, Refused::State(JobState::Cancelled)),
        (&full, Refused::TooManyBatches),
        (&ordinary, Refused::NoContainer),
        (&last, Refused::NoContainer),
    ] {
        let before = found(&store, container).await;
        let batch = Job { name: Some("x".into()), ..batch_at(container, START) };
        let new = NewBatch { batch, key: Some(key("k", "x")) };
        match store.add_batch(&new).await {
            Err(AddBatchError::Refused(refused)) => assert_eq!(refused, expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(found(&store, container).await, before);
        assert_eq!(store.get(&new.batch.reference()).await.unwrap(), None);
    }
    let nowhere = Job { container: Some(reference("acme").job), ..last };
    let anothers = Job { account: account("other"), ..batch_at(&full, START) };
    for batch in [nowhere, anothers] {
        let new = NewBatch { batch: Job { id: JobId::generate(), ..batch }, key: Some(key("k", "x")) };
        assert!(matches!(store.add_batch(&new).await, Err(AddBatchError::NotFound)));
        assert_eq!(store.get(&new.batch.reference()).await.unwrap(), None);
        assert_eq!(store.key(&new.batch.account, &key("k", "x").key, START).await.unwrap(), None);
    }
}

pub(super) async fn a_batchs_id_is_taken_once(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let (container, other) = (opened(&store).await, opened(&store).await);
    let first = added(&store, &other).await;
    for taken in [&first, &other] {
        let before = found(&store, taken).await;
        let batch = Job { id: taken.id, ..named(&container, "x") };
        let new = NewBatch { batch, key: Some(key("k", "x")) };
        assert!(matches!(store.add_batch(&new).await, Err(AddBatchError::Exists)));
        assert_eq!(found(&store, taken).await, before);
        assert_eq!(found(&store, &container).await, container, "the refused batch is not counted");
    }
    assert_eq!(store.key(&container.account, &key("k", "x").key, START).await.unwrap(), None);
    store.add_batch(&plain(named(&container, "x"))).await.unwrap();
}

pub(super) async fn a_name_is_held_until_its_batch_has_come_to_nothing(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let container = opened(&store).await;
    let (first, elsewhere) = (named(&container, "x"), opened(&store).await);
    store.add_batch(&plain(first.clone())).await.unwrap();
    store.add_batch(&plain(named(&elsewhere, "x"))).await.unwrap();
    store.add_batch(&plain(named(&container, "X"))).await.unwrap();
    added(&store, &container).await;
    let fail = |problem| Transition::Fail { attempt: Some(1), problem };
    let mut holder = first;
    for end in [Transition::Cancel, fail(problem()), fail(malformed()), complete(1)] {
        let held = |id| move |error| matches!(error, AddBatchError::NameTaken(other) if other == id);
        let refused = store.add_batch(&plain(named(&container, "x"))).await.unwrap_err();
        assert!(held(holder.id)(refused), "while it waits");
        store.transition(&holder.reference(), &uploaded(START), START).await.unwrap();
        store.transition(&holder.reference(), &claim(), START).await.unwrap();
        let refused = store.add_batch(&plain(named(&container, "x"))).await.unwrap_err();
        assert!(held(holder.id)(refused), "while it is in work");
        store.transition(&holder.reference(), &end, START).await.unwrap();
        let next = named(&container, "x");
        let made = store.add_batch(&plain(next.clone())).await;
        if matches!(end, Transition::Complete { .. }) {
            assert!(held(holder.id)(made.unwrap_err()), "what it delivered is there");
            break;
        }
        made.unwrap();
        store.delete(&holder.reference()).await.unwrap();
        holder = next;
    }
}

pub(super) async fn of_many_batches_of_one_name_one_is_added(harness: &impl JobStoreHarness) {
    let container = opened(&harness.store()).await;
    let adds = (0..CROWD).map(|_| {
        let (store, batch) = (harness.store(), named(&container, "x"));
        async move { tokio::spawn(async move { (batch.id, store.add_batch(&plain(batch)).await) }).await }
    });
    let outcomes: Vec<_> = stream::iter(adds).buffer_unordered(harness.at_once()).collect().await;
    let (mut made, mut taken) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome.unwrap() {
            (id, Ok(_)) => made.push(id),
            (_, Err(AddBatchError::NameTaken(by))) => taken.push(by),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((made.len(), taken.len()), (1, CROWD - 1));
    assert!(taken.iter().all(|by| *by == made[0]), "all are told of the one");
    assert_eq!(found(&harness.store(), &container).await.batches.unwrap().total(), 1);
}

pub(super) async fn a_key_is_kept_with_its_batch(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let container = opened(&store).await;
    let keyed = |name: &str| NewBatch { batch: batch_at(&container, START), key: Some(key(name, "x")) };
    let first = keyed("k");
    assert!(matches!(store.add_batch(&first).await.unwrap(), BatchAdded::Added(_)));
    let record = key("k", "x").record(Made::Job(first.batch.id), false, START);
    assert_eq!(store.key(&container.account, &key("k", "x").key, START).await.unwrap(), Some(record.clone()));
    store.transition(&container.reference(), &Transition::Close, START).await.unwrap();
    let again = keyed("k");
    assert_eq!(
        store.add_batch(&again).await.unwrap(),
        BatchAdded::Known(record.clone()),
        "what was done is told, though it could not be done any more"
    );
    assert_eq!(store.get(&again.batch.reference()).await.unwrap(), None);
    assert_eq!(found(&store, &container).await.batches.unwrap().total(), 1);
    // One and the same key names one request, whatever it is for.
    let submit = NewJob { key: Some(key("k", "x")), ..NewJob::plain(job("acme"), MANY) };
    assert_eq!(store.submit(&submit).await.unwrap(), Submitted::Known(record));
}

pub(super) async fn of_many_batches_with_one_key_one_is_added(harness: &impl JobStoreHarness) {
    let container = opened(&harness.store()).await;
    let adds = (0..CROWD).map(|_| {
        let new = NewBatch { batch: named(&container, "x"), key: Some(key("k", "x")) };
        let store = harness.store();
        async move { tokio::spawn(async move { (new.batch.id, store.add_batch(&new).await.unwrap()) }).await }
    });
    let outcomes: Vec<_> = stream::iter(adds).buffer_unordered(harness.at_once()).collect().await;
    let (mut made, mut known) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome.unwrap() {
            (id, BatchAdded::Added(_)) => made.push(id),
            (_, BatchAdded::Known(record)) => known.push(record.made),
        }
    }
    assert_eq!((made.len(), known.len()), (1, CROWD - 1));
    assert!(known.iter().all(|known| *known == Made::Job(made[0])));
    assert_eq!(found(&harness.store(), &container).await.batches.unwrap().total(), 1);
}

pub(super) async fn batches_added_at_once_are_all_counted(harness: &impl JobStoreHarness) {
    let container = opened(&harness.store()).await;
    let adds = (0..CROWD).map(|n| {
        let (store, batch) = (harness.store(), named(&container, &format!("part {n}")));
        async move { tokio::spawn(async move { store.add_batch(&plain(batch)).await }).await }
    });
    let outcomes: Vec<_> = stream::iter(adds).buffer_unordered(harness.at_once()).collect().await;
    let mut totals = Vec::new();
    for outcome in outcomes {
        match outcome.unwrap().unwrap() {
            BatchAdded::Added(container) => totals.push(container.batches.unwrap().total()),
            known @ BatchAdded::Known(_) => panic!("{known:?}"),
        }
    }
    totals.sort_unstable();
    assert_eq!(totals, (1..=20).collect::<Vec<_>>(), "each is told of a count of its own");
    let after = found(&harness.store(), &container).await;
    assert_eq!(after.batches.unwrap().count(BatchPhase::WaitingForUpload), 20);
    assert_eq!(after.version, container.version + 20);
}

pub(super) async fn batches_are_listed_oldest_first_in_pages(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let (container, other) = (opened(&store).await, opened(&store).await);
    let mut batches = Vec::new();
    for n in 0..7 {
        let batch = batch_at(&container, START.plus(super::MINUTE * n));
        store.add_batch(&plain(batch.clone())).await.unwrap();
        added(&store, &other).await;
        batches.push(batch);
    }
    for limit in [1, 3, 6, 7, 8] {
        let (mut walked, mut after) = (Vec::new(), None);
        for _ in 0..100 {
            let page = store.batches(&container.reference(), after, limit).await.unwrap();
            assert!(page.jobs.len() <= limit as usize);
            walked.extend(page.jobs);
            assert!(page.next.is_none() || page.next > after, "a cursor moves on");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(walked, batches, "limit {limit}");
    }
    let page = store.batches(&container.reference(), Some(batches[6].id), 10).await.unwrap();
    assert_eq!((page.jobs.len(), page.next), (0, None));
    let mut elsewhere = container.reference();
    elsewhere.account = account("other");
    for nobody in [elsewhere, reference("acme"), batches[0].reference()] {
        assert!(store.batches(&nobody, None, 10).await.unwrap().jobs.is_empty());
    }
}

pub(super) async fn a_batch_is_no_job_of_its_account(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let labels = BTreeMap::from([("team".to_owned(), "ops".to_owned())]);
    let container = Job { labels: labels.clone(), name: Some("x".into()), ..container_at("acme", START) };
    store.insert(&container, 1).await.unwrap();
    for _ in 0..3 {
        store.add_batch(&plain(Job { name: None, ..batch_at(&container, START) })).await.unwrap();
    }
    let first = Job { name: Some("x".into()), ..batch_at(&container, START) };
    store.add_batch(&plain(first.clone())).await.unwrap();
    let any = JobFilter::default;
    for filter in [
        any(),
        JobFilter { state: Some(JobState::Open), ..any() },
        JobFilter { kind: Some(JobKind::Append), ..any() },
        JobFilter { dataset: Some("flights".into()), ..any() },
        JobFilter { name: Some("x".into()), ..any() },
        JobFilter { labels, ..any() },
    ] {
        for limit in [1, 10] {
            let (mut walked, mut before) = (Vec::new(), None);
            for _ in 0..10 {
                let page = store.list(&container.account, &filter, before, limit).await.unwrap();
                walked.extend(page.jobs.iter().map(|job| job.id));
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(walked, [container.id], "{filter:?}");
        }
    }
    let open = async || store.open_jobs(&container.account).await.unwrap();
    assert_eq!(open().await, 1);
    assert!(matches!(store.insert(&job("acme"), 1).await, Err(InsertError::TooManyOpenJobs)));
    store.insert(&job("acme"), 2).await.unwrap();
    store.transition(&first.reference(), &Transition::Cancel, START).await.unwrap();
    assert_eq!(open().await, 2, "a batch that ends has no place to free");
    store.delete(&first.reference()).await.unwrap();
    let open_batch = added(&store, &container).await;
    store.delete(&open_batch.reference()).await.unwrap();
    assert_eq!(open().await, 2, "nor has one that is removed");
    store.transition(&container.reference(), &Transition::Cancel, START).await.unwrap();
    assert_eq!(open().await, 1, "its container has");
}

pub(super) async fn batches_are_due_like_jobs(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let container = opened(&store).await;
    let batch = added(&store, &container).await;
    let due = batch.due_at.unwrap();
    assert!(store.due(due.minus(super::MINUTE), 10).await.unwrap().is_empty());
    assert_eq!(store.due(due, 10).await.unwrap(), [batch.reference()]);
    let queued = store.transition(&batch.reference(), &uploaded(due), due).await.unwrap();
    let due: Timestamp = queued.due_at.unwrap();
    assert_eq!(store.due(due, 10).await.unwrap(), [batch.reference()], "its date moves");
    let idle = found(&store, &container).await.due_at.unwrap();
    assert_eq!(store.due(idle, 10).await.unwrap(), [batch.reference(), container.reference()]);
}

pub(super) async fn a_deleted_batch_is_gone_everywhere(harness: &impl JobStoreHarness) {
    let store = harness.store();
    let container = opened(&store).await;
    let (gone, kept) = (added(&store, &container).await, added(&store, &container).await);
    assert!(store.delete(&gone.reference()).await.unwrap());
    assert!(!store.delete(&gone.reference()).await.unwrap());
    assert_eq!(store.get(&gone.reference()).await.unwrap(), None);
    let left = store.batches(&container.reference(), None, 10).await.unwrap();
    assert_eq!(left.jobs, std::slice::from_ref(&kept));
    assert_eq!(store.due(kept.due_at.unwrap(), 10).await.unwrap(), [kept.reference()]);
    assert!(store.delete(&container.reference()).await.unwrap());
    let left = store.batches(&container.reference(), None, 10).await.unwrap();
    assert_eq!(left.jobs, [kept], "what a container left can still be found");
}
