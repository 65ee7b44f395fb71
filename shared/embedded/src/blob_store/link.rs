//! Links to files: signed, so that whoever has one can read that file, or write it, until the link expires, and nothing
//! else.

use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;
use willcall_core::{
    Timestamp,
    ports::{SignGet, SignPut, SignedFileError, SignedLink, SignedUpload},
};

use crate::key_file::{KEY_LEN, KeyFileError, read_or_create_key};

/// Longer queries are none of ours.
const MAX_QUERY: usize = 8 * 1024;
/// What is signed begins with what it is for, so that no link does for the other.
const READING: &str = "willcall file link 1";
const WRITING: &str = "willcall upload link 1";
/// Everything else is encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The key that links are signed with.
pub(super) struct LinkKey(Hmac<Sha256>);

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey")
    }
}

/// What a valid link says of its file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VerifiedLink {
    pub(super) file_name: String,
    pub(super) media_type: String,
}

/// What a valid link for an upload says of its file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VerifiedUpload {
    pub(super) media_type: String,
    pub(super) bytes: u64,
}

impl LinkKey {
    /// Reads the key; makes one, readable by its owner only, where there is none.
    pub(super) fn read_or_create(path: &Path) -> Result<Self, KeyFileError> {
        read_or_create_key(path).map(|key| Self::new(&key))
    }

    fn new(key: &[u8; KEY_LEN]) -> Self {
        // A key of any length is one.
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("no length is refused")))
    }

    pub(super) fn sign(&self, key: &str, sign: &SignGet) -> SignedLink {
        let expires = sign.now.plus(sign.lifetime).as_seconds();
        let mac = self.mac([READING, key, &expires.to_string(), &sign.file_name, &sign.media_type]);
        let url = format!(
            "{}/v1/files/{key}?expires={expires}&filename={}&type={}&signature={}",
            sign.base_url.trim_end_matches('/'),
            utf8_percent_encode(&sign.file_name, UNRESERVED),
            utf8_percent_encode(&sign.media_type, UNRESERVED),
            hex::encode(mac.finalize().into_bytes()),
        );
        SignedLink { url, expires: Timestamp::from_millis(expires.saturating_mul(1000)) }
    }

    pub(super) fn sign_upload(&self, key: &str, sign: &SignPut) -> SignedUpload {
        let expires = sign.now.plus(sign.lifetime).as_seconds();
        let bytes = sign.bytes.to_string();
        let mac = self.mac([WRITING, key, &expires.to_string(), &bytes, &sign.media_type]);
        let url = format!(
            "{}/v1/files/{key}?expires={expires}&bytes={bytes}&type={}&signature={}",
            sign.base_url.trim_end_matches('/'),
            utf8_percent_encode(&sign.media_type, UNRESERVED),
            hex::encode(mac.finalize().into_bytes()),
        );
        let headers = vec![("content-type".to_owned(), sign.media_type.clone())];
        SignedUpload { url, headers, expires: Timestamp::from_millis(expires.saturating_mul(1000)) }
    }

    /// What the link says, if it was made with this key to read exactly this file and has not expired.
    pub(super) fn verify(
        &self,
        key: &str,
        query: &str,
        now: Timestamp,
    ) -> Result<VerifiedLink, SignedFileError> {
        let names = ["expires", "filename", "type"];
        let [expires, file_name, media_type] = self.check(READING, key, query, names)?;
        check_expiry(&expires, now)?;
        Ok(VerifiedLink { file_name, media_type })
    }

    /// What the link says, if it was made with this key to write exactly this file and has not expired.
    pub(super) fn verify_upload(
        &self,
        key: &str,
        query: &str,
        now: Timestamp,
    ) -> Result<VerifiedUpload, SignedFileError> {
        let names = ["expires", "bytes", "type"];
        let [expires, bytes, media_type] = self.check(WRITING, key, query, names)?;
        check_expiry(&expires, now)?;
        let bytes = bytes.parse().map_err(|_| SignedFileError::Invalid)?;
        Ok(VerifiedUpload { media_type, bytes })
    }

    /// The values of the parameters, if they are signed for that purpose.
    fn check(
        &self,
        purpose: &str,
        key: &str,
        query: &str,
        names: [&str; 3],
    ) -> Result<[String; 3], SignedFileError> {
        if !is_plain_key(key) || query.len() > MAX_QUERY {
            return Err(SignedFileError::Invalid);
        }
        let [first, second, third, signature] = parse(query, names).ok_or(SignedFileError::Invalid)?;
        let signature = hex::decode(&signature).map_err(|_| SignedFileError::Invalid)?;
        self.mac([purpose, key, &first, &second, &third])
            .verify_slice(&signature)
            .map_err(|_| SignedFileError::Invalid)?;
        Ok([first, second, third])
    }

    /// Each part goes in with its length before it, so that no byte can move from one to the next.
    fn mac(&self, parts: [&str; 5]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

fn check_expiry(expires: &str, now: Timestamp) -> Result<(), SignedFileError> {
    let expires: i64 = expires.parse().map_err(|_| SignedFileError::Invalid)?;
    if now >= Timestamp::from_millis(expires.saturating_mul(1000)) {
        return Err(SignedFileError::Expired);
    }
    Ok(())
}

/// The values of the named parameters and of the signature: each exactly once, and no other.
fn parse(query: &str, names: [&str; 3]) -> Option<[String; 4]> {
    let names = [names[0], names[1], names[2], "signature"];
    let mut values: [Option<String>; 4] = Default::default();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        let place = values.get_mut(names.iter().position(|known| *known == name)?)?;
        let value = percent_decode_str(value).decode_utf8().ok()?.into_owned();
        if place.replace(value).is_some() {
            return None;
        }
    }
    let [first, second, third, signature] = values;
    Some([first?, second?, third?, signature?])
}

