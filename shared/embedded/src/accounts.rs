//! Accounts and tokens in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};
use willcall_core::{
    AccountId, Timestamp,
    account::{Account, TokenRecord},
    ports::{Accounts, AccountsError},
    token::TokenHash,
};

use crate::database::{Database, Durability, Failed, Never};

/// The accounts of one box.
#[derive(Clone)]
pub struct SqliteAccounts {
    database: Arc<Database>,
}

impl SqliteAccounts {
    /// The accounts of `database`.
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

fn failed(failed: Failed<Never>) -> AccountsError {
    AccountsError(failed.source())
}

#[async_trait]
impl Accounts for SqliteAccounts {
    async fn find_token(&self, hash: &TokenHash) -> Result<Option<(TokenRecord, Account)>, AccountsError> {
        let hash = hash.clone();
        let found = self.database.read(move |connection| {
            let bodies = connection
                .prepare_cached(
                    "SELECT t.body, a.body FROM tokens AS t JOIN accounts AS a ON a.id = t.account
                        WHERE t.hash = ?1",
                )?
                .query_row(params![hash.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((token, account)) = bodies else { return Ok(None) };
            let (token, account): (Vec<u8>, Vec<u8>) = (token, account);
            Ok(Some((serde_json::from_slice(&token)?, serde_json::from_slice(&account)?)))
        });
        found.await.map_err(failed)
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, AccountsError> {
        let id = id.clone();
        let found = self.database.read(move |connection| {
            let body: Option<Vec<u8>> = connection
                .prepare_cached("SELECT body FROM accounts WHERE id = ?1")?
                .query_row(params![id.as_str()], |row| row.get(0))
                .optional()?;
            Ok(body.map(|body| serde_json::from_slice(&body)).transpose()?)
        });
        found.await.map_err(failed)
    }

    async fn accounts(&self) -> Result<Vec<Account>, AccountsError> {
        let all = self.database.read(move |connection| {
            let mut statement = connection.prepare_cached("SELECT body FROM accounts ORDER BY id")?;
            let mut rows = statement.query([])?;
            let mut accounts = Vec::new();
            while let Some(row) = rows.next()? {
                accounts.push(serde_json::from_slice(&row.get::<_, Vec<u8>>(0)?)?);
            }
            Ok(accounts)
        });
        all.await.map_err(failed)
    }

    async fn put_account(&self, account: &Account) -> Result<(), AccountsError> {
        let account = account.clone();
        let put = self.database.write(Durability::Machine, move |connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO accounts (id, body) VALUES (?1, ?2)")?
                .execute(params![account.id.as_str(), serde_json::to_vec(&account)?])?;
            Ok(())
        });
        put.await.map_err(failed)
    }

    async fn add_token(&self, token: &TokenRecord) -> Result<(), AccountsError> {
        let token = token.clone();
        let added = self.database.write(Durability::Machine, move |connection| {
            connection
                .prepare_cached("INSERT INTO tokens (hash, account, body) VALUES (?1, ?2, ?3)")?
                .execute(params![token.hash.as_str(), token.account.as_str(), serde_json::to_vec(&token)?])?;
            Ok(())
        });
        added.await.map_err(failed)
    }

    async fn tokens(&self, account: Option<&AccountId>) -> Result<Vec<TokenRecord>, AccountsError> {
        let account = account.map(|account| account.as_str().to_owned());
        let all = self.database.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT body FROM tokens WHERE account = ?1 OR ?1 IS NULL ORDER BY sequence",
            )?;
            let mut rows = statement.query(params![account])?;
            let mut tokens = Vec::<TokenRecord>::new();
            while let Some(row) = rows.next()? {
                tokens.push(serde_json::from_slice(&row.get::<_, Vec<u8>>(0)?)?);
            }
            tokens.sort_by_key(|token| token.created);
            Ok(tokens)
        });
        all.await.map_err(failed)
    }

    async fn revoke_token(&self, hash: &TokenHash, now: Timestamp) -> Result<bool, AccountsError> {
        let hash = hash.clone();
        let revoked = self.database.write(Durability::Machine, move |connection| {
            let body: Option<Vec<u8>> = connection
                .prepare_cached("SELECT body FROM tokens WHERE hash = ?1")?
                .query_row(params![hash.as_str()], |row| row.get(0))
                .optional()?;
            let Some(body) = body else { return Ok(false) };
            let mut token: TokenRecord = serde_json::from_slice(&body)?;
            token.revoked.get_or_insert(now);
            connection
                .prepare_cached("UPDATE tokens SET body = ?2 WHERE hash = ?1")?
                .execute(params![hash.as_str(), serde_json::to_vec(&token)?])?;
            Ok(true)
        });
        revoked.await.map_err(failed)
    }
}
