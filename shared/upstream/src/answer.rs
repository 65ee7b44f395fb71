//! Reading what an upstream answers.

use bytes::Bytes;
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

/// The body as a result holds it: JSON as it came but for the space between its parts, and any other text as a JSON string.
/// Where the answer says that it is JSON, it must be; and where the upstream has a schema for answers, it must be JSON that
/// fits, unless the answer is that of a failure.
pub(crate) fn understand(
    upstream: &Upstream,
    content_type: Option<&str>,
    bytes: &[u8],
    succeeded: bool,
) -> Result<Option<Box<RawValue>>, String> {
    let schema = upstream.output.as_ref().filter(|_| succeeded);
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.is_empty() {
        return match schema {
            Some(_) => Err("its answer is empty".into()),
            None => Ok(None),
        };
    }
    let says_json = content_type.is_some_and(is_json);
    if !says_json && schema.is_none() {
        let text = str::from_utf8(bytes).map_err(|_| "its answer is neither JSON nor UTF-8 text")?;
        return raw(serde_json::to_string(text).map_err(|error| error.to_string())?);
    }
    let text = str::from_utf8(bytes).map_err(|_| "its answer is not JSON: it is not UTF-8")?;
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("its answer is not JSON: {error}"))?;
    if let Some(misfit) = schema.and_then(|schema| schema.check(&value).into_iter().next()) {
        return Err(format!("its answer does not fit its schema: {misfit}"));
    }
    // The text and not the value: numbers keep all their digits.
    raw(compact(text))
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
        let body = understand(&upstream(more), content_type, body, true)?;
        Ok(body.map_or_else(|| "nothing".to_owned(), |body| body.get().to_owned()))
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
        assert!(understood("", Some("image/png"), b"\x89PNG\xff").unwrap_err().contains("nor UTF-8"));
    }

    #[test]
    fn what_says_to_be_json_must_be() {
        let deep = "[".repeat(10_000);
        for body in ["{", "nul", "{}{}", deep.as_str()] {
            let said = understood("", Some("application/json"), body.as_bytes()).unwrap_err();
            assert!(said.contains("is not JSON"), "{said}");
        }
        assert!(understood("", Some("application/json"), b"\"\xff\"").unwrap_err().contains("not UTF-8"));
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
        assert_eq!(failed.unwrap().unwrap().get(), "\"<html>\"");
    }
}
