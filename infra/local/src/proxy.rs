//! Proxies between functions and the back end: one for each function and service, so that each call is known by who
//! makes it and to whom.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

use crate::{
    Call, Error, Fault, Faults, Service,
    serve::{Body, Cut, Handler, Server, bind, full, serve},
    signature::{Asked, Refused, Signer},
};

/// Calls the back end. Clones share their connections.
pub(crate) type Upstream = Client<HttpConnector, Body>;

pub(crate) fn upstream() -> Upstream {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    // Shorter than emulators keep connections, so that none is used that is closing.
    Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(2)).build(http)
}

/// What one proxy passes on.
pub(crate) struct Proxy {
    pub(crate) function: String,
    pub(crate) service: Service,
    /// The address of the service, without a slash at the end.
    pub(crate) endpoint: String,
    pub(crate) upstream: Upstream,
    pub(crate) faults: Faults,
    pub(crate) signer: Signer,
}

impl Proxy {
    pub(crate) async fn start(self) -> Result<Server, Error> {
        let proxy = Arc::new(self);
        let handler: Handler = Arc::new(move |request, _| {
            let proxy = Arc::clone(&proxy);
            Box::pin(async move { proxy.answer(request).await })
        });
        serve(bind(0).await?, handler)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let operation = operation(self.service, request.method(), request.headers(), &path);
        if let Err(refused) = self.judge(&request, &path) {
            // Read first, or the client may see a broken connection in place of the answer.
            request.into_body().collect().await.map_err(|_| Cut)?;
            let (kind, body) = error(self.service, refused.code(), &[]);
            return plain(403, kind, body);
        }
        let sends = self.service == Service::Sqs && operation.starts_with("SendMessage");
        let call =
            Call { function: self.function.clone(), service: self.service, operation, path: path.clone() };
        let answer = self.meet(call, request, &path).await;
        if sends {
            self.faults.sent();
        }
        answer
    }

    async fn meet(&self, call: Call, request: Request<Incoming>, path: &str) -> Result<Response<Body>, Cut> {
        match self.faults.meet(call) {
            None => self.pass_on(request, path).await,
            Some(Fault::Error(status, code)) => {
                let body = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
                let (kind, body) = error(self.service, code, &body);
                plain(status, kind, body)
            }
            Some(Fault::Answer(status, body)) => {
                // Read first, or the client may see a broken connection in place of the answer.
                request.into_body().collect().await.map_err(|_| Cut)?;
                plain(status, "text/plain", body)
            }
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                self.pass_on(request, path).await
            }
            Some(Fault::CutBefore) => Err(Cut),
            Some(Fault::CutAfter) => {
                let served = self.pass_on(request, path).await?;
                let _ = served.into_body().collect().await;
                Err(Cut)
            }
            Some(Fault::Drip(bytes, pause)) => drip(self.pass_on(request, path).await?, bytes, pause).await,
        }
    }

    /// Whether a link of S3 works, where the request follows one.
    fn judge(&self, request: &Request<Incoming>, path: &str) -> Result<(), Refused> {
        if self.service != Service::S3 {
            return Ok(());
        }
        let back_end = self.endpoint.split_once("//").map_or("", |(_, host)| host);
        let asked = Asked { method: request.method().as_str(), path, headers: request.headers(), back_end };
        self.signer.judge(asked, jiff::Timestamp::now())
    }

    /// The host stays what the client called: it is part of what is signed. The body is passed on once it is there: a
    /// back end that serves one request at a time must not wait for a function that hangs.
    async fn pass_on(&self, request: Request<Incoming>, path: &str) -> Result<Response<Body>, Cut> {
        let uri: Uri = format!("{}{path}", self.endpoint).parse().map_err(|_| Cut)?;
        let (mut parts, body) = request.into_parts();
        parts.uri = uri;
        parts.headers.remove(header::CONNECTION);
        // The body is asked for already, and so on its way.
        parts.headers.remove(header::EXPECT);
        let body = full(body.collect().await.map_err(|_| Cut)?.to_bytes());
        match self.upstream.request(Request::from_parts(parts, body)).await {
            Ok(response) => Ok(response.map(|body| body.map_err(Into::into).boxed_unsync())),
            Err(_) => plain(502, "text/plain", format!("the back end at {} does not answer", self.endpoint)),
        }
    }
}

