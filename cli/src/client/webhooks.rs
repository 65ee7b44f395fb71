//! The calls of webhooks.

use http::Method;
use serde_json::{Value, json};

use super::{Answer, Client, Repeat, job_path, segment};
use crate::failure::Failure;

impl Client {
    /// The account's webhooks.
    pub(crate) async fn webhooks(&self) -> Result<Value, Failure> {
        self.value(Method::GET, "/v1/webhooks", None, Repeat::OnceConnected).await
    }

    /// Makes a webhook.
    pub(crate) async fn create_webhook(&self, draft: &Value) -> Result<Value, Failure> {
        self.value(Method::POST, "/v1/webhooks", Some(draft), Repeat::WhenRefused).await
    }

    /// Removes a webhook.
    pub(crate) async fn delete_webhook(&self, id: &str) -> Result<(), Failure> {
        self.call(Method::DELETE, &webhook_path(id, ""), None, Repeat::OnceConnected).await.map(|_| ())
    }

    /// Lets a webhook be sent to again, or no more.
    pub(crate) async fn enable_webhook(&self, id: &str, enabled: bool) -> Result<Value, Failure> {
        let change = json!({ "enabled": enabled });
        self.value(Method::PATCH, &webhook_path(id, ""), Some(&change), Repeat::OnceConnected).await
    }

    /// Sends a test and answers what became of it.
    pub(crate) async fn test_webhook(&self, id: &str) -> Result<Value, Failure> {
        self.value(Method::POST, &webhook_path(id, "/test"), None, Repeat::WhenRefused).await
    }

    /// Replaces a webhook's secret, or without one the account's default secret.
    pub(crate) async fn rotate_secret(&self, id: Option<&str>) -> Result<Value, Failure> {
        let path = match id {
            Some(id) => webhook_path(id, "/rotate"),
            None => "/v1/account/webhook-secret/rotate".to_owned(),
        };
        self.value(Method::POST, &path, None, Repeat::WhenRefused).await
    }

    /// What was told of a job.
    pub(crate) async fn notifications(&self, job: &str) -> Result<Value, Failure> {
        self.value(Method::GET, &job_path(job, "/notifications"), None, Repeat::OnceConnected).await
    }

    /// Tells once more.
    pub(crate) async fn resend(&self, job: &str, notification: &str) -> Result<Value, Failure> {
        let path = job_path(job, &format!("/notifications/{}/resend", segment(notification)));
        self.value(Method::POST, &path, None, Repeat::OnceConnected).await
    }

    async fn value(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        repeat: Repeat,
    ) -> Result<Value, Failure> {
        let answer: Answer<Value> = self.json(method, path, body, repeat).await?;
        Ok(answer.json)
    }
}

fn webhook_path(id: &str, rest: &str) -> String {
    format!("/v1/webhooks/{}{rest}", segment(id))
}
