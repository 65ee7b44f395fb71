//! Data sets as clients see them: never where their files are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use willcall_core::catalog::{Column, Dataset};

use super::statistics::StatisticsResource;

/// The data sets that the plan allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetList {
    /// The data sets, by name.
    pub datasets: Vec<DatasetResource>,
}

/// A data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Dataset)]
pub struct DatasetResource {
    /// Its name.
    #[schema(example = "flights")]
    pub name: String,
    /// Where it is described.
    #[schema(format = "uri")]
    pub link: String,
    /// What it holds.
    pub description: String,
    /// Its columns, in order.
    pub columns: Vec<ColumnResource>,
    /// Its views: named sets of columns.
    pub views: Vec<ViewResource>,
    /// How many records it has; null where its files do not say.
    #[schema(required)]
    pub records: Option<u64>,
    /// The size of its files in bytes.
    pub bytes: u64,
    /// When its newest file was written.
    #[schema(required, format = "date-time")]
    pub updated: Option<String>,
    /// Changes when any of its files does.
    pub version: String,
    /// What the files of this version say of its values. Absent in lists, and where nothing is known of this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub statistics: Option<StatisticsResource>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Column)]
pub struct ColumnResource {
    /// Its name.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type")]
    #[schema(example = "timestamp(microsecond, UTC)")]
    pub data_type: String,
    /// Whether values may be missing.
    pub nullable: bool,
}

/// A named set of columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = View)]
pub struct ViewResource {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its columns, in order.
    pub fields: Vec<String>,
}

pub(crate) fn columns(columns: &[Column]) -> Vec<ColumnResource> {
    let column = |column: &Column| ColumnResource {
        name: column.name.clone(),
        data_type: column.data_type.to_string(),
        nullable: column.nullable,
    };
    columns.iter().map(column).collect()
}

impl DatasetResource {
    pub(crate) fn of(public_url: &str, dataset: &Dataset) -> Self {
        let views = dataset.views.iter().map(|(name, view)| ViewResource {
            name: name.clone(),
            description: view.description.clone(),
            fields: view.fields.clone(),
        });
        Self {
            name: dataset.name.clone(),
            link: format!("{public_url}/v1/datasets/{}", dataset.name),
            description: dataset.description.clone(),
            columns: columns(&dataset.facts.columns),
            views: views.collect(),
            records: dataset.facts.records,
            bytes: dataset.facts.bytes,
            updated: dataset.facts.updated.map(|moment| moment.to_string()),
            version: dataset.facts.version.clone(),
            statistics: None,
        }
    }

    /// With what is known of its values.
    pub(crate) fn whole(public_url: &str, dataset: &Dataset) -> Self {
        let statistics = dataset.facts.statistics.as_ref();
        Self { statistics: statistics.map(StatisticsResource::of), ..Self::of(public_url, dataset) }
    }
}
