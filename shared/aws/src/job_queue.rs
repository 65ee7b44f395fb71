//! Messages that wake workers, in SQS.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use willcall_core::{
    AccountId, JobId, JobRef,
    error::Source,
    ports::{JobQueue, QueueError},
};

use crate::{Clients, failure::CallFailed};

/// The version of a message's form. A reader refuses a newer one.
pub const MESSAGE_SCHEMA: u32 = 1;

/// SQS delays by whole seconds, and by no more than this.
const LONGEST_DELAY: u64 = 900;

#[derive(Serialize, Deserialize)]
struct Message {
    schema: u32,
    account: AccountId,
    job: JobId,
}

/// The form is read before the rest, which a newer form may have changed.
#[derive(Deserialize)]
struct Form {
    schema: u32,
}

/// A message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A newer version of the program wrote it: it must stay in the queue for one that can read it.
    #[error("the message has form {0}; this version reads up to {MESSAGE_SCHEMA}")]
    Newer(u32),
    /// It is no message of ours.
    #[error("the message is malformed")]
    Malformed(#[source] Source),
}

/// The job that a message's body speaks of.
pub fn parse_message(body: &str) -> Result<JobRef, MessageError> {
    let malformed = |error| MessageError::Malformed(Box::new(error));
    let form: Form = serde_json::from_str(body).map_err(malformed)?;
    if form.schema > MESSAGE_SCHEMA {
        return Err(MessageError::Newer(form.schema));
    }
    let message: Message = serde_json::from_str(body).map_err(malformed)?;
    Ok(JobRef { account: message.account, job: message.job })
}

/// The queue on SQS: a standard one, whose message groups keep one account from holding up the others.
#[derive(Debug, Clone)]
pub struct SqsJobQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl SqsJobQueue {
    /// The queue at that address.
    pub fn new(clients: &Clients, queue_url: impl Into<String>) -> Self {
        Self { client: clients.sqs.clone(), url: queue_url.into() }
    }
}

#[async_trait]
impl JobQueue for SqsJobQueue {
    async fn send(&self, job: &JobRef, delay: Duration) -> Result<(), QueueError> {
        let message = Message { schema: MESSAGE_SCHEMA, account: job.account.clone(), job: job.job };
        let body = serde_json::to_string(&message).map_err(|error| QueueError(Box::new(error)))?;
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .message_group_id(job.account.as_str())
            .delay_seconds(delay_seconds(delay))
            .send()
            .await
            .map_err(|error| QueueError(Box::new(CallFailed::new("SendMessage", error))))?;
        Ok(())
    }
}

/// Rounded up: a message that came too early would find its job not ready.
pub(crate) fn delay_seconds(delay: Duration) -> i32 {
    let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    i32::try_from(seconds.min(LONGEST_DELAY)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_whole_seconds_up_to_fifteen_minutes() {
        for (delay, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (900_000, 900), (86_400_000, 900)] {
            assert_eq!(delay_seconds(Duration::from_millis(delay)), seconds, "{delay} ms");
        }
    }

    #[test]
    fn messages_read_back_and_others_are_refused() {
        let id = JobId::generate();
        let body = |schema: u32, rest: &str| format!(r#"{{"schema":{schema},{rest}}}"#);
        let rest = format!(r#""account":"acme","job":"{id}""#);
        let read = parse_message(&body(1, &rest)).unwrap();
        assert_eq!((read.account.as_str(), read.job), ("acme", id));
        assert!(matches!(parse_message(&body(2, r#""jobs":[]"#)), Err(MessageError::Newer(2))));
        for bad in
            ["", "{}", "[]", &body(1, r#""account":"../x","job":"1""#), &body(1, r#""account":"acme""#)]
        {
            assert!(matches!(parse_message(bad), Err(MessageError::Malformed(_))), "{bad}");
        }
    }
}
