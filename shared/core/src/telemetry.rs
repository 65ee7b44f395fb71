//! What a host may count and time: events and spans on targets of their own, at the level `debug`. A host that
//! watches turns them into what its operator sees; elsewhere nobody asks for them.

use crate::job::{Job, JobState};

/// The target of events whose fields are numbers to be counted: `submitted`, `completed` and `failed` (jobs),
/// `queue_age_ms` (from submit to first claim), `duration_ms` (from first claim to end), `records` and `bytes`
/// (delivered).
pub const METRICS: &str = "willcall::metrics";

/// The target of spans around the steps of a request or an attempt, named after the step.
pub const STEPS: &str = "willcall::steps";

/// A span around a step of the work on a job.
macro_rules! step {
    ($name:literal, $job:expr) => {
        tracing::debug_span!(target: crate::telemetry::STEPS, $name, job.id = %$job)
    };
}
pub(crate) use step;

/// A job was stored.
pub(crate) fn submitted() {
    tracing::debug!(target: METRICS, submitted = 1_u64);
}

/// A worker has taken the job. Only its first claim tells how long it lay in the queue.
pub(crate) fn claimed(job: &Job) {
    if job.attempt == 1
        && let Some(started) = job.started
    {
        tracing::debug!(target: METRICS, queue_age_ms = millis(started.since(job.created)));
    }
}

/// The job has ended, as this transition left it.
pub(crate) fn ended(job: &Job) {
    let duration_ms = match (job.started, job.finished) {
        (Some(started), Some(finished)) => Some(millis(finished.since(started))),
        _ => None,
    };
    match (job.state, &job.result) {
        (JobState::Completed, Some(result)) => {
            let (records, bytes) = (result.records, result.bytes);
            tracing::debug!(target: METRICS, completed = 1_u64, duration_ms, records, bytes);
        }
        (JobState::Failed, _) => tracing::debug!(target: METRICS, failed = 1_u64, duration_ms),
        _ => {}
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
