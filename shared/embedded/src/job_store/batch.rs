//! Batches: added with their container's count, and listed by it.

use rusqlite::{Connection, Row, params};
use willcall_core::{
    JobId, JobRef,
    idempotency::Made,
    job::{Job, Transition},
    ports::{AddBatchError, BatchAdded, JobPage, NewBatch},
};

use super::{
    row::{insert_job, parse, read_job, reference, update_job},
    submit::{read_key, write_key},
};
use crate::database::{Failed, Never};

pub(super) fn add(connection: &Connection, new: &NewBatch) -> Result<BatchAdded, Failed<AddBatchError>> {
    let (batch, now) = (&new.batch, new.batch.created);
    if let Some(key) = &new.key
        && let Some(record) = read_key(connection, &batch.account, &key.key, now)?
    {
        return Ok(BatchAdded::Known(record));
    }
    let found = batch.container().map(|container| read_job(connection, &container)).transpose()?.flatten();
    let Some(before) = found else { return Err(Failed::By(AddBatchError::NotFound)) };
    let container = before
        .apply(&Transition::AddBatch(batch.phase()), now)
        .map_err(|refused| Failed::By(refused.into()))?;
    if let Some(other) = holder_of_name(connection, batch)? {
        return Err(Failed::By(AddBatchError::NameTaken(other)));
    }
    // A refusal after this undoes all of it.
    if !insert_job(connection, batch)? {
        return Err(Failed::By(AddBatchError::Exists));
    }
    update_job(connection, &before, &container)?;
    if let Some(key) = &new.key {
        write_key(connection, &batch.account, &key.key, &key.record(Made::Job(batch.id), false, now), now)?;
    }
    Ok(BatchAdded::Added(Box::new(container)))
}

/// The batch of the same container that holds the batch's name, by the rule of [`Job::holds_name`].
fn holder_of_name<E>(connection: &Connection, batch: &Job) -> Result<Option<JobId>, Failed<E>> {
    let (Some(container), Some(name)) = (batch.container, &batch.name) else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT account, id FROM jobs INDEXED BY batches_by_name
            WHERE account = ?1 AND container = ?2 AND name = ?3 AND state NOT IN ('failed', 'cancelled')",
    )?;
    let mut rows = statement.query(params![batch.account.as_str(), container.to_string(), name])?;
    rows.next()?.map(|row| reference(row, 0, 1).map(|job| job.job)).transpose()
}

/// The batches of a container, oldest first.
pub(super) fn list<E>(
    connection: &Connection,
    container: &JobRef,
    after: Option<JobId>,
    limit: u32,
) -> Result<JobPage, Failed<E>> {
    // Nothing is less than an empty text.
    let after = after.map_or_else(String::new, |id| id.to_string());
    let mut statement = connection.prepare_cached(BATCHES)?;
    let mut rows = statement.query(params![container.account.as_str(), container.job.to_string(), after])?;
    let (mut page, mut last) = (JobPage::default(), None);
    while let Some(row) = rows.next()? {
        if page.jobs.len() >= limit as usize {
            page.next = last;
            break;
        }
        // One row that cannot be read must not hide the others.
        match read(row, &mut last) {
            Ok(batch) => page.jobs.push(batch),
            Err(failed) => {
                let id = row.get::<_, String>(1).unwrap_or_default();
                tracing::error!(job.id = %id, error = %failed.source(), "a batch cannot be read and is not listed");
            }
        }
    }
    Ok(page)
}

const BATCHES: &str = "SELECT account, id, schema, body FROM jobs INDEXED BY batches_by_id
    WHERE account = ?1 AND container = ?2 AND id > ?3 ORDER BY id";

fn read(row: &Row<'_>, last: &mut Option<JobId>) -> Result<Job, Failed<Never>> {
    let id = reference(row, 0, 1)?.job;
    *last = Some(id);
    parse(id, row.get(2)?, row.get_ref(3)?.as_bytes().map_err(rusqlite::Error::from)?)
}

#[cfg(test)]
mod tests {
    use rusqlite::OptionalExtension;

    use super::*;
    use crate::database::MIGRATIONS;

    /// A sort would read all of a container's batches for every page.
    #[test]
    fn a_page_of_batches_walks_an_index_in_its_order() {
        let connection = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|migration| connection.execute_batch(migration).unwrap());
        let plan: Option<String> = connection
            .query_row(&format!("EXPLAIN QUERY PLAN {BATCHES}"), ["x"; 3], |row| row.get(3))
            .optional()
            .unwrap();
        assert!(plan.as_ref().is_some_and(|plan| plan.starts_with("SEARCH")), "{plan:?}");
    }
}
