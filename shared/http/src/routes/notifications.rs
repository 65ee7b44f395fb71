//! The log of what was told of a job.

use axum::{
    Router,
    extract::{RawQuery, State},
    response::Response,
    routing::{get, post},
};
use http::StatusCode;
use willcall_core::{
    Error,
    usecases::webhooks::{notifications, resend},
    webhook::DeliveryId,
};

use super::{Api, Path, json};
use crate::{
    auth::Authenticated,
    idempotency::WithoutKey,
    problem::Failure,
    wire::{
        params::Params,
        webhook::{NotificationList, NotificationResource},
    },
};

/// What reads the log.
pub(super) fn reading() -> Router<Api> {
    Router::new().route("/v1/jobs/{id}/notifications", get(list))
}

/// What sends again.
pub(super) fn writing() -> Router<Api> {
    Router::new().route("/v1/jobs/{id}/notifications/{notification}/resend", post(send_again))
}

async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let found = notifications(&api.app, &caller, path.job()?).await?;
    let notifications = found.iter().map(NotificationResource::of).collect();
    json(StatusCode::OK, &NotificationList { notifications })
}

async fn send_again(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    _: WithoutKey,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let job = path.job()?;
    let id: DeliveryId =
        path.get("notification").parse().map_err(|_| Failure::from(Error::NotFound("notification")))?;
    let delivery = resend(&api.app, &caller, job, id).await?;
    json(StatusCode::ACCEPTED, &NotificationResource::of(&delivery))
}
