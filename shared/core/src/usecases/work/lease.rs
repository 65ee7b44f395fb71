//! Keeps an attempt's lease from a thread of its own: the engine starves timers on a machine with one core, and a
//! lease that is not renewed is a job done twice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{App, LeaseSettings, Worker, chain};
use crate::{
    JobRef, Timestamp,
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
}

/// Renews a lease until stopped, and stops the work when the lease is lost.
pub(super) struct LeaseKeeper {
    done: CancellationToken,
    shutdown_seen: Arc<AtomicBool>,
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
    shutdown_seen: Arc<AtomicBool>,
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
        let shutdown_seen = Arc::new(AtomicBool::new(false));
        let keeping = Keeping {
            app: worker.app.clone(),
            settings: worker.lease,
            job: job.reference(),
            attempt: job.attempt,
            started: worker.app.clock.now(),
            control: Arc::clone(&control),
            done: done.clone(),
            shutdown,
            shutdown_seen: Arc::clone(&shutdown_seen),
        };
        let thread = std::thread::Builder::new().name("lease".into()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(keeping.keep()),
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
        Self { done, shutdown_seen, thread: thread.ok() }
    }

    /// Why the work was stopped.
    pub(super) fn reason(&self) -> Stop {
        if self.shutdown_seen.load(Ordering::SeqCst) { Stop::Shutdown } else { Stop::Lost }
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

impl Keeping {
    async fn keep(self) {
        let mut listener = self.app.signals.listen(&self.job);
        let mut renewed = Instant::now();
        let mut next = self.settings.renew_every;
        loop {
            tokio::select! {
                () = self.done.cancelled() => return,
                () = self.shutdown.cancelled() => {
                    self.shutdown_seen.store(true, Ordering::SeqCst);
                    self.control.cancel();
                    return self.done.cancelled().await;
                }
                () = listener.changed(next) => {}
            }
            let waited = renewed.elapsed();
            if waited < self.settings.renew_every && self.still_ours().await {
                next = self.settings.renew_every - waited;
                continue;
            }
            match self.renew().await {
                Ok(()) => {
                    renewed = Instant::now();
                    next = self.settings.renew_every;
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
        }
    }
}
