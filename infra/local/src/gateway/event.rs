//! A request as an event, in payload format 2.0.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header, request};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// What is not in the request itself.
pub(super) struct Context<'a> {
    pub(super) route_key: &'a str,
    pub(super) variables: Vec<(String, String)>,
    pub(super) stage: &'a str,
    pub(super) api: &'a str,
    pub(super) account: &'a str,
    /// What clients call this host.
    pub(super) domain: &'a str,
    pub(super) source: &'a str,
    pub(super) request_id: &'a str,
    pub(super) trace: &'a str,
}

/// Headers of the connection, not of the request.
const HOP: [&str; 7] =
    ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"];

pub(super) fn build(parts: &request::Parts, body: &[u8], context: &Context<'_>) -> Value {
    let path = raw_path(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default();
    let (headers, cookies) = headers(&parts.headers, context);
    let agent = headers.get("user-agent").cloned().unwrap_or_else(|| json!(""));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": context.route_key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": context.account,
            "apiId": context.api,
            "domainName": context.domain,
            "domainPrefix": context.domain.split(['.', ':']).next(),
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": context.source,
                "userAgent": agent,
            },
            "requestId": context.request_id,
            "routeKey": context.route_key,
            "stage": context.stage,
            "time": Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": u64::try_from(now.as_millis()).unwrap_or_default(),
        },
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = Value::Object(parameters(query));
    }
    if !context.variables.is_empty() {
        let variables = context.variables.iter().map(|(name, value)| (name.clone(), json!(value)));
        event["pathParameters"] = Value::Object(variables.collect());
    }
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(text) if is_text(&parts.headers) => event["body"] = json!(text),
            _ => {
                event["body"] = json!(STANDARD.encode(body));
                event["isBase64Encoded"] = json!(true);
            }
        }
    }
    event
}

/// HTTP APIs decode the path, and cut it where that makes a question mark.
fn raw_path(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    decoded.split('?').next().unwrap_or_default().to_owned()
}

/// Lower-cased, those of one name joined by commas; cookies apart.
fn headers(headers: &HeaderMap, context: &Context<'_>) -> (Map<String, Value>, Vec<String>) {
    let mut map = Map::new();
    let mut cookies = Vec::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        if name == header::COOKIE {
            for value in values {
                cookies.extend(value.split(';').map(|cookie| cookie.trim().to_owned()));
            }
        } else if !HOP.contains(&name.as_str()) {
            map.insert(name.as_str().to_owned(), json!(values.collect::<Vec<_>>().join(",")));
        }
    }
    let forwarded = match map.get("x-forwarded-for").and_then(Value::as_str) {
        Some(known) => format!("{known}, {}", context.source),
        None => context.source.to_owned(),
    };
    map.insert("x-forwarded-for".to_owned(), json!(forwarded));
    map.insert("x-forwarded-proto".to_owned(), json!("http"));
    map.insert("x-forwarded-port".to_owned(), json!(context.domain.rsplit(':').next()));
    map.insert("x-amzn-trace-id".to_owned(), json!(context.trace.split(';').next()));
    map.entry("content-length").or_insert_with(|| json!("0"));
    (map, cookies)
}

/// Decoded, those of one name joined by commas.
fn parameters(query: &str) -> Map<String, Value> {
    let mut map = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode =
            |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let (name, value) = (decode(name), decode(value));
        let joined = match map.get(&name).and_then(Value::as_str) {
            Some(known) => format!("{known},{value}"),
            None => value,
        };
        map.insert(name, json!(joined));
    }
    map
}

/// Whether API Gateway takes a body of this type for text; all else it encodes, forms too.
fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml"].contains(&kind.as_str())
}

#[cfg(test)]
mod tests {
    use http::{Request, request::Builder};

    use super::*;

    fn event(request: Builder, body: &[u8]) -> Value {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let context = Context {
            route_key: "GET /v1/jobs/{id}",
            variables: vec![("id".to_owned(), "a b".to_owned())],
            stage: "$default",
            api: "api",
            account: "000000000000",
            domain: "127.0.0.1:80",
            source: "127.0.0.1",
            request_id: "r",
            trace: "Root=1-2;Parent=3;Sampled=0",
        };
        build(&parts, body, &context)
    }

    #[test]
    fn an_event_has_what_the_request_says() {
        let request = Request::get("/v1/jobs/a%20b?x=1&y=a%2Cb&x=2+3&z")
            .header("Accept", "text/csv")
            .header("X-Two", "1")
            .header("X-Two", "2")
            .header("Cookie", "a=1; b=2")
            .header("Connection", "close");
        let event = event(request, b"");
        assert_eq!(event["rawPath"], "/v1/jobs/a b");
        assert_eq!(event["rawQueryString"], "x=1&y=a%2Cb&x=2+3&z");
        assert_eq!(event["queryStringParameters"], json!({"x": "1,2 3", "y": "a,b", "z": ""}));
        assert_eq!(event["pathParameters"], json!({"id": "a b"}));
        assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
        assert_eq!(
            (&event["headers"]["x-two"], &event["headers"]["accept"]),
            (&json!("1,2"), &json!("text/csv"))
        );
        assert_eq!(event["headers"]["x-amzn-trace-id"], "Root=1-2");
        for absent in ["cookie", "connection"] {
            assert!(event["headers"][absent].is_null(), "{absent}");
        }
        assert!(event["body"].is_null());
        assert_eq!(event["requestContext"]["http"]["method"], "GET");
    }

    #[test]
    fn a_path_is_decoded_and_cut_at_a_question_mark() {
        assert_eq!(event(Request::get("/a%3Fb/c"), b"")["rawPath"], "/a");
        assert_eq!(event(Request::get("/a%25b"), b"")["rawPath"], "/a%b");
    }

    #[test]
    fn only_bodies_of_text_types_are_text() {
        for (kind, encoding, body, expected) in [
            ("application/json; charset=utf-8", None, &b"{}"[..], Some("{}")),
            ("text/plain", None, b"x", Some("x")),
            ("text/plain", None, b"\xff", None),
            ("application/json", Some("gzip"), b"{}", None),
            ("application/x-www-form-urlencoded", None, b"a=1", None),
            ("", None, b"x", None),
        ] {
            let mut request = Request::post("/").header("content-type", kind);
            if let Some(encoding) = encoding {
                request = request.header("content-encoding", encoding);
            }
            let event = event(request, body);
            let encoded = STANDARD.encode(body);
            assert_eq!(event["body"], expected.unwrap_or(&encoded), "{kind}");
            assert_eq!(event["isBase64Encoded"], expected.is_none(), "{kind}");
        }
    }
}
