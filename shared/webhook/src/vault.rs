//! Keeps secrets: AES-256-GCM under one key of the host's.

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tokio::sync::OnceCell;
use willcall_core::{
    error::Source,
    ports::{Vault, VaultError, VaultKey},
    webhook::Secret,
};

/// What was sealed begins with the way in which it was.
const FORM: &str = "aes256gcm:";

/// A vault of one key, which is asked for when it is first needed.
#[derive(Clone)]
pub struct SealingVault {
    source: Arc<dyn VaultKey>,
    key: Arc<OnceCell<LessSafeKey>>,
}

impl SealingVault {
    /// The vault of that key.
    pub fn new(source: impl VaultKey + 'static) -> Self {
        Self { source: Arc::new(source), key: Arc::default() }
    }

    async fn key(&self) -> Result<&LessSafeKey, VaultError> {
        let made = self.key.get_or_try_init(|| async {
            let key = self.source.key().await?;
            let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| "the key is of the wrong length")?;
            Ok::<_, Source>(LessSafeKey::new(key))
        });
        made.await.map_err(VaultError::Unavailable)
    }
}

#[async_trait]
impl Vault for SealingVault {
    async fn seal(&self, context: &str, secret: &Secret) -> Result<String, VaultError> {
        let key = self.key().await?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| VaultError::Unavailable(Box::new(error)))?;
        let mut bytes = secret.key().to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context.as_bytes()),
            &mut bytes,
        )
        .map_err(|_| VaultError::Unreadable)?;
        Ok(format!("{FORM}{}", BASE64_STANDARD.encode([&nonce[..], &bytes].concat())))
    }

    async fn open(&self, context: &str, sealed: &str) -> Result<Secret, VaultError> {
        let key = self.key().await?;
        let unreadable = || VaultError::Unreadable;
        let text = sealed.strip_prefix(FORM).ok_or_else(unreadable)?;
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| unreadable())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or_else(unreadable)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened =
            key.open_in_place(nonce, Aad::from(context.as_bytes()), &mut sealed).map_err(|_| unreadable())?;
        Ok(Secret::from_key(opened.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use willcall_core::ports::VAULT_KEY_LEN;

    use super::*;

    #[tokio::test]
    async fn a_secret_comes_back_for_its_own_purpose_only() {
        let vault = SealingVault::new([7; VAULT_KEY_LEN]);
        let secret = Secret::generate().unwrap();
        let sealed = vault.seal("acme/1", &secret).await.unwrap();
        assert_eq!(vault.open("acme/1", &sealed).await.unwrap().key(), secret.key());
        assert!(!sealed.contains(&secret.expose()[6..]));
        assert_ne!(sealed, vault.seal("acme/1", &secret).await.unwrap(), "never the same twice");
        assert!(matches!(vault.open("acme/2", &sealed).await, Err(VaultError::Unreadable)));
        let other = SealingVault::new([8; VAULT_KEY_LEN]);
        assert!(matches!(other.open("acme/1", &sealed).await, Err(VaultError::Unreadable)));
    }

    #[tokio::test]
    async fn damage_is_noticed() {
        let vault = SealingVault::new([7; VAULT_KEY_LEN]);
        let sealed = vault.seal("a", &Secret::generate().unwrap()).await.unwrap();
        for place in FORM.len()..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(vault.open("a", &changed).await.is_err(), "{place}");
        }
        for wrong in ["", FORM, "aes256gcm:AAAA", &sealed[FORM.len()..]] {
            assert!(vault.open("a", wrong).await.is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_had_is_asked_for_again() {
        struct Flaky(std::sync::atomic::AtomicBool);
        #[async_trait]
        impl VaultKey for Flaky {
            async fn key(&self) -> Result<[u8; VAULT_KEY_LEN], Source> {
                let first = self.0.swap(false, std::sync::atomic::Ordering::SeqCst);
                if first { Err("not now".into()) } else { Ok([1; VAULT_KEY_LEN]) }
            }
        }
        let vault = SealingVault::new(Flaky(true.into()));
        let secret = Secret::generate().unwrap();
        assert!(matches!(vault.seal("a", &secret).await, Err(VaultError::Unavailable(_))));
        assert!(vault.seal("a", &secret).await.is_ok());
    }
}
