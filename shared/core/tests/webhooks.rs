//! Webhooks on fakes: who is told, when it is tried again, and what is left when something breaks.

#![expect(clippy::unwrap_used, reason = "a test: what it does not expect must end it")]

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use willcall_conformance::{
    Answer, FakeNotifier, MemoryJobStore,
    samples::{START, account, claim, complete, job, problem},
};
use willcall_core::{
    Error, Timestamp,
    account::{Account, Caller, Plan, Scope},
    job::{Job, Transition},
    ports::{Clock as _, JobStore as _, ManualClock, Notice, WebhookStore as _},
    usecases::{
        Notifier,
        webhooks::{
            DeadNotice, EndpointChange, EndpointDraft, create_endpoint, dead_notice, default_secrets,
            delete_endpoint, endpoint, endpoints, notify, rotate_default_secret, rotate_endpoint_secret,
            sweep_notices, take_up, test_endpoint, update_endpoint,
        },
        work::Disposition,
    },
    webhook::{
        Delivery, DeliveryState, Disabled, Ending, EventRef, LAST_ATTEMPT, LOG_KEPT, MAX_PAYLOAD, Method,
        NotifyAddress, SEND_LEASE,
    },
};

struct World {
    clock: Arc<ManualClock>,
    jobs: MemoryJobStore,
    fakes: FakeNotifier,
    notifier: Notifier,
}

const URL: &str = "https://example.com/hook";

fn addressed(method: Method) -> Job {
    Job { notify: vec![NotifyAddress { url: URL.into(), method }], ..job("acme") }
}

fn caller(scope: Scope) -> Caller {
    let plan = Plan::default_named("pro");
    Caller { account: Account { id: account("acme"), plan: plan.name.clone(), created: START }, plan, scope }
}

fn admin() -> Caller {
    caller(Scope::Admin)
}

fn draft(url: &str) -> EndpointDraft {
    EndpointDraft { url: url.into(), ..EndpointDraft::default() }
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let jobs = MemoryJobStore::default();
        let fakes = FakeNotifier::new(&jobs, clock.clone());
        Self { notifier: fakes.notifier(), clock, jobs, fakes }
    }

    /// Ends a job as if by a worker that died before it could tell anybody.
    async fn end(&self, job: Job, end: Transition) -> Job {
        let now = self.clock.now();
        self.jobs.insert(&job, 1000).await.unwrap();
        self.jobs.transition(&job.reference(), &claim(), now).await.unwrap();
        self.jobs.transition(&job.reference(), &end, now).await.unwrap()
    }

    async fn complete(&self, job: Job) -> Job {
        self.end(job, complete(1)).await
    }

    /// Hands out every notice that can be received now.
    async fn work(&self) {
        while let Some(notice) = self.fakes.queue.receive() {
            assert_eq!(notify(&self.notifier, &notice).await, Disposition::Done, "{notice:?}");
        }
    }

    async fn sweep(&self) {
        assert_eq!(sweep_notices(&self.notifier).await.unwrap().failed, 0);
        self.work().await;
    }

    /// Tells of a job's event, as whoever ended it does.
    async fn tell(&self, job: &Job) {
        let event = EventRef { job: job.reference(), sequence: job.events };
        notify(&self.notifier, &Notice::Event(event)).await;
        self.work().await;
    }

    async fn deliveries(&self, job: &Job) -> Vec<Delivery> {
        self.fakes.store.deliveries(&job.reference()).await.unwrap()
    }

    async fn only_delivery(&self, job: &Job) -> Delivery {
        let mut deliveries = self.deliveries(job).await;
        assert_eq!(deliveries.len(), 1, "{deliveries:?}");
        deliveries.remove(0)
    }

    /// Lets time pass in steps of a minute, sweeping after each as a host does.
    async fn pass(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(60));
            self.clock.advance(step);
            self.work().await;
            self.sweep().await;
            left -= step;
        }
    }

    fn sent_at(&self) -> Vec<Timestamp> {
        self.fakes.sender.sent().iter().map(|message| message.now).collect()
    }
}

