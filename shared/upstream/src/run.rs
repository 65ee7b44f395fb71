//! One attempt: reads items in order, has them called side by side, and hands on what became of them in order again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use willcall_core::{
    job::{
        Counts,
        kinds::{CallWork, ItemOutcome, ItemState},
    },
    ports::{BlobError, Control, ExecuteError, Task},
};

use crate::{
    call::{self, Calls, Item},
    failure::{Outcome, blob, defect},
    items::{Given, Items},
    journal::{Before, Journal, Past},
    limit::Slot,
    result::ResultFile,
};

/// The most items that are told as being sent at once, and outcomes that wait for the journal.
const GROUP: usize = 100;
/// How long outcomes wait for the journal.
const EVERY: Duration = Duration::from_secs(1);
/// Items between the first that is not done and the last that is begun. One slow item holds up no more than these.
const WINDOW: usize = 1000;
/// Bytes of answers that wait for an earlier item, and that wait for the journal.
const HELD: usize = 32 << 20;

/// How an attempt ended that was not told to stop.
pub(crate) struct Ended {
    pub(crate) counts: Counts,
    /// Whether the result had all bytes that it may have before all items were read.
    pub(crate) out_of_bytes: bool,
}

type Entering = BoxFuture<'static, Slot>;
type Writing = BoxFuture<'static, Result<(), BlobError>>;

/// The state of an attempt.
pub(crate) struct Run {
    calls: Arc<Calls>,
    control: Arc<Control>,
    grace: Duration,
    idempotent: bool,
    max_errors: Option<u64>,
    max_bytes: Option<u64>,

    items: Items,
    past: Past,
    journal: Journal,
    /// Whether all items were read, or no more are to be.
    read: bool,
    /// Whether others are to have their turn once what is begun has ended.
    yielding: bool,
    out_of_bytes: bool,
    /// The item that waits for its turn.
    next: Option<Item>,
    /// Items whose turn it is, but of which the journal does not tell yet.
    ready: Vec<(Item, Slot)>,
    /// Those of them that the part being written tells of.
    announced: Vec<(Item, Slot)>,
    /// The part of the journal that is being written.
    writing: Option<Writing>,
    under_way: JoinSet<(Item, call::Ended, Slot)>,
    /// Outcomes that wait for an earlier one.
    done: BTreeMap<u64, ItemOutcome>,
    held: usize,
    /// The number of the next outcome to be handed on.
    handed: u64,

    errors: u64,
    tally: Tally,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    expected: u64,
    succeeded: u64,
    failed: u64,
    unknown: u64,
    malformed: u64,
}

impl Run {
    pub(crate) fn new(
        task: &Task,
        work: &CallWork,
        calls: Calls,
        items: Items,
        past: Past,
        journal: Journal,
        grace: Duration,
    ) -> Self {
        let tally = Tally { expected: items.expected(), ..Tally::default() };
        let run = Self {
            idempotent: calls.line.upstream.idempotent,
            calls: Arc::new(calls),
            control: Arc::clone(&task.control),
            grace,
            max_errors: work.max_errors,
            max_bytes: task.max_bytes,
            errors: past.failures,
            items,
            past,
            journal,
            read: false,
            yielding: false,
            out_of_bytes: false,
            next: None,
            ready: Vec::new(),
            announced: Vec::new(),
            writing: None,
            under_way: JoinSet::new(),
            done: BTreeMap::new(),
            held: 0,
            handed: 1,
            tally,
        };
        run.tell();
        run
    }

    /// Does all items and hands their outcomes to the file. Told to stop, or stopped by a failure of what it needs, it begins
    /// no more, waits a little for what is under way, and writes down what it knows.
    pub(crate) async fn finish(mut self, file: &mut ResultFile) -> Outcome<Ended> {
        match self.drive(file).await {
            Ok(()) => Ok(Ended { counts: self.counts(), out_of_bytes: self.out_of_bytes }),
            Err(error) => {
                if let Err(lost) = self.wind_up().await {
                    tracing::warn!(error = %lost, "failed to write down what was known when the work was stopped");
                }
                Err(error)
            }
        }
    }

