//! What DynamoDB adds to the contract of jobs: places, pages, shards, and forms of items.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use willcall_aws::{DUE_AT, DUE_SHARD, DUE_SHARDS, DynamoJobStore, PARTITION_KEY, SORT_KEY, TTL};
use willcall_conformance::samples::{START, account, claim, complete, job};
use willcall_core::{
    job::{Job, Transition},
    ports::{InsertError, JobFilter, JobStore, StoreError, TransitionError},
};

use crate::place::Place;

pub(crate) type Item = HashMap<String, AttributeValue>;

impl Place {
    pub(crate) fn jobs(&self) -> Arc<dyn JobStore> {
        Arc::new(DynamoJobStore::new(&self.clients, &self.name))
    }

    fn s(value: impl Into<String>) -> AttributeValue {
        AttributeValue::S(value.into())
    }

    pub(crate) async fn job_item(&self, job: &Job) -> Item {
        let get = self.raw_dynamodb.get_item().table_name(&self.name);
        let get = get.key(PARTITION_KEY, Self::s(format!("ACCOUNT#{}", job.account)));
        get.key(SORT_KEY, Self::s(format!("JOB#{}", job.id))).send().await.unwrap().item.unwrap()
    }

    pub(crate) async fn put_item(&self, item: Item) {
        self.raw_dynamodb.put_item().table_name(&self.name).set_item(Some(item)).send().await.unwrap();
    }