#[tokio::test]
async fn a_job_tells_its_own_address_of_its_end() {
    for (end, kind) in [
        (complete(1), "results.ready"),
        (Transition::Fail { attempt: Some(1), problem: problem() }, "job.failed"),
        (Transition::Cancel, "job.cancelled"),
    ] {
        let world = World::new();
        let ended = world.end(addressed(Method::Post), end).await;
        world.tell(&ended).await;
        let sent = world.fakes.sender.sent();
        assert_eq!((sent.len(), sent[0].url.as_str(), sent[0].method), (1, URL, Method::Post));
        assert_eq!(sent[0].id, format!("evt_{}_1", ended.id.to_string().replace('-', "")));
        let body: Value = serde_json::from_str(&sent[0].content).unwrap();
        assert_eq!(body["type"], kind);
        assert_eq!(body["timestamp"], START.to_string());
        assert_eq!(body["data"]["job_id"], ended.id.to_string());
        assert_eq!(body["data"]["sequence"], 1);
        assert!(body["data"].get("request").is_none() && body["data"].get("link").is_none(), "{body}");
        let delivery = world.only_delivery(&ended).await;
        assert_eq!((delivery.state, delivery.attempts[0].status), (DeliveryState::Delivered, Some(200)));
        assert_eq!((delivery.due_at, delivery.next_at), (None, None));
    }
}

#[tokio::test]
async fn a_get_tells_the_essentials_alone() {
    let world = World::new();
    let ended = world.complete(addressed(Method::Get)).await;
    world.tell(&ended).await;
    let sent = world.fakes.sender.sent();
    let expected =
        format!("type=results.ready&job_id={}&state=completed&sequence=1&timestamp={START}", ended.id);
    assert_eq!((sent[0].method, sent[0].content.as_str()), (Method::Get, expected.as_str()));
}

#[tokio::test]
async fn each_endpoint_is_told_of_what_it_asks_for() {
    let world = World::new();
    let only_failures = EndpointDraft {
        events: Some(vec!["job.failed".into(), "job.expired".into()]),
        ..draft("https://example.com/failures")
    };
    create_endpoint(&world.notifier, &admin(), only_failures).await.unwrap();
    let (all, _) =
        create_endpoint(&world.notifier, &admin(), draft("https://example.com/all")).await.unwrap();
    let (off, _) =
        create_endpoint(&world.notifier, &admin(), draft("https://example.com/off")).await.unwrap();
    let disable = EndpointChange { enabled: Some(false), ..EndpointChange::default() };
    update_endpoint(&world.notifier, &admin(), off.id, disable).await.unwrap();
    let done = world.complete(addressed(Method::Post)).await;
    world.tell(&done).await;
    let urls: Vec<String> = world.fakes.sender.sent().into_iter().map(|message| message.url).collect();
    assert_eq!(urls, [URL, "https://example.com/all"]);
    let ids: Vec<String> = world.fakes.sender.sent().into_iter().map(|message| message.id).collect();
    assert_eq!(ids[0], ids[1], "it is one event");
    assert_ne!(world.deliveries(&done).await[1].id.to_string(), "1-url0");
    assert_eq!(world.deliveries(&done).await[1].id.to_string(), format!("1-{}", all.id));
    // Another event, another job: the other endpoint.
    let failed = world.end(job("acme"), Transition::Fail { attempt: Some(1), problem: problem() }).await;
    world.tell(&failed).await;
    assert_eq!(world.deliveries(&failed).await.len(), 2);
}

