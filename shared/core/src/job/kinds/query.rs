//! Records of a data set: which, in what order, how many, and written how.

use serde::{Deserialize, Serialize};

use crate::{format::OutputFormat, query::Filter};

/// The smallest page.
pub const MIN_PAGE_SIZE: u32 = 100;
/// The largest page.
pub const MAX_PAGE_SIZE: u32 = 100_000;

/// A `query` job's request after validation: everything in it exists and fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryWork {
    /// The data set.
    pub dataset: String,
    /// Which records; `None` for all.
    pub filter: Option<Filter>,
    /// The columns, in the order in which they are delivered.
    pub fields: Vec<String>,
    /// The order; empty for the order of the data set.
    pub sort: Vec<SortKey>,
    /// The most records that the client wants; `None` for all.
    pub limit: Option<u64>,
    /// Records to leave out at the start.
    pub offset: u64,
    /// The most records that the plan delivers.
    pub max_records: u64,
    /// How they are written.
    pub output: OutputFormat,
    /// The most records in a page.
    pub page_size: u32,
}

impl QueryWork {
    /// The most records that will be delivered.
    pub fn cap(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX).min(self.max_records)
    }

    /// Whether the plan delivers fewer records than the client asked for, should there be that many.
    pub fn plan_may_cut(&self) -> bool {
        self.limit.is_none_or(|limit| limit > self.max_records)
    }
}

/// One column of an order. Nulls come last both ways; the order of the data set breaks ties.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SortKey {
    /// The column.
    pub column: String,
    /// Whether the largest comes first.
    pub descending: bool,
}
