//! Webhooks over HTTP: endpoints, secrets, the log, and addresses of single jobs.

use serde_json::{Value, json};
use willcall_conformance::Answer as Reply;
use willcall_core::usecases::{
    webhooks::{notify, sweep_notices},
    work::Disposition,
};

use crate::world::{Answer, URL, World};

const HOOK: &str = "https://example.com/hook";

impl World {
    async fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.admin);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(method, path, &[("authorization", &bearer)], &body).await
    }

    async fn admin_once(&self, path: &str, body: &Value, key: &str) -> Answer {
        let bearer = format!("Bearer {}", self.admin);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask("POST", path, &[("authorization", &bearer), ("idempotency-key", key)], &body).await
    }

    async fn webhook(&self) -> Value {
        self.admin("POST", "/v1/webhooks", &json!({ "url": HOOK })).await.expect(201).json()
    }

    /// Tells everything that can be told now.
    async fn notify(&self) {
        while let Some(notice) = self.told.queue.receive() {
            assert_eq!(notify(&self.app.notifier, &notice).await, Disposition::Done);
        }
    }

    async fn told(&self, id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/v1/jobs/{id}/notifications")).await.expect(200).json();
        answer["notifications"].as_array().unwrap().clone()
    }

    /// Submits a job that tells an address of its own, and does its work.
    async fn addressed(&self) -> String {
        let body = json!({
            "kind": "query", "dataset": "flights", "fields": ["flight"], "format": "jsonl",
            "notification_url": HOOK, "notification_method": "GET",
        });
        let job = self.post("/v1/jobs", &body.to_string()).await.expect(202).json();
        self.work().await;
        job["job_id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_webhook_lives_from_its_making_to_its_removal() {
    let world = World::new().await;
    let draft = json!({ "url": HOOK, "events": ["job.failed", "results.ready"], "description": "ops" });
    let answer = world.admin("POST", "/v1/webhooks", &draft).await.expect(201);
    let made = answer.json();
    let path = format!("/v1/webhooks/{}", made["webhook_id"].as_str().unwrap());
    assert_eq!(answer.header("location"), format!("{URL}{path}"));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"), "{made}");
    assert_eq!((&made["url"], &made["enabled"]), (&json!(HOOK), &json!(true)));
    let shown = world.admin("GET", &path, &Value::Null).await.expect(200).json();
    assert_eq!(shown.get("secret"), None, "it is shown once");
    let secret = made["secret"].as_str().unwrap();
    let list = world.admin("GET", "/v1/webhooks", &Value::Null).await.expect(200);
    assert!(!list.text().contains(secret));
    assert_eq!(list.json()["webhooks"], json!([shown]));

    let change = json!({ "events": null, "description": null, "enabled": false });
    let changed = world.admin("PATCH", &path, &change).await.expect(200).json();
    assert_eq!((&changed["events"], &changed["description"]), (&Value::Null, &Value::Null));
    assert_eq!((&changed["enabled"], &changed["disabled_reason"]), (&json!(false), &json!("by_owner")));
    let again = world.admin("PATCH", &path, &json!({ "enabled": true })).await.expect(200).json();
    assert_eq!((&again["enabled"], &again["url"]), (&json!(true), &json!(HOOK)));

    let rotated = world.admin("POST", &format!("{path}/rotate"), &Value::Null).await.expect(200).json();
    assert_ne!(rotated["secret"], made["secret"]);
    assert_eq!(rotated["secrets"].as_array().unwrap().len(), 2);
    assert!(rotated["secrets"][1]["retires"].is_string());

    world.admin("DELETE", &path, &Value::Null).await.expect(204);
    world.admin("GET", &path, &Value::Null).await.problem(404, "not-found");
    world.admin("DELETE", &path, &Value::Null).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_webhook_is_made_once_by_its_key_and_its_secret_shown_once() {
    let world = World::new().await;
    let draft = json!({ "url": HOOK, "events": ["job.failed"] });
    let made = world.admin_once("/v1/webhooks", &draft, "\"k\"").await.expect(201);
    assert!(made.headers.get("idempotent-replayed").is_none() && made.json()["secret"].is_string());
    let path = format!("/v1/webhooks/{}", made.json()["webhook_id"].as_str().unwrap());
    world.admin("PATCH", &path, &json!({ "description": "ops" })).await.expect(200);

    let again =
        world.admin_once("/v1/webhooks", &json!({ "events": ["job.failed"], "url": HOOK }), "k").await;
    let again = again.expect(201);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.header("location"), format!("{URL}{path}"));
    assert_eq!(
        again.json(),
        world.admin("GET", &path, &Value::Null).await.json(),
        "as it is now, without secret"
    );
    let list = world.admin("GET", "/v1/webhooks", &Value::Null).await.json();
    assert_eq!(list["webhooks"].as_array().unwrap().len(), 1);

    let other = world.admin_once("/v1/webhooks", &json!({ "url": HOOK }), "k").await;
    other.problem(422, "idempotency-mismatch");
    let query = json!({ "kind": "query", "dataset": "flights" });
    world.admin_once("/v1/jobs", &query, "k").await.problem(422, "idempotency-mismatch");
    world.admin_once("/v1/jobs", &query, "j").await.expect(202);
    world.admin_once("/v1/webhooks", &draft, "j").await.problem(422, "idempotency-mismatch");
    // Only success is kept.
    let refused = world.admin_once("/v1/webhooks", &json!({ "url": "http://example.com/" }), "m").await;
    assert_eq!(refused.pointers(), ["#/url"]);
    world.admin_once("/v1/webhooks", &draft, "m").await.expect(201);

    world.admin("DELETE", &path, &Value::Null).await.expect(204);
    let gone = world.admin_once("/v1/webhooks", &draft, "k").await.problem(404, "not-found");
    assert!(gone.contains("was removed"), "{gone}");
    world.clock.advance(std::time::Duration::from_secs(24 * 3600));
    let anew = world.admin_once("/v1/webhooks", &draft, "k").await.expect(201).json();
    assert!(anew["secret"].is_string());
}

#[tokio::test]
async fn a_repeated_request_for_a_webhook_is_answered_where_no_more_are_allowed() {
    let world = World::new().await;
    let draft = json!({ "url": HOOK });
    for n in 0..10 {
        world.admin_once("/v1/webhooks", &draft, &format!("k{n}")).await.expect(201);
    }
    world.admin_once("/v1/webhooks", &draft, "k3").await.expect(201).header("idempotent-replayed");
    world.admin_once("/v1/webhooks", &draft, "k10").await.problem(409, "conflict");
}

#[tokio::test]
async fn a_secret_is_replaced_once_by_a_key() {
    let world = World::new().await;
    let made = world.webhook().await;
    let path = format!("/v1/webhooks/{}/rotate", made["webhook_id"].as_str().unwrap());
    for path in [path.as_str(), "/v1/account/webhook-secret/rotate"] {
        let first = world.admin_once(path, &Value::Null, path).await.expect(200).json();
        assert!(first["secret"].is_string(), "{first}");
        let again = world.admin_once(path, &Value::Null, path).await.expect(200);
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!((again.json().get("secret"), &again.json()["secrets"]), (None, &first["secrets"]));
        let anew = world.admin_once(path, &Value::Null, &format!("{path}#2")).await.expect(200).json();
        assert!(anew["secret"].is_string() && anew["secret"] != first["secret"]);
        let elsewhere = world.admin_once("/v1/webhooks", &json!({ "url": HOOK }), path).await;
        elsewhere.problem(422, "idempotency-mismatch");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_webhook_is_named() {
    let world = World::new().await;
    for (body, pointer) in [
        (json!({}), "#/url"),
        (json!({ "url": null }), "#/url"),
        (json!({ "url": 5 }), "#/url"),
        (json!({ "url": "http://example.com/" }), "#/url"),
        (json!({ "url": "https://127.0.0.1/" }), "#/url"),
        (json!({ "url": HOOK, "events": [] }), "#/events"),
        (json!({ "url": HOOK, "events": ["results.ready", "job.done"] }), "#/events/1"),
        (json!({ "url": HOOK, "events": "results.ready" }), "#/events"),
        (json!({ "url": HOOK, "description": "x".repeat(201) }), "#/description"),
        (json!({ "url": HOOK, "secret": "mine" }), "#/secret"),
        (json!({ "url": HOOK, "enabled": true }), "#/enabled"),
    ] {
        let answer = world.admin("POST", "/v1/webhooks", &body).await;
        assert_eq!(answer.pointers(), [pointer], "{body}");
    }
    let made = world.webhook().await;
    let path = format!("/v1/webhooks/{}", made["webhook_id"].as_str().unwrap());
    for (body, pointer) in [
        (json!({ "url": null }), "#/url"),
        (json!({ "url": "http://example.com/" }), "#/url"),
        (json!({ "enabled": "yes" }), "#/enabled"),
        (json!({ "event": ["job.failed"] }), "#/event"),
    ] {
        assert_eq!(world.admin("PATCH", &path, &body).await.pointers(), [pointer], "{body}");
    }
    for n in 1..10 {
        let answer = world.admin("POST", "/v1/webhooks", &json!({ "url": format!("{HOOK}{n}") })).await;
        answer.expect(201);
    }
    let answer = world.admin("POST", "/v1/webhooks", &json!({ "url": HOOK })).await;
    assert!(answer.problem(409, "conflict").contains("10 webhooks"));
}

#[tokio::test]
async fn webhooks_are_the_admins_and_no_other_accounts() {
    let world = World::new().await;
    let made = world.webhook().await;
    let path = format!("/v1/webhooks/{}", made["webhook_id"].as_str().unwrap());
    for (method, path) in [
        ("GET", "/v1/webhooks".to_owned()),
        ("POST", "/v1/webhooks".to_owned()),
        ("GET", path.clone()),
        ("PATCH", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/test")),
        ("POST", format!("{path}/rotate")),
        ("GET", "/v1/account/webhook-secret".to_owned()),
        ("POST", "/v1/account/webhook-secret/rotate".to_owned()),
    ] {
        let body = if path == "/v1/webhooks" && method == "POST" {
            json!({ "url": HOOK }).to_string()
        } else {
            String::new()
        };
        for token in [&world.token, &world.reader] {
            let bearer = format!("Bearer {token}");
            let answer = world.ask(method, &path, &[("authorization", &bearer)], &body).await;
            answer.problem(403, "forbidden");
        }
        let answer = world.ask(method, &path, &[("authorization", "Bearer none")], &body).await;
        answer.problem(401, "unauthenticated");
    }
    let other = json!({ "url": HOOK });
    let unknown = format!("/v1/webhooks/{}", "0192f6a0-7c1e-7b3a-9f00-3d1c5a8e2b41");
    for path in [unknown.as_str(), "/v1/webhooks/x", "/v1/webhooks/%00"] {
        world.admin("PATCH", path, &other).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_job_tells_its_own_address_and_the_log_says_so() {
    let world = World::new().await;
    let id = world.addressed().await;
    world.notify().await;
    let told = world.told(&id).await;
    assert_eq!(told.len(), 1);
    let one = &told[0];
    assert_eq!((&one["notification_id"], &one["event"]), (&json!("1-url0"), &json!("results.ready")));
    assert_eq!(
        (&one["state"], &one["method"], &one["url"]),
        (&json!("delivered"), &json!("GET"), &json!(HOOK))
    );
    assert_eq!((&one["attempts"][0]["status"], &one["attempts"][0]["error"]), (&json!(200), &Value::Null));
    assert_eq!(one["message_id"], world.told.sender.sent()[0].id);
    let job = world.get(&format!("/v1/jobs/{id}")).await.json();
    assert_eq!(job["request"]["notification_url"], HOOK);
    // Without an address nobody is told.
    let quiet = world.completed().await;
    world.notify().await;
    assert!(world.told(&quiet).await.is_empty());
}

#[tokio::test]
async fn whoever_is_served_by_an_identical_job_is_told_too() {
    let world = World::new().await;
    world.webhook().await;
    let ask = async |address: &str| {
        let body =
            json!({ "kind": "query", "dataset": "flights", "reuse": true, "notification_url": address });
        world.post("/v1/jobs", &body.to_string()).await.expect(202).json()
    };
    let urls = async |id: &str| {
        let told = world.told(id).await;
        told.iter().map(|one| one["url"].as_str().unwrap_or("all").to_owned()).collect::<Vec<_>>()
    };
    let first = ask("https://example.com/0").await;
    let id = first["job_id"].as_str().unwrap().to_owned();
    let joined = ask("https://example.com/1").await;
    assert_eq!((joined["job_id"].as_str(), &joined["reused"]), (Some(id.as_str()), &json!(true)));
    world.work().await;
    world.notify().await;
    assert_eq!(urls(&id).await, ["https://example.com/0", "https://example.com/1", "all"]);
    let late = ask("https://example.com/2").await;
    assert_eq!((&late["job_id"], &late["state"]), (&json!(id), &json!("completed")));
    world.notify().await;
    let told = urls(&id).await;
    assert_eq!(told[3..], ["https://example.com/2"], "it alone, and at once");
    let last = world.told.sender.sent().pop().unwrap();
    let body: Value = serde_json::from_str(&last.content).unwrap();
    assert_eq!((&body["type"], &body["data"]["sequence"]), (&json!("results.ready"), &json!(2)));
    assert_eq!(world.told(&id).await[3]["state"], "delivered");
}

#[tokio::test]
async fn what_is_sent_is_the_resource_without_request_and_links() {
    let world = World::new().await;
    world.webhook().await;
    let id = world.completed().await;
    world.notify().await;
    let sent = world.told.sender.sent().pop().unwrap();
    let body: Value = serde_json::from_str(&sent.content).unwrap();
    let data = body["data"].as_object().unwrap();
    let mut resource = world.get(&format!("/v1/jobs/{id}")).await.json();
    let resource = resource.as_object_mut().unwrap();
    for link in ["request", "link", "download_link", "download_link_expires"] {
        assert!(resource.remove(link).is_some(), "{link}");
    }
    resource.insert("sequence".into(), json!(1));
    for (name, value) in resource.iter() {
        assert_eq!(data.get(name), Some(value), "{name}");
    }
    assert_eq!(data.len(), resource.len());
}

#[tokio::test]
async fn a_failed_delivery_can_be_asked_for_again() {
    let world = World::new().await;
    let id = world.addressed().await;
    world.told.sender.script([Reply::Status(410, None), Reply::Status(200, None)]);
    world.notify().await;
    let failed = &world.told(&id).await[0];
    assert_eq!((&failed["state"], &failed["reason"]), (&json!("failed"), &json!("gone")));
    let path = format!("/v1/jobs/{id}/notifications/1-url0/resend");
    let answer = world.post(&path, "").await.expect(202).json();
    assert_eq!((&answer["state"], &answer["reason"]), (&json!("pending"), &Value::Null));
    world.notify().await;
    let delivered = &world.told(&id).await[0];
    assert_eq!(
        (&delivered["state"], delivered["attempts"].as_array().unwrap().len()),
        (&json!("delivered"), 2)
    );
    let ids: Vec<String> = world.told.sender.sent().into_iter().map(|message| message.id).collect();
    assert_eq!(ids[0], ids[1]);

    let as_reader =
        world.ask("POST", &path, &[("authorization", &format!("Bearer {}", world.reader))], "").await;
    as_reader.problem(403, "forbidden");
    let as_other =
        world.ask("POST", &path, &[("authorization", &format!("Bearer {}", world.other))], "").await;
    as_other.problem(404, "not-found");
    world.get_as(&world.other, &format!("/v1/jobs/{id}/notifications")).await.problem(404, "not-found");
    for wrong in ["1-url1", "2-url0", "x", "1-url00", "%2e%2e"] {
        let answer = world.post(&format!("/v1/jobs/{id}/notifications/{wrong}/resend"), "").await;
        answer.problem(404, "not-found");
    }
}

#[tokio::test]
async fn bad_addresses_of_jobs_are_refused_at_submit_with_all_else_that_is_wrong() {
    let world = World::new().await;
    for (members, pointers) in [
        (json!({ "notification_url": "http://example.com/" }), vec!["#/notification_url"]),
        (json!({ "notification_url": "https://127.0.0.1/" }), vec!["#/notification_url"]),
        (json!({ "notification_url": 5 }), vec!["#/notification_url"]),
        (json!({ "notification_url": HOOK, "notification_method": "PUT" }), vec!["#/notification_method"]),
        (json!({ "notification_method": "GET" }), vec!["#/notification_method"]),
        (json!({ "notification_url": "ftp://x", "page_size": 0 }), vec!["#/page_size", "#/notification_url"]),
    ] {
        let mut body = json!({ "kind": "query", "dataset": "flights" });
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        assert_eq!(world.post("/v1/jobs", &body.to_string()).await.pointers(), pointers, "{body}");
    }
    let path = "/v1/datasets/flights/records?notification_url=http%3A%2F%2Fx&async=true";
    assert_eq!(world.get(path).await.pointers(), ["?notification_url"]);
}

#[tokio::test]
async fn a_cancelled_and_a_deleted_job_are_told_too() {
    let world = World::new().await;
    world.webhook().await;
    let cancelled = world.submit().await;
    world.post(&format!("/v1/jobs/{cancelled}/cancel"), "").await.expect(202);
    let deleted = world.submit().await;
    world.ask("DELETE", &format!("/v1/jobs/{deleted}"), &[], "").await.expect(204);
    world.notify().await;
    let sent = world.told.sender.sent();
    assert_eq!(sent.len(), 2);
    for (message, id) in sent.iter().zip([cancelled, deleted]) {
        let body: Value = serde_json::from_str(&message.content).unwrap();
        assert_eq!((&body["type"], &body["data"]["job_id"]), (&json!("job.cancelled"), &json!(id)));
    }
}

#[tokio::test]
async fn a_test_says_what_became_of_it() {
    let world = World::new().await;
    let made = world.webhook().await;
    let path = format!("/v1/webhooks/{}/test", made["webhook_id"].as_str().unwrap());
    world.told.sender.script([Reply::Status(500, None), Reply::Unreachable]);
    let answer = world.admin("POST", &path, &Value::Null).await.expect(200).json();
    assert_eq!((&answer["delivered"], &answer["status"]), (&json!(false), &json!(500)));
    let answer = world.admin("POST", &path, &Value::Null).await.expect(200).json();
    assert_eq!((&answer["status"], &answer["error"]), (&Value::Null, &json!("could not connect")));
}

#[tokio::test]
async fn the_default_secret_is_shown_once() {
    let world = World::new().await;
    let state = world.admin("GET", "/v1/account/webhook-secret", &Value::Null).await.expect(200).json();
    assert_eq!(state, json!({ "secrets": [] }));
    let made = world.admin("POST", "/v1/account/webhook-secret/rotate", &Value::Null).await.expect(200);
    assert_eq!(made.header("cache-control"), "no-store");
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let state = world.admin("GET", "/v1/account/webhook-secret", &Value::Null).await.expect(200);
    assert!(!state.text().contains(&secret) && state.json()["secrets"].as_array().unwrap().len() == 1);
    world.addressed().await;
    world.notify().await;
    assert_eq!(world.told.sender.sent()[0].secrets[0].expose(), secret);
}

#[tokio::test]
async fn a_notice_that_could_not_be_sent_fails_no_request() {
    let world = World::new().await;
    world.told.queue.set_broken(true);
    let id = world.addressed().await;
    assert_eq!(world.get(&format!("/v1/jobs/{id}")).await.json()["state"], "completed");
    world.told.queue.set_broken(false);
    world.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(sweep_notices(&world.app.notifier).await.unwrap().woken, 1);
    world.notify().await;
    assert_eq!(world.told(&id).await[0]["state"], "delivered");
}
