//! Webhook endpoints and the account's default secret.

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header};
use serde_json::{Map, Value};
use willcall_core::{
    Error, FieldError,
    usecases::{
        idempotency::Keyed,
        webhooks::{self, EndpointChange, EndpointDraft, Once},
    },
    webhook::{EndpointId, Secret},
};

use super::{Api, Path, json, set};
use crate::{
    auth::Authenticated,
    idempotency::{Key, replayed},
    problem::Failure,
    wire::{
        body::read_object,
        members::Members,
        params::Params,
        webhook::{WebhookList, WebhookResource, WebhookSecret, WebhookTest},
    },
};

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/v1/webhooks", get(list).post(create))
        .route("/v1/webhooks/{webhook}", get(show).patch(change).delete(remove))
        .route("/v1/webhooks/{webhook}/test", post(test))
        .route("/v1/webhooks/{webhook}/rotate", post(rotate))
        .route("/v1/account/webhook-secret", get(default_secret))
        .route("/v1/account/webhook-secret/rotate", post(rotate_default_secret))
}

impl Path {
    /// The endpoint of the path. What cannot be an endpoint's id is no endpoint.
    fn webhook(&self) -> Result<EndpointId, Failure> {
        self.get("webhook").parse().map_err(|_| Error::NotFound("webhook").into())
    }
}

fn no_params(raw: Option<&str>) -> Result<(), Failure> {
    Params::parse(raw)?.finish(&[])
}

async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    no_params(raw.as_deref())?;
    let endpoints = webhooks::endpoints(&api.app.notifier, &caller).await?;
    let resource = |endpoint| WebhookResource::of(api.public_url(), endpoint, None);
    json(StatusCode::OK, &WebhookList { webhooks: endpoints.iter().map(resource).collect() })
}

/// The members of an endpoint, for a new one or a change.
fn read(body: Map<String, Value>, whole: bool) -> Result<EndpointChange, Failure> {
    let mut errors: Vec<FieldError> = Vec::new();
    let mut members = Members::new(body, &mut errors);
    let given = |members: &Members<'_>, name: &str| members.has(name);
    let (url_given, events_given, description_given) =
        (given(&members, "url"), given(&members, "events"), given(&members, "description"));
    let url = members.text("url");
    if whole && !url_given {
        members.wrong("url", "is missing: say where to send");
    }
    let events = members.texts("events");
    let description = members.text("description");
    let enabled = if whole { None } else { members.flag("enabled") };
    let known: &[&str] =
        if whole { &["url", "events", "description"] } else { &["url", "events", "description", "enabled"] };
    members.finish(known);
    if !errors.is_empty() {
        return Err(Failure::invalid(errors));
    }
    if url_given && url.is_none() {
        return Err(Failure::at("#/url", "must be a string, not null"));
    }
    Ok(EndpointChange {
        url,
        events: events_given.then_some(events),
        description: description_given.then_some(description),
        enabled,
    })
}

async fn create(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Key(key): Key,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Failure> {
    no_params(raw.as_deref())?;
    let EndpointChange { url, events, description, .. } = read(read_object(request).await?, true)?;
    let draft = EndpointDraft {
        url: url.unwrap_or_default(),
        events: events.flatten(),
        description: description.flatten(),
    };
    let made = match key {
        Some(key) => {
            let key = Keyed { status: StatusCode::CREATED.as_u16(), ..key };
            webhooks::create_endpoint_once(&api.app, &caller, draft, &key).await?
        }
        None => fresh(webhooks::create_endpoint(&api.app.notifier, &caller, draft).await?),
    };
    let resource = WebhookResource::of(api.public_url(), &made.made, made.secret.as_ref());
    let mut response = json(StatusCode::CREATED, &resource)?;
    set(&mut response, header::LOCATION, &resource.link);
    Ok(answered(response, &made))
}

async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    no_params(raw.as_deref())?;
    let endpoint = webhooks::endpoint(&api.app.notifier, &caller, path.webhook()?).await?;
    json(StatusCode::OK, &WebhookResource::of(api.public_url(), &endpoint, None))
}

async fn change(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Failure> {
    no_params(raw.as_deref())?;
    let change = read(read_object(request).await?, false)?;
    let endpoint = webhooks::update_endpoint(&api.app.notifier, &caller, path.webhook()?, change).await?;
    json(StatusCode::OK, &WebhookResource::of(api.public_url(), &endpoint, None))
}

async fn remove(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    no_params(raw.as_deref())?;
    webhooks::delete_endpoint(&api.app.notifier, &caller, path.webhook()?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn test(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    no_params(raw.as_deref())?;
    let tested = webhooks::test_endpoint(&api.app.notifier, &caller, path.webhook()?).await?;
    json(StatusCode::OK, &WebhookTest::of(&tested))
}

async fn rotate(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Key(key): Key,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    no_params(raw.as_deref())?;
    let id = path.webhook()?;
    let made = match key {
        Some(key) => {
            let key = Keyed { status: StatusCode::OK.as_u16(), ..key };
            webhooks::rotate_endpoint_secret_once(&api.app, &caller, id, &key).await?
        }
        None => fresh(webhooks::rotate_endpoint_secret(&api.app.notifier, &caller, id).await?),
    };
    let resource = WebhookResource::of(api.public_url(), &made.made, made.secret.as_ref());
    Ok(answered(json(StatusCode::OK, &resource)?, &made))
}

async fn default_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    no_params(raw.as_deref())?;
    let kept = webhooks::default_secrets(&api.app.notifier, &caller).await?;
    json(StatusCode::OK, &WebhookSecret::of(&kept, None))
}

async fn rotate_default_secret(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Key(key): Key,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    no_params(raw.as_deref())?;
    let made = match key {
        Some(key) => {
            let key = Keyed { status: StatusCode::OK.as_u16(), ..key };
            webhooks::rotate_default_secret_once(&api.app, &caller, &key).await?
        }
        None => fresh(webhooks::rotate_default_secret(&api.app.notifier, &caller).await?),
    };
    Ok(answered(json(StatusCode::OK, &WebhookSecret::of(&made.made, made.secret.as_ref()))?, &made))
}

/// What was made without a key.
fn fresh<T>((made, secret): (T, Secret)) -> Once<T> {
    Once { made, secret: Some(secret) }
}

/// An answer with a secret in it, which no cache on the way may keep; or without, where it was made before.
fn answered<T>(mut response: Response, made: &Once<T>) -> Response {
    set(&mut response, header::CACHE_CONTROL, "no-store");
    if made.is_replayed() {
        replayed(&mut response);
    }
    response
}
