//! What S3 tells the jobs queue: that objects were made, and among them files of batches.

use serde::Deserialize;
use willcall_core::{JobRef, ports::BlobKey};

use crate::{MessageError, parse_message};

/// What a message of the jobs queue says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobsMessage {
    /// There is work to do for a job.
    Work(JobRef),
    /// Files have arrived: of which batches, and their places there. None where S3 tells of nothing that matters.
    Arrived(Vec<(JobRef, usize)>),
}

/// What S3 sends: events, or once a word that events will come.
#[derive(Deserialize)]
#[serde(untagged)]
enum FromS3 {
    Events {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    Test {
        #[serde(rename = "Service")]
        service: String,
        #[serde(rename = "Event")]
        event: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    event_source: String,
    event_name: String,
    s3: Entity,
}

#[derive(Deserialize)]
struct Entity {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

/// What a message of the jobs queue says: it is this program's own, or one of S3.
pub fn parse_jobs_message(body: &str) -> Result<JobsMessage, MessageError> {
    let ours = |record: &Record| record.event_source == "aws:s3";
    match serde_json::from_str(body) {
        Ok(FromS3::Events { records }) if records.iter().all(ours) => {
            Ok(JobsMessage::Arrived(records.iter().filter_map(arrived).collect()))
        }
        Ok(FromS3::Test { service, event }) if service == "Amazon S3" && event == "s3:TestEvent" => {
            Ok(JobsMessage::Arrived(Vec::new()))
        }
        _ => parse_message(body).map(JobsMessage::Work),
    }
}

fn arrived(record: &Record) -> Option<(JobRef, usize)> {
    if !record.event_name.starts_with("ObjectCreated:") {
        return None;
    }
    // Keys are written as forms are: a space as a plus, all else in percents.
    let spaced = record.s3.object.key.replace('+', " ");
    BlobKey::upload(&percent_encoding::percent_decode_str(&spaced).decode_utf8().ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use willcall_core::JobId;

    use super::*;

    fn record(name: &str, key: &str) -> Value {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name,
            "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": "b"}, "object": {"key": key, "size": 3}},
        })
    }

    fn read(records: Value) -> Result<JobsMessage, MessageError> {
        parse_jobs_message(&json!({"Records": records}).to_string())
    }

    #[test]
    fn files_of_batches_that_were_made_have_arrived() {
        let batch = JobRef { account: "acme".parse().unwrap(), job: JobId::generate() };
        let key = format!("uploads/{batch}/3");
        let both = [(batch.clone(), 3), (batch.clone(), 0)];
        let records = json!([
            record("ObjectCreated:Put", &key),
            record(
                "ObjectCreated:CompleteMultipartUpload",
                &format!("uploads/{batch}/0").replace('/', "%2F")
            ),
        ]);
        assert_eq!(read(records).unwrap(), JobsMessage::Arrived(both.into()));
        for (name, key) in [
            ("ObjectRemoved:Delete", key.as_str()),
            ("ObjectCreated:Put", "results/acme/x"),
            ("ObjectCreated:Put", &format!("{key}/part")),
            ("ObjectCreated:Put", &format!("uploads/{batch}/+3")),
            ("ObjectCreated:Put", "uploads/%FF"),
        ] {
            assert_eq!(
                read(json!([record(name, key)])).unwrap(),
                JobsMessage::Arrived(vec![]),
                "{name} {key}"
            );
        }
    }

    #[test]
    fn the_word_that_events_will_come_tells_of_no_file() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
        assert_eq!(parse_jobs_message(&test.to_string()).unwrap(), JobsMessage::Arrived(vec![]));
    }

    #[test]
    fn other_messages_are_work_or_malformed() {
        let job = JobRef { account: "acme".parse().unwrap(), job: JobId::generate() };
        let body = format!(r#"{{"schema":1,"account":"acme","job":"{}"}}"#, job.job);
        assert_eq!(parse_jobs_message(&body).unwrap(), JobsMessage::Work(job));
        assert!(matches!(parse_jobs_message(r#"{"schema":99}"#), Err(MessageError::Newer(99))));
        let mut other = record("ObjectCreated:Put", "uploads/acme/x/1");
        other["eventSource"] = json!("aws:sns");
        let mut lacking = record("ObjectCreated:Put", "uploads/acme/x/1");
        lacking["s3"] = json!({});
        for bad in [
            json!({"Records": [other]}),
            json!({"Records": [lacking]}),
            json!({"Records": "none"}),
            json!({"Service": "Amazon S3", "Event": "s3:Other"}),
        ] {
            let read = parse_jobs_message(&bad.to_string());
            assert!(matches!(read, Err(MessageError::Malformed(_))), "{bad}");
        }
    }
}
