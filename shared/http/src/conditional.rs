//! Conditional requests (RFC 9110 §13): whether the client has what it asks for already.

use http::{HeaderMap, header};
use willcall_core::Timestamp;

/// What a request's conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Judges the conditions in the order of §13.2.2. `etag` is with its quotes, and its `W/` where it is weak.
pub(crate) fn judge(headers: &HeaderMap, etag: &str, modified: Option<Timestamp>) -> Verdict {
    if headers.contains_key(header::IF_MATCH) {
        if !matches_any(headers, header::IF_MATCH, etag, false) {
            return Verdict::Failed;
        }
    } else if let (Some(modified), Some(since)) = (modified, date(headers, header::IF_UNMODIFIED_SINCE))
        && modified.as_seconds() > since
    {
        return Verdict::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if matches_any(headers, header::IF_NONE_MATCH, etag, true) {
            return Verdict::NotModified;
        }
    } else if let (Some(modified), Some(since)) = (modified, date(headers, header::IF_MODIFIED_SINCE))
        && modified.as_seconds() <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a partial answer would go on from what the client has (`If-Range`, §13.1.5).
pub(crate) fn range_applies(headers: &HeaderMap, etag: &str, modified: Timestamp) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else { return true };
    match value.to_str() {
        Ok(text) if text.starts_with('"') || text.starts_with("W/") => {
            text == etag && !etag.starts_with("W/")
        }
        Ok(_) => date(headers, header::IF_RANGE) == Some(modified.as_seconds()),
        Err(_) => false,
    }
}

/// A moment as HTTP writes dates.
pub(crate) fn http_date(moment: Timestamp) -> String {
    let seconds = u64::try_from(moment.as_seconds()).unwrap_or(0);
    // The last moment that an HTTP date can tell is at the end of the year 9999.
    let seconds = seconds.min(253_402_300_799);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
}

fn date(headers: &HeaderMap, name: header::HeaderName) -> Option<i64> {
    let time = httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()?;
    let seconds = time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(seconds).ok()
}

fn matches_any(headers: &HeaderMap, name: header::HeaderName, etag: &str, weakly: bool) -> bool {
    fn opaque(tag: &str) -> &str {
        tag.strip_prefix("W/").unwrap_or(tag)
    }
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        tag == "*"
            || if weakly { opaque(tag) == opaque(etag) } else { tag == etag && !etag.starts_with("W/") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn conditions_are_judged_in_order() {
        let modified = Timestamp::parse("2026-01-05T10:00:00.900Z").unwrap();
        let same = "Mon, 05 Jan 2026 10:00:00 GMT";
        let earlier = "Mon, 05 Jan 2026 09:59:59 GMT";
        assert_eq!(http_date(modified), same);
        for (pairs, expected) in [
            (vec![], Verdict::Proceed),
            (vec![("if-none-match", "\"a\"")], Verdict::NotModified),
            (vec![("if-none-match", "W/\"a\"")], Verdict::NotModified),
            (vec![("if-none-match", "\"b\", \"a\"")], Verdict::NotModified),
            (vec![("if-none-match", "*")], Verdict::NotModified),
            (vec![("if-none-match", "\"b\""), ("if-modified-since", same)], Verdict::Proceed),
            (vec![("if-modified-since", same)], Verdict::NotModified),
            (vec![("if-modified-since", earlier)], Verdict::Proceed),
            (vec![("if-modified-since", "once")], Verdict::Proceed),
            (vec![("if-match", "\"b\"")], Verdict::Failed),
            (vec![("if-match", "W/\"a\"")], Verdict::Failed),
            (vec![("if-match", "\"a\"")], Verdict::Proceed),
            (vec![("if-unmodified-since", earlier)], Verdict::Failed),
            (vec![("if-unmodified-since", same)], Verdict::Proceed),
        ] {
            assert_eq!(judge(&headers(&pairs), "\"a\"", Some(modified)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_range_goes_on_only_from_the_very_same_bytes() {
        let modified = Timestamp::parse("2026-01-05T10:00:00.900Z").unwrap();
        for (value, expected) in [
            ("\"a\"", true),
            ("\"b\"", false),
            ("W/\"a\"", false),
            ("Mon, 05 Jan 2026 10:00:00 GMT", true),
            ("Mon, 05 Jan 2026 10:00:01 GMT", false),
            ("nonsense", false),
        ] {
            let found = range_applies(&headers(&[("if-range", value)]), "\"a\"", modified);
            assert_eq!(found, expected, "{value}");
        }
        assert!(range_applies(&HeaderMap::new(), "\"a\"", modified));
    }
}
