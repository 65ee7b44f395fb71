//! What the commands for AWS call, by the environment's region and credentials.

use std::sync::Arc;

use willcall_aws::{Clients, ConfigError, S3DataFiles};
use willcall_core::ports::DataFilesByPlace;
use willcall_engine::LocalDataFiles;

use crate::failure::{Exit, Failure};

const CREDENTIALS: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; with single sign-on, run \
                           eval \"$(aws configure export-credentials --format env)\"";

/// The clients. Region and credentials must be there.
pub(super) async fn clients() -> Result<Clients, Failure> {
    Clients::for_command().await.map_err(|error| match error {
        ConfigError::NotSet("AWS_REGION") => Failure::new(Exit::Usage, "no AWS region is set")
            .advice("set AWS_REGION, or AWS_PROFILE to a profile that has one"),
        ConfigError::NoCredentials(reason) => {
            Failure::new(Exit::Denied, "there are no AWS credentials").detail(reason).advice(CREDENTIALS)
        }
        other => Failure::new(Exit::Usage, other.to_string()),
    })
}

/// The files of data sets on this machine's disk and in S3.
pub(super) fn by_place(clients: &Clients) -> DataFilesByPlace {
    DataFilesByPlace { disk: Arc::new(LocalDataFiles), s3: Arc::new(S3DataFiles::new(clients)) }
}
