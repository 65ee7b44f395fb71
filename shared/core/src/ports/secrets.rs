//! Where the secrets of upstreams are.

use std::env;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::{catalog::SecretRef, error::Source};

/// Gives the secrets that the catalog names. They go into headers of calls and nowhere else.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The secret as it is now, or was a few minutes ago.
    async fn secret(&self, secret: &SecretRef) -> Result<SecretString, SecretError>;

    /// The secret as it is now, for whoever was refused with the one that was given before. May still give that one where it
    /// was read a moment ago: many are refused at once.
    async fn renewed(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        self.secret(secret).await
    }
}

/// A secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is none of that name, or this host has no such place.
    #[error("{0} is not there")]
    Missing(SecretRef),
    /// This host may not read it.
    #[error("{0} may not be read")]
    Denied(SecretRef, #[source] Source),
    /// It is there, and no text that a header could carry; the words say what it is instead, and nothing of it.
    #[error("{0} {1}")]
    Unfit(SecretRef, String),
    /// Whatever keeps it does not answer now.
    #[error("{0} cannot be read now")]
    Unavailable(SecretRef, #[source] Source),
}

/// Secrets in the environment of this process, and no store.
#[derive(Debug, Clone, Copy, Default)]
pub struct EnvironmentSecrets;

#[async_trait]
impl Secrets for EnvironmentSecrets {
    async fn secret(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        let found = match secret {
            // What is no text is nothing that a header could carry.
            SecretRef::Env(name) => env::var(name).ok().filter(|value| !value.is_empty()),
            SecretRef::Stored(_) => None,
        };
        found.map(SecretString::from).ok_or_else(|| SecretError::Missing(secret.clone()))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[tokio::test]
    async fn the_environment_has_its_own_secrets_alone() {
        let found = |secret: SecretRef| async move { EnvironmentSecrets.secret(&secret).await };
        // What every run of a test has.
        let there = found(SecretRef::Env("CARGO_MANIFEST_DIR".into())).await.unwrap();
        assert_eq!(there.expose_secret(), env!("CARGO_MANIFEST_DIR"));
        for missing in
            [SecretRef::Env("WILLCALL_NO_SUCH".into()), SecretRef::Stored("CARGO_MANIFEST_DIR".into())]
        {
            let error = found(missing.clone()).await.unwrap_err();
            assert_eq!(error.to_string(), format!("{missing} is not there"));
        }
    }
}
