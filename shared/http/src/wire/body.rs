//! Request bodies: one JSON object of at most 1 MiB.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use axum::{body::Body, extract::Request};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use willcall_core::{
    Error,
    job::ProblemType,
    json::{Json, Object, bounded},
    usecases::limits::MAX_BODY,
};

use super::{json, members::kind_of};
use crate::problem::Failure;

/// How long a body may take to arrive: one that never ends must not hold its connection for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// The members of the request's body. No body at all is an object without members.
pub(crate) async fn read_object(request: Request) -> Result<Map<String, Value>, Failure> {
    read_words(request, |_| false).await.map(|words| words.members)
}

/// The same with its text. Numbers that 64 bits do not reach are taken where `may_be_any` says so of the members: they are the
/// client's own, to be handed on as they were written.
pub(crate) async fn read_words(
    request: Request,
    may_be_any: fn(&Map<String, Value>) -> bool,
) -> Result<Words, Failure> {
    let (parts, body) = request.into_parts();
    let reading = tokio::time::timeout(PATIENCE, read(&parts.headers, body));
    let bytes = reading.await.unwrap_or_else(|_| Err(too_slow()))?;
    if bytes.is_empty() {
        return Ok(Words { members: Map::new(), text: "{}".into() });
    }
    check_media_type(&parts.headers)?;
    Words::parse(&bytes, may_be_any)
}

/// An object of JSON: its members to be read, its text to be handed on.
pub(crate) struct Words {
    pub(crate) members: Map<String, Value>,
    text: String,
}

impl Words {
    /// See [`read_words`].
    pub(crate) fn parse(bytes: &[u8], may_be_any: fn(&Map<String, Value>) -> bool) -> Result<Self, Failure> {
        let strictly = json::parse(bytes);
        let text = String::from_utf8_lossy(bytes).into_owned();
        let value = match (strictly, bounded(&text)) {
            (Ok(value), _) => value,
            (Err(errors), Cow::Borrowed(_)) => return Err(Failure::invalid(errors)),
            (Err(errors), Cow::Owned(bounded)) => match json::parse(bounded.as_bytes()) {
                Ok(Value::Object(members)) if may_be_any(&members) => Value::Object(members),
                Ok(_) => return Err(Failure::invalid(errors)),
                Err(others) => return Err(Failure::invalid(others)),
            },
        };
        match value {
            Value::Object(members) => Ok(Self { members, text }),
            other => Err(Failure::at("#", format!("the body must be an object, not {}", kind_of(&other)))),
        }
    }

    /// The whole as it was written.
    pub(crate) fn json(&self) -> Result<Json, Failure> {
        Json::parse(&self.text).map_err(broken)
    }

    /// The whole as it was written, with its members.
    pub(crate) fn object(&self) -> Result<Object, Failure> {
        Object::parse(&self.text).map_err(broken)
    }

    /// The members of the member `parameters`, each as it was written; none where it is no object.
    pub(crate) fn parameters(&self) -> BTreeMap<String, Box<RawValue>> {
        #[derive(Deserialize)]
        struct Statement {
            parameters: BTreeMap<String, Box<RawValue>>,
        }
        serde_json::from_str(&self.text).map_or_else(|_| BTreeMap::new(), |read: Statement| read.parameters)
    }

    /// The objects of the member `items`, each as it was written; `None` where it is no array of objects.
    pub(crate) fn items(&self) -> Option<Vec<Object>> {
        #[derive(Deserialize)]
        struct Rows<'a> {
            #[serde(borrow)]
            items: Vec<&'a RawValue>,
        }
        let rows: Rows<'_> = serde_json::from_str(&self.text).ok()?;
        rows.items.into_iter().map(|item| Object::parse(item.get()).ok()).collect()
    }
}

/// What was read once cannot be read again.
fn broken(error: serde_json::Error) -> Failure {
    Error::Internal(Box::new(error)).into()
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
async fn drain<E>(stream: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin)) {
    drain_within(stream, 16 * MAX_BODY, Duration::from_secs(5)).await;
}

/// The same of at most so many bytes, for as long at most.
pub(crate) async fn drain_within<E>(
    stream: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin),
    most: u64,
    longest: Duration,
) {
    let draining = async {
        let mut left = most;
        while let Some(Ok(chunk)) = stream.next().await {
            left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                return;
            }
        }
    };
    // Whoever is slower than this does without.
    let _ = tokio::time::timeout(longest, draining).await;
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
