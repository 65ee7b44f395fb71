//! Request bodies: one JSON object of at most 1 MiB.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};
use willcall_core::{Error, job::ProblemType, usecases::limits::MAX_BODY};

use super::{json, members::kind_of};
use crate::problem::Failure;

/// How long a body may take to arrive: one that never ends must not hold its connection for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// The members of the request's body. No body at all is an object without members.
pub(crate) async fn read_object(request: Request) -> Result<Map<String, Value>, Failure> {
    let (parts, body) = request.into_parts();
    let reading = tokio::time::timeout(PATIENCE, read(&parts.headers, body));
    let bytes = reading.await.unwrap_or_else(|_| Err(too_slow()))?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    check_media_type(&parts.headers)?;
    match json::parse(&bytes).map_err(Failure::invalid)? {
        Value::Object(members) => Ok(members),
        other => Err(Failure::at("#", format!("the body must be an object, not {}", kind_of(&other)))),
    }
}

fn too_slow() -> Failure {
    let detail = format!("did not arrive within {} seconds", PATIENCE.as_secs());
    Failure::at("#", detail).status(StatusCode::REQUEST_TIMEOUT).header(header::CONNECTION, "close")
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    let too_large = || Failure::from(Error::TooLarge { what: "the request's body", limit: MAX_BODY });
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let mut stream = body.into_data_stream();
    if length.is_some_and(|length| length > MAX_BODY) {
        drain(&mut stream).await;
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Failure::at("#", "the body broke off"))?;
        if bytes.len() as u64 + chunk.len() as u64 > MAX_BODY {
            drain(&mut stream).await;
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Reads on for a while and throws it away: a client that is still sending when the connection closes never sees
/// the answer.
async fn drain(stream: &mut BodyDataStream) {
    const MOST: u64 = 16 * MAX_BODY;
    const LONGEST: Duration = Duration::from_secs(5);
    let draining = async {
        let mut left = MOST;
        while let Some(Ok(chunk)) = stream.next().await {
            left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                return;
            }
        }
    };
    // Whoever is slower than this does without.
    let _ = tokio::time::timeout(LONGEST, draining).await;
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Failure> {
    let unsupported = |detail: String| Err(Failure::new(ProblemType::UnsupportedFormat, detail));
    let text = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let Some(text) = text else {
        return unsupported("the body has no Content-Type: send application/json".into());
    };
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_json = media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"));
    if !is_json {
        return unsupported(format!("the body is {media_type:?}: send application/json"));
    }
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.eq_ignore_ascii_case("charset").then(|| value.trim_matches('"'))
    });
    if charset.is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
        return unsupported("the body must be UTF-8: leave charset out".into());
    }
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if coding.is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
        return unsupported("the body must not be compressed: leave Content-Encoding out".into());
    }
    Ok(())
}
