//! DynamoDB and SQS that throttle, fail, lose answers or fall silent.

use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use willcall_aws::{DynamoAccounts, SqsJobQueue};
use willcall_conformance::samples::{START, claim, complete, job, reference};
use willcall_core::{
    chain,
    job::{JobState, Transition},
    ports::{Accounts, InsertError, JobQueue, StoreError, TransitionError},
};

use crate::{
    faulty::{Fault, Faulty},
    place::Place,
};

const THROTTLED: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}"#;
const CONFLICT: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"cancelled","CancellationReasons":[{"Code":"TransactionConflict"},{"Code":"None"}]}"#;
const LOST_RACE: &str =
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"no"}"#;
const BUSY: &str =
    r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":"busy"}"#;
const DENIED: &str = r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}"#;

async fn faulty() -> (Faulty, Place) {
    let network = Faulty::new();
    let place = Place::through(SharedHttpClient::new(network.clone())).await;
    (network, place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_and_failures_that_pass_are_not_seen() {
    let (network, place) = faulty().await;
    let (store, job) = (place.jobs(), job("acme"));
    network.target("TransactWriteItems", 2, Fault::Answer(400, THROTTLED));
    store.insert(&job, 10).await.unwrap();
    network.target("GetItem", 2, Fault::Answer(500, ""));
    network.target("PutItem", 1, Fault::Answer(400, THROTTLED));
    store.transition(&job.reference(), &claim(), START).await.unwrap();
    assert_eq!((network.count("TransactWriteItems"), network.count("PutItem")), (3, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_that_stays_is_unavailable_and_says_so() {
    let (network, place) = faulty().await;
    let (store, job) = (place.jobs(), job("acme"));
    network.target("TransactWriteItems", 100, Fault::Answer(400, THROTTLED));
    let Err(InsertError::Store(error @ StoreError::Unavailable(_))) = store.insert(&job, 10).await else {
        panic!("it was throttled");
    };
    assert!(chain(&error).contains("TransactWriteItems failed with ProvisionedThroughputExceeded"));
    assert!(network.count("TransactWriteItems") < 10, "tries are bounded");
    network.target("GetItem", 100, Fault::Answer(400, DENIED));
    let error = store.get(&job.reference()).await.unwrap_err();
    assert!(chain(&error).contains("AccessDenied"), "{}", chain(&error));
    assert_eq!(network.count("GetItem"), 1, "what will not pass is not tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_whose_answer_was_lost_is_made_once() {
    let (network, place) = faulty().await;
    let (store, mine) = (place.jobs(), job("acme"));
    network.target("TransactWriteItems", 1, Fault::AnswerLost);
    store.insert(&mine, 10).await.unwrap();
    assert_eq!(network.count("TransactWriteItems"), 2);
    assert_eq!(place.slots("acme").await.len(), 1);
    assert!(matches!(store.insert(&mine, 10).await, Err(InsertError::Exists)), "another insert is another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_answer_was_lost_is_made_once() {
    let (network, place) = faulty().await;
    let (store, mine) = (place.jobs(), job("acme"));
    store.insert(&mine, 10).await.unwrap();
    network.target("PutItem", 1, Fault::AnswerLost);
    let claimed = store.transition(&mine.reference(), &claim(), START).await.unwrap();
    assert_eq!(claimed.attempt, 1, "not refused as leased by another");
    network.target("TransactWriteItems", 1, Fault::AnswerLost);
    let done = store.transition(&mine.reference(), &complete(1), START).await.unwrap();
    assert_eq!((done.state, done.version), (JobState::Completed, 3));
    assert!(place.slots("acme").await.is_empty());
    network.target("DeleteItem", 1, Fault::AnswerLost);
    assert!(store.delete(&mine.reference()).await.unwrap(), "it was there, and is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_are_tried_again_and_judged_anew() {
    let (network, place) = faulty().await;
    let (store, mine) = (place.jobs(), job("acme"));
    network.target("TransactWriteItems", 5, Fault::Answer(400, CONFLICT));
    store.insert(&mine, 10).await.unwrap();
    assert_eq!(network.count("TransactWriteItems"), 6);
    network.target("PutItem", 2, Fault::Answer(400, LOST_RACE));
    network.target("PutItem", 1, Fault::Answer(400, BUSY));
    store.transition(&mine.reference(), &claim(), START).await.unwrap();
    assert_eq!(network.count("PutItem"), 4);
    assert_eq!(network.count("GetItem"), 4, "each try reads the job anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_without_end_come_to_one() {
    let (network, place) = faulty().await;
    let (store, mine) = (place.jobs(), job("acme"));
    store.insert(&mine, 10).await.unwrap();
    network.target("PutItem", 1_000, Fault::Answer(400, LOST_RACE));
    let outcome = store.transition(&mine.reference(), &claim(), START).await;
    assert!(matches!(outcome, Err(TransitionError::Store(StoreError::Unavailable(_)))), "{outcome:?}");
    assert_eq!(store.get(&mine.reference()).await.unwrap(), Some(mine));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_in_time() {
    let (network, place) = faulty().await;
    let (store, began) = (place.jobs(), Instant::now());
    network.target("GetItem", 1, Fault::Silence);
    assert_eq!(store.get(&reference("acme")).await.unwrap(), None, "the next try is answered");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_a_job_that_ended_meanwhile_is_refused() {
    let (network, place) = faulty().await;
    let (store, mine) = (place.jobs(), job("acme"));
    store.insert(&mine, 10).await.unwrap();
    store.transition(&mine.reference(), &Transition::Cancel, START).await.unwrap();
    let late = store.transition(&mine.reference(), &complete(0), START).await;
    assert!(matches!(late, Err(TransitionError::Refused(_))));
    assert_eq!(network.count("PutItem"), 0, "nothing was written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_that_cannot_be_read_are_no_missing_accounts() {
    let (network, place) = faulty().await;
    let accounts = DynamoAccounts::new(&place.clients, &place.name);
    network.target("GetItem", 100, Fault::Answer(500, ""));
    let error = accounts.account(&reference("acme").account).await.unwrap_err();
    assert!(chain(&error).contains("GetItem failed"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_fails_for_a_moment_is_tried_again_and_for_good_is_an_error() {
    let (network, place) = faulty().await;
    let queue = SqsJobQueue::new(&place.clients, &place.queue_url);
    network.target("SendMessage", 2, Fault::Answer(500, ""));
    queue.send(&reference("acme"), Duration::ZERO).await.unwrap();
    network.target("SendMessage", 100, Fault::Answer(503, ""));
    let error = queue.send(&reference("acme"), Duration::ZERO).await.unwrap_err();
    assert!(chain(&error).contains("SendMessage failed"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_an_account_are_a_group() {
    let place = Place::new().await;
    let queue = SqsJobQueue::new(&place.clients, &place.queue_url);
    queue.send(&reference("acme"), Duration::ZERO).await.unwrap();
    let receive = place.raw_sqs.receive_message().queue_url(&place.queue_url);
    let received = receive.message_system_attribute_names("All".into()).send().await.unwrap();
    let attributes = received.messages()[0].attributes().unwrap();
    assert_eq!(attributes[&"MessageGroupId".into()], "acme");
}
