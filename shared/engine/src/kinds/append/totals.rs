//! What became of the rows, counted by all threads and told while the job runs.

use std::sync::{Arc, Mutex, PoisonError};

use willcall_core::job::Counts;

use crate::attempt::Attempt;

/// What is known of the rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) rows: u64,
    pub(super) matched: u64,
    pub(super) unmatched: u64,
    pub(super) ambiguous: u64,
    pub(super) malformed: u64,
    /// Rows of the result beyond one for each row of the input.
    pub(super) extra: u64,
}

impl Totals {
    pub(super) fn counts(self) -> Counts {
        let Self { rows, matched, unmatched, ambiguous, malformed, .. } = self;
        Counts::Append { rows, matched, unmatched, ambiguous, malformed }
    }

    /// How many rows the result has where nothing cuts it short.
    pub(super) fn result(self) -> u64 {
        self.rows.saturating_add(self.extra)
    }
}

/// The totals of an attempt.
pub(super) struct Counting {
    attempt: Arc<Attempt>,
    totals: Mutex<Totals>,
}

impl Counting {
    pub(super) fn new(attempt: &Arc<Attempt>) -> Arc<Self> {
        attempt.control.set_counts(Totals::default().counts());
        Arc::new(Self { attempt: Arc::clone(attempt), totals: Mutex::default() })
    }

    /// Adds to the totals, and tells them.
    pub(super) fn add(&self, add: impl FnOnce(&mut Totals)) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut totals);
        self.attempt.control.set_counts(totals.counts());
    }

    pub(super) fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of the work each of its parts is taken for: the rows are read, matched, and written.
const PART: u64 = 1000;

/// Tells how much is done. `part` is 0 for reading, 1 for matching, 2 for writing.
pub(super) fn progress(attempt: &Attempt, part: u64, done: u64, of: u64) {
    let within = u128::from(PART) * u128::from(done.min(of)) / u128::from(of.max(1));
    attempt.control.set_work(part * PART + within as u64, 3 * PART);
}
