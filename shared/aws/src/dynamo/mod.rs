//! The one table: its keys, and the calls that all stores on it make.

mod item;
mod table;

pub(crate) use self::{
    item::{Item, Unreadable, number, refuse_newer, text},
    table::{Answer, If, Table, Write, key},
};

/// The attribute of the partition key.
pub const PARTITION_KEY: &str = "pk";
/// The attribute of the sort key.
pub const SORT_KEY: &str = "sk";
/// The attribute by which DynamoDB removes items on its own, in seconds since the Unix epoch.
pub const TTL: &str = "ttl";
/// The index of jobs that the sweeper must look at: keys only, and only items that are due at some time.
pub const DUE_INDEX: &str = "due";
/// The partition key of the index, a number below [`DUE_SHARDS`].
pub const DUE_SHARD: &str = "due_shard";
/// The sort key of the index, in milliseconds since the Unix epoch.
pub const DUE_AT: &str = "due_at";
/// Partitions of the index: one takes 1,000 writes a second, so 16 take those of several thousand submits.
pub const DUE_SHARDS: u32 = 16;
/// The first shard of events and deliveries in the same index: they have as many as jobs have, behind theirs.
pub const NOTICE_SHARDS_FROM: u32 = DUE_SHARDS;
