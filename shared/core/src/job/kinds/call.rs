//! Many calls of somebody's API, one for each item.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::format::OutputFormat;

/// A `call` job's request after validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallWork {
    /// The upstream.
    pub upstream: String,
    /// The member of an item that names it in the result; items without it are named by their number.
    pub id: String,
    /// After how many failed items no more are sent; `None` for however many fail.
    pub max_errors: Option<u64>,
    /// The most items that the plan delivers.
    pub max_records: u64,
    /// How the outcomes are written.
    pub output: OutputFormat,
    /// The most outcomes in a page.
    pub page_size: u32,
    /// The items themselves, where they came with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Map<String, Value>>>,
}
