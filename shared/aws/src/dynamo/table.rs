//! Calls of the table, with their failures sorted by what a store does next.

use std::{collections::HashMap, ops::Range};

use aws_sdk_dynamodb::{
    Client,
    error::ProvideErrorMetadata,
    operation::{query::builders::QueryFluentBuilder, transact_write_items::TransactWriteItemsError},
    types::{AttributeValue, ConditionCheck, Delete, KeysAndAttributes, Put, TransactWriteItem, Update},
};
use futures::future::try_join_all;
use willcall_core::{Timestamp, chain, error::Source, job::Before};

use super::{DUE_AT, DUE_INDEX, DUE_SHARD, Item, PARTITION_KEY, SORT_KEY, TTL, Unreadable, number};
use crate::{Clients, backoff::Backoff, failure::CallFailed};

/// The most keys of one call.
const MOST_KEYS: usize = 100;

/// How a conditional write came out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is written.
    Written,
    /// Nothing is written: the conditions of the writes at these places did not hold.
    Refused(Vec<usize>),
    /// Nothing is written: others wrote the same items at the same time, or there was too much at once.
    Busy,
}

/// What must hold of an item for it to be written.
#[derive(Debug, Clone)]
pub(crate) enum If {
    /// There is none of its key.
    New,
    /// There is one of its key.
    There,
    /// It has this number in this attribute.
    Number(&'static str, u64),
    /// It has this text in this attribute, or is not there.
    TextOrGone(&'static str, String),
    /// It has a number that is not greater in this attribute, or is not there.
    GoneOrAtMost(&'static str, i64),
    /// Nothing.
    Always,
}

impl If {
    /// The expression with its names and values.
    fn parts(self) -> Option<(&'static str, HashMap<String, String>, Option<Item>)> {
        let names = |name: &str| HashMap::from([("#a".to_owned(), name.to_owned())]);
        let value = |value| Some(Item::from([(":v".to_owned(), value)]));
        match self {
            Self::New => Some(("attribute_not_exists(#a)", names(PARTITION_KEY), None)),
            Self::There => Some(("attribute_exists(#a)", names(PARTITION_KEY), None)),
            Self::Number(name, number) => {
                Some(("#a = :v", names(name), value(AttributeValue::N(number.to_string()))))
            }
            Self::TextOrGone(name, text) => {
                Some(("attribute_not_exists(#a) OR #a = :v", names(name), value(AttributeValue::S(text))))
            }
            Self::GoneOrAtMost(name, number) => Some((
                "attribute_not_exists(#a) OR #a <= :v",
                names(name),
                value(AttributeValue::N(number.to_string())),
            )),
            Self::Always => None,
        }
    }
}

/// One write of a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// Puts the item in place of one of its key.
    Put(Item, If),
    /// Removes the item of the key.
    Delete(Item, If),
    /// Adds to numbers of the item, which count from 0, making the item where there is none.
    Add {
        /// The key of the item.
        key: Item,
        /// What is added to which attribute.
        amounts: Vec<(&'static str, u64)>,
        /// What must hold of which attribute before. One that is not there has no number that could be too great.
        before: Vec<(&'static str, Before)>,
        /// When DynamoDB removes the item by itself.
        ttl: i64,
    },
    /// Writes nothing, but stops the others unless the condition holds of the item of the key.
    Check(Item, If),
}

/// The key of an item.
pub(crate) fn key(partition: impl Into<String>, sort: impl Into<String>) -> Item {
    Item::from([
        (PARTITION_KEY.to_owned(), AttributeValue::S(partition.into())),
        (SORT_KEY.to_owned(), AttributeValue::S(sort.into())),
    ])
}

/// The table. Every read sees every earlier write.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    client: Client,
    name: String,
}

impl Table {
    pub(crate) fn new(clients: &Clients, name: impl Into<String>) -> Self {
        Self { client: clients.dynamodb.clone(), name: name.into() }
    }

    /// The item of the key.
    pub(crate) async fn get(&self, key: Item) -> Result<Option<Item>, CallFailed> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(key)).consistent_read(true);
        Ok(call.send().await.map_err(|error| CallFailed::new("GetItem", error))?.item)
    }

    /// Those items of the keys that are there, in no order.
    pub(crate) async fn get_all(&self, keys: Vec<Item>) -> Result<Vec<Item>, Source> {
        const CALL: &str = "BatchGetItem";
        let mut items = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MOST_KEYS) {
            let (mut left, mut backoff) = (keys.to_vec(), Backoff::default());
            loop {
                let keys = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(true).build();
                let keys = keys.map_err(|error| CallFailed::other(CALL, error))?;
                let call = self.client.batch_get_item().request_items(&self.name, keys);
                let found = call.send().await.map_err(|error| CallFailed::new(CALL, error))?;
                items.extend(found.responses.into_iter().flatten().flat_map(|(_, items)| items));
                // What was too much at once is asked for again.
                left = found.unprocessed_keys.into_iter().flatten().flat_map(|(_, keys)| keys.keys).collect();
                if left.is_empty() {
                    break;
                }
                backoff.wait().await?;
            }
        }
        Ok(items)
    }

