//! What the commands for AWS call, by the environment's region and credentials.

use std::{path::Path, sync::Arc};

use willcall_aws::{Clients, ConfigError, S3DataFiles};
use willcall_core::{
    catalog::{CatalogFile, Place},
    ports::{DataFiles, DataFilesByPlace},
};
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
pub(super) fn by_place(clients: &Clients) -> Result<DataFilesByPlace, Failure> {
    let s3 = S3DataFiles::new(clients)
        .map_err(|error| Failure::caused(Exit::Failed, "cannot start reading from S3", &error))?;
    Ok(DataFilesByPlace { disk: Arc::new(LocalDataFiles), s3: Arc::new(s3) })
}

/// The files of the catalog's data sets. AWS is asked for nothing where none of them is in S3.
pub(crate) async fn data_files(catalog: &Path) -> Result<Arc<dyn DataFiles>, Failure> {
    // What is wrong with the file, its reader tells.
    let in_s3 = CatalogFile::read(catalog).is_ok_and(|file| {
        file.datasets.values().any(|entry| matches!(Place::of(&entry.source.location), Place::S3 { .. }))
    });
    if in_s3 { Ok(Arc::new(by_place(&clients().await?)?)) } else { Ok(Arc::new(LocalDataFiles)) }
}
