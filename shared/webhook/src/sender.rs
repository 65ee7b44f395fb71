//! Sends one message over HTTP and reads what comes of it: a status, and how long to wait.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use url::Url;
use willcall_core::{
    ports::{Message, Reply, SendError, Sender, UnfitUrl},
    webhook::{AllowList, Method},
};
use willcall_outbound::{Client, Guard, PlainHttp, Resolve, Reuse, SystemResolver, retry_after};

use crate::signature::signature;

/// How long a message may take, the answer's head included.
const TIME_OUT: Duration = Duration::from_secs(15);
/// The most bytes of an answer's body that are read, so that a polite receiver sees its answer taken.
const MAX_ANSWER: usize = 4 * 1024;
/// How long that may take; whoever is slower is hung up on.
const BODY_TIME_OUT: Duration = Duration::from_secs(1);
const USER_AGENT: &str = concat!("willcall/", env!("CARGO_PKG_VERSION"));

/// The sender over HTTP/1.1. Each message has a connection of its own, so that each address is judged anew.
pub struct HttpSender {
    client: Client,
}

impl HttpSender {
    /// A sender that reaches the public internet, and what the operator allows besides.
    pub fn new(allow: AllowList) -> Self {
        Self::with_resolver(allow, Arc::new(SystemResolver))
    }

    /// As [`Self::new`], with names resolved otherwise than by the system.
    pub fn with_resolver(allow: AllowList, resolver: Arc<dyn Resolve>) -> Self {
        let guard = Guard::new(allow, PlainHttp::Loopback);
        Self { client: Client::new(guard, resolver, Reuse::Never) }
    }
}

#[async_trait]
impl Sender for HttpSender {
    fn check(&self, url: &str) -> Result<(), UnfitUrl> {
        self.client.check(url).map(|_| ())
    }

    async fn send(&self, message: &Message) -> Result<Reply, SendError> {
        let deadline = Instant::now() + TIME_OUT;
        let request = self.request(message)?;
        let answer = timeout_at(deadline, self.client.exchange(request)).await;
        let answer = answer.map_err(|_| SendError::TimedOut(TIME_OUT))??;
        let reply = Reply {
            status: answer.status().as_u16(),
            retry_after: retry_after(answer.headers(), message.now),
        };
        take_some(answer.into_body(), deadline.min(Instant::now() + BODY_TIME_OUT)).await;
        Ok(reply)
    }
}

impl HttpSender {
    fn request(&self, message: &Message) -> Result<Request<Full<Bytes>>, SendError> {
        let mut url = self.client.check(&message.url)?;
        let (method, content, body) = match message.method {
            Method::Post => (http::Method::POST, message.content.clone(), message.content.clone()),
            Method::Get => {
                let query = join_query(&url, &message.content);
                url.set_query(Some(&query));
                // As it will be read: the parser may have escaped some of it.
                (http::Method::GET, url.query().unwrap_or_default().to_owned(), String::new())
            }
        };
        url.set_fragment(None);
        let timestamp = message.now.as_seconds();
        let uri: Uri = url.as_str().parse().map_err(|error| UnfitUrl(format!("is not a URL: {error}")))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature(&message.secrets, &message.id, timestamp, &content));
        if message.method == Method::Post {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request.body(Full::from(body)).map_err(|error| SendError::Broken(error.into()))
    }
}

/// The address's own query with ours behind it.
fn join_query(url: &Url, added: &str) -> String {
    match url.query().filter(|query| !query.is_empty()) {
        Some(own) => format!("{own}&{added}"),
        None => added.to_owned(),
    }
}

/// Reads a little of the body and throws it away. Neither its content nor its end matters.
async fn take_some(mut body: Incoming, deadline: Instant) {
    let mut left = MAX_ANSWER;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // What comes too late is not waited for.
    let _ = timeout_at(deadline, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_put_behind_the_addresss_own() {
        for (url, query) in [
            ("https://x.test/hook", "a=1"),
            ("https://x.test/hook?", "a=1"),
            ("https://x.test/hook?token=t%20x", "token=t%20x&a=1"),
        ] {
            assert_eq!(join_query(&Url::parse(url).unwrap(), "a=1"), query, "{url}");
        }
    }
}
