//! One running attempt: whether it must stop, and whether it still moves.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use willcall_core::ports::{Control, ExecuteError};

use crate::failure::Outcome;

/// Shared by all threads of an attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) control: Arc<Control>,
    stopped: AtomicBool,
    beats: AtomicU64,
}

impl Attempt {
    pub(crate) fn new(control: Arc<Control>) -> Arc<Self> {
        Arc::new(Self { control, stopped: AtomicBool::new(false), beats: AtomicU64::new(0) })
    }

    /// Called at least once a batch by every loop: tells that the attempt moves, and asks whether it may go on.
    pub(crate) fn check(&self) -> Outcome<()> {
        self.beats.fetch_add(1, Ordering::Relaxed);
        if self.is_over() { Err(ExecuteError::Cancelled) } else { Ok(()) }
    }

    /// Tells that the attempt moves.
    pub(crate) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the attempt moved.
    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Whether it is to end. Does not tell that it moves.
    pub(crate) fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.control.is_cancelled()
    }

    /// Ends every loop at its next check.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// Stops the attempt's threads when the future that waits for them ends, however it ends.
pub(crate) struct StopOnDrop(pub(crate) Arc<Attempt>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
