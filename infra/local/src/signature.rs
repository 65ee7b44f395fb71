//! Signed links of S3, judged as S3 does (Signature Version 4 in the query): emulators take whatever is asked of them.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, header};
use jiff::{SignedDuration, Timestamp, civil::DateTime};
use sha2::{Digest, Sha256};

/// Who signs the links that functions make.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

/// A link does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Expired,
    Mismatch,
}

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    /// The path with the query.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// What the back end is called, by which a link may have been signed too.
    pub(crate) back_end: &'a str,
}

impl Signer {
    /// Judges a request that was signed in its query by this signer. Others are left to the back end.
    pub(crate) fn judge(&self, asked: Asked<'_>, now: Timestamp) -> Result<(), Refused> {
        let (path, query) = asked.path.split_once('?').unwrap_or((asked.path, ""));
        let mut pairs: Vec<(&str, &str)> =
            query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        let value = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let Some(signature) = value("X-Amz-Signature") else { return Ok(()) };
        let credential = value("X-Amz-Credential").unwrap_or_default().replace("%2F", "/");
        let Some((access_key, scope)) = credential.split_once('/') else { return Err(Refused::Mismatch) };
        if access_key != self.access_key {
            return Ok(());
        }
        let (Some(date), Some(seconds)) = (value("X-Amz-Date"), value("X-Amz-Expires")) else {
            return Err(Refused::Mismatch);
        };
        let names = value("X-Amz-SignedHeaders").unwrap_or_default().replace("%3B", ";");
        pairs.retain(|(name, _)| *name != "X-Amz-Signature");
        pairs.sort_unstable();
        let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let signed = |host: &str| {
            let lines = lines(asked.headers, &names, host)?;
            let request =
                format!("{}\n{path}\n{}\n{lines}\n{names}\nUNSIGNED-PAYLOAD", asked.method, query.join("&"));
            let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
            let key = scope
                .split('/')
                .try_fold(format!("AWS4{}", self.secret_key).into_bytes(), |key, part| hmac(&key, part))?;
            Some(hex::encode(hmac(&key, &text)?))
        };
        let host = asked.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if ![host, asked.back_end].into_iter().any(|host| signed(host).as_deref() == Some(signature)) {
            return Err(Refused::Mismatch);
        }
        let began =
            DateTime::strptime("%Y%m%dT%H%M%SZ", date).and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC));
        match (began, seconds.parse()) {
            (Ok(began), Ok(seconds)) if now < began.timestamp() + SignedDuration::from_secs(seconds) => {
                Ok(())
            }
            _ => Err(Refused::Expired),
        }
    }
}

impl Refused {
    /// What S3 calls it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Expired => "AccessDenied",
            Self::Mismatch => "SignatureDoesNotMatch",
        }
    }
}

/// The signed headers, a line each; none where one is missing, or one of S3's own is not signed.
fn lines(headers: &HeaderMap, names: &str, host: &str) -> Option<String> {
    let names: Vec<&str> = names.split(';').collect();
    if headers.keys().any(|name| name.as_str().starts_with("x-amz-") && !names.contains(&name.as_str())) {
        return None;
    }
    let line = |name: &&str| match *name {
        "host" => Some(format!("host:{host}\n")),
        name => Some(format!("{name}:{}\n", headers.get(name)?.to_str().ok()?.trim())),
    };
    names.iter().map(line).collect()
}

fn hmac(key: &[u8], text: &str) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of AWS's own documentation of the algorithm.
    const LINK: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

    fn judge(method: &str, path: &str, headers: &[(&'static str, &str)], now: &str) -> Result<(), Refused> {
        let signer = Signer {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        let headers = headers.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).unwrap())
        });
        let headers: HeaderMap = headers.collect();
        let asked = Asked { method, path, headers: &headers, back_end: "127.0.0.1:5000" };
        signer.judge(asked, now.parse().unwrap())
    }

    #[test]
    fn a_link_works_as_it_was_signed_until_it_expires() {
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let (noon, later) = ("2013-05-24T12:00:00Z", "2013-05-25T00:00:00Z");
        assert_eq!(judge("GET", LINK, &[host], noon), Ok(()));
        assert_eq!(judge("GET", LINK, &[host], later), Err(Refused::Expired));
        assert_eq!(judge("PUT", LINK, &[host], noon), Err(Refused::Mismatch));
        assert_eq!(judge("GET", &LINK.replace("test", "other"), &[host], noon), Err(Refused::Mismatch));
        assert_eq!(judge("GET", &LINK.replace("86400", "864000"), &[host], noon), Err(Refused::Mismatch));
        assert_eq!(judge("GET", LINK, &[("host", "other")], noon), Err(Refused::Mismatch));
        let more = [host, ("x-amz-acl", "public-read")];
        assert_eq!(judge("GET", LINK, &more, noon), Err(Refused::Mismatch), "it is not signed");
    }

    #[test]
    fn what_is_not_signed_by_this_signer_is_left_to_the_back_end() {
        let now = "2013-05-24T12:00:00Z";
        assert_eq!(judge("PUT", "/b/k?x-id=PutObject", &[], now), Ok(()));
        assert_eq!(judge("PUT", &LINK.replace("AKIAIOSFODNN7EXAMPLE", "another"), &[], now), Ok(()));
    }
}
