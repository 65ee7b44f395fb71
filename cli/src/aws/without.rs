//! Stands in for the operator's commands for AWS where they were not built.

use willcall_core::usecases::accounts::Registry;

use crate::{
    args::{AwsHost, AwsWebhooks, Global},
    client::Client,
    commands::catalog::BuildArgs,
    failure::{Exit, Failure},
};

pub(crate) async fn build(_: &Global, _: BuildArgs) -> Result<(), Failure> {
    Err(missing())
}

pub(crate) async fn open_registry(_: &Global, _: &AwsHost, _: &str) -> Result<Registry, Failure> {
    Err(missing())
}

pub(crate) async fn webhook_client(_: &AwsWebhooks, _: &str) -> Result<Client, Failure> {
    Err(missing())
}

fn missing() -> Failure {
    Failure::new(Exit::Usage, "this willcall was built without the commands for AWS")
        .advice("build one that has them: cargo install --path cli --features aws")
}
