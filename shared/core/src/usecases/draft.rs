//! A query as a client writes it, before anything in it is known to make sense.

use std::collections::BTreeMap;

use serde::Serialize;

/// A query before validation. Each member is as the client wrote it; `None` and empty mean that it did not.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct QueryDraft {
    /// The data set.
    pub dataset: String,
    /// An SQL boolean expression.
    pub filter: Option<String>,
    /// A Lucene-like query string.
    pub query: Option<String>,
    /// Conditions as query parameters: name with operator, value.
    pub params: Vec<(String, String)>,
    /// The columns to deliver.
    pub fields: Option<Vec<String>>,
    /// A named set of columns to deliver.
    pub view: Option<String>,
    /// The order: column names, `-` before the ones that fall.
    pub sort: Vec<String>,
    /// The most records.
    pub limit: Option<u64>,
    /// Records to leave out at the start.
    pub offset: u64,
    /// The format.
    pub format: Option<String>,
    /// The compression of the file.
    pub compression: Option<String>,
    /// Options of CSV.
    pub csv: Option<CsvDraft>,
    /// Options of Parquet.
    pub parquet: Option<ParquetDraft>,
    /// The most records in a page.
    pub page_size: Option<u64>,
    /// What the client calls the job.
    pub name: Option<String>,
    /// The client's marks.
    pub labels: BTreeMap<String, String>,
    /// Whether an identical job may serve.
    pub reuse: Option<bool>,
    /// How many seconds ago that job may have completed.
    pub max_age: Option<u64>,
    /// Where the end of the job is told.
    pub notification_url: Option<String>,
    /// How: POST or GET.
    pub notification_method: Option<String>,
}

/// Options of CSV before validation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CsvDraft {
    /// What stands between fields.
    pub delimiter: Option<String>,
    /// What stands for null.
    pub null: Option<String>,
    /// Whether the first line names the columns.
    pub header: Option<bool>,
    /// Whether formulas are disarmed.
    pub spreadsheet_safe: Option<bool>,
}

/// Options of Parquet before validation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ParquetDraft {
    /// The compression inside: none, snappy or zstd.
    pub compression: Option<String>,
    /// The most rows in a row group.
    pub row_group_size: Option<u64>,
}
