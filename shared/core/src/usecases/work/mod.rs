//! Doing a job's work: claim, execute, commit.

mod container;
mod lease;
mod zip;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::lease::{LeaseKeeper, Stop};
use super::{App, batches::wake_container, quota::Allowance, view::request_of, webhooks::announce};
use crate::{
    Error, JobRef,
    catalog::Catalog,
    chain,
    job::{
        Counts, Job, JobRequest, JobState, MANIFEST_SCHEMA, Manifest, ManifestSource, Problem, ProblemType,
        Refused, ResultSummary, Stage, Survey, Transition, kinds::Work,
    },
    ports::{
        BlobError, BlobKey, BlobPrefix, Consumed, Control, DatasetRead, Delivered, ExecuteError, Executor,
        Input, InputFile, QueueError, Subject, Task, TransitionError,
    },
    telemetry::{self, step},
};

/// A host that does work: the use cases' world, and what carries the work out.
#[derive(Clone)]
pub struct Worker {
    /// The world.
    pub app: App,
    /// Carries the work out.
    pub executor: Arc<dyn Executor>,
    /// How leases are kept.
    pub lease: LeaseSettings,
}

/// How leases are kept.
#[derive(Debug, Clone, Copy)]
pub struct LeaseSettings {
    /// How long a claim or renewal holds.
    pub lease: Duration,
    /// How often it is renewed, with the progress.
    pub renew_every: Duration,
    /// How long renewals may fail before the attempt stops by itself. Less than the lease, so that two attempts never
    /// compute at once.
    pub give_up_after: Duration,
    /// How many workers a job may lose before it is given up.
    pub max_lost: u32,
    /// When an attempt must have stopped by itself; `None` for as long as it needs.
    pub time_limit: Option<TimeLimit>,
    /// After how long an attempt that has gained something makes way, where other jobs wait for a worker; `None` where each
    /// has workers of its own.
    pub slice: Option<Duration>,
}

/// The time that a host gives an attempt. One that runs into it has failed for good, as another would as well, unless it
/// leaves the next one less to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimit {
    /// When the work is told to stop: early enough to wind up and to write the outcome down.
    pub until: Instant,
    /// How long a worker of this host has in all, for the words to the client.
    pub whole: Duration,
}

impl TimeLimit {
    fn problem(self) -> Problem {
        let seconds = (self.whole.as_millis() + 500) / 1000;
        let whole = match seconds {
            120.. if seconds.is_multiple_of(60) => format!("{} minutes", seconds / 60),
            _ => format!("{seconds} seconds"),
        };
        let detail = format!(
            "the job did not finish within the {whole} that a worker has: ask for fewer records or fields, or split it \
             into several jobs by a filter"
        );
        Problem::new(ProblemType::EngineFailed, detail)
    }
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            renew_every: Duration::from_secs(3),
            give_up_after: Duration::from_secs(20),
            max_lost: 2,
            time_limit: None,
            slice: None,
        }
    }
}

/// What the host does with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Acknowledge it: nothing is left to do.
    Done,
    /// Let it come again after this long.
    RetryAfter(Duration),
    /// Leave it as it is: it comes again when its visibility timeout ends.
    Leave,
}

/// How long a message waits after the store could not be reached.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// Does the work of the job that the message names, if nobody else does. Safe to call twice, late, or for a job that
/// has ended. `shutdown` asks it to hand the job back.
pub async fn work(worker: &Worker, job: &JobRef, shutdown: &CancellationToken) -> Disposition {
    let app = &worker.app;
    let claim = Transition::Claim { lease: worker.lease.lease, max_lost: worker.lease.max_lost };
    let claiming = app.jobs.transition(job, &claim, app.clock.now());
    match claiming.instrument(step!("claim", job.job)).await {
        Ok(claimed) => {
            telemetry::claimed(&claimed);
            attempt(worker, claimed, shutdown).await
        }
        Err(TransitionError::Refused(Refused::Exhausted)) => give_up(app, job).await,
        Err(TransitionError::Refused(Refused::State(JobState::Completed))) => {
            zip::pack(worker, job, shutdown).instrument(step!("zip", job.job)).await
        }
        // Ended, removed, or leased by another: not this message's to do.
        Err(TransitionError::NotFound | TransitionError::Refused(_)) => Disposition::Done,
        Err(TransitionError::Store(error)) => {
            tracing::error!(job.id = %job.job, error = chain(&error), "failed to claim job");
            Disposition::RetryAfter(STORE_RETRY)
        }
    }
}

