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

use crate::{Clients, failure::CallFailed};

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

impl S3VaultKey {
    /// The key of that bucket.
    pub fn new(clients: &Clients, bucket: impl Into<String>) -> Self {
        Self { client: clients.s3.clone(), bucket: bucket.into() }
    }

    async fn read(&self) -> Result<Option<[u8; VAULT_KEY_LEN]>, Source> {
        let got = self.client.get_object().bucket(&self.bucket).key(VAULT_KEY_OBJECT).send().await;
        let object = match got {
            Ok(object) => object,
            Err(error)
                if matches!(error.as_service_error(), Some(GetObjectError::NoSuchKey(_)))
                    // What is not there is forbidden to those who may not list the bucket.
                    || error.code() == Some("AccessDenied") =>
            {
                return Ok(None);
            }
            Err(error) => return Err(CallFailed::new("GetObject", error).into()),
        };
        let bytes = object.body.collect().await?.into_bytes();
        let key = <[u8; VAULT_KEY_LEN]>::try_from(&bytes[..]).map_err(|_| NoKey(bytes.len()))?;
        Ok(Some(key))
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
        self.read()
            .await?
            .ok_or_else(|| format!("{VAULT_KEY_OBJECT} may not be read, or is gone again").into())
    }
}
