//! Accounts and tokens: what an operator does with them, and what an account sees of itself.

use std::{sync::Arc, time::Duration};

use super::App;
use crate::{
    AccountId, Error,
    account::{Account, Caller, Scope, TokenRecord},
    ports::{Accounts, CatalogSource, Clock},
    token::Token,
};

/// What keeping accounts needs: less than an [`App`], so that an operator can do it beside a running host, whose jobs
/// and results are nobody else's to open.
#[derive(Clone)]
pub struct Registry {
    /// Accounts and tokens.
    pub accounts: Arc<dyn Accounts>,
    /// The plans.
    pub catalog: Arc<dyn CatalogSource>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl From<&App> for Registry {
    fn from(app: &App) -> Self {
        Self {
            accounts: Arc::clone(&app.accounts),
            catalog: Arc::clone(&app.catalog),
            clock: Arc::clone(&app.clock),
        }
    }
}

impl From<&Registry> for Registry {
    fn from(registry: &Registry) -> Self {
        registry.clone()
    }
}

/// What an account uses of its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Jobs that have not ended.
    pub open_jobs: u32,
    /// Submits in this minute of the clock; `None` where the plan does not count them.
    pub submits: Option<u32>,
    /// Records of the jobs that completed today (UTC).
    pub records_today: u64,
    /// Bytes of their results.
    pub bytes_today: u64,
}

/// What the caller's account uses now.
pub async fn usage(app: &App, caller: &Caller) -> Result<Usage, Error> {
    caller.require(Scope::Read)?;
    let account = &caller.account.id;
    let consumed = app.jobs.consumed(account, app.clock.now()).await?;
    Ok(Usage {
        open_jobs: app.jobs.open_jobs(account).await?,
        submits: caller.plan.submits_per_minute.map(|_| consumed.submits),
        records_today: consumed.records,
        bytes_today: consumed.bytes,
    })
}

/// Makes an account, or gives an existing one another plan. The plan must be in the catalog.
pub async fn put_account(registry: impl Into<Registry>, id: AccountId, plan: &str) -> Result<Account, Error> {
    let registry = registry.into();
    let catalog = registry.catalog.catalog().await?;
    if !catalog.plans.contains_key(plan) {
        let known: Vec<&str> = catalog.plans.keys().map(String::as_str).collect();
        return Err(Error::invalid(
            "plan",
            format!("there is no plan {plan:?}: the catalog has {}", known.join(", ")),
        ));
    }
    let created =
        registry.accounts.account(&id).await?.map_or_else(|| registry.clock.now(), |old| old.created);
    let account = Account { id, plan: plan.to_owned(), created };
    registry.accounts.put_account(&account).await?;
    Ok(account)
}

/// Makes a token for an existing account. The token is answered here and never again.
pub async fn create_token(
    registry: impl Into<Registry>,
    account: &AccountId,
    scope: Scope,
    name: &str,
    lifetime: Option<Duration>,
) -> Result<(Token, TokenRecord), Error> {
    let registry = registry.into();
    if registry.accounts.account(account).await?.is_none() {
        return Err(Error::NotFound("account"));
    }
    let token = Token::generate().map_err(|error| Error::Internal(Box::new(error)))?;
    let now = registry.clock.now();
    let record = TokenRecord {
        hash: token.hash(),
        account: account.clone(),
        scope,
        name: name.to_owned(),
        created: now,
        expires: lifetime.map(|lifetime| now.plus(lifetime)),
        revoked: None,
    };
    registry.accounts.add_token(&record).await?;
    Ok((token, record))
}

/// Revokes the one token whose hash begins with `prefix` (8 digits at least).
pub async fn revoke_token(registry: impl Into<Registry>, prefix: &str) -> Result<TokenRecord, Error> {
    let registry = registry.into();
    if prefix.len() < 8 {
        return Err(Error::invalid("id", "give at least the first 8 digits of the token's id"));
    }
    let tokens = registry.accounts.tokens(None).await?;
    let mut found = tokens.into_iter().filter(|token| token.hash.as_str().starts_with(prefix));
    let token = found.next().ok_or(Error::NotFound("token"))?;
    if found.next().is_some() {
        return Err(Error::invalid("id", "fits more than one token: give more of its digits"));
    }
    registry.accounts.revoke_token(&token.hash, registry.clock.now()).await?;
    Ok(token)
}
