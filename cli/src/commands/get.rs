//! `get`: the whole way from a question to a file, verified.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{DecimalBytes, HumanCount};
use serde_json::json;

use super::{Session, Work};
use crate::{
    args::Global,
    client::{Answer, Client, Fetched, job_failed, wire},
    failure::{Exit, Failure},
    output::{clean, note, note_json, print_json},
    progress::Reporter,
    request::{QueryArgs, Submission, is_zip},
    signals::Signals,
    target::{Target, refuse_own_input},
};

/// Ask for records and collect them.
#[derive(Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    query: QueryArgs,
    /// Where the result goes; - is stdout. What is there is replaced [default: the data set's name, not replaced]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A zip of the result and its manifest [default: if the output's name ends in .zip]
    #[arg(long)]
    zip: bool,
    /// Give up waiting after this long; the job goes on
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Say nothing of progress
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) async fn run(global: &Global, mut args: GetArgs) -> Result<(), Failure> {
    let began = Instant::now();
    args.zip |= args.output.as_deref().is_some_and(is_zip);
    let submission = args.query.submission(args.output.as_deref())?;
    let mut target = match &args.output {
        Some(path) => {
            refuse_own_input(path, args.query.files())?;
            Target::named(path)?
        }
        None => Target::unnamed(&submission.file_name(args.zip))?,
    };
    let session = Session::open(global, Work::Here).await?;
    let mut reporter = Reporter::new(args.quiet);
    let collected = collect(&session.client, &submission, &args, &mut target, &mut reporter).await;
    reporter.finish();
    session.close().await;
    let (job, fetched) = collected.inspect_err(|failure| target.keep_after(failure))?;
    finish(global, &job, &fetched, target, args.quiet, began.elapsed())
}

/// Submits, follows and fetches. An interrupt cancels the job.
async fn collect(
    client: &Client,
    submission: &Submission,
    args: &GetArgs,
    target: &mut Target,
    reporter: &mut Reporter,
) -> Result<(Answer<wire::Job>, Fetched), Failure> {
    let mut signals = Signals::listen()?;
    let job = client.submit(submission).await?;
    let id = job.read.job_id.clone();
    reporter.say(&format!("job {id} {}", job.read.state));
    let whole = async {
        let job = client.follow(&id, args.timeout.map(Duration::from_secs), reporter).await?;
        if job.read.state != "completed" {
            return Err(job_failed(&job));
        }
        let fetched = match args.zip {
            true => client.fetch_zip(&id, target, reporter).await?,
            false => client.fetch(&id, target, reporter).await?,
        };
        Ok((job, fetched))
    };
    tokio::select! {
        done = whole => done,
        () = signals.next() => Err(give_up(client, &id, signals).await),
    }
}

/// Cancels the job, unless interrupted again.
async fn give_up(client: &Client, id: &str, mut signals: Signals) -> Failure {
    let failure = Failure::new(Exit::Interrupted, format!("interrupted: job {id} is cancelled"));
    tokio::select! {
        cancelled = client.cancel(id) => match cancelled {
            Ok(_) => failure,
            // It had ended by itself.
            Err(error) if error.exit == Exit::Failed => {
                Failure::new(Exit::Interrupted, "interrupted").advice(format!("collect it: willcall download {id}"))
            }
            Err(_) => Failure::new(Exit::Interrupted, format!("interrupted: job {id} could not be cancelled and goes on")),
        },
        () = signals.next() => Failure::new(Exit::Interrupted, format!("interrupted: job {id} may go on")),
    }
}

/// Lets the result appear and says what it is.
pub(super) fn finish(
    global: &Global,
    job: &Answer<wire::Job>,
    fetched: &Fetched,
    target: Target,
    quiet: bool,
    took: Duration,
) -> Result<(), Failure> {
    let (place, to_stdout) = (target.describe(), target.is_stdout());
    target.publish()?;
    let result = job.read.result.as_ref();
    if let Some(cut) = result.and_then(|result| result.truncated.as_ref())
        && !quiet
    {
        note(format!("truncated ({}): no more than {} records", clean(&cut.reason), HumanCount(cut.limit)));
    }
    if global.json {
        let said = json!({
            "output": (!to_stdout).then_some(&place),
            "bytes": fetched.bytes,
            "sha256": fetched.sha256,
            "verified": true,
            "seconds": took.as_secs_f64(),
            "job": job.json,
        });
        // Stdout is the result's where the result goes there.
        return if to_stdout {
            note_json(&said);
            Ok(())
        } else {
            print_json(&said)
        };
    }
    if !quiet {
        let records = result.map_or(0, |result| result.records);
        note(format!(
            "{} records, {} ({} bytes) in {:.2} s to {place}",
            HumanCount(records),
            DecimalBytes(fetched.bytes),
            fetched.bytes,
            took.as_secs_f64(),
        ));
        note(format!("SHA-256 {} verified", fetched.sha256));
    }
    Ok(())
}
