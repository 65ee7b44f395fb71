//! The kinds of work, each with its validated request.

mod append;
mod call;
mod query;
mod sql;

use serde::{Deserialize, Serialize};

pub use self::{
    append::{AppendWork, Compare, MatchKey, OnMultiple},
    call::{CallWork, ItemOutcome, ItemState},
    query::{MAX_PAGE_SIZE, MIN_PAGE_SIZE, QueryWork, SortKey},
    sql::{SqlValue, SqlWork},
};
use super::JobKind;
use crate::{format::OutputFormat, json::Object};

/// The validated request of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Work {
    /// Records of a data set.
    Query(Box<QueryWork>),
    /// Records of a whole SELECT over data sets.
    Sql(Box<SqlWork>),
    /// The client's own rows, each with what a data set knows of it.
    Append(Box<AppendWork>),
    /// Many calls of somebody's API.
    Call(Box<CallWork>),
}

impl Work {
    /// Its kind.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Query(_) | Self::Sql(_) => JobKind::Query,
            Self::Append(_) => JobKind::Append,
            Self::Call(_) => JobKind::Call,
        }
    }

    /// How the result is written.
    pub fn output(&self) -> &OutputFormat {
        match self {
            Self::Query(work) => &work.output,
            Self::Sql(work) => &work.output,
            Self::Append(work) => &work.output,
            Self::Call(work) => &work.output,
        }
    }

    /// The most records in a page.
    pub fn page_size(&self) -> u32 {
        match self {
            Self::Query(work) => work.page_size,
            Self::Sql(work) => work.page_size,
            Self::Append(work) => work.page_size,
            Self::Call(work) => work.page_size,
        }
    }

    /// The data set that it reads, where its kind reads exactly one: see [`Work::datasets`].
    pub fn dataset(&self) -> Option<&str> {
        match self {
            Self::Query(work) => Some(&work.dataset),
            Self::Append(work) => Some(&work.dataset),
            Self::Sql(_) | Self::Call(_) => None,
        }
    }

    /// All data sets that it reads, each once.
    pub fn datasets(&self) -> Vec<&str> {
        match self {
            Self::Query(work) => vec![&work.dataset],
            Self::Sql(work) => work.datasets.iter().map(String::as_str).collect(),
            Self::Append(work) => vec![&work.dataset],
            Self::Call(_) => Vec::new(),
        }
    }

    /// The rows that came with the request.
    pub fn items(&self) -> Option<&[Object]> {
        match self {
            Self::Query(_) | Self::Sql(_) => None,
            Self::Append(work) => work.items.as_deref(),
            Self::Call(work) => work.items.as_deref(),
        }
    }

    /// The work with no more records than `most`.
    pub fn capped(mut self, most: u64) -> Self {
        let max_records = match &mut self {
            Self::Query(work) => &mut work.max_records,
            Self::Sql(work) => &mut work.max_records,
            Self::Append(work) => &mut work.max_records,
            Self::Call(work) => &mut work.max_records,
        };
        *max_records = most.min(*max_records);
        self
    }

    /// The work with the first of its items having that number; `None` for 1.
    pub fn numbered_from(mut self, first: Option<u64>) -> Self {
        if let Self::Call(work) = &mut self {
            work.first_item = first;
        }
        self
    }

    /// The most records that the plan delivers.
    pub fn max_records(&self) -> u64 {
        match self {
            Self::Query(work) => work.max_records,
            Self::Sql(work) => work.max_records,
            Self::Append(work) => work.max_records,
            Self::Call(work) => work.max_records,
        }
    }
}
