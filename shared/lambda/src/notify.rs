//! Messages of the notify queue: events to be passed on, and deliveries to be tried.

use std::convert::Infallible;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use willcall_aws::parse_notice;
use willcall_core::{
    chain,
    ports::Notice,
    usecases::{Notifier, webhooks::notify, work::Disposition},
};

use crate::batch::{Handled, each_of};

/// Hands the messages of the notify queue to the use case.
#[derive(Clone)]
pub struct NoticeConsumer {
    notifier: Notifier,
}

impl NoticeConsumer {
    /// Tells by this notifier.
    pub fn new(notifier: Notifier) -> Self {
        Self { notifier }
    }

    /// Deals with a batch; messages that failed come again after their visibility time-out.
    pub async fn handle(&self, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Infallible> {
        let handle = async |notice: Notice, _: &_| match notify(&self.notifier, &notice).await {
            Disposition::Done => Handled::Done,
            Disposition::Leave => Handled::Failed,
            // A message of its own, as one of a batch has no delay.
            Disposition::RetryAfter(delay) => match self.notifier.queue.send(&notice, delay).await {
                Ok(()) => Handled::Done,
                Err(error) => {
                    tracing::error!(error = chain(&error), "failed to send notice again");
                    Handled::Failed
                }
            },
        };
        Ok(each_of(event.payload, parse_notice, |notice| Some(notice.job().job), handle).await)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lambda_runtime::Context;
    use willcall_conformance::{
        FakeNotifier, MemoryJobStore,
        samples::{START, claim, complete, job},
    };
    use willcall_core::{
        job::Job,
        ports::{JobStore as _, ManualClock},
        webhook::{EventRef, Method, NotifyAddress},
    };

    use super::*;
    use crate::batch::tests::{batch, failed};

    async fn receive(consumer: &NoticeConsumer, bodies: &[String]) -> SqsBatchResponse {
        let event = LambdaEvent::new(batch(bodies.iter().map(String::as_str)), Context::default());
        let Ok(response) = consumer.handle(event).await;
        response
    }

    fn body(notice: &Notice) -> String {
        serde_json::json!({"schema": 1, "notice": notice}).to_string()
    }

    #[tokio::test]
    async fn an_event_is_passed_on_and_its_delivery_sent() {
        let clock = Arc::new(ManualClock::new(START));
        let jobs = MemoryJobStore::default();
        let fakes = FakeNotifier::new(&jobs, clock);
        let address = NotifyAddress { url: "https://example.com/".into(), method: Method::Post };
        let fresh = Job { notify: vec![address], ..job("acme") };
        jobs.insert(&fresh, 10).await.unwrap();
        jobs.transition(&fresh.reference(), &claim(), START).await.unwrap();
        jobs.transition(&fresh.reference(), &complete(1), START).await.unwrap();
        let consumer = NoticeConsumer::new(fakes.notifier());
        let event = Notice::Event(EventRef { job: fresh.reference(), sequence: 1 });
        assert!(failed(&receive(&consumer, &[body(&event)]).await).is_empty());
        let delivery = fakes.queue.receive().unwrap();
        let bodies = [body(&delivery), "no notice".to_owned(), body(&delivery)];
        assert_eq!(failed(&receive(&consumer, &bodies).await), ["m1"]);
        assert_eq!(fakes.sender.sent().len(), 1, "a repeat sends nothing");
    }
}
