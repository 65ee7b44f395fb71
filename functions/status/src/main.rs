//! The Lambda function for everything that reads state, and for what has no route.

use std::process::ExitCode;

use willcall_http::status_routes;
use willcall_lambda::{Api, Part, start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async |host| {
        let app = host.app(&[Part::Catalog])?;
        lambda_http::run(Api::new(app, host.public_url(), status_routes)).await
    })
    .await
}
