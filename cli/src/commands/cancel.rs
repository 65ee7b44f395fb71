//! `cancel`: gives a job up.

use clap::Args;

use super::{Session, Work};
use crate::{
    args::Global,
    failure::Failure,
    output::{note, print_json},
};

/// Give a job up.
#[derive(Args)]
pub(crate) struct CancelArgs {
    /// The job's id
    job: String,
}

pub(crate) async fn run(global: &Global, args: CancelArgs) -> Result<(), Failure> {
    let session = Session::open(global, Work::No).await?;
    let job = session.client.cancel(&args.job).await;
    session.close().await;
    let job = job?;
    if global.json {
        return print_json(&job.json);
    }
    note(format!("job {} is {}", job.read.job_id, job.read.state));
    Ok(())
}
