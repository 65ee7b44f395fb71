//! One job as an item, and the place of an open job as another.

use aws_sdk_dynamodb::types::AttributeValue;
use willcall_core::{
    AccountId, JobId, JobRef,
    job::{JOB_SCHEMA, Job, RECORD_KEPT},
};

use crate::dynamo::{
    DUE_AT, DUE_SHARD, DUE_SHARDS, Item, PARTITION_KEY, SORT_KEY, TTL, Unreadable, key, number, refuse_newer,
    text,
};

const ACCOUNT: &str = "ACCOUNT#";
pub(super) const JOB: &str = "JOB#";
pub(super) const SLOT: &str = "SLOT#";
const BATCH: &str = "BATCH#";
pub(super) const VERSION: &str = "version";
pub(super) const HOLDER: &str = "job";
pub(super) const BODY: &str = "body";
const SLOT_HELD: &str = "slot";
/// The name of a batch.
pub(super) const NAME: &str = "name";
pub(super) const WRITE: &str = "write";

/// How long after the sweeper should have removed a record DynamoDB does it by itself.
const TTL_GRACE: i64 = 7 * 86_400;

/// A job, and what its item holds beside it.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) job: Job,
    /// The place that it takes among the open jobs of its account.
    pub(super) slot: Option<u32>,
    /// The name of the write that made it so.
    pub(super) write: String,
}

impl Stored {
    pub(super) fn to_item(&self) -> Result<Item, serde_json::Error> {
        let job = &self.job;
        let mut item = job_key(&job.reference());
        let mut set = |name: &str, value| item.insert(name.to_owned(), value);
        set("schema", n(job.schema));
        set(VERSION, n(job.version));
        set(WRITE, AttributeValue::S(self.write.clone()));
        set(BODY, AttributeValue::S(serde_json::to_string(job)?));
        if let Some(slot) = self.slot {
            set(SLOT_HELD, n(slot));
        }
        if let Some(due) = job.due_at {
            set(DUE_SHARD, n(shard(job.id)));
            set(DUE_AT, n(due.as_millis()));
        }
        if let Some(expires) = job.expires.filter(|_| job.state.is_terminal()) {
            set(TTL, n(expires.plus(RECORD_KEPT).as_seconds() + TTL_GRACE));
        }
        Ok(item)
    }

    pub(super) fn from_item(item: &Item) -> Result<Self, Unreadable> {
        refuse_newer(item, JOB_SCHEMA)?;
        let job = serde_json::from_str(text(item, BODY)?)
            .map_err(|error| Unreadable::Value { attribute: BODY, source: Box::new(error) })?;
        Ok(Self { job, slot: number(item, SLOT_HELD)?, write: text(item, WRITE)?.to_owned() })
    }
}

/// How many bytes of the item DynamoDB counts, nearly: the body is nearly all of it.
pub(super) fn size(item: &Item) -> usize {
    text(item, BODY).map_or(0, str::len) + 300
}

pub(super) fn partition(account: &AccountId) -> String {
    format!("{ACCOUNT}{account}")
}

pub(super) fn job_key(job: &JobRef) -> Item {
    key(partition(&job.account), format!("{JOB}{}", job.job))
}

pub(super) fn slot_key(account: &AccountId, slot: u32) -> Item {
    key(partition(account), format!("{SLOT}{slot}"))
}

/// The place itself: it names who has it, so that nobody else gives it back.
pub(super) fn slot_item(job: &JobRef, slot: u32) -> Item {
    let mut item = slot_key(&job.account, slot);
    item.insert(HOLDER.to_owned(), AttributeValue::S(job.job.to_string()));
    item
}

/// What the sort keys of a container's batches begin with.
pub(super) fn batches_of(container: JobId) -> String {
    format!("{BATCH}{container}#")
}

fn batch_key(account: &AccountId, container: JobId, batch: JobId) -> Item {
    key(partition(account), format!("{}{batch}", batches_of(container)))
}

/// What leads from a container to a batch of it, and from a name to the batches that have it.
pub(super) fn batch_item(container: JobId, batch: &Job) -> Item {
    let mut item = batch_key(&batch.account, container, batch.id);
    if let Some(name) = &batch.name {
        item.insert(NAME.to_owned(), AttributeValue::S(name.clone()));
    }
    item
}

/// The key of what leads from its container to the job, where it is a batch.
pub(super) fn entry_key(batch: &Job) -> Option<Item> {
    batch.container.map(|container| batch_key(&batch.account, container, batch.id))
}

/// The job that an item's keys name.
pub(super) fn reference(item: &Item) -> Result<JobRef, Unreadable> {
    let part = |name, prefix| text(item, name)?.strip_prefix(prefix).ok_or(Unreadable::Attribute(name));
    let invalid = |attribute| move |error| Unreadable::Value { attribute, source: Box::new(error) as _ };
    Ok(JobRef {
        account: part(PARTITION_KEY, ACCOUNT)?
            .parse()
            .map_err(|error: willcall_core::id::InvalidId| invalid(PARTITION_KEY)(error))?,
        job: part(SORT_KEY, JOB)?
            .parse()
            .map_err(|error: willcall_core::id::InvalidId| invalid(SORT_KEY)(error))?,
    })
}

/// The last digits of an id are random, so jobs spread evenly.
pub(crate) fn shard(job: JobId) -> u32 {
    let text = job.to_string();
    u32::from_str_radix(&text[text.len() - 6..], 16).unwrap_or(0) % DUE_SHARDS
}

pub(super) fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
