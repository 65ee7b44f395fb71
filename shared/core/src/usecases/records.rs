//! Records synchronously, with a job to fall back on.

use std::time::Duration;

use serde_json::Value;

use super::{
    App, Draft, jobs,
    limits::{DEFAULT_SYNC_LIMIT, MAX_SYNC_DEPTH},
    submit::{Receipt, Submission, mistakes, submit},
};
use crate::{Error, FieldError, account::Caller};

/// Submits the query as a job and waits for it: the job as it is once it has ended or `wait` has passed. The job goes
/// on either way; nothing is computed twice. Repeated with its key, it waits for the same job.
pub async fn records(
    app: &App,
    caller: &Caller,
    mut submission: Submission,
    wait: Duration,
) -> Result<Receipt, Error> {
    let Submission { draft, original, .. } = &mut submission;
    if let Draft::Query(draft) = draft
        && !wait.is_zero()
    {
        if let Some(deep) = too_deep(draft.offset, draft.limit, DEFAULT_SYNC_LIMIT) {
            let work = Draft::Query(draft.clone());
            return Err(Error::Invalid([vec![deep], mistakes(app, caller, &work).await].concat()));
        }
        if draft.limit.is_none() {
            draft.limit = Some(DEFAULT_SYNC_LIMIT);
            // Should it fall back to a job, the job's request must show the limit that it inherits.
            if let Ok(Value::Object(mut members)) = original.value() {
                members.insert("limit".into(), DEFAULT_SYNC_LIMIT.into());
                *original = Value::Object(members).into();
            }
        }
    }
    let receipt = submit(app, caller, submission).await?;
    let job = receipt.view.job.reference();
    let mut view = jobs::until_ended(app, &job, wait.min(app.settings.max_sync_wait)).await?;
    view.reused = receipt.view.reused;
    Ok(Receipt { view, ..receipt })
}

/// What is wrong with a query for records beside what was seen when it was read: see [`mistakes`].
pub async fn mistakes_for_records(
    app: &App,
    caller: &Caller,
    draft: &Draft,
    wait: Duration,
) -> Vec<FieldError> {
    let deep = match draft {
        // A limit that could not be read may be any.
        Draft::Query(query) if !wait.is_zero() => too_deep(query.offset, query.limit, 0),
        _ => None,
    };
    deep.into_iter().chain(mistakes(app, caller, draft).await).collect()
}

fn too_deep(offset: u64, limit: Option<u64>, default: u64) -> Option<FieldError> {
    let place = if limit.is_none() { "offset" } else { "limit" };
    let deep = offset.saturating_add(limit.unwrap_or(default)) > MAX_SYNC_DEPTH;
    deep.then(|| {
        let detail = format!(
            "offset + limit is at most {MAX_SYNC_DEPTH} here: submit one job and read its pages, or ask with async=true"
        );
        FieldError::at(place, detail)
    })
}