#[tokio::test]
async fn a_receiver_that_is_down_is_tried_by_the_schedule_with_one_id() {
    let world = World::new();
    world.fakes.sender.script([Answer::Unreachable]);
    let done = world.complete(addressed(Method::Post)).await;
    world.tell(&done).await;
    world.pass(Duration::from_secs(4 * 86_400)).await;
    let sent = world.sent_at();
    assert_eq!(sent.len(), LAST_ATTEMPT as usize);
    let waits: Vec<f64> = sent.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect();
    // Up to a tenth of chance, and the minute in which the sweeper comes.
    for (wait, expected) in waits.iter().zip([5.0, 300.0, 1800.0, 7200.0, 18e3, 36e3, 504e2, 72e3, 864e2]) {
        assert!(*wait >= expected * 0.9 - 1.0 && *wait <= expected * 1.1 + 61.0, "{waits:?}");
    }
    let ids: std::collections::HashSet<String> =
        world.fakes.sender.sent().into_iter().map(|message| message.id).collect();
    assert_eq!(ids.len(), 1);
    let delivery = world.only_delivery(&done).await;
    assert_eq!((delivery.state, delivery.ending), (DeliveryState::Failed, Some(Ending::Exhausted)));
    assert_eq!((delivery.due_at, delivery.attempts.len()), (None, LAST_ATTEMPT as usize));
    assert_eq!(delivery.attempts[0].error.as_deref(), Some("could not connect"));
}

#[tokio::test]
async fn a_receiver_that_comes_back_is_told_once_more_and_no_more() {
    let world = World::new();
    world.fakes.sender.script([
        Answer::Status(500, None),
        Answer::Status(301, None),
        Answer::Status(200, None),
    ]);
    let done = world.complete(addressed(Method::Post)).await;
    world.tell(&done).await;
    world.pass(Duration::from_secs(86_400)).await;
    let delivery = world.only_delivery(&done).await;
    let statuses: Vec<Option<u16>> = delivery.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(500), Some(301), Some(200)]);
    assert_eq!(delivery.attempts[1].error.as_deref(), Some("redirects are not followed"));
    assert_eq!(delivery.state, DeliveryState::Delivered);
}

#[tokio::test]
async fn waits_up_to_a_quarter_of_an_hour_go_by_the_queue_and_longer_ones_by_the_sweeper() {
    let world = World::new();
    world.fakes.sender.script([Answer::Status(503, Some(600)), Answer::Status(503, Some(3600))]);
    let done = world.complete(addressed(Method::Post)).await;
    world.tell(&done).await;
    let delivery = world.only_delivery(&done).await;
    let next = START.plus(Duration::from_secs(600));
    assert_eq!(delivery.next_at, Some(next));
    assert_eq!(world.fakes.queue.notices(), [(next, Notice::Delivery(delivery.reference()))]);
    assert!(delivery.due_at > Some(next), "the sweeper stands behind the queue");
    world.clock.advance(Duration::from_secs(600));
    world.work().await;
    let delivery = world.only_delivery(&done).await;
    let last = next.plus(Duration::from_secs(3600));
    assert_eq!((delivery.next_at, delivery.due_at), (Some(last), Some(last)));
    assert!(world.fakes.queue.notices().is_empty(), "no delay follows a delay");
    world.clock.advance(Duration::from_secs(3599));
    world.sweep().await;
    assert_eq!(world.sent_at().len(), 2);
    world.clock.advance(Duration::from_secs(1));
    world.sweep().await;
    assert_eq!(world.sent_at().len(), 3);
}

