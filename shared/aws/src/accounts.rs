//! Accounts and tokens in DynamoDB. Every read is strongly consistent and nothing is cached, so a token that was
//! revoked works nowhere any more.
//!
//! An account and a token are items of partitions of their own, which spread the reads of every request. Beside
//! them stand items without content for lists alone: `ACCOUNTS / ACCOUNT#a`, and `ACCOUNT#a / TOKEN#hash`.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use serde::{Serialize, de::DeserializeOwned};
use willcall_core::{
    AccountId, Timestamp,
    account::{Account, TokenRecord},
    error::Source,
    ports::{Accounts, AccountsError},
    token::TokenHash,
};

use crate::{
    Clients,
    backoff::Backoff,
    dynamo::{Answer, If, Item, Table, Unreadable, Write, key, number, refuse_newer, text},
};

/// The version of the items' form. A reader refuses a newer one.
const SCHEMA: u32 = 1;
const ACCOUNTS: &str = "ACCOUNTS";
const ACCOUNT: &str = "ACCOUNT#";
const TOKEN: &str = "TOKEN#";
const BODY: &str = "body";
const REVOKED: &str = "revoked";
/// Items of a list that are read at once.
const AT_ONCE: usize = 8;

/// The accounts on DynamoDB.
#[derive(Debug, Clone)]
pub struct DynamoAccounts {
    table: Table,
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("there is no account {0}")]
    NoAccount(AccountId),
    #[error("the token is there already")]
    TokenExists,
}

impl DynamoAccounts {
    /// The accounts of that table.
    pub fn new(clients: &Clients, table: impl Into<String>) -> Self {
        Self { table: Table::new(clients, table) }
    }

    async fn read_account(&self, id: &AccountId) -> Result<Option<Account>, Source> {
        let item = self.table.get(account_key(id)).await?;
        Ok(item.as_ref().map(read).transpose()?)
    }

    async fn read_token(&self, hash: &str) -> Result<Option<TokenRecord>, Source> {
        let Some(item) = self.table.get(token_key(hash)).await? else { return Ok(None) };
        let mut token: TokenRecord = read(&item)?;
        token.revoked = token.revoked.or(number(&item, REVOKED)?.map(Timestamp::from_millis));
        Ok(Some(token))
    }

    async fn tokens_of(&self, account: &AccountId) -> Result<Vec<TokenRecord>, Source> {
        let hashes = self.table.sort_keys(&account_partition(account), TOKEN).await?;
        let mut tokens = Vec::new();
        for some in hashes.chunks(AT_ONCE) {
            let read = try_join_all(some.iter().map(|hash| self.read_token(hash))).await?;
            tokens.extend(read.into_iter().flatten());
        }
        Ok(tokens)
    }

    async fn all_accounts(&self) -> Result<Vec<Account>, Source> {
        let mut accounts = Vec::new();
        for id in self.table.sort_keys(ACCOUNTS, ACCOUNT).await? {
            accounts.extend(self.read_account(&id.parse()?).await?);
        }
        Ok(accounts)
    }

    /// Writes, and tries again while others write the same.
    async fn write(&self, writes: &[Write]) -> Result<Option<Vec<usize>>, Source> {
        let mut backoff = Backoff::default();
        loop {
            match self.table.write(writes.to_vec()).await? {
                Answer::Written => return Ok(None),
                Answer::Refused(places) => return Ok(Some(places)),
                Answer::Busy => backoff.wait().await?,
            }
        }
    }

    async fn add(&self, token: &TokenRecord) -> Result<(), Source> {
        let (account, hash) = (&token.account, token.hash.as_str());
        let writes = [
            Write::Put(item(token_key(hash), token)?, If::New),
            Write::Put(key(account_partition(account), format!("{TOKEN}{hash}")), If::Always),
            Write::Check(account_key(account), If::There),
        ];
        match self.write(&writes).await? {
            None => Ok(()),
            Some(places) if places.contains(&0) => {
                // The answer of an earlier try may have been lost; a token is random, so the same record is ours.
                match self.read_token(hash).await? {
                    Some(found) if found == *token => Ok(()),
                    _ => Err(Refused::TokenExists.into()),
                }
            }
            Some(_) => Err(Refused::NoAccount(account.clone()).into()),
        }
    }
}

#[async_trait]
impl Accounts for DynamoAccounts {
    async fn find_token(&self, hash: &TokenHash) -> Result<Option<(TokenRecord, Account)>, AccountsError> {
        let Some(token) = self.read_token(hash.as_str()).await.map_err(AccountsError)? else {
            return Ok(None);
        };
        let account = self.read_account(&token.account).await.map_err(AccountsError)?;
        Ok(account.map(|account| (token, account)))
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, AccountsError> {
        self.read_account(id).await.map_err(AccountsError)
    }

    async fn accounts(&self) -> Result<Vec<Account>, AccountsError> {
        self.all_accounts().await.map_err(AccountsError)
    }

    async fn put_account(&self, account: &Account) -> Result<(), AccountsError> {
        let failed = |error: serde_json::Error| AccountsError(Box::new(error));
        let writes = [
            Write::Put(item(account_key(&account.id), account).map_err(failed)?, If::Always),
            Write::Put(key(ACCOUNTS, account_partition(&account.id)), If::Always),
        ];
        self.write(&writes).await.map_err(AccountsError)?;
        Ok(())
    }

    async fn add_token(&self, token: &TokenRecord) -> Result<(), AccountsError> {
        self.add(token).await.map_err(AccountsError)
    }

    async fn tokens(&self, account: Option<&AccountId>) -> Result<Vec<TokenRecord>, AccountsError> {
        let accounts = match account {
            Some(account) => vec![account.clone()],
            None => self.accounts().await?.into_iter().map(|account| account.id).collect(),
        };
        let mut tokens = Vec::new();
        for account in accounts {
            tokens.extend(self.tokens_of(&account).await.map_err(AccountsError)?);
        }
        tokens.sort_by(|a, b| (a.created, &a.hash).cmp(&(b.created, &b.hash)));
        Ok(tokens)
    }

    async fn revoke_token(&self, hash: &TokenHash, now: Timestamp) -> Result<bool, AccountsError> {
        let revoked = self.table.set_once(token_key(hash.as_str()), REVOKED, now.as_millis()).await;
        match revoked.map_err(|error| AccountsError(Box::new(error)))? {
            Answer::Written => Ok(true),
            Answer::Refused(_) => Ok(false),
            Answer::Busy => Err(AccountsError("the token is being written by another".into())),
        }
    }
}

fn account_partition(account: &AccountId) -> String {
    format!("{ACCOUNT}{account}")
}

fn account_key(account: &AccountId) -> Item {
    key(account_partition(account), "ACCOUNT")
}

fn token_key(hash: &str) -> Item {
    key(format!("{TOKEN}{hash}"), "TOKEN")
}

fn item(mut key: Item, record: &impl Serialize) -> Result<Item, serde_json::Error> {
    key.insert("schema".to_owned(), AttributeValue::N(SCHEMA.to_string()));
    key.insert(BODY.to_owned(), AttributeValue::S(serde_json::to_string(record)?));
    Ok(key)
}

fn read<T: DeserializeOwned>(item: &Item) -> Result<T, Unreadable> {
    refuse_newer(item, SCHEMA)?;
    serde_json::from_str(text(item, BODY)?)
        .map_err(|error| Unreadable::Value { attribute: BODY, source: Box::new(error) })
}
