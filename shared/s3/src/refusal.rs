//! What S3 refuses, kept as it said it: the client below tells of most refusals by their words alone.

use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
        ReqwestConnector,
    },
};
use tokio::time::timeout;

/// The longest until an answer begins. What takes longer has been forgotten somewhere, and is better asked again.
pub(crate) const BEGINNING: Duration = Duration::from_secs(10);

/// The most that is kept of what S3 says.
const WORDS: usize = 400;

/// An answer that trying again does not change.
#[derive(Debug, thiserror::Error)]
#[error("S3 answered {status}{}", words(.code.as_deref(), .message.as_deref()))]
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// `AccessDenied` and the like; an answer without a body has none.
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    /// Where the bucket lies, where S3 says so.
    pub(crate) region: Option<String>,
}

/// Nothing came.
#[derive(Debug, thiserror::Error)]
#[error("no answer began within {} seconds", BEGINNING.as_secs())]
struct Silent;

fn words(code: Option<&str>, message: Option<&str>) -> String {
    [code, message].into_iter().flatten().map(|words| format!(", {words}")).collect()
}

/// Connects as usual, makes an error of each refusal, and does not wait for long.
#[derive(Debug, Default)]
pub(crate) struct Connector(ReqwestConnector);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct Service(HttpClient);

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let began = timeout(BEGINNING, self.0.execute(request)).await;
        let answer = began.map_err(|_| HttpError::new(HttpErrorKind::Timeout, Silent))??;
        let status = answer.status();
        let again = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if again || !(status.is_redirection() || status.is_client_error()) {
            return Ok(answer);
        }
        let region = answer.headers().get("x-amz-bucket-region");
        let region = region.and_then(|region| region.to_str().ok()).map(str::to_owned);
        // A refusal stays one where its words do not come.
        let body = answer.into_body().bytes().await.unwrap_or_default();
        let body = String::from_utf8_lossy(&body);
        let refused = Refused {
            status: status.as_u16(),
            code: element(&body, "Code"),
            message: element(&body, "Message"),
            region,
        };
        Err(HttpError::new(HttpErrorKind::Unknown, refused))
    }
}

/// The text of an element of S3's short answers, which have each once and none within another of the name.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(WORDS).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_refusal_are_kept_within_bounds() {
        let body = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access\nDenied</Message></Error>";
        assert_eq!(element(body, "Code").unwrap(), "AccessDenied");
        assert_eq!(element(body, "Message").unwrap(), "AccessDenied");
        assert_eq!(element(body, "Region"), None);
        assert_eq!(element("<html>not S3", "Code"), None);
        assert_eq!(element("<Code></Code>", "Code"), None);
        let long = format!("<Message>{}</Message>", "x".repeat(10_000));
        assert_eq!(element(&long, "Message").unwrap().len(), WORDS);
    }
}
