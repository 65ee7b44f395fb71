//! What went wrong with a call, kept as the source of a port's error.

use std::error::Error;

use willcall_core::error::Source;

/// A call of AWS failed after the SDK's own tries.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed{}", code.as_deref().map(|code| format!(" with {code}")).unwrap_or_default())]
pub(crate) struct CallFailed {
    operation: &'static str,
    code: Option<String>,
    #[source]
    source: Source,
}

impl CallFailed {
    /// Wraps the SDK's error, naming what was called and how AWS calls the failure.
    pub(crate) fn new<E>(operation: &'static str, error: E) -> Self
    where
        E: aws_sdk_dynamodb::error::ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let code = error.code().map(str::to_owned);
        Self { operation, code, source: Box::new(error) }
    }

    /// Whether AWS calls the failure so.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// For what failed before or after the call itself.
    pub(crate) fn other(operation: &'static str, source: impl Into<Source>) -> Self {
        Self { operation, code: None, source: source.into() }
    }
}

/// The status of the answer, where one came.
pub(crate) fn status<E>(
    error: &aws_sdk_s3::error::SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}
