//! Requests that are repeated by their key.

use serde::Serialize;

use super::{App, QueryDraft, view::find, view::view};
use crate::{
    Error,
    account::Caller,
    idempotency::{IdempotencyKey, KeyRecord, Made, NewKey, RequestHash},
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
}

/// What a request asks for.
#[derive(Serialize)]
struct Asked<'a> {
    draft: &'a QueryDraft,
    dry_run: Option<bool>,
}

impl Keyed {
    /// The key as the store takes it, with the hash of what is asked for.
    pub(super) fn of(&self, draft: &QueryDraft, dry_run: bool) -> Result<NewKey, Error> {
        self.asking(&Asked { draft, dry_run: dry_run.then_some(true) })
    }

    /// The same for a request that asks for something else than a query.
    pub(in crate::usecases) fn asking(&self, asked: &impl Serialize) -> Result<NewKey, Error> {
        let request =
            RequestHash::of(&self.target, asked).map_err(|error| Error::Internal(Box::new(error)))?;
        Ok(NewKey { key: self.key.hash(), request, status: self.status })
    }
}

impl KeyRecord {
    /// What the request of that key led to when it came first; an error where that was another request.
    pub(in crate::usecases) fn of(&self, key: &NewKey) -> Result<&Made, Error> {
        if self.request == key.request { Ok(&self.made) } else { Err(Error::KeyMismatch) }
    }
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
