//! The queue of notices of one box, and the loop that hands them out. It lives in memory: what it loses with the process
//! is noted in the store, and taken up at the next start.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, btree_map::OccupiedEntry},
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
    AccountId, Timestamp,
    ports::{Clock, Notice, NoticeQueue, QueueError},
    webhook::LONGEST_DELAY,
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

/// Accounts take turns. Those of one come by the moment from which they can be received, and then in the order in which
/// they came.
#[derive(Default)]
struct Waiting {
    later: BTreeMap<(Timestamp, u64), Notice>,
    ready: HashMap<AccountId, VecDeque<Notice>>,
    turns: VecDeque<AccountId>,
    /// How many notices of each account are with a handler; no account is there with none.
    handled: HashMap<AccountId, usize>,
    next: u64,
}

impl Waiting {
    fn arrived_by(&mut self, now: Timestamp) -> Option<Notice> {
        self.later.first_entry().filter(|entry| entry.key().0 <= now).map(OccupiedEntry::remove)
    }

    fn beyond(&mut self, moment: Timestamp) -> Option<Notice> {
        self.later.last_entry().filter(|entry| entry.key().0 > moment).map(OccupiedEntry::remove)
    }

    /// Takes the next notice of an account that has none of `places` yet, or fewer than are free: of those that hang, each
    /// has half of what is left by those before it, and one is left for whoever comes.
    fn take(&mut self, now: Timestamp, places: usize) -> Option<Notice> {
        // The clock went back since a notice was put where none can be by its own wish.
        let lost = now.plus(LONGEST_DELAY).plus(AFTER_LOSS);
        while let Some(notice) = self.arrived_by(now).or_else(|| self.beyond(lost)) {
            let account = notice.job().account.clone();
            let notices = self.ready.entry(account.clone()).or_default();
            if notices.is_empty() {
                self.turns.push_back(account);
            }
            notices.push_back(notice);
        }
        let free = places.saturating_sub(self.handled.values().sum());
        let may = |account: &AccountId| self.handled.get(account).is_none_or(|handled| *handled < free);
        let turn = self.turns.iter().position(may)?;
        let account = self.turns.remove(turn)?;
        let notices = self.ready.get_mut(&account)?;
        let notice = notices.pop_front()?;
        if notices.is_empty() {
            self.ready.remove(&account);
        } else {
            self.turns.push_back(account);
        }
        Some(notice)
    }
}

