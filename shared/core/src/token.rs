//! Tokens: how one looks, how one is checked without a look-up, and what of it is stored.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const PREFIX: &str = "wc_";
const RANDOM_LEN: usize = 43;
const CHECKSUM_LEN: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A bearer token: `wc_`, 43 base62 characters (256 bits of chance), 6 characters of their CRC-32, so that
/// scanners recognise a leaked one and a mistyped one costs no look-up. `Debug` never shows it.
#[derive(Debug, Clone)]
pub struct Token(SecretString);

impl Token {
    /// A new random token.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut text = String::from(PREFIX);
        while text.len() < PREFIX.len() + RANDOM_LEN {
            let mut bytes = [0_u8; 64];
            getrandom::fill(&mut bytes)?;
            // 248 is the largest multiple of 62 in a byte: anything above it would favour some letters.
            let unbiased = bytes.iter().filter(|b| **b < 248).map(|b| BASE62[usize::from(b % 62)] as char);
            text.extend(unbiased.take(PREFIX.len() + RANDOM_LEN - text.len()));
        }
        let checksum = checksum(&text);
        Ok(Self((text + &checksum).into()))
    }

    /// Reads a token; `None` where its form or its checksum is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == PREFIX.len() + RANDOM_LEN + CHECKSUM_LEN
            && text.starts_with(PREFIX)
            && text[PREFIX.len()..].bytes().all(|b| b.is_ascii_alphanumeric());
        if !well_formed {
            return None;
        }
        let (body, sum) = text.split_at(PREFIX.len() + RANDOM_LEN);
        (checksum(body) == sum).then(|| Self(text.to_owned().into()))
    }

    /// What is stored in its place.
    pub fn hash(&self) -> TokenHash {
        TokenHash(hex::encode(Sha256::digest(self.0.expose_secret().as_bytes())))
    }

    /// The token itself, to be shown to its owner once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % 62];
        rest /= 62;
    }
    digits.iter().map(|b| *b as char).collect()
}

/// The SHA-256 of a token in lower-case hexadecimal: all that a store ever sees of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(String);

impl TokenHash {
    /// The hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits: the name by which an operator lists and revokes a token.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_round_trips_and_differs_each_time() {
        let (a, b) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_eq!(a.expose().len(), 52);
        assert_eq!(Token::parse(a.expose()).unwrap().hash(), a.hash());
        assert_ne!(a.hash(), b.hash());
    }

    #[test]
    fn a_wrong_letter_or_form_is_refused() {
        let token = Token::generate().unwrap().expose().to_owned();
        let mut wrong = token.clone().into_bytes();
        wrong[10] = if wrong[10] == b'a' { b'b' } else { b'a' };
        assert!(Token::parse(std::str::from_utf8(&wrong).unwrap()).is_none());
        for bad in ["", "wc_", &token[1..], &format!("{token}0"), &token.replace("wc_", "xx_"), "wc_é"] {
            assert!(Token::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let token = Token::generate().unwrap();
        assert!(!format!("{token:?}").contains(token.expose()));
    }
}
