//! Messages of the jobs queue: each is a job's work, done here and now, or tells of files that have arrived.

use std::convert::Infallible;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use tokio_util::sync::CancellationToken;
use willcall_core::{
    JobRef, chain,
    usecases::work::{Disposition, LeaseSettings, Worker, send_again, work},
};

use crate::{
    batch::{Handled, each},
    deadline::Deadline,
};

/// Does the work that the jobs queue brings.
#[derive(Clone)]
pub struct Consumer {
    worker: Worker,
}

impl Consumer {
    /// Works as `worker` says, within the time of each invocation.
    pub fn new(worker: Worker) -> Self {
        Self { worker }
    }

    /// Does the work of each message.
    pub async fn handle(&self, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
        let deadline = Deadline::of(&event.context);
        let work = async |job, _: &_| self.one(&job, deadline).await;
        Ok(each(&self.worker.app, event.payload, work).await)
    }

    async fn one(&self, job: &JobRef, deadline: Option<Deadline>) -> Handled {
        // A batch's later messages must not pay for the time that its first took.
        let disposition = if deadline.is_some_and(Deadline::is_short) {
            Disposition::RetryAfter(std::time::Duration::ZERO)
        } else {
            let time_limit = deadline.map(Deadline::time_limit);
            let lease = LeaseSettings { time_limit, ..self.worker.lease };
            let worker = Worker { lease, ..self.worker.clone() };
            // Lambda tells nothing of a shutdown in time to act on it.
            Box::pin(work(&worker, job, &CancellationToken::new())).await
        };
        match disposition {
            Disposition::Done => Handled::Done,
            // The queue's own visibility is hours, so that no second worker is woken while one works.
            Disposition::RetryAfter(after) => match send_again(&self.worker.app, job, after).await {
                Ok(()) => Handled::Done,
                Err(error) => {
                    tracing::warn!(job.id = %job.job, error = chain(&error), "failed to send job message again");
                    Handled::Failed
                }
            },
            Disposition::Leave => Handled::Failed,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