/// Sends the message of a job that is to come again, for a host whose queue does not keep the message for later.
pub async fn send_again(app: &App, job: &JobRef, after: Duration) -> Result<(), QueueError> {
    app.queue.send(job, after).await?;
    // Only tells the sweeper that it need not look so soon; a job that went on meanwhile refuses it.
    let _ = app.jobs.transition(job, &Transition::Sent, app.clock.now()).await;
    Ok(())
}

async fn give_up(app: &App, job: &JobRef) -> Disposition {
    let problem = Problem::new(
        ProblemType::EngineFailed,
        "the job was given up: too many of its attempts ended without an answer",
    );
    match app.jobs.transition(job, &Transition::Fail { attempt: None, problem }, app.clock.now()).await {
        Ok(failed) => {
            telemetry::ended(&failed);
            tracing::error!(job.id = %job.job, "job lost too many workers");
            announce(&app.notifier, &failed).await;
            wake_container(app, &failed).await;
            Disposition::Done
        }
        Err(TransitionError::NotFound | TransitionError::Refused(_)) => Disposition::Done,
        Err(TransitionError::Store(_)) => Disposition::RetryAfter(STORE_RETRY),
    }
}

/// How an attempt ended, before it is written down.
enum Outcome {
    Finished(Finished),
    Stopped(Stop),
    Retry { gained: bool, problem: Problem },
    Fail(Problem),
}

/// What an attempt delivered, its manifest written.
struct Finished {
    result: ResultSummary,
    records_found: Option<u64>,
    records_requested: Option<u64>,
    counts: Option<Counts>,
    survey: Option<Box<Survey>>,
    day: Option<Consumed>,
}

async fn attempt(worker: &Worker, job: Job, shutdown: &CancellationToken) -> Disposition {
    let app = &worker.app;
    let started = app.clock.now();
    tracing::info!(job.id = %job.id, job.attempt = job.attempt, "claimed job");
    let control = Arc::new(Control::default());
    let keeper = LeaseKeeper::start(worker, &job, Arc::clone(&control), shutdown.clone());
    let outcome = match run(worker, &job, &control).await {
        Ok(finished) => Outcome::Finished(finished),
        Err(ExecuteError::Cancelled) => Outcome::Stopped(match keeper.reason() {
            // Another attempt goes on where this one ends, so it is none that would run out of time as well.
            Stop::OutOfTime(_) if control.has_gained() => Stop::Shutdown,
            reason => reason,
        }),
        Err(ExecuteError::Transient { problem, source }) => {
            let error = chain(&*source);
            tracing::warn!(job.id = %job.id, job.attempt = job.attempt, error, "attempt failed");
            Outcome::Retry { gained: control.has_gained(), problem }
        }
        Err(ExecuteError::Fatal { problem, source }) => {
            let error = source.map(|source| chain(&*source));
            tracing::warn!(job.id = %job.id, job.attempt = job.attempt, detail = problem.detail, error, "job failed");
            Outcome::Fail(problem)
        }
    };
    // Ended before the outcome is written, so that no renewal comes after it.
    keeper.stop().await;
    let disposition = settle(app, &job, outcome).instrument(step!("settle", job.id)).await;
    let took = app.clock.now().since(started);
    tracing::info!(
        job.id = %job.id,
        job.attempt = job.attempt,
        ?disposition,
        took_ms = u64::try_from(took.as_millis()).ok(),
        "attempt ended"
    );
    disposition
}

