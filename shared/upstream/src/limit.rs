//! How often and how much at once an upstream is called by this worker, whatever the number of its jobs.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};
use willcall_core::catalog::Upstream;

/// Timers are late by about a millisecond: as much as this may be caught up, so that a high rate is reached.
const SLACK: Duration = Duration::from_millis(10);

/// Bytes of answers that may be held at once by all calls of a worker together, were each as large as it may be.
const ANSWERS: u32 = 512 << 20;
/// In what they are counted.
const UNIT: u64 = 1 << 10;

/// What the answers of all upstreams share.
#[derive(Debug, Clone)]
pub(crate) struct Memory(Arc<Semaphore>);

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new((u64::from(ANSWERS) / UNIT) as usize)))
    }
}

/// The limits of one upstream, shared by everything in this process that calls it.
#[derive(Debug)]
pub(crate) struct Limits {
    slots: Arc<Semaphore>,
    memory: Memory,
    /// What an answer may take of it.
    answer: u32,
    pace: Option<Pace>,
}

/// The right to have one call under way.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
    _memory: Option<OwnedSemaphorePermit>,
}

impl Limits {
    pub(crate) fn of(upstream: &Upstream, memory: &Memory) -> Self {
        let pace = upstream.rate.map(|rate| {
            // Each worker keeps to its part, so that all of them together keep to the whole.
            let part = rate.per.saturating_mul(upstream.workers) / rate.calls.max(1);
            Pace { interval: part, next: Mutex::new(None) }
        });
        let answer = upstream.max_response_bytes.div_ceil(UNIT).min(u64::from(ANSWERS) / UNIT);
        Self {
            slots: Arc::new(Semaphore::new(upstream.concurrency as usize)),
            memory: memory.clone(),
            answer: u32::try_from(answer).unwrap_or(u32::MAX),
            pace,
        }
    }

    /// Waits until one call more may be under way, and may begin.
    pub(crate) async fn enter(&self) -> Slot {
        // Closed by nobody: without a permit there is no limit to keep.
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok();
        // All of it before the call begins: one that had to wait for room in its middle would run into its time-out.
        let memory = Arc::clone(&self.memory.0).acquire_many_owned(self.answer).await.ok();
        self.pace().await;
        Slot { _permit: permit, _memory: memory }
    }

    /// Waits until one call more may begin.
    pub(crate) async fn pace(&self) {
        if let Some(pace) = &self.pace {
            sleep_until(pace.reserve(Instant::now())).await;
        }
    }
}

/// Spreads calls evenly: bursts are what limits of rate are there against.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// When the next call may begin; it is then taken, whether it is made or not.
    fn reserve(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let at = next.map_or(now, |next| next.max(earliest));
        *next = Some(at + self.interval);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(interval: Duration) -> Pace {
        Pace { interval, next: Mutex::new(None) }
    }

    #[tokio::test]
    async fn what_answers_may_hold_is_shared_by_all_upstreams() {
        let limits = |bytes: u64, memory: &Memory| {
            let json = format!(
                "{{\"url\": \"https://api.test/\", \"concurrency\": 1000, \"max_response_bytes\": {bytes}}}"
            );
            let entry: willcall_core::catalog::UpstreamEntry = serde_json::from_str(&json).unwrap();
            Limits::of(&entry.check("u").unwrap(), memory)
        };
        let memory = Memory::default();
        let (large, small) = (limits(16 << 20, &memory), limits(1, &memory));
        let mut held = Vec::new();
        for _ in 0..32 {
            held.push(large.enter().await);
        }
        let waits = Duration::from_millis(20);
        assert!(tokio::time::timeout(waits, small.enter()).await.is_err(), "512 MiB are given out");
        held.pop();
        assert!(tokio::time::timeout(waits, small.enter()).await.is_ok());
    }

    #[tokio::test]
    async fn calls_are_spread_evenly_and_never_saved_up() {
        let pace = pace(Duration::from_millis(100));
        let start = Instant::now();
        let at: Vec<u128> = (0..3).map(|_| (pace.reserve(start) - start).as_millis()).collect();
        assert_eq!(at, [0, 100, 200]);
        let later = start + Duration::from_secs(60);
        let at: Vec<Instant> = (0..2).map(|_| pace.reserve(later)).collect();
        assert!(at[0] <= later && at[1] >= later + Duration::from_millis(90), "a pause saves no calls up");
    }

    #[tokio::test]
    async fn a_high_rate_is_reached_though_timers_are_late() {
        let pace = pace(Duration::from_micros(100));
        let start = Instant::now();
        // Asked every 2 ms for 20 calls each: what was late is caught up.
        let mut last = start;
        for turn in 0..100u64 {
            let now = start + Duration::from_millis(2 * turn);
            for _ in 0..20 {
                last = pace.reserve(now);
            }
        }
        let took = last - start;
        assert!(took < Duration::from_millis(205), "{took:?}");
    }
}
