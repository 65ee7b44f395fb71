//! What every [`Signals`] does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use willcall_core::{JobRef, ports::Signals};

use crate::samples::reference;

/// Makes the adapter that is put to the test.
#[async_trait]
pub trait SignalsHarness: Send + Sync + Sized {
    /// A harness where nobody listens.
    async fn fresh() -> Self;

    /// The signals.
    fn signals(&self) -> Arc<dyn Signals>;

    /// Changes the job, as the host's store does, so that its listeners are woken.
    async fn change(&self, job: &JobRef);
}

crate::suite! {
    $ signals_suite in signals for SignalsHarness {
        a_change_wakes_every_listener,
        a_change_between_listening_and_waiting_is_not_missed,
        each_change_wakes_anew,
        a_wait_ends_without_a_change,
        a_listener_that_left_does_not_stop_others,
    }
}

/// Far longer than any wake-up takes.
const LONG: Duration = Duration::from_secs(60);

fn assert_woken(began: Instant) {
    assert!(began.elapsed() < LONG / 2, "nothing woke the listener");
}

async fn a_change_wakes_every_listener(harness: &impl SignalsHarness) {
    let (signals, job, began) = (harness.signals(), reference("acme"), Instant::now());
    let waits: Vec<_> = (0..3)
        .map(|_| {
            let mut listener = signals.listen(&job);
            tokio::spawn(async move { listener.changed(LONG).await })
        })
        .collect();
    harness.change(&job).await;
    for wait in waits {
        wait.await.unwrap();
    }
    assert_woken(began);
}

async fn a_change_between_listening_and_waiting_is_not_missed(harness: &impl SignalsHarness) {
    let (signals, job, began) = (harness.signals(), reference("acme"), Instant::now());
    let mut listener = signals.listen(&job);
    harness.change(&job).await;
    listener.changed(LONG).await;
    assert_woken(began);
}

async fn each_change_wakes_anew(harness: &impl SignalsHarness) {
    let (signals, job, began) = (harness.signals(), reference("acme"), Instant::now());
    let mut listener = signals.listen(&job);
    for _ in 0..3 {
        harness.change(&job).await;
        listener.changed(LONG).await;
    }
    assert_woken(began);
}

async fn a_wait_ends_without_a_change(harness: &impl SignalsHarness) {
    let began = Instant::now();
    harness.signals().listen(&reference("acme")).changed(Duration::from_millis(20)).await;
    assert_woken(began);
}

async fn a_listener_that_left_does_not_stop_others(harness: &impl SignalsHarness) {
    let (signals, job, began) = (harness.signals(), reference("acme"), Instant::now());
    let left = signals.listen(&job);
    let mut stays = signals.listen(&job);
    drop(left);
    let mut came = signals.listen(&job);
    harness.change(&job).await;
    stays.changed(LONG).await;
    came.changed(LONG).await;
    drop((stays, came));
    let mut anew = signals.listen(&job);
    harness.change(&job).await;
    anew.changed(LONG).await;
    assert_woken(began);
}
