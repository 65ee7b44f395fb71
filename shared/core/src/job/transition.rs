//! The one function that changes a job. Stores read a record, apply a [`Transition`], and write the outcome only if
//! the record is still the one they read; what may follow what is decided here and nowhere else.

use std::time::Duration;

use super::{
    BATCH_IDLE, BatchPhase, Counts, Job, JobState, MAX_ATTEMPTS, MAX_BATCHES, Problem, Progress,
    ResultSummary, Stage, Survey, UploadedFile, Zip,
};
use crate::{Timestamp, ports::Consumed};

/// How long after its insert the sweeper looks at a job whose message may never have been sent.
pub const UNSENT_DUE: Duration = Duration::from_secs(60);
/// How long after a successful send the sweeper looks at a job that nobody has claimed; doubled by each re-send.
pub const SENT_DUE: Duration = Duration::from_secs(6 * 3600);
/// How long the record of an ended job stays after its result has expired.
pub const RECORD_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How long after a job ended the files of its attempts without a result are swept once more, for writers that came
/// late.
pub const SWEEP_AFTER_END: Duration = Duration::from_secs(60);

/// How long after it was added the sweeper looks for files of a batch whose arrival nobody told.
pub const UPLOAD_DUE: Duration = Duration::from_secs(300);

const DAY: u64 = 86_400;

/// A change of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    /// The job's message was handed to the queue for the first time, or after a hand-back.
    Sent,
    /// The sweeper sent the message again.
    Resent,
    /// The sweeper found the job in order; look again when the lease is past.
    Postpone,
    /// A worker takes the job.
    Claim {
        /// How long it has the job to itself.
        lease: Duration,
        /// How many workers may be lost before the job is given up; the host's own.
        max_lost: u32,
    },
    /// The holder of the lease tells how far it is and keeps the lease.
    Renew {
        /// The fencing token.
        attempt: u32,
        /// How far it is.
        progress: Box<Progress>,
        /// How long it keeps the job from now.
        lease: Duration,
    },
    /// The holder of the lease stops without fault of the job, as on shutdown.
    HandBack {
        /// The fencing token.
        attempt: u32,
    },
    /// The process that held the lease is known to be dead, by a host that can know it: nobody need wait for the
    /// lease to run out. Counts as a lost worker.
    Orphan,
    /// The attempt failed by something that may pass. The last one allowed fails the job.
    Retry {
        /// The fencing token.
        attempt: u32,
        /// Whether it left the next one less to do: the failures before it are then forgotten.
        gained: bool,
        /// What went wrong, should it be the last.
        problem: Problem,
    },
    /// The manifest is written: the job is done.
    Complete {
        /// The fencing token.
        attempt: u32,
        /// What was delivered.
        result: Box<ResultSummary>,
        /// All records that match, where counted.
        records_found: Option<u64>,
        /// What was asked for, where known.
        records_requested: Option<u64>,
        /// What became of the rows, where the job takes rows.
        counts: Option<Counts>,
        /// What was found out about the query that a dry run stands for; nothing of other jobs is kept.
        survey: Option<Box<Survey>>,
        /// What its account's day had when the attempt was told how much is left of it; `None` where nothing is limited.
        day: Option<Consumed>,
    },
    /// The job has failed for good.
    Fail {
        /// The fencing token; `None` for a job that nobody holds.
        attempt: Option<u32>,
        /// Why.
        problem: Problem,
    },
    /// The client gives the job up.
    Cancel,
    /// The client renames the job or changes when its result goes. `None` leaves a member as it is.
    Amend {
        /// The new name; `Some(None)` removes it.
        name: Option<Option<String>>,
        /// The new labels, in place of all.
        labels: Option<std::collections::BTreeMap<String, String>>,
        /// When the result goes.
        expires: Option<Timestamp>,
        /// The version of the record that the client's conditions were judged on, if it has any.
        version: Option<u64>,
    },
    /// The result has expired and its files are gone.
    Expire,
    /// What a job left behind beside its result is gone.
    Purged,
    /// A client asks for a zip of the result.
    WantZip,
    /// A worker packs the zip.
    PackZip {
        /// How long it has for it before another may.
        lease: Duration,
    },
    /// The zip is there.
    ZipMade,
    /// The zip could not be packed. After the last try allowed it is given up, and the next who asks is told why.
    ZipFailed {
        /// Why.
        problem: Problem,
    },
    /// Who asked was told why there is no zip: the next who asks has it tried anew.
    ZipTold,
    /// A file of a batch has arrived. The last one sends the batch to the queue.
    Uploaded {
        /// Its place among the batch's files.
        file: usize,
        /// The file as it arrived.
        arrived: UploadedFile,
    },
    /// A file of one of its batches arrived: the container is not forgotten. Changes nothing else.
    Fed,
    /// A container gets a batch in that phase.
    AddBatch(BatchPhase),
    /// A batch of a container goes from one phase to another.
    MoveBatch {
        /// The phase that it was in.
        from: BatchPhase,
        /// The phase that it is in now.
        to: BatchPhase,
    },
    /// A container takes no more batches.
    Close,
    /// The sweeper gives up what nobody has fed for [`BATCH_IDLE`], unless somebody has just now.
    Abandon,
}

