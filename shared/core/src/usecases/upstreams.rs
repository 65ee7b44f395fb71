//! One call of an upstream synchronously, with a job to fall back on.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    App, CallDraft, Draft,
    idempotency::Keyed,
    jobs,
    results::file_key,
    submit::{Receipt, Submission, submit},
};
use crate::{
    Error, FieldError,
    account::{Caller, Scope},
    catalog::Upstream,
    job::{JobState, kinds::ItemOutcome},
    json::{Json, Object},
};

/// What came of a call.
#[derive(Debug, Clone)]
pub struct Called {
    /// The job that made it, as it was after the wait.
    pub receipt: Receipt,
    /// What became of the item; `None` where it was not done in time, or the job ended without a result.
    pub outcome: Option<ItemOutcome>,
}

/// One upstream; one that the plan does not allow is not there.
pub async fn get(app: &App, caller: &Caller, name: &str) -> Result<Arc<Upstream>, Error> {
    caller.require(Scope::Read)?;
    let catalog = app.catalog.catalog().await?;
    catalog.upstream(name, &caller.plan).ok_or(Error::NotFound("upstream"))
}

/// Submits a job of one item and waits for it, as [`records`](super::records::records) does. The job goes on either way, and
/// the item is not sent a second time. Repeated with its key, it waits for the same job.
pub async fn call(
    app: &App,
    caller: &Caller,
    name: &str,
    item: Object,
    key: Option<Keyed>,
    wait: Duration,
) -> Result<Called, Error> {
    let upstream = get(app, caller, name).await?;
    let misfits = upstream.check(&item).into_iter();
    let errors: Vec<FieldError> = misfits
        .map(|misfit| FieldError { detail: misfit.detail, pointer: format!("#{}", misfit.pointer) })
        .collect();
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let (quoted, text) = (Json::from(Value::from(name)), item.text());
    let original = Json::parse(&format!(r#"{{"kind":"call","upstream":{quoted},"items":[{text}]}}"#));
    let original = original.map_err(|error| Error::Internal(Box::new(error)))?;
    let items = Some(vec![item]);
    let draft = CallDraft { upstream: name.to_owned(), items, ..CallDraft::default() };
    let submission = Submission { draft: Draft::Call(Box::new(draft)), original, key, dry_run: false };
    let receipt = submit(app, caller, submission).await?;
    let job = receipt.view.job.reference();
    let mut view = jobs::until_ended(app, &job, wait.min(app.settings.max_sync_wait)).await?;
    view.reused = receipt.view.reused;
    let receipt = Receipt { view, ..receipt };
    let outcome = if wait.is_zero() { None } else { outcome(app, &receipt).await? };
    Ok(Called { receipt, outcome })
}

/// What the job's result says of its item.
async fn outcome(app: &App, receipt: &Receipt) -> Result<Option<ItemOutcome>, Error> {
    let view = &receipt.view;
    let (JobState::Completed, Some(result)) = (view.job.state, &view.job.result) else { return Ok(None) };
    // The day of the account may have had no place for it.
    if result.records == 0 {
        return Ok(None);
    }
    let bytes = app.blobs.read(&file_key(view, result), 0..result.bytes).await?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| Error::Internal(Box::new(error)))
}
