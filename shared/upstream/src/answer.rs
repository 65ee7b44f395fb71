//! Reading what an upstream answers.

use std::borrow::Cow;

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, value::RawValue};
use willcall_core::catalog::Upstream;

/// Why a body could not be read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It has more bytes than the upstream may answer.
    TooLarge,
    /// The connection broke.
    Broken,
}

/// Reads a body of at most `most` bytes.
pub(crate) async fn read(mut body: Incoming, most: u64) -> Result<Vec<u8>, Cut> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Cut::Broken)?;
        let data = frame.data_ref().map_or(&[][..], Bytes::as_ref);
        if (bytes.len() + data.len()) as u64 > most {
            return Err(Cut::TooLarge);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// An answer's body as a result holds it.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// JSON; `None` where the body is empty.
    pub(crate) json: Option<Box<RawValue>>,
    /// What is to be said of it, behind "its answer".
    pub(crate) note: Option<String>,
}

/// The body as a result holds it: JSON as it came but for the space between its parts, and any other text as a JSON string.
/// Where the answer says that it is JSON, it must be; and where the upstream has a schema for answers, it must be JSON that
/// fits, unless the answer is that of a failure. Bytes that are no text are no reason to say that nothing was done: U+FFFD
/// stands for them, and the note says so.
pub(crate) fn understand(
    upstream: &Upstream,
    content_type: Option<&str>,
    bytes: &[u8],
    succeeded: bool,
) -> Result<Body, String> {
    let schema = upstream.output.as_ref().filter(|_| succeeded);
    let is_json = schema.is_some() || content_type.is_some_and(is_json);
    let (text, note) = decode(content_type, bytes, is_json);
    if text.is_empty() {
        return match schema {
            Some(_) => Err("its answer is empty".into()),
            None => Ok(Body::default()),
        };
    }
    if !is_json {
        let json = raw(serde_json::to_string(&text).map_err(|error| error.to_string())?)?;
        return Ok(Body { json, note });
    }
    let value: Value =
        serde_json::from_str(&text).map_err(|error| format!("its answer is not JSON: {error}"))?;
    if let Some(misfit) = schema.and_then(|schema| schema.check(&value).into_iter().next()) {
        return Err(format!("its answer does not fit its schema: {misfit}"));
    }
    // The text and not the value: numbers keep all their digits.
    Ok(Body { json: raw(compact(&text))?, note })
}

/// The text of a body, and a note where some of it is none. A mark at its start is believed first. JSON is UTF-8 whatever else
/// it says (RFC 8259 §8.1), unless it is not. All else is in the charset that it names, and in UTF-8 where it names none that
/// is known.
fn decode<'b>(content_type: Option<&str>, bytes: &'b [u8], is_json: bool) -> (Cow<'b, str>, Option<String>) {
    let named = content_type.and_then(charset);
    let named = named.and_then(|label| Encoding::for_label_no_replacement(label.as_bytes()));
    let named = named.filter(|_| !is_json || str::from_utf8(bytes).is_err());
    let (text, encoding, lost) = named.unwrap_or(UTF_8).decode(bytes);
    let note = || format!("has bytes that are not {}: U+FFFD stands in their place", encoding.name());
    (text, lost.then(note))
}

/// The charset that a media type names.
fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })
}

fn raw(json: String) -> Result<Option<Box<RawValue>>, String> {
    RawValue::from_string(json).map(Some).map_err(|error| error.to_string())
}

