//! Removes all blobs under a prefix, a thousand at a time.

use aws_sdk_s3::types::{ChecksumAlgorithm, Delete, ObjectIdentifier};
use willcall_core::{error::Source, ports::BlobError};

use super::{S3BlobStore, unavailable};
use crate::failure::CallFailed;

/// S3 told of some keys that it did not delete them.
#[derive(Debug, thiserror::Error)]
#[error("{count} keys were not deleted, the first with {code}")]
struct NotDeleted {
    count: usize,
    code: String,
}

impl S3BlobStore {
    pub(super) async fn delete_all(&self, prefix: &str) -> Result<u64, BlobError> {
        let (mut gone, mut from) = (0, None);
        loop {
            let list = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_continuation_token(from)
                .send()
                .await
                .map_err(|error| unavailable("ListObjectsV2", error))?;
            let keys: Vec<&str> = list.contents().iter().filter_map(|object| object.key()).collect();
            if !keys.is_empty() {
                self.delete_objects(&keys).await?;
                gone += keys.len() as u64;
            }
            from = list.next_continuation_token;
            if from.is_none() {
                return Ok(gone);
            }
        }
    }

    /// Removes a thousand blobs at most.
    pub(crate) async fn delete_objects(&self, keys: &[&str]) -> Result<(), BlobError> {
        const CALL: &str = "DeleteObjects";
        let odd = |error: Source| BlobError::Unavailable(Box::new(CallFailed::other(CALL, error)));
        let objects: Result<Vec<_>, _> =
            keys.iter().map(|key| ObjectIdentifier::builder().key(*key).build()).collect();
        let objects = objects.map_err(|error| odd(error.into()))?;
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let deleted = self
            .client
            .delete_objects()
            .bucket(&self.bucket)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .delete(delete.map_err(|error| odd(error.into()))?)
            .send()
            .await
            .map_err(|error| unavailable(CALL, error))?;
        match deleted.errors() {
            [] => Ok(()),
            errors => {
                let code = errors[0].code().unwrap_or("no code").to_owned();
                Err(odd(Box::new(NotDeleted { count: errors.len(), code })))
            }
        }
    }
}
