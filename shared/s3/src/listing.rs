//! What lies at one location.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, aws::AmazonS3, path::Path};
use willcall_core::{
    Timestamp,
    catalog::Partition,
    ports::{DataFileEntry, DataFilesError},
};

use crate::failure::failed;

/// A location to be listed.
pub(crate) struct Listing {
    pub(crate) store: Arc<AmazonS3>,
    pub(crate) bucket: String,
    pub(crate) key: String,
}

impl Listing {
    pub(crate) async fn all(&self) -> Result<Vec<DataFileEntry>, DataFilesError> {
        if !self.key.ends_with('/')
            && let Some(entry) = self.object().await?
        {
            return Ok(vec![entry]);
        }
        self.below().await
    }

    /// The object of that very key.
    async fn object(&self) -> Result<Option<DataFileEntry>, DataFilesError> {
        match self.store.head(&path(&self.key)?).await.map_err(|error| failed(&self.bucket, error)) {
            Ok(object) => {
                let name = self.key.rsplit('/').next().unwrap_or_default();
                self.entry(name, &object).map(Some)
            }
            Err(DataFilesError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The files of a data set directly below a prefix, and below further parts of a key that tell a value.
    async fn below(&self) -> Result<Vec<DataFileEntry>, DataFilesError> {
        let prefix = path(&self.key)?;
        let listed = self.store.list_with_delimiter(Some(&prefix)).await;
        let listed = listed.map_err(|error| failed(&self.bucket, error))?;
        let tells = |part: &Path| part.filename().is_some_and(|name| Partition::of_directory(name).is_some());
        let mut objects = listed.objects;
        if listed.common_prefixes.iter().any(tells) {
            // All at once: each part of its own would take a request of its own.
            let all = self.store.list(Some(&prefix)).try_collect().await;
            objects = all.map_err(|error| failed(&self.bucket, error))?;
        }
        let mut files = Vec::new();
        for object in &objects {
            let below = object.location.as_ref().strip_prefix(prefix.as_ref());
            let Some(name) = below.and_then(|below| below.strip_prefix('/')) else { continue };
            if DataFileEntry::is_candidate(name) {
                files.push(self.entry(name, object)?);
            }
        }
        DataFileEntry::of_directory(files)
    }

    fn entry(&self, name: &str, object: &ObjectMeta) -> Result<DataFileEntry, DataFilesError> {
        let untold = || DataFilesError::Unreadable(format!("S3 told no ETag of {}", object.location).into());
        Ok(DataFileEntry {
            location: format!("s3://{}/{}", self.bucket, object.location),
            name: name.to_owned(),
            size: object.size,
            modified: Timestamp::from_millis(object.last_modified.timestamp_millis()),
            mark: object.e_tag.clone().ok_or_else(untold)?,
        })
    }
}

/// The client's form of a key, which is the key itself.
pub(crate) fn path(key: &str) -> Result<Path, DataFilesError> {
    Path::parse(key).map_err(|error| DataFilesError::Unreadable(error.into()))
}
