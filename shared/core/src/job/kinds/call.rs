//! Many calls of somebody's API, one for each item.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    format::OutputFormat,
    json::{Json, Object},
};

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
    pub items: Option<Vec<Object>>,
    /// The number of the first item; `None` for 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_item: Option<u64>,
}

/// What became of one item: a row of the result, its members in this order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ItemOutcome {
    /// The item's own id, text or number; else its number among the items.
    pub id: Json,
    /// What became of it.
    pub state: ItemState,
    /// The status of the last answer; `None` where there was none.
    pub status: Option<u16>,
    /// How often it was sent.
    pub attempts: u32,
    /// What the upstream answered, compact: its JSON, or a text where it is no JSON.
    pub body: Option<Box<RawValue>>,
    /// What went wrong, in words; of an item that succeeded, what of its answer could not be read.
    pub error: Option<String>,
}

impl ItemOutcome {
    /// The columns of a result of calls.
    pub const COLUMNS: [&str; 6] = ["id", "state", "status", "attempts", "body", "error"];
}

impl PartialEq for ItemOutcome {
    fn eq(&self, other: &Self) -> bool {
        let text = |outcome: &Self| outcome.body.as_ref().map(|body| body.get().to_owned());
        (&self.id, self.state, self.status, self.attempts, &self.error, text(self))
            == (&other.id, other.state, other.status, other.attempts, &other.error, text(other))
    }
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemState {
    /// The upstream took it.
    Succeeded,
    /// The upstream refused it, or could not be asked.
    Failed,
    /// It was sent, and whether the upstream took it is not known.
    Unknown,
    /// It is not what the upstream takes, and was not sent.
    Malformed,
}

impl ItemState {
    /// The state as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for ItemState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
