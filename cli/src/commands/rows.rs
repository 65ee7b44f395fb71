//! What `append` and `call` have in common: the whole way from a file of rows to a file of results.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{DecimalBytes, HumanCount};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Session;
use crate::{
    args::Global,
    client::{
        Answer, Client, job_failed,
        wire::{self, Batch, Counts},
    },
    failure::{Exit, Failure},
    output::{clean, note, note_json, print_json},
    progress::Reporter,
    request::{OutputArgs, is_zip, name_format},
    rows::{Collector, Input, Ledger, RowsFile, Shape, Told, check_parts, feed},
    signals::Signals,
    target::{Target, refuse_own_input, same_file},
};

/// The bytes of a part that is uploaded at once.
const PART: u64 = 64 << 20;
/// The most failed batches that are named.
const NAMED: usize = 5;

/// Where rows go, and how.
#[derive(Args)]
pub(crate) struct RowsArgs {
    /// Where the result goes; - is stdout. What is there is replaced
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Where the rows that failed go, as they are in the input, to be sent again; made only if there are any
    #[arg(long, value_name = "FILE")]
    failed: Option<PathBuf>,
    #[command(flatten)]
    written: OutputArgs,
    /// About how many bytes of CSV or JSON Lines are uploaded as one batch [default: 64 MiB]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    batch_bytes: Option<u64>,
    /// Go on with this job, whatever is noted beside the output
    #[arg(long, value_name = "JOB")]
    resume: Option<String>,
    /// Give up waiting after this long; the job goes on
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Say nothing of progress
    #[arg(short, long)]
    quiet: bool,
}

impl RowsArgs {
    /// The members that say how the result is written.
    pub(crate) fn output_members(&self) -> Map<String, Value> {
        self.written.members()
    }
}

/// What is to be done with which rows.
pub(crate) struct Work {
    pub(crate) input: PathBuf,
    pub(crate) members: Map<String, Value>,
    /// The format where nothing names one.
    pub(crate) default: &'static str,
}

/// What came of it.
struct Done {
    job: Answer<wire::Job>,
    batches: Vec<Batch>,
    /// How many parts have no result, and of how many.
    lost: (usize, usize),
    bytes: u64,
    failed_rows: u64,
}

/// Everything that one run is about.
struct Run<'a> {
    client: &'a Client,
    args: &'a RowsArgs,
    members: &'a Map<String, Value>,
    input: &'a Input,
    shape: Shape,
    told: Told,
}

/// Submits, uploads, follows and fetches.
pub(crate) async fn run_rows(
    global: &Global,
    work: Work,
    args: RowsArgs,
    check: impl Fn(&Input) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let began = Instant::now();
    if is_zip(&args.output) {
        let words =
            format!("the results of all rows come in one file, and {} would be a zip", args.output.display());
        return Err(Failure::new(Exit::Usage, words)
            .advice("name it .csv, .jsonl or the like; `willcall download JOB --zip` then has a zip of the batches' results"));
    }
    let mut members = work.members;
    name_format(&mut members, &args.output)?;
    refuse_own_input(&args.output, [&work.input])?;
    let rows = RowsFile::at(&work.input)?;
    let shape = shape_of(&members, work.default)?;
    let most = args.batch_bytes.unwrap_or(PART);
    let mut input = Input::open(&rows, most, true)?;
    if input.parts.len() > 1 && !shape.joins(input.rows) {
        // One part then: such results cannot be put together.
        let columns = input.columns.take();
        input = Input::open(&rows, most, false)?;
        input.columns = columns;
    }
    input.numbered = told_of(&members) == Told::Call;
    check(&input)?;
    check_failed(&args, &work.input, &input, shape)?;
    let mut target = Target::named(&args.output)?;
    let mut failed = args.failed.as_deref().map(Target::named).transpose()?;
    let ledger_at = (!target.is_stdout() && args.resume.is_none()).then_some(args.output.as_path());
    let ledger = Ledger::open(ledger_at, &digest(global, &members, &input));
    let session = Session::open(global, super::Work::Here).await?;
    let mut reporter = Reporter::new(args.quiet);
    let told = told_of(&members);
    let run = Run { client: &session.client, args: &args, members: &members, input: &input, shape, told };
    let done = run.whole(ledger, &mut target, failed.as_mut(), &mut reporter).await;
    reporter.finish();
    session.close().await;
    let done = done.inspect_err(|failure| target.keep_after(failure))?;
    if done.failed_rows > 0
        && let Some(failed) = failed
    {
        failed.publish()?;
    }
    finish(global, &args, &done, target, began.elapsed())
}

