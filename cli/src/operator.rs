//! The operator on their own machine: an account that no plan of the catalog limits, with a token that lives only in
//! this process.

use std::sync::Arc;

use async_trait::async_trait;
use willcall_core::{
    AccountId, Timestamp,
    account::{Account, Plan, Scope, TokenRecord},
    catalog::Catalog,
    ports::{Accounts, AccountsError, CatalogError, CatalogSource},
    token::{Token, TokenHash},
};

/// The name of the operator's account and of its plan.
pub(crate) const LOCAL: &str = "local";
/// Results are collected at once; a day is for those that were forgotten.
const RETENTION_DAYS: u32 = 1;
/// More than there are anywhere, and still exact in every JSON reader.
const MAX_RECORDS: u64 = (1 << 53) - 1;

/// The catalog with the operator's plan in it.
pub(crate) struct OperatorCatalog(pub(crate) Arc<dyn CatalogSource>);

#[async_trait]
impl CatalogSource for OperatorCatalog {
    async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError> {
        let mut catalog = (*self.0.catalog().await?).clone();
        let unlimited = Plan {
            max_records: MAX_RECORDS,
            max_open_jobs: u32::MAX,
            retention_days: RETENTION_DAYS,
            sql: true,
            ..Plan::default_named(LOCAL)
        };
        catalog.plans.insert(LOCAL.to_owned(), unlimited);
        Ok(Arc::new(catalog))
    }
}

/// The accounts with the operator's token among them; it is never stored.
pub(crate) struct OperatorAccounts {
    stored: Arc<dyn Accounts>,
    token: TokenRecord,
    account: Account,
}

impl OperatorAccounts {
    /// The accounts, with the operator's among those stored, so that a server knows its jobs too.
    pub(crate) async fn new(
        stored: Arc<dyn Accounts>,
        id: AccountId,
        token: &Token,
        now: Timestamp,
    ) -> Result<Self, AccountsError> {
        let account = match stored.account(&id).await? {
            Some(account) => Account { plan: LOCAL.to_owned(), ..account },
            None => {
                let account = Account { id: id.clone(), plan: LOCAL.to_owned(), created: now };
                stored.put_account(&account).await?;
                account
            }
        };
        let token = TokenRecord {
            hash: token.hash(),
            account: id,
            scope: Scope::Admin,
            name: "this process".into(),
            created: now,
            expires: None,
            revoked: None,
        };
        Ok(Self { stored, token, account })
    }
}

#[async_trait]
impl Accounts for OperatorAccounts {
    async fn find_token(&self, hash: &TokenHash) -> Result<Option<(TokenRecord, Account)>, AccountsError> {
        if *hash == self.token.hash {
            return Ok(Some((self.token.clone(), self.account.clone())));
        }
        self.stored.find_token(hash).await
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, AccountsError> {
        self.stored.account(id).await
    }

    async fn accounts(&self) -> Result<Vec<Account>, AccountsError> {
        self.stored.accounts().await
    }

    async fn put_account(&self, account: &Account) -> Result<(), AccountsError> {
        self.stored.put_account(account).await
    }

    async fn add_token(&self, token: &TokenRecord) -> Result<(), AccountsError> {
        self.stored.add_token(token).await
    }

    async fn tokens(&self, account: Option<&AccountId>) -> Result<Vec<TokenRecord>, AccountsError> {
        self.stored.tokens(account).await
    }

    async fn revoke_token(&self, hash: &TokenHash, now: Timestamp) -> Result<bool, AccountsError> {
        self.stored.revoke_token(hash, now).await
    }
}
