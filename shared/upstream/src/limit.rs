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

/// The limits of one upstream, shared by everything in this process that calls it.
#[derive(Debug)]
pub(crate) struct Limits {
    slots: Arc<Semaphore>,
    pace: Option<Pace>,
}

/// The right to have one call under way.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Limits {
    pub(crate) fn of(upstream: &Upstream) -> Self {
        let pace = upstream.rate.map(|rate| {
            // Each worker keeps to its part, so that all of them together keep to the whole.
            let part = rate.per.saturating_mul(upstream.workers) / rate.calls.max(1);
            Pace { interval: part, next: Mutex::new(None) }
        });
        Self { slots: Arc::new(Semaphore::new(upstream.concurrency as usize)), pace }
    }

    /// Waits until one call more may be under way, and may begin.
    pub(crate) async fn enter(&self) -> Slot {
        // Closed by nobody: without a permit there is no limit to keep.
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok();
        self.pace().await;
        Slot { _permit: permit }
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
