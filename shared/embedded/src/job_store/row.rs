//! One job as a row: written, read, changed and removed.

use std::collections::BTreeMap;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use willcall_core::{
    AccountId, JobId, JobRef,
    job::{JOB_SCHEMA, Job},
};

use crate::database::Failed;

/// The record was written by a newer version of the program.
#[derive(Debug, thiserror::Error)]
#[error("job {id} has form {found}; this version reads up to {JOB_SCHEMA}")]
struct Newer {
    id: String,
    found: u32,
}

pub(crate) fn read_job<E>(connection: &Connection, job: &JobRef) -> Result<Option<Job>, Failed<E>> {
    let found = connection
        .prepare_cached("SELECT schema, body FROM jobs WHERE account = ?1 AND id = ?2")?
        .query_row(params![job.account.as_str(), job.job.to_string()], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    found.map(|(schema, body)| parse(job.job, schema, &body)).transpose()
}

/// Reads a body, refusing forms that this code does not know: they may mean something else by the same names.
pub(super) fn parse<E>(id: JobId, schema: u32, body: &[u8]) -> Result<Job, Failed<E>> {
    if schema > JOB_SCHEMA {
        return Err(Failed::Unreadable(Box::new(Newer { id: id.to_string(), found: schema })));
    }
    Ok(serde_json::from_slice(body)?)
}

/// Whether the job is one of its account's open jobs.
fn has_place(job: &Job) -> bool {
    job.container.is_none() && !job.state.is_terminal()
}

/// `false` where there is a job of that id.
pub(super) fn insert_job<E>(connection: &Connection, job: &Job) -> Result<bool, Failed<E>> {
    let id = job.id.to_string();
    let inserted = connection
        .prepare_cached(
            "INSERT INTO jobs
                (account, id, schema, state, open, kind, dataset, name, created, due_at, container, body)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            job.account.as_str(),
            id,
            job.schema,
            job.state.as_str(),
            has_place(job),
            job.kind.as_str(),
            job.dataset,
            job.name,
            job.created.as_millis(),
            job.due_at.map(|due| due.as_millis()),
            job.container.map(|container| container.to_string()),
            serde_json::to_vec(job)?,
        ]);
    match inserted {
        Ok(_) => {
            insert_labels(connection, job)?;
            Ok(true)
        }
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes `after` in place of `before`. What can be searched for is only touched where it changed: most changes of a
/// job move it between states.
pub(super) fn update_job<E>(connection: &Connection, before: &Job, after: &Job) -> Result<(), Failed<E>> {
    let (account, id) = (after.account.as_str(), after.id.to_string());
    connection
        .prepare_cached(
            "UPDATE jobs SET schema = ?3, state = ?4, open = ?5, name = ?6, due_at = ?7, body = ?8
                WHERE account = ?1 AND id = ?2",
        )?
        .execute(params![
            account,
            id,
            after.schema,
            after.state.as_str(),
            has_place(after),
            after.name,
            after.due_at.map(|due| due.as_millis()),
            serde_json::to_vec(after)?,
        ])?;
    if before.labels != after.labels {
        delete_labels(connection, account, &id, &before.labels)?;
        insert_labels(connection, after)?;
    }
    Ok(())
}

/// `false` where there was none.
pub(super) fn delete_job<E>(connection: &Connection, job: &JobRef) -> Result<bool, Failed<E>> {
    let (account, id) = (job.account.as_str(), job.job.to_string());
    let rows = connection
        .prepare_cached("DELETE FROM jobs WHERE account = ?1 AND id = ?2")?
        .execute(params![account, id])?;
    connection
        .prepare_cached("DELETE FROM job_labels WHERE account = ?1 AND id = ?2")?
        .execute(params![account, id])?;
    connection
        .prepare_cached("DELETE FROM identities WHERE account = ?1 AND job = ?2")?
        .execute(params![account, id])?;
    Ok(rows > 0)
}

pub(super) fn open_jobs(connection: &Connection, account: &AccountId) -> rusqlite::Result<u32> {
    let open = connection
        .prepare_cached("SELECT jobs FROM open_jobs WHERE account = ?1")?
        .query_row(params![account.as_str()], |row| row.get(0))
        .optional()?;
    Ok(open.unwrap_or(0))
}

/// The job that two columns name.
pub(crate) fn reference<E>(row: &Row<'_>, account: usize, id: usize) -> Result<JobRef, Failed<E>> {
    let (account, id): (String, String) = (row.get(account)?, row.get(id)?);
    let account = account.parse().map_err(|e| Failed::Unreadable(Box::new(e)))?;
    let job = id.parse().map_err(|e| Failed::Unreadable(Box::new(e)))?;
    Ok(JobRef { account, job })
}

fn insert_labels<E>(connection: &Connection, job: &Job) -> Result<(), Failed<E>> {
    // Nobody finds a batch by its labels.
    if job.container.is_some() {
        return Ok(());
    }
    let id = job.id.to_string();
    for (key, value) in &job.labels {
        connection
            .prepare_cached("INSERT INTO job_labels (account, key, value, id) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![job.account.as_str(), key, value, id])?;
    }
    Ok(())
}

fn delete_labels<E>(
    connection: &Connection,
    account: &str,
    id: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), Failed<E>> {
    for (key, value) in labels {
        connection
            .prepare_cached(
                "DELETE FROM job_labels WHERE account = ?1 AND key = ?2 AND value = ?3 AND id = ?4",
            )?
            .execute(params![account, key, value, id])?;
    }
    Ok(())
}
