//! Requests that are repeated by their key.

use serde::Serialize;

use super::{App, Draft, batches::BatchDraft, view::find, view::view};
use crate::{
    Error,
    account::Caller,
    idempotency::{IdempotencyKey, KeyRecord, Made, NewKey, RequestHash},
    job::Job,
    usecases::JobView,
};

/// A key with what it is bound to beside what is asked for: the path that the request was sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// The client's key.
    pub key: IdempotencyKey,
    /// The path, whatever the method.
    pub target: String,
    /// The status that success is answered with.
    pub status: u16,
    /// Whether the path alone says what is asked for.
    pub by_path: bool,
}

/// What a request asks for.
#[derive(Serialize)]
struct Asked<'a> {
    draft: &'a Draft,
    dry_run: Option<bool>,
}

impl Keyed {
    /// The key as the store takes it, with the hash of what is asked for.
    pub(super) fn of(&self, draft: &Draft, dry_run: bool) -> Result<NewKey, Error> {
        if self.by_path {
            return self.asking(&());
        }
        self.asking(&Asked { draft, dry_run: dry_run.then_some(true) })
    }

    /// The same for a request that asks for something else than a query.
    pub(in crate::usecases) fn asking(&self, asked: &impl Serialize) -> Result<NewKey, Error> {
        let request =
            RequestHash::of(&self.target, asked).map_err(|error| Error::Internal(Box::new(error)))?;
        Ok(NewKey { key: self.key.hash(), request, status: self.status })
    }
}

/// The same of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedBatch(Keyed);

impl KeyedBatch {
    /// The key of a request that adds a batch, which is answered with 201.
    pub fn created(key: Keyed) -> Self {
        Self(Keyed { status: 201, ..key })
    }

    pub(super) fn of(&self, draft: &BatchDraft) -> Result<NewKey, Error> {
        self.0.asking(draft)
    }
}

/// The batch of a request that is repeated, as it is now.
pub(super) async fn replayed_batch(
    app: &App,
    caller: &Caller,
    key: &NewKey,
    known: &KeyRecord,
) -> Result<Job, Error> {
    let Made::Job(id) = known.of(key)? else { return Err(Error::KeyMismatch) };
    let found = app.jobs.get(&caller.job(*id)).await?;
    found.ok_or(Error::NotFound("batch any more: the one of this key was removed"))
}

impl KeyRecord {
    /// What the request of that key led to when it came first; an error where that was another request.
    pub(in crate::usecases) fn of(&self, key: &NewKey) -> Result<&Made, Error> {
        if self.request == key.request { Ok(&self.made) } else { Err(Error::KeyMismatch) }
    }
}

/// Whether something was made by the key, so that the request must not be judged by what there is now.
pub async fn is_known(app: &App, caller: &Caller, key: &Keyed) -> Result<bool, Error> {
    Ok(app.jobs.key(&caller.account.id, &key.key.hash(), app.clock.now()).await?.is_some())
}

/// What is known of the key, if it is.
pub(in crate::usecases) async fn known(
    app: &App,
    caller: &Caller,
    key: &NewKey,
) -> Result<Option<KeyRecord>, Error> {
    Ok(app.jobs.key(&caller.account.id, &key.key, app.clock.now()).await?)
}

/// The job of a request that is repeated, as it is now. One that was deleted since is not made again.
pub(super) async fn replay(
    app: &App,
    caller: &Caller,
    key: &NewKey,
    known: &KeyRecord,
) -> Result<JobView, Error> {
    let Made::Job(id) = known.of(key)? else { return Err(Error::KeyMismatch) };
    let job = match find(app, &caller.job(*id)).await {
        Err(Error::NotFound(_)) => Err(Error::NotFound("job any more: the one of this key was removed")),
        found => found,
    }?;
    tracing::info!(job.id = %job.id, account = %job.account, "answered a repeated request");
    let mut view = view(app, job).await?;
    view.reused = known.reused;
    Ok(view)
}
