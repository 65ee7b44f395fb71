//! Event source mappings: messages of queues become batches of events.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    Call, Fault, Faults, InvokeError, Service,
    deployment::SourceSpec,
    lambda::{Function, chain, trace},
};

/// How often an empty queue is looked into. Not a long poll: emulators that serve one request at a time would serve
/// nothing else meanwhile.
const LOOK: Duration = Duration::from_millis(100);
/// How often at last, where it stays empty.
const IDLE: Duration = Duration::from_millis(400);
/// The same where each message of a function is known of as it is sent: others come in their time.
const TOLD_IDLE: Duration = Duration::from_secs(1);
/// The most that SQS hands out, or takes back, at once.
const MOST: usize = 10;

/// One queue that invokes one function.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) spec: SourceSpec,
    pub(crate) function: Arc<Function>,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) url: String,
    pub(crate) arn: String,
    pub(crate) region: String,
    /// How long a message that was received stays hidden.
    pub(crate) visibility: Duration,
    pub(crate) faults: Faults,
    /// Whether the faults tell of every message that a function sends.
    pub(crate) told: bool,
}

impl Mapping {
    /// Receives and invokes until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let most = self.spec.maximum_concurrency.unwrap_or(self.function.limit).max(1);
        let places = Arc::new(Semaphore::new(most));
        let idle = if self.told { TOLD_IDLE } else { IDLE };
        let (mut sent, mut pause) = (self.faults.listen(), LOOK);
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match self.receive().await {
                Ok(batch) if batch.is_empty() => {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => pause = (pause * 3 / 2).min(idle),
                        // Its sender is one of the faults, and lives as long as they are here.
                        _ = sent.changed() => pause = LOOK,
                    }
                }
                Ok(batch) => {
                    pause = LOOK;
                    tokio::spawn(Arc::clone(&self).handle(batch, place));
                }
                Err(error) => {
                    self.log(format!("the queue cannot be received from: {}", chain(&error)));
                    tokio::time::sleep(LOOK * 10).await;
                }
            }
        }
    }

    /// A batch: as many messages as fit, or as come within the window.
    async fn receive(&self) -> Result<Vec<Message>, aws_sdk_sqs::Error> {
        let mut batch = Vec::new();
        let mut until = None;
        loop {
            let room = (self.spec.batch_size - batch.len()).min(MOST);
            let received = self
                .sqs
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(i32::try_from(room).unwrap_or(1))
                .wait_time_seconds(0)
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .message_attribute_names("All")
                .send()
                .await?;
            batch.extend(received.messages.unwrap_or_default());
            if batch.is_empty() || batch.len() >= self.spec.batch_size {
                return Ok(batch);
            }
            if Instant::now() >= *until.get_or_insert_with(|| Instant::now() + self.spec.window) {
                return Ok(batch);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn handle(self: Arc<Self>, batch: Vec<Message>, _place: OwnedSemaphorePermit) {
        let batch = self.arrive(batch).await;
        if batch.is_empty() {
            return;
        }
        let records = batch.iter().map(|message| self.record(message)).collect();
        let given_up = Instant::now() + self.visibility;
        let mut pause = LOOK;
        let answer = loop {
            match self.invoke(records_of(&records)).await {
                Err(InvokeError::Throttled) if Instant::now() + pause < given_up => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LOOK * 20);
                }
                answer => break answer,
            }
        };
        let failed = match &answer {
            Ok(answer) if self.spec.report_failures => failures(answer, &batch),
            Ok(_) => Some(Vec::new()),
            Err(error) => {
                self.log(format!("a batch of {} messages failed: {error}", batch.len()));
                None
            }
        };
        // All that failed comes again once it is visible.
        let Some(failed) = failed else { return };
        let done =
            batch.iter().filter(|message| !failed.iter().any(|id| Some(id) == message.message_id.as_ref()));
        self.delete(&done.collect::<Vec<_>>()).await;
    }

    /// The messages that are not lost on their way: those of S3 meet faults.
    async fn arrive(&self, batch: Vec<Message>) -> Vec<Message> {
        let (mut arrived, mut lost) = (Vec::new(), Vec::new());
        for message in batch {
            let mut served = true;
            for (operation, path) in events_of_s3(message.body.as_deref().unwrap_or_default()) {
                let function = self.function.spec.logical.clone();
                let fault = self.faults.meet(Call { function, service: Service::Events, operation, path });
                if let Some(Fault::Delay(time)) = fault {
                    tokio::time::sleep(time).await;
                }
                served &= !fault.is_some_and(|fault| fault.keeps_from_serving());
            }
            if served { arrived.push(message) } else { lost.push(message) }
        }
        self.delete(&lost.iter().collect::<Vec<_>>()).await;
        arrived
    }

    async fn delete(&self, messages: &[&Message]) {
        for (index, some) in messages.chunks(MOST).enumerate() {
            let entries: Vec<_> = some
                .iter()
                .enumerate()
                .filter_map(|(place, message)| {
                    DeleteMessageBatchRequestEntry::builder()
                        .id(format!("{index}-{place}"))
                        .set_receipt_handle(message.receipt_handle.clone())
                        .build()
                        .ok()
                })
                .collect();
            let call = self.sqs.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
            if let Err(error) = call.send().await {
                self.log(format!("messages cannot be deleted: {}", chain(&error)));
            }
        }
    }

    async fn invoke(&self, event: Value) -> Result<Bytes, InvokeError> {
        self.function.invoke(event.to_string().into(), &trace()).await
    }

    /// The event of messages that are in no queue.
    pub(crate) fn event_of(&self, id: &str, receipt: &str, body: &str) -> Value {
        let now = jiff::Timestamp::now().as_millisecond().to_string();
        let message = Message::builder()
            .message_id(id)
            .receipt_handle(receipt)
            .body(body)
            .attributes(MessageSystemAttributeName::ApproximateReceiveCount, "1")
            .attributes(MessageSystemAttributeName::SentTimestamp, &now)
            .attributes(MessageSystemAttributeName::ApproximateFirstReceiveTimestamp, now)
            .build();
        records_of(&vec![self.record(&message)])
    }

    fn record(&self, message: &Message) -> Value {
        let system = message.attributes.iter().flatten();
        let system: Map<String, Value> =
            system.map(|(name, value)| (name.as_str().to_owned(), json!(value))).collect();
        let own = message.message_attributes.iter().flatten().map(|(name, value)| {
            let mut attribute = json!({
                "stringListValues": [], "binaryListValues": [], "dataType": value.data_type,
            });
            if let Some(text) = &value.string_value {
                attribute["stringValue"] = json!(text);
            }
            (name.clone(), attribute)
        });
        json!({
            "messageId": message.message_id,
            "receiptHandle": message.receipt_handle,
            "body": message.body.as_deref().unwrap_or_default(),
            "attributes": system,
            "messageAttributes": own.collect::<Map<_, _>>(),
            "md5OfBody": message.md5_of_body.as_deref().unwrap_or_default(),
            "eventSource": "aws:sqs",
            "eventSourceARN": self.arn,
            "awsRegion": self.region,
        })
    }

    fn log(&self, text: String) {
        self.function.logs.write(&self.function.spec.logical, 0, format!("{}: {text}", self.spec.queue));
    }
}

