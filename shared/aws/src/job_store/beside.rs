//! Items beside the jobs: idempotency keys, the jobs of an identity, and what an account has used up.

use aws_sdk_dynamodb::types::AttributeValue;
use willcall_core::{
    AccountId, JobId, Timestamp,
    idempotency::{KeyHash, KeyRecord},
    job::{Before, DayEntry, Identity, Job, MAX_EQUALS},
    ports::{Consumed, StoreError},
};

use super::{
    corrupt,
    item::{BODY, HOLDER, WRITE, n, partition},
    unavailable,
};
use crate::dynamo::{If, Item, TTL, Table, Unreadable, Write, key, number, refuse_newer, text};

/// The number of submits in a minute.
pub(super) const SUBMITS: &str = "submits";
const RECORDS: &str = "records";
const BYTES: &str = "bytes";
const EXPIRES: &str = "expires";

/// The form of an idempotency key's item.
const KEY_SCHEMA: u32 = 1;

/// How long after its use DynamoDB removes an item by itself: what is still known is told by the time, and clocks may
/// differ.
const KEY_GRACE: i64 = 86_400;
const MINUTE_KEPT: i64 = 86_400;
const DAY_KEPT: i64 = 32 * 86_400;
const IDENTITY_GRACE: i64 = 8 * 86_400;
const DAY: i64 = 86_400;

/// A key's item.
#[derive(Debug)]
pub(crate) struct StoredKey {
    pub(crate) record: KeyRecord,
    /// The name of the write that made it so.
    pub(crate) write: String,
}

fn idempotency_key(account: &AccountId, hash: &KeyHash) -> Item {
    key(partition(account), format!("IDEMPOTENCY#{}", hash.as_str()))
}

pub(crate) fn key_item(
    account: &AccountId,
    hash: &KeyHash,
    record: &KeyRecord,
    write: &str,
) -> Result<Item, serde_json::Error> {
    let mut item = idempotency_key(account, hash);
    let mut set = |name: &str, value| item.insert(name.to_owned(), value);
    set("schema", n(KEY_SCHEMA));
    set(WRITE, AttributeValue::S(write.to_owned()));
    set(BODY, AttributeValue::S(serde_json::to_string(record)?));
    set(EXPIRES, n(record.expires.as_millis()));
    set(TTL, n(record.expires.as_seconds() + KEY_GRACE));
    Ok(item)
}

/// That the key is not there, or is not known any more.
pub(crate) fn unknown_at(now: Timestamp) -> If {
    If::GoneOrAtMost(EXPIRES, now.as_millis())
}

/// The key's item, whether or not it is still known.
pub(crate) async fn read_key(
    table: &Table,
    account: &AccountId,
    hash: &KeyHash,
) -> Result<Option<StoredKey>, StoreError> {
    let Some(item) = table.get(idempotency_key(account, hash)).await.map_err(unavailable)? else {
        return Ok(None);
    };
    let read = || -> Result<StoredKey, Unreadable> {
        refuse_newer(&item, KEY_SCHEMA)?;
        let record = serde_json::from_str(text(&item, BODY)?)
            .map_err(|error| Unreadable::Value { attribute: BODY, source: Box::new(error) })?;
        Ok(StoredKey { record, write: text(&item, WRITE)?.to_owned() })
    };
    read().map(Some).map_err(corrupt)
}

fn identity_key(account: &AccountId, identity: &Identity) -> Item {
    key(partition(account), format!("IDENTITY#{}", identity.as_str()))
}

/// The jobs of an identity that may serve in place of a new one.
#[derive(Debug, Default)]
pub(super) struct Equals {
    /// The latest first.
    pub(super) jobs: Vec<JobId>,
    /// As it was read; `None` where nothing was.
    text: Option<String>,
}

impl Equals {
    /// Keeps the new job as the latest of them, if nobody changed them meanwhile. The oldest make room.
    pub(super) fn with(&self, identity: &Identity, job: &Job) -> Write {
        let others = self.jobs.iter().filter(|other| **other != job.id).take(MAX_EQUALS - 1);
        let ids: Vec<String> = std::iter::once(&job.id).chain(others).map(JobId::to_string).collect();
        let mut item = identity_key(&job.account, identity);
        item.insert(HOLDER.to_owned(), AttributeValue::S(ids.join(" ")));
        let ttl = job.created.as_seconds() + i64::from(job.retention_days) * DAY + IDENTITY_GRACE;
        item.insert(TTL.to_owned(), n(ttl));
        let unchanged = self.text.clone().map_or(If::New, |text| If::TextOrGone(HOLDER, text));
        Write::Put(item, unchanged)
    }
}

/// What is known of the identity. An id that cannot be read is passed over.
pub(super) async fn equals(
    table: &Table,
    account: &AccountId,
    identity: &Identity,
) -> Result<Equals, StoreError> {
    let item = table.get(identity_key(account, identity)).await.map_err(unavailable)?;
    let text = item.map(|item| text(&item, HOLDER).map(str::to_owned)).transpose().map_err(corrupt)?;
    let jobs = text.iter().flat_map(|text| text.split(' ')).filter_map(|id| id.parse().ok()).collect();
    Ok(Equals { jobs, text })
}

pub(super) fn submits_key(account: &AccountId, now: Timestamp) -> Item {
    key(partition(account), format!("SUBMITS#{}", now.minute()))
}

/// Counts a submit in its minute, if there are fewer than `most`.
pub(super) fn count(account: &AccountId, now: Timestamp, most: u32) -> Write {
    Write::Add {
        key: submits_key(account, now),
        amounts: vec![(SUBMITS, 1)],
        before: vec![(SUBMITS, Before { at_most: u64::from(most).saturating_sub(1), or: None })],
        ttl: now.as_seconds() + MINUTE_KEPT,
    }
}

fn delivered_key(account: &AccountId, now: Timestamp) -> Item {
    key(partition(account), format!("DELIVERED#{}", now.day()))
}

/// Adds what a job delivered to its account's day, if it fits there.
pub(super) fn add_delivered(account: &AccountId, entry: &DayEntry, now: Timestamp) -> Write {
    let before = [(RECORDS, entry.records_before), (BYTES, entry.bytes_before)];
    Write::Add {
        key: delivered_key(account, now),
        amounts: vec![(RECORDS, entry.records), (BYTES, entry.bytes)],
        before: before.into_iter().filter_map(|(name, before)| Some((name, before?))).collect(),
        ttl: now.as_seconds() + DAY_KEPT,
    }
}

pub(super) async fn consumed(
    table: &Table,
    account: &AccountId,
    now: Timestamp,
) -> Result<Consumed, StoreError> {
    let (submits, delivered) =
        futures::try_join!(table.get(submits_key(account, now)), table.get(delivered_key(account, now)))
            .map_err(unavailable)?;
    let of = |item: &Option<Item>, name| match item {
        Some(item) => Ok(number(item, name)?.unwrap_or_default()),
        None => Ok(0),
    };
    let read = || -> Result<Consumed, Unreadable> {
        let submits: u64 = of(&submits, SUBMITS)?;
        let submits = u32::try_from(submits).unwrap_or(u32::MAX);
        Ok(Consumed { submits, records: of(&delivered, RECORDS)?, bytes: of(&delivered, BYTES)? })
    };
    read().map_err(corrupt)
}