/// Why a transition was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The job already is where the transition leads; nothing was written.
    #[error("nothing to change")]
    Unchanged,
    /// The state does not allow it.
    #[error("the job is {0}")]
    State(JobState),
    /// Another worker has the job.
    #[error("leased until {0}")]
    Leased(Timestamp),
    /// The attempt is not the current one: its holder must stop.
    #[error("the attempt is not the current one")]
    StaleAttempt,
    /// The record is not the one any more that the change was judged on: judge anew.
    #[error("the job has changed meanwhile")]
    Changed,
    /// The day has not enough left for the result, as others completed meanwhile: it must be made anew, of what is left.
    #[error("others have used up what was left of the day")]
    DayUsedUp,
    /// The batches of the job that completed meanwhile leave not enough of its records for the result: it must be made anew, of
    /// what is left.
    #[error("other batches have used up what was left of the job's records")]
    RecordsUsedUp,
    /// No attempts are left: the job must be failed.
    #[error("no attempts are left")]
    Exhausted,
    /// The job is no container.
    #[error("the job takes no batches")]
    NoContainer,
    /// The container takes no more batches.
    #[error("the job is closed: it takes no more batches")]
    Closed,
    /// The container has as many batches as it may.
    #[error("the job has {MAX_BATCHES} batches, and more are not allowed")]
    TooManyBatches,
    /// The container's batches have not all ended.
    #[error("{0} of the job's batches have not ended")]
    BatchesPending(u32),
    /// It is not due.
    #[error("not due before {0}")]
    NotDue(Timestamp),
}

