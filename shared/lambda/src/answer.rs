//! An answer as Lambda takes it: whole, of at most 6 MB with everything around the body.

use std::{future::ready, pin::Pin};

use axum::body::{Body, to_bytes};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use lambda_http::{Body as LambdaBody, IntoResponse};
use serde_json::json;
use willcall_core::{chain, job::ProblemType};

/// What Lambda takes as an answer, in bytes of its JSON form.
const MOST: usize = 6_291_556;
/// The JSON around body and headers.
const ENVELOPE: usize = 256;

/// The most bytes that this host answers inline. Base64, which is what the worst of texts and everything compressed
/// is sent as, makes 6,266,668 of them; API Gateway takes 10,240 bytes of headers, so that fits for certain.
pub const INLINE_LIMIT: u64 = 4_700_000;

/// An answer, ready to be sent.
#[derive(Debug)]
pub struct Answer(Response<LambdaBody>);

impl IntoResponse for Answer {
    // As it is: the usual way would decode text, and so drop what looks like a byte order mark.
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<LambdaBody>> + Send>> {
        Box::pin(ready(self.0))
    }
}

/// How a request is called in an answer that its handler did not write.
pub(crate) struct Asked<'a> {
    pub(crate) public_url: &'a str,
    pub(crate) path: &'a str,
}

impl Answer {
    /// Collects the answer of a router.
    pub(crate) async fn of(response: Response<Body>, asked: &Asked<'_>) -> Self {
        let (mut parts, body) = response.into_parts();
        fold(&mut parts.headers);
        let failed = match to_bytes(body, MOST).await {
            Ok(bytes) => match encode(bytes.into(), MOST - ENVELOPE - size_of_headers(&parts.headers)) {
                Some(body) => return Self(Response::from_parts(parts, body)),
                None => too_large(),
            },
            Err(error) if is_too_large(&error) => too_large(),
            Err(error) => {
                tracing::error!(error = chain(&error), "failed to read what was to be answered");
                let detail = "the result broke off while it was read: ask again";
                (StatusCode::SERVICE_UNAVAILABLE, ProblemType::Unavailable, detail)
            }
        };
        Self::problem(failed, &parts.headers, asked)
    }

    fn problem(
        (status, kind, detail): (StatusCode, ProblemType, &str),
        answered: &HeaderMap,
        asked: &Asked<'_>,
    ) -> Self {
        let request_id = answered.get("x-request-id").and_then(|id| id.to_str().ok());
        let document = json!({
            "type": format!("{}/problems/{}", asked.public_url, kind.slug()),
            "title": kind.title(),
            "status": status.as_u16(),
            "detail": detail,
            "instance": asked.path,
            "request_id": request_id,
        });
        let mut response = Response::new(LambdaBody::Text(document.to_string()));
        *response.status_mut() = status;
        // What the layers around every route have set; what is said of the body holds for another one.
        for (name, value) in answered {
            if name.as_str().starts_with("access-control-") || name == "x-request-id" || name == header::VARY
            {
                response.headers_mut().insert(name, value.clone());
            }
        }
        let headers = [
            (header::CONTENT_TYPE, "application/problem+json"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        for (name, value) in headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Self(response)
    }
}

fn too_large() -> (StatusCode, ProblemType, &'static str) {
    let detail = "the answer is larger than 6 MB, which this host cannot give at once: collect the result by its download";
    (StatusCode::INTERNAL_SERVER_ERROR, ProblemType::Internal, detail)
}

fn is_too_large(error: &axum::Error) -> bool {
    chain(error).contains("length limit exceeded")
}

/// The body in the form that takes less: text where JSON has little to escape in it, else base64. `None` where it
/// takes more than `most`.
fn encode(bytes: Vec<u8>, most: usize) -> Option<LambdaBody> {
    let base64 = bytes.len().div_ceil(3) * 4;
    let text = String::from_utf8(bytes).map_err(|error| error.into_bytes());
    let (body, size) = match text {
        Ok(text) => match escaped(text.as_bytes()) {
            size if size <= base64.max(1024) => (LambdaBody::Text(text), size),
            _ => (LambdaBody::Binary(text.into_bytes()), base64),
        },
        Err(bytes) => (LambdaBody::Binary(bytes), base64),
    };
    (size <= most).then_some(body)
}

/// How many bytes a JSON string of the text takes, without its quotes.
fn escaped(text: &[u8]) -> usize {
    let each = |byte: &u8| match byte {
        b'"' | b'\\' | 0x08 | 0x09 | 0x0a | 0x0c | 0x0d => 2,
        0x00..0x20 => 6,
        _ => 1,
    };
    text.iter().map(each).sum()
}

fn size_of_headers(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + escaped(value.as_bytes()) + 6).sum()
}

/// Lambda takes one value a header: several become a list, which means the same (RFC 9110 §5.3).
fn fold(headers: &mut HeaderMap) {
    let several: Vec<_> =
        headers.keys().filter(|name| headers.get_all(*name).iter().nth(1).is_some()).cloned().collect();
    for name in several {
        let values: Vec<&[u8]> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(list) = HeaderValue::from_bytes(&values.join(&b", "[..])) {
            headers.insert(name, list);
        }
    }
}

#[cfg(test)]
mod tests {
    use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpResponse;

