//! Submits: the job, and what is kept and checked beside it, in the one transaction that the writer is in.

use rusqlite::{Connection, OptionalExtension, params};
use willcall_core::{
    AccountId, JobRef, Timestamp,
    idempotency::{KeyHash, KeyRecord, Made},
    job::{DayEntry, Identity, Job, MAX_EQUALS, Reuse},
    ports::{Consumed, InsertError, NewJob, Submitted},
};

use super::row::{insert_job, open_jobs, read_job, update_job};
use crate::{database::Failed, webhooks::put_event};

/// Expired keys that one submit forgets: more than the one that it may add.
const FORGOTTEN: u32 = 8;
/// Minutes and days of an account that are kept before the present one, for clocks that go back.
const MINUTES_KEPT: i64 = 60;
const DAYS_KEPT: i64 = 31;

pub(super) fn submit(connection: &Connection, new: &NewJob) -> Result<Submitted, Failed<InsertError>> {
    let (job, now) = (&new.job, new.job.created);
    if let Some(key) = &new.key
        && let Some(record) = read_key(connection, &job.account, &key.key, now)?
    {
        return Ok(Submitted::Known(record));
    }
    let keep_key = |job: &Job, reused| match &new.key {
        Some(key) => {
            write_key(connection, &job.account, &key.key, &key.record(Made::Job(job.id), reused, now), now)
        }
        None => Ok(()),
    };
    if let (Some(identity), Some(reuse)) = (&new.identity, new.reuse)
        && let Some(other) = serving(connection, job, identity, reuse)?
    {
        keep_key(&other, true)?;
        let Some((joined, event)) = other.joined(&job.notify, now) else {
            return Ok(Submitted::Joined(Box::new(other)));
        };
        update_job(connection, &other, &joined)?;
        if let Some(event) = event {
            put_event(connection, &event)?;
        }
        return Ok(Submitted::Joined(Box::new(joined)));
    }
    if !job.state.is_terminal() && open_jobs(connection, &job.account)? >= new.max_open_jobs {
        return Err(Failed::By(InsertError::TooManyOpenJobs));
    }
    if !insert_job(connection, job)? {
        return Err(Failed::By(InsertError::Exists));
    }
    // A refusal after this undoes the insert with all else.
    let submits =
        new.submits_per_minute.map(|most| count(connection, &job.account, now, most)).transpose()?;
    keep_key(job, false)?;
    if let Some(identity) = &new.identity {
        connection
            .prepare_cached(
                "INSERT INTO identities (account, identity, job) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![job.account.as_str(), identity.as_str(), job.id.to_string()])?;
    }
    Ok(Submitted::Inserted { submits })
}

/// The key's record, if it is still known.
pub(crate) fn read_key<E>(
    connection: &Connection,
    account: &AccountId,
    key: &KeyHash,
    now: Timestamp,
) -> Result<Option<KeyRecord>, Failed<E>> {
    let body: Option<Vec<u8>> = connection
        .prepare_cached("SELECT body FROM idempotency_keys WHERE account = ?1 AND key = ?2")?
        .query_row(params![account.as_str(), key.as_str()], |row| row.get(0))
        .optional()?;
    let record: Option<KeyRecord> = body.map(|body| serde_json::from_slice(&body)).transpose()?;
    Ok(record.filter(|record| record.is_live(now)))
}

/// Keeps the record of a key, and forgets some that are not known any more.
pub(crate) fn write_key<E>(
    connection: &Connection,
    account: &AccountId,
    key: &KeyHash,
    record: &KeyRecord,
    now: Timestamp,
) -> Result<(), Failed<E>> {
    connection
        .prepare_cached(
            "DELETE FROM idempotency_keys WHERE rowid IN
                (SELECT rowid FROM idempotency_keys WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
        )?
        .execute(params![now.as_millis(), FORGOTTEN])?;
    connection
        .prepare_cached(
            "INSERT INTO idempotency_keys (account, key, expires, body) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (account, key) DO UPDATE SET expires = excluded.expires, body = excluded.body",
        )?
        .execute(params![
            account.as_str(),
            key.as_str(),
            record.expires.as_millis(),
            serde_json::to_vec(record)?
        ])?;
    Ok(())
}

/// The latest job of the identity that serves in place of the new one. One that cannot be read does not, and stands in
/// nobody's way.
fn serving<E>(
    connection: &Connection,
    new: &Job,
    identity: &Identity,
    reuse: Reuse,
) -> Result<Option<Job>, Failed<E>> {
    let account = &new.account;
    let mut statement = connection.prepare_cached(
        "SELECT job FROM identities WHERE account = ?1 AND identity = ?2 ORDER BY job DESC",
    )?;
    let found = statement.query_map([account.as_str(), identity.as_str()], |row| row.get(0))?;
    for id in found.take(MAX_EQUALS).collect::<Result<Vec<String>, _>>()? {
        let Ok(id) = id.parse() else { continue };
        match read_job::<E>(connection, &JobRef { account: account.clone(), job: id }) {
            Ok(Some(job)) if reuse.serves(&job, &new.notify, new.created) => return Ok(Some(job)),
            Ok(_) => {}
            Err(Failed::Unreadable(error)) => {
                tracing::warn!(job.id = %id, error = %error, "a job cannot be read and is not reused");
            }
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}

/// Takes a job out of those that may serve in place of others.
pub(super) fn forget_identity<E>(connection: &Connection, job: &Job) -> Result<(), Failed<E>> {
    connection
        .prepare_cached("DELETE FROM identities WHERE account = ?1 AND job = ?2")?
        .execute(params![job.account.as_str(), job.id.to_string()])?;
    Ok(())
}

/// Counts a submit in its minute; answers how many there are now.
fn count(
    connection: &Connection,
    account: &AccountId,
    now: Timestamp,
    most: u32,
) -> Result<u32, Failed<InsertError>> {
    if most == 0 {
        return Err(Failed::By(InsertError::TooManySubmits));
    }
    let minute = now.minute();
    let counted: Option<u32> = connection
        .prepare_cached(
            "INSERT INTO submits (account, minute, submits) VALUES (?1, ?2, 1)
                ON CONFLICT (account, minute) DO UPDATE SET submits = submits + 1 WHERE submits < ?3
                RETURNING submits",
        )?
        .query_row(params![account.as_str(), minute, most], |row| row.get(0))
        .optional()?;
    match counted {
        // The first of a minute tidies up.
        Some(1) => {
            connection
                .prepare_cached("DELETE FROM submits WHERE account = ?1 AND minute < ?2")?
                .execute(params![account.as_str(), minute - MINUTES_KEPT])?;
            Ok(1)
        }
        Some(counted) => Ok(counted),
        None => Err(Failed::By(InsertError::TooManySubmits)),
    }
}

/// Adds what a job delivered to its account's day.
pub(super) fn add_delivered<E>(
    connection: &Connection,
    account: &AccountId,
    entry: &DayEntry,
    now: Timestamp,
) -> Result<(), Failed<E>> {
    let stored = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let (records, bytes, day) = (stored(entry.records), stored(entry.bytes), now.day());
    connection
        .prepare_cached(
            "INSERT INTO delivered (account, day, records, bytes) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (account, day) DO UPDATE
                SET records = records + excluded.records, bytes = bytes + excluded.bytes",
        )?
        .execute(params![account.as_str(), day, records, bytes])?;
    connection
        .prepare_cached("DELETE FROM delivered WHERE account = ?1 AND day < ?2")?
        .execute(params![account.as_str(), day - DAYS_KEPT])?;
    Ok(())
}

pub(super) fn consumed(
    connection: &Connection,
    account: &AccountId,
    now: Timestamp,
) -> rusqlite::Result<Consumed> {
    let submits: Option<u32> = connection
        .prepare_cached("SELECT submits FROM submits WHERE account = ?1 AND minute = ?2")?
        .query_row(params![account.as_str(), now.minute()], |row| row.get(0))
        .optional()?;
    let delivered: Option<(i64, i64)> = connection
        .prepare_cached("SELECT records, bytes FROM delivered WHERE account = ?1 AND day = ?2")?
        .query_row(params![account.as_str(), now.day()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (records, bytes) = delivered.unwrap_or_default();
    let counted = |number: i64| u64::try_from(number).unwrap_or_default();
    Ok(Consumed { submits: submits.unwrap_or_default(), records: counted(records), bytes: counted(bytes) })
}
