//! The client's own rows, each with what a data set knows of it.

use serde::{Deserialize, Serialize};

use crate::{format::OutputFormat, json::Object};

/// An `append` job's request after validation: everything in it exists and fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppendWork {
    /// The data set.
    pub dataset: String,
    /// What a row and a record must have in common: all of these.
    pub on: Vec<MatchKey>,
    /// What becomes of a row that several records match.
    pub on_multiple: OnMultiple,
    /// The columns of the data set that are added to each row, in order.
    pub fields: Vec<String>,
    /// The most rows that the plan delivers.
    pub max_records: u64,
    /// How the rows are written.
    pub output: OutputFormat,
    /// The most rows in a page.
    pub page_size: u32,
    /// The rows themselves, where they came with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Object>>,
}

/// A column of the rows, and the column of the data set that it is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchKey {
    /// The rows' column.
    pub input: String,
    /// The data set's column.
    pub column: String,
    /// How they are compared.
    pub compare: Compare,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compare {
    /// By value: as text, or as what the data set's column is.
    #[default]
    Exact,
    /// As text without regard to case, accents, and how many spaces.
    Text,
    /// As e-mail addresses, without regard to case and spaces around.
    Email,
    /// As telephone numbers, by their digits alone.
    Phone,
}

impl Compare {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Exact, Self::Text, Self::Email, Self::Phone];

    /// The way as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Text => "text",
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }
}

/// What becomes of a row that several records match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnMultiple {
    /// It gets the first record, in the order of the data set, and says that there are several.
    #[default]
    First,
    /// It comes once for each record.
    All,
    /// It gets none and says why.
    Error,
}

impl OnMultiple {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::First, Self::All, Self::Error];

    /// The way as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::All => "all",
            Self::Error => "error",
        }
    }
}
