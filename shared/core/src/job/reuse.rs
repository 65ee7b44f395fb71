//! Which jobs are the same, and when one serves in place of another.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Job, JobState, TruncationReason,
    kinds::{QueryWork, SortKey},
};
use crate::{
    AccountId, Timestamp,
    format::{OutputFormat, WRITER_VERSION},
    query::Filter,
};

/// SHA-256 of everything that decides the bytes of a job's result, and of whose they are. Jobs of one identity deliver
/// the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(String);

/// What is hashed. Not name, labels or notification: they change nothing of the result.
#[derive(Serialize)]
struct Deciding<'a> {
    account: &'a AccountId,
    dataset: &'a str,
    version: &'a str,
    filter: &'a Option<Filter>,
    fields: &'a [String],
    sort: &'a [SortKey],
    cap: u64,
    // A result that says that it was cut does not serve those who asked for just so many.
    may_be_cut: bool,
    offset: u64,
    output: &'a OutputFormat,
    page_size: u32,
    writer: &'a str,
}

impl Identity {
    /// The identity of the account's work on the data set's `version`.
    pub fn of(account: &AccountId, version: &str, work: &QueryWork) -> Result<Self, serde_json::Error> {
        let deciding = Deciding {
            account,
            dataset: &work.dataset,
            version,
            filter: &work.filter,
            fields: &work.fields,
            sort: &work.sort,
            cap: work.cap(),
            may_be_cut: work.plan_may_cut(),
            offset: work.offset,
            output: &work.output,
            page_size: work.page_size,
            writer: WRITER_VERSION,
        };
        Ok(Self(hex::encode(Sha256::digest(serde_json::to_vec(&deciding)?))))
    }

    /// Lower-case hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The wish to be served by an identical job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reuse {
    /// How long ago a job may have completed; `None` as long as its result is there.
    pub max_age: Option<Duration>,
}

impl Reuse {
    /// Whether an identical job serves: one that is under way, or has completed recently enough and whose result is
    /// there. Never one that was cancelled, failed or cut by what the day had left.
    pub fn serves(self, job: &Job, now: Timestamp) -> bool {
        match job.state {
            JobState::Accepted | JobState::Processing => true,
            JobState::Completed => {
                let there = job.expires.is_none_or(|expires| now < expires);
                let young = self
                    .max_age
                    .is_none_or(|most| job.finished.is_some_and(|finished| now < finished.plus(most)));
                let truncated = job.result.as_ref().and_then(|result| result.truncated.as_ref());
                let whole = truncated.is_none_or(|cut| cut.reason != TruncationReason::DailyLimit);
                there && young && whole
            }
            JobState::Open | JobState::Failed | JobState::Cancelled | JobState::Expired => false,
        }
    }
}
