//! Accounts and tokens in maps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use willcall_core::{
    AccountId, Timestamp,
    account::{Account, TokenRecord},
    error::Source,
    ports::{Accounts, AccountsError},
    token::TokenHash,
};

use super::lock;

#[derive(Debug, Default)]
struct Held {
    accounts: BTreeMap<AccountId, Account>,
    tokens: Vec<TokenRecord>,
}

/// Accounts in memory. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct MemoryAccounts(Arc<Mutex<Held>>);

/// A token was added twice.
#[derive(Debug, thiserror::Error)]
#[error("there is a token of that hash")]
struct Twice;

#[async_trait]
impl Accounts for MemoryAccounts {
    async fn find_token(&self, hash: &TokenHash) -> Result<Option<(TokenRecord, Account)>, AccountsError> {
        let held = lock(&self.0);
        let token = held.tokens.iter().find(|token| token.hash == *hash);
        Ok(token.and_then(|token| Some((token.clone(), held.accounts.get(&token.account)?.clone()))))
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, AccountsError> {
        Ok(lock(&self.0).accounts.get(id).cloned())
    }

    async fn accounts(&self) -> Result<Vec<Account>, AccountsError> {
        Ok(lock(&self.0).accounts.values().cloned().collect())
    }

    async fn put_account(&self, account: &Account) -> Result<(), AccountsError> {
        lock(&self.0).accounts.insert(account.id.clone(), account.clone());
        Ok(())
    }

    async fn add_token(&self, token: &TokenRecord) -> Result<(), AccountsError> {
        let mut held = lock(&self.0);
        if held.tokens.iter().any(|other| other.hash == token.hash) {
            let source: Source = Box::new(Twice);
            return Err(AccountsError(source));
        }
        held.tokens.push(token.clone());
        Ok(())
    }

    async fn tokens(&self, account: Option<&AccountId>) -> Result<Vec<TokenRecord>, AccountsError> {
        let held = lock(&self.0);
        let wanted =
            held.tokens.iter().filter(|token| account.is_none_or(|account| token.account == *account));
        let mut tokens: Vec<TokenRecord> = wanted.cloned().collect();
        tokens.sort_by_key(|token| token.created);
        Ok(tokens)
    }

    async fn revoke_token(&self, hash: &TokenHash, now: Timestamp) -> Result<bool, AccountsError> {
        let mut held = lock(&self.0);
        let Some(token) = held.tokens.iter_mut().find(|token| token.hash == *hash) else { return Ok(false) };
        token.revoked.get_or_insert(now);
        Ok(true)
    }
}
