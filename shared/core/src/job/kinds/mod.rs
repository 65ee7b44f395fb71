//! The kinds of work, each with its validated request.

mod query;

use serde::{Deserialize, Serialize};

pub use query::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, QueryWork, SortKey};

/// The validated request of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Work {
    /// Records of a data set.
    Query(Box<QueryWork>),
}
