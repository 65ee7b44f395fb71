//! The adapters of webhooks keep the contracts of their ports, and the key of their secrets is one for all.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use futures::future::join_all;
use willcall_aws::{
    DUE_AT, DUE_SHARD, DUE_SHARDS, DynamoJobStore, DynamoWebhookStore, NOTICE_SHARDS_FROM, PARTITION_KEY,
    S3VaultKey, SORT_KEY, SqsNoticeQueue, VAULT_KEY_OBJECT, parse_notice,
};
use willcall_aws_test::Emulator;
use willcall_conformance::{
    notice_queue::NoticeQueueHarness,
    samples::{START, claim, complete, job},
    webhook_store::WebhookStoreHarness,
};
use willcall_core::{
    chain,
    job::Job,
    ports::{JobStore, Notice, NoticeQueue, VaultKey, WebhookStore},
    webhook::{Delivery, LOG_KEPT, Method, NotifyAddress, Target},
};

use crate::{
    faulty::{Fault, Faulty},
    place::Place,
};

#[async_trait]
impl WebhookStoreHarness for Place {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn jobs(&self) -> Arc<dyn JobStore> {
        Arc::new(DynamoJobStore::new(&self.clients, &self.name))
    }

    fn webhooks(&self) -> Arc<dyn WebhookStore> {
        Arc::new(DynamoWebhookStore::new(&self.clients, &self.name))
    }
}

#[async_trait]
impl NoticeQueueHarness for Place {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn queue(&self) -> Arc<dyn NoticeQueue> {
        Arc::new(SqsNoticeQueue::new(&self.clients, &self.queue_url))
    }

    async fn receive(&self) -> Option<Notice> {
        let receive = self.raw_sqs.receive_message().queue_url(&self.queue_url).max_number_of_messages(1);
        let message = receive.send().await.unwrap().messages?.pop()?;
        let delete = self.raw_sqs.delete_message().queue_url(&self.queue_url);
        delete.receipt_handle(message.receipt_handle()?).send().await.unwrap();
        Some(parse_notice(message.body()?).unwrap())
    }

    async fn pass(&self, time: Duration) {
        Emulator::of_this_run().advance(time);
    }
}

mod webhook_store {
    willcall_conformance::webhook_store_suite!(super::Place);
}
mod notice_queue {
    willcall_conformance::notice_queue_suite!(super::Place);
}

#[tokio::test]
async fn everybody_who_asks_at_once_gets_the_same_key() {
    let place = Place::new().await;
    let keys = (0..8).map(|_| {
        let key = S3VaultKey::new(&place.clients, &place.name);
        tokio::spawn(async move { key.key().await.unwrap() })
    });
    let keys: Vec<[u8; 32]> = join_all(keys).await.into_iter().map(|key| key.unwrap()).collect();
    assert!(keys.iter().all(|key| *key == keys[0]) && keys[0] != [0; 32]);
    let put = place.raw_s3.put_object().bucket(&place.name).key(VAULT_KEY_OBJECT);
    put.body(b"short".to_vec().into()).send().await.unwrap();
    let error = S3VaultKey::new(&place.clients, &place.name).key().await.unwrap_err().to_string();
    assert!(error.contains("holds 5 bytes"), "{error}");
}

const FORBIDDEN: &str =
    "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

/// The network of a role that may not do everything, and the key by it.
async fn key_of_a_role() -> (Faulty, Place, S3VaultKey) {
    let network = Faulty::new();
    let place = Place::through(SharedHttpClient::new(network.clone())).await;
    let key = S3VaultKey::new(&place.clients, &place.name);
    (network, place, key)
}

/// As S3 answers those who may list what begins with the key's name, and nothing else.
#[tokio::test]
async fn a_refusal_for_want_of_an_object_makes_the_key() {
    let (network, _place, key) = key_of_a_role().await;
    network.address("GET", "/keys/webhooks", 1, Fault::Answer(403, FORBIDDEN));
    let made = key.key().await.unwrap();
    assert_eq!((network.count("GET"), network.count("PUT")), (3, 1), "read, listed, made, read");
    assert_eq!(key.key().await.unwrap(), made);
}

#[tokio::test]
async fn a_key_that_may_not_be_read_is_not_replaced_and_the_error_says_what_is_missing() {
    let (network, place, key) = key_of_a_role().await;
    let made = S3VaultKey::new(&place.clients, &place.name).key().await.unwrap();
    let puts = network.count("PUT");
    for (method, part, missing) in [
        ("GET", "/keys/webhooks", "s3:GetObject on keys/webhooks"),
        ("GET", &*place.name, "s3:ListBucket on the bucket for the prefix keys/*"),
    ] {
        network.address(method, part.to_owned(), 10, Fault::Answer(403, FORBIDDEN));
        let error = chain(&*key.key().await.unwrap_err());
        assert!(error.contains(missing) && error.contains("AccessDenied"), "{error}");
        network.clear();
    }
    assert_eq!(network.count("PUT"), puts, "nothing is put in its place");
    assert_eq!(key.key().await.unwrap(), made);
}