    use super::*;

    const ASKED: Asked<'static> = Asked { public_url: "https://host", path: "/v1/x" };

    async fn answer(response: Response<Body>) -> Response<LambdaBody> {
        Answer::of(response, &ASKED).await.into_response().await
    }

    /// As `lambda_http` writes it.
    fn on_the_wire(response: Response<LambdaBody>) -> Vec<u8> {
        let (parts, body) = response.into_parts();
        let mut answer = ApiGatewayV2httpResponse::default();
        answer.status_code = i64::from(parts.status.as_u16());
        answer.headers = parts.headers;
        answer.is_base64_encoded = matches!(body, LambdaBody::Binary(_));
        answer.body = Some(body);
        serde_json::to_vec(&answer).unwrap()
    }

    #[tokio::test]
    async fn every_inline_answer_fits_whatever_is_in_it() {
        let limit = usize::try_from(INLINE_LIMIT).unwrap();
        for byte in [b'a', b'"', 0x01, 0xff] {
            let mut response = Response::new(Body::from(vec![byte; limit]));
            response.headers_mut().insert("x-long", HeaderValue::from_bytes(&[b'"'; 10_000]).unwrap());
            let answered = answer(response).await;
            assert_eq!(answered.status(), 200, "{byte:#x}");
            let wire = on_the_wire(answered).len();
            assert!(wire <= MOST, "{byte:#x}: {wire}");
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_a_problem_and_no_broken_answer() {
        for size in [4_720_000, MOST, MOST + 1, 2 * MOST] {
            let mut response = Response::new(Body::from(vec![0xff; size]));
            response.headers_mut().insert("x-request-id", HeaderValue::from_static("r1"));
            response.headers_mut().insert("content-length", HeaderValue::from(size));
            let answered = answer(response).await;
            assert_eq!(answered.status(), 500, "{size}");
            assert_eq!(answered.headers()["content-type"], "application/problem+json");
            assert!(!answered.headers().contains_key("content-length"));
            let LambdaBody::Text(body) = answered.body() else { panic!("no text") };
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(problem["type"], "https://host/problems/internal");
            assert_eq!((&problem["instance"], &problem["request_id"]), (&json!("/v1/x"), &json!("r1")));
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_a_problem() {
        let parts = [Ok("half"), Err(std::io::Error::other("gone"))];
        let body = Body::from_stream(futures_of(parts));
        let answered = answer(Response::new(body)).await;
        assert_eq!(answered.status(), 503);
    }

    fn futures_of<T: Send + 'static>(items: impl IntoIterator<Item = T>) -> impl futures::Stream<Item = T> {
        futures::stream::iter(items.into_iter().collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn bytes_come_through_unchanged() {
        let text = "\u{feff}carrier;flight\r\nä;1\r\n";
        let LambdaBody::Text(sent) = answer(Response::new(Body::from(text))).await.into_body() else {
            panic!("no text");
        };
        assert_eq!(sent, text, "with its byte order mark");
        let LambdaBody::Binary(sent) = answer(Response::new(Body::from(vec![0xff, 0x00]))).await.into_body()
        else {
            panic!("no binary");
        };
        assert_eq!(sent, [0xff, 0x00]);
    }

    #[tokio::test]
    async fn a_header_given_twice_becomes_one_list() {
        let mut response = Response::new(Body::empty());
        response.headers_mut().append("vary", HeaderValue::from_static("Accept"));
        response.headers_mut().append("vary", HeaderValue::from_static("Origin"));
        assert_eq!(answer(response).await.headers()["vary"], "Accept, Origin");
    }
}
