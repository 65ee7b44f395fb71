//! Endpoints, events and deliveries in DynamoDB, among the items of their account.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use serde::{Serialize, de::DeserializeOwned};
use willcall_core::{
    AccountId, JobId, JobRef, Timestamp,
    idempotency::{KeyHash, KeyRecord},
    ports::{Notice, SavedOnce, StoreError, WebhookStore},
    webhook::{Delivery, DeliveryId, DeliveryRef, Event, EventRef, LOG_KEPT, Subscriptions, WEBHOOK_SCHEMA},
};

use crate::{
    Clients,
    backoff::{Backoff, write_id},
    dynamo::{
        Answer, DUE_AT, DUE_SHARD, DUE_SHARDS, If, Item, NOTICE_SHARDS_FROM, PARTITION_KEY, SORT_KEY, TTL,
        Table, Unreadable, Write, key, number, refuse_newer, text,
    },
    failure::CallFailed,
    job_store::{key_item, read_key, unknown_at},
};

const ACCOUNT: &str = "ACCOUNT#";
const WEBHOOKS: &str = "WEBHOOKS";
const EVENT: &str = "EVENT#";
const DELIVERY: &str = "DELIVERY#";
const VERSION: &str = "version";
const WRITE: &str = "write";
const BODY: &str = "body";
const LISTENING: &str = "listening";
/// How long after the sweeper should have removed a record DynamoDB does it by itself.
const TTL_GRACE: i64 = 7 * 86_400;
/// Items that are removed at once.
const AT_ONCE: usize = 8;

/// The webhooks on DynamoDB.
///
/// [`due_notices`](WebhookStore::due_notices) reads an index that follows the table by some milliseconds.
#[derive(Debug, Clone)]
pub struct DynamoWebhookStore {
    table: Table,
}

impl DynamoWebhookStore {
    /// The webhooks of that table.
    pub fn new(clients: &Clients, table: impl Into<String>) -> Self {
        Self { table: Table::new(clients, table) }
    }

    async fn read<T: DeserializeOwned>(&self, key: Item) -> Result<Option<T>, StoreError> {
        let item = self.table.get(key).await.map_err(unavailable)?;
        item.as_ref().map(parse).transpose().map_err(corrupt)
    }

    /// Makes the writes, the first of which has the key and is named `write`. `Some` where they were refused: the places of
    /// those whose conditions did not hold. A write whose answer was lost, and which was sent again, is recognised.
    async fn put(
        &self,
        key: Item,
        write: &str,
        writes: Vec<Write>,
    ) -> Result<Option<Vec<usize>>, StoreError> {
        let mut backoff = Backoff::default();
        loop {
            match self.table.write(writes.clone()).await.map_err(unavailable)? {
                Answer::Written => return Ok(None),
                Answer::Refused(places) => {
                    let found = self.table.get(key).await.map_err(unavailable)?;
                    let ours = found.is_some_and(|item| text(&item, WRITE).is_ok_and(|name| name == write));
                    return Ok((!ours).then_some(places));
                }
                Answer::Busy => {
                    backoff.wait().await.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
                }
            }
        }
    }

    async fn save(&self, key: Item, mut item: Item, version: u64) -> Result<bool, StoreError> {
        let write = name(&mut item)?;
        let refused = self.put(key, &write, vec![Write::Put(item, follows(version))]).await?;
        Ok(refused.is_none())
    }

    /// Every item of the account's partition whose sort key begins so.
    async fn items(&self, account: &AccountId, prefix: &str) -> Result<Vec<Item>, StoreError> {
        let query = self.table.between(&partition(account), prefix, &format!("{prefix}\u{10ffff}"));
        let (mut items, mut from) = (Vec::new(), None);
        loop {
            let page = query.clone().set_exclusive_start_key(from).send().await;
            let page = page.map_err(|error| unavailable(CallFailed::new("Query", error)))?;
            from = page.last_evaluated_key.clone();
            items.extend(page.items.unwrap_or_default());
            if from.is_none() {
                return Ok(items);
            }
        }
    }
}

/// Whether an endpoint of the account is to be told of its jobs.
pub(crate) async fn is_listening(table: &Table, account: &AccountId) -> Result<bool, StoreError> {
    let item = table.get(subscriptions_key(account)).await.map_err(unavailable)?;
    let listening = item.as_ref().map(|item| number::<u32>(item, LISTENING)).transpose().map_err(corrupt)?;
    Ok(listening.flatten().unwrap_or(0) > 0)
}

/// The write of a new event, to be made with the change that causes it.
pub(crate) fn event_write(event: &Event) -> Result<Write, StoreError> {
    let mut item = event_item(event)?;
    name(&mut item)?;
    Ok(Write::Put(item, If::Always))
}

