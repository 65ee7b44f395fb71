//! What became of the rows of a job that takes rows.

use serde::{Deserialize, Serialize};

/// What became of rows so far, by the kind of job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Counts {
    /// Rows that were matched against a data set. Every row is one of the last four.
    Append {
        /// Rows of the input.
        rows: u64,
        /// Rows with one record.
        matched: u64,
        /// Rows without a record.
        unmatched: u64,
        /// Rows with several records.
        ambiguous: u64,
        /// Rows that could not be read.
        malformed: u64,
    },
    /// Items that were sent to an upstream. Every item is one of the last five.
    Call {
        /// All items; `None` until they have been read to the end.
        total: Option<u64>,
        /// Items that are not done yet, of those that were read.
        pending: u64,
        /// Items that the upstream took.
        succeeded: u64,
        /// Items that the upstream refused, or that it could not be asked about.
        failed: u64,
        /// Items that were sent and whose answer is not known: they may have been done or not.
        unknown: u64,
        /// Items that could not be read, and were not sent.
        malformed: u64,
    },
}

impl Counts {
    /// The counts of an append that has not begun.
    pub fn append() -> Self {
        Self::Append { rows: 0, matched: 0, unmatched: 0, ambiguous: 0, malformed: 0 }
    }

    /// The counts of a call that has not begun.
    pub fn call() -> Self {
        Self::Call { total: None, pending: 0, succeeded: 0, failed: 0, unknown: 0, malformed: 0 }
    }

    /// Both together, where they are of one kind: what a container has of its batches.
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Append { rows, matched, unmatched, ambiguous, malformed },
                Self::Append { rows: r, matched: m, unmatched: u, ambiguous: a, malformed: b },
            ) => Self::Append {
                rows: rows + r,
                matched: matched + m,
                unmatched: unmatched + u,
                ambiguous: ambiguous + a,
                malformed: malformed + b,
            },
            (
                Self::Call { total, pending, succeeded, failed, unknown, malformed },
                Self::Call { total: t, pending: p, succeeded: s, failed: f, unknown: u, malformed: m },
            ) => Self::Call {
                total: total.zip(t).map(|(one, other)| one + other),
                pending: pending + p,
                succeeded: succeeded + s,
                failed: failed + f,
                unknown: unknown + u,
                malformed: malformed + m,
            },
            (one, _) => one,
        }
    }
}
