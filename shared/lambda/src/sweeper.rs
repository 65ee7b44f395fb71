//! The sweeper's two kinds of events: its schedule, and batches of both queues' dead letters.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use willcall_aws::{JobsMessage, MessageError, parse_jobs_message, parse_notice};
use willcall_core::{
    JobId, JobRef, chain,
    ports::Notice,
    usecases::{
        App,
        dead_letter::dead_letter,
        sweep::sweep_until,
        webhooks::{dead_notice, sweep_notices},
    },
};

use crate::{
    Error,
    batch::{Handled, each_of, note},
    deadline::Deadline,
};

/// Sweeps, ends the jobs of dead letters, and counts the attempts of dead notices.
#[derive(Clone)]
pub struct Sweeper {
    app: App,
}

impl Sweeper {
    /// Sweeps that world.
    pub fn new(app: App) -> Self {
        Self { app }
    }

    /// Deals with a batch of SQS as such, and takes every other event for the schedule's.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Error> {
        if event.payload.get("Records").is_some() {
            let letters: SqsEvent = serde_json::from_value(event.payload)?;
            return Ok(serde_json::to_value(self.letters(letters).await)?);
        }
        let until = Deadline::of(&event.context).map(Deadline::last_step);
        // First, as they are few and short: what is left of the time is for jobs.
        let swept = sweep_notices(&self.app.notifier).await?;
        if swept != Default::default() {
            tracing::info!(?swept, "swept notices");
        }
        let swept = sweep_until(&self.app, until).await?;
        if swept != Default::default() {
            tracing::info!(?swept, "swept");
        }
        Ok(Value::Null)
    }

    async fn letters(&self, letters: SqsEvent) -> SqsBatchResponse {
        let handle = async |letter: Letter, message: &SqsMessage| {
            let job = letter.job();
            let became = match &letter {
                // Whether or not its message came through, the file is there.
                Letter::Arrived(files) => return note(&self.app, files).await,
                Letter::Job(job) => dead_letter(&self.app, job).await.map(|became| format!("{became:?}")),
                Letter::Notice(notice) => {
                    dead_notice(&self.app.notifier, notice).await.map(|became| format!("{became:?}"))
                }
            };
            match became {
                Ok(became) => {
                    let received = message.attributes.get("ApproximateReceiveCount");
                    tracing::info!(job.id = job.map(display), became, received, "dealt with dead letter");
                    Handled::Done
                }
                Err(error) => {
                    tracing::error!(
                        job.id = job.map(display),
                        error = chain(&error),
                        "failed to deal with dead letter"
                    );
                    Handled::Failed
                }
            }
        };
        each_of(letters, Letter::parse, Letter::job, handle).await
    }
}

/// A message that a queue has given up. Each queue has a form of its own, so the form tells which.
enum Letter {
    Job(JobRef),
    Arrived(Vec<(JobRef, usize)>),
    Notice(Notice),
}

impl Letter {
    fn parse(body: &str) -> Result<Self, MessageError> {
        parse_notice(body).map(Self::Notice).or_else(|_| {
            parse_jobs_message(body).map(|message| match message {
                JobsMessage::Work(job) => Self::Job(job),
                JobsMessage::Arrived(files) => Self::Arrived(files),
            })
        })
    }

    /// The job that it speaks of, where it is one.
    fn job(&self) -> Option<JobId> {
        match self {
            Self::Job(job) => Some(job.job),
            Self::Arrived(_) => None,
            Self::Notice(notice) => Some(notice.job().job),
        }
    }
}

#[cfg(test)]
mod tests {
    use lambda_runtime::Context;
    use serde_json::json;
    use willcall_conformance::samples;
    use willcall_core::{
        Timestamp,
        job::{Job, JobState},
        usecases::webhooks::notify,
        webhook::{Delivery, DeliveryState, EventRef, Method, NotifyAddress},
    };

    use super::*;
    use crate::{
        batch::tests::{arrival, batch, body},
        worker::tests::World,
    };

    fn event_of(payload: Value) -> LambdaEvent<Value> {
        LambdaEvent::new(payload, Context::default())
    }

    #[tokio::test]
    async fn the_schedule_sends_what_got_stuck() {
        let world = World::new([]);
        let mut job = samples::job("acme");
        job.due_at = Some(samples::START);
        world.app.jobs.insert(&job, 10).await.unwrap();
        let sweeper = Sweeper::new(world.app.clone());
        let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        assert_eq!(sweeper.handle(event_of(schedule)).await.unwrap(), Value::Null);
        assert_eq!(world.queue.messages().len(), 1);
    }

    #[tokio::test]
    async fn dead_letters_end_their_jobs_and_others_stay() {
        let world = World::new([]);
        let job = world.insert().await;
        let letters = batch([body(&job).as_str(), "no letter"]);
        let sweeper = Sweeper::new(world.app.clone());
        let answer = sweeper.handle(event_of(serde_json::to_value(letters).unwrap())).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "m1"}]}));
        assert_eq!(world.job(&job).await.state, JobState::Failed);
        assert!(world.queue.messages().is_empty(), "no sweep on the way");
    }

    #[tokio::test]
    async fn files_that_a_dead_letter_tells_of_have_arrived_all_the_same() {
        let world = World::new([]);
        let upload = world.upload().await;
        let letters = serde_json::to_value(batch([arrival(&upload.to_string()).as_str()])).unwrap();
        let answer = Sweeper::new(world.app.clone()).handle(event_of(letters)).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}));
        assert_eq!(world.queue.messages().len(), 1, "the batch is queued");
    }

    #[tokio::test]
    async fn dead_notices_count_attempts_that_broke_off_and_go() {
        let world = World::new([]);
        let (jobs, store) = (&world.app.jobs, &world.app.notifier.store);
        let address = NotifyAddress { url: "https://example.com/".into(), method: Method::Post };
        let job = Job { notify: vec![address], ..samples::job("acme") };
        jobs.insert(&job, 10).await.unwrap();
        jobs.transition(&job.reference(), &samples::claim(), samples::START).await.unwrap();
        jobs.transition(&job.reference(), &samples::complete(1), samples::START).await.unwrap();
        let event = Notice::Event(EventRef { job: job.reference(), sequence: 1 });
        notify(&world.app.notifier, &event).await;
        let [delivery] = store.deliveries(&job.reference()).await.unwrap().try_into().unwrap();
        let past = Timestamp::system_now().minus(std::time::Duration::from_secs(1));
        let version = delivery.version + 1;
        let begun = Delivery { version, leased_until: Some(past), ..delivery };
        assert!(store.save_delivery(&begun).await.unwrap());

        let body = |notice: &Notice| json!({"schema": 1, "notice": notice}).to_string();
        let letters = [body(&event), body(&Notice::Delivery(begun.reference())), "no letter".into()];
        let letters = serde_json::to_value(batch(letters.iter().map(String::as_str))).unwrap();
        let answer = Sweeper::new(world.app.clone()).handle(event_of(letters)).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "m2"}]}));
        let after = store.delivery(&begun.reference()).await.unwrap().unwrap();
        assert_eq!((after.state, after.attempts.len()), (DeliveryState::Pending, 1));
    }

    #[tokio::test]
    async fn a_batch_that_cannot_be_read_is_no_schedule() {
        let sweeper = Sweeper::new(World::new([]).app);
        sweeper.handle(event_of(json!({"Records": "none"}))).await.unwrap_err();
    }
}
