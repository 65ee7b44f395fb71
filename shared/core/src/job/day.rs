//! What an account may consume in a day, exactly: whatever runs at once, what completes never exceeds it.
//!
//! Attempts that run at the same time are told the same of what the day has left. Each is added to the day only if the limit
//! still holds with it; one that comes too late for that is done again, with what is left then. Nothing is reserved, so
//! nothing is lost with a worker that dies, and no job waits for what another may not use.

use serde::{Deserialize, Serialize};

use super::{Job, Transition};
use crate::ports::Consumed;

/// What an account may consume in a day (UTC); `None` for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DailyLimits {
    /// The most records.
    pub records: Option<u64>,
    /// The most bytes of results.
    pub bytes: Option<u64>,
}

impl DailyLimits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What a change adds to the day of its job's account, and what must hold of the day for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayEntry {
    /// Records.
    pub records: u64,
    /// Bytes, as stored.
    pub bytes: u64,
    /// What must hold of the records that the day has; `None` where they are not limited.
    pub records_before: Option<Before>,
    /// What must hold of its bytes.
    pub bytes_before: Option<Before>,
}

/// What must hold of a day's number for more to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// It is at most this, so that the limit holds with what is added.
    pub at_most: u64,
    /// Or it is this very number, which the attempt was given all the rest of: its last piece may be larger than that.
    pub or: Option<u64>,
}

impl Before {
    /// Whether it holds.
    pub fn holds(&self, number: u64) -> bool {
        number <= self.at_most || self.or == Some(number)
    }
}

impl DayEntry {
    /// Whether it can be added to a day that has so much.
    pub fn fits(&self, day: &Consumed) -> bool {
        self.records_before.is_none_or(|before| before.holds(day.records))
            && self.bytes_before.is_none_or(|before| before.holds(day.bytes))
    }
}

impl Job {
    /// What the change from `before` to this adds to the day, if it delivers anything.
    pub fn day_entry(&self, before: &Self, transition: &Transition) -> Option<DayEntry> {
        let result = self.newly_delivered(before)?;
        let told = match transition {
            Transition::Complete { day, .. } => *day,
            _ => None,
        };
        let room = |limit: Option<u64>, added: u64, told: Option<u64>| {
            limit.map(|limit| Before { at_most: limit.saturating_sub(added), or: told })
        };
        Some(DayEntry {
            records: result.records,
            bytes: result.bytes,
            records_before: room(self.daily.records, result.records, told.map(|day| day.records)),
            bytes_before: room(self.daily.bytes, result.bytes, told.map(|day| day.bytes)),
        })
    }
}