#[async_trait]
impl WebhookStore for DynamoWebhookStore {
    async fn subscriptions(&self, account: &AccountId) -> Result<Option<Subscriptions>, StoreError> {
        self.read(subscriptions_key(account)).await
    }

    async fn save_subscriptions(&self, subscriptions: &Subscriptions) -> Result<bool, StoreError> {
        let key = subscriptions_key(&subscriptions.account);
        self.save(key, subscriptions_item(subscriptions)?, subscriptions.version).await
    }

    async fn save_subscriptions_once(
        &self,
        subscriptions: &Subscriptions,
        key: &KeyHash,
        record: &KeyRecord,
        now: Timestamp,
    ) -> Result<SavedOnce, StoreError> {
        let account = &subscriptions.account;
        let mut item = subscriptions_item(subscriptions)?;
        let write = name(&mut item)?;
        let known =
            key_item(account, key, record, &write).map_err(|error| StoreError::Corrupt(Box::new(error)))?;
        let writes =
            vec![Write::Put(item, follows(subscriptions.version)), Write::Put(known, unknown_at(now))];
        if self.put(subscriptions_key(account), &write, writes).await?.is_none() {
            return Ok(SavedOnce::Saved);
        }
        let found = read_key(&self.table, account, key).await?;
        Ok(match found.filter(|found| found.record.is_live(now)) {
            // The answer was lost, and the next version has been kept since.
            Some(found) if found.write == write => SavedOnce::Saved,
            Some(found) => SavedOnce::Known(found.record),
            None => SavedOnce::Overtaken,
        })
    }

    async fn event(&self, event: &EventRef) -> Result<Option<Event>, StoreError> {
        self.read(event_key(event)).await
    }

    async fn save_event(&self, event: &Event, deliveries: &[Delivery]) -> Result<bool, StoreError> {
        let mut item = event_item(event)?;
        let write = name(&mut item)?;
        let mut new = Vec::new();
        for delivery in deliveries {
            let mut item = delivery_item(delivery)?;
            name(&mut item)?;
            new.push(item);
        }
        loop {
            let mut writes = vec![Write::Put(item.clone(), follows(event.version))];
            writes.extend(new.iter().map(|item| Write::Put(item.clone(), If::New)));
            match self.put(event_key(&event.reference()), &write, writes).await? {
                None => return Ok(true),
                Some(places) if places.contains(&0) => return Ok(false),
                Some(places) => {
                    // Those that are there already stay as they are.
                    let mut place = 0;
                    new.retain(|_| {
                        place += 1;
                        !places.contains(&place)
                    });
                }
            }
        }
    }

    async fn remove_event(&self, event: &EventRef) -> Result<(), StoreError> {
        let prefix = format!("{}{:010}#", job_prefix(DELIVERY, event.job.job), event.sequence);
        let account = &event.job.account;
        let found =
            self.table.sort_keys(&partition(account), &prefix).await.map_err(StoreError::Unavailable)?;
        let keys: Vec<Item> =
            found.iter().map(|rest| key(partition(account), format!("{prefix}{rest}"))).collect();
        for some in keys.chunks(AT_ONCE) {
            let removals =
                some.iter().map(|key| self.table.write(vec![Write::Delete(key.clone(), If::Always)]));
            try_join_all(removals).await.map_err(unavailable)?;
        }
        // Last, so that a removal which broke off is found again.
        self.table
            .write(vec![Write::Delete(event_key(event), If::Always)])
            .await
            .map(|_| ())
            .map_err(unavailable)
    }

    async fn deliveries(&self, job: &JobRef) -> Result<Vec<Delivery>, StoreError> {
        let items = self.items(&job.account, &job_prefix(DELIVERY, job.job)).await?;
        let mut deliveries =
            items.iter().map(parse).collect::<Result<Vec<Delivery>, _>>().map_err(corrupt)?;
        deliveries.sort_by_key(|delivery| delivery.id);
        Ok(deliveries)
    }

    async fn delivery(&self, delivery: &DeliveryRef) -> Result<Option<Delivery>, StoreError> {
        self.read(delivery_key(delivery)).await
    }

    async fn save_delivery(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        let item = delivery_item(delivery)?;
        self.save(delivery_key(&delivery.reference()), item, delivery.version).await
    }

    async fn due_notices(&self, now: Timestamp, limit: u32) -> Result<Vec<(Timestamp, Notice)>, StoreError> {
        let shards = NOTICE_SHARDS_FROM..NOTICE_SHARDS_FROM + DUE_SHARDS;
        self.table.due(shards, now, limit, notice).await.map_err(unavailable)
    }
}

