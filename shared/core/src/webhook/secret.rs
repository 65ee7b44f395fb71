//! Secrets that sign what is sent.

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};

use crate::Timestamp;

const PREFIX: &str = "whsec_";
/// Bytes of a new secret; Standard Webhooks asks for 24 to 64.
const LENGTH: usize = 32;

/// A secret as Standard Webhooks has it: `whsec_` and the key in base64. `Debug` never shows it.
#[derive(Debug, Clone)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// A new random secret.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = vec![0_u8; LENGTH];
        getrandom::fill(&mut key)?;
        Ok(Self(key.into()))
    }

    /// Reads a secret; `None` where its form is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let key = BASE64_STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (24..=64).contains(&key.len()).then(|| Self(key.into()))
    }

    /// The key of these bytes.
    pub fn from_key(key: Vec<u8>) -> Self {
        Self(key.into())
    }

    /// The key that signs.
    pub fn key(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// The secret as its owner is shown it, once.
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", BASE64_STANDARD.encode(self.key()))
    }
}

/// A secret as the store keeps it: encrypted by a [`Vault`](crate::ports::Vault).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// What the vault made of it.
    pub sealed: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to sign, once another has taken its place.
    pub retires: Option<Timestamp>,
}

impl SealedSecret {
    /// Whether it signs what is sent at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.retires.is_none_or(|retires| now < retires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_round_trips_and_differs_each_time() {
        let (a, b) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(a.expose(), b.expose());
        assert_eq!(Secret::parse(&a.expose()).unwrap().key(), a.key());
        for wrong in ["", "whsec_", "whsec_???", "whsec_c2hvcnQ=", &a.expose()[1..]] {
            assert!(Secret::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let secret = Secret::generate().unwrap();
        let shown = format!("{secret:?}");
        assert!(!shown.contains(&secret.expose()[6..20]) && !shown.contains("[1"), "{shown}");
    }
}
