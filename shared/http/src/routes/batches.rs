//! Batches of jobs that are fed by uploads.

use axum::{
    Router,
    extract::{RawQuery, Request, State},
    response::Response,
    routing::{delete, get, post},
};
use http::{StatusCode, header};
use willcall_core::{
    Error, JobId,
    usecases::{batches, idempotency::KeyedBatch},
};

use super::{
    Api, Path, json,
    list::{cursor, page},
    set,
    submit::accepted,
};
use crate::{
    auth::Authenticated,
    idempotency::{Key, replayed},
    problem::Failure,
    wire::{
        batch::{self, BatchList, BatchResource},
        body::read_object,
        params::Params,
    },
};

pub(super) fn writing() -> Router<Api> {
    Router::new()
        .route("/v1/jobs/{id}/batches", post(add_batch))
        .route("/v1/jobs/{id}/batches/{batch}", delete(cancel_batch))
        .route("/v1/jobs/{id}/close", post(close_job))
}

pub(super) fn reading() -> Router<Api> {
    Router::new()
        .route("/v1/jobs/{id}/batches", get(list_batches))
        .route("/v1/jobs/{id}/batches/{batch}", get(get_batch))
}

/// The batch of the path. What cannot be a batch's id is no batch.
fn batch_of(path: &Path) -> Result<JobId, Failure> {
    path.get("batch").parse().map_err(|_| Error::NotFound("batch").into())
}

async fn add_batch(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Key(key): Key,
    path: Path,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let draft = batch::read(read_object(request).await?)?;
    let key = key.map(KeyedBatch::created);
    let receipt = batches::add(&api.app, &caller, path.job()?, &draft, key).await?;
    let mut response = json(StatusCode::CREATED, &BatchResource::of(&receipt.view))?;
    set(&mut response, header::LOCATION, batch::link(&receipt.view));
    if receipt.replayed {
        replayed(&mut response);
    }
    Ok(response)
}

async fn list_batches(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    let mut params = Params::parse(raw.as_deref())?;
    let (after, limit) = page(&mut params);
    params.finish(&["cursor", "limit"])?;
    let id = path.job()?;
    let list = batches::list(&api.app, &caller, id, after, limit).await?;
    let body = BatchList {
        batches: list.batches.iter().map(BatchResource::of).collect(),
        next_cursor: list.next.map(cursor),
    };
    let mut response = json(StatusCode::OK, &body)?;
    if let Some(cursor) = &body.next_cursor {
        let url = api.public_url();
        let link = format!("<{url}/v1/jobs/{id}/batches?limit={limit}&cursor={cursor}>; rel=\"next\"");
        set(&mut response, header::LINK, link);
    }
    Ok(response)
}

async fn get_batch(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let view = batches::get(&api.app, &caller, path.job()?, batch_of(&path)?).await?;
    json(StatusCode::OK, &BatchResource::of(&view))
}

async fn cancel_batch(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    let view = batches::cancel(&api.app, &caller, path.job()?, batch_of(&path)?).await?;
    json(StatusCode::OK, &BatchResource::of(&view))
}

async fn close_job(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    path: Path,
    RawQuery(raw): RawQuery,
) -> Result<Response, Failure> {
    Params::parse(raw.as_deref())?.finish(&[])?;
    accepted(&batches::close(&api.app, &caller, path.job()?).await?)
}
