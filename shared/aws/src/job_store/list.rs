//! Lists jobs, newest first: one query of the account's partition, whose work is bounded whatever the filter.

use willcall_core::{
    AccountId, JobId,
    ports::{JobFilter, JobPage, StoreError},
};

use super::{
    corrupt,
    item::{JOB, Stored, partition, size},
    unavailable,
};
use crate::{dynamo::Table, failure::CallFailed};

/// No further query once this much was read; one query reads at most 1 MB, so 5 MB are read at most.
const READ: usize = 4 * 1024 * 1024;

pub(super) async fn list(
    table: &Table,
    account: &AccountId,
    filter: &JobFilter,
    before: Option<JobId>,
    limit: u32,
) -> Result<JobPage, StoreError> {
    // `g` follows the hexadecimal digits, so it is past every id.
    let to = before.map_or_else(|| format!("{JOB}g"), |id| format!("{JOB}{id}"));
    let query = table.between(&partition(account), JOB, &to).scan_index_forward(false);
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    // The job of the cursor itself, and the one that tells that there are more.
    let mut ask = limit.saturating_add(2);
    let (mut page, mut last, mut from, mut read) = (JobPage::default(), None, None, 0);
    loop {
        let found = query
            .clone()
            .limit(i32::try_from(ask).unwrap_or(i32::MAX))
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| unavailable(CallFailed::new("Query", error)))?;
        for item in found.items() {
            read += size(item);
            let job = Stored::from_item(item).map_err(corrupt)?.job;
            if before.is_some_and(|before| job.id >= before) {
                continue;
            }
            if page.jobs.len() >= wanted {
                page.next = last;
                return Ok(page);
            }
            last = Some(job.id);
            if filter.matches(&job) {
                page.jobs.push(job);
            }
        }
        from = found.last_evaluated_key;
        if from.is_none() {
            return Ok(page);
        }
        if read >= READ {
            page.next = last;
            return Ok(page);
        }
        // A filter that lets few through is looked for in ever larger steps.
        ask = ask.saturating_mul(4);
    }
}
