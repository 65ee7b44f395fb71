//! The Lambda function that moves jobs and notices when all else fails, and deals with dead letters.

use std::process::ExitCode;

use lambda_runtime::service_fn;
use willcall_lambda::{Part, Sweeper, start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async |host| {
        let sweeper = Sweeper::new(host.app(&[Part::Queue, Part::Notices])?);
        lambda_runtime::run(service_fn(|event| sweeper.handle(event))).await
    })
    .await
}
