//! The operations and schemas of webhooks.

use serde_json::json;
use utoipa::openapi::{
    ArrayBuilder, ComponentsBuilder, HttpMethod, ObjectBuilder, RefOr, Schema, SchemaFormat, Type,
    path::Parameter,
    schema::{AdditionalProperties, SchemaType},
};
use willcall_core::{usecases::limits::MAX_DESCRIPTION, webhook::EventKind};

use super::{
    operations::{COMMON, JSON, PATCH},
    parts::{Op, content, example, flag, job_id, key, named, path, text},
};
use crate::wire::webhook::{
    AttemptResource, NotificationList, NotificationResource, SecretResource, WebhookList, WebhookResource,
    WebhookSecret, WebhookTest,
};

/// Says that a secret is not shown again.
const REPLAYED: &str = "Idempotent-Replayed";

pub(super) fn operations() -> Vec<Op> {
    let body = || example(named("WebhookDraft"), draft_example());
    let webhook = || content(named("Webhook"));
    let secret = || content(named("WebhookSecret"));
    let op = |method, path, id, summary| Op::new(method, path, id, "webhooks", summary);
    vec![
        op(HttpMethod::Get, "/v1/webhooks", "listWebhooks", "The account's webhooks, oldest first")
            .json("200", "The webhooks.", content(named("WebhookList")), &[])
            .problems(&COMMON),
        op(HttpMethod::Post, "/v1/webhooks", "createWebhook", "Makes a webhook that is told of all jobs")
            .about(
                "The answer has the secret that signs what is sent (Standard Webhooks). It is shown this once, and not \
                 again to a request that is repeated by its key. Needs a token of the scope `admin`, as all of webhooks \
                 but the log.",
            )
            .params([key()])
            .body(&JSON, true, &body())
            .json("201", "The webhook, with its secret.", webhook(), &["Location", REPLAYED])
            .problems(&COMMON)
            .problems(&["408", "409", "413", "415", "422"]),
        op(HttpMethod::Get, "/v1/webhooks/{webhook}", "getWebhook", "One webhook")
            .params([webhook_id()])
            .json("200", "The webhook.", webhook(), &[])
            .problems(&COMMON)
            .problems(&["404"]),
        op(HttpMethod::Patch, "/v1/webhooks/{webhook}", "changeWebhook", "Changes a webhook")
            .about("`null` takes the description away, and stands for every event. `enabled` brings one back that was \
                    disabled because it answered 410.")
            .params([webhook_id()])
            .body(&PATCH, false, &content(named("WebhookChange")))
            .json("200", "The webhook.", webhook(), &[])
            .problems(&COMMON)
            .problems(&["404", "408", "413", "415"]),
        op(HttpMethod::Delete, "/v1/webhooks/{webhook}", "deleteWebhook", "Removes a webhook")
            .about("What is still to be delivered to it is given up.")
            .params([webhook_id()])
            .answers("204", "It is gone.", Vec::new(), &[])
            .problems(&COMMON)
            .problems(&["404"]),
        op(HttpMethod::Post, "/v1/webhooks/{webhook}/test", "testWebhook", "Sends a test and waits for the answer")
            .about("One message of the type `webhook.test`, signed as all are, tried once.")
            .params([webhook_id()])
            .json("200", "What became of it.", content(named("WebhookTest")), &[])
            .problems(&COMMON)
            .problems(&["404"]),
        op(HttpMethod::Post, "/v1/webhooks/{webhook}/rotate", "rotateWebhook", "Replaces the webhook's secret")
            .about("The new secret is shown this once. The one before goes on to sign beside it for 24 hours.")
            .params([webhook_id(), key()])
            .json("200", "The webhook, with its new secret.", webhook(), &[REPLAYED])
            .problems(&COMMON)
            .problems(&["404", "409", "422"]),
        op(HttpMethod::Get, "/v1/account/webhook-secret", "getWebhookSecret", "The state of the default secret")
            .about("It signs what goes to the `notification_url` of single jobs.")
            .json("200", "Its state.", secret(), &[])
            .problems(&COMMON),
        op(
            HttpMethod::Post,
            "/v1/account/webhook-secret/rotate",
            "rotateWebhookSecret",
            "Makes or replaces the default secret",
        )
        .about("The new secret is shown this once. The one before goes on to sign beside it for 24 hours.")
        .params([key()])
        .json("200", "The new secret.", secret(), &[REPLAYED])
        .problems(&COMMON)
        .problems(&["409", "422"]),
        op(HttpMethod::Get, "/v1/jobs/{id}/notifications", "listNotifications", "What was told of the job")
            .about("One for each event and each who is told, with its attempts. Kept for 30 days after the event.")
            .params([job_id()])
            .json("200", "The notifications.", content(named("NotificationList")), &[])
            .problems(&COMMON)
            .problems(&["404"]),
        op(
            HttpMethod::Post,
            "/v1/jobs/{id}/notifications/{notification}/resend",
            "resendNotification",
            "Tells once more",
        )
        .about("The same message with the same `webhook-id`, at once, with all the retries of a new one.")
        .params([job_id(), path("notification", text(), "The notification.")])
        .json("202", "The notification, to be delivered.", content(named("Notification")), &[])
        .problems(&COMMON)
        .problems(&["404"]),
    ]
}

