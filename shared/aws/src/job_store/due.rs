//! What the sweeper must look at: every shard of the index is asked at once, and their answers are merged.

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use willcall_core::{JobRef, Timestamp, ports::StoreError};

use super::{corrupt, item::reference, unavailable};
use crate::{
    dynamo::{DUE_AT, DUE_INDEX, DUE_SHARD, DUE_SHARDS, Table, Unreadable, number},
    failure::CallFailed,
};

pub(super) async fn due(table: &Table, now: Timestamp, limit: u32) -> Result<Vec<JobRef>, StoreError> {
    let shards = (0..DUE_SHARDS).map(|shard| due_in_shard(table, shard, now, limit));
    let mut due: Vec<(i64, JobRef)> = try_join_all(shards).await?.concat();
    due.sort();
    due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(due.into_iter().map(|(_, job)| job).collect())
}

/// The `limit` jobs of the shard that have been due longest.
async fn due_in_shard(
    table: &Table,
    shard: u32,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<(i64, JobRef)>, StoreError> {
    let query = table
        .index(DUE_INDEX)
        .key_condition_expression("#shard = :shard AND #due <= :now")
        .expression_attribute_names("#shard", DUE_SHARD)
        .expression_attribute_names("#due", DUE_AT)
        .expression_attribute_values(":shard", AttributeValue::N(shard.to_string()))
        .expression_attribute_values(":now", AttributeValue::N(now.as_millis().to_string()))
        .limit(i32::try_from(limit).unwrap_or(i32::MAX));
    let (mut due, mut from) = (Vec::new(), None);
    loop {
        let page = query
            .clone()
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| unavailable(CallFailed::new("Query", error)))?;
        for item in page.items() {
            let at = number(item, DUE_AT).map_err(corrupt)?;
            let at = at.ok_or(Unreadable::Attribute(DUE_AT)).map_err(corrupt)?;
            due.push((at, reference(item).map_err(corrupt)?));
        }
        from = page.last_evaluated_key;
        if from.is_none() || due.len() >= limit as usize {
            return Ok(due);
        }
    }
}
