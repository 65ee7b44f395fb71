//! The sweeper's two kinds of events: its schedule, and batches of the jobs queue's dead letters.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_runtime::LambdaEvent;
use serde_json::Value;
use willcall_core::{
    JobRef,
    usecases::{App, dead_letter::dead_letter, sweep::sweep_until, webhooks::sweep_notices},
};

use crate::{
    Error,
    batch::{Handled, each},
    chain,
    deadline::Deadline,
};

/// Sweeps, and ends the jobs of dead letters.
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
        let swept = sweep_until(&self.app, until).await?;
        if swept != Default::default() {
            tracing::info!(?swept, "swept");
        }
        let swept = sweep_notices(&self.app.notifier).await?;
        if swept != Default::default() {
            tracing::info!(?swept, "swept notices");
        }
        Ok(Value::Null)
    }

    async fn letters(&self, letters: SqsEvent) -> SqsBatchResponse {
        each(&self.app, letters, async |job: JobRef, message: &SqsMessage| match dead_letter(&self.app, &job).await {
            Ok(became) => {
                let received = message.attributes.get("ApproximateReceiveCount");
                tracing::info!(job.id = %job.job, ?became, received, "dealt with dead letter");
                Handled::Done
            }
            Err(error) => {
                tracing::error!(job.id = %job.job, error = chain(&error), "failed to deal with dead letter");
                Handled::Failed
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use lambda_runtime::Context;
    use serde_json::json;
    use willcall_conformance::samples;
    use willcall_core::job::JobState;

    use super::*;
    use crate::{
        batch::tests::{arrival, batch, body},
        worker::tests::World,
    };

    fn event(payload: Value) -> LambdaEvent<Value> {
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
        assert_eq!(sweeper.handle(event(schedule)).await.unwrap(), Value::Null);
        assert_eq!(world.queue.messages().len(), 1);
    }

    #[tokio::test]
    async fn dead_letters_end_their_jobs_and_others_stay() {
        let world = World::new([]);
        let job = world.insert().await;
        let letters = batch([body(&job).as_str(), "no letter"]);
        let sweeper = Sweeper::new(world.app.clone());
        let answer = sweeper.handle(event(serde_json::to_value(letters).unwrap())).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "m1"}]}));
        assert_eq!(world.job(&job).await.state, JobState::Failed);
        assert!(world.queue.messages().is_empty(), "no sweep on the way");
    }

    #[tokio::test]
    async fn files_that_a_dead_letter_tells_of_have_arrived_all_the_same() {
        let world = World::new([]);
        let upload = world.upload().await;
        let letters = serde_json::to_value(batch([arrival(&upload.to_string()).as_str()])).unwrap();
        let answer = Sweeper::new(world.app.clone()).handle(event(letters)).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}));
        assert_eq!(world.queue.messages().len(), 1, "the batch is queued");
    }

    #[tokio::test]
    async fn a_batch_that_cannot_be_read_is_no_schedule() {
        let sweeper = Sweeper::new(World::new([]).app);
        sweeper.handle(event(json!({"Records": "none"}))).await.unwrap_err();
    }
}