    async fn drive(&mut self, file: &mut ResultFile) -> Outcome<()> {
        let mut entering: Option<Entering> = None;
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = false;
        loop {
            self.hand_on(file).await?;
            if self.writing.is_none() && self.should_write(due) {
                self.writing = Some(self.write()?);
                due = false;
            }
            if self.next.is_some() && entering.is_none() && self.ready.len() < GROUP {
                let calls = Arc::clone(&self.calls);
                entering = Some(Box::pin(async move { calls.line.limits.enter().await }));
            }
            if self.yielding {
                // They are not begun, and are read again.
                (self.next, entering) = (None, None);
                if self.writing.is_none() && self.begun() == 0 && !self.journal.is_pending() {
                    return Err(ExecuteError::Cancelled);
                }
            }
            if self.writing.is_none() && self.is_over() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.control.cancelled() => return Err(ExecuteError::Cancelled),
                () = self.control.asked_to_yield(), if !self.yielding && !self.read => self.yielding = true,
                written = pending(&mut self.writing) => {
                    self.writing = None;
                    written.map_err(blob)?;
                    self.begin();
                }
                Some(ended) = self.under_way.join_next() => {
                    let (item, ended, slot) = ended.map_err(defect)?;
                    self.ended(item, ended)?;
                    drop(slot);
                }
                slot = pending(&mut entering) => {
                    entering = None;
                    if let Some(item) = self.next.take() {
                        self.enter(item, slot);
                    }
                }
                given = self.items.next(), if self.may_read() => self.given(given?).await?,
                _ = ticks.tick() => due = true,
            }
        }
    }

    fn may_read(&self) -> bool {
        !self.read
            && !self.yielding
            && self.next.is_none()
            && self.held < HELD
            && self.done.len() + self.begun() < WINDOW
    }

    /// Items that are begun and not done.
    fn begun(&self) -> usize {
        self.under_way.len() + self.ready.len() + self.announced.len() + usize::from(self.next.is_some())
    }

    fn is_over(&self) -> bool {
        self.read && self.begun() == 0 && !self.journal.is_pending()
    }

    /// Whether a part of the journal is due: items wait for it, many outcomes do, or some have for long; and at the end, so
    /// that an attempt that dies while the result is committed leaves nothing to be done again.
    fn should_write(&self, due: bool) -> bool {
        if !self.ready.is_empty() {
            return true;
        }
        let idle = (self.read || self.yielding) && self.begun() == 0;
        self.journal.is_pending()
            && (due || idle || self.journal.outcomes >= GROUP || self.journal.bytes() >= HELD / 4)
    }

    fn write(&mut self) -> Outcome<Writing> {
        self.announced = std::mem::take(&mut self.ready);
        self.journal.sending(self.announced.iter().map(|(item, _)| item.number).collect())?;
        Ok(self.journal.write())
    }

    /// Begins the items that the journal tells of now.
    fn begin(&mut self) {
        for (item, slot) in std::mem::take(&mut self.announced) {
            self.call(item, slot);
        }
    }

    fn call(&mut self, item: Item, slot: Slot) {
        let calls = Arc::clone(&self.calls);
        self.under_way.spawn(async move {
            let ended = calls.call(&item).await;
            // With the outcome: the next one is not begun before this one counts.
            (item, ended, slot)
        });
    }

    /// It is the item's turn.
    fn enter(&mut self, item: Item, slot: Slot) {
        if self.too_many_errors() {
            let outcome = self.not_sent(&item);
            self.note(item.number, outcome);
        } else if self.idempotent {
            // Sent twice it does no harm, so the journal need not know before.
            self.call(item, slot);
        } else {
            self.ready.push((item, slot));
        }
    }

    async fn given(&mut self, given: Option<Given>) -> Outcome<()> {
        let Some(Given { item, wrong }) = given else {
            self.read = true;
            return Ok(());
        };
        if let Some(words) = wrong {
            let outcome = unsent(&item, ItemState::Malformed, words);
            self.note(item.number, outcome);
            return Ok(());
        }
        match self.past.of(item.number).await? {
            Before::Done(outcome) => self.note(item.number, outcome),
            Before::InDoubt if !self.idempotent => {
                let words = "sent, but its answer was not seen: the worker that sent it was lost".into();
                let outcome = ItemOutcome { attempts: 1, ..unsent(&item, ItemState::Unknown, words) };
                self.errors += 1;
                self.note(item.number, outcome);
            }
            Before::Nothing | Before::InDoubt if self.too_many_errors() => {
                let outcome = self.not_sent(&item);
                self.note(item.number, outcome);
            }
            Before::Nothing | Before::InDoubt => self.next = Some(item),
        }
        Ok(())
    }

    fn ended(&mut self, item: Item, ended: call::Ended) -> Outcome<()> {
        // Only an attempt that was told to stop interrupts calls, and that has a loop of its own.
        let call::Ended::Over(outcome) = ended else { return Ok(()) };
        if matches!(outcome.state, ItemState::Failed | ItemState::Unknown) {
            self.errors += 1;
        }
        self.journal.done(item.number, &outcome)?;
        self.control.gain();
        self.note(item.number, outcome);
        Ok(())
    }

    fn too_many_errors(&self) -> bool {
        self.max_errors.is_some_and(|most| self.errors >= most)
    }

    fn not_sent(&self, item: &Item) -> ItemOutcome {
        let words = format!("not sent: {} items had failed before, and max_errors says to stop", self.errors);
        unsent(item, ItemState::Failed, words)
    }

    /// Counts an outcome, and keeps it until it is its turn.
    fn note(&mut self, number: u64, outcome: ItemOutcome) {
        let count = match outcome.state {
            ItemState::Succeeded => &mut self.tally.succeeded,
            ItemState::Failed => &mut self.tally.failed,
            ItemState::Unknown => &mut self.tally.unknown,
            ItemState::Malformed => &mut self.tally.malformed,
        };
        *count += 1;
        self.held += size(&outcome);
        self.done.insert(number, outcome);
        self.tell();
    }

    async fn hand_on(&mut self, file: &mut ResultFile) -> Outcome<()> {
        while let Some(outcome) = self.done.remove(&self.handed) {
            self.held -= size(&outcome);
            self.handed += 1;
            file.push(&outcome).await?;
        }
        if !self.read && self.max_bytes.is_some_and(|most| file.bytes() >= most) {
            self.read = true;
            // What is begun is told all the same.
            let last = file.records() + (self.begun() + self.done.len()) as u64;
            self.out_of_bytes = last < self.items.expected();
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        let Tally { expected, succeeded, failed, unknown, malformed } = self.tally;
        let pending = expected.saturating_sub(succeeded + failed + unknown + malformed);
        Counts::Call { total: Some(expected), pending, succeeded, failed, unknown, malformed }
    }

    fn tell(&self) {
        let Tally { expected, succeeded, failed, unknown, malformed } = self.tally;
        self.control.set_counts(self.counts());
        self.control.set_work(succeeded + failed + unknown + malformed, expected);
    }

    /// Ends an attempt that goes no further.
    async fn wind_up(&mut self) -> Outcome<()> {
        self.calls.stop.cancel();
        let until = Instant::now() + self.grace;
        let mut released: Vec<u64> = Vec::new();
        if let Some(writing) = self.writing.take() {
            writing.await.map_err(blob)?;
            released.extend(self.announced.iter().map(|(item, _)| item.number));
        }
        loop {
            tokio::select! {
                ended = self.under_way.join_next() => {
                    let Some(ended) = ended else { break };
                    match ended.map_err(defect)? {
                        (item, call::Ended::Over(outcome), _) => self.journal.done(item.number, &outcome)?,
                        (item, call::Ended::Interrupted, _) => released.push(item.number),
                    }
                }
                // What is still under way stays in doubt.
                () = sleep_until(until) => break,
            }
        }
        if !self.idempotent {
            self.journal.released(released)?;
        }
        if self.journal.is_pending() {
            self.journal.write().await.map_err(blob)?;
        }
        Ok(())
    }
}

/// Resolves with what is awaited, never where nothing is.
async fn pending<T>(awaited: &mut Option<BoxFuture<'static, T>>) -> T {
    match awaited {
        Some(awaited) => awaited.await,
        None => std::future::pending().await,
    }
}

fn unsent(item: &Item, state: ItemState, words: String) -> ItemOutcome {
    ItemOutcome { id: item.id.clone(), state, status: None, attempts: 0, body: None, error: Some(words) }
}

/// About how many bytes an outcome holds.
fn size(outcome: &ItemOutcome) -> usize {
    let body = outcome.body.as_ref().map_or(0, |body| body.get().len());
    body + outcome.error.as_ref().map_or(0, String::len) + 64
}
