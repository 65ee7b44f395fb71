//! The queue of notices of one box, and the loop that hands them out. It lives in memory: what it loses with the process
//! is noted in the store, and taken up at the next start.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use willcall_core::{
    Timestamp,
    ports::{Clock, Notice, NoticeQueue, QueueError},
};

use crate::Handled;

/// How long the loop sleeps at most, in case the clock is set forward.
const IDLE: Duration = Duration::from_secs(1);
/// After how long a notice comes again whose handler panicked.
const AFTER_LOSS: Duration = Duration::from_secs(31);

/// The queue of notices. Clones are one and the same.
#[derive(Clone)]
pub struct InProcessNotices {
    clock: Arc<dyn Clock>,
    waiting: Arc<Mutex<Waiting>>,
    arrived: Arc<Notify>,
}

/// Notices by the moment from which they can be received, and then in the order in which they came.
#[derive(Default)]
struct Waiting {
    notices: BTreeMap<(Timestamp, u64), Notice>,
    next: u64,
}

impl InProcessNotices {
    /// An empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, waiting: Arc::default(), arrived: Arc::default() }
    }

    /// The next notice, if one can be received now. It is received once and for all.
    pub fn receive(&self) -> Option<Notice> {
        let now = self.clock.now();
        let mut waiting = self.waiting();
        let entry = waiting.notices.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// The next notice, once there is one.
    pub async fn received(&self) -> Notice {
        loop {
            let arrived = self.arrived.notified();
            if let Some(notice) = self.receive() {
                return notice;
            }
            let next = self.waiting().notices.first_key_value().map(|((at, _), _)| *at);
            let at_most = next.map_or(IDLE, |next| next.since(self.clock.now()).min(IDLE));
            let _ = tokio::time::timeout(at_most, arrived).await;
        }
    }

    fn add(&self, notice: Notice, delay: Duration) {
        let mut waiting = self.waiting();
        let place = (self.clock.now().plus(delay), waiting.next);
        waiting.next += 1;
        waiting.notices.insert(place, notice);
        self.arrived.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl NoticeQueue for InProcessNotices {
    async fn send(&self, notice: &Notice, delay: Duration) -> Result<(), QueueError> {
        self.add(notice.clone(), delay);
        Ok(())
    }
}

/// Hands each notice to `handler`, at most `at_once` at a time, until `shutdown`; then waits for those under way, no longer
/// than `grace`. Those that are cut short are taken up at the next start.
pub async fn run_notifier<H, F>(
    queue: InProcessNotices,
    at_once: usize,
    handler: H,
    shutdown: CancellationToken,
    grace: Duration,
) where
    H: Fn(Notice) -> F + Send + Sync + 'static,
    F: Future<Output = Handled> + Send + 'static,
{
    let handler = Arc::new(handler);
    let places = Arc::new(Semaphore::new(at_once));
    let mut tasks = JoinSet::new();
    loop {
        let next = async {
            // Nothing is received that nobody has the time for.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, queue.received().await)
        };
        let (place, notice) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        let (queue, handler) = (queue.clone(), Arc::clone(&handler));
        tasks.spawn(async move {
            let work = handler(notice.clone());
            // A task of its own, so that a panic in it loses no notice.
            let handled = tokio::spawn(work).await.unwrap_or_else(|error| {
                tracing::error!(job.id = %notice.job().job, error = %error, "the handler of a notice panicked");
                Handled::Leave
            });
            match handled {
                Handled::Done => {}
                Handled::RetryAfter(delay) => queue.add(notice, delay),
                Handled::Leave => queue.add(notice, AFTER_LOSS),
            }
            drop(place);
        });
        while tasks.try_join_next().is_some() {}
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!(deliveries = tasks.len(), "deliveries did not end in time");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use willcall_conformance::samples::{START, reference};
    use willcall_core::{ports::ManualClock, webhook::EventRef};

    use super::*;

    #[tokio::test]
    async fn a_slow_receiver_holds_up_no_other_and_a_panic_loses_nothing() {
        let clock = Arc::new(ManualClock::new(START));
        let queue = InProcessNotices::new(clock.clone());
        let seen = Arc::new(AtomicUsize::new(0));
        let shutdown = CancellationToken::new();
        let handler = {
            let (seen, shutdown) = (Arc::clone(&seen), shutdown.clone());
            move |notice: Notice| {
                let (seen, shutdown) = (Arc::clone(&seen), shutdown.clone());
                async move {
                    let Notice::Event(EventRef { sequence, .. }) = notice else { return Handled::Done };
                    match (sequence, seen.fetch_add(1, Ordering::SeqCst)) {
                        (0, _) => std::future::pending().await,
                        (1, before) if before < 2 => panic!("by the test"),
                        (1, _) => {
                            shutdown.cancel();
                            Handled::Done
                        }
                        _ => Handled::Done,
                    }
                }
            }
        };
        for sequence in 0..2 {
            let notice = Notice::Event(EventRef { job: reference("acme"), sequence });
            queue.send(&notice, Duration::ZERO).await.unwrap();
        }
        // The notice that was lost comes again after a while from when it was lost.
        let time = async {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                clock.advance(AFTER_LOSS);
            }
        };
        tokio::select! {
            () = run_notifier(queue, 2, handler, shutdown, Duration::from_millis(10)) => {}
            () = time => {}
        }
        assert_eq!(seen.load(Ordering::SeqCst), 3);
    }
}
