//! Reads of one object, each on the condition that it is still the one that was listed.

use std::{fmt, ops::Range, time::Duration};

use aws_sdk_s3::{Client, primitives::ByteStream};
use bytes::{Bytes, BytesMut};
use willcall_core::ports::{DataFileEntry, DataFilesError};
use willcall_objects::{ReadRange, short};

use super::failed;
use crate::{backoff::jitter, failure::CallFailed};

/// A body that broke off is fetched anew this often: the SDK tries again only until a body begins.
const BODIES: u32 = 4;

/// The longest wait before a body is fetched anew.
const PAUSE: Duration = Duration::from_millis(400);

/// An object, or rather what of it is asked for.
#[derive(Clone)]
pub(super) struct S3Object {
    client: Client,
    bucket: String,
    key: String,
    tag: String,
}

impl fmt::Debug for S3Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{} {}", self.bucket, self.key, self.tag)
    }
}

impl S3Object {
    pub(super) fn new(client: &Client, bucket: &str, key: &str, entry: &DataFileEntry) -> Self {
        Self {
            client: client.clone(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            tag: entry.mark.clone(),
        }
    }
}

impl ReadRange for S3Object {
    async fn read(&self, range: Range<u64>) -> Result<Bytes, DataFilesError> {
        let mut tries = 1;
        loop {
            let body = self.get(&range).await?;
            match collect(body, &range).await {
                Err(DataFilesError::Unavailable(_)) if tries < BODIES => {
                    tokio::time::sleep(jitter(PAUSE)).await;
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }
}

impl S3Object {
    async fn get(&self, range: &Range<u64>) -> Result<ByteStream, DataFilesError> {
        let get =
            self.client.get_object().bucket(&self.bucket).key(&self.key).if_match(&self.tag).range(format!(
                "bytes={}-{}",
                range.start,
                range.end - 1
            ));
        let got = get.send().await.map_err(|error| failed("GetObject", &self.bucket, error))?;
        Ok(got.body)
    }
}

async fn collect(mut body: ByteStream, range: &Range<u64>) -> Result<Bytes, DataFilesError> {
    let wanted = range.end - range.start;
    let length = usize::try_from(wanted).map_err(|error| DataFilesError::Unreadable(error.into()))?;
    let mut bytes = BytesMut::with_capacity(length);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| {
            let failed = CallFailed::other("reading a body of GetObject", error);
            DataFilesError::Unavailable(Box::new(failed))
        })?;
        bytes.extend_from_slice(&piece);
        // More than was asked for is not to be held either.
        if bytes.len() > length {
            break;
        }
    }
    if bytes.len() != length {
        return Err(short(wanted, bytes.len() as u64));
    }
    Ok(bytes.freeze())
}
