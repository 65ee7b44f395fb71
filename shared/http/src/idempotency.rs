//! `Idempotency-Key`: a request that is repeated must not be done twice (draft-ietf-httpapi-idempotency-key-header).

use axum::{extract::FromRequestParts, response::Response};
use http::{HeaderMap, HeaderName, request::Parts};
use willcall_core::{
    idempotency::IdempotencyKey,
    usecases::{idempotency::Keyed, submit::Receipt},
};

use crate::{problem::Failure, rate_limit, routes::set};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PLACE: &str = "header Idempotency-Key";
/// The status of a job that was made.
const MADE: u16 = 202;

/// The key of the request, with the path that it is bound to.
pub(crate) struct Key(pub(crate) Option<Keyed>);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let key = read(&parts.headers).map_err(|detail| Failure::at(PLACE, detail))?;
        let target = parts.uri.path().to_owned();
        Ok(Self(key.map(|key| Keyed { key, target, status: MADE, by_path: false })))
    }
}

/// A request that makes nothing, and that no key can keep from being done twice: whoever sends one counts on what it promises.
pub(crate) struct WithoutKey;

impl<S: Send + Sync> FromRequestParts<S> for WithoutKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        if parts.headers.contains_key(IDEMPOTENCY_KEY) {
            let detail =
                "is for requests that make something: leave it out, and look what there is before you repeat";
            return Err(Failure::at(PLACE, detail));
        }
        Ok(Self)
    }
}

/// The one key that the headers give: a string of structured fields (RFC 9651 §3.3.3), or the same without quotes.
fn read(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, String> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("is given twice".into());
    }
    let text = value.to_str().map_err(|_| "must be of ASCII characters")?.trim();
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => text.to_owned(),
    };
    key.parse().map(Some)
}

/// What stands before the closing quote, `\"` and `\\` taken as what they mean.
fn unquote(quoted: &str) -> Result<String, &'static str> {
    const ESCAPES: &str = "has a backslash before something else than a quote or a backslash";
    let mut key = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    loop {
        match chars.next() {
            Some('"') if chars.as_str().is_empty() => return Ok(key),
            Some('"') => return Err("has more after its closing quote"),
            Some('\\') => key.push(chars.next().filter(|c| matches!(c, '"' | '\\')).ok_or(ESCAPES)?),
            Some(c) => key.push(c),
            None => return Err("has no closing quote"),
        }
    }
}

/// Says that what is answered was made before, by the key of the request.
pub(crate) fn replayed(response: &mut Response) {
    set(response, IDEMPOTENT_REPLAYED, "true");
}

/// Tells of a submission what its answer alone does not: that it was made before, and how far limits are used up.
pub(crate) fn tell(response: &mut Response, receipt: &Receipt) {
    if receipt.replayed {
        replayed(response);
    }
    if let Some(rate) = &receipt.rate {
        rate_limit::tell(response.headers_mut(), rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(values: &[&str]) -> Result<Option<IdempotencyKey>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, value.parse().unwrap());
        }
        read(&headers)
    }

    #[test]
    fn quoted_and_bare_keys_are_the_same() {
        let key = |text: &str| Ok(Some(text.parse().unwrap()));
        assert_eq!(read_all(&[]), Ok(None));
        for (value, expected) in [
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            ("8e03978e-40d5", "8e03978e-40d5"),
            (" \"a b\" ", "a b"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (r"a\b", r"a\b"),
        ] {
            assert_eq!(read_all(&[value]), key(expected), "{value}");
        }
        assert_eq!(read_all(&[&format!("\"{}\"", "k".repeat(255))]), key(&"k".repeat(255)));
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_reason() {
        let long = "k".repeat(256);
        for (values, words) in [
            (vec![""], "1 to 255"),
            (vec!["\"\""], "1 to 255"),
            (vec![long.as_str()], "1 to 255"),
            (vec!["\"open"], "no closing quote"),
            (vec!["\"a\"b"], "after its closing quote"),
            (vec!["\"a\";p=1"], "after its closing quote"),
            (vec![r#""a\n""#], "backslash"),
            (vec!["é"], "ASCII"),
            (vec!["a", "a"], "twice"),
        ] {
            let error = read_all(&values).unwrap_err();
            assert!(error.contains(words), "{values:?}: {error}");
        }
    }
}
