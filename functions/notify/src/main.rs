//! The Lambda function that hears of jobs that have ended.

use std::process::ExitCode;

use lambda_runtime::service_fn;
use willcall_lambda::{notify, start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async |_| lambda_runtime::run(service_fn(notify)).await).await
}
