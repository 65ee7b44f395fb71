//! `submit`: a job, and on with something else.

use clap::Args;

use super::{Session, Work};
use crate::{
    args::Global,
    failure::Failure,
    output::{note, print, print_json},
    request::QueryArgs,
};

/// Submit a job and go on.
#[derive(Args)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    query: QueryArgs,
}

pub(crate) async fn run(global: &Global, args: SubmitArgs) -> Result<(), Failure> {
    let submission = args.query.submission(None)?;
    let session = Session::open(global, Work::No).await?;
    let job = session.client.submit(&submission).await;
    let is_local = session.is_local();
    session.close().await;
    let job = job?;
    if global.json {
        return print_json(&job.json);
    }
    print(&format!("{}\n", job.read.job_id))?;
    note(if is_local {
        format!(
            "nobody works on it until `willcall serve` or `willcall download {} --wait` runs here",
            job.read.job_id
        )
    } else {
        format!("collect it: willcall download {} --wait", job.read.job_id)
    });
    Ok(())
}