    /// A query of the items of a partition whose sort keys lie between two, both included.
    pub(crate) fn between(&self, partition: &str, from: &str, to: &str) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :to")
            .expression_attribute_names("#pk", PARTITION_KEY)
            .expression_attribute_names("#sk", SORT_KEY)
            .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()))
            .expression_attribute_values(":from", AttributeValue::S(from.to_owned()))
            .expression_attribute_values(":to", AttributeValue::S(to.to_owned()))
    }

    /// What has been due longest at `now` in those shards of the index, at most `limit`, each read by `read` from its keys.
    /// The shards are asked at once. An index has no consistent reads; it follows the table by some milliseconds.
    pub(crate) async fn due<T: Ord>(
        &self,
        shards: Range<u32>,
        now: Timestamp,
        limit: u32,
        read: impl Fn(&Item) -> Result<T, Unreadable>,
    ) -> Result<Vec<(Timestamp, T)>, CallFailed> {
        let found = try_join_all(shards.map(|shard| self.due_in(shard, now, limit, &read))).await?;
        let mut due: Vec<_> = found.into_iter().flatten().collect();
        due.sort();
        due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(due)
    }

    /// What has been due longest in a shard: `limit`, or up to a page more.
    async fn due_in<T>(
        &self,
        shard: u32,
        now: Timestamp,
        limit: u32,
        read: &impl Fn(&Item) -> Result<T, Unreadable>,
    ) -> Result<Vec<(Timestamp, T)>, CallFailed> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(DUE_INDEX)
            .key_condition_expression("#shard = :shard AND #due <= :now")
            .expression_attribute_names("#shard", DUE_SHARD)
            .expression_attribute_names("#due", DUE_AT)
            .expression_attribute_values(":shard", AttributeValue::N(shard.to_string()))
            .expression_attribute_values(":now", AttributeValue::N(now.as_millis().to_string()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let (mut due, mut from) = (Vec::new(), None);
        loop {
            let page = query.clone().set_exclusive_start_key(from).send().await;
            let page = page.map_err(|error| CallFailed::new("Query", error))?;
            for item in page.items() {
                let at = number(item, DUE_AT).and_then(|at| at.ok_or(Unreadable::Attribute(DUE_AT)));
                match at.and_then(|at| Ok((Timestamp::from_millis(at), read(item)?))) {
                    Ok(found) => due.push(found),
                    // One that cannot be read must not hide the others.
                    Err(error) => tracing::error!(error = chain(&error), "failed to read what is due"),
                }
            }
            from = page.last_evaluated_key;
            if from.is_none() || due.len() >= limit as usize {
                return Ok(due);
            }
        }
    }

    /// The sort keys of the partition that begin with `prefix`, less the prefix.
    pub(crate) async fn sort_keys(&self, partition: &str, prefix: &str) -> Result<Vec<String>, Source> {
        let query =
            self.between(partition, prefix, &format!("{prefix}\u{10ffff}")).projection_expression("#sk");
        let (mut keys, mut from) = (Vec::new(), None);
        loop {
            let page = query
                .clone()
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(|error| CallFailed::new("Query", error))?;
            for item in page.items() {
                let key = super::text(item, SORT_KEY)?;
                keys.push(key.strip_prefix(prefix).unwrap_or(key).to_owned());
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(keys);
            }
        }
    }

    /// Makes all of the writes or none.
    pub(crate) async fn write(&self, writes: Vec<Write>) -> Result<Answer, CallFailed> {
        match <[Write; 1]>::try_from(writes) {
            Ok([Write::Put(item, condition)]) => self.put(item, condition).await,
            Ok([Write::Delete(key, condition)]) => self.delete(key, condition).await,
            Ok(writes @ [Write::Check(..) | Write::Add { .. }]) => self.transact(writes.into()).await,
            Err(writes) => self.transact(writes).await,
        }
    }

    async fn put(&self, item: Item, condition: If) -> Result<Answer, CallFailed> {
        let (expression, names, values) = split(condition);
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .set_condition_expression(expression)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values);
        single("PutItem", put.send().await)
    }

    async fn delete(&self, key: Item, condition: If) -> Result<Answer, CallFailed> {
        let (expression, names, values) = split(condition);
        let delete = self
            .client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key))
            .set_condition_expression(expression)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values);
        single("DeleteItem", delete.send().await)
    }

    /// Sets an attribute to a number unless the item has it; [`Answer::Refused`] where there is no such item.
    pub(crate) async fn set_once(&self, key: Item, name: &str, number: i64) -> Result<Answer, CallFailed> {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .set_key(Some(key))
            .update_expression("SET #n = if_not_exists(#n, :n)")
            .condition_expression("attribute_exists(#pk)")
            .expression_attribute_names("#n", name)
            .expression_attribute_names("#pk", PARTITION_KEY)
            .expression_attribute_values(":n", AttributeValue::N(number.to_string()));
        single("UpdateItem", update.send().await)
    }

    async fn transact(&self, writes: Vec<Write>) -> Result<Answer, CallFailed> {
        const CALL: &str = "TransactWriteItems";
        let items: Result<Vec<_>, _> = writes.into_iter().map(|write| self.transaction_item(write)).collect();
        let items = items.map_err(|error| CallFailed::other(CALL, error))?;
        let error = match self.client.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => return Ok(Answer::Written),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => Ok(Answer::Busy),
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let codes =
                    cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None"));
                let refused: Vec<usize> = codes
                    .clone()
                    .enumerate()
                    .filter_map(|(place, code)| (code == "ConditionalCheckFailed").then_some(place))
                    .collect();
                if !refused.is_empty() {
                    return Ok(Answer::Refused(refused));
                }
                let passing = |code| {
                    matches!(
                        code,
                        "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded"
                    )
                };
                if codes.clone().any(passing) { Ok(Answer::Busy) } else { Err(CallFailed::new(CALL, error)) }
            }
            _ => Err(CallFailed::new(CALL, error)),
        }
    }

    fn transaction_item(
        &self,
        write: Write,
    ) -> Result<TransactWriteItem, aws_sdk_dynamodb::error::BuildError> {
        let item = TransactWriteItem::builder();
        Ok(match write {
            Write::Put(put, condition) => {
                let (expression, names, values) = split(condition);
                let put = Put::builder()
                    .table_name(&self.name)
                    .set_item(Some(put))
                    .set_condition_expression(expression)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values);
                item.put(put.build()?)
            }
            Write::Delete(key, condition) => {
                let (expression, names, values) = split(condition);
                let delete = Delete::builder()
                    .table_name(&self.name)
                    .set_key(Some(key))
                    .set_condition_expression(expression)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values);
                item.delete(delete.build()?)
            }
            Write::Add { key, amounts, before, ttl } => {
                let mut update = Update::builder()
                    .table_name(&self.name)
                    .set_key(Some(key))
                    .expression_attribute_names("#ttl", TTL)
                    .expression_attribute_values(":ttl", AttributeValue::N(ttl.to_string()));
                let mut adds = Vec::with_capacity(amounts.len());
                for (at, (name, amount)) in amounts.into_iter().enumerate() {
                    adds.push(format!("#n{at} :n{at}"));
                    update = update
                        .expression_attribute_names(format!("#n{at}"), name)
                        .expression_attribute_values(
                            format!(":n{at}"),
                            AttributeValue::N(amount.to_string()),
                        );
                }
                let mut conditions = Vec::with_capacity(before.len());
                for (at, (name, before)) in before.into_iter().enumerate() {
                    update = update.expression_attribute_names(format!("#b{at}"), name);
                    let mut allowed = vec![format!("attribute_not_exists(#b{at})")];
                    for (sign, number) in [("<=", Some(before.at_most)), ("=", before.or)] {
                        if let Some(number) = number {
                            let value = format!(":b{at}_{}", allowed.len());
                            allowed.push(format!("#b{at} {sign} {value}"));
                            let number = AttributeValue::N(number.to_string());
                            update = update.expression_attribute_values(value, number);
                        }
                    }
                    conditions.push(format!("({})", allowed.join(" OR ")));
                }
                let conditions = (!conditions.is_empty()).then(|| conditions.join(" AND "));
                update = update.set_condition_expression(conditions);
                let update = update.update_expression(format!("SET #ttl = :ttl ADD {}", adds.join(", ")));
                item.update(update.build()?)
            }
            Write::Check(key, condition) => {
                let (expression, names, values) = split(condition);
                let check = ConditionCheck::builder()
                    .table_name(&self.name)
                    .set_key(Some(key))
                    .set_condition_expression(expression)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values);
                item.condition_check(check.build()?)
            }
        }
        .build())
    }
}

type Parts = (Option<String>, Option<HashMap<String, String>>, Option<Item>);

fn split(condition: If) -> Parts {
    match condition.parts() {
        Some((expression, names, values)) => (Some(expression.to_owned()), Some(names), values),
        None => (None, None, None),
    }
}

/// Sorts the outcome of a write of one item.
fn single<T, E>(call: &'static str, outcome: Result<T, E>) -> Result<Answer, CallFailed>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match outcome {
        Ok(_) => Ok(Answer::Written),
        Err(error) => match error.code() {
            Some("ConditionalCheckFailedException") => Ok(Answer::Refused(vec![0])),
            Some("TransactionConflictException") => Ok(Answer::Busy),
            _ => Err(CallFailed::new(call, error)),
        },
    }
}
