//! `Range` (RFC 9110 §14): one range of bytes; whatever else is asked for gets the whole.

use std::ops::Range;

use http::{HeaderMap, header};

/// What a request asks for of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it.
    Whole,
    /// A part, within the file.
    Part(Range<u64>),
    /// A part that the file does not have: 416.
    Unsatisfiable,
}

/// Reads `Range` against a file of `size` bytes. A header that makes no sense is ignored (§14.2), and so are several
/// ranges at once.
pub(crate) fn asked(headers: &HeaderMap, size: u64) -> Asked {
    let text = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    text.and_then(|text| parse(text, size)).unwrap_or(Asked::Whole)
}

fn parse(text: &str, size: u64) -> Option<Asked> {
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || range.contains(',') {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a number past the end of every file.
        true => Some(text.parse::<u64>().unwrap_or(u64::MAX)),
        false => None,
    };
    let part = match (first, last) {
        ("", "") => return None,
        ("", suffix) => size.saturating_sub(number(suffix)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(size)
        }
    };
    Some(if part.start < part.end { Asked::Part(part) } else { Asked::Unsatisfiable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_served_and_nonsense_is_ignored() {
        for (text, size, expected) in [
            ("bytes=0-4", 10, Asked::Part(0..5)),
            ("bytes=5-", 10, Asked::Part(5..10)),
            ("bytes=-3", 10, Asked::Part(7..10)),
            ("bytes=-30", 10, Asked::Part(0..10)),
            ("bytes=0-99", 10, Asked::Part(0..10)),
            ("Bytes=9-9", 10, Asked::Part(9..10)),
            ("bytes=10-", 10, Asked::Unsatisfiable),
            ("bytes=99999999999999999999-", 10, Asked::Unsatisfiable),
            ("bytes=0-99999999999999999999", 10, Asked::Part(0..10)),
            ("bytes=-0", 10, Asked::Unsatisfiable),
            ("bytes=0-", 0, Asked::Unsatisfiable),
            ("bytes=4-2", 10, Asked::Whole),
            ("bytes=0-1,3-4", 10, Asked::Whole),
            ("bytes=-", 10, Asked::Whole),
            ("bytes=+1-2", 10, Asked::Whole),
            ("bytes=a-b", 10, Asked::Whole),
            ("lines=1-2", 10, Asked::Whole),
            ("bytes", 10, Asked::Whole),
        ] {
            let headers = [(header::RANGE, text.parse().unwrap())].into_iter().collect();
            assert_eq!(asked(&headers, size), expected, "{text}");
        }
    }
}