    /// The places that are taken: who has which.
    pub(crate) async fn slots(&self, name: &str) -> HashMap<String, String> {
        let query = self.raw_dynamodb.query().table_name(&self.name);
        let found = query
            .key_condition_expression("pk = :pk AND begins_with(sk, :slot)")
            .expression_attribute_values(":pk", Self::s(format!("ACCOUNT#{name}")))
            .expression_attribute_values(":slot", Self::s("SLOT#"))
            .send()
            .await
            .unwrap();
        let text = |item: &Item, name: &str| item[name].as_s().unwrap().clone();
        found.items().iter().map(|item| (text(item, SORT_KEY), text(item, "job"))).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_inserts_at_once_fill_sixty_four_places() {
    let place = Place::new().await;
    let inserts = (0..64).map(|_| {
        let (store, job) = (place.jobs(), job("acme"));
        tokio::spawn(async move { store.insert(&job, 64).await.map(|()| job.id.to_string()) })
    });
    let mut made: Vec<String> =
        join_all(inserts).await.into_iter().map(|outcome| outcome.unwrap().unwrap()).collect();
    let slots = place.slots("acme").await;
    let mut holders: Vec<String> = slots.values().cloned().collect();
    made.sort();
    holders.sort();
    assert_eq!(holders, made, "every job has a place of its own");
    assert!((0..64).all(|slot| slots.contains_key(&format!("SLOT#{slot}"))));
    assert!(matches!(place.jobs().insert(&job("acme"), 64).await, Err(InsertError::TooManyOpenJobs)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_another_has_meanwhile_is_not_given_back() {
    let place = Place::new().await;
    let (store, mine) = (place.jobs(), job("acme"));
    store.insert(&mine, 1).await.unwrap();
    let mut slot = Item::from([(PARTITION_KEY.to_owned(), Place::s("ACCOUNT#acme"))]);
    slot.insert(SORT_KEY.to_owned(), Place::s("SLOT#0"));
    slot.insert("job".to_owned(), Place::s("another"));
    place.put_item(slot).await;
    let ended = store.transition(&mine.reference(), &Transition::Cancel, START).await.unwrap();
    assert!(ended.state.is_terminal(), "the job ends all the same");
    assert_eq!(place.slots("acme").await["SLOT#0"], "another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_has_what_the_index_and_the_expiry_need_and_no_more() {
    let place = Place::new().await;
    let (store, job) = (place.jobs(), job("acme"));
    store.insert(&job, 10).await.unwrap();
    let item = place.job_item(&job).await;
    assert_eq!(item[DUE_AT].as_n().unwrap(), &job.due_at.unwrap().as_millis().to_string());
    assert!(item.contains_key("slot") && !item.contains_key(TTL));
    store.transition(&job.reference(), &claim(), START).await.unwrap();
    let done = store.transition(&job.reference(), &complete(1), START).await.unwrap();
    let item = place.job_item(&job).await;
    assert!(!item.contains_key("slot"), "the place is given back");
    let ttl: i64 = item[TTL].as_n().unwrap().parse().unwrap();
    let kept = done.expires.unwrap().plus(willcall_core::job::RECORD_KEPT).as_seconds();
    assert!(ttl > kept, "DynamoDB comes after the sweeper");
    let mut never = willcall_conformance::samples::job("acme");
    never.due_at = None;
    store.insert(&never, 10).await.unwrap();
    let item = place.job_item(&never).await;
    assert!(!item.contains_key(DUE_AT) && !item.contains_key(DUE_SHARD), "the index is sparse");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_jobs_of_all_shards_come_in_the_order_of_their_times() {
    let place = Place::new().await;
    let store = place.jobs();
    let mut expected = Vec::new();
    for n in 0..60_u64 {
        let mut job = job("acme");
        job.due_at = Some(START.plus(Duration::from_secs(n * 37 % 60)));
        store.insert(&job, 100).await.unwrap();
        expected.push((job.due_at.unwrap(), job.reference()));
    }
    expected.sort();
    let mut shards: Vec<u32> = Vec::new();
    for (_, job) in &expected {
        let mut stored = willcall_conformance::samples::job("acme");
        stored.id = job.job;
        shards.push(place.job_item(&stored).await[DUE_SHARD].as_n().unwrap().parse().unwrap());
    }
    assert!(shards.iter().all(|shard| *shard < DUE_SHARDS));
    shards.sort_unstable();
    shards.dedup();
    assert!(shards.len() > 8, "{shards:?}");
    let expected: Vec<_> = expected.into_iter().map(|(_, job)| job).collect();
    let minute = START.plus(Duration::from_secs(60));
    assert_eq!(store.due(minute, 100).await.unwrap(), expected);
    assert_eq!(store.due(minute, 7).await.unwrap(), expected[..7]);
    let half = START.plus(Duration::from_secs(29));
    assert_eq!(store.due(half, 100).await.unwrap(), expected[..30]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_many_jobs_is_read_within_bounds_and_comes_to_its_end() {
    let place = Place::new().await;
    let store = place.jobs();
    let mut template = job("acme");
    store.insert(&template, 10).await.unwrap();
    let item = place.job_item(&template).await;
    // 400 jobs of 20 KB: 8 MB, more than one call may read.
    let writes = (0..16).map(|_| {
        let (dynamodb, name, item) = (place.raw_dynamodb.clone(), place.name.clone(), item.clone());
        let mut job = template.clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                job.id = willcall_core::JobId::generate();
                job.labels.insert("pad".into(), "x".repeat(20_000));
                let mut item = item.clone();
                item.insert(SORT_KEY.into(), Place::s(format!("JOB#{}", job.id)));
                item.insert("body".into(), Place::s(serde_json::to_string(&job).unwrap()));
                dynamodb.put_item().table_name(&name).set_item(Some(item)).send().await.unwrap();
            }
        })
    });
    for written in join_all(writes).await {
        written.unwrap();
    }
    template.name = Some("none".into());
    let none = JobFilter { name: template.name, ..JobFilter::default() };
    let (mut calls, mut before) = (0, None);
    loop {
        let page = store.list(&account("acme"), &none, before, 50).await.unwrap();
        assert!(page.jobs.is_empty());
        calls += 1;
        let Some(next) = page.next else { break };
        before = Some(next);
    }
    assert!((2..10).contains(&calls), "{calls} calls for 8 MB");
    let all = store.list(&account("acme"), &JobFilter::default(), None, 50).await.unwrap();
    assert_eq!(all.jobs.len(), 50);
    assert_eq!(all.next, all.jobs.last().map(|job| job.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_and_damaged_items_are_refused() {
    let place = Place::new().await;
    let (store, job) = (place.jobs(), job("acme"));
    store.insert(&job, 10).await.unwrap();
    let item = place.job_item(&job).await;
    for (name, value) in
        [("schema", AttributeValue::N("2".into())), ("body", Place::s("{")), ("body", Place::s("{}"))]
    {
        let mut damaged = item.clone();
        damaged.insert(name.into(), value);
        place.put_item(damaged).await;
        assert!(matches!(store.get(&job.reference()).await, Err(StoreError::Corrupt(_))), "{name}");
        let list = store.list(&job.account, &JobFilter::default(), None, 10).await;
        assert!(matches!(list, Err(StoreError::Corrupt(_))), "{name}");
        let change = store.transition(&job.reference(), &Transition::Cancel, START).await;
        assert!(matches!(change, Err(TransitionError::Store(StoreError::Corrupt(_)))), "{name}");
    }
}
