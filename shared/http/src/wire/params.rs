//! Query strings: decoded, and read like the members of a body.

use std::{borrow::Cow, fmt::Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use willcall_core::{FieldError, Timestamp, query::nearest};

use crate::problem::Failure;

/// What stays as it is in the links that are answered (RFC 3986 §2.3).
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The most parameters in one query string.
const MAX_PARAMS: usize = 10_000;

/// The parameters of a query string, in order; each is taken out as it is read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    left: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

/// An error at a parameter.
pub(crate) fn wrong(name: &str, detail: impl Into<String>) -> FieldError {
    FieldError { pointer: format!("?{name}"), detail: detail.into() }
}

/// One text of a query string with its `%41` and `+` decoded.
fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        *byte == b'%' && !(hex(at + 1) && hex(at + 2))
    });
    if broken {
        return None;
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

/// A query string of these parameters, with its `?` where there are any.
pub(crate) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let mark = if text.is_empty() { '?' } else { '&' };
        let (name, value) = (utf8_percent_encode(name, KEPT), utf8_percent_encode(value, KEPT));
        // Writing to a string cannot fail.
        let _ = write!(text, "{mark}{name}={value}");
    }
    text
}

/// The items of a comma list; `\,` is a comma within one and `\\` a backslash.
pub(crate) fn split_list(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut items = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = (c == '\\').then(|| chars.next_if(|next| matches!(next, ',' | '\\'))).flatten();
        match (c, escaped, items.last_mut()) {
            (_, Some(literal), Some(item)) => item.push(literal),
            (',', None, _) => items.push(String::new()),
            (c, None, Some(item)) => item.push(c),
            (_, _, None) => {}
        }
    }
    items
}

impl Params {
    /// Decodes a query string.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Failure> {
        let mut left = Vec::new();
        let mut errors = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => left.push((name, value)),
                (Some(name), None) => errors.push(wrong(&name, "is not percent-encoded UTF-8")),
                (None, _) => errors.push(wrong("", "a name is not percent-encoded UTF-8")),
            }
            if left.len() + errors.len() > MAX_PARAMS {
                return Err(Failure::at("?", format!("has more than {MAX_PARAMS} parameters")));
            }
        }
        if errors.is_empty() { Ok(Self { left, errors }) } else { Err(Failure::invalid(errors)) }
    }

    /// Every parameter that has not been read.
    pub(crate) fn left(&self) -> &[(String, String)] {
        &self.left
    }

    /// Takes every parameter that has not been read.
    pub(crate) fn take_left(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.left)
    }

    /// Whether the parameter is there and not yet read.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.left.iter().any(|(given, _)| given == name)
    }

    pub(crate) fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(wrong(name, detail));
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let mut values = Vec::new();
        self.left.retain_mut(|(given, value)| {
            let keep = given != name;
            if !keep {
                values.push(std::mem::take(value));
            }
            keep
        });
        if values.len() > 1 {
            self.wrong(name, "is given twice");
        }
        values.into_iter().next()
    }

    pub(crate) fn whole(&mut self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        if number.is_none() {
            self.wrong(name, format!("must be a whole number from 0 to {}, not {text:?}", u64::MAX));
        }
        number
    }

    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.text(name)?.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                let detail = format!("must be true or false, not {other:?}");
                self.wrong(name, detail);
                None
            }
        }
    }

    pub(crate) fn timestamp(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        let moment = Timestamp::parse(&text);
        if moment.is_none() {
            self.wrong(name, format!("{text:?} is not a moment: write 2026-01-05T10:00:00Z (RFC 3339)"));
        }
        moment
    }

    /// A value with the names and aliases that `T` reads.
    pub(crate) fn named<T: std::str::FromStr<Err = String>>(&mut self, name: &str) -> Option<T> {
        let parsed = self.text(name)?.parse();
        parsed.map_err(|detail| self.wrong(name, detail)).ok()
    }

    /// Parameters whose names begin with `prefix`, as name without it and value.
    pub(crate) fn prefixed(&mut self, prefix: &str) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut twice = Vec::new();
        self.left.retain_mut(|(given, value)| match given.strip_prefix(prefix) {
            Some(rest) => {
                if found.iter().any(|(name, _)| name == rest) {
                    twice.push(given.clone());
                }
                found.push((rest.to_owned(), std::mem::take(value)));
                false
            }
            None => true,
        });
        for name in twice {
            self.wrong(&name, "is given twice");
        }
        found
    }

    /// What was wrong so far, taken out.
    pub(crate) fn take_errors(&mut self) -> Vec<FieldError> {
        std::mem::take(&mut self.errors)
    }

    /// Whatever is left has a name that nobody knows; `known` are those that it may have been meant to be.
    pub(crate) fn finish(self, known: &[&str]) -> Result<(), Failure> {
        let errors = self.mistakes(known);
        if errors.is_empty() { Ok(()) } else { Err(Failure::invalid(errors)) }
    }

    /// The same, told as it is.
    pub(crate) fn mistakes(mut self, known: &[&str]) -> Vec<FieldError> {
        for (name, _) in std::mem::take(&mut self.left).into_iter().take(100) {
            let detail = match nearest(&name, known.iter().copied()) {
                Some(near) => format!("unknown parameter {name:?}; did you mean {near:?}?"),
                None => format!("unknown parameter {name:?}"),
            };
            self.wrong(&name, detail);
        }
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str) -> Vec<(String, String)> {
        Params::parse(Some(query)).unwrap().take_left()
    }

    #[test]
    fn query_strings_are_decoded() {
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        assert_eq!(
            pairs("a=1&&b=%C3%A9+x%2B&c&d=e=f"),
            owned(&[("a", "1"), ("b", "é x+"), ("c", ""), ("d", "e=f")])
        );
        assert!(pairs("").is_empty());
    }

    #[test]
    fn broken_encodings_are_refused() {
        for query in ["a=%zz", "a=%4", "a=%", "%ff=1", "a=%ff", "a=%C3%28"] {
            assert!(Params::parse(Some(query)).is_err(), "{query}");
        }
    }

    #[test]
    fn what_is_encoded_reads_back() {
        let query = encode([("filter", "a = 'é&b' + 1%"), ("x", "")]);
        assert_eq!(pairs(query.strip_prefix('?').unwrap())[0].1, "a = 'é&b' + 1%");
    }

    #[test]
    fn lists_split_at_commas_that_are_not_escaped() {
        for (text, items) in [
            ("a,b", vec!["a", "b"]),
            (r"a\,b,c", vec!["a,b", "c"]),
            (r"a\\,b", vec![r"a\", "b"]),
            (r"a\b", vec![r"a\b"]),
            ("a,", vec!["a", ""]),
            ("", vec![]),
        ] {
            assert_eq!(split_list(text), items, "{text}");
        }
    }
}