/// Whether the text can be a key: segments of letters, digits, `.`, `-` and `_`, none hidden, empty or `..`. A
/// right signature says the same; this holds even if the key of links leaked.
fn is_plain_key(key: &str) -> bool {
    key.len() <= 1024
        && key.split('/').all(|segment| {
            !segment.is_empty()
                && !segment.starts_with('.')
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_780_000_000_000);
    const KEY: &str = "results/acme/0192f6a0-0000-7000-8000-000000000000/1/result.csv";

    fn link(key: &LinkKey, file_name: &str) -> (String, String) {
        let sign = SignGet {
            base_url: "http://127.0.0.1:8787/".into(),
            file_name: file_name.into(),
            media_type: "text/csv; charset=utf-8".into(),
            now: NOW,
            lifetime: Duration::from_secs(900),
        };
        let url = key.sign(KEY, &sign).url;
        let rest = url.strip_prefix("http://127.0.0.1:8787/v1/files/").unwrap();
        let (key, query) = rest.split_once('?').unwrap();
        (key.to_owned(), query.to_owned())
    }

    fn key(byte: u8) -> LinkKey {
        LinkKey::new(&[byte; KEY_LEN])
    }

    fn outcome(key: &LinkKey, path: &str, query: &str, now: Timestamp) -> &'static str {
        match key.verify(path, query, now) {
            Ok(_) => "works",
            Err(SignedFileError::Expired) => "expired",
            Err(SignedFileError::Invalid) => "invalid",
            Err(_) => "other",
        }
    }

    #[test]
    fn a_link_says_what_was_signed() {
        let (key, name) = (key(1), "späte Abflüge & \"x\"\r\n%2F+.csv");
        let (path, query) = link(&key, name);
        assert!(query.bytes().all(|b| b.is_ascii_graphic()), "{query}");
        let link = key.verify(&path, &query, NOW).unwrap();
        assert_eq!((link.file_name.as_str(), link.media_type.as_str()), (name, "text/csv; charset=utf-8"));
    }

    #[test]
    fn a_link_works_until_the_moment_it_expires() {
        let (key, (path, query)) = (key(1), link(&key(1), "a"));
        let expires = NOW.plus(Duration::from_secs(900));
        assert_eq!(outcome(&key, &path, &query, expires.minus(Duration::from_millis(1))), "works");
        assert_eq!(outcome(&key, &path, &query, expires), "expired");
        assert_eq!(outcome(&key, &path, &query.replace("signature=", "signature=00"), expires), "invalid");
    }

    #[test]
    fn every_changed_byte_of_a_link_is_noticed() {
        let (key, (path, query)) = (key(1), link(&key(1), "a.csv"));
        for place in 0..query.len() {
            let mut changed = query.clone().into_bytes();
            changed[place] = if changed[place] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(outcome(&key, &path, &changed, NOW), "invalid", "{changed}");
        }
        for place in 0..path.len() {
            let mut changed = path.clone().into_bytes();
            changed[place] = if changed[place] == b'1' { b'2' } else { b'1' };
            assert_eq!(outcome(&key, std::str::from_utf8(&changed).unwrap(), &query, NOW), "invalid");
        }
    }

    #[test]
    fn parts_cannot_borrow_from_each_other() {
        let (key, (path, query)) = (key(1), link(&key(1), "a.csv"));
        for (from, to) in [
            ("filename=a.csv&type=text", "filename=a.csvtext&type="),
            ("filename=a.csv", "filename=a.cs"),
            ("expires=1", "expires=01"),
            ("expires=1", "expires=%2B1"),
            ("type=", "typ="),
            ("&signature=", "&signature"),
        ] {
            assert!(query.contains(from));
            assert_eq!(outcome(&key, &path, &query.replacen(from, to, 1), NOW), "invalid", "{from} -> {to}");
        }
    }

    #[test]
    fn parameters_come_once_and_no_others_do() {
        let (key, (path, query)) = (key(1), link(&key(1), "a.csv"));
        for bad in [
            format!("{query}&expires=9999999999"),
            format!("expires=9999999999&{query}"),
            format!("{query}&filename=b.csv"),
            format!("{query}&{query}"),
            format!("{query}&x=y"),
            format!("{query}&"),
            String::new(),
            "expires=1".into(),
            "%FF=1&&=".into(),
            query.replace("filename=a.csv", "filename=%FF"),
            format!("{query}{}", "0".repeat(MAX_QUERY)),
        ] {
            assert_eq!(outcome(&key, &path, &bad, NOW), "invalid", "{bad}");
        }
    }

    #[test]
    fn tricks_with_paths_are_refused_even_when_signed() {
        let key = key(1);
        for path in [
            "../willcall.db",
            "results/../../willcall.db",
            "results/..",
            "/etc/passwd",
            "results//x",
            "results/x/",
            "results/%2e%2e/x",
            "results%2fx",
            "results/x\0",
            "results\\x",
            "results/.hidden",
            "",
            "é",
            &"a/".repeat(600),
        ] {
            let sign = SignGet {
                base_url: String::new(),
                file_name: "a".into(),
                media_type: "b".into(),
                now: NOW,
                lifetime: Duration::from_secs(9),
            };
            let url = key.sign(path, &sign).url;
            let query = url.split_once('?').unwrap().1;
            assert_eq!(outcome(&key, path, query, NOW), "invalid", "{path:?}");
        }
    }

    #[test]
    fn anothers_key_signs_nothing_here() {
        let (path, query) = link(&key(2), "a");
        assert_eq!(outcome(&key(1), &path, &query, NOW), "invalid");
    }

    fn upload_link(key: &LinkKey) -> (String, String) {
        let sign = SignPut {
            base_url: "http://127.0.0.1:8787/".into(),
            media_type: "text/csv; charset=utf-8".into(),
            bytes: 123,
            now: NOW,
            lifetime: Duration::from_secs(900),
        };
        let url = key.sign_upload(KEY, &sign).url;
        let rest = url.strip_prefix("http://127.0.0.1:8787/v1/files/").unwrap();
        let (key, query) = rest.split_once('?').unwrap();
        (key.to_owned(), query.to_owned())
    }

    fn upload_outcome(key: &LinkKey, path: &str, query: &str, now: Timestamp) -> &'static str {
        match key.verify_upload(path, query, now) {
            Ok(_) => "works",
            Err(SignedFileError::Expired) => "expired",
            Err(SignedFileError::Invalid) => "invalid",
            Err(_) => "other",
        }
    }

    #[test]
    fn a_link_for_an_upload_says_what_was_signed_until_it_expires() {
        let (key, (path, query)) = (key(1), upload_link(&key(1)));
        let link = key.verify_upload(&path, &query, NOW).unwrap();
        assert_eq!(link, VerifiedUpload { media_type: "text/csv; charset=utf-8".into(), bytes: 123 });
        let expires = NOW.plus(Duration::from_secs(900));
        assert_eq!(upload_outcome(&key, &path, &query, expires.minus(Duration::from_millis(1))), "works");
        assert_eq!(upload_outcome(&key, &path, &query, expires), "expired");
    }

    #[test]
    fn every_changed_byte_of_a_link_for_an_upload_is_noticed() {
        let (key, (path, query)) = (key(1), upload_link(&key(1)));
        for place in 0..query.len() {
            let mut changed = query.clone().into_bytes();
            changed[place] = if changed[place] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(upload_outcome(&key, &path, &changed, NOW), "invalid", "{changed}");
        }
        let other = path.replace("result.csv", "other.csv");
        assert_eq!(upload_outcome(&key, &other, &query, NOW), "invalid");
    }

    #[test]
    fn a_link_to_read_is_none_to_write_and_the_other_way_round() {
        let (key, (path, reads), (_, writes)) = (key(1), link(&key(1), "123"), upload_link(&key(1)));
        assert_eq!(upload_outcome(&key, &path, &reads, NOW), "invalid");
        assert_eq!(outcome(&key, &path, &writes, NOW), "invalid");
        // Not even with the other's names for the same values.
        let (reads, writes) = (reads.replace("filename=", "bytes="), writes.replace("bytes=", "filename="));
        assert_eq!(upload_outcome(&key, &path, &reads, NOW), "invalid");
        assert_eq!(outcome(&key, &path, &writes, NOW), "invalid");
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("link.key");
        let (path, query) = link(&LinkKey::read_or_create(&file).unwrap(), "a");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else stays");
        assert_eq!(outcome(&LinkKey::read_or_create(&file).unwrap(), &path, &query, NOW), "works");
        fs::write(&file, "short").unwrap();
        let error = LinkKey::read_or_create(&file).unwrap_err().to_string();
        assert!(error.contains("link.key: holds 5 bytes"), "{error}");
    }
}
