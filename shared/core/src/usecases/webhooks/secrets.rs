//! Secrets: made, shown once, kept encrypted, replaced with a day's overlap.

use super::{
    Notifier, RACES,
    once::{self, Changed},
    subscriptions, too_busy,
};
use crate::{
    AccountId, Error,
    account::{Caller, Scope},
    idempotency::{Made, NewKey},
    ports::SavedOnce,
    webhook::{Endpoint, EndpointId, SealedSecret, Secret, rotate},
};

/// What a secret is encrypted for: an endpoint, or the addresses of single jobs.
pub(super) fn context(account: &AccountId, endpoint: Option<EndpointId>) -> String {
    match endpoint {
        Some(id) => format!("{account}/{id}"),
        None => format!("{account}/default"),
    }
}

/// A new secret, and what the store keeps of it.
pub(super) async fn make(notifier: &Notifier, context: &str) -> Result<(Secret, String), Error> {
    let secret = Secret::generate().map_err(|error| Error::Internal(Box::new(error)))?;
    let sealed = notifier.vault.seal(context, &secret).await?;
    Ok((secret, sealed))
}

/// The secrets that sign now, newest first.
pub(super) async fn live(
    notifier: &Notifier,
    context: &str,
    secrets: &[SealedSecret],
) -> Result<Vec<Secret>, Error> {
    let now = notifier.clock.now();
    let mut live = Vec::new();
    for secret in secrets.iter().filter(|secret| secret.is_live(now)) {
        live.push(notifier.vault.open(context, &secret.sealed).await?);
    }
    Ok(live)
}

/// Replaces an endpoint's secret. The new one is answered here and never again; the one before signs beside it for a day.
pub async fn rotate_endpoint_secret(
    notifier: &Notifier,
    caller: &Caller,
    id: EndpointId,
) -> Result<(Endpoint, Secret), Error> {
    rotate_of(notifier, caller, id, None).await?.made()
}

pub(super) async fn rotate_of(
    notifier: &Notifier,
    caller: &Caller,
    id: EndpointId,
    key: Option<&NewKey>,
) -> Result<Changed<Endpoint>, Error> {
    caller.require(Scope::Admin)?;
    let account = &caller.account.id;
    let (secret, sealed) = make(notifier, &context(account, Some(id))).await?;
    for _ in 0..RACES {
        let mut changed = subscriptions(notifier, account).await?;
        let endpoint = changed.endpoint_mut(id).ok_or(Error::NotFound("webhook"))?;
        rotate(&mut endpoint.secrets, sealed.clone(), notifier.clock.now());
        let after = endpoint.clone();
        changed.version += 1;
        match once::save(notifier, &changed, key, || Made::Webhook(id)).await? {
            SavedOnce::Saved => {
                tracing::info!(account = %account, webhook = %id, "rotated the secret of a webhook");
                return Ok(Changed::Made(after, secret));
            }
            SavedOnce::Overtaken => {}
            SavedOnce::Known(known) => return Ok(Changed::Known(known)),
        }
    }
    Err(once::too_busy(key))
}

/// The account's default secrets without what is secret of them, newest first. It signs what goes to addresses of single
/// jobs.
pub async fn default_secrets(notifier: &Notifier, caller: &Caller) -> Result<Vec<SealedSecret>, Error> {
    caller.require(Scope::Admin)?;
    Ok(subscriptions(notifier, &caller.account.id).await?.secrets)
}

/// Makes the account's default secret, or replaces it. The new one is answered here and never again; the one before signs
/// beside it for a day.
pub async fn rotate_default_secret(
    notifier: &Notifier,
    caller: &Caller,
) -> Result<(Vec<SealedSecret>, Secret), Error> {
    rotate_default(notifier, caller, None).await?.made()
}

pub(super) async fn rotate_default(
    notifier: &Notifier,
    caller: &Caller,
    key: Option<&NewKey>,
) -> Result<Changed<Vec<SealedSecret>>, Error> {
    caller.require(Scope::Admin)?;
    let account = &caller.account.id;
    let (secret, sealed) = make(notifier, &context(account, None)).await?;
    for _ in 0..RACES {
        let mut changed = subscriptions(notifier, account).await?;
        rotate(&mut changed.secrets, sealed.clone(), notifier.clock.now());
        changed.version += 1;
        match once::save(notifier, &changed, key, || Made::DefaultSecret(account.clone())).await? {
            SavedOnce::Saved => {
                tracing::info!(account = %account, "rotated the default secret");
                return Ok(Changed::Made(changed.secrets, secret));
            }
            SavedOnce::Overtaken => {}
            SavedOnce::Known(known) => return Ok(Changed::Known(known)),
        }
    }
    Err(once::too_busy(key))
}

/// The account's default secrets that sign now. Where there is none yet one is made, which nobody has seen: whoever wants
/// to verify signatures rotates it.
pub(super) async fn live_default(notifier: &Notifier, account: &AccountId) -> Result<Vec<Secret>, Error> {
    let context = context(account, None);
    for _ in 0..RACES {
        let mut found = subscriptions(notifier, account).await?;
        if !found.secrets.is_empty() {
            return live(notifier, &context, &found.secrets).await;
        }
        let (_, sealed) = make(notifier, &context).await?;
        rotate(&mut found.secrets, sealed, notifier.clock.now());
        found.version += 1;
        // Read back in any case: another may have been first.
        notifier.store.save_subscriptions(&found).await?;
    }
    Err(too_busy())
}
