//! Endpoints, events and deliveries in maps, a queue of notices, a sender that is told what to answer, an open vault.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use willcall_core::{
    AccountId, JobRef, Timestamp,
    idempotency::{KeyHash, KeyRecord},
    ports::{
        Clock, Message, Notice, NoticeQueue, QueueError, Reply, SavedOnce, SendError, Sender, StoreError,
        UnfitUrl, Vault, VaultError, WebhookStore,
    },
    usecases::Notifier,
    webhook::{Delivery, DeliveryRef, Event, EventRef, Secret, Subscriptions},
};

use super::lock;

/// A webhook store in memory. Clones are one and the same; a [`MemoryJobStore`](super::MemoryJobStore) has the one into
/// which it writes events.
#[derive(Debug, Clone, Default)]
pub struct MemoryWebhookStore(Arc<Mutex<State>>, pub(super) Keys);

/// The keys of requests, those of jobs among them. They are locked after all else.
pub(super) type Keys = Arc<Mutex<BTreeMap<(AccountId, KeyHash), KeyRecord>>>;

#[derive(Debug, Default)]
struct State {
    subscriptions: BTreeMap<AccountId, Subscriptions>,
    events: BTreeMap<EventRef, Event>,
    deliveries: BTreeMap<DeliveryRef, Delivery>,
}

impl MemoryWebhookStore {
    pub(super) fn is_listening(&self, account: &AccountId) -> bool {
        lock(&self.0).subscriptions.get(account).is_some_and(Subscriptions::is_listening)
    }

    pub(super) fn add(&self, event: Event) {
        lock(&self.0).events.insert(event.reference(), event);
    }
}

/// Whether a record of that version may take the place of what was found.
fn follows(found: Option<u64>, version: u64) -> bool {
    found.unwrap_or(0) + 1 == version
}

#[async_trait]
impl WebhookStore for MemoryWebhookStore {
    async fn subscriptions(&self, account: &AccountId) -> Result<Option<Subscriptions>, StoreError> {
        Ok(lock(&self.0).subscriptions.get(account).cloned())
    }

    async fn save_subscriptions(&self, subscriptions: &Subscriptions) -> Result<bool, StoreError> {
        let mut state = lock(&self.0);
        let found = state.subscriptions.get(&subscriptions.account).map(|found| found.version);
        let saved = follows(found, subscriptions.version);
        if saved {
            state.subscriptions.insert(subscriptions.account.clone(), subscriptions.clone());
        }
        Ok(saved)
    }

    async fn save_subscriptions_once(
        &self,
        subscriptions: &Subscriptions,
        key: &KeyHash,
        record: &KeyRecord,
        now: Timestamp,
    ) -> Result<SavedOnce, StoreError> {
        let (mut state, mut keys) = (lock(&self.0), lock(&self.1));
        let account = &subscriptions.account;
        if let Some(known) = keys.get(&(account.clone(), key.clone())).filter(|known| known.is_live(now)) {
            return Ok(SavedOnce::Known(known.clone()));
        }
        if !follows(state.subscriptions.get(account).map(|found| found.version), subscriptions.version) {
            return Ok(SavedOnce::Overtaken);
        }
        state.subscriptions.insert(account.clone(), subscriptions.clone());
        keys.insert((account.clone(), key.clone()), record.clone());
        Ok(SavedOnce::Saved)
    }

    async fn event(&self, event: &EventRef) -> Result<Option<Event>, StoreError> {
        Ok(lock(&self.0).events.get(event).cloned())
    }

    async fn save_event(&self, event: &Event, deliveries: &[Delivery]) -> Result<bool, StoreError> {
        let mut state = lock(&self.0);
        if !follows(state.events.get(&event.reference()).map(|found| found.version), event.version) {
            return Ok(false);
        }
        state.events.insert(event.reference(), event.clone());
        for delivery in deliveries {
            state.deliveries.entry(delivery.reference()).or_insert_with(|| delivery.clone());
        }
        Ok(true)
    }

    async fn remove_event(&self, event: &EventRef) -> Result<(), StoreError> {
        let mut state = lock(&self.0);
        state.events.remove(event);
        state.deliveries.retain(|_, delivery| delivery.event() != *event);
        Ok(())
    }

    async fn deliveries(&self, job: &JobRef) -> Result<Vec<Delivery>, StoreError> {
        let state = lock(&self.0);
        Ok(state.deliveries.values().filter(|delivery| delivery.reference().job == *job).cloned().collect())
    }

    async fn delivery(&self, delivery: &DeliveryRef) -> Result<Option<Delivery>, StoreError> {
        Ok(lock(&self.0).deliveries.get(delivery).cloned())
    }

    async fn save_delivery(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        let mut state = lock(&self.0);
        let found = state.deliveries.get(&delivery.reference()).map(|found| found.version);
        let saved = follows(found, delivery.version);
        if saved {
            state.deliveries.insert(delivery.reference(), delivery.clone());
        }
        Ok(saved)
    }

