//! Limits of the plan that are about time: submits in a minute, records and bytes in a day.

use std::time::Duration;

use super::App;
use crate::{
    Error, Timestamp,
    account::Caller,
    job::{Job, TruncationReason, kinds::Work},
    ports::{Consumed, Delivered, StoreError},
};

/// One minute of the clock.
pub const MINUTE: Duration = Duration::from_secs(60);
/// One day in UTC.
pub const DAY: Duration = Duration::from_secs(86_400);

/// How far a limit is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The limit's name in the plan.
    pub limit: &'static str,
    /// Its value.
    pub value: u64,
    /// For how long the value is.
    pub window: Duration,
    /// How much is left.
    pub left: u64,
    /// When all of it is there again.
    pub resets: Duration,
}

impl RateLimit {
    /// The limit of submits, of which `used` were counted in this minute.
    pub(super) fn submits(most: u32, used: u32, now: Timestamp) -> Self {
        Self {
            limit: "submits_per_minute",
            value: most.into(),
            window: MINUTE,
            left: most.saturating_sub(used).into(),
            resets: now.left_of_minute(),
        }
    }
}

/// An error where the account has no more submits in this minute.
pub(super) fn too_many_submits(caller: &Caller, now: Timestamp) -> Error {
    Error::QuotaExceeded {
        limit: "submits_per_minute",
        value: caller.plan.submits_per_minute.unwrap_or_default().into(),
        window: Some(MINUTE),
        retry_after: now.left_of_minute(),
    }
}

/// An error where the account has used up its day: a job could deliver nothing.
pub(super) async fn check_day(app: &App, caller: &Caller) -> Result<(), Error> {
    let daily = caller.plan.daily();
    if daily.is_none() {
        return Ok(());
    }
    let now = app.clock.now();
    let consumed = app.jobs.consumed(&caller.account.id, now).await?;
    for (limit, most, used) in [
        ("max_records_per_day", daily.records, consumed.records),
        ("max_bytes_per_day", daily.bytes, consumed.bytes),
    ] {
        if let Some(value) = most.filter(|most| used >= *most) {
            let retry_after = now.left_of_day();
            return Err(Error::QuotaExceeded { limit, value, window: Some(DAY), retry_after });
        }
    }
    Ok(())
}

/// What day and job have left for one attempt of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Allowance {
    records: Option<u64>,
    /// What its other batches leave of what the job may deliver.
    of_job: Option<u64>,
    pub(super) bytes: Option<u64>,
    /// What the day had then, where anything is limited.
    pub(super) day: Option<Consumed>,
}

impl Allowance {
    /// What is left at `now`. Jobs that run at the same time are given the same: the store adds what one delivers once it has
    /// completed, and refuses what does not fit any more.
    pub(super) async fn at(app: &App, job: &Job, now: Timestamp) -> Result<Self, StoreError> {
        let of_job = left_of_job(app, job).await?;
        if job.daily.is_none() {
            return Ok(Self { of_job, ..Self::default() });
        }
        let consumed = app.jobs.consumed(&job.account, now).await?;
        let left = |most: Option<u64>, used| most.map(|most| most.saturating_sub(used));
        let bytes = left(job.daily.bytes, consumed.bytes);
        // Without a byte left there is no record either.
        let none = bytes.filter(|bytes| *bytes == 0);
        let records = none.or(left(job.daily.records, consumed.records));
        Ok(Self { records, of_job, bytes, day: Some(consumed) })
    }

    /// The work with no more records than are left.
    pub(super) fn cap(&self, work: Work) -> Work {
        match self.records.into_iter().chain(self.of_job).min() {
            Some(left) => work.capped(left),
            None => work,
        }
    }

    /// Says of a result that was cut why: by the day where it had less left than the plan delivers.
    pub(super) fn explain(&self, work: &Work, mut delivered: Delivered) -> Delivered {
        // What the executor cut by bytes says so itself.
        if let Some(truncated) = &mut delivered.truncated
            && self.records.is_some_and(|left| left < self.of_job.unwrap_or(u64::MAX).min(work.max_records()))
        {
            truncated.reason = TruncationReason::DailyLimit;
        }
        delivered
    }
}

/// What the batches of a job that have completed leave of the records that all of them may deliver; `None` where each may
/// deliver as many as any job. Those that run at the same time are told the same, as of a day.
async fn left_of_job(app: &App, job: &Job) -> Result<Option<u64>, StoreError> {
    let (Some(container), Some(most)) = (job.container(), job.max_records) else { return Ok(None) };
    let delivered = app.jobs.get(&container).await?.map_or(0, |found| found.progress.records_written);
    Ok(Some(most.saturating_sub(delivered)))
}
