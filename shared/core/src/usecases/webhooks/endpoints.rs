//! The endpoints of an account.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Notifier, RACES,
    once::{self, Changed},
    secrets::{context, live, make},
    subscriptions, too_busy,
};
use crate::{
    Error, FieldError,
    account::{Caller, Scope},
    idempotency::{Made, NewKey},
    ports::{Message, SavedOnce},
    usecases::limits::{MAX_DESCRIPTION, MAX_ENDPOINTS},
    webhook::{Disabled, Endpoint, EndpointId, EventKind, Method, SealedSecret, Secret, test_body},
};

/// An endpoint as a client writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EndpointDraft {
    /// Where.
    pub url: String,
    /// Of what it is told; `None` for everything.
    pub events: Option<Vec<String>>,
    /// What the client calls it.
    pub description: Option<String>,
}

/// What a client changes of an endpoint; `None` leaves a member as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointChange {
    /// Where.
    pub url: Option<String>,
    /// Of what it is told; `Some(None)` for everything.
    pub events: Option<Option<Vec<String>>>,
    /// What the client calls it; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// Whether anything is sent to it.
    pub enabled: Option<bool>,
}

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// The `webhook-id` that it had.
    pub id: String,
    /// What the receiver answered, if it did.
    pub status: Option<u16>,
    /// What went wrong, in words for the owner.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Tested {
    /// Whether the receiver took it.
    pub fn is_delivered(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// The account's endpoints, oldest first.
pub async fn endpoints(notifier: &Notifier, caller: &Caller) -> Result<Vec<Endpoint>, Error> {
    caller.require(Scope::Admin)?;
    Ok(subscriptions(notifier, &caller.account.id).await?.endpoints)
}

/// One of the account's endpoints.
pub async fn endpoint(notifier: &Notifier, caller: &Caller, id: EndpointId) -> Result<Endpoint, Error> {
    caller.require(Scope::Admin)?;
    let found = subscriptions(notifier, &caller.account.id).await?;
    found.endpoint(id).cloned().ok_or(Error::NotFound("webhook"))
}

/// Makes an endpoint. Its secret is answered here and never again.
pub async fn create_endpoint(
    notifier: &Notifier,
    caller: &Caller,
    draft: EndpointDraft,
) -> Result<(Endpoint, Secret), Error> {
    create(notifier, caller, draft, None).await?.made()
}

pub(super) async fn create(
    notifier: &Notifier,
    caller: &Caller,
    draft: EndpointDraft,
    key: Option<&NewKey>,
) -> Result<Changed<Endpoint>, Error> {
    caller.require(Scope::Admin)?;
    let mut errors = Vec::new();
    check_url(notifier, &draft.url, &mut errors);
    check_description(draft.description.as_deref(), &mut errors);
    let events = draft.events.and_then(|names| events(&names, &mut errors));
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let (account, id, now) = (&caller.account.id, EndpointId::generate(), notifier.clock.now());
    let (secret, sealed) = make(notifier, &context(account, Some(id))).await?;
    let made = Endpoint {
        id,
        url: draft.url,
        description: draft.description,
        events,
        disabled: None,
        secrets: vec![SealedSecret { sealed, created: now, retires: None }],
        created: now,
    };
    for _ in 0..RACES {
        let mut changed = subscriptions(notifier, account).await?;
        if changed.endpoints.len() >= MAX_ENDPOINTS {
            return Err(Error::Conflict(format!(
                "the account has {MAX_ENDPOINTS} webhooks, and no more are allowed: delete one"
            )));
        }
        changed.endpoints.push(made.clone());
        changed.version += 1;
        match once::save(notifier, &changed, key, || Made::Webhook(id)).await? {
            SavedOnce::Saved => {
                tracing::info!(account = %account, webhook = %id, "made a webhook");
                return Ok(Changed::Made(made, secret));
            }
            SavedOnce::Overtaken => {}
            SavedOnce::Known(known) => return Ok(Changed::Known(known)),
        }
    }
    Err(once::too_busy(key))
}

/// Changes an endpoint. One that answered that it is gone is enabled again by this alone.
pub async fn update_endpoint(
    notifier: &Notifier,
    caller: &Caller,
    id: EndpointId,
    change: EndpointChange,
) -> Result<Endpoint, Error> {
    caller.require(Scope::Admin)?;
    let mut errors = Vec::new();
    if let Some(url) = &change.url {
        check_url(notifier, url, &mut errors);
    }
    check_description(change.description.as_ref().and_then(Option::as_deref), &mut errors);
    let new_events =
        change.events.as_ref().map(|names| names.as_ref().and_then(|names| events(names, &mut errors)));
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    for _ in 0..RACES {
        let mut changed = subscriptions(notifier, &caller.account.id).await?;
        let endpoint = changed.endpoint_mut(id).ok_or(Error::NotFound("webhook"))?;
        if let Some(url) = &change.url {
            endpoint.url.clone_from(url);
        }
        if let Some(events) = &new_events {
            endpoint.events.clone_from(events);
        }
        if let Some(description) = &change.description {
            endpoint.description.clone_from(description);
        }
        match change.enabled {
            Some(true) => endpoint.disabled = None,
            Some(false) => endpoint.disabled = endpoint.disabled.or(Some(Disabled::ByOwner)),
            None => {}
        }
        let after = endpoint.clone();
        changed.version += 1;
        if notifier.store.save_subscriptions(&changed).await? {
            return Ok(after);
        }
    }
    Err(too_busy())
}

/// Removes an endpoint. What is still to be delivered to it is given up.
pub async fn delete_endpoint(notifier: &Notifier, caller: &Caller, id: EndpointId) -> Result<(), Error> {
    caller.require(Scope::Admin)?;
    for _ in 0..RACES {
        let mut changed = subscriptions(notifier, &caller.account.id).await?;
        let before = changed.endpoints.len();
        changed.endpoints.retain(|endpoint| endpoint.id != id);
        if changed.endpoints.len() == before {
            return Err(Error::NotFound("webhook"));
        }
        changed.version += 1;
        if notifier.store.save_subscriptions(&changed).await? {
            tracing::info!(account = %caller.account.id, webhook = %id, "deleted a webhook");
            return Ok(());
        }
    }
    Err(too_busy())
}

/// Disables an endpoint whose receiver says that it is gone, unless it was given another address meanwhile.
pub(super) async fn disable_gone(
    notifier: &Notifier,
    account: &crate::AccountId,
    id: EndpointId,
    url: &str,
) -> Result<(), Error> {
    for _ in 0..RACES {
        let mut changed = subscriptions(notifier, account).await?;
        match changed.endpoint_mut(id) {
            Some(endpoint) if endpoint.url == url && endpoint.disabled.is_none() => {
                endpoint.disabled = Some(Disabled::Gone);
            }
            _ => return Ok(()),
        }
        changed.version += 1;
        if notifier.store.save_subscriptions(&changed).await? {
            tracing::warn!(account = %account, webhook = %id, "a webhook is gone and was disabled");
            return Ok(());
        }
    }
    Err(too_busy())
}

/// Sends a test to an endpoint, enabled or not, and waits for what comes of it. It is tried once and leaves no trace.
pub async fn test_endpoint(notifier: &Notifier, caller: &Caller, id: EndpointId) -> Result<Tested, Error> {
    let endpoint = endpoint(notifier, caller, id).await?;
    let secrets = live(notifier, &context(&caller.account.id, Some(id)), &endpoint.secrets).await?;
    let now = notifier.clock.now();
    let message = Message {
        url: endpoint.url,
        method: Method::Post,
        id: format!("test_{}", EndpointId::generate().to_string().replace('-', "")),
        now,
        content: test_body(id, now),
        secrets,
    };
    let began = Instant::now();
    let (status, error) = match notifier.sender.send(&message).await {
        Ok(reply) => (Some(reply.status), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Ok(Tested { id: message.id, status, error, took: began.elapsed() })
}

fn check_url(notifier: &Notifier, url: &str, errors: &mut Vec<FieldError>) {
    if let Err(unfit) = notifier.sender.check(url) {
        errors.push(FieldError::at("url", unfit.to_string()));
    }
}

fn check_description(description: Option<&str>, errors: &mut Vec<FieldError>) {
    let length = description.map_or(0, |text| text.chars().count());
    if length > MAX_DESCRIPTION {
        let detail = format!("has {length} characters: at most {MAX_DESCRIPTION} are allowed");
        errors.push(FieldError::at("description", detail));
    }
}

fn events(names: &[String], errors: &mut Vec<FieldError>) -> Option<BTreeSet<EventKind>> {
    if names.is_empty() {
        errors.push(FieldError::at("events", "is empty: name at least one, or leave it out for all"));
    }
    let mut events = BTreeSet::new();
    for (index, name) in names.iter().enumerate().take(100) {
        match name.parse() {
            Ok(kind) => drop(events.insert(kind)),
            Err(detail) => errors.push(FieldError::at(&format!("events/{index}"), detail)),
        }
    }
    Some(events)
}
