//! Secrets of headers: refused, changed while a job runs, and not to be had.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::json;
use willcall_core::{
    catalog::SecretRef,
    job::ProblemType,
    ports::{ExecuteError, SecretError, Secrets, SystemClock},
};
use willcall_upstream::UpstreamExecutor;

use crate::{
    scripted::{Script, Scripted, Seen},
    world::{World, items, tally, upstream},
};

/// A secret that is another one once it was looked up again.
#[derive(Default)]
struct Rotated {
    asked: AtomicUsize,
    again: AtomicUsize,
}

#[async_trait]
impl Secrets for Rotated {
    async fn secret(&self, _: &SecretRef) -> Result<SecretString, SecretError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok("old".into())
    }

    async fn renewed(&self, _: &SecretRef) -> Result<SecretString, SecretError> {
        self.again.fetch_add(1, Ordering::SeqCst);
        Ok("new".into())
    }
}

/// A secret that cannot be had.
struct Broken(Fails);

type Fails = fn(SecretRef) -> SecretError;

#[async_trait]
impl Secrets for Broken {
    async fn secret(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        Err((self.0)(secret.clone()))
    }
}

fn keyed() -> serde_json::Value {
    json!({ "headers": { "authorization": { "secret": "enrich#token", "prefix": "Bearer " } }, "concurrency": 4 })
}

fn with(secrets: Arc<dyn Secrets>, scripted: &Scripted, count: u64) -> World {
    let mut world = World::new(upstream(scripted, "/", keyed()), items(count));
    world.executor = Arc::new(UpstreamExecutor::new(secrets, Arc::new(SystemClock)));
    world
}

fn only(secret: &'static str) -> impl Fn(&Seen) -> Script {
    move |seen| {
        let fits = seen.headers["authorization"] == format!("Bearer {secret}");
        if fits { Script::json("{}") } else { Script::Answer(401, "text/plain", "who?".into()) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_changed_is_looked_up_again_and_the_item_sent_with_it() {
    let scripted = Scripted::start(only("new")).await;
    let secrets = Arc::new(Rotated::default());
    let (outcomes, delivered) = with(Arc::clone(&secrets) as _, &scripted, 20).run().await;
    assert_eq!(tally(&outcomes, &delivered), [20, 0, 0, 0]);
    let again = secrets.again.load(Ordering::SeqCst);
    assert_eq!((secrets.asked.load(Ordering::SeqCst), again), (1, 1), "once for all that were refused");
    let old = scripted.seen().iter().filter(|seen| seen.headers["authorization"] == "Bearer old").count();
    assert!((1..=4).contains(&old), "no more than were under way: {old}");
    assert!(outcomes.iter().all(|outcome| outcome.attempts <= 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_refused_for_its_own_sake_is_not_sent_on_and_on() {
    let scripted = Scripted::start(only("another")).await;
    let (outcomes, delivered) = with(Arc::new(Rotated::default()), &scripted, 10).run().await;
    assert_eq!(tally(&outcomes, &delivered), [0, 10, 0, 0]);
    assert!(scripted.count() <= 14, "the first four come twice at most: {}", scripted.count());
    assert!(outcomes.iter().all(|outcome| outcome.status == Some(401)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_had_ends_the_attempt_and_is_not_named_to_clients() {
    let scripted = Scripted::start(|_| Script::json("{}")).await;
    let of: [(Fails, Option<&str>); 4] = [
        (SecretError::Missing, Some("is missing")),
        (|secret| SecretError::Denied(secret, "AccessDenied".into()), Some("may not be read")),
        (|secret| SecretError::Unfit(secret, "is binary".into()), Some("is not what it should be")),
        (|secret| SecretError::Unavailable(secret, "503".into()), None),
    ];
    for (error, for_good) in of {
        let world = with(Arc::new(Broken(error)), &scripted, 1);
        match (world.attempt(1).await.unwrap_err(), for_good) {
            (ExecuteError::Fatal { problem, .. }, Some(words)) => {
                assert_eq!(problem.kind, ProblemType::UpstreamFailed);
                assert!(problem.detail.contains(words), "{}", problem.detail);
                assert!(!problem.detail.contains("enrich#"), "{}", problem.detail);
            }
            (ExecuteError::Transient { problem, .. }, None) => {
                assert!(!problem.detail.contains("enrich#"), "{}", problem.detail);
            }
            (other, _) => panic!("{other:?}"),
        }
    }
    assert_eq!(scripted.count(), 0);
}
