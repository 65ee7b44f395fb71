//! Accounts and tokens in DynamoDB. Plans are those of the catalog in the bucket, or of a file.

use std::sync::Arc;

use async_trait::async_trait;
use willcall_aws::{DynamoAccounts, S3Catalog};
use willcall_core::{
    catalog::{Catalog, CatalogFile},
    ports::{CatalogError, CatalogSource, SystemClock},
    usecases::accounts::Registry,
};

use super::clients::clients;
use crate::{
    args::{AwsHost, Global},
    failure::{Exit, Failure, chain},
    host::catalog_path,
};

/// What accounts and tokens are kept with in that table.
pub(crate) async fn open_registry(global: &Global, aws: &AwsHost, table: &str) -> Result<Registry, Failure> {
    let clients = clients().await?;
    let clock = Arc::new(SystemClock);
    let catalog: Arc<dyn CatalogSource> = match aws.bucket() {
        Some(bucket) => Arc::new(S3Catalog::new(&clients, bucket, &aws.key, Arc::clone(&clock) as _)),
        None => Arc::new(Plans::read(global)?),
    };
    Ok(Registry { accounts: Arc::new(DynamoAccounts::new(&clients, table)), catalog, clock })
}

/// The plans of a catalog file. Its data sets are not looked at: they may be large, and accounts have none of them.
struct Plans(Option<Arc<Catalog>>);

/// There is neither a bucket nor a file. Many commands need no plan, so this comes late.
#[derive(Debug, thiserror::Error)]
#[error("neither --bucket nor --catalog says where the plans are")]
struct Nowhere;

impl Plans {
    fn read(global: &Global) -> Result<Self, Failure> {
        let Ok(path) = catalog_path(global) else { return Ok(Self(None)) };
        let file = CatalogFile::read(&path).map_err(|error| Failure::new(Exit::Usage, chain(&error)))?;
        let CatalogFile { hash, upstreams, plans, default_plan, .. } = file;
        Ok(Self(Some(Arc::new(Catalog {
            hash,
            datasets: Default::default(),
            upstreams,
            plans,
            default_plan,
        }))))
    }
}

#[async_trait]
impl CatalogSource for Plans {
    async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError> {
        self.0.clone().ok_or_else(|| CatalogError(Box::new(Nowhere)))
    }
}