/// Executes the work and writes the manifest; the files are whole once it returns.
async fn run(worker: &Worker, job: &Job, control: &Arc<Control>) -> Result<Finished, ExecuteError> {
    let app = &worker.app;
    if job.batches.is_some() {
        return container::finish(app, job, control).await;
    }
    let JobRequest { work, .. } = request_of(app, job).await.map_err(transient)?;
    let work = work.numbered_from(job.upload.as_ref().and_then(|upload| upload.first_item));
    let allowance =
        Allowance::at(app, job, app.clock.now()).await.map_err(|error| transient(error.into()))?;
    if let Some(dry_run) = &job.dry_run {
        // Half of what a client may wait for the answer: the rest is for the way to it.
        control.inquire(dry_run.inquiry(app.settings.max_sync_wait / 2));
    }
    let task = Task {
        job: job.reference(),
        attempt: job.attempt,
        subject: subject_of(app, &work).await?,
        snapshot: job.origin(),
        input: input_of(job)?,
        work: Arc::new(allowance.cap(work.clone())),
        max_bytes: allowance.bytes,
        blobs: Arc::clone(&app.blobs),
        control: Arc::clone(control),
    };
    let executor = Arc::clone(&worker.executor);
    // A task of its own, so that a panic in it is an attempt that failed and not a worker that died.
    let execute = async move { executor.execute(task).await };
    let execute = execute.instrument(step!("execute", job.id)).in_current_span();
    let mut execution = tokio::spawn(execute);
    let delivered = tokio::select! {
        done = &mut execution => done.unwrap_or_else(|panic| Err(transient(Error::Internal(Box::new(panic)))))?,
        () = unresponsive(control) => {
            execution.abort();
            return Err(ExecuteError::Cancelled);
        }
    };
    control.enter(Stage::Committing);
    if control.is_cancelled() {
        return Err(ExecuteError::Cancelled);
    }
    let delivered = allowance.explain(&work, delivered);
    let result = commit(app, job, &work, &delivered).instrument(step!("commit", job.id)).await?;
    Ok(Finished {
        result,
        records_found: delivered.records_found,
        records_requested: requested(&work, &delivered),
        counts: delivered.counts,
        survey: control.survey().map(Box::new),
        day: allowance.day,
    })
}

/// How many records were asked for: of a query its limit, or all that were found after its offset.
fn requested(work: &Work, delivered: &Delivered) -> Option<u64> {
    match work {
        Work::Query(query) => {
            query.limit.or(delivered.records_found.map(|found| found.saturating_sub(query.offset)))
        }
        Work::Sql(sql) => sql.limit.or(delivered.records_found.map(|found| found.saturating_sub(sql.offset))),
        Work::Append(_) | Work::Call(_) => delivered.records_found,
    }
}

/// Resolves some time after the work was told to stop and has not: its future is then dropped.
async fn unresponsive(control: &Control) {
    control.cancelled().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
}

async fn subject_of(app: &App, work: &Work) -> Result<Subject, ExecuteError> {
    let catalog = app.catalog.catalog().await.map_err(|error| transient(error.into()))?;
    let (found, gone) = match work {
        Work::Query(work) => dataset_in(&catalog, &work.dataset),
        Work::Append(work) => dataset_in(&catalog, &work.dataset),
        Work::Sql(work) => datasets_in(&catalog, &work.datasets),
        Work::Call(work) => (
            catalog.upstreams.get(&work.upstream).cloned().map(Subject::Upstream),
            format!("the upstream {:?} is not there any more", work.upstream),
        ),
    };
    found.ok_or_else(|| ExecuteError::Fatal {
        problem: Problem::new(ProblemType::Conflict, gone),
        source: None,
    })
}

fn dataset_in(catalog: &Catalog, name: &str) -> (Option<Subject>, String) {
    let found = catalog.datasets.get(name).cloned().map(Subject::Dataset);
    (found, format!("the data set {name:?} is not there any more"))
}

fn datasets_in(catalog: &Catalog, names: &[String]) -> (Option<Subject>, String) {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match catalog.datasets.get(name) {
            Some(dataset) => found.push(Arc::clone(dataset)),
            None => return (None, format!("the data set {name:?} is not there any more")),
        }
    }
    (Some(Subject::Datasets(found)), String::new())
}

