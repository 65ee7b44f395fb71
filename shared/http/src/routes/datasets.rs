//! What can be asked for.

use axum::{
    Router,
    extract::{RawQuery, State},
    response::Response,
    routing::get,
};
use http::StatusCode;
use willcall_core::usecases::datasets;

use super::{Api, Path, json};
use crate::{
    auth::Authenticated,
    problem::Failure,
    wire::{
        dataset::{DatasetList, DatasetResource},
        params::Params,
    },
};

pub(super) fn routes() -> Router<Api> {
    Router::new().route("/v1/datasets", get(list_datasets)).route("/v1/datasets/{dataset}", get(get_dataset))
}

async fn list_datasets(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let datasets = datasets::list(&api.app, &caller).await?;
    let datasets = datasets.iter().map(|dataset| DatasetResource::of(api.public_url(), dataset));
    json(StatusCode::OK, &DatasetList { datasets: datasets.collect() })
}

async fn get_dataset(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let dataset = datasets::get(&api.app, &caller, path.get("dataset")).await?;
    json(StatusCode::OK, &DatasetResource::whole(api.public_url(), &dataset))
}
