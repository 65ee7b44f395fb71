//! Messages of the notify queue: jobs that have ended and of which somebody may want to hear.

use std::convert::Infallible;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;

use crate::batch::{Handled, each};

/// Takes note of each job; nobody can ask to be told yet, so there is nobody to tell.
pub async fn notify(event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
    let noted = each(event.payload, async |job, _| {
        tracing::info!(job.id = %job.job, account = %job.account, "job has ended, nobody is to be told");
        Handled::Done
    });
    Ok(noted.await)
}