/// The rows that the job takes: the files of a batch as they were pinned, or what came with the request.
fn input_of(job: &Job) -> Result<Input, ExecuteError> {
    let Some(upload) = &job.upload else { return Ok(Input::Work) };
    let files = upload.files.iter().enumerate().map(|(place, file)| {
        let arrived = file.arrived.as_ref()?;
        Some(InputFile {
            key: BlobKey::Upload { job: job.reference(), file: place },
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            bytes: arrived.bytes,
            etag: arrived.etag.clone(),
        })
    });
    let files = files.collect::<Option<Vec<InputFile>>>();
    files
        .map(Input::Files)
        .ok_or_else(|| transient(Error::Internal("a batch was queued before its files".into())))
}

/// Writes the manifest, last of all files.
async fn commit(
    app: &App,
    job: &Job,
    work: &Work,
    delivered: &Delivered,
) -> Result<ResultSummary, ExecuteError> {
    let bytes = delivered.files.iter().map(|file| file.bytes).sum();
    let source_of = |(dataset, read): (&str, &DatasetRead)| ManifestSource {
        dataset: dataset.to_owned(),
        version: read.version.clone(),
        files: read.files,
        files_read: Some(read.files_read),
    };
    let sources = match work {
        Work::Sql(work) => {
            let names = work.datasets.iter().map(String::as_str);
            names.zip(&delivered.datasets).map(source_of).collect()
        }
        Work::Query(_) | Work::Append(_) | Work::Call(_) => Vec::new(),
    };
    let manifest = Manifest {
        schema_version: MANIFEST_SCHEMA,
        job_id: job.id,
        account: job.account.clone(),
        attempt: job.attempt,
        created: app.clock.now(),
        records: delivered.records,
        bytes,
        files: delivered.files.clone(),
        pages: delivered.pages,
        page_size: work.page_size(),
        schema: delivered.schema.clone(),
        output: work.output().clone(),
        truncated: delivered.truncated.clone(),
        non_finite_as_null: delivered.non_finite_as_null,
        source: work.dataset().zip(delivered.dataset.as_ref()).map(source_of),
        sources,
        upstream: match work {
            Work::Call(call) => Some(call.upstream.clone()),
            Work::Query(_) | Work::Sql(_) | Work::Append(_) => None,
        },
        counts: delivered.counts,
        batches: None,
        writer: delivered.writer.clone(),
    };
    write_manifest(app, job, &manifest).await?;
    Ok(ResultSummary {
        attempt: job.attempt,
        records: delivered.records,
        bytes,
        files: u32::try_from(delivered.files.len()).unwrap_or(u32::MAX),
        pages: delivered.pages,
        sha256: delivered.files.first().map(|file| file.sha256.clone()).unwrap_or_default(),
        truncated: delivered.truncated.clone(),
    })
}

async fn write_manifest(app: &App, job: &Job, manifest: &Manifest) -> Result<(), ExecuteError> {
    let json =
        serde_json::to_vec_pretty(manifest).map_err(|error| transient(Error::Internal(Box::new(error))))?;
    let key = BlobKey::Manifest { job: job.reference(), attempt: job.attempt };
    let written = app.blobs.put(&key, "application/json", Bytes::from(json)).await;
    written.map_err(|error| transient(error.into()))
}

