//! The loops of the host: workers that receive messages, and the sweeper.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use willcall_core::JobRef;

use crate::{SqliteJobQueue, job_queue::Lane};

/// How long a message is held for its worker. The loop settles every message itself, whatever becomes of the handler,
/// so this only bounds the harm of a defect.
const VISIBILITY: Duration = Duration::from_secs(6 * 3600);
/// After how long a message comes again that was left, or whose handler panicked: the lease has run out by then.
const AFTER_LOSS: Duration = Duration::from_secs(31);

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It has done its work.
    Done,
    /// It comes again once the time has passed.
    RetryAfter(Duration),
    /// It is neither done nor given back: it comes again after a while, as if its worker had been lost.
    Leave,
}

/// Receives messages with `workers` tasks and hands each to `handler`, until `shutdown`. Then no more are received, the
/// handlers' tokens are cancelled, and the call ends when all handlers have or `grace` has passed. Answers how many
/// handlers had not ended by then and were abandoned.
///
/// Calls of upstreams have as many workers of their own, so that no upstream that keeps them waiting keeps other jobs
/// waiting. Of several workers no account has all, however many jobs it has: the last is left to the others.
/// A handler that panics loses its message to a later try; the loop goes on.
pub async fn run_workers<H, F>(
    queue: SqliteJobQueue,
    workers: usize,
    handler: H,
    shutdown: CancellationToken,
    grace: Duration,
) -> usize
where
    H: Fn(JobRef, CancellationToken) -> F + Send + Sync + 'static,
    F: Future<Output = Handled> + Send + 'static,
{
    let most = workers.saturating_sub(1).max(1);
    let handler = Arc::new(handler);
    let mut loops = JoinSet::new();
    for lane in Lane::ALL {
        for _ in 0..workers {
            loops.spawn(work(queue.clone(), lane, most, Arc::clone(&handler), shutdown.clone()));
        }
    }
    shutdown.cancelled().await;
    let all = async { while loops.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!(workers = loops.len(), "workers did not stop in time");
    }
    let abandoned = loops.len();
    loops.shutdown().await;
    abandoned
}

async fn work<H, F>(
    queue: SqliteJobQueue,
    lane: Lane,
    most: usize,
    handler: Arc<H>,
    shutdown: CancellationToken,
) where
    H: Fn(JobRef, CancellationToken) -> F + Send + Sync + 'static,
    F: Future<Output = Handled> + Send + 'static,
{
    loop {
        let message = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            message = queue.received_below(lane, most, VISIBILITY) => message,
        };
        // A task of its own: a panic ends that task and not the loop, and dropping the set aborts it.
        let (job, token, handler) = (message.job.clone(), shutdown.child_token(), Arc::clone(&handler));
        let mut task = JoinSet::new();
        task.spawn(async move { handler(job, token).await });
        let handled = match task.join_next().await {
            Some(Ok(handled)) => handled,
            Some(Err(error)) => {
                tracing::error!(job.id = %message.job.job, error = %error, "the handler of a job panicked");
                Handled::Leave
            }
            None => Handled::Leave,
        };
        match handled {
            Handled::Done => queue.acknowledge(&message),
            Handled::RetryAfter(delay) => queue.release(&message, delay),
            Handled::Leave => queue.release(&message, AFTER_LOSS),
        }
    }
}

/// Calls `sweep` at once and then every `interval`, until `shutdown`. A sweep that runs is not cut short; one that
/// panics does not stop the next.
pub async fn run_sweeper<H, F>(interval: Duration, sweep: H, shutdown: CancellationToken)
where
    H: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    while !shutdown.is_cancelled() {
        let mut task = JoinSet::new();
        task.spawn(sweep());
        if let Some(Err(error)) = task.join_next().await {
            tracing::error!(error = %error, "a sweep panicked");
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
}
