//! `status`: how far a job is.

use std::time::Duration;

use clap::Args;
use indicatif::{DecimalBytes, HumanCount};

use super::{Session, Work};
use crate::{
    args::Global,
    client::{Client, job_failed, wire},
    failure::Failure,
    output::{clean, print, print_json, table},
    progress::Reporter,
};

/// Show a job.
#[derive(Args)]
pub(crate) struct StatusArgs {
    /// The job's id
    job: String,
    /// Wait until it has ended; one that did not complete is a failure then
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this; the job goes on
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<u64>,
}

pub(crate) async fn run(global: &Global, args: StatusArgs) -> Result<(), Failure> {
    let session = Session::open(global, if args.wait { Work::Here } else { Work::No }).await?;
    let job = look(&session.client, &args).await;
    session.close().await;
    let job = job?;
    if global.json {
        print_json(&job.json)?;
    } else {
        print(&describe(&job.read))?;
    }
    if args.wait && job.read.state != "completed" {
        return Err(job_failed(&job));
    }
    Ok(())
}

async fn look(client: &Client, args: &StatusArgs) -> Result<crate::client::Answer<wire::Job>, Failure> {
    if !args.wait {
        return client.status(&args.job, Duration::ZERO).await;
    }
    let mut reporter = Reporter::new(false);
    let job = client.follow(&args.job, args.timeout.map(Duration::from_secs), &mut reporter).await;
    reporter.finish();
    job
}

/// A job in lines of name and value.
pub(crate) fn describe(job: &wire::Job) -> String {
    let progress = &job.progress;
    let found =
        progress.records_found.map_or("not yet counted".to_owned(), |found| HumanCount(found).to_string());
    let mut lines = vec![
        ("job", job.job_id.clone()),
        ("name", job.name.as_deref().map(clean).unwrap_or_default()),
        ("data set", job.dataset.clone().unwrap_or_default()),
        ("state", job.state.clone()),
        ("stage", format!("{} ({}%)", progress.stage, progress.percent.floor())),
        ("found", found),
        ("written", HumanCount(progress.records_written).to_string()),
        (
            "format",
            match job.compression.as_str() {
                "none" => job.format.clone(),
                compression => format!("{} {compression}", job.format),
            },
        ),
        ("created", job.created.clone()),
        ("took", job.duration.clone()),
        ("expires", job.expires.clone().unwrap_or_default()),
    ];
    if let Some(result) = &job.result {
        lines.push(("bytes", format!("{} ({})", HumanCount(result.bytes), DecimalBytes(result.bytes))));
        lines.extend(result.sha256.clone().map(|sha256| ("SHA-256", sha256)));
        if let Some(cut) = &result.truncated {
            lines.push(("truncated", format!("{} at {} records", clean(&cut.reason), HumanCount(cut.limit))));
        }
    }
    if let Some(error) = &job.error {
        lines.push(("error", clean(if error.detail.is_empty() { &error.title } else { &error.detail })));
    }
    lines.push(("link", job.link.clone()));
    let rows = lines.into_iter().filter(|(_, value)| !value.is_empty());
    table(&rows.map(|(name, value)| vec![name.to_owned(), value]).collect::<Vec<_>>())
}
