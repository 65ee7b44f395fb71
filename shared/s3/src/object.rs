//! Reads of one object, each on the condition that it is still the one that was listed.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore, aws::AmazonS3, path::Path};
use willcall_core::ports::{DataFileEntry, DataFilesError};
use willcall_objects::{ReadRange, short};

use crate::{failure::failed, listing::path};

/// An object, or rather what of it is asked for.
#[derive(Clone)]
pub(crate) struct S3Object {
    store: Arc<AmazonS3>,
    bucket: String,
    path: Path,
    tag: String,
}

impl fmt::Debug for S3Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{} {}", self.bucket, self.path, self.tag)
    }
}

impl S3Object {
    pub(crate) fn new(
        store: Arc<AmazonS3>,
        bucket: &str,
        key: &str,
        entry: &DataFileEntry,
    ) -> Result<Self, DataFilesError> {
        Ok(Self { store, bucket: bucket.to_owned(), path: path(key)?, tag: entry.mark.clone() })
    }
}

impl ReadRange for S3Object {
    /// A body that breaks off is continued by the client, on the same condition.
    async fn read(&self, range: Range<u64>) -> Result<Bytes, DataFilesError> {
        let wanted = range.end - range.start;
        let options = GetOptions {
            if_match: Some(self.tag.clone()),
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(&self.path, options).await;
        let bytes = got.map_err(|error| failed(&self.bucket, error))?.bytes().await;
        let bytes = bytes.map_err(|error| failed(&self.bucket, error))?;
        let got = bytes.len() as u64;
        if got == wanted { Ok(bytes) } else { Err(short(wanted, got)) }
    }
}