pub(super) fn schemas(components: ComponentsBuilder) -> ComponentsBuilder {
    components
        .schema_from::<WebhookList>()
        .schema_from::<WebhookResource>()
        .schema_from::<SecretResource>()
        .schema_from::<WebhookSecret>()
        .schema_from::<WebhookTest>()
        .schema_from::<NotificationList>()
        .schema_from::<NotificationResource>()
        .schema_from::<AttemptResource>()
        .schema("WebhookDraft", members(false).required("url").examples([draft_example()]))
        .schema("WebhookChange", members(true).examples([json!({"enabled": true})]))
        .schema("WebhookMessage", message())
}

fn webhook_id() -> Parameter {
    path("webhook", text().format(Some(SchemaFormat::Custom("uuid".into()))), "The webhook.")
}

fn draft_example() -> serde_json::Value {
    json!({"url": "https://example.com/hook", "events": ["results.ready", "job.failed"]})
}

fn members(change: bool) -> ObjectBuilder {
    let nullable = |kind| SchemaType::from_iter([kind, Type::Null]);
    let kinds = text().enum_values(Some(EventKind::ALL.map(EventKind::as_str)));
    let events = ArrayBuilder::new()
        .schema_type(nullable(Type::Array))
        .items(kinds)
        .min_items(Some(1))
        .description(Some("Of what it is told; every event, where left out."));
    let description = ObjectBuilder::new()
        .schema_type(nullable(Type::String))
        .max_length(Some(MAX_DESCRIPTION))
        .description(Some("What you call it."));
    let mut object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        .property(
            "url",
            text()
                .max_length(Some(2048))
                .description(Some("Where messages are sent: https, at an address of the public internet.")),
        )
        .property("events", events)
        .property("description", description);
    if change {
        object = object.property("enabled", flag().description(Some("Whether anything is sent to it.")));
    }
    object
}

/// What is sent; no operation answers it, but whoever writes a receiver needs it.
fn message() -> ObjectBuilder {
    let data: RefOr<Schema> = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "The job as its resource shows it, without `request` and links; with `sequence`, the number of the event \
             among those of the job, from 1. Of a body that would have more than 20,000 bytes `labels`, `name` and \
             `error` are left out, in this order, and named in `omitted`.",
        ))
        .into();
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("The body of a webhook."))
        .property("type", text().enum_values(Some(EventKind::ALL.map(EventKind::as_str))))
        .property("timestamp", text().format(Some(SchemaFormat::Custom("date-time".into()))))
        .property("data", data)
        .required("type")
        .required("timestamp")
        .required("data")
}
