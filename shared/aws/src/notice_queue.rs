//! Notices that wake senders, in SQS.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use willcall_core::ports::{Notice, NoticeQueue, QueueError};

use crate::{Clients, MESSAGE_SCHEMA, MessageError, failure::CallFailed, job_queue::delay_seconds};

#[derive(Serialize, Deserialize)]
struct Message {
    schema: u32,
    notice: Notice,
}

/// The form is read before the rest, which a newer form may have changed.
#[derive(Deserialize)]
struct Form {
    schema: u32,
}

/// The notice of a message's body.
pub fn parse_notice(body: &str) -> Result<Notice, MessageError> {
    let malformed = |error| MessageError::Malformed(Box::new(error));
    let form: Form = serde_json::from_str(body).map_err(malformed)?;
    if form.schema > MESSAGE_SCHEMA {
        return Err(MessageError::Newer(form.schema));
    }
    serde_json::from_str::<Message>(body).map(|message| message.notice).map_err(malformed)
}

/// The queue of notices on SQS: a standard one, whose message groups keep one account from holding up the others.
#[derive(Debug, Clone)]
pub struct SqsNoticeQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl SqsNoticeQueue {
    /// The queue at that address.
    pub fn new(clients: &Clients, queue_url: impl Into<String>) -> Self {
        Self { client: clients.sqs.clone(), url: queue_url.into() }
    }
}

#[async_trait]
impl NoticeQueue for SqsNoticeQueue {
    async fn send(&self, notice: &Notice, delay: Duration) -> Result<(), QueueError> {
        let message = Message { schema: MESSAGE_SCHEMA, notice: notice.clone() };
        let body = serde_json::to_string(&message).map_err(|error| QueueError(Box::new(error)))?;
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .message_group_id(notice.job().account.as_str())
            .delay_seconds(delay_seconds(delay))
            .send()
            .await
            .map_err(|error| QueueError(Box::new(CallFailed::new("SendMessage", error))))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use willcall_core::{JobId, JobRef, webhook::EventRef};

    use super::*;

    #[test]
    fn notices_read_back_and_others_are_refused() {
        let job = JobRef { account: "acme".parse().unwrap(), job: JobId::generate() };
        let notice = Notice::Event(EventRef { job, sequence: 2 });
        let body = |schema| serde_json::to_string(&Message { schema, notice: notice.clone() }).unwrap();
        assert_eq!(parse_notice(&body(1)).unwrap(), notice);
        assert!(matches!(parse_notice(&body(2)), Err(MessageError::Newer(2))));
        for bad in ["", "{}", "[]", r#"{"schema":1}"#, r#"{"schema":1,"notice":{"event":{}}}"#] {
            assert!(matches!(parse_notice(bad), Err(MessageError::Malformed(_))), "{bad}");
        }
    }
}
