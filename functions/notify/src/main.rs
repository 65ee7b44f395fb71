//! The Lambda function that sends webhooks.

use std::process::ExitCode;

use lambda_runtime::service_fn;
use willcall_lambda::{NoticeConsumer, Part, start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async |host| {
        let consumer = NoticeConsumer::new(host.notifier(&[Part::Notices, Part::Secrets])?);
        lambda_runtime::run(service_fn(|event| consumer.handle(event))).await
    })
    .await
}
