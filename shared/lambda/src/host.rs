//! The host: AWS clients made once, and the world of the use cases built from them.

use std::{sync::Arc, time::Duration};

use willcall_aws::{
    Clients, ConfigError, DynamoAccounts, DynamoJobStore, PollingSignals, S3BlobStore, S3Catalog, SqsJobQueue,
};
use willcall_core::{
    ports::{CatalogSource, Clock, JobQueue, SystemClock},
    usecases::{App, Settings},
};

use crate::{INLINE_LIMIT, Part, Variables, withheld::Withheld};

/// API Gateway gives an answer 30 s: what waits must have given up before, with time for a slow last call.
const MAX_WAIT: Duration = Duration::from_secs(25);
const DEFAULT_SYNC_WAIT: Duration = Duration::from_secs(10);

/// The environment and the clients of a function.
pub struct Host {
    /// The environment.
    pub vars: Variables,
    /// The clients.
    pub clients: Clients,
}

impl Host {
    /// Makes the clients. Calls nothing: credentials are in the environment, and connections are made when needed.
    pub(crate) async fn open(vars: Variables) -> Result<Self, ConfigError> {
        let clients = Clients::connect(vars.path_style()).await?;
        Ok(Self { vars, clients })
    }

    /// The address that clients use, where the operator says so.
    pub fn public_url(&self) -> Option<String> {
        self.vars.public_url()
    }

    /// The world of the use cases, with jobs, accounts and blobs and these other parts.
    pub fn app(&self, parts: &[Part]) -> Result<App, ConfigError> {
        let (table, bucket) = (self.vars.table()?, self.vars.bucket()?);
        let queue: Arc<dyn JobQueue> = if parts.contains(&Part::Queue) {
            Arc::new(SqsJobQueue::new(&self.clients, self.vars.queue_url()?))
        } else {
            Arc::new(Withheld)
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let catalog: Arc<dyn CatalogSource> = if parts.contains(&Part::Catalog) {
            Arc::new(S3Catalog::new(&self.clients, &bucket, self.vars.catalog(), Arc::clone(&clock)))
        } else {
            Arc::new(Withheld)
        };
        Ok(App {
            jobs: Arc::new(DynamoJobStore::new(&self.clients, &table)),
            queue,
            blobs: Arc::new(S3BlobStore::new(&self.clients, bucket)),
            accounts: Arc::new(DynamoAccounts::new(&self.clients, table)),
            catalog,
            signals: Arc::new(PollingSignals),
            clock,
            settings: Settings {
                // Each request has its own, told by API Gateway, unless the operator names one.
                public_url: self.vars.public_url().unwrap_or_default(),
                max_wait: MAX_WAIT,
                default_sync_wait: DEFAULT_SYNC_WAIT,
                max_sync_wait: MAX_WAIT,
                inline_limit: Some(INLINE_LIMIT),
            },
        })
    }
}
