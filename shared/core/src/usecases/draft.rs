//! Work as a client writes it, before anything in it is known to make sense.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    job::JobKind,
    json::{Object, canonical_objects},
};

/// Any kind of work before validation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Draft {
    /// Records of a data set.
    Query(Box<QueryDraft>),
    /// Records of a whole SELECT over data sets.
    Sql(Box<SqlDraft>),
    /// The client's own rows, each with what a data set knows of it.
    Append(Box<AppendDraft>),
    /// Many calls of somebody's API.
    Call(Box<CallDraft>),
}

impl From<QueryDraft> for Draft {
    fn from(draft: QueryDraft) -> Self {
        Self::Query(Box::new(draft))
    }
}

impl Draft {
    /// The kind of job.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Query(_) | Self::Sql(_) => JobKind::Query,
            Self::Append(_) => JobKind::Append,
            Self::Call(_) => JobKind::Call,
        }
    }

    /// The view through which a data set is asked.
    pub(super) fn view(&self) -> Option<&str> {
        match self {
            Self::Query(draft) => draft.view.as_deref(),
            Self::Append(draft) => draft.view.as_deref(),
            Self::Sql(_) | Self::Call(_) => None,
        }
    }

    pub(super) fn about(&self) -> &AboutDraft {
        match self {
            Self::Query(draft) => &draft.about,
            Self::Sql(draft) => &draft.about,
            Self::Append(draft) => &draft.about,
            Self::Call(draft) => &draft.about,
        }
    }
}

/// What every kind of work has beside itself, and how its result is to be written.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AboutDraft {
    /// What the client calls the job.
    pub name: Option<String>,
    /// The client's marks.
    pub labels: BTreeMap<String, String>,
    /// Where the end of the job is told.
    pub notification_url: Option<String>,
    /// How: POST or GET.
    pub notification_method: Option<String>,
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
}

/// A statement before validation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SqlDraft {
    /// The statement.
    pub sql: String,
    /// What its placeholders stand for, as the client wrote it.
    pub parameters: Map<String, Value>,
    /// The most records.
    pub limit: Option<u64>,
    /// Records to leave out at the start.
    pub offset: u64,
    /// Whether an identical job may serve.
    pub reuse: Option<bool>,
    /// How many seconds ago that job may have completed.
    pub max_age: Option<u64>,
    /// Everything beside.
    pub about: AboutDraft,
}

/// An append before validation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AppendDraft {
    /// The data set.
    pub dataset: String,
    /// What a row and a record must have in common: the rows' column, and what it is compared with.
    pub on: Vec<(String, MatchDraft)>,
    /// How values are compared where a key does not say: exact, text, email or phone.
    pub compare: Option<String>,
    /// What becomes of a row that several records match: first, all or error.
    pub on_multiple: Option<String>,
    /// The columns of the data set to add.
    pub fields: Option<Vec<String>>,
    /// A named set of columns to add.
    pub view: Option<String>,
    /// The rows, where they come with the request; else they come in batches.
    #[serde(serialize_with = "canonical_objects")]
    pub items: Option<Vec<Object>>,
    /// Everything beside.
    pub about: AboutDraft,
}

/// One key of a match before validation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MatchDraft {
    /// The data set's column.
    pub column: String,
    /// How values are compared.
    pub compare: Option<String>,
}

/// A call before validation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CallDraft {
    /// The upstream.
    pub upstream: String,
    /// The member of an item that names it.
    pub id: Option<String>,
    /// After how many failed items no more are sent.
    pub max_errors: Option<u64>,
    /// The items, where they come with the request; else they come in batches.
    #[serde(serialize_with = "canonical_objects")]
    pub items: Option<Vec<Object>>,
    /// Everything beside.
    pub about: AboutDraft,
}

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
    /// Whether an identical job may serve.
    pub reuse: Option<bool>,
    /// How many seconds ago that job may have completed.
    pub max_age: Option<u64>,
    /// Everything beside.
    pub about: AboutDraft,
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
