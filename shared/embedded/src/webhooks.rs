//! Endpoints, events and deliveries in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use willcall_core::{
    AccountId, JobRef, Timestamp,
    idempotency::{KeyHash, KeyRecord},
    ports::{Notice, SavedOnce, StoreError, WebhookStore},
    webhook::{Delivery, DeliveryId, DeliveryRef, Event, EventRef, Subscriptions, WEBHOOK_SCHEMA},
};

use crate::{
    database::{Database, Durability, Failed, Never},
    job_store::{read_key, reference, write_key},
};

/// The webhooks of one box.
#[derive(Clone)]
pub struct SqliteWebhookStore {
    database: Arc<Database>,
}

/// A record was written by a newer version of the program.
#[derive(Debug, thiserror::Error)]
#[error("a record of webhooks has form {0}; this version reads up to {WEBHOOK_SCHEMA}")]
struct Newer(u32);

impl SqliteWebhookStore {
    /// The webhooks of `database`.
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

/// A version as SQLite keeps it.
fn number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// Whether an endpoint of the account is to be told of its jobs.
pub(crate) fn is_listening(connection: &Connection, account: &AccountId) -> rusqlite::Result<bool> {
    let found = connection
        .prepare_cached("SELECT listening FROM webhook_subscriptions WHERE account = ?1")?
        .query_row(params![account.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(false))
}

/// Writes what an account has in place of the version before; `false` where that is not the one which is there.
fn put_subscriptions<E>(connection: &Connection, new: &Subscriptions) -> Result<bool, Failed<E>> {
    let body = serde_json::to_vec(new)?;
    let (account, listening) = (new.account.as_str(), new.is_listening());
    let written = match new.version {
        1 => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO webhook_subscriptions (account, version, schema, listening, body)
                    VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![account, 1, new.schema, listening, body])?,
        version => connection
            .prepare_cached(
                "UPDATE webhook_subscriptions SET version = ?2, schema = ?3, listening = ?4, body = ?5
                    WHERE account = ?1 AND version = ?2 - 1",
            )?
            .execute(params![account, number(version), new.schema, listening, body])?,
    };
    Ok(written > 0)
}

/// Writes the event in place of the version before; `false` where that is not the one which is there.
pub(crate) fn put_event<E>(connection: &Connection, event: &Event) -> Result<bool, Failed<E>> {
    let body = serde_json::to_vec(event)?;
    let (account, job) = (event.account.as_str(), event.job.to_string());
    let due = event.due_at.map(Timestamp::as_millis);
    let written = match event.version {
        1 => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO webhook_events (account, job, sequence, version, schema, due_at, body)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![account, job, event.sequence, 1, event.schema, due, body])?,
        version => connection
            .prepare_cached(
                "UPDATE webhook_events SET version = ?4, schema = ?5, due_at = ?6, body = ?7
                    WHERE account = ?1 AND job = ?2 AND sequence = ?3 AND version = ?4 - 1",
            )?
            .execute(params![account, job, event.sequence, number(version), event.schema, due, body])?,
    };
    Ok(written > 0)
}

fn put_delivery<E>(connection: &Connection, delivery: &Delivery) -> Result<bool, Failed<E>> {
    let body = serde_json::to_vec(delivery)?;
    let (account, job) = (delivery.account.as_str(), delivery.job.to_string());
    let (sequence, id) = (delivery.id.sequence, delivery.id.to_string());
    let due = delivery.due_at.map(Timestamp::as_millis);
    let written = match delivery.version {
        1 => connection
            .prepare_cached(
                "INSERT OR IGNORE INTO webhook_deliveries
                    (account, job, sequence, id, version, schema, due_at, body)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![account, job, sequence, id, 1, delivery.schema, due, body])?,
        version => connection
            .prepare_cached(
                "UPDATE webhook_deliveries SET version = ?5, schema = ?6, due_at = ?7, body = ?8
                    WHERE account = ?1 AND job = ?2 AND sequence = ?3 AND id = ?4 AND version = ?5 - 1",
            )?
            .execute(params![account, job, sequence, id, number(version), delivery.schema, due, body])?,
    };
    Ok(written > 0)
}

/// Reads a record from two columns, the form and the body, refusing forms that this code does not know.
fn parse<T: DeserializeOwned, E>(row: &Row<'_>) -> Result<T, Failed<E>> {
    let (schema, body): (u32, Vec<u8>) = (row.get(0)?, row.get(1)?);
    if schema > WEBHOOK_SCHEMA {
        return Err(Failed::Unreadable(Box::new(Newer(schema))));
    }
    Ok(serde_json::from_slice(&body)?)
}

/// What the statement finds.
fn find<T: DeserializeOwned, E>(
    connection: &Connection,
    statement: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<T>, Failed<E>> {
    let mut statement = connection.prepare_cached(statement)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(parse(row)?);
    }
    Ok(found)
}

#[async_trait]
impl WebhookStore for SqliteWebhookStore {
    async fn subscriptions(&self, account: &AccountId) -> Result<Option<Subscriptions>, StoreError> {
        let account = account.clone();
        let found = self.database.read(move |connection| {
            let sql = "SELECT schema, body FROM webhook_subscriptions WHERE account = ?1";
            Ok(find::<Subscriptions, Never>(connection, sql, params![account.as_str()])?.pop())
        });
        found.await.map_err(Failed::store)
    }

    async fn save_subscriptions(&self, subscriptions: &Subscriptions) -> Result<bool, StoreError> {
        let new = subscriptions.clone();
        let saved = self
            .database
            .write(Durability::Machine, move |connection| put_subscriptions::<Never>(connection, &new));
        saved.await.map_err(Failed::store)
    }

