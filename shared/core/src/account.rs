//! Accounts, their plans, and what a token may do.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{AccountId, Timestamp, format::Format, job::DailyLimits, prices::Prices, token::TokenHash};

/// What a token lets its bearer do. Each scope holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read jobs, results, data sets and the account.
    Read,
    /// Also submit, change, cancel and delete jobs.
    Submit,
    /// Also manage tokens and webhook endpoints.
    Admin,
}

impl Scope {
    /// Every scope, weakest first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Submit, Self::Admin];

    /// Whether this scope lets its bearer do what `needed` asks for.
    pub fn allows(self, needed: Self) -> bool {
        self >= needed
    }

    /// The scope as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a scope: use read, submit or admin"))
    }
}

/// A token as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// SHA-256 of the token.
    pub hash: TokenHash,
    /// The account that it acts for.
    pub account: AccountId,
    /// What it may do.
    pub scope: Scope,
    /// What its owner calls it.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to work by itself.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

impl TokenRecord {
    /// Whether the token works at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }
}

/// An account: who owns jobs, and by which plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The name of its plan in the catalog.
    pub plan: String,
    /// When it was made.
    pub created: Timestamp,
}

/// Who is asking: an account with its plan resolved, and what the token allows.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The account.
    pub account: Account,
    /// Its plan, as the catalog has it now.
    pub plan: Plan,
    /// The scope of the token.
    pub scope: Scope,
}

/// What an account may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name in the catalog.
    pub name: String,
    /// The most records that one job delivers; more is truncated, and said so.
    pub max_records: u64,
    /// The most jobs that may be accepted or processing at once.
    pub max_open_jobs: u32,
    /// The most submits in one minute of the clock; `None` for no limit.
    pub submits_per_minute: Option<u32>,
    /// The most records delivered in a day; `None` for no limit.
    pub max_records_per_day: Option<u64>,
    /// The most bytes of results in a day; `None` for no limit.
    pub max_bytes_per_day: Option<u64>,
    /// Days that a result is kept.
    pub retention_days: u32,
    /// The data sets that it may read; `None` for all.
    pub datasets: Option<BTreeSet<String>>,
    /// The upstreams that it may call; `None` for all.
    #[serde(default)]
    pub upstreams: Option<BTreeSet<String>>,
    /// Whether `sql` is allowed.
    pub sql: bool,
    /// The formats that it may ask for; `None` for all.
    pub formats: Option<BTreeSet<Format>>,
    /// What its jobs cost; `None` where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
}

impl Plan {
    /// What holds where a plan does not say otherwise.
    pub fn default_named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            max_records: 1000,
            max_open_jobs: 100,
            submits_per_minute: None,
            max_records_per_day: None,
            max_bytes_per_day: None,
            retention_days: 7,
            datasets: None,
            upstreams: None,
            sql: false,
            formats: None,
            prices: None,
        }
    }

    /// Whether the plan may read the data set.
    pub fn allows_dataset(&self, name: &str) -> bool {
        self.datasets.as_ref().is_none_or(|names| names.contains(name))
    }

    /// Whether the plan may call the upstream.
    pub fn allows_upstream(&self, name: &str) -> bool {
        self.upstreams.as_ref().is_none_or(|names| names.contains(name))
    }

    /// What the plan allows in a day.
    pub fn daily(&self) -> DailyLimits {
        DailyLimits { records: self.max_records_per_day, bytes: self.max_bytes_per_day }
    }

    /// Whether the plan may ask for the format.
    pub fn allows_format(&self, format: Format) -> bool {
        self.formats.as_ref().is_none_or(|formats| formats.contains(&format))
    }
}
