//! `delete`: removes a job with everything that it left.

use clap::Args;
use serde_json::json;

use super::{Session, Work};
use crate::{
    args::Global,
    failure::Failure,
    output::{clean, note, print_json},
};

/// Remove a job with its result.
#[derive(Args)]
pub(crate) struct DeleteArgs {
    /// The job's id
    job: String,
}

pub(crate) async fn run(global: &Global, args: DeleteArgs) -> Result<(), Failure> {
    let session = Session::open(global, Work::No).await?;
    let deleted = session.client.delete(&args.job).await;
    session.close().await;
    deleted?;
    if global.json {
        return print_json(&json!({ "job_id": args.job, "deleted": true }));
    }
    note(format!("job {} is removed", clean(&args.job)));
    Ok(())
}
