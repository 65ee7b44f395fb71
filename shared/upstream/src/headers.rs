//! The headers of an upstream's calls, with their secrets, which are looked up again where they are refused.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use willcall_core::{
    catalog::{HeaderSource, SecretRef, Upstream},
    job::ProblemType,
    ports::{ExecuteError, SecretError, Secrets},
};

use crate::failure::{Outcome, fatal, transient};

/// What the calls of an attempt are sent with.
pub(crate) struct Headers {
    upstream: Arc<Upstream>,
    secrets: Arc<dyn Secrets>,
    now: Mutex<Arc<HeaderMap>>,
}

impl Headers {
    /// The headers with all secrets looked up.
    pub(crate) async fn of(upstream: &Arc<Upstream>, secrets: &Arc<dyn Secrets>) -> Outcome<Self> {
        let mut now = HeaderMap::new();
        for (name, source) in &upstream.headers {
            let text = match source {
                HeaderSource::Value(text) => SecretString::from(text.clone()),
                HeaderSource::Secret { prefix, secret } => {
                    behind(prefix, &secrets.secret(secret).await.map_err(unreadable)?)
                }
            };
            let Some((name, value)) = header(name, &text) else {
                tracing::error!(upstream = upstream.name, header = ?source_of(source), "a header cannot be sent");
                return Err(misconfigured("one of its headers cannot be sent"));
            };
            now.insert(name, value);
        }
        let (upstream, secrets) = (Arc::clone(upstream), Arc::clone(secrets));
        Ok(Self { upstream, secrets, now: Mutex::new(Arc::new(now)) })
    }

    /// As they are now.
    pub(crate) async fn now(&self) -> Arc<HeaderMap> {
        Arc::clone(&*self.now.lock().await)
    }

    /// Whether there are others than those that were refused: somebody may have changed a secret. One that cannot be looked
    /// up again stays what it was.
    pub(crate) async fn are_others_than(&self, refused: &Arc<HeaderMap>) -> bool {
        let mut now = self.now.lock().await;
        if !Arc::ptr_eq(&now, refused) {
            return true;
        }
        let mut renewed = HeaderMap::clone(&now);
        for (name, source) in &self.upstream.headers {
            // An environment does not change while its process runs.
            let HeaderSource::Secret { prefix, secret: secret @ SecretRef::Stored(_) } = source else {
                continue;
            };
            let found = match self.secrets.renewed(secret).await {
                Ok(found) => behind(prefix, &found),
                Err(error) => {
                    tracing::warn!(error = %error, "failed to look up a secret that an upstream refused");
                    return false;
                }
            };
            let Some((name, value)) = header(name, &found) else { return false };
            renewed.insert(name, value);
        }
        let others = renewed != **now;
        if others {
            tracing::info!(upstream = self.upstream.name, "took up a secret that has changed");
            *now = Arc::new(renewed);
        }
        others
    }
}

fn behind(prefix: &str, secret: &SecretString) -> SecretString {
    SecretString::from(format!("{prefix}{}", secret.expose_secret()))
}

fn header(name: &str, text: &SecretString) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::try_from(name).ok()?;
    let mut value = HeaderValue::from_str(text.expose_secret()).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// Where a header comes from, for the log.
fn source_of(source: &HeaderSource) -> String {
    match source {
        HeaderSource::Value(_) => "the catalog".into(),
        HeaderSource::Secret { secret, .. } => secret.to_string(),
    }
}

fn unreadable(error: SecretError) -> ExecuteError {
    let what = match &error {
        SecretError::Unavailable(..) => {
            return transient("a secret that the upstream needs cannot be read now", error);
        }
        SecretError::Missing(_) => "a secret that it needs is missing",
        SecretError::Denied(..) => "a secret that it needs may not be read",
        SecretError::Unfit(..) => "a secret that it needs is not what it should be",
    };
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    tracing::error!(error = %error, cause, "a secret of an upstream cannot be had");
    misconfigured(what)
}

/// It is for the operator to mend, who finds more in the log.
fn misconfigured(what: &str) -> ExecuteError {
    fatal(ProblemType::UpstreamFailed, format!("the upstream is not set up as it should be: {what}"))
}
