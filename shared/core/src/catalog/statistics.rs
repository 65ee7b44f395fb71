//! What the files of a data set say of their values, as they are written in answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most values of a column that are listed.
pub const LISTED_VALUES: usize = 100;

/// The most bytes of a text that is told as the least or the greatest of a column.
pub const TOLD_TEXT: usize = 256;

/// What the files of one version of a data set say: of the [`DatasetFacts`](super::DatasetFacts) that it stands in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// The row groups of all files; `None` where the format has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_groups: Option<u64>,
    /// What is known of columns, by their names. Columns of which nothing is known are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnStatistics>,
}

/// What is known of one column. Numbers and truth values are JSON's own; everything else, decimals too, is text as in a
/// result of CSV.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// No value is less. NaN is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// No value is greater. NaN is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
    /// Whether both, where they are there, are values of the column: files may cut long texts short.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// How many records have no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nulls: Option<u64>,
    /// How many values there are that differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct: Option<u64>,
    /// All of them in their order, null last, where directories tell them and they are not more than [`LISTED_VALUES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Value>>,
}

impl ColumnStatistics {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