/// Writes the outcome down. Files that no manifest will ever name are removed: those of an attempt that delivered
/// nothing, or that another attempt or the client overtook.
async fn settle(app: &App, job: &Job, outcome: Outcome) -> Disposition {
    let attempt = job.attempt;
    let transition = match outcome {
        Outcome::Finished(Finished { result, records_found, records_requested, counts, survey, day }) => {
            let result = Box::new(result);
            Transition::Complete { attempt, result, records_found, records_requested, counts, survey, day }
        }
        Outcome::Stopped(Stop::Shutdown) => Transition::HandBack { attempt },
        Outcome::Stopped(Stop::Lost) => {
            remove_overtaken(app, job).await;
            return Disposition::Done;
        }
        Outcome::Stopped(Stop::OutOfTime(limit)) => {
            tracing::warn!(job.id = %job.id, job.attempt = attempt, "job ran out of time");
            Transition::Fail { attempt: Some(attempt), problem: limit.problem() }
        }
        Outcome::Retry { gained, problem } => Transition::Retry { attempt, gained, problem },
        Outcome::Fail(problem) => Transition::Fail { attempt: Some(attempt), problem },
    };
    let delivered = matches!(transition, Transition::Complete { .. });
    if !delivered {
        remove_attempt(app, job, attempt).await;
    }
    match app.jobs.transition(&job.reference(), &transition, app.clock.now()).await {
        Ok(after) if after.state == JobState::Accepted => match transition {
            Transition::HandBack { .. } => Disposition::RetryAfter(Duration::ZERO),
            _ => Disposition::RetryAfter(backoff(after.failures)),
        },
        Ok(after) => {
            telemetry::ended(&after);
            announce(&app.notifier, &after).await;
            wake_container(app, &after).await;
            if after.container.is_some() {
                // Nobody reads it any more.
                remove_files(app, job, BlobPrefix::Uploads(job.reference())).await;
            }
            if delivered {
                for earlier in 1..attempt {
                    remove_attempt(app, job, earlier).await;
                }
            }
            Disposition::Done
        }
        Err(TransitionError::Refused(Refused::DayUsedUp | Refused::RecordsUsedUp)) => {
            tracing::info!(job.id = %job.id, job.attempt = attempt, "others used up the limit, trying with what is left");
            Box::pin(settle(app, job, Outcome::Stopped(Stop::Shutdown))).await
        }
        Err(TransitionError::NotFound | TransitionError::Refused(_)) => {
            tracing::info!(job.id = %job.id, job.attempt = attempt, "attempt came too late");
            remove_overtaken(app, job).await;
            Disposition::Done
        }
        // The lease runs out, and another attempt follows. The files stay: the transition may have been made.
        Err(TransitionError::Store(error)) => {
            tracing::error!(job.id = %job.id, error = chain(&error), "failed to write the outcome down");
            Disposition::Leave
        }
    }
}

/// How long a job waits after it failed that often.
fn backoff(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(6))
}

/// Removes what an attempt wrote that another attempt or the client overtook: its own files where the job goes on
/// without it, everything where the job has ended without a result.
async fn remove_overtaken(app: &App, job: &Job) {
    let over = match app.jobs.get(&job.reference()).await {
        Ok(Some(found)) => found.state.is_terminal() && found.result.is_none(),
        Ok(None) => true,
        Err(_) => false,
    };
    if over {
        remove_files(app, job, BlobPrefix::Results(job.reference())).await;
    } else {
        remove_attempt(app, job, job.attempt).await;
    }
}

/// Removes an attempt's files. What cannot be removed now goes with the job.
async fn remove_attempt(app: &App, job: &Job, attempt: u32) {
    remove_files(app, job, BlobPrefix::Attempt { job: job.reference(), attempt }).await;
}

async fn remove_files(app: &App, job: &Job, prefix: BlobPrefix) {
    if let Err(error) = app.blobs.delete_prefix(&prefix).await {
        tracing::warn!(job.id = %job.id, job.attempt = job.attempt, error = chain(&error), "failed to remove files");
    }
}

/// What stopped the work from outside it: it may pass, and the client need not know more.
fn transient(error: Error) -> ExecuteError {
    let problem = match &error {
        Error::Unavailable(source) if matches!(source.downcast_ref(), Some(BlobError::Full(_))) => {
            Problem::new(ProblemType::Unavailable, "there is no room for the result")
        }
        Error::Internal(_) => Problem::new(ProblemType::Internal, "the service made an error"),
        _ => Problem::new(ProblemType::Unavailable, "the service could not reach what it needs"),
    };
    ExecuteError::Transient { problem, source: Box::new(error) }
}