impl Job {
    /// The job after `transition` at `now`; `self` is unchanged.
    pub fn apply(&self, transition: &Transition, now: Timestamp) -> Result<Self, Refused> {
        let mut job = self.clone();
        match transition {
            Transition::Sent => {
                self.must_be(JobState::Accepted)?;
                job.due_at = Some(now.plus(SENT_DUE));
            }
            Transition::Resent => {
                self.must_be_open()?;
                job.resends = self.resends.saturating_add(1);
                job.due_at = Some(now.plus(SENT_DUE.saturating_mul(1 << job.resends.min(6))));
            }
            Transition::Postpone if self.state == JobState::Open => {
                // Ever less often, and once more when it has had its day.
                let waited = now.since(self.fed_at()).max(UPLOAD_DUE);
                job.due_at = Some(now.plus(waited).min(self.fed_at().plus(BATCH_IDLE).max(now)));
            }
            Transition::Postpone => {
                self.must_be(JobState::Processing)?;
                // Without a lease it is a container whose batches are looked after one by one.
                let due = self.leased_until.unwrap_or(now.plus(SENT_DUE));
                if self.due_at == Some(due) {
                    return Err(Refused::Unchanged);
                }
                job.due_at = Some(due);
            }
            Transition::Claim { lease, max_lost } => job.claim(*lease, *max_lost, now)?,
            Transition::Renew { attempt, progress, lease } => {
                self.must_hold(*attempt)?;
                job.progress = (**progress).clone();
                job.leased_until = Some(now.plus(*lease));
            }
            Transition::HandBack { attempt } => {
                self.must_hold(*attempt)?;
                job.back_to_queue(now);
            }
            Transition::Orphan => {
                self.must_be(JobState::Processing)?;
                // A container that waits for its batches: nobody holds it.
                if self.leased_until.is_none() {
                    return Err(Refused::Unchanged);
                }
                job.lost += 1;
                job.back_to_queue(now);
            }
            Transition::Retry { attempt, gained, problem } => {
                self.must_hold(*attempt)?;
                // Three that pass over a day do not end what came further each time.
                job.failures = if *gained { 1 } else { job.failures + 1 };
                if job.failures >= MAX_ATTEMPTS {
                    job.end(JobState::Failed, now)?;
                    job.error = Some(problem.clone());
                } else {
                    job.back_to_queue(now);
                }
            }
            Transition::Complete {
                attempt,
                result,
                records_found,
                records_requested,
                counts,
                survey,
                day: _,
            } => {
                self.must_hold(*attempt)?;
                job.end(JobState::Completed, now)?;
                // Attempts before this one may have left files, or have a writer that comes late.
                job.due_at = match self.attempt {
                    1 => job.expires,
                    _ => {
                        let sweep = now.plus(SWEEP_AFTER_END);
                        Some(job.expires.map_or(sweep, |expires| expires.min(sweep)))
                    }
                };
                job.progress = Progress {
                    stage: Stage::Done,
                    records_found: *records_found,
                    records_requested: *records_requested,
                    records_written: result.records,
                    bytes_written: result.bytes,
                    percent: 100.0,
                    estimated_finish: None,
                    counts: *counts,
                };
                job.result = Some((**result).clone());
                if let Some(dry_run) = &mut job.dry_run {
                    dry_run.survey = survey.as_deref().cloned();
                }
            }
            Transition::Fail { attempt, problem } => {
                match attempt {
                    Some(attempt) => self.must_hold(*attempt)?,
                    None => self.must_be_free(now)?,
                }
                job.end(JobState::Failed, now)?;
                job.error = Some(problem.clone());
            }
            Transition::Cancel => {
                if self.state == JobState::Cancelled {
                    return Err(Refused::Unchanged);
                }
                job.end(JobState::Cancelled, now)?;
            }
            Transition::Amend { name, labels, expires, version } => {
                if version.is_some_and(|version| version != self.version) {
                    return Err(Refused::Changed);
                }
                if let Some(name) = name {
                    job.name.clone_from(name);
                }
                if let Some(labels) = labels {
                    job.labels.clone_from(labels);
                }
                if let Some(expires) = expires {
                    self.must_be(JobState::Completed)?;
                    job.expires = Some(*expires);
                    job.due_at = job.completed_due(now);
                }
            }
            Transition::Expire => {
                if self.state == JobState::Expired {
                    return Err(Refused::Unchanged);
                }
                job.move_to(JobState::Expired)?;
                job.due_at = Some(self.expires.unwrap_or(now).plus(RECORD_KEPT));
            }
            Transition::Purged => {
                if let Some(Zip::Wanted { resends, .. }) = &mut job.zip {
                    *resends = resends.saturating_add(1);
                }
                job.due_at = match self.state {
                    JobState::Completed => job.completed_due(now),
                    JobState::Failed | JobState::Cancelled => {
                        self.container.is_none().then(|| self.expires.unwrap_or(now).plus(RECORD_KEPT))
                    }
                    state => return Err(Refused::State(state)),
                };
            }
            Transition::WantZip
            | Transition::PackZip { .. }
            | Transition::ZipMade
            | Transition::ZipFailed { .. }
            | Transition::ZipTold => job.move_zip(transition, now)?,
            Transition::Uploaded { file, arrived } => job.uploaded(*file, arrived, now)?,
            Transition::Fed => {
                self.must_be(JobState::Open)?;
                if job.batches.is_none() {
                    return Err(Refused::NoContainer);
                }
                job.fed = Some(now);
                job.due_at = Some(now.plus(BATCH_IDLE));
            }
            Transition::AddBatch(phase) => {
                let batches = job.batches.as_mut().ok_or(Refused::NoContainer)?;
                if self.state.is_terminal() {
                    return Err(Refused::State(self.state));
                }
                if batches.closed {
                    return Err(Refused::Closed);
                }
                if batches.total() >= MAX_BATCHES {
                    return Err(Refused::TooManyBatches);
                }
                batches.add(*phase);
                job.fed = Some(now);
                job.due_at = Some(now.plus(BATCH_IDLE));
            }
            Transition::MoveBatch { from, to } => job.move_batch(*from, *to, now)?,
            Transition::Close => {
                let batches = job.batches.as_mut().ok_or(Refused::NoContainer)?;
                if batches.closed {
                    return Err(Refused::Unchanged);
                }
                batches.closed = true;
                let ready = batches.is_ready();
                job.move_to(JobState::Processing)?;
                job.started = self.started.or(Some(now));
                job.due_at = Some(now.plus(if ready { UNSENT_DUE } else { SENT_DUE }));
            }
            Transition::Abandon => {
                self.must_be(JobState::Open)?;
                let busy = self.batches.map_or(0, |batches| batches.queued + batches.in_progress);
                if busy > 0 {
                    return Err(Refused::BatchesPending(busy));
                }
                let due = self.fed_at().plus(BATCH_IDLE);
                if now < due {
                    return Err(Refused::NotDue(due));
                }
                job.end(JobState::Cancelled, now)?;
            }
        }
        job.version += 1;
        Ok(job)
    }