impl InProcessNotices {
    /// An empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, waiting: Arc::default(), arrived: Arc::default() }
    }

    /// The next notice, if one can be received now. It is received once and for all.
    pub fn receive(&self) -> Option<Notice> {
        self.waiting().take(self.clock.now(), usize::MAX)
    }

    /// The next notice for one of `places` handlers, once there is one of an account that may have a further one.
    async fn received_for(&self, places: usize) -> Notice {
        loop {
            let arrived = self.arrived.notified();
            if let Some(notice) = self.receive_for(places) {
                return notice;
            }
            let next = self.waiting().later.first_key_value().map(|((at, _), _)| *at);
            let at_most = next.map_or(IDLE, |next| next.since(self.clock.now()).min(IDLE));
            let _ = tokio::time::timeout(at_most, arrived).await;
        }
    }

    fn receive_for(&self, places: usize) -> Option<Notice> {
        let mut waiting = self.waiting();
        let notice = waiting.take(self.clock.now(), places)?;
        *waiting.handled.entry(notice.job().account.clone()).or_default() += 1;
        Some(notice)
    }

    /// The account has one notice less with handlers.
    fn ended(&self, account: &AccountId) {
        let mut waiting = self.waiting();
        if let Some(handled) = waiting.handled.get_mut(account) {
            *handled -= 1;
            if *handled == 0 {
                waiting.handled.remove(account);
            }
        }
        self.arrived.notify_one();
    }

    fn add(&self, notice: Notice, delay: Duration) {
        let mut waiting = self.waiting();
        let place = (self.clock.now().plus(delay), waiting.next);
        waiting.next += 1;
        waiting.later.insert(place, notice);
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
///
/// Accounts take turns, and none begins a further delivery unless more than it has are free of `at_once`: those whose
/// receivers hang delay their own alone.
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
            (place, queue.received_for(at_once).await)
        };
        let (place, notice) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        let (queue, handler) = (queue.clone(), Arc::clone(&handler));
        tasks.spawn(async move {
            let account = notice.job().account.clone();
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
            queue.ended(&account);
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
            () = run_notifier(queue, 4, handler, shutdown, Duration::from_millis(10)) => {}
            () = time => {}
        }
        assert_eq!(seen.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn several_accounts_whose_receivers_hang_leave_a_place_for_another() {
        let queue = InProcessNotices::new(Arc::new(ManualClock::new(START)));
        let notice = |account: &str, sequence| Notice::Event(EventRef { job: reference(account), sequence });
        let mut handled = Vec::new();
        for account in ["a", "b", "c", "d"] {
            for sequence in 0..10 {
                queue.send(&notice(account, sequence), Duration::ZERO).await.unwrap();
            }
            let begun: Vec<Notice> = std::iter::from_fn(|| queue.receive_for(8)).collect();
            assert!(begun.iter().all(|notice| notice.job().account.as_str() == account));
            handled.push(begun.len());
        }
        assert_eq!(handled, [4, 2, 1, 1], "each has half of what is left");
        assert_eq!(queue.receive_for(8), None);
        let account = "a".parse().unwrap();
        (0..2).for_each(|_| queue.ended(&account));
        let next = queue.receive_for(8).unwrap();
        assert_eq!(next.job().account.as_str(), "c", "it has fewer than are free, unlike those before it");
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_hides_no_notice() {
        let clock = Arc::new(ManualClock::new(START));
        let queue = InProcessNotices::new(clock.clone());
        let notice = Notice::Event(EventRef { job: reference("acme"), sequence: 1 });
        queue.send(&notice, LONGEST_DELAY).await.unwrap();
        assert_eq!(queue.receive(), None, "it waits");
        clock.set(START.minus(Duration::from_secs(86_400)));
        assert_eq!(queue.receive(), Some(notice.clone()));
        queue.send(&notice, LONGEST_DELAY).await.unwrap();
        assert_eq!(queue.receive(), None, "it waits by the new time");
        clock.advance(LONGEST_DELAY);
        assert_eq!(queue.receive(), Some(notice));
    }

    #[tokio::test]
    async fn an_account_whose_receivers_hang_delays_no_others() {
        let queue = InProcessNotices::new(Arc::new(ManualClock::new(START)));
        let (hanging, shutdown) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (started, mut handled) = tokio::sync::mpsc::unbounded_channel();
        let handler = {
            let hanging = Arc::clone(&hanging);
            move |notice: Notice| {
                let (hanging, started) = (Arc::clone(&hanging), started.clone());
                async move {
                    if notice.job().account.as_str() == "hangs" {
                        hanging.fetch_add(1, Ordering::SeqCst);
                        std::future::pending().await
                    }
                    started.send(notice).unwrap();
                    Handled::Done
                }
            }
        };
        let send = async |account: &str, count| {
            for sequence in 0..count {
                let notice = Notice::Event(EventRef { job: reference(account), sequence });
                queue.send(&notice, Duration::ZERO).await.unwrap();
            }
        };
        send("hangs", 100).await;
        let others = async {
            // Some come when the other has all that it may have, and more than there are places for.
            while hanging.load(Ordering::SeqCst) < 4 {
                tokio::task::yield_now().await;
            }
            send("other", 20).await;
            for _ in 0..20 {
                assert_eq!(handled.recv().await.unwrap().job().account.as_str(), "other");
            }
            shutdown.cancel();
        };
        let run = run_notifier(queue.clone(), 8, handler, shutdown.clone(), Duration::from_millis(10));
        tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(run, others) }).await.unwrap();
        assert_eq!(hanging.load(Ordering::SeqCst), 4, "half of those at once");
    }

    #[tokio::test]
    async fn a_delivery_that_ended_makes_room_for_the_accounts_next() {
        let queue = InProcessNotices::new(Arc::new(ManualClock::new(START)));
        let (left, shutdown) = (Arc::new(AtomicUsize::new(50)), CancellationToken::new());
        for sequence in 0..50 {
            let notice = Notice::Event(EventRef { job: reference("acme"), sequence });
            queue.send(&notice, Duration::ZERO).await.unwrap();
        }
        let handler = {
            let shutdown = shutdown.clone();
            move |_| {
                let (left, shutdown) = (Arc::clone(&left), shutdown.clone());
                async move {
                    if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                        shutdown.cancel();
                    }
                    Handled::Done
                }
            }
        };
        let run = run_notifier(queue.clone(), 2, handler, shutdown, Duration::from_secs(1));
        tokio::time::timeout(Duration::from_secs(60), run).await.unwrap();
        assert!(queue.waiting().handled.is_empty());
    }

    #[tokio::test]
    async fn accounts_take_turns() {
        let queue = InProcessNotices::new(Arc::new(ManualClock::new(START)));
        for account in ["many", "many", "many", "one"] {
            let notice = Notice::Event(EventRef { job: reference(account), sequence: 0 });
            queue.send(&notice, Duration::ZERO).await.unwrap();
        }
        let order: Vec<String> = std::iter::from_fn(|| queue.receive())
            .map(|notice| notice.job().account.as_str().to_owned())
            .collect();
        assert_eq!(order, ["many", "one", "many", "many"]);
    }
}
