//! What the command reads of a server's answers. Unknown members and states are let through: the server may be newer.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::output::clean;

/// An answer as it came, and what the command reads of it: that without control characters, as it goes to terminals.
#[derive(Debug, Clone)]
pub(crate) struct Answer<T> {
    pub(crate) json: Value,
    pub(crate) read: T,
}

impl<T: DeserializeOwned> Answer<T> {
    pub(crate) fn of(json: Value) -> Result<Self, serde_json::Error> {
        Ok(Self { read: T::deserialize(cleaned(&json))?, json })
    }
}

fn cleaned(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => items.iter().map(cleaned).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), cleaned(value))).collect()
        }
        other => other.clone(),
    }
}

/// A job.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Job {
    pub(crate) job_id: String,
    pub(crate) link: String,
    #[serde(default)]
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) dataset: Option<String>,
    pub(crate) state: String,
    pub(crate) format: String,
    pub(crate) compression: String,
    pub(crate) created: String,
    pub(crate) expires: Option<String>,
    pub(crate) duration: String,
    pub(crate) progress: Progress,
    pub(crate) result: Option<Summary>,
    pub(crate) error: Option<Problem>,
}

impl Job {
    /// Whether nothing more happens to it by itself.
    pub(crate) fn has_ended(&self) -> bool {
        !matches!(self.state.as_str(), "open" | "accepted" | "processing")
    }
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Progress {
    pub(crate) stage: String,
    pub(crate) records_found: Option<u64>,
    pub(crate) records_requested: Option<u64>,
    pub(crate) records_written: u64,
    pub(crate) bytes_written: u64,
    pub(crate) percent: f64,
    pub(crate) queue_position: Option<u64>,
    #[serde(default)]
    pub(crate) counts: Option<Counts>,
}

/// What became of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    pub(crate) rows: Option<u64>,
    pub(crate) matched: Option<u64>,
    pub(crate) unmatched: Option<u64>,
    pub(crate) ambiguous: Option<u64>,
    pub(crate) malformed: Option<u64>,
    pub(crate) pending: Option<u64>,
    pub(crate) succeeded: Option<u64>,
    pub(crate) failed: Option<u64>,
    pub(crate) unknown: Option<u64>,
}

/// A part of a job's input, with a result of its own.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Batch {
    pub(crate) batch_id: String,
    pub(crate) name: Option<String>,
    pub(crate) state: String,
    pub(crate) files: Vec<BatchFile>,
    pub(crate) counts: Option<Counts>,
    pub(crate) download_link: Option<String>,
    pub(crate) error: Option<Problem>,
}

/// A file of a batch.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BatchFile {
    pub(crate) upload: Option<Upload>,
}

/// Where a file is uploaded.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Upload {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

/// A part of a job's batches.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BatchList {
    pub(crate) batches: Vec<Batch>,
    pub(crate) next_cursor: Option<String>,
}

/// What a job delivered.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Summary {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// None of a job with batches, whose files have one each.
    pub(crate) sha256: Option<String>,
    pub(crate) truncated: Option<Truncation>,
}

/// What cut a result short.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Truncation {
    pub(crate) reason: String,
    pub(crate) limit: u64,
}

/// A problem document.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) errors: Vec<FieldProblem>,
    #[serde(default)]
    pub(crate) request_id: Option<String>,
}

/// One thing wrong with a request.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct FieldProblem {
    pub(crate) detail: String,
    pub(crate) pointer: String,
}

/// A part of the list of jobs.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct JobList {
    pub(crate) jobs: Vec<Job>,
    pub(crate) next_cursor: Option<String>,
}

/// What a result consists of.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) files: Vec<File>,
}

/// One file of a result.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct File {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    #[serde(default)]
    pub(crate) batch_id: Option<String>,
}

/// A link to a result.
#[derive(Clone, Deserialize)]
pub(crate) struct Link {
    pub(crate) url: String,
}

/// The data sets.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct DatasetList {
    pub(crate) datasets: Vec<Dataset>,
}

/// A data set.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dataset {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) columns: Vec<Column>,
    #[serde(default)]
    pub(crate) views: Vec<View>,
    pub(crate) records: Option<u64>,
    #[serde(default)]
    pub(crate) updated: Option<String>,
    #[serde(default)]
    pub(crate) statistics: Option<Statistics>,
}

/// What is known of a data set's values.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Statistics {
    #[serde(default)]
    pub(crate) columns: BTreeMap<String, ColumnStatistics>,
}

/// What is known of one column's values.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ColumnStatistics {
    pub(crate) min: Option<Value>,
    pub(crate) max: Option<Value>,
    #[serde(default)]
    pub(crate) exact: bool,
    pub(crate) nulls: Option<u64>,
    pub(crate) distinct: Option<u64>,
}

/// A column of a data set.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) data_type: String,
    #[serde(default)]
    pub(crate) nullable: bool,
}

/// A named set of columns.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct View {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) fields: Vec<String>,
}
