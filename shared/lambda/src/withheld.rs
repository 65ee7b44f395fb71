//! What stands where a function is given no part: it has no permission to use it either, so a call is a defect.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use willcall_core::{
    JobRef,
    catalog::Catalog,
    error::Source,
    ports::{
        CatalogError, CatalogSource, JobQueue, Notice, NoticeQueue, QueueError, VAULT_KEY_LEN, VaultKey,
    },
};

/// The part that this function was not given.
#[derive(Debug, thiserror::Error)]
#[error("this function is not given the {0}")]
struct NotGiven(&'static str);

/// No part at all.
pub(crate) struct Withheld;

#[async_trait]
impl JobQueue for Withheld {
    async fn send(&self, _job: &JobRef, _delay: Duration) -> Result<(), QueueError> {
        Err(QueueError(Box::new(NotGiven("queue"))))
    }
}

#[async_trait]
impl CatalogSource for Withheld {
    async fn catalog(&self) -> Result<Arc<Catalog>, CatalogError> {
        Err(CatalogError(Box::new(NotGiven("catalog"))))
    }
}

#[async_trait]
impl NoticeQueue for Withheld {
    async fn send(&self, _notice: &Notice, _delay: Duration) -> Result<(), QueueError> {
        Err(QueueError(Box::new(NotGiven("queue of notices"))))
    }
}

#[async_trait]
impl VaultKey for Withheld {
    async fn key(&self) -> Result<[u8; VAULT_KEY_LEN], Source> {
        Err(Box::new(NotGiven("key of secrets")))
    }
}
