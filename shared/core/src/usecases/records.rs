//! Records synchronously, with a job to fall back on.

use std::time::Duration;

use serde_json::Value;

use super::{
    App, JobView, QueryDraft, jobs,
    limits::{DEFAULT_SYNC_LIMIT, MAX_SYNC_DEPTH},
    submit,
};
use crate::{Error, account::Caller};

/// Submits the query as a job and waits for it: the job as it is once it has ended or `wait` has passed. The job goes
/// on either way; nothing is computed twice.
pub async fn records(
    app: &App,
    caller: &Caller,
    mut draft: QueryDraft,
    mut original: Value,
    wait: Duration,
) -> Result<JobView, Error> {
    if !wait.is_zero() {
        let place = if draft.limit.is_none() { "offset" } else { "limit" };
        if draft.limit.is_none() {
            draft.limit = Some(DEFAULT_SYNC_LIMIT);
            // Should it fall back to a job, the job's request must show the limit that it inherits.
            if let Value::Object(members) = &mut original {
                members.insert("limit".into(), DEFAULT_SYNC_LIMIT.into());
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
    let job = submit::submit(app, caller, draft, original).await?;
    jobs::until_ended(app, &job.job.reference(), wait.min(app.settings.max_sync_wait)).await
}
