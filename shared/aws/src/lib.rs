//! The ports of Willcall on AWS: jobs and accounts in DynamoDB, messages in SQS, results, the catalog and data sets in
//! S3.
//!
//! A host parses its [`AwsConfig`] once, makes its [`Clients`] once, and builds the adapters from both.
//! `docs/data-model.md` shows the items of the table.

mod accounts;
mod arrivals;
mod backoff;
mod blob_store;
mod catalog;
mod clients;
mod config;
mod data_files;
mod dynamo;
mod failure;
mod job_queue;
mod job_store;
mod notice_queue;
mod secrets;
mod signals;
mod vault_key;
mod webhook_store;

pub use self::{
    accounts::DynamoAccounts,
    arrivals::{JobsMessage, parse_jobs_message},
    blob_store::S3BlobStore,
    catalog::{
        Action, CATALOG_KEY, LocalFile, PublishError, Published, S3Catalog, S3Publisher, Step, Upload,
    },
    clients::Clients,
    config::{AwsConfig, ConfigError},
    data_files::S3DataFiles,
    dynamo::{DUE_AT, DUE_INDEX, DUE_SHARD, DUE_SHARDS, NOTICE_SHARDS_FROM, PARTITION_KEY, SORT_KEY, TTL},
    job_queue::{MESSAGE_SCHEMA, MessageError, SqsJobQueue, parse_message},
    job_store::DynamoJobStore,
    notice_queue::{SqsNoticeQueue, parse_notice},
    secrets::SecretsManager,
    signals::PollingSignals,
    vault_key::{S3VaultKey, VAULT_KEY_OBJECT},
    webhook_store::DynamoWebhookStore,
};
