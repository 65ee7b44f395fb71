//! The webhooks of a host on AWS: its routes in this process, over its table, for one of its accounts.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use willcall_aws::{
    Clients, DynamoAccounts, DynamoJobStore, DynamoWebhookStore, PollingSignals, S3BlobStore, S3VaultKey,
    SqsNoticeQueue,
};
use willcall_core::{
    AccountId, Error, JobRef,
    catalog::Catalog,
    error::Source,
    ports::{
        Accounts, CatalogError, CatalogSource, Clock, JobQueue, Notice, NoticeQueue, QueueError, SystemClock,
        VAULT_KEY_LEN, Vault, VaultKey,
    },
    token::Token,
    usecases::{App, Notifier, Settings},
    webhook::AllowList,
};
use willcall_webhook::{HttpSender, SealingVault};

use super::clients::clients;
use crate::{
    args::AwsWebhooks,
    client::{Client, InProcess},
    failure::{Exit, Failure},
    operator::{LOCAL, OperatorAccounts, OperatorCatalog},
};

/// The base of links, which nobody follows here.
const BASE: &str = "http://willcall.invalid";

/// A client of the host's own routes, as the account that is named.
pub(crate) async fn webhook_client(aws: &AwsWebhooks, table: &str) -> Result<Client, Failure> {
    let Some(id) = aws.account.clone() else {
        return Err(Failure::new(Exit::Usage, "--table needs --account: whose webhooks"));
    };
    let entries = aws.allow.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty());
    let allow = AllowList::parse(entries)
        .map_err(|error| Failure::caused(Exit::Usage, "--allow cannot be read", &error))?;
    let clients = clients().await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let token = Token::generate()
        .map_err(|error| Failure::caused(Exit::Failed, "the system gives no random numbers", &error))?;
    let stored = known(Arc::new(DynamoAccounts::new(&clients, table)), &id, table).await?;
    let accounts = OperatorAccounts::new(stored, id, &token, clock.now());
    let app = App {
        jobs: Arc::new(DynamoJobStore::new(&clients, table)),
        queue: Arc::new(Absent),
        // Nothing that is asked here is in it.
        blobs: Arc::new(S3BlobStore::new(&clients, aws.bucket().unwrap_or_default())),
        accounts: Arc::new(accounts.await.map_err(|error| Failure::from(Error::from(error)))?),
        catalog: Arc::new(OperatorCatalog(Arc::new(Absent))),
        signals: Arc::new(PollingSignals),
        notifier: notifier(aws, table, &clients, allow, Arc::clone(&clock)),
        clock,
        settings: Settings {
            public_url: BASE.to_owned(),
            max_wait: Duration::ZERO,
            default_sync_wait: Duration::ZERO,
            max_sync_wait: Duration::ZERO,
            inline_limit: None,
        },
    };
    let routes = willcall_http::all_routes(app, None);
    Ok(Client::in_process(InProcess(routes), BASE, token.expose().into()))
}

/// The accounts, if that one is among them: asking for its webhooks makes none.
async fn known(
    accounts: Arc<dyn Accounts>,
    id: &AccountId,
    table: &str,
) -> Result<Arc<dyn Accounts>, Failure> {
    match accounts.account(id).await.map_err(|error| Failure::from(Error::from(error)))? {
        Some(_) => Ok(accounts),
        None => Err(Failure::new(Exit::NotFound, format!("there is no account {id} in {table}"))
            .advice("`willcall account list` shows those that there are")),
    }
}

fn notifier(
    aws: &AwsWebhooks,
    table: &str,
    clients: &Clients,
    allow: AllowList,
    clock: Arc<dyn Clock>,
) -> Notifier {
    let queue: Arc<dyn NoticeQueue> = match aws.notify_queue() {
        Some(url) => Arc::new(SqsNoticeQueue::new(clients, url)),
        None => Arc::new(Absent),
    };
    let vault: Arc<dyn Vault> = match aws.bucket() {
        Some(bucket) => Arc::new(SealingVault::new(S3VaultKey::new(clients, bucket))),
        None => Arc::new(SealingVault::new(Absent)),
    };
    Notifier {
        store: Arc::new(DynamoWebhookStore::new(clients, table)),
        queue,
        sender: Arc::new(HttpSender::new(allow)),
        vault,
        clock,
    }
}

/// Stands where the command was given nothing, or needs nothing.
struct Absent;

/// What was not given is asked for after all.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotGiven(&'static str);

#[async_trait]
impl JobQueue for Absent {
    async fn send(&self, _job: &JobRef, _delay: Duration) -> Result<(), QueueError> {
        Err(QueueError(Box::new(NotGiven("this command sends no jobs"))))
    }
}

#[async_trait]
impl NoticeQueue for Absent {
    async fn send(&self, _notice: &Notice, _delay: Duration) -> Result<(), QueueError> {
        Err(QueueError(Box::new(NotGiven("no --notify-queue was named"))))
    }
}

#[async_trait]
impl VaultKey for Absent {
    async fn key(&self) -> Result<[u8; VAULT_KEY_LEN], Source> {
        Err(Box::new(NotGiven("no --bucket was named, which has the key of secrets")))
    }
}

/// Without data sets: webhooks need none, and the operator's plan is put into it.
#[async_trait]
impl CatalogSource for Absent {
    async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError> {
        Ok(Arc::new(Catalog {
            upstreams: Default::default(),
            hash: String::new(),
            datasets: Default::default(),
            plans: Default::default(),
            default_plan: LOCAL.to_owned(),
        }))
    }
}
