//! A function's answer as a response, in payload format 2.0.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::Value;

use crate::serve::{Body, full};

/// The response that the answer describes; none if it describes none, which is an error of the function's.
pub(super) fn read(answer: &Bytes, method: &Method) -> Option<Response<Body>> {
    let described = serde_json::from_slice::<Value>(answer).ok()?;
    let Some(status) = described.get("statusCode") else {
        // API Gateway infers: all of it is the body.
        let mut response = Response::new(full(answer.clone()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Some(response);
    };
    let status = status.as_u64().or_else(|| status.as_str()?.parse().ok())?;
    let status =
        StatusCode::from_u16(u16::try_from(status).ok()?).ok().filter(|status| status.as_u16() >= 200)?;
    let body = match &described["body"] {
        Value::Null => Bytes::new(),
        Value::String(text) if described["isBase64Encoded"] == true => STANDARD.decode(text).ok()?.into(),
        Value::String(text) => Bytes::from(text.clone()),
        _ => return None,
    };
    let mut headers = HeaderMap::new();
    if let Value::Object(map) = &described["headers"] {
        for (name, value) in map {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                _ => return None,
            };
            headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
    }
    if let Value::Array(cookies) = &described["cookies"] {
        for cookie in cookies {
            headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
        }
    }
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, HeaderName::from_static("keep-alive")] {
        headers.remove(name);
    }
    if *method != Method::HEAD {
        headers.remove(header::CONTENT_LENGTH);
    }
    if !body.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=utf-8"));
    }
    let mut response = Response::new(full(if *method == Method::HEAD { Bytes::new() } else { body }));
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Some(response)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::json;

    use super::*;

    async fn respond(answer: &Value) -> Option<(u16, HeaderMap, Vec<u8>)> {
        let response = read(&Bytes::from(answer.to_string()), &Method::GET)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Some((parts.status.as_u16(), parts.headers, body))
    }

    #[tokio::test]
    async fn a_described_response_is_given() {
        let answer = json!({"statusCode": 201, "headers": {"X-A": "1", "content-length": "9"}, "cookies": ["a=1", "b=2"],
            "body": STANDARD.encode(b"\xff\x00"), "isBase64Encoded": true});
        let (status, headers, body) = respond(&answer).await.unwrap();
        assert_eq!((status, body), (201, b"\xff\x00".to_vec()));
        assert_eq!(headers["x-a"], "1");
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
        assert!(!headers.contains_key("content-length"));
        assert_eq!(headers["content-type"], "text/plain;charset=utf-8");
    }

    #[tokio::test]
    async fn what_describes_no_response_is_the_body() {
        let (status, headers, body) = respond(&json!({"a": 1})).await.unwrap();
        assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "application/json"));
        assert_eq!(body, br#"{"a":1}"#);
    }

    #[tokio::test]
    async fn a_response_that_is_described_wrong_is_none() {
        for answer in [
            json!({"statusCode": "abc"}),
            json!({"statusCode": 99}),
            json!({"statusCode": 200, "body": {"a": 1}}),
            json!({"statusCode": 200, "body": "%", "isBase64Encoded": true}),
            json!({"statusCode": 200, "headers": {"a b": "1"}}),
            json!({"statusCode": 200, "headers": {"a": ["1"]}}),
        ] {
            assert!(respond(&answer).await.is_none(), "{answer}");
        }
        assert!(read(&Bytes::from_static(b"not json"), &Method::GET).is_none());
    }
}
