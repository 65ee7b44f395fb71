//! A whole read-only SELECT over data sets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::format::OutputFormat;

/// A `query` job's request that is a statement, after validation: the statement is one that
/// the checker of statements lets pass, and every data set that it names is allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SqlWork {
    /// The statement as the client wrote it.
    pub sql: String,
    /// What each placeholder of the statement stands for, by its name without the dollar: no more and no fewer than it has.
    pub parameters: BTreeMap<String, SqlValue>,
    /// The data sets that it names, sorted, each once.
    pub datasets: Vec<String>,
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

impl SqlWork {
    /// The most records that will be delivered.
    pub fn cap(&self) -> u64 {
        self.limit.unwrap_or(u64::MAX).min(self.max_records)
    }

    /// Whether the plan delivers fewer records than the client asked for, should there be that many.
    pub fn plan_may_cut(&self) -> bool {
        self.limit.is_none_or(|limit| limit > self.max_records)
    }
}

/// What a placeholder stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
pub enum SqlValue {
    /// Null, of no type.
    Null,
    /// A truth.
    Boolean(bool),
    /// A whole number.
    Int64(i64),
    /// A number; never NaN or infinite.
    Float64(f64),
    /// A decimal: an optional minus, digits, and perhaps a point and digits; at most 38 digits.
    Decimal(String),
    /// Text.
    Text(String),
    /// A day: `2024-01-31`.
    Date(String),
    /// A moment as RFC 3339 writes it, in UTC with a `Z`, or without a zone: `2024-01-31T10:30:00.000001`. At most nine
    /// digits of a second.
    Timestamp(String),
}
