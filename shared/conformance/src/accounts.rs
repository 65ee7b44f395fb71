//! What every [`Accounts`] does.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use willcall_core::{
    Timestamp,
    account::{Account, Scope, TokenRecord},
    ports::Accounts,
    token::Token,
};

use crate::samples::{START, account};

/// Makes the adapter that is put to the test.
#[async_trait]
pub trait AccountsHarness: Send + Sync + Sized {
    /// A harness with no account.
    async fn fresh() -> Self;

    /// The accounts.
    fn accounts(&self) -> Arc<dyn Accounts>;
}

crate::suite! {
    $ accounts_suite in accounts for AccountsHarness {
        accounts_are_kept_and_replaced,
        a_token_is_found_with_its_account,
        an_unknown_token_is_not_found,
        a_token_of_no_account_is_not_found,
        expired_tokens_are_kept_with_their_data,
        a_revoked_token_stays_revoked,
        tokens_are_listed_oldest_first_and_by_account,
        a_token_cannot_be_added_twice,
    }
}

fn sample(name: &str) -> Account {
    Account { id: account(name), plan: "free".into(), created: START }
}

fn token(name: &str, minute: u64) -> TokenRecord {
    TokenRecord {
        hash: Token::generate().unwrap().hash(),
        account: account(name),
        scope: Scope::Submit,
        name: format!("token ü {minute}"),
        created: at(minute),
        expires: None,
        revoked: None,
    }
}

fn at(minute: u64) -> Timestamp {
    START.plus(Duration::from_secs(60 * minute))
}

async fn accounts_are_kept_and_replaced(harness: &impl AccountsHarness) {
    let accounts = harness.accounts();
    assert!(accounts.accounts().await.unwrap().is_empty());
    let (a, b) = (sample("a"), sample("b"));
    accounts.put_account(&b).await.unwrap();
    accounts.put_account(&a).await.unwrap();
    assert_eq!(accounts.accounts().await.unwrap(), [a.clone(), b]);
    let changed = Account { plan: "pro".into(), ..a.clone() };
    accounts.put_account(&changed).await.unwrap();
    assert_eq!(accounts.account(&a.id).await.unwrap(), Some(changed));
    assert_eq!(accounts.account(&account("c")).await.unwrap(), None);
    assert_eq!(accounts.accounts().await.unwrap().len(), 2);
}

async fn a_token_is_found_with_its_account(harness: &impl AccountsHarness) {
    let (accounts, account, token) = (harness.accounts(), sample("a"), token("a", 0));
    accounts.put_account(&account).await.unwrap();
    accounts.add_token(&token).await.unwrap();
    let changed = Account { plan: "pro".into(), ..account };
    accounts.put_account(&changed).await.unwrap();
    assert_eq!(accounts.find_token(&token.hash).await.unwrap(), Some((token, changed)));
}

async fn an_unknown_token_is_not_found(harness: &impl AccountsHarness) {
    let accounts = harness.accounts();
    accounts.put_account(&sample("a")).await.unwrap();
    accounts.add_token(&token("a", 0)).await.unwrap();
    let unknown = token("a", 1).hash;
    assert_eq!(accounts.find_token(&unknown).await.unwrap(), None);
    assert!(!accounts.revoke_token(&unknown, START).await.unwrap());
}

async fn a_token_of_no_account_is_not_found(harness: &impl AccountsHarness) {
    let (accounts, stray) = (harness.accounts(), token("nobody", 0));
    // A store may refuse it, too.
    let _ = accounts.add_token(&stray).await;
    assert_eq!(accounts.find_token(&stray.hash).await.unwrap(), None);
}

async fn expired_tokens_are_kept_with_their_data(harness: &impl AccountsHarness) {
    let (accounts, account) = (harness.accounts(), sample("a"));
    accounts.put_account(&account).await.unwrap();
    let past = TokenRecord { expires: Some(Timestamp::from_millis(1)), scope: Scope::Admin, ..token("a", 0) };
    accounts.add_token(&past).await.unwrap();
    assert_eq!(accounts.find_token(&past.hash).await.unwrap(), Some((past.clone(), account)));
    assert_eq!(accounts.tokens(None).await.unwrap(), [past]);
}

async fn a_revoked_token_stays_revoked(harness: &impl AccountsHarness) {
    let (accounts, token) = (harness.accounts(), token("a", 0));
    accounts.put_account(&sample("a")).await.unwrap();
    accounts.add_token(&token).await.unwrap();
    assert!(accounts.revoke_token(&token.hash, at(1)).await.unwrap());
    assert!(accounts.revoke_token(&token.hash, at(2)).await.unwrap(), "revoking again is no error");
    let (found, _) = accounts.find_token(&token.hash).await.unwrap().unwrap();
    assert_eq!(found.revoked, Some(at(1)), "and keeps the first moment");
    assert!(!found.is_live(at(3)));
    assert_eq!(accounts.tokens(None).await.unwrap(), [found]);
}

async fn tokens_are_listed_oldest_first_and_by_account(harness: &impl AccountsHarness) {
    let accounts = harness.accounts();
    for name in ["a", "b"] {
        accounts.put_account(&sample(name)).await.unwrap();
    }
    let (late, early, other) = (token("a", 5), token("a", 1), token("b", 3));
    for token in [&late, &early, &other] {
        accounts.add_token(token).await.unwrap();
    }
    assert_eq!(accounts.tokens(Some(&account("a"))).await.unwrap(), [early.clone(), late.clone()]);
    assert_eq!(accounts.tokens(None).await.unwrap(), [early, other, late]);
    assert!(accounts.tokens(Some(&account("c"))).await.unwrap().is_empty());
}

async fn a_token_cannot_be_added_twice(harness: &impl AccountsHarness) {
    let (accounts, token) = (harness.accounts(), token("a", 0));
    accounts.put_account(&sample("a")).await.unwrap();
    accounts.add_token(&token).await.unwrap();
    accounts.revoke_token(&token.hash, START).await.unwrap();
    assert!(accounts.add_token(&token).await.is_err(), "adding it again would bring a revoked token back");
    assert!(!accounts.find_token(&token.hash).await.unwrap().unwrap().0.is_live(START));
}
