//! What is known of a data set's values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use willcall_core::catalog::{ColumnStatistics, Statistics};

/// What the files of one version of a data set say of its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Statistics)]
pub struct StatisticsResource {
    /// The row groups of all files; null where the format has none.
    #[schema(required)]
    pub row_groups: Option<u64>,
    /// What is known of columns, by their names; those of which nothing is known are left out.
    pub columns: BTreeMap<String, ColumnStatisticsResource>,
}

/// What is known of one column; null is what is not known. Numbers and truth values are JSON's own, all else, decimals
/// too, is text as in a result of CSV.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ColumnStatistics)]
pub struct ColumnStatisticsResource {
    /// No value is less; NaN is not looked at.
    #[schema(required)]
    pub min: Option<Value>,
    /// No value is greater; NaN is not looked at.
    #[schema(required)]
    pub max: Option<Value>,
    /// Whether both are values of the column: files may cut long texts short.
    pub exact: bool,
    /// How many records have no value.
    #[schema(required)]
    pub nulls: Option<u64>,
    /// How many values there are that differ.
    #[schema(required)]
    pub distinct: Option<u64>,
    /// All of them in their order, null last, of a column that directories tell with at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub values: Option<Vec<Value>>,
}

impl StatisticsResource {
    pub(crate) fn of(statistics: &Statistics) -> Self {
        let columns = statistics.columns.iter();
        Self {
            row_groups: statistics.row_groups,
            columns: columns.map(|(name, column)| (name.clone(), column.clone().into())).collect(),
        }
    }
}

impl From<ColumnStatistics> for ColumnStatisticsResource {
    fn from(column: ColumnStatistics) -> Self {
        let ColumnStatistics { min, max, exact, nulls, distinct, values } = column;
        Self { min, max, exact, nulls, distinct, values }
    }
}
