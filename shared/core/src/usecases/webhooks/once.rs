//! Changes of webhooks that may be repeated by a key: what was made is answered again, its secret is not.

use serde::Serialize;

use super::{
    EndpointDraft, Notifier, default_secrets, endpoint,
    endpoints::create,
    secrets::{rotate_default, rotate_of},
};
use crate::{
    Error,
    account::{Caller, Scope},
    idempotency::{KeyRecord, Made, NewKey},
    ports::SavedOnce,
    usecases::{
        App,
        idempotency::{Keyed, known},
        submit::SOON,
    },
    webhook::{Endpoint, EndpointId, SealedSecret, Secret, Subscriptions},
};

/// What a request with a key is answered with.
#[derive(Debug, Clone)]
pub struct Once<T> {
    /// What it made, as it is now.
    pub made: T,
    /// Its secret, where it was made just now: an earlier request with the same key was shown it.
    pub secret: Option<Secret>,
}

impl<T> Once<T> {
    /// Whether an earlier request with the same key made it.
    pub fn is_replayed(&self) -> bool {
        self.secret.is_none()
    }
}

/// What became of a change that may have a key.
pub(super) enum Changed<T> {
    /// It was made.
    Made(T, Secret),
    /// It was made before, by that key.
    Known(KeyRecord),
}

impl<T> Changed<T> {
    /// What was made without a key, and so made just now.
    pub(super) fn made(self) -> Result<(T, Secret), Error> {
        match self {
            Self::Made(made, secret) => Ok((made, secret)),
            Self::Known(_) => Err(Error::Internal("a key that was not given is known".into())),
        }
    }
}

/// [`create_endpoint`](super::create_endpoint) by a key.
pub async fn create_endpoint_once(
    app: &App,
    caller: &Caller,
    draft: EndpointDraft,
    key: &Keyed,
) -> Result<Once<Endpoint>, Error> {
    caller.require(Scope::Admin)?;
    let key = key.asking(&draft)?;
    match once(app, caller, &key, create(&app.notifier, caller, draft, Some(&key))).await? {
        Changed::Made(made, secret) => Ok(Once { made, secret: Some(secret) }),
        Changed::Known(known) => replay_endpoint(app, caller, &key, &known).await,
    }
}

/// [`rotate_endpoint_secret`](super::rotate_endpoint_secret) by a key.
pub async fn rotate_endpoint_secret_once(
    app: &App,
    caller: &Caller,
    id: EndpointId,
    key: &Keyed,
) -> Result<Once<Endpoint>, Error> {
    caller.require(Scope::Admin)?;
    let key = key.asking(&Nothing {})?;
    match once(app, caller, &key, rotate_of(&app.notifier, caller, id, Some(&key))).await? {
        Changed::Made(made, secret) => Ok(Once { made, secret: Some(secret) }),
        Changed::Known(known) => replay_endpoint(app, caller, &key, &known).await,
    }
}

/// [`rotate_default_secret`](super::rotate_default_secret) by a key.
pub async fn rotate_default_secret_once(
    app: &App,
    caller: &Caller,
    key: &Keyed,
) -> Result<Once<Vec<SealedSecret>>, Error> {
    caller.require(Scope::Admin)?;
    let key = key.asking(&Nothing {})?;
    match once(app, caller, &key, rotate_default(&app.notifier, caller, Some(&key))).await? {
        Changed::Made(made, secret) => Ok(Once { made, secret: Some(secret) }),
        Changed::Known(known) => match known.of(&key)? {
            Made::DefaultSecret(_) => {
                Ok(Once { made: default_secrets(&app.notifier, caller).await?, secret: None })
            }
            _ => Err(Error::KeyMismatch),
        },
    }
}

/// A request that says nothing beside its path.
#[derive(Serialize)]
struct Nothing {}

/// Makes the change, unless the key is known. A change that is refused may be one that another request with the same
/// key has made just now, so the key is looked for once more.
async fn once<T>(
    app: &App,
    caller: &Caller,
    key: &NewKey,
    change: impl Future<Output = Result<Changed<T>, Error>>,
) -> Result<Changed<T>, Error> {
    if let Some(known) = known(app, caller, key).await? {
        return Ok(Changed::Known(known));
    }
    match change.await {
        Ok(changed) => Ok(changed),
        Err(error) => known(app, caller, key).await?.map(Changed::Known).ok_or(error),
    }
}

async fn replay_endpoint(
    app: &App,
    caller: &Caller,
    key: &NewKey,
    known: &KeyRecord,
) -> Result<Once<Endpoint>, Error> {
    let Made::Webhook(id) = known.of(key)? else { return Err(Error::KeyMismatch) };
    let made = match endpoint(&app.notifier, caller, *id).await {
        Err(Error::NotFound(_)) => Err(Error::NotFound("webhook any more: the one of this key was removed")),
        found => found,
    }?;
    tracing::info!(account = %caller.account.id, webhook = %id, "answered a repeated request");
    Ok(Once { made, secret: None })
}

/// Keeps what an account has, and with it the key of the request, if it has one.
pub(super) async fn save(
    notifier: &Notifier,
    subscriptions: &Subscriptions,
    key: Option<&NewKey>,
    made: impl FnOnce() -> Made,
) -> Result<SavedOnce, Error> {
    let Some(key) = key else {
        let saved = notifier.store.save_subscriptions(subscriptions).await?;
        return Ok(if saved { SavedOnce::Saved } else { SavedOnce::Overtaken });
    };
    let now = notifier.clock.now();
    let record = key.record(made(), false, now);
    Ok(notifier.store.save_subscriptions_once(subscriptions, &key.key, &record, now).await?)
}

/// What is answered where too many changed the same at once.
pub(super) fn too_busy(key: Option<&NewKey>) -> Error {
    match key {
        Some(_) => Error::KeyInUse { retry_after: SOON },
        None => super::too_busy(),
    }
}