/// What AWS calls the operation.
fn operation(service: Service, method: &Method, headers: &HeaderMap, path: &str) -> String {
    if service != Service::S3 {
        let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        return target.rsplit('.').next().unwrap_or_default().to_owned();
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let of_object = path.trim_matches('/').contains('/');
    let name = match (method.as_str(), of_object) {
        ("GET", true) if has("uploadId") => "ListParts",
        ("GET", true) => "GetObject",
        ("HEAD", true) => "HeadObject",
        ("PUT", true) if has("partNumber") => "UploadPart",
        ("PUT", true) if headers.contains_key("x-amz-copy-source") => "CopyObject",
        ("PUT", true) => "PutObject",
        ("POST", true) if has("uploads") => "CreateMultipartUpload",
        ("POST", true) if has("uploadId") => "CompleteMultipartUpload",
        ("DELETE", true) if has("uploadId") => "AbortMultipartUpload",
        ("DELETE", true) => "DeleteObject",
        ("POST", false) if has("delete") => "DeleteObjects",
        ("GET", false) if has("list-type") => "ListObjectsV2",
        ("GET", false) if has("uploads") => "ListMultipartUploads",
        ("HEAD", false) => "HeadBucket",
        _ => "Other",
    };
    name.to_owned()
}

/// An error in the form of its service: its type and body.
fn error(service: Service, code: &str, request: &[u8]) -> (&'static str, String) {
    const MESSAGE: &str = "a fault of the test's";
    let typed = |prefix: &str| json!({"__type": format!("{prefix}#{code}"), "message": MESSAGE});
    match service {
        Service::S3 => (
            "application/xml",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{MESSAGE}</Message></Error>"
            ),
        ),
        Service::DynamoDb => {
            let mut body = typed("com.amazonaws.dynamodb.v20120810");
            if code == "TransactionCanceledException" {
                let request: Value = serde_json::from_slice(request).unwrap_or_default();
                let items = request["TransactItems"].as_array().map_or(1, Vec::len);
                let reason = |index| json!({"Code": if index == 0 { "TransactionConflict" } else { "None" }});
                body["CancellationReasons"] = (0..items).map(reason).collect();
            }
            ("application/x-amz-json-1.0", body.to_string())
        }
        Service::Sqs | Service::Events | Service::Other => {
            ("application/x-amz-json-1.0", typed("com.amazonaws.sqs").to_string())
        }
    }
}

fn plain(status: u16, kind: &'static str, body: String) -> Result<Response<Body>, Cut> {
    let status = StatusCode::from_u16(status).map_err(|_| Cut)?;
    Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(full(body)).map_err(|_| Cut)
}

/// The same response, its body in pieces with pauses.
async fn drip(response: Response<Body>, bytes: usize, pause: Duration) -> Result<Response<Body>, Cut> {
    let (parts, body) = response.into_parts();
    let whole = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let pieces = stream::unfold(whole, move |mut left: Bytes| async move {
        if left.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = left.split_to(bytes.clamp(1, left.len()));
        Some((Ok(Frame::data(piece)), left))
    });
    Ok(Response::from_parts(parts, StreamBody::new(pieces).boxed_unsync()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn calls_have_the_names_that_aws_gives_them() {
        for (method, path, expected) in [
            ("GET", "/b/results/a%2Fb", "GetObject"),
            ("PUT", "/b/k?x-id=PutObject", "PutObject"),
            ("PUT", "/b/k?partNumber=1&uploadId=u&x-id=UploadPart", "UploadPart"),
            ("POST", "/b/k?uploads", "CreateMultipartUpload"),
            ("POST", "/b/k?uploadId=u", "CompleteMultipartUpload"),
            ("DELETE", "/b/k?uploadId=u", "AbortMultipartUpload"),
            ("POST", "/b/?delete", "DeleteObjects"),
            ("GET", "/b?list-type=2&prefix=uploads", "ListObjectsV2"),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(operation(Service::S3, &method, &HeaderMap::new(), path), expected, "{method} {path}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-target", HeaderValue::from_static("DynamoDB_20120810.TransactWriteItems"));
        assert_eq!(operation(Service::DynamoDb, &Method::POST, &headers, "/"), "TransactWriteItems");
    }

    #[test]
    fn a_cancelled_transaction_has_a_reason_for_each_item() {
        let (_, body) =
            error(Service::DynamoDb, "TransactionCanceledException", br#"{"TransactItems":[{},{},{}]}"#);
        let body: Value = serde_json::from_str(&body).unwrap();
        let codes: Vec<&str> = body["CancellationReasons"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["Code"].as_str().unwrap())
            .collect();
        assert_eq!(codes, ["TransactionConflict", "None", "None"]);
    }
}
