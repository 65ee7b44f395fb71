//! The key of webhooks' secrets, in an object of the bucket: whoever can read the table alone does not have it.

use async_trait::async_trait;
use aws_sdk_s3::{
    error::ProvideErrorMetadata, operation::get_object::GetObjectError, primitives::ByteStream,
    types::ServerSideEncryption,
};
use willcall_core::{
    error::Source,
    ports::{VAULT_KEY_LEN, VaultKey},
};

use crate::{
    Clients,
    failure::{CallFailed, status},
};

/// The name of the object. Only what signs, and what makes secrets, need be allowed to read it.
pub const VAULT_KEY_OBJECT: &str = "keys/webhooks";

/// The key in S3; made at random by whoever first needs it.
#[derive(Debug, Clone)]
pub struct S3VaultKey {
    client: aws_sdk_s3::Client,
    bucket: String,
}

/// The object holds no key.
#[derive(Debug, thiserror::Error)]
#[error("{VAULT_KEY_OBJECT} holds {0} bytes, not a key of {VAULT_KEY_LEN}")]
struct NoKey(usize);

/// S3 refuses what the role must be allowed.
#[derive(Debug, thiserror::Error)]
#[error("the key of webhooks' secrets cannot be had: the role lacks {action}")]
struct Denied {
    action: &'static str,
    source: CallFailed,
}

const READ: &str = "s3:GetObject on keys/webhooks";
const WRITE: &str = "s3:PutObject on keys/webhooks";
const LIST: &str =
    "s3:ListBucket on the bucket for the prefix keys/*, without which nobody can tell whether it is there";

impl S3VaultKey {
    /// The key of that bucket.
    pub fn new(clients: &Clients, bucket: impl Into<String>) -> Self {
        Self { client: clients.s3.clone(), bucket: bucket.into() }
    }

    async fn read(&self) -> Result<Option<[u8; VAULT_KEY_LEN]>, Source> {
        let got = self.client.get_object().bucket(&self.bucket).key(VAULT_KEY_OBJECT).send().await;
        let object = match got {
            Ok(object) => object,
            Err(error) if matches!(error.as_service_error(), Some(GetObjectError::NoSuchKey(_))) => {
                return Ok(None);
            }
            Err(error) => {
                let denied = status(&error) == Some(403);
                let failed = CallFailed::new("GetObject", error);
                return if denied { self.denied(failed).await } else { Err(failed.into()) };
            }
        };
        let bytes = object.body.collect().await?.into_bytes();
        let key = <[u8; VAULT_KEY_LEN]>::try_from(&bytes[..]).map_err(|_| NoKey(bytes.len()))?;
        Ok(Some(key))
    }

    /// What S3 means by refusing to read: that the object may not be read, or that there is none and the bucket may not be
    /// listed. A list of that name alone tells; to take one for the other would put a new key in place of nothing.
    async fn denied(&self, refused: CallFailed) -> Result<Option<[u8; VAULT_KEY_LEN]>, Source> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(VAULT_KEY_OBJECT).max_keys(1);
        match list.send().await {
            Ok(found) => {
                if found.contents().iter().any(|object| object.key() == Some(VAULT_KEY_OBJECT)) {
                    return Err(Denied { action: READ, source: refused }.into());
                }
                Ok(None)
            }
            Err(error) if status(&error) == Some(403) => {
                Err(Denied { action: LIST, source: CallFailed::new("ListObjectsV2", error) }.into())
            }
            Err(error) => Err(CallFailed::new("ListObjectsV2", error).into()),
        }
    }

    /// Puts a key where there is none yet.
    async fn make(&self) -> Result<(), Source> {
        let mut key = vec![0; VAULT_KEY_LEN];
        getrandom::fill(&mut key)?;
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(VAULT_KEY_OBJECT)
            .content_type("application/octet-stream")
            .server_side_encryption(ServerSideEncryption::Aes256)
            .if_none_match("*")
            .body(ByteStream::from(key));
        match put.send().await {
            Ok(_) => Ok(()),
            // Another was first, or is at it now: the one in the bucket is the one that holds.
            Err(error)
                if matches!(error.code(), Some("PreconditionFailed" | "ConditionalRequestConflict")) =>
            {
                Ok(())
            }
            Err(error) if status(&error) == Some(403) => {
                Err(Denied { action: WRITE, source: CallFailed::new("PutObject", error) }.into())
            }
            Err(error) => Err(CallFailed::new("PutObject", error).into()),
        }
    }
}

#[async_trait]
impl VaultKey for S3VaultKey {
    async fn key(&self) -> Result<[u8; VAULT_KEY_LEN], Source> {
        if let Some(key) = self.read().await? {
            return Ok(key);
        }
        self.make().await?;
        self.read().await?.ok_or_else(|| format!("{VAULT_KEY_OBJECT} was made and is gone again").into())
    }
}
