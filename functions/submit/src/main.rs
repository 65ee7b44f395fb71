//! The Lambda function for everything that writes, and for records at once.

use std::process::ExitCode;

use willcall_http::submit_routes;
use willcall_lambda::{Api, Part, start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async |host| {
        let app = host.app(&[Part::Catalog, Part::Queue, Part::Notices, Part::Secrets])?;
        lambda_http::run(Api::new(app, host.public_url(), submit_routes)).await
    })
    .await
}
