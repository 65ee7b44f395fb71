//! What a query knows of its units while it runs, and how much of the work is done.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{attempt::Attempt, scan::Matched};

/// What is known of each unit, and how much is done.
pub(super) struct Tally {
    attempt: Arc<Attempt>,
    matched: Vec<AtomicU64>,
    /// Units that were left before their end.
    left: Mutex<BTreeMap<usize, Matched>>,
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
            left: Mutex::default(),
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

    pub(super) fn set(&self, unit: usize, matched: Matched) {
        if matched.left_at.is_some() {
            self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(unit, matched);
        } else {
            self.matched[unit].store(matched.records, Ordering::Relaxed);
        }
    }

    /// What is known of units of which only a beginning was read.
    pub(super) fn left(&self) -> BTreeMap<usize, Matched> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many records match, of a unit that was read whole.
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
