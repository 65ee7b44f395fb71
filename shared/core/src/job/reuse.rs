//! Which jobs are the same, and when one serves in place of another.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Job, JobState, TruncationReason,
    kinds::{QueryWork, SortKey, SqlValue, SqlWork},
};
use crate::{
    AccountId, Timestamp,
    format::{OutputFormat, WRITER_VERSION},
    query::Filter,
    webhook::{Event, NotifyAddress},
};

/// The most addresses that one job tells: a request that brings one more gets a job of its own.
pub const MAX_ADDRESSES: usize = 20;

/// How many of an identity's jobs are looked at, the latest first, for one that serves. Those that are known to serve
/// nobody any more do not count where a store has noticed it.
pub const MAX_EQUALS: usize = 8;

/// The most events of a job that has ended, past which it is not joined any more by those who want to be told.
const MAX_EVENTS: u32 = 100;

/// SHA-256 of everything that decides the bytes of a job's result, and of whose they are. Jobs of one identity deliver
/// the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(String);

/// What is hashed. Not name, labels or notification: they change nothing of the result.
#[derive(Serialize)]
struct Deciding<'a, A> {
    account: &'a AccountId,
    #[serde(flatten)]
    asked: A,
    #[serde(flatten)]
    written: Written<'a>,
}

/// What a query asks for.
#[derive(Serialize)]
struct AskedByQuery<'a> {
    dataset: &'a str,
    version: &'a str,
    filter: &'a Option<Filter>,
    fields: &'a [String],
    sort: &'a [SortKey],
}

/// What a statement asks for. Equal statements are those of equal text.
#[derive(Serialize)]
struct AskedByStatement<'a> {
    sql: &'a str,
    parameters: &'a BTreeMap<String, SqlValue>,
    datasets: Vec<(&'a str, &'a str)>,
}

/// How much of it is written, and how.
#[derive(Serialize)]
struct Written<'a> {
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
        let asked = AskedByQuery {
            dataset: &work.dataset,
            version,
            filter: &work.filter,
            fields: &work.fields,
            sort: &work.sort,
        };
        let written = Written {
            cap: work.cap(),
            may_be_cut: work.plan_may_cut(),
            offset: work.offset,
            output: &work.output,
            page_size: work.page_size,
            writer: WRITER_VERSION,
        };
        Deciding { account, asked, written }.hashed()
    }

    /// The identity of the account's statement over these `versions` of its data sets, in their order.
    pub fn of_statement(
        account: &AccountId,
        versions: &[&str],
        work: &SqlWork,
    ) -> Result<Self, serde_json::Error> {
        let asked = AskedByStatement {
            sql: &work.sql,
            parameters: &work.parameters,
            datasets: work.datasets.iter().map(String::as_str).zip(versions.iter().copied()).collect(),
        };
        let written = Written {
            cap: work.cap(),
            may_be_cut: work.plan_may_cut(),
            offset: work.offset,
            output: &work.output,
            page_size: work.page_size,
            writer: WRITER_VERSION,
        };
        Deciding { account, asked, written }.hashed()
    }

    /// Lower-case hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<A: Serialize> Deciding<'_, A> {
    fn hashed(&self) -> Result<Identity, serde_json::Error> {
        Ok(Identity(hex::encode(Sha256::digest(serde_json::to_vec(self)?))))
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
    /// there, and that can tell `notify` too. Never one that was cancelled, failed or cut by what the day had left.
    pub fn serves(self, job: &Job, notify: &[NotifyAddress], now: Timestamp) -> bool {
        let can_tell = notify.is_empty()
            || (job.events < MAX_EVENTS && job.notify.len() + job.strangers(notify).count() <= MAX_ADDRESSES);
        can_tell && self.fits(job, now)
    }

    fn fits(self, job: &Job, now: Timestamp) -> bool {
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

impl Job {
    /// The addresses that the job does not know.
    fn strangers<'a>(&'a self, notify: &'a [NotifyAddress]) -> impl Iterator<Item = &'a NotifyAddress> {
        notify.iter().filter(|address| !self.notify.contains(address))
    }

    /// The job once it serves a request that wants `notify` to be told, and the event that tells them at once where it has
    /// completed already; `None` where nothing changes. Stores write both, and the request's key, in one step.
    ///
    /// An address that comes twice to a job under way is told once: there is one end. To a completed job each request is
    /// told, for whoever sent it waits.
    pub fn joined(&self, notify: &[NotifyAddress], now: Timestamp) -> Option<(Self, Option<Event>)> {
        let mut job = self.clone();
        job.notify.extend(self.strangers(notify).cloned());
        let event = (self.state == JobState::Completed && !notify.is_empty())
            .then(|| Event::of_joined(&mut job, notify, now));
        if event.is_none() && job.notify.len() == self.notify.len() {
            return None;
        }
        job.version += 1;
        Some((job, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    /// Jobs that are stored serve on only while equal work has the identity that it had.
    #[test]
    fn an_identity_is_the_hash_of_these_members_in_this_order() {
        let account: AccountId = "acme".parse().unwrap();
        let output = OutputFormat::plain(Format::Csv);
        let written = format!(
            r#""cap":7,"may_be_cut":false,"offset":1,"output":{},"page_size":10,"writer":"{WRITER_VERSION}"}}"#,
            serde_json::to_string(&output).unwrap()
        );
        let hashed = |asked: &str| {
            let text = format!(r#"{{"account":"acme",{asked},{written}"#);
            hex::encode(Sha256::digest(text))
        };
        let query = QueryWork {
            dataset: "d".into(),
            filter: None,
            fields: vec!["n".into()],
            sort: vec![SortKey { column: "n".into(), descending: true }],
            limit: Some(7),
            offset: 1,
            max_records: 9,
            output: output.clone(),
            page_size: 10,
        };
        let asked = r#""dataset":"d","version":"v","filter":null,"fields":["n"],"sort":[{"column":"n","descending":true}]"#;
        assert_eq!(Identity::of(&account, "v", &query).unwrap().as_str(), hashed(asked));
        let statement = SqlWork {
            sql: "SELECT $a FROM d".into(),
            parameters: BTreeMap::from([("a".into(), SqlValue::Boolean(true))]),
            datasets: vec!["d".into()],
            limit: Some(7),
            offset: 1,
            max_records: 9,
            output,
            page_size: 10,
        };
        let asked = r#""sql":"SELECT $a FROM d","parameters":{"a":{"type":"boolean","value":true}},"datasets":[["d","v"]]"#;
        assert_eq!(Identity::of_statement(&account, &["v"], &statement).unwrap().as_str(), hashed(asked));
    }
}
