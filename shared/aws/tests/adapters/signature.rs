//! Checks presigned links as S3 does (Signature Version 4 in the query), because the emulator does not.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use willcall_aws_test::{REGION, SECRET_KEY};
use willcall_core::Timestamp;

/// Whether the link of a GET is signed by the test's key and works at `now`.
pub(crate) fn is_valid(host: &str, path: &str, query: &str, now: Timestamp) -> bool {
    is_signed("GET", &[("host", host)], path, query, now)
}

/// Whether a request with those headers is what was signed by the test's key, and works at `now`. Names are in lower
/// case. Those that are not signed do not count, unless S3 demands that they are.
pub(crate) fn is_signed(
    method: &str,
    headers: &[(&str, &str)],
    path: &str,
    query: &str,
    now: Timestamp,
) -> bool {
    let pairs: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let value = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let (Some(signature), Some(date), Some(seconds)) =
        (value("X-Amz-Signature"), value("X-Amz-Date"), value("X-Amz-Expires"))
    else {
        return false;
    };
    let mut signed: Vec<String> = pairs
        .iter()
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    signed.sort();
    let names = value("X-Amz-SignedHeaders").unwrap_or_default().replace("%3B", ";");
    let mut lines = String::new();
    for name in names.split(';') {
        let Some((_, value)) = headers.iter().find(|(known, _)| *known == name) else { return false };
        lines.push_str(&format!("{name}:{value}\n"));
    }
    if headers
        .iter()
        .any(|(name, _)| name.starts_with("x-amz-") && !names.split(';').any(|known| known == *name))
    {
        return false;
    }
    let request = format!("{method}\n{path}\n{}\n{lines}\n{names}\nUNSIGNED-PAYLOAD", signed.join("&"));
    let scope = format!("{}/{REGION}/s3/aws4_request", &date[..8]);
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
    let key = [&date[..8], REGION, "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET_KEY}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    hex::encode(hmac(&key, to_sign.as_bytes())) == signature && works(date, seconds, now)
}

/// `date` is `20260105T100000Z`.
fn works(date: &str, seconds: &str, now: Timestamp) -> bool {
    let part = |range| &date[range];
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4),
        part(4..6),
        part(6..8),
        part(9..11),
        part(11..13),
        part(13..15)
    );
    let (Some(from), Ok(seconds)) = (Timestamp::parse(&text), seconds.parse()) else { return false };
    now >= from && now < from.plus(std::time::Duration::from_secs(seconds))
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}