    async fn due_notices(&self, now: Timestamp, limit: u32) -> Result<Vec<(Timestamp, Notice)>, StoreError> {
        let state = lock(&self.0);
        let events = state.events.values().map(|event| (event.due_at, Notice::Event(event.reference())));
        let deliveries = state
            .deliveries
            .values()
            .map(|delivery| (delivery.due_at, Notice::Delivery(delivery.reference())));
        let mut due: Vec<(Timestamp, Notice)> = events
            .chain(deliveries)
            .filter_map(|(due, notice)| Some((due.filter(|due| *due <= now)?, notice)))
            .collect();
        due.sort();
        due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(due)
    }
}

/// A queue of notices in memory. Clones are one and the same.
#[derive(Clone)]
pub struct MemoryNoticeQueue {
    clock: Arc<dyn Clock>,
    notices: Arc<Mutex<Vec<(Timestamp, Notice)>>>,
    broken: Arc<Mutex<bool>>,
}

impl MemoryNoticeQueue {
    /// An empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, notices: Arc::default(), broken: Arc::default() }
    }

    /// Makes every send fail, or work again.
    pub fn set_broken(&self, broken: bool) {
        *lock(&self.broken) = broken;
    }

    /// Takes the notice that can be received now and was sent first.
    pub fn receive(&self) -> Option<Notice> {
        let now = self.clock.now();
        let mut notices = lock(&self.notices);
        let first = notices.iter().position(|(visible, _)| *visible <= now)?;
        Some(notices.remove(first).1)
    }

    /// Every notice that was sent and not received, with the moment from which it can be.
    pub fn notices(&self) -> Vec<(Timestamp, Notice)> {
        lock(&self.notices).clone()
    }
}

#[async_trait]
impl NoticeQueue for MemoryNoticeQueue {
    async fn send(&self, notice: &Notice, delay: Duration) -> Result<(), QueueError> {
        if *lock(&self.broken) {
            return Err(QueueError("broken by the test".into()));
        }
        lock(&self.notices).push((self.clock.now().plus(delay), notice.clone()));
        Ok(())
    }
}

/// What a [`FakeSender`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A status, and how many seconds to wait.
    Status(u16, Option<u64>),
    /// Nobody is there.
    Unreachable,
}

/// A sender that notes what it is given, and answers by script: the last answer for ever, 200 without one.
#[derive(Debug, Clone, Default)]
pub struct FakeSender {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    sent: Arc<Mutex<Vec<Message>>>,
}

impl FakeSender {
    /// From now on the answers are these.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        *lock(&self.answers) = answers.into_iter().collect();
    }

    /// Every message so far.
    pub fn sent(&self) -> Vec<Message> {
        lock(&self.sent).clone()
    }
}

#[async_trait]
impl Sender for FakeSender {
    /// Whatever is https and not of `127.0.0.1`.
    fn check(&self, url: &str) -> Result<(), UnfitUrl> {
        match url.strip_prefix("https://") {
            Some(rest) if !rest.starts_with("127.0.0.1") => Ok(()),
            _ => Err(UnfitUrl("is not fit".into())),
        }
    }

    async fn send(&self, message: &Message) -> Result<Reply, SendError> {
        lock(&self.sent).push(message.clone());
        let mut answers = lock(&self.answers);
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
        match answer.unwrap_or(Answer::Status(200, None)) {
            Answer::Status(status, wait) => Ok(Reply { status, retry_after: wait.map(Duration::from_secs) }),
            Answer::Unreachable => Err(SendError::Connect("nobody is there".into())),
        }
    }
}

/// A vault that hides nothing: what is sealed begins with its context.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenVault;

#[async_trait]
impl Vault for OpenVault {
    async fn seal(&self, context: &str, secret: &Secret) -> Result<String, VaultError> {
        Ok(format!("{context}:{}", secret.expose()))
    }

    async fn open(&self, context: &str, sealed: &str) -> Result<Secret, VaultError> {
        let secret = sealed.strip_prefix(context).and_then(|rest| rest.strip_prefix(':'));
        secret.and_then(Secret::parse).ok_or(VaultError::Unreadable)
    }
}

/// The fakes behind a [`Notifier`].
#[derive(Clone)]
pub struct FakeNotifier {
    /// The store; the job store's own.
    pub store: MemoryWebhookStore,
    /// The queue.
    pub queue: MemoryNoticeQueue,
    /// The sender.
    pub sender: FakeSender,
    clock: Arc<dyn Clock>,
}

impl FakeNotifier {
    /// Fakes over the store into which `jobs` writes its events.
    pub fn new(jobs: &super::MemoryJobStore, clock: Arc<dyn Clock>) -> Self {
        let queue = MemoryNoticeQueue::new(Arc::clone(&clock));
        Self { store: jobs.webhooks(), queue, sender: FakeSender::default(), clock }
    }

    /// As use cases take them.
    pub fn notifier(&self) -> Notifier {
        Notifier {
            store: Arc::new(self.store.clone()),
            queue: Arc::new(self.queue.clone()),
            sender: Arc::new(self.sender.clone()),
            vault: Arc::new(OpenVault),
            clock: Arc::clone(&self.clock),
        }
    }
}
