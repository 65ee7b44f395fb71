//! Asking what a query would deliver and take.

use std::time::Duration;

use super::{
    App, jobs,
    submit::{Receipt, Submission, submit},
};
use crate::{Error, account::Caller};

/// Submits a job that counts what the query finds and writes a sample of it, and waits for it: the job as it is once it
/// has ended or `wait` has passed. Once completed it has an estimate.
pub async fn dry_run(
    app: &App,
    caller: &Caller,
    submission: Submission,
    wait: Duration,
) -> Result<Receipt, Error> {
    let receipt = submit(app, caller, Submission { dry_run: true, ..submission }).await?;
    let job = receipt.view.job.reference();
    let view = jobs::until_ended(app, &job, wait.min(app.settings.max_sync_wait)).await?;
    Ok(Receipt { view, ..receipt })
}
