//! The host: AWS clients made once, and the world of the use cases built from them.

use std::{sync::Arc, time::Duration};

use willcall_aws::{
    Clients, ConfigError, DynamoAccounts, DynamoJobStore, DynamoWebhookStore, PollingSignals, S3BlobStore,
    S3Catalog, S3DataFiles, S3VaultKey, SecretsManager, SqsJobQueue, SqsNoticeQueue,
};
use willcall_core::{
    ports::{
        CatalogSource, Clock, DataFiles, DataFilesByPlace, JobQueue, NoticeQueue, Secrets, SystemClock, Vault,
    },
    usecases::{App, Notifier, Settings},
    webhook::AllowList,
};
use willcall_webhook::{HttpSender, SealingVault};

use crate::{INLINE_LIMIT, Part, Size, Variables, withheld::Withheld};

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

    /// What the function's size leaves to work with.
    pub fn size(&self) -> Size {
        Size::of(&self.vars, &std::env::temp_dir())
    }

    /// The files of data sets in S3, and with `disk` those that the function brought along.
    pub fn data_files(&self, disk: Arc<dyn DataFiles>) -> Arc<dyn DataFiles> {
        let s3 = Arc::new(S3DataFiles::new(&self.clients));
        Arc::new(DataFilesByPlace { disk, s3 })
    }

    /// The secrets of upstreams: in the environment and in Secrets Manager.
    pub fn secrets(&self) -> Arc<dyn Secrets> {
        Arc::new(SecretsManager::new(&self.clients))
    }

    /// What tells others of jobs, with these of its parts. Encryption and the key of secrets are had when first needed.
    pub fn notifier(&self, parts: &[Part]) -> Result<Notifier, ConfigError> {
        let queue: Arc<dyn NoticeQueue> = if parts.contains(&Part::Notices) {
            Arc::new(SqsNoticeQueue::new(&self.clients, self.vars.notify_queue_url()?))
        } else {
            Arc::new(Withheld)
        };
        let vault: Arc<dyn Vault> = if parts.contains(&Part::Secrets) {
            Arc::new(SealingVault::new(S3VaultKey::new(&self.clients, self.vars.bucket()?)))
        } else {
            Arc::new(SealingVault::new(Withheld))
        };
        // A list that is wrong stops those that judge addresses by it, and no others.
        let allow = match parts.contains(&Part::Secrets) {
            true => self.vars.webhooks_allow()?,
            false => AllowList::default(),
        };
        Ok(Notifier {
            store: Arc::new(DynamoWebhookStore::new(&self.clients, self.vars.table()?)),
            queue,
            sender: Arc::new(HttpSender::new(allow)),
            vault,
            clock: Arc::new(SystemClock),
        })
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
            notifier: self.notifier(parts)?,
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
