//! Data files in S3, at AWS or at whatever else speaks its protocol, without the SDK of AWS.

mod failure;
mod listing;
mod object;
mod refusal;
mod settings;
mod stores;

use std::sync::Arc;

use async_trait::async_trait;
use willcall_core::{
    catalog::{DatasetSource, Place},
    ports::{DataFile, DataFileEntry, DataFiles, DataFilesError},
};
use willcall_objects::{ObjectFile, OwnRuntime};

pub use self::settings::S3Settings;
use self::{listing::Listing, object::S3Object, stores::Stores};

/// The files of data sets at `s3://bucket/key`. The mark of a file is its ETag, on the condition of which each part
/// of it is read.
///
/// A key that ends in `/` is a prefix; any other is an object, or where there is none, a prefix that lacks its `/`.
/// Settings that cannot work make each file unreadable, with the reason: a host that reads nothing from S3 need not
/// mind them.
#[derive(Clone)]
pub struct S3DataFiles {
    stores: Arc<Stores>,
    runtime: Arc<OwnRuntime>,
}

impl S3DataFiles {
    /// Files that are reached as the settings say. Nothing is connected to, and no thread started, before the first
    /// is asked for.
    pub fn new(settings: S3Settings) -> Self {
        Self { stores: Arc::new(Stores::new(settings)), runtime: Arc::default() }
    }
}

#[async_trait]
impl DataFiles for S3DataFiles {
    async fn list(&self, source: &DatasetSource) -> Result<Vec<DataFileEntry>, DataFilesError> {
        let (bucket, key) = place(&source.location)?;
        let store = self.stores.of(bucket)?;
        let listing = Listing { store, bucket: bucket.to_owned(), key: key.to_owned() };
        self.runtime.run(async move { listing.all().await }).await
    }

    fn open(&self, entry: &DataFileEntry) -> Result<Arc<dyn DataFile>, DataFilesError> {
        let (bucket, key) = place(&entry.location)?;
        let store = self.stores.of(bucket)?;
        let object = S3Object::new(store, bucket, key, entry)?;
        Ok(Arc::new(ObjectFile::new(object, entry, &self.runtime)))
    }
}

fn place(location: &str) -> Result<(&str, &str), DataFilesError> {
    match Place::of(location) {
        Place::S3 { bucket, key } => Ok((bucket, key)),
        Place::Disk(_) => Err(DataFilesError::Unreadable("this is a path of a disk, not of S3".into())),
    }
}