impl Run<'_> {
    /// From the submission to the files, not yet in their places. An interrupt leaves the job as it is.
    async fn whole(
        &self,
        mut ledger: Ledger,
        target: &mut Target,
        failed: Option<&mut Target>,
        reporter: &mut Reporter,
    ) -> Result<Done, Failure> {
        let mut signals = Signals::listen()?;
        let mut id = self.args.resume.clone();
        let work = self.work(&mut ledger, &mut id, target, failed, reporter);
        let done = tokio::select! {
            done = work => done,
            () = signals.next() => Err(Failure::new(Exit::Interrupted, "interrupted")),
        };
        let Some(job) = ledger.entry.job.clone().or_else(|| self.args.resume.clone()) else { return done };
        match done {
            Ok(done) => {
                ledger.remove();
                Ok(done)
            }
            Err(failure) if matches!(failure.exit, Exit::Interrupted | Exit::Unavailable) => {
                let again = if ledger.is_kept() { String::new() } else { format!(" with --resume {job}") };
                Err(failure.advice(format!(
                    "job {job} is there: the same command{again} goes on with it; `willcall cancel {job}` gives it up"
                )))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn work(
        &self,
        ledger: &mut Ledger,
        id: &mut Option<String>,
        target: &mut Target,
        failed: Option<&mut Target>,
        reporter: &mut Reporter,
    ) -> Result<Done, Failure> {
        let job = self.job(ledger, id.take(), reporter).await?;
        let id = job.read.job_id.clone();
        if job.read.state == "open" {
            let there = feed(self.client, &id, self.input, reporter).await?;
            if there > 0 {
                reporter.say(&format!("{there} of {} batches were there already", self.input.parts.len()));
            }
            self.client.close_job(&id).await?;
        }
        let job = self.client.follow(&id, self.args.timeout.map(Duration::from_secs), reporter).await?;
        let batches = self.client.batches(&id).await?;
        if job.read.state != "completed" {
            ledger.remove();
            return Err(name_failed(job_failed(&job), &batches));
        }
        check_parts(&id, &batches, self.input)?;
        let manifest = self.client.manifest(&id).await?;
        let mut collector =
            Collector::new(self.client, &id, self.input, (self.shape, self.told), target, failed);
        let mut lost = (0, self.input.parts.len());
        for part in &self.input.parts {
            // The last of a name: those before it were given up.
            let batch = batches.iter().rfind(|batch| batch.name.as_deref() == Some(&part.name));
            let file = |batch: &&Batch| {
                let id = Some(batch.batch_id.as_str());
                manifest.read.files.iter().find(|file| file.batch_id.as_deref() == id)
            };
            match batch.and_then(|batch| Some((batch, file(&batch)?))) {
                Some((batch, file)) => collector.add(part, batch, file, reporter).await?,
                None => {
                    lost.0 += 1;
                    collector.add_failed(part)?;
                }
            }
        }
        let failed_rows = collector.failed_rows;
        let bytes = target.file().and_then(|file| file.metadata()).map_or(0, |found| found.len());
        Ok(Done { job, batches, lost, bytes, failed_rows })
    }

    /// The job: the one that was named, the one that an interrupted command began, or a new one.
    async fn job(
        &self,
        ledger: &mut Ledger,
        named: Option<String>,
        reporter: &Reporter,
    ) -> Result<Answer<wire::Job>, Failure> {
        if let Some(named) = named {
            let job = self.client.status(&named, Duration::ZERO).await?;
            let kind = self.members.get("kind").and_then(Value::as_str).unwrap_or_default();
            if job.read.kind != kind {
                let words = format!("job {named} is of kind {:?}, not {kind:?}", job.read.kind);
                return Err(Failure::new(Exit::Usage, words));
            }
            return Ok(job);
        }
        if let Some(noted) = ledger.entry.job.clone() {
            match self.client.status(&noted, Duration::ZERO).await {
                Ok(job) if !job.read.has_ended() || job.read.state == "completed" => {
                    reporter.say(&format!("goes on with job {noted}, {}", job.read.state));
                    return Ok(job);
                }
                Err(failure) if failure.exit != Exit::NotFound => return Err(failure),
                Ok(_) | Err(_) => ledger.renew(),
            }
        }
        ledger.save()?;
        let body = Value::Object(self.members.clone());
        let submitted = self.client.submit_rows(&body, &ledger.entry.key).await;
        // A request that is refused leaves nothing to go on with.
        let job = submitted.inspect_err(|failure| {
            if failure.exit != Exit::Unavailable {
                ledger.remove();
            }
        })?;
        ledger.entry.job = Some(job.read.job_id.clone());
        ledger.save()?;
        reporter.say(&format!("job {} {}", job.read.job_id, job.read.state));
        Ok(job)
    }
}

/// How the result is written, as far as it is read here.
fn shape_of(members: &Map<String, Value>, default: &str) -> Result<Shape, Failure> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let csv = members.get("csv");
    let delimiter = csv.and_then(|csv| csv.get("delimiter")?.as_str()?.bytes().next()).unwrap_or(b',');
    let header = csv.and_then(|csv| csv.get("header")?.as_bool()).unwrap_or(true);
    let wrong = |detail: String| Failure::new(Exit::Usage, detail);
    Ok(Shape {
        format: text("format").unwrap_or(default).parse().map_err(wrong)?,
        compression: text("compression").unwrap_or("none").parse().map_err(wrong)?,
        delimiter,
        header,
    })
}

fn told_of(members: &Map<String, Value>) -> Told {
    if members.get("kind").and_then(Value::as_str) == Some("call") {
        return Told::Call;
    }
    let on_multiple = members.get("on_multiple").and_then(Value::as_str);
    Told::Append { comes_for_each: on_multiple == Some("all"), ambiguous_fails: on_multiple == Some("error") }
}

/// Whether failed rows can be told, and have a place of their own.
fn check_failed(args: &RowsArgs, given: &Path, input: &Input, shape: Shape) -> Result<(), Failure> {
    let Some(failed) = &args.failed else { return Ok(()) };
    let wrong = |words: String, advice: &str| Err(Failure::new(Exit::Usage, words).advice(advice));
    if input.rows.is_none() {
        let words = format!("--failed cannot take rows out of {}", input.called);
        return wrong(words, "it can of CSV and of JSON Lines, in an encoding like UTF-8");
    }
    if !shape.tells_rows() {
        let words = format!("--failed cannot read a result in {}", shape.format);
        return wrong(words, "ask for csv or jsonl");
    }
    if same_file(failed, given) || same_file(failed, &args.output) || same_place(failed, &args.output) {
        return wrong("--failed names the file of the rows or of the result".into(), "name another");
    }
    let name = failed.to_string_lossy().to_ascii_lowercase();
    if [".gz", ".zst", ".zip"].iter().any(|ending| name.ends_with(ending)) {
        return wrong("--failed is not compressed".into(), "name it without .gz, .zst or .zip");
    }
    Ok(())
}

/// Whether two names that nothing has yet are one.
fn same_place(one: &Path, other: &Path) -> bool {
    matches!((std::path::absolute(one), std::path::absolute(other)), (Ok(one), Ok(other)) if one == other)
}

/// What makes it the same work: what is asked for, of whom, with which bytes.
fn digest(global: &Global, members: &Map<String, Value>, input: &Input) -> String {
    let place = match &global.server {
        Some(server) => server.trim_end_matches('/').to_owned(),
        None => std::path::absolute(&global.data_dir)
            .unwrap_or_else(|_| global.data_dir.clone())
            .display()
            .to_string(),
    };
    let parts: Vec<&str> = input.parts.iter().map(|part| part.name.as_str()).collect();
    hex::encode(Sha256::digest(json!([place, members, parts]).to_string()))
}

/// Says why batches failed.
fn name_failed(failure: Failure, batches: &[Batch]) -> Failure {
    let failed = batches.iter().filter_map(|batch| Some((batch, batch.error.as_ref()?)));
    failed.take(NAMED).fold(failure, |failure, (batch, problem)| {
        let words = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
        failure.detail(format!("batch {}: {}", batch.batch_id, clean(words)))
    })
}

/// Lets the result appear and says what it is. A result that lacks whole batches is there, and is no success.
fn finish(
    global: &Global,
    args: &RowsArgs,
    done: &Done,
    target: Target,
    took: Duration,
) -> Result<(), Failure> {
    let (place, to_stdout) = (target.describe(), target.is_stdout());
    target.publish()?;
    let counts = done.job.read.progress.counts.unwrap_or_default();
    if let Some(cut) = done.job.read.result.as_ref().and_then(|result| result.truncated.as_ref())
        && !args.quiet
    {
        note(format!("truncated ({}): no more than {} records", clean(&cut.reason), HumanCount(cut.limit)));
    }
    let failed = args.failed.as_deref().filter(|_| done.failed_rows > 0).map(Path::display);
    if global.json {
        let said = json!({
            "output": (!to_stdout).then_some(&place),
            "bytes": done.bytes,
            "verified": true,
            "failed": failed.as_ref().map(ToString::to_string),
            "failed_rows": args.failed.is_some().then_some(done.failed_rows),
            "seconds": took.as_secs_f64(),
            "job": done.job.json,
        });
        if to_stdout { note_json(&said) } else { print_json(&said)? }
    } else if !args.quiet {
        note(format!(
            "{}; {} in {:.2} s to {place}, verified",
            describe(&counts),
            DecimalBytes(done.bytes),
            took.as_secs_f64()
        ));
        if let Some(failed) = failed {
            note(format!("{} rows that failed are in {failed}", HumanCount(done.failed_rows)));
        }
    }
    let (lost, all) = done.lost;
    if lost == 0 {
        return Ok(());
    }
    let words = format!("{lost} of {all} batches have no result: their rows are not in {place}");
    Err(name_failed(Failure::new(Exit::Failed, words), &done.batches))
}

fn describe(counts: &Counts) -> String {
    let of = |count: Option<u64>, what: &str| count.map(|count| format!("{} {what}", HumanCount(count)));
    let said = [
        of(counts.rows, "rows"),
        of(counts.matched, "matched"),
        of(counts.unmatched, "unmatched"),
        of(counts.ambiguous, "ambiguous"),
        of(counts.succeeded, "succeeded"),
        of(counts.failed, "failed"),
        of(counts.unknown.filter(|unknown| *unknown > 0), "unknown"),
        of(counts.malformed, "malformed"),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
