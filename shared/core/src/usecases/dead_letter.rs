//! Ends jobs whose messages the queue has given up.

use super::{App, batches::wake_container, webhooks::announce};
use crate::{
    Error, JobRef,
    job::{Problem, ProblemType, Transition},
    ports::TransitionError,
    telemetry,
};

/// What became of the job of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetter {
    /// It has failed by this.
    Failed,
    /// It has ended, is gone, or a worker holds it: its lease says what happens next.
    Left,
}

/// Fails the job of a message that was received too often without being done with, unless the job has ended or a
/// worker holds it. Repeatable; an error means that nothing is known, and the letter must be kept.
pub async fn dead_letter(app: &App, job: &JobRef) -> Result<DeadLetter, Error> {
    let problem = Problem::new(
        ProblemType::EngineFailed,
        "the job was given up: its message came back too often from workers that could not finish it",
    );
    match app.jobs.transition(job, &Transition::Fail { attempt: None, problem }, app.clock.now()).await {
        Ok(failed) => {
            telemetry::ended(&failed);
            announce(&app.notifier, &failed).await;
            wake_container(app, &failed).await;
            tracing::error!(job.id = %job.job, attempts = failed.attempt, "job failed by its dead letter");
            Ok(DeadLetter::Failed)
        }
        Err(TransitionError::NotFound | TransitionError::Refused(_)) => Ok(DeadLetter::Left),
        Err(TransitionError::Store(error)) => Err(error.into()),
    }
}
