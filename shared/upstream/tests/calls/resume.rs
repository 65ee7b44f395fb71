//! Attempts that follow one that was lost, at any moment: no item is lost, and none is reported twice.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::{Value, json};
use willcall_core::{
    job::kinds::{ItemOutcome, ItemState},
    ports::{BlobPrefix, BlobStore, Control, ExecuteError, Executor},
};

use crate::{
    scripted::{Script, Scripted},
    world::{World, items, tally, upstream},
};

const ITEMS: u64 = 300;

async fn world(idempotent: bool) -> (Scripted, World) {
    let scripted = Scripted::start(|seen| match seen.number() {
        n if n % 50 == 0 => Script::Answer(400, "application/json", "{\"no\": 1}".into()),
        n => Script::Late(Duration::from_millis(3), format!("{{\"is\": {n}}}")),
    })
    .await;
    let more = json!({ "idempotent": idempotent, "concurrency": 5 });
    let world = World::new(upstream(&scripted, "/", more), items(ITEMS));
    (scripted, world)
}

/// Runs an attempt until the upstream got so many requests, and drops it there: what `kill -9` leaves.
async fn killed(world: &World, scripted: &Scripted, attempt: u32, requests: usize) {
    let attempt = world.attempt(attempt);
    tokio::select! {
        _ = attempt => panic!("it was to be killed before it ended"),
        () = async {
            while scripted.count() < requests {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        } => {}
    }
    // What the worker's requests had begun is over.
    tokio::time::sleep(Duration::from_millis(20)).await;
}

fn each_item_has_one_outcome(outcomes: &[ItemOutcome]) {
    let ids: Vec<Value> = outcomes.iter().map(|outcome| outcome.id.value().unwrap()).collect();
    let expected: Vec<Value> = (1..=ITEMS).map(|n| json!(format!("item {n}"))).collect();
    assert_eq!(ids, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_over_and_over_each_item_is_done_where_sending_again_is_safe() {
    let (scripted, world) = world(true).await;
    for (attempt, requests) in [(1, 3), (2, 120), (3, 121), (4, 290)] {
        killed(&world, &scripted, attempt, requests.max(scripted.count() + 1)).await;
    }
    let delivered = world.attempt(5).await.unwrap();
    let outcomes = world.outcomes(5, &delivered).await;
    each_item_has_one_outcome(&outcomes);
    assert_eq!(tally(&outcomes, &delivered), [294, 6, 0, 0]);
    let hits = scripted.hits();
    assert_eq!(hits.len() as u64, ITEMS);
    // Sent again is only what no part of the journal told of: a hundred outcomes, what is under way, each time.
    let again: usize = hits.values().map(|hits| hits - 1).sum();
    assert!(again <= 4 * 110, "{again}");
    let keys: HashSet<String> = scripted.seen().iter().map(|seen| seen.key().to_owned()).collect();
    assert_eq!(keys.len() as u64, ITEMS, "each with its own key, however often");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_over_and_over_no_item_is_sent_twice_where_that_is_not_safe() {
    let (scripted, world) = world(false).await;
    for (attempt, requests) in [(1, 3), (2, 80), (3, 81), (4, 200)] {
        killed(&world, &scripted, attempt, requests.max(scripted.count() + 1)).await;
    }
    let delivered = world.attempt(5).await.unwrap();
    let outcomes = world.outcomes(5, &delivered).await;
    each_item_has_one_outcome(&outcomes);
    let [succeeded, failed, unknown, malformed] = tally(&outcomes, &delivered);
    assert_eq!((succeeded + failed + unknown, malformed), (ITEMS as usize, 0));
    let hits = scripted.hits();
    assert!(hits.values().all(|hits| *hits == 1), "none twice");
    for (n, outcome) in (1..).zip(&outcomes) {
        match outcome.state {
            ItemState::Unknown => {
                assert!(outcome.error.as_ref().unwrap().starts_with("sent, but its answer was not seen"));
                assert_eq!((outcome.status, outcome.attempts), (None, 1));
            }
            _ => assert_eq!(hits.get(&n), Some(&1), "item {n} is told as {}", outcome.state),
        }
    }
    // Each lost worker leaves in doubt what it had under way and was about to send, and what it had not yet told.
    assert!((1..=4 * 15).contains(&unknown), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn handed_back_in_good_order_nothing_is_in_doubt() {
    for idempotent in [true, false] {
        let (scripted, world) = world(idempotent).await;
        for attempt in 1..=4 {
            let control: Arc<Control> = Arc::default();
            let task = world.task(attempt, &control);
            let before = scripted.count();
            let executor = Arc::clone(&world.executor);
            let running = tokio::spawn(async move { executor.execute(task).await });
            while scripted.count() < before + 40 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            control.cancel();
            assert!(matches!(running.await.unwrap(), Err(ExecuteError::Cancelled)));
            assert!(control.has_gained(), "the next attempt has less to do");
        }
        let delivered = world.attempt(5).await.unwrap();
        let outcomes = world.outcomes(5, &delivered).await;
        each_item_has_one_outcome(&outcomes);
        assert_eq!(tally(&outcomes, &delivered), [294, 6, 0, 0]);
        assert!(scripted.hits().values().all(|hits| *hits == 1), "none twice");
        assert_eq!(scripted.count() as u64, ITEMS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_make_way_it_ends_what_is_under_way_however_slow_that_is() {
    for idempotent in [true, false] {
        let scripted = Scripted::start(|_| Script::Late(Duration::from_millis(150), "{}".into())).await;
        let more = json!({ "idempotent": idempotent, "concurrency": 3 });
        let mut world = World::new(upstream(&scripted, "/", more), items(30));
        // Told to stop, it would leave these in doubt.
        world.executor = Arc::new(crate::world::executor().with_grace(Duration::ZERO));
        let mut attempt = 0;
        let delivered = loop {
            attempt += 1;
            let control: Arc<Control> = Arc::default();
            let task = world.task(attempt, &control);
            let before = scripted.count();
            let executor = Arc::clone(&world.executor);
            let running = tokio::spawn(async move { executor.execute(task).await });
            while !running.is_finished() && scripted.count() < before + 8 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            control.ask_to_yield();
            match running.await.unwrap() {
                Ok(delivered) => break delivered,
                Err(error) => assert!(matches!(error, ExecuteError::Cancelled) && control.has_gained()),
            }
            let begun = scripted.count() - before;
            assert!(begun <= 11, "no more were begun: {begun}");
        };
        let outcomes = world.outcomes(attempt, &delivered).await;
        assert_eq!(tally(&outcomes, &delivered), [30, 0, 0, 0]);
        assert!(attempt >= 3, "{attempt}");
        assert!(scripted.hits().values().all(|hits| *hits == 1), "none twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_waits_to_be_sent_again_is_not_in_doubt() {
    let scripted = Scripted::start(|seen| match seen.times {
        1 => Script::With(503, "retry-after: 30\r\n", String::new()),
        _ => Script::json("{}"),
    })
    .await;
    let world = World::new(upstream(&scripted, "/", json!({})), items(1));
    let control: Arc<Control> = Arc::default();
    let (executor, task) = (Arc::clone(&world.executor), world.task(1, &control));
    let running = tokio::spawn(async move { executor.execute(task).await });
    while scripted.count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    control.cancel();
    assert!(running.await.unwrap().is_err());
    let delivered = world.attempt(2).await.unwrap();
    let outcomes = world.outcomes(2, &delivered).await;
    assert_eq!(tally(&outcomes, &delivered), [1, 0, 0, 0], "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_lost_while_it_committed_sends_nothing_again() {
    for idempotent in [true, false] {
        let (scripted, world) = world(idempotent).await;
        let first = world.attempt(1).await.unwrap();
        let bytes = world.file(1, &first).await;
        // As a worker does whose outcome came too late.
        let prefix = BlobPrefix::Attempt { job: world.job.clone(), attempt: 1 };
        world.blobs.delete_prefix(&prefix).await.unwrap();
        let second = world.attempt(2).await.unwrap();
        assert_eq!(world.file(2, &second).await, bytes);
        assert_eq!(second.counts, first.counts);
        assert_eq!(scripted.count() as u64, ITEMS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_earlier_attempts_count() {
    let scripted = Scripted::start(|_| Script::Answer(400, "text/plain", "no".into())).await;
    let mut world = World::new(upstream(&scripted, "/", json!({ "concurrency": 1 })), items(20));
    world.work.max_errors = Some(5);
    world.attempt(1).await.unwrap();
    let delivered = world.attempt(2).await.unwrap();
    let outcomes = world.outcomes(2, &delivered).await;
    assert_eq!(tally(&outcomes, &delivered), [0, 20, 0, 0]);
    assert_eq!(scripted.count(), 5);
}
