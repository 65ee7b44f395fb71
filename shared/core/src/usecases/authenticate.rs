//! Who is asking.

use super::App;
use crate::{
    Error,
    account::{Caller, Scope},
    token::Token,
};

/// The caller behind a token. A token of the wrong form costs no look-up; a revoked or expired one is as good as none.
pub async fn authenticate(app: &App, token: Option<&str>) -> Result<Caller, Error> {
    let token = token.and_then(Token::parse).ok_or(Error::Unauthenticated)?;
    let (record, account) = app.accounts.find_token(&token.hash()).await?.ok_or(Error::Unauthenticated)?;
    if !record.is_live(app.clock.now()) {
        return Err(Error::Unauthenticated);
    }
    let plan = app.catalog.catalog().await?.plan(&account.plan);
    Ok(Caller { account, plan, scope: record.scope })
}

impl Caller {
    /// An error unless the token's scope allows what `needed` asks for.
    pub fn require(&self, needed: Scope) -> Result<(), Error> {
        if self.scope.allows(needed) { Ok(()) } else { Err(Error::Forbidden(needed)) }
    }
}