#[tokio::test]
async fn gone_disables_an_endpoint_and_ends_a_delivery() {
    let world = World::new();
    let (made, _) = create_endpoint(&world.notifier, &admin(), draft(URL)).await.unwrap();
    world.fakes.sender.script([Answer::Status(410, None)]);
    let first = world.complete(addressed(Method::Post)).await;
    world.tell(&first).await;
    for delivery in world.deliveries(&first).await {
        assert_eq!((delivery.state, delivery.ending), (DeliveryState::Failed, Some(Ending::Gone)));
    }
    let found = endpoint(&world.notifier, &admin(), made.id).await.unwrap();
    assert_eq!(found.disabled, Some(Disabled::Gone));
    assert_eq!(world.complete(job("acme")).await.events, 0, "nobody listens");
    let enable = EndpointChange { enabled: Some(true), ..EndpointChange::default() };
    update_endpoint(&world.notifier, &admin(), made.id, enable).await.unwrap();
    assert_eq!(world.complete(job("acme")).await.events, 1);
    assert_eq!(world.sent_at().len(), 2, "what is gone is not tried again");
}

#[tokio::test]
async fn what_nobody_told_is_told_by_the_sweeper() {
    let world = World::new();
    let done = world.complete(addressed(Method::Post)).await;
    world.sweep().await;
    assert!(world.sent_at().is_empty(), "whoever ended it may still tell it");
    world.clock.advance(Duration::from_secs(60));
    world.sweep().await;
    assert_eq!(world.only_delivery(&done).await.state, DeliveryState::Delivered);
}

#[tokio::test]
async fn a_host_that_starts_takes_up_what_is_near() {
    let world = World::new();
    world.fakes.sender.script([Answer::Unreachable]);
    let waiting = world.complete(addressed(Method::Post)).await;
    world.tell(&waiting).await;
    let untold = world.complete(addressed(Method::Post)).await;
    // The process dies, and its queue with it.
    while world.fakes.queue.notices().iter().any(|_| world.fakes.queue.receive().is_some()) {}
    let world = World { notifier: FakeNotifier::new(&world.jobs, world.clock.clone()).notifier(), ..world };
    let fakes = FakeNotifier::new(&world.jobs, world.clock.clone());
    let notifier = fakes.notifier();
    assert_eq!(take_up(&notifier).await.unwrap(), 2);
    let (now, notice) = fakes.queue.notices().into_iter().find(|(at, _)| *at == START).unwrap();
    assert_eq!((now, notice.job()), (START, &untold.reference()));
    let next = world.only_delivery(&waiting).await.next_at.unwrap();
    assert!(
        fakes.queue.notices().iter().any(|(at, notice)| *at == next && *notice.job() == waiting.reference())
    );
}

#[tokio::test]
async fn a_sender_that_dies_is_followed_by_another_with_the_same_id() {
    let world = World::new();
    let done = world.complete(addressed(Method::Post)).await;
    world.fakes.queue.set_broken(true);
    world.tell(&done).await;
    world.fakes.queue.set_broken(false);
    let delivery = world.only_delivery(&done).await;
    // An attempt begins, the receiver gets it, and nothing is written down of it.
    assert!(world.fakes.store.save_delivery(&delivery.begin(START).unwrap()).await.unwrap());
    let notice = Notice::Delivery(delivery.reference());
    assert_eq!(notify(&world.notifier, &notice).await, Disposition::Done);
    assert!(world.sent_at().is_empty(), "it is another's for half a minute");
    world.clock.advance(Duration::from_secs(30));
    world.sweep().await;
    let sent = world.fakes.sender.sent();
    assert_eq!((sent.len(), &sent[0].id), (1, &delivery.event().message_id()));
}

#[tokio::test]
async fn repeated_notices_send_nothing_twice() {
    let world = World::new();
    let done = world.complete(addressed(Method::Post)).await;
    for _ in 0..3 {
        world.tell(&done).await;
        let delivery = world.only_delivery(&done).await;
        notify(&world.notifier, &Notice::Delivery(delivery.reference())).await;
    }
    assert_eq!(world.sent_at().len(), 1);
}

