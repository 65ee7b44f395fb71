//! What DynamoDB adds to the contract of batches: items that lead to them, lost answers, and many at once.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use willcall_aws::{DUE_AT, SORT_KEY, TTL};
use willcall_conformance::samples::{START, account, batch_at, claim, container_at, uploaded};
use willcall_core::{
    JobId,
    idempotency::{Made, NewKey, RequestHash},
    job::{BatchCounts, Job, JobState, Refused, Transition},
    ports::{AddBatchError, BatchAdded, JobFilter, JobStore, NewBatch, StoreError, TransitionError},
};

use crate::{
    faulty::{Fault, Faulty},
    jobs::Item,
    place::Place,
};

const WRITE: &str = "TransactWriteItems";

impl Place {
    /// The items that lead from a container to its batches.
    async fn entries(&self, container: &Job) -> Vec<Item> {
        let query = self.raw_dynamodb.query().table_name(&self.name);
        let s = |text: String| AttributeValue::S(text);
        query
            .key_condition_expression("pk = :pk AND begins_with(sk, :batch)")
            .expression_attribute_values(":pk", s(format!("ACCOUNT#{}", container.account)))
            .expression_attribute_values(":batch", s(format!("BATCH#{}#", container.id)))
            .send()
            .await
            .unwrap()
            .items
            .unwrap_or_default()
    }
}

/// A network, and a container on a place behind it.
async fn faulty() -> (Faulty, Place, Arc<dyn JobStore>, Job) {
    let network = Faulty::new();
    let place = Place::through(SharedHttpClient::new(network.clone())).await;
    let (store, container) = (place.jobs(), container_at("acme", START));
    store.insert(&container, 10).await.unwrap();
    (network, place, store, container)
}

fn new(batch: &Job) -> NewBatch {
    NewBatch { batch: batch.clone(), key: None }
}

fn keyed(batch: &Job) -> NewBatch {
    let key = "once".parse::<willcall_core::idempotency::IdempotencyKey>().unwrap().hash();
    let request = RequestHash::of("batches", &batch.name).unwrap();
    NewBatch { batch: batch.clone(), key: Some(NewKey { key, request, status: 201 }) }
}

