//! What every [`NoticeQueue`] does. Receiving belongs to the host, so the harness brings it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::join_all;
use willcall_core::{
    ports::{Notice, NoticeQueue},
    webhook::{DeliveryId, DeliveryRef, EndpointId, EventRef, Target},
};

use crate::samples::reference;

/// Makes the adapter that is put to the test.
#[async_trait]
pub trait NoticeQueueHarness: Send + Sync + Sized {
    /// A harness with an empty queue.
    async fn fresh() -> Self;

    /// The queue.
    fn queue(&self) -> Arc<dyn NoticeQueue>;

    /// Receives a notice that can be received now, and acknowledges it.
    async fn receive(&self) -> Option<Notice>;

    /// Lets that much time pass for the queue.
    async fn pass(&self, time: Duration);
}

crate::suite! {
    $ notice_queue_suite in notice_queue for NoticeQueueHarness {
        every_kind_of_notice_is_received_as_it_was_sent,
        a_delayed_notice_comes_in_its_time,
        every_notice_of_many_senders_arrives,
    }
}

fn event() -> Notice {
    Notice::Event(EventRef { job: reference("acme"), sequence: 1 })
}

async fn drain(harness: &impl NoticeQueueHarness) -> Vec<Notice> {
    let mut received = Vec::new();
    while let Some(notice) = harness.receive().await {
        received.push(notice);
    }
    received.sort();
    received.dedup();
    received
}

async fn every_kind_of_notice_is_received_as_it_was_sent(harness: &impl NoticeQueueHarness) {
    assert_eq!(harness.receive().await, None);
    let delivery = |target| {
        let id = DeliveryId { sequence: 2, target };
        Notice::Delivery(DeliveryRef { job: reference("acme"), id })
    };
    let mut sent =
        vec![event(), delivery(Target::Address(3)), delivery(Target::Endpoint(EndpointId::generate()))];
    for notice in &sent {
        harness.queue().send(notice, Duration::ZERO).await.unwrap();
    }
    sent.sort();
    assert_eq!(drain(harness).await, sent);
}

async fn a_delayed_notice_comes_in_its_time(harness: &impl NoticeQueueHarness) {
    let (late, soon) = (event(), event());
    harness.queue().send(&late, Duration::from_secs(900)).await.unwrap();
    harness.queue().send(&soon, Duration::from_secs(5)).await.unwrap();
    assert_eq!(harness.receive().await, None);
    harness.pass(Duration::from_secs(5)).await;
    assert_eq!(harness.receive().await, Some(soon));
    harness.pass(Duration::from_secs(894)).await;
    assert_eq!(harness.receive().await, None);
    harness.pass(Duration::from_secs(1)).await;
    assert_eq!(harness.receive().await, Some(late));
}

async fn every_notice_of_many_senders_arrives(harness: &impl NoticeQueueHarness) {
    let mut notices: Vec<Notice> = (0..40).map(|_| event()).collect();
    let sends = notices.iter().map(|notice| {
        let (queue, notice) = (harness.queue(), notice.clone());
        tokio::spawn(async move { queue.send(&notice, Duration::ZERO).await })
    });
    for sent in join_all(sends).await {
        sent.unwrap().unwrap();
    }
    notices.sort();
    assert_eq!(drain(harness).await, notices);
}