    fn claim(&mut self, lease: Duration, max_lost: u32, now: Timestamp) -> Result<(), Refused> {
        self.must_be_open()?;
        if let Some(batches) = self.batches
            && !self.state.is_terminal()
            && !batches.is_ready()
        {
            return Err(Refused::BatchesPending(batches.pending()));
        }
        if self.state == JobState::Processing {
            match self.leased_until {
                Some(until) if now < until => return Err(Refused::Leased(until)),
                Some(_) => self.lost += 1,
                // A container that was closed: nobody has had it yet.
                None => {}
            }
        }
        if self.lost > max_lost || self.failures >= MAX_ATTEMPTS {
            return Err(Refused::Exhausted);
        }
        self.move_to(JobState::Processing)?;
        self.attempt += 1;
        self.started = self.started.or(Some(now));
        let until = now.plus(lease);
        self.leased_until = Some(until);
        self.due_at = Some(until);
        self.progress = Progress { stage: Stage::Planning, ..self.kept_progress() };
        Ok(())
    }

    fn uploaded(&mut self, file: usize, arrived: &UploadedFile, now: Timestamp) -> Result<(), Refused> {
        self.must_be(JobState::Open)?;
        let upload = self.upload.as_mut().ok_or(Refused::NoContainer)?;
        let slot = upload.files.get_mut(file).ok_or(Refused::NoContainer)?;
        if slot.arrived.as_ref().is_some_and(|before| before.etag == arrived.etag) {
            return Err(Refused::Unchanged);
        }
        slot.arrived = Some(arrived.clone());
        if upload.is_complete() {
            self.move_to(JobState::Accepted)?;
            self.due_at = Some(now.plus(UNSENT_DUE));
        } else {
            self.fed = Some(now);
            self.due_at = Some(now.plus(UPLOAD_DUE));
        }
        Ok(())
    }

    fn move_batch(&mut self, from: BatchPhase, to: BatchPhase, now: Timestamp) -> Result<(), Refused> {
        if self.state.is_terminal() {
            return Err(Refused::State(self.state));
        }
        let batches = self.batches.as_mut().ok_or(Refused::NoContainer)?;
        batches.move_one(from, to);
        self.fed = Some(now);
        self.due_at = Some(match *batches {
            counts if counts.is_ready() => now.plus(UNSENT_DUE),
            counts if counts.closed => now.plus(SENT_DUE),
            _ => now.plus(BATCH_IDLE),
        });
        Ok(())
    }

    fn back_to_queue(&mut self, now: Timestamp) {
        self.state = JobState::Accepted;
        self.leased_until = None;
        self.due_at = Some(now.plus(UNSENT_DUE));
        self.progress = self.kept_progress();
    }

    /// How far the job is where nobody works on it: of a container, what its batches have done.
    fn kept_progress(&self) -> Progress {
        match self.batches {
            Some(_) => Progress { stage: Stage::Queued, estimated_finish: None, ..self.progress.clone() },
            None => Progress::queued(),
        }
    }

    fn end(&mut self, state: JobState, now: Timestamp) -> Result<(), Refused> {
        self.move_to(state)?;
        self.finished = Some(now);
        self.leased_until = None;
        self.followed.clear();
        self.progress.estimated_finish = None;
        // Rows that were counted and came back nowhere: the sums would not even agree. What was sent to an upstream was sent.
        if state == JobState::Failed && matches!(self.progress.counts, Some(Counts::Append { .. })) {
            self.progress.counts = None;
        }
        // What a batch delivered goes with its container.
        self.expires = self
            .container
            .is_none()
            .then(|| now.plus(Duration::from_secs(u64::from(self.retention_days) * DAY)));
        self.due_at = Some(now.plus(SWEEP_AFTER_END));
        Ok(())
    }

    fn move_to(&mut self, next: JobState) -> Result<(), Refused> {
        if !self.state.allows(next) {
            return Err(Refused::State(self.state));
        }
        self.state = next;
        Ok(())
    }

    pub(super) fn must_be(&self, state: JobState) -> Result<(), Refused> {
        if self.state == state { Ok(()) } else { Err(Refused::State(self.state)) }
    }

    fn must_be_open(&self) -> Result<(), Refused> {
        if self.state.is_terminal() { Err(Refused::State(self.state)) } else { Ok(()) }
    }

    fn must_be_free(&self, now: Timestamp) -> Result<(), Refused> {
        self.must_be_open()?;
        match self.leased_until {
            Some(until) if now < until => Err(Refused::Leased(until)),
            _ => Ok(()),
        }
    }

    fn must_hold(&self, attempt: u32) -> Result<(), Refused> {
        if self.attempt != attempt {
            return Err(Refused::StaleAttempt);
        }
        self.must_be(JobState::Processing)
    }
}