#[tokio::test]
async fn a_removed_endpoint_is_told_nothing_more() {
    let world = World::new();
    let (made, _) = create_endpoint(&world.notifier, &admin(), draft(URL)).await.unwrap();
    world.fakes.sender.script([Answer::Unreachable]);
    let done = world.complete(job("acme")).await;
    world.tell(&done).await;
    delete_endpoint(&world.notifier, &admin(), made.id).await.unwrap();
    world.pass(Duration::from_secs(300)).await;
    let delivery = world.only_delivery(&done).await;
    assert_eq!((delivery.state, delivery.ending), (DeliveryState::Failed, Some(Ending::Removed)));
    assert_eq!((delivery.attempts.len(), world.sent_at().len()), (1, 1));
}

#[tokio::test]
async fn two_secrets_sign_for_a_day_after_a_rotation() {
    let world = World::new();
    let (made, first) = create_endpoint(&world.notifier, &admin(), draft(URL)).await.unwrap();
    let signing = async || {
        let done = world.complete(job("acme")).await;
        world.tell(&done).await;
        let message = world.fakes.sender.sent().pop().unwrap();
        message.secrets.iter().map(|secret| secret.expose()).collect::<Vec<_>>()
    };
    assert_eq!(signing().await, [first.expose()]);
    let (_, second) = rotate_endpoint_secret(&world.notifier, &admin(), made.id).await.unwrap();
    assert_eq!(signing().await, [second.expose(), first.expose()]);
    world.clock.advance(Duration::from_secs(86_399));
    assert_eq!(signing().await.len(), 2);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(signing().await, [second.expose()]);
}

#[tokio::test]
async fn the_default_secret_signs_for_addresses_of_jobs() {
    let world = World::new();
    let tell = async || {
        let done = world.complete(addressed(Method::Post)).await;
        world.tell(&done).await;
        let message = world.fakes.sender.sent().pop().unwrap();
        message.secrets.iter().map(|secret| secret.expose()).collect::<Vec<_>>()
    };
    let unseen = tell().await;
    assert_eq!(unseen.len(), 1, "nothing goes out unsigned");
    assert_eq!(tell().await, unseen);
    let (kept, shown) = rotate_default_secret(&world.notifier, &admin()).await.unwrap();
    assert_eq!(tell().await, [shown.expose(), unseen[0].clone()]);
    assert_eq!(default_secrets(&world.notifier, &admin()).await.unwrap(), kept);
}

#[tokio::test]
async fn endpoints_are_the_admins_and_bounded() {
    let world = World::new();
    for scope in [Scope::Read, Scope::Submit] {
        let caller = caller(scope);
        assert!(matches!(endpoints(&world.notifier, &caller).await, Err(Error::Forbidden(Scope::Admin))));
        let made = create_endpoint(&world.notifier, &caller, draft(URL)).await;
        assert!(matches!(made, Err(Error::Forbidden(Scope::Admin))));
        let rotated = rotate_default_secret(&world.notifier, &caller).await;
        assert!(matches!(rotated, Err(Error::Forbidden(Scope::Admin))));
    }
    let wrong = EndpointDraft {
        url: "http://127.0.0.1/".into(),
        events: Some(vec!["job.done".into()]),
        description: Some("x".repeat(201)),
    };
    match create_endpoint(&world.notifier, &admin(), wrong).await {
        Err(Error::Invalid(errors)) => {
            let places: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
            assert_eq!(places, ["#/url", "#/description", "#/events/0"]);
        }
        other => panic!("{other:?}"),
    }
    for _ in 0..10 {
        create_endpoint(&world.notifier, &admin(), draft(URL)).await.unwrap();
    }
    assert!(matches!(
        create_endpoint(&world.notifier, &admin(), draft(URL)).await,
        Err(Error::Conflict(words)) if words.contains("10")
    ));
}

