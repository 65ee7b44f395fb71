//! What S3 refuses for good, in words for the operator: the same whatever client was refused.

/// Nobody let this host read the bucket.
pub fn denied(bucket: &str) -> String {
    format!("access to the bucket {bucket} is denied: it takes s3:ListBucket and s3:GetObject")
}

/// An object lies where it takes hours to be read again: S3 lists it, and answers `InvalidObjectState` to whoever reads it.
pub fn archived(bucket: &str) -> String {
    format!("an object of the bucket {bucket} is archived: restore it, or put it elsewhere")
}
