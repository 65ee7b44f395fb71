//! Puts a built catalog in place, and removes what nobody reads any more.

use std::collections::BTreeSet;

use aws_sdk_s3::{Client, error::ProvideErrorMetadata, primitives::ByteStream, types::ChecksumAlgorithm};
use willcall_core::catalog::BuiltCatalog;

use super::{PublishError, layout};
use crate::{
    Clients, S3BlobStore, clients,
    failure::{CallFailed, status},
};

const MEDIA_TYPE: &str = "application/json";
/// Keys that S3 deletes in one call.
const DELETED_AT_ONCE: usize = 1000;

/// A bucket, as `willcall catalog build` works on it.
#[derive(Debug, Clone)]
pub struct S3Publisher {
    pub(super) client: Client,
    pub(super) store: S3BlobStore,
    pub(super) bucket: String,
}

/// The catalog that is in place before a new one is.
#[derive(Debug)]
pub struct Published {
    key: String,
    etag: Option<String>,
    /// The editions of data sets that it names; `None` where it cannot be read.
    editions: Option<BTreeSet<String>>,
}

impl S3Publisher {
    /// The bucket of that name.
    pub fn new(clients: &Clients, bucket: impl Into<String>) -> Self {
        let bucket = bucket.into();
        Self { client: clients.s3.clone(), store: S3BlobStore::new(clients, &bucket), bucket }
    }

    /// What is in place under the key. To be asked for before anything is uploaded: [`Self::publish`] refuses what was
    /// begun before another build was done.
    pub async fn published(&self, key: &str) -> Result<Published, PublishError> {
        let get = self.client.get_object().bucket(&self.bucket).key(key).send().await;
        let got = match get {
            Ok(got) => got,
            Err(error) if status(&error) == Some(404) && error.code() != Some("NoSuchBucket") => {
                return Ok(Published { key: key.to_owned(), etag: None, editions: Some(BTreeSet::new()) });
            }
            Err(error) => return Err(self.failed(CallFailed::new("GetObject", error))),
        };
        let etag = got.e_tag;
        let body = got.body.collect().await;
        let body = body.map_err(|error| self.failed(CallFailed::other("reading the catalog", error)))?;
        let read = BuiltCatalog::from_json(&body.into_bytes());
        let editions = read.ok().map(|built| layout::editions_of(&built.catalog, &self.bucket));
        Ok(Published { key: key.to_owned(), etag, editions })
    }

    /// Puts the catalog in place of the one before it, in one step. Its data sets must be there.
    pub async fn publish(&self, before: &Published, document: Vec<u8>) -> Result<(), PublishError> {
        let config = clients::upload(document.len());
        let unless_there = before.etag.is_none().then(|| "*".to_owned());
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(&before.key)
            .content_type(MEDIA_TYPE)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_if_match(before.etag.clone())
            .set_if_none_match(unless_there)
            .body(ByteStream::from(document))
            .customize()
            .config_override(config);
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.code() {
                Some("PreconditionFailed" | "ConditionalRequestConflict") => Err(PublishError::Overtaken),
                _ => Err(self.failed(CallFailed::new("PutObject", error))),
            },
        }
    }

    /// Removes uploaded files that neither the new catalog nor the one before it names, and answers how many. Those of
    /// the one before stay until the next build: functions go on with it for half a minute, and their jobs for longer.
    /// Where a catalog beside it cannot be read, nothing is removed, as nobody knows what it names.
    pub async fn sweep(&self, before: &Published, built: &BuiltCatalog) -> Result<u64, PublishError> {
        let Some(mut named) = before.editions.clone() else { return Ok(0) };
        named.extend(layout::editions_of(&built.catalog, &self.bucket));
        let directory = before.key.rsplit_once('/').map_or("", |(directory, _)| directory);
        let beside = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        // Without a directory of its own, the bucket's other documents would all have to be read.
        if !beside.is_empty() {
            for (key, _) in self.list(&beside).await? {
                if key != before.key && key.ends_with(".json") {
                    match self.published(&key).await?.editions {
                        Some(editions) => named.extend(editions),
                        None => return Ok(0),
                    }
                }
            }
        }
        let files = self.list("datasets/").await?;
        let unread = |key: &&str| layout::edition(key).is_some_and(|edition| !named.contains(edition));
        let keys: Vec<&str> = files.iter().map(|(key, _)| key.as_str()).filter(unread).collect();
        for some in keys.chunks(DELETED_AT_ONCE) {
            self.store.delete_objects(some).await.map_err(|error| self.failed(error))?;
        }
        Ok(keys.len() as u64)
    }

    /// Keys and sizes of all objects below the prefix.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, PublishError> {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let list = list.set_continuation_token(from).send().await;
            let list = list.map_err(|error| self.failed(CallFailed::new("ListObjectsV2", error)))?;
            for object in list.contents() {
                if let Some(key) = object.key() {
                    let size = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                    found.push((key.to_owned(), size));
                }
            }
            from = list.next_continuation_token;
            if from.is_none() {
                return Ok(found);
            }
        }
    }
}
