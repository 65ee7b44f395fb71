//! What every [`JobQueue`] does. Receiving belongs to the host, so the harness brings it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::join_all;
use willcall_core::{JobRef, ports::JobQueue};

use crate::samples::reference;

/// Makes the adapter that is put to the test.
#[async_trait]
pub trait JobQueueHarness: Send + Sync + Sized {
    /// A harness with an empty queue.
    async fn fresh() -> Self;

    /// The queue.
    fn queue(&self) -> Arc<dyn JobQueue>;

    /// Receives a message that can be received now, and acknowledges it.
    async fn receive(&self) -> Option<JobRef>;

    /// Lets that much time pass for the queue.
    async fn pass(&self, time: Duration);
}

crate::suite! {
    $ job_queue_suite in job_queue for JobQueueHarness {
        a_sent_message_is_received,
        an_empty_queue_has_nothing,
        a_delayed_message_comes_in_its_time,
        every_message_of_many_senders_arrives,
        a_job_can_be_sent_again_once_received,
    }
}

async fn drain(harness: &impl JobQueueHarness) -> Vec<JobRef> {
    let mut received = Vec::new();
    while let Some(job) = harness.receive().await {
        received.push(job);
    }
    received
}

async fn a_sent_message_is_received(harness: &impl JobQueueHarness) {
    let job = reference("acme");
    harness.queue().send(&job, Duration::ZERO).await.unwrap();
    assert!(drain(harness).await.contains(&job));
}

async fn an_empty_queue_has_nothing(harness: &impl JobQueueHarness) {
    assert_eq!(harness.receive().await, None);
}

async fn a_delayed_message_comes_in_its_time(harness: &impl JobQueueHarness) {
    let (late, soon) = (reference("acme"), reference("acme"));
    harness.queue().send(&late, Duration::from_secs(600)).await.unwrap();
    harness.queue().send(&soon, Duration::from_secs(5)).await.unwrap();
    assert_eq!(harness.receive().await, None);
    harness.pass(Duration::from_secs(5)).await;
    assert_eq!(harness.receive().await, Some(soon));
    harness.pass(Duration::from_secs(594)).await;
    assert_eq!(harness.receive().await, None);
    harness.pass(Duration::from_secs(1)).await;
    assert_eq!(harness.receive().await, Some(late));
}

async fn every_message_of_many_senders_arrives(harness: &impl JobQueueHarness) {
    let mut jobs: Vec<JobRef> = (0..60).map(|n| reference(["a", "b", "c"][n % 3])).collect();
    let sends = jobs.iter().map(|job| {
        let (queue, job) = (harness.queue(), job.clone());
        tokio::spawn(async move { queue.send(&job, Duration::ZERO).await })
    });
    for sent in join_all(sends).await {
        sent.unwrap().unwrap();
    }
    let mut received = drain(harness).await;
    received.sort();
    received.dedup();
    jobs.sort();
    assert_eq!(received, jobs);
}

async fn a_job_can_be_sent_again_once_received(harness: &impl JobQueueHarness) {
    let job = reference("acme");
    for _ in 0..3 {
        harness.queue().send(&job, Duration::ZERO).await.unwrap();
        assert!(drain(harness).await.contains(&job));
    }
}
