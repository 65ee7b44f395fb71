//! The Lambda function for everything that reads results.

use std::process::ExitCode;

use willcall_http::download_routes;
use willcall_lambda::{Api, Part, start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    start(async |host| {
        let app = host.app(&[Part::Catalog, Part::Queue])?;
        lambda_http::run(Api::new(app, host.public_url(), download_routes)).await
    })
    .await
}
