//! The catalog in the bucket: one document, which `willcall catalog build` writes and every function reads; and the
//! files of data sets that it brings along.

mod layout;
mod publish;
mod source;
mod upload;

use std::fmt;

pub use self::{
    publish::{Published, S3Publisher},
    source::S3Catalog,
    upload::{Action, LocalFile, PublishError, Step, Upload},
};

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
