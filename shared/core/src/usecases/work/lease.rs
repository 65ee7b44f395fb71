//! Keeps an attempt's lease from a thread of its own: the engine starves timers on a machine with one core, and a
//! lease that is not renewed is a job done twice.

use std::{
    sync::{Arc, OnceLock},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{App, LeaseSettings, TimeLimit, Worker};
use crate::{
    JobRef, Timestamp, chain,
    job::{Job, JobState, Progress, Transition},
    ports::{Control, TransitionError},
};

/// Why the work was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The host shuts down: the job is handed back.
    Shutdown,
    /// The job is not this attempt's any more: cancelled, removed, or taken over.
    Lost,
    /// The time that the host gives an attempt is over.
    OutOfTime(TimeLimit),
}

/// Renews a lease until stopped, and stops the work when the lease is lost or the time is over.
pub(super) struct LeaseKeeper {
    done: CancellationToken,
    reason: Arc<OnceLock<Stop>>,
    thread: Option<JoinHandle<()>>,
}

struct Keeping {
    app: App,
    settings: LeaseSettings,
    job: JobRef,
    attempt: u32,
    started: Timestamp,
    control: Arc<Control>,
    done: CancellationToken,
    shutdown: CancellationToken,
    reason: Arc<OnceLock<Stop>>,
}

impl LeaseKeeper {
    /// Begins to renew the lease of the job that was just claimed.
    pub(super) fn start(
        worker: &Worker,
        job: &Job,
        control: Arc<Control>,
        shutdown: CancellationToken,
    ) -> Self {
        let done = CancellationToken::new();
        let reason = Arc::new(OnceLock::new());
        let keeping = Keeping {
            app: worker.app.clone(),
            settings: worker.lease,
            job: job.reference(),
            attempt: job.attempt,
            started: worker.app.clock.now(),
            control: Arc::clone(&control),
            done: done.clone(),
            shutdown,
            reason: Arc::clone(&reason),
        };
        // What is logged on that thread belongs to the same invocation.
        let span = tracing::Span::current();
        let thread = std::thread::Builder::new().name("lease".into()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(keeping.keep().instrument(span)),
                Err(error) => {
                    tracing::error!(job.id = %keeping.job.job, error = %error, "failed to keep the lease");
                    keeping.control.cancel();
                }
            }
        });
        if let Err(error) = &thread {
            tracing::error!(job.id = %job.id, error = %error, "failed to keep the lease");
            control.cancel();
        }
        Self { done, reason, thread: thread.ok() }
    }

    /// Why the work was stopped.
    pub(super) fn reason(&self) -> Stop {
        self.reason.get().copied().unwrap_or(Stop::Lost)
    }

    /// Ends the renewals; none is under way once this returns.
    pub(super) async fn stop(mut self) {
        self.done.cancel();
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the lease's thread panicked");
            }
        }
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.done.cancel();
    }
}

/// Resolves when the time is over; never where there is no limit.
async fn over(limit: Option<TimeLimit>) -> TimeLimit {
    let Some(limit) = limit else { return std::future::pending().await };
    tokio::time::sleep_until(limit.until.into()).await;
    limit
}

impl Keeping {
    async fn keep(self) {
        let mut listener = self.app.signals.listen(&self.job);
        let mut renewed = Instant::now();
        // The first comes early, so that a job of seconds is seen at work too.
        let mut every = self.settings.renew_every / 3;
        let mut next = every;
        let over = over(self.settings.time_limit);
        tokio::pin!(over);
        let began = Instant::now();
        loop {
            tokio::select! {
                () = self.done.cancelled() => return,
                () = self.shutdown.cancelled() => return self.stop(Stop::Shutdown).await,
                limit = &mut over => return self.stop(Stop::OutOfTime(limit)).await,
                () = listener.changed(next) => {}
            }
            let waited = renewed.elapsed();
            if waited < every && self.still_ours().await {
                next = every - waited;
                continue;
            }
            // A store that is slow to answer must not cost the time that is left to wind up in.
            let renewed_now = tokio::select! {
                renewed_now = self.renew() => renewed_now,
                limit = &mut over => return self.stop(Stop::OutOfTime(limit)).await,
            };
            match renewed_now {
                Ok(()) => {
                    renewed = Instant::now();
                    every = self.settings.renew_every;
                    next = every;
                    if self.settings.slice.is_some_and(|slice| began.elapsed() >= slice) {
                        self.make_way();
                    }
                }
                Err(TransitionError::Store(error)) if waited < self.settings.give_up_after => {
                    let error = chain(&error);
                    tracing::warn!(job.id = %self.job.job, error, "failed to renew the lease");
                    next = (self.settings.renew_every / 3).max(Duration::from_millis(10));
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(job.id = %self.job.job, job.attempt = self.attempt, error, "lost the lease");
                    return self.control.cancel();
                }
            }
        }
    }

    /// Stops the work. The lease that is left is longer than winding up takes.
    async fn stop(&self, reason: Stop) {
        let _ = self.reason.set(reason);
        self.control.cancel();
        self.done.cancelled().await;
    }

    /// Asks the work to make way, where others wait and the next attempt has less to do.
    fn make_way(&self) {
        if self.control.has_gained()
            && self.app.queue.is_awaited(&self.job)
            && self.reason.set(Stop::Shutdown).is_ok()
        {
            tracing::info!(job.id = %self.job.job, job.attempt = self.attempt, "makes way for jobs that wait");
            self.control.ask_to_yield();
        }
    }

    /// Whether a change that woke this thread left the job to this attempt. Not knowing is no reason to stop: the
    /// next renewal will tell.
    async fn still_ours(&self) -> bool {
        match self.app.jobs.get(&self.job).await {
            Ok(Some(job)) => job.state == JobState::Processing && job.attempt == self.attempt,
            Ok(None) => false,
            Err(_) => true,
        }
    }

    async fn renew(&self) -> Result<(), TransitionError> {
        let now = self.app.clock.now();
        let renew = Transition::Renew {
            attempt: self.attempt,
            progress: Box::new(self.progress(now)),
            lease: self.settings.lease,
        };
        self.app.jobs.transition(&self.job, &renew, now).await.map(drop)
    }

    fn progress(&self, now: Timestamp) -> Progress {
        let (records_written, bytes_written) = self.control.written();
        // 100 is for the commit to say.
        let part = self.control.part_done().min(0.999);
        let elapsed = now.since(self.started).as_secs_f64();
        // Too little is done to tell a speed by.
        let left = (part >= 0.02).then(|| Duration::from_secs_f64(elapsed * (1.0 - part) / part));
        Progress {
            stage: self.control.stage(),
            records_found: self.control.found(),
            records_requested: self.control.requested(),
            records_written,
            bytes_written,
            percent: (part * 1000.0).round() / 10.0,
            estimated_finish: left.map(|left| now.plus(left)),
            counts: self.control.counts(),
        }
    }
}
