//! The adapters keep the contracts of their ports.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use willcall_aws::{DynamoAccounts, DynamoJobStore, PollingSignals, S3BlobStore, SqsJobQueue, parse_message};
use willcall_aws_test::Emulator;
use willcall_conformance::{
    accounts::AccountsHarness,
    blob_store::{BlobStoreHarness, Put},
    job_queue::JobQueueHarness,
    job_store::JobStoreHarness,
    signals::SignalsHarness,
};
use willcall_core::{
    JobRef, Timestamp,
    ports::{Accounts, BlobStore, JobQueue, JobStore, Signals},
};

use crate::{place::Place, signature};

#[async_trait]
impl JobStoreHarness for Place {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn store(&self) -> Arc<dyn JobStore> {
        Arc::new(DynamoJobStore::new(&self.clients, &self.name))
    }

    fn at_once(&self) -> usize {
        32
    }
}

#[async_trait]
impl AccountsHarness for Place {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn accounts(&self) -> Arc<dyn Accounts> {
        Arc::new(DynamoAccounts::new(&self.clients, &self.name))
    }
}

#[async_trait]
impl JobQueueHarness for Place {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn queue(&self) -> Arc<dyn JobQueue> {
        Arc::new(SqsJobQueue::new(&self.clients, &self.queue_url))
    }

    async fn receive(&self) -> Option<JobRef> {
        let receive = self.raw_sqs.receive_message().queue_url(&self.queue_url).max_number_of_messages(1);
        let message = receive.send().await.unwrap().messages?.pop()?;
        let delete = self.raw_sqs.delete_message().queue_url(&self.queue_url);
        delete.receipt_handle(message.receipt_handle()?).send().await.unwrap();
        Some(parse_message(message.body()?).unwrap())
    }

    async fn pass(&self, time: Duration) {
        Emulator::of_this_run().advance(time);
    }
}

#[async_trait]
impl BlobStoreHarness for Place {
    async fn fresh() -> Self {
        Self::new().await
    }

    fn store(&self) -> Arc<dyn BlobStore> {
        Arc::new(S3BlobStore::new(&self.clients, &self.name))
    }

    async fn follow(&self, url: &str, now: Timestamp) -> Option<Bytes> {
        let (host, rest) = url.strip_prefix("http://")?.split_once('/')?;
        let (path, query) = rest.split_once('?')?;
        let path = format!("/{path}");
        if !signature::is_valid(host, &path, query, now) {
            return None;
        }
        let answer = Emulator::of_this_run().request("GET", &format!("{path}?{query}"));
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let head = head.to_lowercase();
        assert!(head.contains("content-disposition: attachment; filename=\""), "{head}");
        assert!(head.contains("content-type: text/csv; charset=utf-8"), "{head}");
        Some(Bytes::copy_from_slice(body.as_bytes()))
    }

    /// The emulator takes every PUT: what S3 refuses is refused here.
    async fn upload(&self, put: Put<'_>) -> bool {
        let Some((host, rest)) = put.url.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else {
            return false;
        };
        let Some((path, query)) = rest.split_once('?') else { return false };
        let (path, length) = (format!("/{path}"), put.body.len().to_string());
        let own = put.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
        let own: Vec<(String, &str)> = own.collect();
        let mut headers: Vec<(&str, &str)> =
            own.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        headers.extend([("host", host), ("content-length", length.as_str())]);
        if !signature::is_signed("PUT", &headers, &path, query, put.now) {
            return false;
        }
        let answer = Emulator::of_this_run().send("PUT", &format!("{path}?{query}"), put.headers, &put.body);
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        true
    }

    /// A writer that was dropped gives its upload up in the background.
    async fn leftovers(&self) -> u64 {
        self.uploads_left().await
    }
}

struct Polling;

#[async_trait]
impl SignalsHarness for Polling {
    async fn fresh() -> Self {
        Self
    }

    fn signals(&self) -> Arc<dyn Signals> {
        Arc::new(PollingSignals)
    }

    /// Nothing tells of changes: whoever listens looks again by himself.
    async fn change(&self, _job: &JobRef) {}
}

mod job_store {
    willcall_conformance::job_store_suite!(super::Place);
}
mod accounts {
    willcall_conformance::accounts_suite!(super::Place);
}
mod job_queue {
    willcall_conformance::job_queue_suite!(super::Place);
}
mod blob_store {
    willcall_conformance::blob_store_suite!(super::Place);
}
mod signals {
    willcall_conformance::signals_suite!(super::Polling);
}