/// What must hold of the record before one of that version.
fn follows(version: u64) -> If {
    match version {
        1 => If::New,
        version => If::Number(VERSION, version - 1),
    }
}

/// Gives the write of an item a name, and answers it.
fn name(item: &mut Item) -> Result<String, StoreError> {
    let write = write_id().map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    item.insert(WRITE.to_owned(), AttributeValue::S(write.clone()));
    Ok(write)
}

fn record(mut key: Item, schema: u32, version: u64, record: &impl Serialize) -> Result<Item, StoreError> {
    let body = serde_json::to_string(record).map_err(|error| StoreError::Corrupt(Box::new(error)))?;
    key.insert("schema".to_owned(), n(schema));
    key.insert(VERSION.to_owned(), n(version));
    key.insert(BODY.to_owned(), AttributeValue::S(body));
    Ok(key)
}

fn subscriptions_item(subscriptions: &Subscriptions) -> Result<Item, StoreError> {
    let key = subscriptions_key(&subscriptions.account);
    let mut item = record(key, subscriptions.schema, subscriptions.version, subscriptions)?;
    item.insert(LISTENING.to_owned(), n(u32::from(subscriptions.is_listening())));
    Ok(item)
}

fn event_item(event: &Event) -> Result<Item, StoreError> {
    let item = record(event_key(&event.reference()), event.schema, event.version, event)?;
    Ok(with_due(item, event.job, event.due_at, event.occurred))
}

fn delivery_item(delivery: &Delivery) -> Result<Item, StoreError> {
    let item = record(delivery_key(&delivery.reference()), delivery.schema, delivery.version, delivery)?;
    Ok(with_due(item, delivery.job, delivery.due_at, delivery.created))
}

fn with_due(mut item: Item, job: JobId, due_at: Option<Timestamp>, made: Timestamp) -> Item {
    if let Some(due) = due_at {
        item.insert(DUE_SHARD.to_owned(), n(NOTICE_SHARDS_FROM + crate::job_store::shard(job)));
        item.insert(DUE_AT.to_owned(), n(due.as_millis()));
    }
    item.insert(TTL.to_owned(), n(made.plus(LOG_KEPT).as_seconds() + TTL_GRACE));
    item
}

fn parse<T: DeserializeOwned>(item: &Item) -> Result<T, Unreadable> {
    refuse_newer(item, WEBHOOK_SCHEMA)?;
    serde_json::from_str(text(item, BODY)?)
        .map_err(|error| Unreadable::Value { attribute: BODY, source: Box::new(error) })
}

/// The event or delivery that an item's keys name.
fn notice(item: &Item) -> Result<Notice, Unreadable> {
    fn part<T: std::str::FromStr>(text: Option<&str>, attribute: &'static str) -> Result<T, Unreadable>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let text = text.ok_or(Unreadable::Attribute(attribute))?;
        text.parse().map_err(|error| Unreadable::Value { attribute, source: Box::new(error) })
    }
    let account = part(text(item, PARTITION_KEY)?.strip_prefix(ACCOUNT), PARTITION_KEY)?;
    let mut parts = text(item, SORT_KEY)?.split('#');
    let kind = parts.next();
    let job = JobRef { account, job: part(parts.next(), SORT_KEY)? };
    let sequence = part(parts.next(), SORT_KEY)?;
    match kind {
        Some("EVENT") => Ok(Notice::Event(EventRef { job, sequence })),
        Some("DELIVERY") => {
            let id: DeliveryId = part(parts.next(), SORT_KEY)?;
            Ok(Notice::Delivery(DeliveryRef { job, id }))
        }
        _ => Err(Unreadable::Attribute(SORT_KEY)),
    }
}

fn partition(account: &AccountId) -> String {
    format!("{ACCOUNT}{account}")
}

fn job_prefix(kind: &str, job: JobId) -> String {
    format!("{kind}{job}#")
}

fn subscriptions_key(account: &AccountId) -> Item {
    key(partition(account), WEBHOOKS)
}

fn event_key(event: &EventRef) -> Item {
    key(partition(&event.job.account), format!("{}{:010}", job_prefix(EVENT, event.job.job), event.sequence))
}

fn delivery_key(delivery: &DeliveryRef) -> Item {
    let (job, id) = (&delivery.job, delivery.id);
    key(partition(&job.account), format!("{}{:010}#{id}", job_prefix(DELIVERY, job.job), id.sequence))
}

fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn unavailable(error: CallFailed) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

fn corrupt(error: Unreadable) -> StoreError {
    StoreError::Corrupt(Box::new(error))
}