#[tokio::test]
async fn a_key_that_may_not_be_made_says_what_is_missing() {
    let (network, _place, key) = key_of_a_role().await;
    network.address("PUT", "/keys/webhooks", 10, Fault::Answer(403, FORBIDDEN));
    let error = chain(&*key.key().await.unwrap_err());
    assert!(error.contains("s3:PutObject on keys/webhooks"), "{error}");
}

#[tokio::test]
async fn due_jobs_and_due_notices_do_not_meet() {
    let place = Place::new().await;
    let (jobs, webhooks) = (WebhookStoreHarness::jobs(&place), place.webhooks());
    let address = NotifyAddress { url: "https://example.com/".into(), method: Method::Post };
    let fresh = Job { notify: vec![address], ..job("acme") };
    jobs.insert(&fresh, 10).await.unwrap();
    jobs.transition(&fresh.reference(), &claim(), START).await.unwrap();
    let done = jobs.transition(&fresh.reference(), &complete(1), START).await.unwrap();
    let later = START.plus(LOG_KEPT);
    assert_eq!(jobs.due(later, 100).await.unwrap(), [done.reference()]);
    let due = webhooks.due_notices(later, 100).await.unwrap();
    assert!(
        matches!(due.as_slice(), [(_, Notice::Event(event))] if event.job == done.reference()),
        "{due:?}"
    );
}

#[tokio::test]
async fn what_is_due_and_cannot_be_read_hides_nothing() {
    let place = Place::new().await;
    let (jobs, webhooks) = (WebhookStoreHarness::jobs(&place), place.webhooks());
    let address = NotifyAddress { url: "https://example.com/".into(), method: Method::Post };
    let fresh = Job { notify: vec![address], ..job("acme") };
    jobs.insert(&fresh, 10).await.unwrap();
    jobs.transition(&fresh.reference(), &claim(), START).await.unwrap();
    jobs.transition(&fresh.reference(), &complete(1), START).await.unwrap();
    for shard in 0..NOTICE_SHARDS_FROM + DUE_SHARDS {
        let number = |number: u32| AttributeValue::N(number.to_string());
        let put = place.raw_dynamodb.put_item().table_name(&place.name);
        let put = put.item(PARTITION_KEY, AttributeValue::S("ACCOUNT#acme".into()));
        let put = put.item(SORT_KEY, AttributeValue::S(format!("STRANGE#{shard}")));
        put.item(DUE_SHARD, number(shard)).item(DUE_AT, number(1)).send().await.unwrap();
    }
    let later = START.plus(LOG_KEPT);
    // Nor do they use the limit up.
    for limit in [1, 100] {
        assert_eq!(jobs.due(later, limit).await.unwrap(), [fresh.reference()]);
        assert_eq!(webhooks.due_notices(later, limit).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn events_and_deliveries_are_told_to_expire() {
    let place = Place::new().await;
    let (jobs, webhooks) = (WebhookStoreHarness::jobs(&place), place.webhooks());
    let address = NotifyAddress { url: "https://example.com/".into(), method: Method::Post };
    let fresh = Job { notify: vec![address], ..job("acme") };
    jobs.insert(&fresh, 10).await.unwrap();
    jobs.transition(&fresh.reference(), &claim(), START).await.unwrap();
    jobs.transition(&fresh.reference(), &complete(1), START).await.unwrap();
    let event = willcall_core::webhook::EventRef { job: fresh.reference(), sequence: 1 };
    let event = webhooks.event(&event).await.unwrap().unwrap();
    let delivery = Delivery::new(&event, Target::Address(0), None, Method::Post, START);
    assert!(webhooks.save_event(&event.after_telling(), &[delivery]).await.unwrap());
    let items = place.raw_dynamodb.scan().table_name(&place.name).send().await.unwrap();
    let told = items.items().iter().filter(|item| {
        let key = item["sk"].as_s().unwrap();
        key.starts_with("EVENT#") || key.starts_with("DELIVERY#")
    });
    let expected = START.plus(LOG_KEPT).as_seconds() + 7 * 86_400;
    let ttls: Vec<&str> = told.map(|item| item["ttl"].as_n().unwrap().as_str()).collect();
    assert_eq!(ttls, [expected.to_string(), expected.to_string()]);
}
