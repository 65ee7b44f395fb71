//! Batches of SQS: each message is handled by itself, and those that failed are told.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use willcall_aws::{MessageError, parse_message};
use willcall_core::{JobId, JobRef};

use crate::chain;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// It has done its work, and goes.
    Done,
    /// It stays, comes again, and ends with the dead letters if that happens too often.
    Failed,
}

/// Hands the messages to `handle` one after the other, and names those that failed.
///
/// A message that cannot be read fails too: one of a newer version waits for a function that knows its form, and
/// what is no message of ours is seen among the dead letters instead of being lost.
pub(crate) async fn each(
    event: SqsEvent,
    handle: impl AsyncFn(JobRef, &SqsMessage) -> Handled,
) -> SqsBatchResponse {
    each_of(event, parse_message, |job| job.job, handle).await
}

/// As [`each`], for messages that are read by `parse` and speak of a job that `of` tells.
pub(crate) async fn each_of<T>(
    event: SqsEvent,
    parse: impl Fn(&str) -> Result<T, MessageError>,
    of: impl Fn(&T) -> JobId,
    handle: impl AsyncFn(T, &SqsMessage) -> Handled,
) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        let id = message.message_id.as_deref().unwrap_or_default();
        let handled = match parse(message.body.as_deref().unwrap_or_default()) {
            Ok(read) => {
                let span = tracing::error_span!("message", job.id = %of(&read), message.id = id);
                tracing::Instrument::instrument(handle(read, &message), span).await
            }
            Err(error) => {
                tracing::error!(message.id = id, error = chain(&error), "failed to read message");
                Handled::Failed
            }
        };
        if handled == Handled::Failed {
            // Without an id Lambda takes the whole batch for failed, which is what is left to say.
            response.add_failure(id);
        }
    }
    response
}

#[cfg(test)]
pub(crate) mod tests {
    use willcall_conformance::samples::reference;

    use super::*;

    /// A batch of messages with these bodies, named `m0`, `m1` and so on.
    pub(crate) fn batch<'a>(bodies: impl IntoIterator<Item = &'a str>) -> SqsEvent {
        let records = bodies.into_iter().enumerate().map(|(index, body)| {
            serde_json::json!({
                "messageId": format!("m{index}"),
                "receiptHandle": "r",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:jobs",
                "awsRegion": "eu-central-1"
            })
        });
        let records: Vec<_> = records.collect();
        serde_json::from_value(serde_json::json!({ "Records": records })).unwrap()
    }

    pub(crate) fn body(job: &JobRef) -> String {
        format!(r#"{{"schema":1,"account":"{}","job":"{}"}}"#, job.account, job.job)
    }

    pub(crate) fn failed(response: &SqsBatchResponse) -> Vec<&str> {
        response.batch_item_failures.iter().map(|item| item.item_identifier.as_str()).collect()
    }

    #[tokio::test]
    async fn messages_that_fail_or_cannot_be_read_are_named_and_the_others_go() {
        let (good, bad) = (reference("acme"), reference("acme"));
        let newer = r#"{"schema":99,"what":"ever"}"#;
        let bodies = [&body(&good), "no message", &body(&bad), newer, ""];
        let response =
            each(batch(bodies), async |job, _| if job == bad { Handled::Failed } else { Handled::Done });
        let response = response.await;
        assert_eq!(failed(&response), ["m1", "m2", "m3", "m4"]);
    }

    #[tokio::test]
    async fn a_batch_in_which_all_is_well_names_none() {
        let response = each(batch([body(&reference("acme")).as_str()]), async |_, _| Handled::Done).await;
        let answer = serde_json::to_value(&response).unwrap();
        assert_eq!(answer, serde_json::json!({"batchItemFailures": []}));
    }
}
