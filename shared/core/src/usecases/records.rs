//! Records synchronously, with a job to fall back on.

use std::time::Duration;

use serde_json::Value;

use super::{
    App, Draft, jobs,
    limits::{DEFAULT_SYNC_LIMIT, MAX_SYNC_DEPTH},
    submit::{Receipt, Submission, submit},
};
use crate::{Error, account::Caller};

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
        let place = if draft.limit.is_none() { "offset" } else { "limit" };
        if draft.limit.is_none() {
            draft.limit = Some(DEFAULT_SYNC_LIMIT);
            // Should it fall back to a job, the job's request must show the limit that it inherits.
            if let Ok(Value::Object(mut members)) = original.value() {
                members.insert("limit".into(), DEFAULT_SYNC_LIMIT.into());
                *original = Value::Object(members).into();
            }
        }
        if draft.offset.saturating_add(draft.limit.unwrap_or(0)) > MAX_SYNC_DEPTH {
            return Err(Error::invalid(
                place,
                format!(
                    "offset + limit is at most {MAX_SYNC_DEPTH} here: submit one job and read its pages, or ask \
                     with async=true"
                ),
            ));
        }
    }
    let receipt = submit(app, caller, submission).await?;
    let job = receipt.view.job.reference();
    let mut view = jobs::until_ended(app, &job, wait.min(app.settings.max_sync_wait)).await?;
    view.reused = receipt.view.reused;
    Ok(Receipt { view, ..receipt })
}
