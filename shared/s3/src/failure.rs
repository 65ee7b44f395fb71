//! What a failed call means for the file that it was about.

use std::error::Error;

use willcall_core::ports::DataFilesError;
use willcall_objects::words;

use crate::{refusal::Refused, settings::NO_CREDENTIALS, stores::NoCredentials};

/// Why a bucket cannot be read; words for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct CallFailed {
    what: String,
    #[source]
    source: object_store::Error,
}

/// The meaning of a call's failure. `bucket` is the one that it was about.
pub(crate) fn failed(bucket: &str, source: object_store::Error) -> DataFilesError {
    let unavailable = |what, source| DataFilesError::Unavailable(Box::new(CallFailed { what, source }));
    let unreadable = |what, source| DataFilesError::Unreadable(Box::new(CallFailed { what, source }));
    if find::<NoCredentials>(&source).is_some() {
        return unavailable(NO_CREDENTIALS.to_owned(), source);
    }
    let Some(refused) = find::<Refused>(&source) else {
        return unavailable(format!("S3 does not answer for the bucket {bucket}"), source);
    };
    let code = refused.code.as_deref().unwrap_or_default();
    match (refused.status, code) {
        (404, "NoSuchBucket") => unreadable(
            format!("there is no bucket {bucket}: see to the path, and to the endpoint of S3"),
            source,
        ),
        (404, _) => DataFilesError::Missing,
        // What lies past the end cannot be asked for of the object that was listed.
        (412 | 416, _) => DataFilesError::Changed,
        // Clocks that differ and credentials that ran out are this host's, and pass.
        (_, "RequestTimeTooSkewed" | "ExpiredToken" | "RequestTimeout") => {
            unavailable(format!("S3 does not take this host's requests for the bucket {bucket} now"), source)
        }
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken") => unreadable(
            format!(
                "S3 does not know the credentials for the bucket {bucket}: see to AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ),
            source,
        ),
        (_, "InvalidObjectState") => unreadable(words::archived(bucket), source),
        (401 | 403, _) => unreadable(words::denied(bucket), source),
        (300..=399, _) => {
            let region = refused.region.as_deref().map(|region| format!(", {region}")).unwrap_or_default();
            unreadable(format!("the bucket {bucket} lies in another region{region}: set AWS_REGION"), source)
        }
        _ => unreadable(format!("S3 refuses to read the bucket {bucket}"), source),
    }
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
