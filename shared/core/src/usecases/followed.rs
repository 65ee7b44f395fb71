//! How far a job is that is fed by batches: its record has what those delivered that have ended, and how far those at work are
//! stands in their own records alone, so that no renewal of a lease writes a second one.

use futures::{StreamExt, TryStreamExt, stream};

use super::App;
use crate::{
    Error, JobRef, chain,
    job::{BatchPhase, Job, MAX_FOLLOWED},
    ports::StoreError,
};

/// Brings the progress of a container up to now, by one read for each of its batches at work that it follows. Of any other
/// job, and of a container that has ended or whose manifest is being written, it changes and reads nothing.
pub(super) async fn follow(app: &App, container: &mut Job) -> Result<(), Error> {
    let waits = !container.state.is_terminal() && container.leased_until.is_none();
    let Some(batches) = container.batches.filter(|_| waits) else { return Ok(()) };
    let reading = container.followed.clone().into_iter().map(|job| {
        let batch = JobRef { account: container.account.clone(), job };
        async move {
            match app.jobs.get(&batch).await {
                // One that cannot be read hides neither its container nor the others.
                Err(StoreError::Corrupt(error)) => {
                    tracing::error!(job.id = %batch.job, error = chain(&*error), "a batch cannot be read and is not told of");
                    Ok(None)
                }
                found => found,
            }
        }
    });
    let found: Vec<Option<Job>> = stream::iter(reading).buffered(MAX_FOLLOWED).try_collect().await?;
    let progress = &mut container.progress;
    let (mut stage, mut under_way) = (None, 0.0);
    for batch in found.into_iter().flatten() {
        let own = &batch.progress;
        match batch.phase() {
            BatchPhase::InProgress => stage = stage.or(Some(own.stage)),
            // It has ended since its container was read, which knows nothing yet of what it delivered.
            BatchPhase::Completed => {}
            BatchPhase::Failed | BatchPhase::Malformed | BatchPhase::Cancelled => {
                under_way += 1.0;
                continue;
            }
            BatchPhase::WaitingForUpload | BatchPhase::Queued => continue,
        }
        progress.add(own.records_written, own.bytes_written, own.counts);
        under_way += own.percent / 100.0;
    }
    progress.stage = stage.unwrap_or(progress.stage);
    progress.percent = batches.percent(under_way);
    Ok(())
}