#[tokio::test]
async fn a_test_is_answered_at_once_and_leaves_no_trace() {
    let world = World::new();
    let (made, secret) = create_endpoint(&world.notifier, &admin(), draft(URL)).await.unwrap();
    world.fakes.sender.script([Answer::Status(204, None), Answer::Unreachable]);
    let good = test_endpoint(&world.notifier, &admin(), made.id).await.unwrap();
    assert!(good.is_delivered() && good.status == Some(204));
    let bad = test_endpoint(&world.notifier, &admin(), made.id).await.unwrap();
    assert!(!bad.is_delivered() && bad.error.as_deref() == Some("could not connect"));
    assert_ne!(good.id, bad.id);
    let sent = world.fakes.sender.sent();
    assert_eq!(sent[0].secrets[0].expose(), secret.expose());
    assert!(sent[0].content.contains("webhook.test"), "{}", sent[0].content);
    assert!(world.fakes.queue.notices().is_empty());
}

#[tokio::test]
async fn the_log_goes_once_it_has_had_its_time() {
    let world = World::new();
    let done = world.complete(addressed(Method::Post)).await;
    world.tell(&done).await;
    world.clock.advance(LOG_KEPT - Duration::from_secs(1));
    world.sweep().await;
    assert_eq!(world.deliveries(&done).await.len(), 1);
    world.clock.advance(Duration::from_secs(1));
    world.sweep().await;
    assert!(world.deliveries(&done).await.is_empty());
    let event = EventRef { job: done.reference(), sequence: 1 };
    assert_eq!(world.fakes.store.event(&event).await.unwrap(), None);
}

#[tokio::test]
async fn a_large_job_is_told_within_twenty_thousand_bytes() {
    let world = World::new();
    let mut large = addressed(Method::Post);
    large.labels = (0..20).map(|n| (format!("{n}{}", "ü".repeat(62)), "\u{1}".repeat(256))).collect();
    large.name = Some("late".into());
    let done = world.complete(large).await;
    world.tell(&done).await;
    let content = world.fakes.sender.sent().pop().unwrap().content;
    assert!(content.len() <= MAX_PAYLOAD, "{}", content.len());
    let body: Value = serde_json::from_str(&content).unwrap();
    assert_eq!(body["data"]["omitted"], serde_json::json!(["labels"]));
    assert_eq!((&body["data"]["name"], body["data"].get("labels")), (&"late".into(), None));
}

#[tokio::test]
async fn an_attempt_that_broke_off_counts_by_its_dead_letter_until_none_is_left() {
    let world = World::new();
    let ended = world.complete(addressed(Method::Post)).await;
    let event = Notice::Event(EventRef { job: ended.reference(), sequence: ended.events });
    assert_eq!(dead_notice(&world.notifier, &event).await.unwrap(), DeadNotice::Left);
    notify(&world.notifier, &event).await;
    let notice = world.fakes.queue.receive().unwrap();
    let dead = async || dead_notice(&world.notifier, &notice).await.unwrap();
    assert_eq!(dead().await, DeadNotice::Left, "it was never begun: the sweeper wakes another sender");
    for attempt in 1..=LAST_ATTEMPT {
        let found = world.only_delivery(&ended).await;
        world.clock.advance(found.next_at.unwrap().since(world.clock.now()));
        // A sender that dies in the middle.
        let begun = found.begin(world.clock.now()).unwrap();
        assert!(world.fakes.store.save_delivery(&begun).await.unwrap());
        assert_eq!(dead().await, DeadNotice::Left, "whoever holds it may live");
        world.clock.advance(SEND_LEASE);
        assert_eq!(dead().await, DeadNotice::Counted);
        assert_eq!(dead().await, DeadNotice::Left, "once");
        let counted = world.only_delivery(&ended).await;
        assert_eq!(counted.tries, attempt);
        assert_eq!(counted.attempts.last().unwrap().error.as_deref(), Some("the attempt broke off"));
    }
    let given_up = world.only_delivery(&ended).await;
    assert_eq!((given_up.state, given_up.ending), (DeliveryState::Failed, Some(Ending::Exhausted)));
    assert!(world.fakes.sender.sent().is_empty());
}
