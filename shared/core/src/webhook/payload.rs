//! What receivers read: the body of a POST, the query of a GET.

use serde_json::{Map, Value, json};

use super::{EndpointId, Event};
use crate::{
    Timestamp,
    job::{Counts, Job},
    time::iso8601,
};

/// The most bytes of a body (Standard Webhooks 1.0: payloads should be under 20 KB).
pub const MAX_PAYLOAD: usize = 20_000;

/// What is left out, in this order, of a job that makes the body too large. The rest is bounded by itself.
const DISPENSABLE: [&str; 3] = ["labels", "name", "error"];

/// The job as its resource shows it, without its request and its links, and with the number of its event.
pub(super) fn job_data(job: &Job) -> Map<String, Value> {
    let progress = &job.progress;
    let duration = job.finished.map(|finished| finished.since(job.started.unwrap_or(job.created)));
    let members = json!({
        "job_id": job.id,
        "sequence": job.events,
        "kind": job.kind.as_str(),
        "name": job.name,
        "labels": job.labels,
        "account": job.account,
        "plan": job.plan,
        "dataset": job.dataset,
        "view": job.view,
        "state": job.state,
        "format": job.format.as_str(),
        "compression": job.compression.as_str(),
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "expires": job.expires,
        "duration": duration.map(iso8601),
        "progress": {
            "stage": progress.stage.as_str(),
            "records_found": progress.records_found,
            "records_requested": progress.records_requested,
            "records_written": progress.records_written,
            "bytes_written": progress.bytes_written,
            "percent": progress.percent,
            "estimated_finish": progress.estimated_finish,
            "queue_position": null,
        },
        "result": job.result.as_ref().map(|result| json!({
            "records": result.records,
            "bytes": result.bytes,
            "files": result.files,
            "pages": result.pages,
            "sha256": result.sha256,
            "truncated": result.truncated.as_ref().map(|truncated| json!({
                "reason": truncated.reason.as_str(),
                "limit": truncated.limit,
            })),
        })),
        "batches": job.batches,
        "attempts": job.attempt,
        "error": job.error.as_ref().map(|problem| json!({
            "type": format!("{}/problems/{}", job.public_url, problem.kind.slug()),
            "title": problem.kind.title(),
            "detail": problem.detail,
        })),
    });
    let Value::Object(mut members) = members else { return Map::new() };
    if let (Some(counts), Some(progress)) = (counts_data(progress.counts), members.get_mut("progress")) {
        progress["counts"] = counts;
    }
    members
}

/// What became of rows, as the job resource shows it.
fn counts_data(counts: Option<Counts>) -> Option<Value> {
    let Ok(Value::Object(mut counts)) = serde_json::to_value(counts?) else { return None };
    // The job says so itself.
    counts.shift_remove("kind");
    Some(Value::Object(counts))
}

/// A batch as its container's events show it.
pub(super) fn batch_data(batch: &Job) -> Value {
    json!({
        "batch_id": batch.id,
        "name": batch.name,
        "state": batch.phase().as_str(),
        "created": batch.created,
        "finished": batch.finished,
        "counts": counts_data(batch.progress.counts),
        "records": batch.result.as_ref().map(|result| result.records),
        "bytes": batch.result.as_ref().map(|result| result.bytes),
        "error": batch.error.as_ref().map(|problem| json!({
            "type": format!("{}/problems/{}", batch.public_url, problem.kind.slug()),
            "title": problem.kind.title(),
            "detail": problem.detail,
        })),
    })
}

pub(super) fn body(event: &Event) -> String {
    let mut data = event.data.clone();
    let mut omitted = Vec::new();
    let write = |data: &Map<String, Value>| {
        json!({ "type": event.kind, "timestamp": event.occurred, "data": data }).to_string()
    };
    let mut text = write(&data);
    for name in DISPENSABLE {
        if text.len() <= MAX_PAYLOAD {
            break;
        }
        data.shift_remove(name);
        omitted.push(name);
        data.insert("omitted".into(), json!(omitted));
        text = write(&data);
    }
    text
}

pub(super) fn query(event: &Event) -> String {
    // None of these has a character that would need an escape but the colons of the time, and those need none in a
    // query (RFC 3986 §3.4).
    format!(
        "type={}&job_id={}&state={}&sequence={}&timestamp={}",
        event.kind,
        event.job,
        event.data.get("state").and_then(Value::as_str).unwrap_or_default(),
        event.sequence,
        event.occurred,
    )
}

/// The body that a test of an endpoint sends.
pub fn test_body(endpoint: EndpointId, now: Timestamp) -> String {
    json!({ "type": "webhook.test", "timestamp": now, "data": { "webhook_id": endpoint } }).to_string()
}
