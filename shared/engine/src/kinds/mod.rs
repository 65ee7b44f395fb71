//! One file a kind of work, and what they share: progress, and the writing of records.

pub(crate) mod append;
mod count;
pub(crate) mod query;
mod tally;
pub(crate) mod text;
pub(crate) mod write;

use willcall_core::{
    catalog::Column,
    job::{Counts, Truncation},
};

use crate::sink::Written;

/// What a job made.
pub(crate) struct Made {
    pub(crate) written: Written,
    pub(crate) records: u64,
    pub(crate) pages: Option<u64>,
    /// All records that match, where that is exact.
    pub(crate) found: Option<u64>,
    pub(crate) counts: Option<Counts>,
    pub(crate) non_finite: u64,
    pub(crate) schema: Vec<Column>,
    pub(crate) truncated: Option<Truncation>,
    pub(crate) version: String,
    pub(crate) files: u64,
    pub(crate) files_read: u64,
}
