//! The catalog in the bucket: one document, which `willcall catalog build` writes and every function reads.

mod source;

use std::fmt;

pub use self::source::S3Catalog;

/// Where the catalog is unless told otherwise.
pub const CATALOG_KEY: &str = "catalog/catalog.json";

/// An object as people write it: `s3://bucket/key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}
