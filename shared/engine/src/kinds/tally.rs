//! What a query knows of its units while it runs, and how much of the work is done.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::attempt::Attempt;

/// What is known of each unit, and how much is done.
pub(super) struct Tally {
    attempt: Arc<Attempt>,
    matched: Vec<AtomicU64>,
    done: AtomicU64,
    total: AtomicU64,
    /// Of the total, the part that is done when sorted records are written.
    after: AtomicU64,
}

const UNKNOWN: u64 = u64::MAX;

impl Tally {
    pub(super) fn new(attempt: &Arc<Attempt>, units: usize) -> Self {
        Self {
            attempt: Arc::clone(attempt),
            matched: (0..units).map(|_| AtomicU64::new(UNKNOWN)).collect(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            after: AtomicU64::new(0),
        }
    }

    pub(super) fn expect(&self, units: usize, after: usize) {
        self.total.store((units + after) as u64, Ordering::Relaxed);
        self.after.store(after as u64, Ordering::Relaxed);
        self.attempt.control.set_work(0, (units + after) as u64);
    }

    pub(super) fn set(&self, unit: usize, matched: u64) {
        self.matched[unit].store(matched, Ordering::Relaxed);
    }

    pub(super) fn matched(&self, unit: usize) -> Option<u64> {
        Some(self.matched[unit].load(Ordering::Relaxed)).filter(|matched| *matched != UNKNOWN)
    }

    pub(super) fn unit_done(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.attempt.control.set_work(done, self.total.load(Ordering::Relaxed));
    }

    pub(super) fn sorted_written(&self, written: u64, expected: u64) {
        let (total, after) = (self.total.load(Ordering::Relaxed), self.after.load(Ordering::Relaxed));
        let part = u128::from(after) * u128::from(written.min(expected)) / u128::from(expected.max(1));
        self.attempt.control.set_work(total - after + part as u64, total);
    }
}
