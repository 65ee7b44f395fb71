//! Batches of SQS: each message is handled by itself, and those that failed are told.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use willcall_aws::{JobsMessage, MessageError, parse_jobs_message};
use willcall_core::{
    JobId, JobRef, chain,
    usecases::{App, batches::arrived},
};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    /// It has done its work, and goes.
    Done,
    /// It stays, comes again, and ends with the dead letters if that happens too often.
    Failed,
}

/// Hands the messages of the jobs queue to `handle` one after the other, and names those that failed. What S3 tells of
/// files that have arrived, `app` notes.
///
/// A message that cannot be read fails too: one of a newer version waits for a function that knows its form, and
/// what is no message of ours is seen among the dead letters instead of being lost.
pub(crate) async fn each(
    app: &App,
    event: SqsEvent,
    handle: impl AsyncFn(JobRef, &SqsMessage) -> Handled,
) -> SqsBatchResponse {
    let job = |message: &JobsMessage| match message {
        JobsMessage::Work(job) => Some(job.job),
        JobsMessage::Arrived(_) => None,
    };
    let handle = async |read, message: &_| match read {
        JobsMessage::Work(job) => handle(job, message).await,
        JobsMessage::Arrived(files) => note(app, &files).await,
    };
    each_of(event, parse_jobs_message, job, handle).await
}

/// Notes all of the files; one that cannot be noted now keeps none of the others waiting.
pub(crate) async fn note(app: &App, files: &[(JobRef, usize)]) -> Handled {
    let mut handled = Handled::Done;
    for (batch, file) in files {
        match arrived(app, batch, *file).await {
            Ok(arrival) => tracing::info!(job.id = %batch.job, file, ?arrival, "file arrived"),
            Err(error) => {
                tracing::error!(job.id = %batch.job, file, error = chain(&error), "failed to note file");
                handled = Handled::Failed;
            }
        }
    }
    handled
}

/// As [`each`], for messages that are read by `parse` and may speak of a job, that `of` tells.
pub(crate) async fn each_of<T>(
    event: SqsEvent,
    parse: impl Fn(&str) -> Result<T, MessageError>,
    of: impl Fn(&T) -> Option<JobId>,
    handle: impl AsyncFn(T, &SqsMessage) -> Handled,
) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for message in event.records {
        let id = message.message_id.as_deref().unwrap_or_default();
        let handled = match parse(message.body.as_deref().unwrap_or_default()) {
            Ok(read) => {
                let span = tracing::error_span!(
                    "message",
                    job.id = of(&read).map(tracing::field::display),
                    message.id = id
                );
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
    use willcall_core::{job::JobState, ports::BlobKey};

    use super::*;
    use crate::worker::tests::World;

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

    /// The message with which S3 tells that an object of that key was made.
    pub(crate) fn arrival(key: &str) -> String {
        let record = serde_json::json!({
            "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"object": {"key": key}},
        });
        serde_json::json!({ "Records": [record] }).to_string()
    }

    #[tokio::test]
    async fn messages_that_fail_or_cannot_be_read_are_named_and_the_others_go() {
        let (good, bad) = (reference("acme"), reference("acme"));
        let newer = r#"{"schema":99,"what":"ever"}"#;
        let bodies = [&body(&good), "no message", &body(&bad), newer, ""];
        let handle = async |job, _: &_| if job == bad { Handled::Failed } else { Handled::Done };
        let response = each(&World::new([]).app, batch(bodies), handle).await;
        assert_eq!(failed(&response), ["m1", "m2", "m3", "m4"]);
    }

    #[tokio::test]
    async fn a_batch_in_which_all_is_well_names_none() {
        let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#;
        let (own, other) = (body(&reference("acme")), arrival("results/acme/other"));
        let event = batch([own.as_str(), other.as_str(), test]);
        let response = each(&World::new([]).app, event, async |_, _| Handled::Done).await;
        let answer = serde_json::to_value(&response).unwrap();
        assert_eq!(answer, serde_json::json!({"batchItemFailures": []}));
    }

    #[tokio::test]
    async fn a_file_that_has_arrived_sends_its_batch_to_the_queue_once() {
        let world = World::new([]);
        let upload = world.upload().await;
        let (key, unknown) =
            (arrival(&upload.to_string()), arrival(&format!("uploads/{}/0", reference("acme"))));
        let nothing = async |_, _: &_| panic!("it is no work");
        for _ in 0..2 {
            let response = each(&world.app, batch([key.as_str(), unknown.as_str()]), nothing).await;
            assert_eq!(failed(&response), [""; 0]);
        }
        let BlobKey::Upload { job, .. } = upload else { panic!("{upload}") };
        assert_eq!(world.job(&job).await.state, JobState::Accepted);
        assert_eq!(world.queue.messages().into_iter().map(|(_, job)| job).collect::<Vec<_>>(), [job]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_noted_is_told_of_again() {
        let world = World::new([]);
        let upload = world.upload().await;
        world.break_jobs(Some("on purpose"));
        let key = arrival(&upload.to_string());
        let response = each(&world.app, batch([key.as_str()]), async |_, _| Handled::Done).await;
        assert_eq!(failed(&response), ["m0"]);
        world.break_jobs(None);
        let response = each(&world.app, batch([key.as_str()]), async |_, _| Handled::Done).await;
        assert_eq!(failed(&response), [""; 0]);
    }
}
