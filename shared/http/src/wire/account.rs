//! The account as it sees itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use willcall_core::{account::Caller, usecases::accounts::Usage};

/// The caller's account: its plan, the plan's limits, and what is used of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountResource {
    /// Its id.
    pub account: String,
    /// When it was made.
    #[schema(format = "date-time")]
    pub created: String,
    /// What the token allows: `read`, `submit` or `admin`, each with those before it.
    #[schema(pattern = "^(read|submit|admin)$")]
    pub scope: String,
    /// The name of its plan.
    pub plan: String,
    /// What the plan allows.
    pub limits: PlanLimits,
    /// What is used of it.
    pub usage: AccountUsage,
}

/// What a plan allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanLimits {
    /// The most records that one job delivers.
    pub max_records: u64,
    /// The most jobs that may be accepted or processing at once.
    pub max_open_jobs: u32,
    /// The most submits in one minute of the clock; null for no limit.
    #[schema(required)]
    pub submits_per_minute: Option<u32>,
    /// The most records delivered in a day (UTC); null for no limit.
    #[schema(required)]
    pub max_records_per_day: Option<u64>,
    /// The most bytes of results in a day (UTC); null for no limit.
    #[schema(required)]
    pub max_bytes_per_day: Option<u64>,
    /// Days that a result is kept.
    pub retention_days: u32,
    /// The data sets that it may read; null for all.
    #[schema(required)]
    pub datasets: Option<Vec<String>>,
    /// The upstreams that it may call; null for all.
    #[schema(required)]
    pub upstreams: Option<Vec<String>>,
    /// Whether `sql` is allowed.
    pub sql: bool,
    /// The formats that it may ask for; null for all.
    #[schema(required)]
    pub formats: Option<Vec<String>>,
}

/// What an account uses of its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountUsage {
    /// Jobs that have not ended.
    pub open_jobs: u32,
    /// Submits in this minute of the clock; null where they are not limited.
    #[schema(required)]
    pub submits_this_minute: Option<u32>,
    /// Records of the jobs that completed today (UTC).
    pub records_today: u64,
    /// Bytes of their results.
    pub bytes_today: u64,
}

impl AccountResource {
    pub(crate) fn of(caller: &Caller, usage: Usage) -> Self {
        let plan = &caller.plan;
        Self {
            account: caller.account.id.to_string(),
            created: caller.account.created.to_string(),
            scope: caller.scope.as_str().to_owned(),
            plan: plan.name.clone(),
            limits: PlanLimits {
                max_records: plan.max_records,
                max_open_jobs: plan.max_open_jobs,
                submits_per_minute: plan.submits_per_minute,
                max_records_per_day: plan.max_records_per_day,
                max_bytes_per_day: plan.max_bytes_per_day,
                retention_days: plan.retention_days,
                datasets: plan.datasets.as_ref().map(|names| names.iter().cloned().collect()),
                upstreams: plan.upstreams.as_ref().map(|names| names.iter().cloned().collect()),
                sql: plan.sql,
                formats: plan
                    .formats
                    .as_ref()
                    .map(|formats| formats.iter().map(|format| format.as_str().to_owned()).collect()),
            },
            usage: AccountUsage {
                open_jobs: usage.open_jobs,
                submits_this_minute: usage.submits,
                records_today: usage.records_today,
                bytes_today: usage.bytes_today,
            },
        }
    }
}
