//! Takes the file of an upload: all of it, or nothing.

use futures::StreamExt;
use willcall_core::ports::{BlobError, BlobHead, BlobStream, BlobWriter, Received, SignedFileError};

use super::link::VerifiedUpload;

/// Whether the headers are those that the link was signed for. Nothing is read of what they do not announce.
pub(super) fn check(link: &VerifiedUpload, upload: &Received<'_>) -> Result<(), SignedFileError> {
    if upload.media_type != Some(link.media_type.as_str()) {
        let words = format!("the link is for a file with the header Content-Type: {}", link.media_type);
        return Err(SignedFileError::Unfit(words));
    }
    match upload.length {
        Some(length) if length == link.bytes => Ok(()),
        Some(length) => {
            let words = format!("the link is for a file of {} bytes, not {length}", link.bytes);
            Err(SignedFileError::Unfit(words))
        }
        None => Err(SignedFileError::Unannounced(link.bytes)),
    }
}

/// Writes the body, which must have exactly that many bytes. One that goes on is not read any further.
pub(super) async fn write(
    mut writer: Box<dyn BlobWriter>,
    mut body: BlobStream,
    bytes: u64,
) -> Result<BlobHead, SignedFileError> {
    let mut received: u64 = 0;
    let outcome = loop {
        match body.next().await {
            Some(Ok(piece)) => {
                received = received.saturating_add(piece.len() as u64);
                if received > bytes {
                    break Err(SignedFileError::Unfit(format!("more than {bytes} bytes came")));
                }
                if let Err(error) = writer.write(piece).await {
                    break Err(failed(error));
                }
            }
            Some(Err(error)) => break Err(failed(error)),
            None if received < bytes => {
                break Err(SignedFileError::Unfit(format!("{received} of {bytes} bytes came")));
            }
            None => break Ok(()),
        }
    };
    match outcome {
        Ok(()) => writer.finish().await.map_err(failed),
        Err(refused) => {
            // What was written goes in any case, and why it was refused is what counts.
            let _ = writer.abort().await;
            Err(refused)
        }
    }
}

pub(super) fn failed(error: BlobError) -> SignedFileError {
    SignedFileError::Unavailable(error.into())
}
