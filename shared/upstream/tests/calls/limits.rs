//! What an upstream, a plan and a client may limit.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use willcall_core::{
    job::{Counts, Truncation, TruncationReason, kinds::ItemState},
    ports::{Control, ExecuteError, Executor},
};

use crate::{
    scripted::{Script, Scripted},
    world::{World, items, tally, upstream},
};

#[tokio::test(flavor = "multi_thread")]
async fn calls_keep_to_the_rate_across_the_jobs_of_a_worker() {
    let scripted = Scripted::start(|_| Script::json("{}")).await;
    let more = json!({ "rate": "100/1s", "workers": 2, "concurrency": 50 });
    let one = World::new(upstream(&scripted, "/", more), items(20));
    let mut other = one.clone();
    other.job.job = willcall_core::JobId::generate();
    let start = Instant::now();
    let (one, other) = tokio::join!(one.run(), other.run());
    assert_eq!(one.0.len() + other.0.len(), 40);
    // Half of the rate, as two workers share it: 40 calls need 39 steps of 20 ms, but for what may be caught up.
    assert!(start.elapsed() >= Duration::from_millis(39 * 20 - 15), "{:?}", start.elapsed());
    let mut at: Vec<Instant> = scripted.seen().iter().map(|seen| seen.at).collect();
    at.sort();
    for window in at.windows(12) {
        let took = window[11] - window[0];
        assert!(took >= Duration::from_millis(150), "12 calls in {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_are_limited_across_the_jobs_of_a_worker() {
    let scripted = Scripted::start(|_| Script::Late(Duration::from_millis(20), "{}".into())).await;
    for idempotent in [true, false] {
        let one = World::new(
            upstream(&scripted, "/", json!({ "concurrency": 3, "idempotent": idempotent })),
            items(20),
        );
        let mut other = one.clone();
        other.job.job = willcall_core::JobId::generate();
        tokio::join!(one.run(), other.run());
        assert_eq!(scripted.most_at_once(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_errors_stop_the_sending() {
    let fails = |seen: &crate::scripted::Seen| match seen.number() {
        3 | 5.. => Script::Answer(400, "application/json", "{}".into()),
        _ => Script::json("{}"),
    };
    for idempotent in [true, false] {
        let scripted = Scripted::start(fails).await;
        let more = json!({ "concurrency": 1, "idempotent": idempotent });
        let mut world = World::new(upstream(&scripted, "/", more), items(50));
        world.work.max_errors = Some(3);
        let (outcomes, delivered) = world.run().await;
        assert_eq!(tally(&outcomes, &delivered), [3, 47, 0, 0]);
        assert_eq!(scripted.count(), 6);
        let unsent = outcomes.iter().filter(|outcome| outcome.attempts == 0).count();
        assert_eq!(unsent, 44);
        assert_eq!(
            outcomes[49].error.as_deref(),
            Some("not sent: 3 items had failed before, and max_errors says to stop")
        );
        assert_eq!(outcomes[49].id, json!("item 50"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_cuts_the_items_and_says_so() {
    let scripted = Scripted::start(|_| Script::json("{}")).await;
    let mut world = World::new(upstream(&scripted, "/", json!({})), items(10));
    world.work.max_records = 4;
    let (outcomes, delivered) = world.run().await;
    assert_eq!(tally(&outcomes, &delivered), [4, 0, 0, 0]);
    assert_eq!(delivered.truncated, Some(Truncation { reason: TruncationReason::PlanLimit, limit: 4 }));
    assert_eq!((scripted.count(), delivered.records_found), (4, Some(10)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_bytes_end_the_sending_and_what_was_sent_is_told() {
    let scripted = Scripted::start(|_| Script::json(format!("\"{}\"", "x".repeat(500)))).await;
    let mut world = World::new(upstream(&scripted, "/", json!({ "concurrency": 4 })), items(400));
    world.max_bytes = Some(10_000);
    let delivered = world.attempt(1).await.unwrap();
    let outcomes = world.outcomes(1, &delivered).await;
    assert_eq!(outcomes.len(), scripted.count(), "each that was sent");
    assert!((15..100).contains(&outcomes.len()), "{}", outcomes.len());
    let limit = outcomes.len() as u64;
    assert_eq!(delivered.truncated, Some(Truncation { reason: TruncationReason::DailyLimit, limit }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_stops_soon_and_counts_are_told_on_the_way() {
    let scripted = Scripted::start(|seen| match seen.number() {
        1..=10 => Script::json("{}"),
        _ => Script::Hang,
    })
    .await;
    let more = json!({ "timeout": "60s", "concurrency": 2 });
    let mut world = World::new(upstream(&scripted, "/", more), items(100));
    world.executor = Arc::new(crate::world::executor().with_grace(Duration::from_millis(200)));
    let control: Arc<Control> = Arc::default();
    let running = {
        let (executor, task) = (Arc::clone(&world.executor), world.task(1, &control));
        tokio::spawn(async move { executor.execute(task).await })
    };
    while scripted.count() < 12 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let counts =
        Counts::Call { total: Some(100), pending: 90, succeeded: 10, failed: 0, unknown: 0, malformed: 0 };
    assert_eq!(control.counts(), Some(counts));
    assert!((control.part_done() - 0.1).abs() < 1e-9);
    let start = Instant::now();
    control.cancel();
    assert!(matches!(running.await.unwrap(), Err(ExecuteError::Cancelled)));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(scripted.count(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_item_does_not_hold_up_the_others_and_keeps_its_place() {
    let scripted = Scripted::start(|seen| match (seen.number(), seen.times) {
        (1, 1..3) => Script::With(503, "retry-after: 1\r\n", String::new()),
        _ => Script::json("{}"),
    })
    .await;
    let world = World::new(upstream(&scripted, "/", json!({ "concurrency": 2 })), items(100));
    let (outcomes, delivered) = world.run().await;
    assert_eq!(tally(&outcomes, &delivered), [100, 0, 0, 0]);
    assert_eq!((outcomes[0].id.value().unwrap(), outcomes[0].attempts), (json!("item 1"), 3));
    let seen = scripted.seen();
    assert_eq!(seen.last().unwrap().number(), 1, "the slow one was the last");
    assert!(outcomes.iter().all(|outcome| outcome.state == ItemState::Succeeded));
}
