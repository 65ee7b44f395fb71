//! Stands in for the operator's commands for AWS where they were not built.

use std::{path::Path, sync::Arc};

use willcall_core::{ports::DataFiles, usecases::accounts::Registry};
use willcall_engine::LocalDataFiles;

use crate::{
    args::{AwsHost, Global},
    commands::catalog::BuildArgs,
    failure::{Exit, Failure},
};

pub(crate) async fn build(_: &Global, _: BuildArgs) -> Result<(), Failure> {
    Err(missing())
}

pub(crate) async fn open_registry(_: &Global, _: &AwsHost, _: &str) -> Result<Registry, Failure> {
    Err(missing())
}

/// Those of this machine: what is in S3 cannot be read, and is told as a problem of its data set.
pub(crate) async fn data_files(_: &Path) -> Result<Arc<dyn DataFiles>, Failure> {
    Ok(Arc::new(LocalDataFiles))
}

fn missing() -> Failure {
    Failure::new(Exit::Usage, "this willcall was built without the commands for AWS")
        .advice("build one that has them: cargo install --path cli --features aws")
}