/// Whether a media type is that of JSON (RFC 6839 §3.1).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// Valid JSON without the space between its parts.
fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use willcall_core::catalog::UpstreamEntry;

    use super::*;

    fn upstream(more: &str) -> Upstream {
        let json = format!("{{\"url\": \"https://api.test/\"{more}}}");
        serde_json::from_str::<UpstreamEntry>(&json).unwrap().check("u").unwrap()
    }

    fn understood(more: &str, content_type: Option<&str>, body: &[u8]) -> Result<String, String> {
        let Body { json, note } = understand(&upstream(more), content_type, body, true)?;
        let text = json.map_or_else(|| "nothing".to_owned(), |body| body.get().to_owned());
        Ok(text + &note.unwrap_or_default())
    }

    #[test]
    fn json_keeps_all_but_the_space_between_its_parts() {
        let body = b"\xef\xbb\xbf{ \"a b\\\" c\\\\\" : [1.000, 12345678901234567890123,\n\t\"x  y\"] }\r\n";
        for content_type in ["application/json", "Application/Problem+JSON; charset=utf-8", "text/json"] {
            assert_eq!(
                understood("", Some(content_type), body).unwrap(),
                "{\"a b\\\" c\\\\\":[1.000,12345678901234567890123,\"x  y\"]}"
            );
        }
    }

    #[test]
    fn what_is_no_json_is_text() {
        assert_eq!(understood("", Some("text/html"), b"<p>\"x\"\n").unwrap(), r#""<p>\"x\"\n""#);
        assert_eq!(understood("", None, b"{}").unwrap(), "\"{}\"");
        assert_eq!(understood("", Some("application/json"), b"").unwrap(), "nothing");
    }

    #[test]
    fn text_is_in_the_charset_that_it_names() {
        let latin = b"\xa1ol\xe9!";
        for content_type in [
            "text/plain; charset=iso-8859-1",
            "text/plain;format=flowed;CHARSET=\"ISO-8859-1\"",
            "text/plain; charset = Windows-1252",
        ] {
            assert_eq!(understood("", Some(content_type), latin).unwrap(), "\"¡olé!\"", "{content_type}");
        }
        for (content_type, body) in [
            ("text/plain; charset=shift_jis", &b"\x93\xfa\x96{"[..]),
            ("text/plain; charset=utf-16le", b"\xe5\x65\x2c\x67"),
            // What marks itself is what it is, whatever is said of it.
            ("text/plain; charset=iso-8859-1", b"\xef\xbb\xbf\xe6\x97\xa5\xe6\x9c\xac"),
            ("text/plain", b"\xff\xfe\xe5\x65\x2c\x67"),
            ("text/plain; charset=klingon", "日本".as_bytes()),
        ] {
            assert_eq!(understood("", Some(content_type), body).unwrap(), "\"日本\"", "{content_type}");
        }
    }

    #[test]
    fn json_is_utf_8_before_it_is_what_it_says() {
        let latin = Some("application/json; charset=iso-8859-1");
        assert_eq!(understood("", latin, "{\"a\": \"é\"}".as_bytes()).unwrap(), "{\"a\":\"é\"}");
        assert_eq!(understood("", latin, b"{\"a\": \"\xe9\"}").unwrap(), "{\"a\":\"é\"}");
        let schema = r#", "output": {"type": "object"}"#;
        let plain = Some("text/plain; charset=iso-8859-1");
        assert_eq!(understood(schema, plain, b"{\"a\": \"\xe9\"}").unwrap(), "{\"a\":\"é\"}");
    }

    #[test]
    fn what_is_no_text_is_told_with_what_stands_for_it() {
        let told = "has bytes that are not UTF-8: U+FFFD stands in their place";
        for content_type in [None, Some("text/plain"), Some("text/plain; charset=utf-8"), Some("image/png")] {
            let said = understood("", content_type, b"\x89PNG\xff").unwrap();
            assert_eq!(said, format!("\"\u{fffd}PNG\u{fffd}\"{told}"), "{content_type:?}");
        }
        let said = understood("", Some("application/json"), b"\"\xff\"").unwrap();
        assert_eq!(said, format!("\"\u{fffd}\"{told}"));
        let said = understood("", Some("text/plain; charset=shift_jis"), b"\x93").unwrap();
        assert_eq!(said, "\"\u{fffd}\"has bytes that are not Shift_JIS: U+FFFD stands in their place");
    }

    #[test]
    fn what_says_to_be_json_must_be() {
        let deep = "[".repeat(10_000);
        for body in [b"{", &b"nul"[..], b"{}{}", b"{\xff}", deep.as_bytes()] {
            let said = understood("", Some("application/json"), body).unwrap_err();
            assert!(said.contains("is not JSON"), "{said}");
        }
    }

    #[test]
    fn answers_must_fit_the_schema_but_those_of_failures() {
        let schema = r#", "output": {"type": "object", "required": ["id"]}"#;
        assert_eq!(understood(schema, Some("text/plain"), b"{\"id\": 1}").unwrap(), "{\"id\":1}");
        for (body, words) in [
            (&b"{}"[..], "/id: is missing"),
            (b"<html>", "is not JSON"),
            (b"", "is empty"),
            (b"[]", "must be object"),
        ] {
            let said = understood(schema, Some("application/json"), body).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
        let failed = understand(&upstream(schema), Some("text/html"), b"<html>", false);
        assert_eq!(failed.unwrap().json.unwrap().get(), "\"<html>\"");
    }
}