async fn counts(store: &Arc<dyn JobStore>, container: &Job) -> BatchCounts {
    store.get(&container.reference()).await.unwrap().unwrap().batches.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_leads_to_each_batch_and_goes_with_it() {
    let (_, place, store, container) = faulty().await;
    let batch = Job { name: Some("part 1".into()), ..batch_at(&container, START) };
    store.add_batch(&new(&batch)).await.unwrap();
    let [entry] = place.entries(&container).await.try_into().unwrap();
    assert_eq!(entry[SORT_KEY].as_s().unwrap(), &format!("BATCH#{}#{}", container.id, batch.id));
    assert_eq!(entry["name"].as_s().unwrap(), "part 1");
    assert!(!entry.contains_key(DUE_AT) && !entry.contains_key(TTL), "{entry:?}");
    assert_eq!(place.slots("acme").await.len(), 1, "the container's");
    assert!(store.delete(&batch.reference()).await.unwrap());
    assert!(place.entries(&container).await.is_empty());
    assert!(store.batches(&container.reference(), None, 10).await.unwrap().jobs.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_batches_than_one_call_reads_come_in_their_order() {
    let (network, place, store, container) = faulty().await;
    let first = batch_at(&container, START);
    store.add_batch(&new(&first)).await.unwrap();
    let (record, entry) = (place.job_item(&first).await, place.entries(&container).await.pop().unwrap());
    let mut ids = vec![first.id];
    ids.extend((1..130).map(|_| JobId::generate()));
    let puts = ids[1..].iter().flat_map(|id| {
        let named = |item: &Item, before: &str, body: Option<String>| {
            let mut item = item.clone();
            item.insert(SORT_KEY.into(), AttributeValue::S(format!("{before}{id}")));
            item.extend(body.map(|body| ("body".to_owned(), AttributeValue::S(body))));
            item
        };
        let body = serde_json::to_string(&Job { id: *id, ..first.clone() }).unwrap();
        let under = format!("BATCH#{}#", container.id);
        [named(&record, "JOB#", Some(body)), named(&entry, &under, None)]
    });
    for put in puts {
        place.put_item(put).await;
    }
    let page = store.batches(&container.reference(), None, 120).await.unwrap();
    assert_eq!(page.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), ids[..120]);
    assert_eq!(page.next, Some(ids[119]));
    assert_eq!(network.count("BatchGetItem"), 2);
    let rest = store.batches(&container.reference(), page.next, 120).await.unwrap();
    assert_eq!(rest.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), ids[120..]);
    assert_eq!(rest.next, None);
    let list = store.list(&account("acme"), &JobFilter::default(), None, 10).await.unwrap();
    assert_eq!(list.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [container.id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_at_once_is_read_in_several_calls() {
    let (network, place, store, container) = faulty().await;
    let batch = batch_at(&container, START);
    store.add_batch(&new(&batch)).await.unwrap();
    let left = format!(
        r#"{{"Responses":{{}},"UnprocessedKeys":{{"{}":{{"ConsistentRead":true,"Keys":[{{"pk":{{"S":"ACCOUNT#acme"}},"sk":{{"S":"JOB#{}"}}}}]}}}}}}"#,
        place.name, batch.id
    );
    network.target("BatchGetItem", 2, Fault::Answer(200, left.leak()));
    let page = store.batches(&container.reference(), None, 10).await.unwrap();
    assert_eq!(page.jobs, [batch]);
    assert_eq!(network.count("BatchGetItem"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lost_answer_of_an_adding_does_not_add_it_twice() {
    for key in [false, true] {
        let (network, place, store, container) = faulty().await;
        let batch = Job { name: Some("part 1".into()), ..batch_at(&container, START) };
        let new = if key { keyed(&batch) } else { new(&batch) };
        network.target(WRITE, 1, Fault::AnswerLost);
        let BatchAdded::Added(after) = store.add_batch(&new).await.unwrap() else {
            panic!("it was not added")
        };
        assert!(network.count(WRITE) > 1, "it was tried again");
        assert_eq!(after.batches.unwrap().waiting_for_upload, 1);
        assert_eq!(*after, store.get(&container.reference()).await.unwrap().unwrap());
        assert_eq!(place.entries(&container).await.len(), 1);
        let again = store.add_batch(&new).await;
        if key {
            let Ok(BatchAdded::Known(known)) = again else { panic!("{again:?}") };
            assert_eq!(known.made, Made::Job(batch.id));
        } else {
            assert!(matches!(again, Err(AddBatchError::Exists)), "{again:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lost_answer_of_a_change_counts_the_batch_once() {
    let (network, _, store, container) = faulty().await;
    let batch = batch_at(&container, START);
    store.add_batch(&new(&batch)).await.unwrap();
    network.target(WRITE, 1, Fault::AnswerLost);
    let after = store.transition(&batch.reference(), &uploaded(START), START).await.unwrap();
    assert_eq!(after.state, JobState::Accepted);
    let counts = counts(&store, &container).await;
    assert_eq!((counts.waiting_for_upload, counts.queued), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leaves_a_batch_where_it_is_asks_nothing_of_its_container() {
    let (network, _, store, container) = faulty().await;
    let batch = batch_at(&container, START);
    store.add_batch(&new(&batch)).await.unwrap();
    store.transition(&batch.reference(), &uploaded(START), START).await.unwrap();
    store.transition(&batch.reference(), &claim(), START).await.unwrap();
    let before = store.get(&container.reference()).await.unwrap().unwrap();
    let (reads, writes) = (network.count("GetItem"), network.count(WRITE));
    let progress = Box::new(before.progress.clone());
    let renew = Transition::Renew { attempt: 1, progress, lease: Duration::from_secs(30) };
    store.transition(&batch.reference(), &renew, START).await.unwrap();
    assert_eq!((network.count("GetItem"), network.count(WRITE)), (reads + 1, writes));
    assert_eq!(store.get(&container.reference()).await.unwrap().unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_a_container_that_is_gone_can_only_be_given_up() {
    let (_, _, store, container) = faulty().await;
    let batch = batch_at(&container, START);
    store.add_batch(&new(&batch)).await.unwrap();
    store.delete(&container.reference()).await.unwrap();
    let refused = store.transition(&batch.reference(), &uploaded(START), START).await;
    assert!(matches!(refused, Err(TransitionError::Refused(Refused::State(_)))), "{refused:?}");
    store.transition(&batch.reference(), &Transition::Cancel, START).await.unwrap();
    let added = store.add_batch(&new(&batch_at(&container, START))).await;
    assert!(matches!(added, Err(AddBatchError::NotFound)), "{added:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_fails_is_no_refusal() {
    let (network, _, store, container) = faulty().await;
    network.target("GetItem", 100, Fault::Answer(500, ""));
    let added = store.add_batch(&keyed(&batch_at(&container, START))).await;
    assert!(matches!(added, Err(AddBatchError::Store(StoreError::Unavailable(_)))), "{added:?}");
    network.clear();
    assert_eq!(counts(&store, &container).await.total(), 0);
}
