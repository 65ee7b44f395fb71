//! Who may ask.

use async_trait::async_trait;

use crate::{
    AccountId, Timestamp,
    account::{Account, TokenRecord},
    error::Source,
    token::TokenHash,
};

/// Accounts and their tokens. What a method has answered is seen by every later call: a token that was revoked
/// never works again.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// The token of that hash with its account, expired and revoked ones included.
    async fn find_token(&self, hash: &TokenHash) -> Result<Option<(TokenRecord, Account)>, AccountsError>;

    /// The account.
    async fn account(&self, id: &AccountId) -> Result<Option<Account>, AccountsError>;

    /// Every account, by id.
    async fn accounts(&self) -> Result<Vec<Account>, AccountsError>;

    /// Keeps the account, in place of one of the same id.
    async fn put_account(&self, account: &Account) -> Result<(), AccountsError>;

    /// Keeps a new token.
    async fn add_token(&self, token: &TokenRecord) -> Result<(), AccountsError>;

    /// Every token of the account, or of all accounts, oldest first.
    async fn tokens(&self, account: Option<&AccountId>) -> Result<Vec<TokenRecord>, AccountsError>;

    /// Revokes the token at `now`; `false` where there is none of that hash. Revoking again changes nothing.
    async fn revoke_token(&self, hash: &TokenHash, now: Timestamp) -> Result<bool, AccountsError>;
}

/// The accounts cannot be read or written now.
#[derive(Debug, thiserror::Error)]
#[error("the account store does not answer")]
pub struct AccountsError(#[source] pub Source);