    async fn save_subscriptions_once(
        &self,
        subscriptions: &Subscriptions,
        key: &KeyHash,
        record: &KeyRecord,
        now: Timestamp,
    ) -> Result<SavedOnce, StoreError> {
        let (new, key, record) = (subscriptions.clone(), key.clone(), record.clone());
        let saved = self.database.write(Durability::Machine, move |connection| {
            if let Some(known) = read_key(connection, &new.account, &key, now)? {
                return Ok(SavedOnce::Known(known));
            }
            if !put_subscriptions(connection, &new)? {
                return Ok(SavedOnce::Overtaken);
            }
            write_key(connection, &new.account, &key, &record, now)?;
            Ok(SavedOnce::Saved)
        });
        saved.await.map_err(Failed::<Never>::store)
    }

    async fn event(&self, event: &EventRef) -> Result<Option<Event>, StoreError> {
        let event = event.clone();
        let found = self.database.read(move |connection| {
            let sql =
                "SELECT schema, body FROM webhook_events WHERE account = ?1 AND job = ?2 AND sequence = ?3";
            let key = params![event.job.account.as_str(), event.job.job.to_string(), event.sequence];
            Ok(find::<Event, Never>(connection, sql, key)?.pop())
        });
        found.await.map_err(Failed::store)
    }

    async fn save_event(&self, event: &Event, deliveries: &[Delivery]) -> Result<bool, StoreError> {
        let (event, deliveries) = (event.clone(), deliveries.to_vec());
        let saved = self.database.write(Durability::Process, move |connection| {
            if !put_event(connection, &event)? {
                return Ok(false);
            }
            for delivery in &deliveries {
                put_delivery(connection, delivery)?;
            }
            Ok(true)
        });
        saved.await.map_err(Failed::<Never>::store)
    }

    async fn remove_event(&self, event: &EventRef) -> Result<(), StoreError> {
        let event = event.clone();
        let removed = self.database.write(Durability::Process, move |connection| {
            let (account, job) = (event.job.account.as_str(), event.job.job.to_string());
            for sql in [
                "DELETE FROM webhook_deliveries WHERE account = ?1 AND job = ?2 AND sequence = ?3",
                "DELETE FROM webhook_events WHERE account = ?1 AND job = ?2 AND sequence = ?3",
            ] {
                connection.prepare_cached(sql)?.execute(params![account, job, event.sequence])?;
            }
            Ok(())
        });
        removed.await.map_err(Failed::<Never>::store)
    }

    async fn deliveries(&self, job: &JobRef) -> Result<Vec<Delivery>, StoreError> {
        let job = job.clone();
        let found = self.database.read(move |connection| {
            let sql = "SELECT schema, body FROM webhook_deliveries WHERE account = ?1 AND job = ?2";
            let key = params![job.account.as_str(), job.job.to_string()];
            let mut found = find::<Delivery, Never>(connection, sql, key)?;
            found.sort_by_key(|delivery| delivery.id);
            Ok(found)
        });
        found.await.map_err(Failed::store)
    }

    async fn delivery(&self, delivery: &DeliveryRef) -> Result<Option<Delivery>, StoreError> {
        let wanted = delivery.clone();
        let found = self.database.read(move |connection| {
            let sql = "SELECT schema, body FROM webhook_deliveries
                WHERE account = ?1 AND job = ?2 AND sequence = ?3 AND id = ?4";
            let (account, job) = (wanted.job.account.as_str(), wanted.job.job.to_string());
            let key = params![account, job, wanted.id.sequence, wanted.id.to_string()];
            Ok(find::<Delivery, Never>(connection, sql, key)?.pop())
        });
        found.await.map_err(Failed::store)
    }

    async fn save_delivery(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        let delivery = delivery.clone();
        let saved = self
            .database
            .write(Durability::Process, move |connection| put_delivery::<Never>(connection, &delivery));
        saved.await.map_err(Failed::store)
    }

    async fn due_notices(&self, now: Timestamp, limit: u32) -> Result<Vec<(Timestamp, Notice)>, StoreError> {
        let due = self.database.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT account, job, sequence, NULL, due_at FROM webhook_events
                    WHERE due_at <= ?1 AND schema <= ?3
                UNION ALL SELECT account, job, sequence, id, due_at FROM webhook_deliveries
                    WHERE due_at <= ?1 AND schema <= ?3
                ORDER BY due_at, account, job, sequence LIMIT ?2",
            )?;
            let mut rows = statement.query(params![now.as_millis(), limit, WEBHOOK_SCHEMA])?;
            let mut due = Vec::new();
            while let Some(row) = rows.next()? {
                match notice(row) {
                    Ok(found) => due.push(found),
                    Err(failed) => tracing::error!(error = %failed.source(), "a due notice cannot be read"),
                }
            }
            Ok(due)
        });
        due.await.map_err(Failed::<Never>::store)
    }
}

fn notice(row: &Row<'_>) -> Result<(Timestamp, Notice), Failed<Never>> {
    let job = reference(row, 0, 1)?;
    let notice = match row.get::<_, Option<String>>(3)? {
        None => Notice::Event(EventRef { job, sequence: row.get(2)? }),
        Some(id) => {
            let id: DeliveryId = id.parse().map_err(|error| Failed::Unreadable(Box::new(error)))?;
            Notice::Delivery(DeliveryRef { job, id })
        }
    };
    Ok((Timestamp::from_millis(row.get(4)?), notice))
}
