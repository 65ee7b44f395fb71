//! `download`: fetches a job's result and checks it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use willcall_core::file_name;

use super::{Session, Work, get::finish};
use crate::{
    args::Global,
    client::{Answer, Client, Fetched, job_failed, wire},
    failure::{Exit, Failure},
    output::{clean, note},
    progress::Reporter,
    request::{is_zip, named_format},
    target::Target,
};

/// Fetch and verify a job's result.
#[derive(Args)]
pub(crate) struct DownloadArgs {
    /// The job's id
    job: String,
    /// Where the result goes; - is stdout. What is there is replaced [default: by the job's name, not replaced]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A zip of the result, or of those of all batches, and the manifest [default: if the output's name ends in .zip]
    #[arg(long)]
    zip: bool,
    /// Wait until the job has ended
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this; the job goes on
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<u64>,
    /// Say nothing of progress
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) async fn run(global: &Global, mut args: DownloadArgs) -> Result<(), Failure> {
    let began = Instant::now();
    args.zip |= args.output.as_deref().is_some_and(is_zip);
    let session = Session::open(global, if args.wait || args.zip { Work::Here } else { Work::No }).await?;
    let mut reporter = Reporter::new(args.quiet);
    let collected = collect(&session.client, &args, &mut reporter).await;
    reporter.finish();
    session.close().await;
    let (job, fetched, target) = collected?;
    finish(global, &job, &fetched, target, args.quiet, began.elapsed())
}

async fn collect(
    client: &Client,
    args: &DownloadArgs,
    reporter: &mut Reporter,
) -> Result<(Answer<wire::Job>, Fetched, Target), Failure> {
    let named = args.output.as_deref().map(Target::named).transpose()?;
    let mut job = client.status(&args.job, Duration::ZERO).await?;
    if args.wait && !job.read.has_ended() {
        job = client.follow(&args.job, args.timeout.map(Duration::from_secs), reporter).await?;
    }
    if !job.read.has_ended() {
        let words = format!("job {} is {}: it has no result yet", job.read.job_id, job.read.state);
        return Err(Failure::new(Exit::Failed, words).advice("wait for it with --wait"));
    }
    if job.read.state != "completed" {
        return Err(job_failed(&job));
    }
    // What is there is not written anew, whatever the file is called.
    if let Some(named) = args.output.as_deref().and_then(named_format)
        && !args.quiet
        && named.as_str() != job.read.format
    {
        note(format!(
            "the job was asked for {}, and its result is: it is not made {named}",
            clean(&job.read.format)
        ));
    }
    let mut target = match named {
        Some(target) => target,
        None => Target::unnamed(&file_name(&job.read, args.zip))?,
    };
    let fetched = match args.zip {
        true => client.fetch_zip(&job.read.job_id, &mut target, reporter).await,
        false => client.fetch(&job.read.job_id, &mut target, reporter).await,
    };
    let fetched = fetched.inspect_err(|failure| target.keep_after(failure))?;
    Ok((job, fetched, target))
}

/// The name that the server would give it.
fn file_name(job: &wire::Job, zip: bool) -> String {
    let called = job.name.as_deref().or(job.dataset.as_deref()).unwrap_or("result");
    let stem = file_name::stem(called);
    if zip {
        return format!("{stem}.zip");
    }
    let suffix = match job.compression.as_str() {
        "gzip" => ".gz",
        "zstd" => ".zst",
        _ => "",
    };
    let format: String = job.format.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{stem}.{format}{suffix}")
}
