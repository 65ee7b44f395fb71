//! Data files in S3: any bucket that the credentials reach.

mod read;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    primitives::DateTime,
};
use willcall_core::{
    Timestamp,
    catalog::{DatasetSource, Partition, Place},
    error::Source,
    ports::{DataFile, DataFileEntry, DataFiles, DataFilesError},
};
use willcall_objects::{ObjectFile, OwnRuntime, words};

use self::read::S3Object;
use crate::{Clients, failure::CallFailed};

/// The files of data sets at `s3://bucket/key`. The mark of a file is its ETag, on the condition of which each part
/// of it is read.
///
/// A key that ends in `/` is a prefix; any other is an object, or where there is none, a prefix that lacks its `/`.
#[derive(Clone)]
pub struct S3DataFiles {
    client: Client,
    runtime: Arc<OwnRuntime>,
}

impl S3DataFiles {
    /// Files that are read by these clients, on a runtime of their own: threads can wait for what they read whatever
    /// runtime the host has, or is busy with.
    pub fn new(clients: &Clients) -> Self {
        Self { client: clients.s3.clone(), runtime: Arc::default() }
    }
}

#[async_trait]
impl DataFiles for S3DataFiles {
    async fn list(&self, source: &DatasetSource) -> Result<Vec<DataFileEntry>, DataFilesError> {
        let (bucket, key) = place(&source.location)?;
        let listing = Listing { client: self.client.clone(), bucket: bucket.to_owned(), key: key.to_owned() };
        self.runtime.run(async move { listing.all().await }).await
    }

    fn open(&self, entry: &DataFileEntry) -> Result<Arc<dyn DataFile>, DataFilesError> {
        let (bucket, key) = place(&entry.location)?;
        let object = S3Object::new(&self.client, bucket, key, entry);
        Ok(Arc::new(ObjectFile::new(object, entry, &self.runtime)))
    }
}

fn place(location: &str) -> Result<(&str, &str), DataFilesError> {
    match Place::of(location) {
        Place::S3 { bucket, key } => Ok((bucket, key)),
        Place::Disk(_) => {
            Err(DataFilesError::Unreadable("this host reads data from S3, not from its own disk".into()))
        }
    }
}

/// What lies at one location.
struct Listing {
    client: Client,
    bucket: String,
    key: String,
}

impl Listing {
    async fn all(&self) -> Result<Vec<DataFileEntry>, DataFilesError> {
        if self.key.ends_with('/') {
            return self.below(&self.key).await;
        }
        match self.object().await? {
            Some(entry) => Ok(vec![entry]),
            None => self.below(&format!("{}/", self.key)).await,
        }
    }

    /// The object of that very key.
    async fn object(&self) -> Result<Option<DataFileEntry>, DataFilesError> {
        let head = self.client.head_object().bucket(&self.bucket).key(&self.key).send().await;
        let head = match head.map_err(|error| failed("HeadObject", &self.bucket, error)) {
            Ok(head) => head,
            Err(DataFilesError::Missing) => return Ok(None),
            Err(error) => return Err(error),
        };
        let name = self.key.rsplit('/').next().unwrap_or_default();
        self.entry(&self.key, name, head.content_length(), head.last_modified(), head.e_tag()).map(Some)
    }

    /// The files of a data set directly below a prefix, and below further parts of a key that tell a value.
    async fn below(&self, prefix: &str) -> Result<Vec<DataFileEntry>, DataFilesError> {
        let (mut files, has_partitions) = self.listed(prefix, Some("/")).await?;
        if has_partitions {
            // All at once: each part of its own would take a request of its own.
            (files, _) = self.listed(prefix, None).await?;
        }
        DataFileEntry::of_directory(files)
    }

    /// The files below a prefix, and whether some below the delimiter may be the data set's too.
    async fn listed(
        &self,
        prefix: &str,
        delimiter: Option<&str>,
    ) -> Result<(Vec<DataFileEntry>, bool), DataFilesError> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = list.set_delimiter(delimiter.map(str::to_owned)).into_paginator().send();
        let (mut files, mut has_partitions) = (Vec::new(), false);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("ListObjectsV2", &self.bucket, error))?;
            let parts = page.common_prefixes().iter().filter_map(|part| part.prefix()?.strip_prefix(prefix));
            has_partitions |=
                parts.into_iter().any(|part| Partition::of_directory(part.trim_end_matches('/')).is_some());
            for object in page.contents() {
                let Some(key) = object.key() else { continue };
                let name = key.strip_prefix(prefix).unwrap_or_default();
                if DataFileEntry::is_candidate(name) {
                    files.push(self.entry(
                        key,
                        name,
                        object.size(),
                        object.last_modified(),
                        object.e_tag(),
                    )?);
                }
            }
        }
        Ok((files, has_partitions))
    }

    fn entry(
        &self,
        key: &str,
        name: &str,
        size: Option<i64>,
        modified: Option<&DateTime>,
        tag: Option<&str>,
    ) -> Result<DataFileEntry, DataFilesError> {
        let untold = |what| DataFilesError::Unavailable(format!("S3 told no {what} of {key}").into());
        Ok(DataFileEntry {
            location: format!("s3://{}/{key}", self.bucket),
            name: name.to_owned(),
            size: size.and_then(|size| u64::try_from(size).ok()).ok_or_else(|| untold("size"))?,
            modified: modified
                .and_then(|time| time.to_millis().ok())
                .map(Timestamp::from_millis)
                .ok_or_else(|| untold("time"))?,
            mark: tag.ok_or_else(|| untold("ETag"))?.to_owned(),
        })
    }
}

/// Why a bucket cannot be read; words for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Refused {
    what: String,
    #[source]
    source: CallFailed,
}

/// What a failed call means for the file that it was about. `bucket` is where that lies.
fn failed<E>(operation: &'static str, bucket: &str, error: SdkError<E, HttpResponse>) -> DataFilesError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    // Clocks that differ and credentials that ran out are this host's, and pass.
    let passes = matches!(error.code(), Some("RequestTimeTooSkewed" | "ExpiredToken" | "RequestTimeout"));
    let what = match (status, error.code()) {
        (_, Some("InvalidObjectState")) => Some(words::archived(bucket)),
        // A HEAD is refused without a word.
        (Some(401 | 403), None | Some("AccessDenied" | "Forbidden")) => Some(words::denied(bucket)),
        _ => None,
    };
    let source = CallFailed::new(operation, error);
    let source = match what {
        Some(what) => Source::from(Refused { what, source }),
        None => Source::from(source),
    };
    match status {
        Some(404) => DataFilesError::Missing,
        // What lies past the end cannot be asked for of the object that was listed.
        Some(412 | 416) => DataFilesError::Changed,
        Some(408 | 429) | None => DataFilesError::Unavailable(source),
        Some(300..500) if !passes => DataFilesError::Unreadable(source),
        _ => DataFilesError::Unavailable(source),
    }
}
