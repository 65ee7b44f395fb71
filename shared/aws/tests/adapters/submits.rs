//! What DynamoDB adds to the contract of submits: items that go by themselves, lost answers, and conflicts.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use willcall_aws::{PARTITION_KEY, SORT_KEY, TTL};
use willcall_conformance::samples::{START, account, claim, complete, job, work};
use willcall_core::{
    idempotency::{IdempotencyKey, Made, NewKey, RequestHash},
    job::{Identity, Job, Reuse},
    ports::{Consumed, InsertError, NewJob, Submitted},
};

use crate::{
    faulty::{Fault, Faulty},
    place::Place,
};

const CONFLICT: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"cancelled","CancellationReasons":[{"Code":"TransactionConflict"},{"Code":"None"},{"Code":"None"}]}"#;
const DENIED: &str = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}"#;

async fn faulty() -> (Faulty, Place) {
    let network = Faulty::new();
    let place = Place::through(SharedHttpClient::new(network.clone())).await;
    (network, place)
}

fn key() -> NewKey {
    let key = "k".parse::<IdempotencyKey>().unwrap().hash();
    NewKey { key, request: RequestHash::of("/v1/jobs", &()).unwrap(), status: 202 }
}

fn identity() -> Identity {
    Identity::of(&account("acme"), "v1", &work()).unwrap()
}

/// A job with everything that can go with one.
fn whole(job: Job, reuse: bool) -> NewJob {
    NewJob {
        submits_per_minute: Some(100),
        key: Some(key()),
        identity: Some(identity()),
        reuse: reuse.then(Reuse::default),
        ..NewJob::plain(job, 10)
    }
}

impl Place {
    /// The account's items whose sort keys begin with `prefix`.
    async fn items(&self, prefix: &str) -> Vec<HashMap<String, AttributeValue>> {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let query = self.raw_dynamodb.query().table_name(&self.name);
        let found = query
            .key_condition_expression(format!("{PARTITION_KEY} = :pk AND begins_with({SORT_KEY}, :sk)"))
            .expression_attribute_values(":pk", text("ACCOUNT#acme"))
            .expression_attribute_values(":sk", text(prefix))
            .send()
            .await
            .unwrap();
        found.items.unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_beside_a_job_goes_by_itself() {
    let place = Place::new().await;
    let (store, job) = (place.jobs(), job("acme"));
    store.submit(&whole(job.clone(), false)).await.unwrap();
    store.transition(&job.reference(), &claim(), START).await.unwrap();
    let done = store.transition(&job.reference(), &complete(1), START).await.unwrap();
    for (prefix, at_least) in [
        ("IDEMPOTENCY#", START.as_seconds() + 86_400),
        ("IDENTITY#", done.expires.unwrap().as_seconds()),
        ("SUBMITS#", START.as_seconds() + 60),
        ("DELIVERED#", START.as_seconds() + 86_400),
    ] {
        let items = place.items(prefix).await;
        assert_eq!(items.len(), 1, "{prefix}");
        let ttl: i64 = items[0][TTL].as_n().unwrap().parse().unwrap();
        assert!(ttl > at_least, "{prefix}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submit_whose_answer_was_lost_is_made_and_counted_once() {
    for reuse in [false, true] {
        let (network, place) = faulty().await;
        let (store, mine) = (place.jobs(), job("acme"));
        network.target("TransactWriteItems", 1, Fault::AnswerLost);
        let made = store.submit(&whole(mine.clone(), reuse)).await.unwrap();
        assert_eq!(made, Submitted::Inserted { submits: Some(1) });
        assert_eq!(network.count("TransactWriteItems"), 2);
        assert_eq!((place.items("JOB#").await.len(), place.slots("acme").await.len()), (1, 1));
        let again = store.submit(&whole(job("acme"), reuse)).await.unwrap();
        assert!(
            matches!(again, Submitted::Known(record) if record.made == Made::Job(mine.id)),
            "another's is a repetition"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_whose_answer_was_lost_is_still_a_join() {
    let (network, place) = faulty().await;
    let (store, first) = (place.jobs(), job("acme"));
    let plain = NewJob { identity: Some(identity()), ..NewJob::plain(first.clone(), 10) };
    store.submit(&plain).await.unwrap();
    network.target("PutItem", 1, Fault::AnswerLost);
    let joined = store.submit(&whole(job("acme"), true)).await.unwrap();
    assert_eq!(joined, Submitted::Joined(Box::new(first)));
    assert_eq!(place.items("JOB#").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_whose_answer_was_lost_is_added_to_the_day_once() {
    let (network, place) = faulty().await;
    let (store, mine) = (place.jobs(), job("acme"));
    store.insert(&mine, 10).await.unwrap();
    store.transition(&mine.reference(), &claim(), START).await.unwrap();
    network.target("TransactWriteItems", 1, Fault::AnswerLost);
    store.transition(&mine.reference(), &complete(1), START).await.unwrap();
    let expected = Consumed { submits: 0, records: 10, bytes: 100 };
    assert_eq!(store.consumed(&mine.account, START).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_that_pass_are_not_seen_and_those_that_stay_say_that_the_key_is_in_use() {
    let (network, place) = faulty().await;
    let store = place.jobs();
    network.target("TransactWriteItems", 5, Fault::Answer(400, CONFLICT));
    let made = store.submit(&whole(job("acme"), true)).await.unwrap();
    assert_eq!(made, Submitted::Inserted { submits: Some(1) });
    network.target("TransactWriteItems", 1_000, Fault::Answer(400, CONFLICT));
    let mut other = key();
    other.key = "other".parse::<IdempotencyKey>().unwrap().hash();
    let stuck = NewJob { key: Some(other.clone()), ..NewJob::plain(job("acme"), 10) };
    assert!(matches!(store.submit(&stuck).await, Err(InsertError::KeyInUse)));
    assert_eq!(store.key(&stuck.job.account, &other.key, START).await.unwrap(), None);
    let keyless = NewJob::plain(job("acme"), 10);
    assert!(
        matches!(store.submit(&keyless).await, Err(InsertError::Store(_))),
        "without a key it is a busy store"
    );
    assert_eq!(place.items("JOB#").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_that_cannot_be_noted_costs_no_job() {
    let (network, place) = faulty().await;
    let (store, mine) = (place.jobs(), job("acme"));
    network.target("PutItem", 100, Fault::Answer(400, DENIED));
    network.target("GetItem", 100, Fault::Answer(400, DENIED));
    let made = store.submit(&whole(mine.clone(), false)).await.unwrap();
    assert_eq!(made, Submitted::Inserted { submits: None }, "nor does a count that cannot be read");
    assert!(place.items("IDENTITY#").await.is_empty());
    assert_eq!(place.items("JOB#").await.len(), 1);
}
