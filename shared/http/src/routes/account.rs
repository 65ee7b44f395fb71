//! What an account sees of itself.

use axum::{
    Router,
    extract::{RawQuery, State},
    response::Response,
    routing::get,
};
use http::StatusCode;
use willcall_core::usecases::accounts;

use super::{Api, json};
use crate::{
    auth::Authenticated,
    problem::Failure,
    wire::{account::AccountResource, params::Params},
};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/account", get(get_account))
}

async fn get_account(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let usage = accounts::usage(&api.app, &caller).await?;
    json(StatusCode::OK, &AccountResource::of(&caller, usage))
}
