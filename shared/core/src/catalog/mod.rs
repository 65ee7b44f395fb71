//! The catalog: data sets with their columns and views, and plans.

mod built;
mod column;
mod column_entry;
mod column_text;
mod file;
mod file_error;
mod file_format;
mod location;
mod partition;
mod prices_entry;
mod s3;
mod statistics;
mod unread;
mod upstream;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub use self::{
    built::{BuiltCatalog, BuiltCatalogError, CATALOG_SCHEMA},
    column::{Column, ColumnType, TimeUnit},
    file::{CatalogFile, DatasetEntry, PlanEntry, ViewEntry},
    file_error::CatalogFileError,
    file_format::FileFormat,
    location::Place,
    partition::Partition,
    prices_entry::PricesEntry,
    s3::S3Entry,
    statistics::{ColumnStatistics, LISTED_VALUES, Statistics, TOLD_TEXT},
    upstream::{
        HeaderEntry, HeaderSource, JsonSchema, Misfit, Rate, Retries, RetriesEntry, SecretEntry, SecretRef,
        Upstream, UpstreamEntry, UpstreamMethod, UrlTemplate,
    },
};
use crate::{Timestamp, account::Plan};

/// Everything that can be asked for, and by whom; one consistent state of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    /// SHA-256 of what the operator wrote, in lower-case hexadecimal.
    pub hash: String,
    /// The data sets by name.
    pub datasets: BTreeMap<String, Arc<Dataset>>,
    /// The upstreams by name.
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// The plans by name.
    pub plans: BTreeMap<String, Plan>,
    /// The plan of new accounts.
    pub default_plan: String,
}

impl Catalog {
    /// The plan of that name. Where the catalog has it no more, one that allows nothing: an account must not get
    /// more than it had because its plan was renamed.
    pub fn plan(&self, name: &str) -> Plan {
        self.plans.get(name).cloned().unwrap_or_else(|| {
            tracing::warn!(plan = name, "an account has a plan that is not in the catalog");
            let none = Some(BTreeSet::new());
            Plan { datasets: none.clone(), upstreams: none, ..Plan::default_named(name) }
        })
    }

    /// The data set, where it exists and the plan may read it: a client cannot tell one from the other.
    pub fn dataset(&self, name: &str, plan: &Plan) -> Option<Arc<Dataset>> {
        self.datasets.get(name).filter(|_| plan.allows_dataset(name)).cloned()
    }

    /// The upstream, by the same rule.
    pub fn upstream(&self, name: &str, plan: &Plan) -> Option<Arc<Upstream>> {
        self.upstreams.get(name).filter(|_| plan.allows_upstream(name)).cloned()
    }
}

/// A data set as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// What it holds, in the operator's words.
    pub description: String,
    /// Where its files are.
    pub source: DatasetSource,
    /// The named sets of fields.
    pub views: BTreeMap<String, View>,
    /// What was read from its files.
    pub facts: DatasetFacts,
}

impl Dataset {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.facts.columns.iter().find(|column| column.name == name)
    }
}

/// Where the files of a data set are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DatasetSource {
    /// A file, or a directory of files of one [`FileFormat`]: an absolute path, or `s3://bucket/key`. See [`Place`].
    pub location: String,
    /// The columns of files of text, where the operator declares them; else they are inferred. Parquet has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
}

impl DatasetSource {
    /// The files at a location, with the columns that they have of themselves.
    pub fn at(location: impl Into<String>) -> Self {
        Self { location: location.into(), columns: None }
    }
}

/// A named set of fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// What it is for, in the operator's words.
    pub description: String,
    /// Its fields, in order.
    pub fields: Vec<String>,
}

impl View {
    /// Whether a data set of these columns has the view's fields, each named once; else what is wrong.
    pub fn fits(&self, columns: &[Column]) -> Result<(), String> {
        for (place, field) in self.fields.iter().enumerate() {
            if !columns.iter().any(|column| column.name == *field) {
                return Err(format!("there is no column {field:?} in the data set"));
            }
            if self.fields[..place].contains(field) {
                return Err(format!("names the column {field:?} twice"));
            }
        }
        Ok(())
    }
}

/// What a data set's files say of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetFacts {
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// How many records there are, where the files say so.
    pub records: Option<u64>,
    /// The size of all files in bytes.
    pub bytes: u64,
    /// How many files there are.
    pub files: u64,
    /// Changes when any file does: a hash over their names, sizes and marks.
    pub version: String,
    /// When the newest file was written.
    pub updated: Option<Timestamp>,
    /// What they say of their values; `None` where nothing is known of this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
}