/// The names and keys of the events that a message brings, if it is one of S3.
fn events_of_s3(body: &str) -> Vec<(String, String)> {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let events = body["Records"].as_array().into_iter().flatten();
    events
        .filter(|event| event["eventSource"] == "aws:s3")
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let key = text(&event["s3"]["object"]["key"]).replace('+', " ");
            let key = percent_encoding::percent_decode_str(&key).decode_utf8_lossy().into_owned();
            (text(&event["eventName"]), key)
        })
        .collect()
}

fn records_of(records: &Vec<Value>) -> Value {
    json!({ "Records": records })
}

/// The ids of the messages that the function says failed; none if all did, as Lambda takes an answer that it cannot
/// read.
fn failures(answer: &Bytes, batch: &[Message]) -> Option<Vec<String>> {
    if answer.is_empty() {
        return Some(Vec::new());
    }
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let reported = match answer.get("batchItemFailures") {
        None if answer.is_null() || answer.as_object().is_some_and(Map::is_empty) => return Some(Vec::new()),
        None => return None,
        Some(Value::Null) => return Some(Vec::new()),
        Some(reported) => reported.as_array()?,
    };
    let known = |id: &str| batch.iter().any(|message| message.message_id.as_deref() == Some(id));
    let id = |item: &Value| item["itemIdentifier"].as_str().filter(|id| known(id)).map(str::to_owned);
    reported.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_s3_brings_events_and_others_bring_none() {
        let body = r#"{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"object":{"key":"a%2Fb+c"}}}]}"#;
        assert_eq!(events_of_s3(body), [("ObjectCreated:Put".to_owned(), "a/b c".to_owned())]);
        for other in ["", "{}", "fine", r#"{"Records":[{"eventSource":"aws:sns"}]}"#, r#"{"Records":3}"#] {
            assert_eq!(events_of_s3(other), [], "{other}");
        }
    }

    #[test]
    fn an_answer_names_what_failed_and_one_that_cannot_be_read_fails_all() {
        let batch: Vec<_> = ["a", "b"].map(|id| Message::builder().message_id(id).build()).into();
        let some = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
        for (answer, expected) in [
            ("", some(&[])),
            ("null", some(&[])),
            ("{}", some(&[])),
            (r#"{"batchItemFailures":[]}"#, some(&[])),
            (r#"{"batchItemFailures":null}"#, some(&[])),
            (r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#, some(&["b"])),
            (r#"{"batchItemFailures":[{"itemIdentifier":"c"}]}"#, None),
            (r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#, None),
            (r#"{"batchItemFailures":[{"id":"a"}]}"#, None),
            (r#"{"batchItemFailures":"a"}"#, None),
            (r#"{"failures":[]}"#, None),
            ("oops", None),
        ] {
            assert_eq!(failures(&Bytes::from(answer), &batch), expected, "{answer}");
        }
    }
}
