//! A network on which things go wrong: chosen requests get another answer, or none, and may have been served all
//! the same.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It is answered with this status and body, and never served.
    Answer(u16, &'static str),
    /// It is served, but its answer is lost: status 500 comes instead.
    AnswerLost,
    /// It is served, but half of the answer's body is lost.
    CutShort,
    /// It is never answered.
    Silence,
    /// It is served after a while.
    Slow(Duration),
}

type Matches = Box<dyn Fn(&HttpRequest) -> bool + Send + Sync>;

struct Plan {
    matches: Matches,
    fault: Fault,
    left: u32,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} times", self.fault, self.left)
    }
}

/// The network. Clones are one and the same.
#[derive(Debug, Clone)]
pub(crate) struct Faulty {
    inner: SharedHttpClient,
    plans: Arc<Mutex<Vec<Plan>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Faulty {
    pub(crate) fn new() -> Self {
        Self { inner: Builder::new().build_http(), plans: Arc::default(), seen: Arc::default() }
    }

    /// The next `times` calls of that operation of DynamoDB or SQS meet the fault.
    pub(crate) fn target(&self, operation: &'static str, times: u32, fault: Fault) {
        self.plan(times, fault, move |request| name(request).ends_with(operation));
    }

    /// The next `times` requests of that method whose address has `part` in it meet the fault.
    pub(crate) fn address(&self, method: &'static str, part: impl Into<String>, times: u32, fault: Fault) {
        let part = part.into();
        self.plan(times, fault, move |request| request.method() == method && request.uri().contains(&part));
    }

    /// How many calls of that operation, or requests of that method, were made; of `304`, how many were answered so.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.ends_with(name)).count()
    }

    /// Nothing goes wrong any more.
    pub(crate) fn clear(&self) {
        self.plans.lock().unwrap().clear();
    }

    fn plan(&self, left: u32, fault: Fault, matches: impl Fn(&HttpRequest) -> bool + Send + Sync + 'static) {
        self.plans.lock().unwrap().push(Plan { matches: Box::new(matches), fault, left });
    }

    fn fault(&self, request: &HttpRequest) -> Option<Fault> {
        self.seen.lock().unwrap().push(name(request));
        let mut plans = self.plans.lock().unwrap();
        let plan = plans.iter_mut().find(|plan| plan.left > 0 && (plan.matches)(request))?;
        plan.left -= 1;
        Some(plan.fault)
    }
}

/// `DynamoDB_20120810.PutItem` where the request names its operation, else its method, with `crc32 ` before it where
/// the request has such a checksum of its body, in front or behind.
fn name(request: &HttpRequest) -> String {
    let (headers, method) = (request.headers(), request.method());
    let behind = headers.get("x-amz-trailer") == Some("x-amz-checksum-crc32");
    if behind || headers.get("x-amz-checksum-crc32").is_some() {
        return format!("crc32 {method}");
    }
    headers.get("x-amz-target").unwrap_or(method).to_owned()
}

fn answer(status: u16, body: &'static str) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))
}

impl HttpClient for Faulty {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { network: self.clone(), inner })
    }
}

#[derive(Debug)]
struct Connector {
    network: Faulty,
    inner: SharedHttpConnector,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.network.fault(&request) {
            None => {
                let (served, seen) = (self.inner.call(request), Arc::clone(&self.network.seen));
                HttpConnectorFuture::new(async move {
                    let served = served.await?;
                    if served.status().as_u16() == 304 {
                        seen.lock().unwrap().push("304".to_owned());
                    }
                    Ok(served)
                })
            }
            Some(Fault::Answer(status, body)) => HttpConnectorFuture::ready(Ok(answer(status, body))),
            Some(Fault::AnswerLost) => {
                let served = self.inner.call(request);
                HttpConnectorFuture::new(async move {
                    let served = served.await?;
                    assert!(served.status().is_success(), "it was to be served, and was not");
                    Ok(answer(500, ""))
                })
            }
            Some(Fault::CutShort) => {
                let served = self.inner.call(request);
                HttpConnectorFuture::new(async move {
                    let mut served = served.await?;
                    let body = ByteStream::new(served.take_body()).collect().await.unwrap().into_bytes();
                    *served.body_mut() = SdkBody::from(body.slice(..body.len() / 2));
                    Ok(served)
                })
            }
            Some(Fault::Silence) => HttpConnectorFuture::new(std::future::pending()),
            Some(Fault::Slow(time)) => {
                let served = self.inner.call(request);
                HttpConnectorFuture::new(async move {
                    tokio::time::sleep(time).await;
                    served.await
                })
            }
        }
    }
}
