//! Webhooks as they travel: endpoints, secrets, the log of deliveries.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use willcall_core::{
    time::iso8601,
    usecases::webhooks::Tested,
    webhook::{Delivery, Endpoint, SealedSecret, Secret, Target},
};

/// An endpoint that is told of the account's jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookResource {
    /// Names the endpoint.
    #[schema(format = "uuid")]
    pub webhook_id: String,
    /// Where the endpoint's record is to be had.
    #[schema(format = "uri")]
    pub link: String,
    /// Where messages are sent.
    #[schema(format = "uri", example = "https://example.com/hook")]
    pub url: String,
    /// What you call it.
    #[schema(required)]
    pub description: Option<String>,
    /// Of what it is told; null for every event, those of later versions too.
    #[schema(required)]
    pub events: Option<Vec<String>>,
    /// Whether anything is sent to it.
    pub enabled: bool,
    /// Why not: `by_owner`, or `gone` once it has answered 410.
    #[schema(required)]
    pub disabled_reason: Option<String>,
    /// When it was made.
    #[schema(format = "date-time")]
    pub created: String,
    /// The secrets that sign, newest first, without what is secret of them.
    pub secrets: Vec<SecretResource>,
    /// The newest secret; shown once, where it was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: Option<String>,
}

/// What is told of a secret once it was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookSecretState)]
pub struct SecretResource {
    /// When it was made.
    #[schema(format = "date-time")]
    pub created: String,
    /// When it stops to sign; null for the newest.
    #[schema(required, format = "date-time")]
    pub retires: Option<String>,
}

/// The account's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookList {
    /// The endpoints, oldest first.
    pub webhooks: Vec<WebhookResource>,
}

/// The account's default secret, which signs what goes to the `notification_url` of single jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecret {
    /// The secrets that sign, newest first, without what is secret of them. Empty until the first is needed.
    pub secrets: Vec<SecretResource>,
    /// The newest secret; shown once, where it was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub secret: Option<String>,
}

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookTest {
    /// Whether the receiver took it: it answered 2xx.
    pub delivered: bool,
    /// The `webhook-id` that it had.
    pub message_id: String,
    /// What the receiver answered.
    #[schema(required)]
    pub status: Option<u16>,
    /// What went wrong before there was an answer.
    #[schema(required)]
    pub error: Option<String>,
    /// How long it took (ISO 8601).
    pub duration: String,
}

/// What was told of a job to one who is told, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Notification)]
pub struct NotificationResource {
    /// Names the notification among those of its job.
    #[schema(example = "1-url0")]
    pub notification_id: String,
    /// The `webhook-id` of everything that is sent of it.
    pub message_id: String,
    /// What happened.
    #[schema(example = "results.ready")]
    pub event: String,
    /// The number of the event among those of the job.
    pub sequence: u32,
    /// The job's own address that is told; null where an endpoint is.
    #[schema(required)]
    pub url: Option<String>,
    /// The endpoint that is told; null where an address of the job is.
    #[schema(required)]
    pub webhook_id: Option<String>,
    /// `POST` or `GET`.
    pub method: String,
    /// `pending`, `delivered` or `failed`.
    #[schema(pattern = "^(pending|delivered|failed)$")]
    pub state: String,
    /// Why it failed: `exhausted`, `gone`, `disabled` or `removed`.
    #[schema(required)]
    pub reason: Option<String>,
    /// When it was made.
    #[schema(format = "date-time")]
    pub created: String,
    /// The newest attempts, oldest first; 20 at most.
    pub attempts: Vec<AttemptResource>,
    /// When the next attempt begins, while there is one to come.
    #[schema(required, format = "date-time")]
    pub next_attempt: Option<String>,
}

/// One attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = NotificationAttempt)]
pub struct AttemptResource {
    /// When it began.
    #[schema(format = "date-time")]
    pub at: String,
    /// How long it took (ISO 8601).
    pub duration: String,
    /// What the receiver answered.
    #[schema(required)]
    pub status: Option<u16>,
    /// What went wrong.
    #[schema(required)]
    pub error: Option<String>,
}

/// What was told of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotificationList {
    /// By event, and then by who is told.
    pub notifications: Vec<NotificationResource>,
}

impl WebhookResource {
    pub(crate) fn of(public_url: &str, endpoint: &Endpoint, secret: Option<&Secret>) -> Self {
        Self {
            webhook_id: endpoint.id.to_string(),
            link: format!("{public_url}/v1/webhooks/{}", endpoint.id),
            url: endpoint.url.clone(),
            description: endpoint.description.clone(),
            events: endpoint
                .events
                .as_ref()
                .map(|events| events.iter().map(|kind| kind.as_str().to_owned()).collect()),
            enabled: endpoint.disabled.is_none(),
            disabled_reason: endpoint.disabled.map(|reason| reason.as_str().to_owned()),
            created: endpoint.created.to_string(),
            secrets: secrets(&endpoint.secrets),
            secret: secret.map(Secret::expose),
        }
    }
}

impl WebhookSecret {
    pub(crate) fn of(kept: &[SealedSecret], secret: Option<&Secret>) -> Self {
        Self { secrets: secrets(kept), secret: secret.map(Secret::expose) }
    }
}

fn secrets(kept: &[SealedSecret]) -> Vec<SecretResource> {
    let one = |secret: &SealedSecret| SecretResource {
        created: secret.created.to_string(),
        retires: secret.retires.map(|retires| retires.to_string()),
    };
    kept.iter().map(one).collect()
}

impl WebhookTest {
    pub(crate) fn of(tested: &Tested) -> Self {
        Self {
            delivered: tested.is_delivered(),
            message_id: tested.id.clone(),
            status: tested.status,
            error: tested.error.clone(),
            duration: iso8601(tested.took),
        }
    }
}

impl NotificationResource {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        let webhook_id = match delivery.id.target {
            Target::Endpoint(id) => Some(id.to_string()),
            Target::Address(_) => None,
        };
        Self {
            notification_id: delivery.id.to_string(),
            message_id: delivery.event().message_id(),
            event: delivery.kind.as_str().to_owned(),
            sequence: delivery.id.sequence,
            url: delivery.url.clone(),
            webhook_id,
            method: delivery.method.as_str().to_owned(),
            state: delivery.state.as_str().to_owned(),
            reason: delivery.ending.map(|ending| ending.as_str().to_owned()),
            created: delivery.created.to_string(),
            attempts: delivery
                .attempts
                .iter()
                .map(|attempt| AttemptResource {
                    at: attempt.at.to_string(),
                    duration: iso8601(std::time::Duration::from_millis(attempt.millis)),
                    status: attempt.status,
                    error: attempt.error.clone(),
                })
                .collect(),
            next_attempt: delivery.next_at.map(|next| next.to_string()),
        }
    }
}
