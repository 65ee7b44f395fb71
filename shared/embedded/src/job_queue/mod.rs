//! The queue of one box: which jobs have a message outlives the process, who has received one does not, because
//! whoever did died with it.
//!
//! It has two lanes. Calls of upstreams wait for others for as long as those please, and must keep no other job waiting.

mod lane;
mod waiting;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::params;
use tokio::sync::Notify;
use willcall_core::{
    JobRef, Timestamp,
    error::Source,
    ports::{Clock, JobQueue, QueueError},
};

pub(crate) use self::lane::Lane;
use self::{
    lane::{Lanes, lane_of},
    waiting::Waiting,
};
use crate::{
    database::{Database, Durability, Failed, Never},
    job_store::reference,
};

/// The job queue of one box. Clones are one and the same.
#[derive(Clone)]
pub struct SqliteJobQueue {
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
    waiting: Arc<Mutex<Lanes<Waiting>>>,
    arrived: Arc<Lanes<Notify>>,
}

/// A message that was received. It comes to nobody else until it is released or its visibility time-out is past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The job that it is for.
    pub job: JobRef,
    lane: Lane,
    receipt: u64,
}

impl SqliteJobQueue {
    /// Takes up the messages that `database` holds. Those that a dead process had received can be received again.
    pub async fn open(database: Arc<Database>, clock: Arc<dyn Clock>) -> Result<Self, QueueError> {
        let stored = database.read(|connection| {
            let mut statement =
                connection.prepare("SELECT account, job, visible_at FROM messages ORDER BY sequence")?;
            let mut rows = statement.query([])?;
            let mut stored = Vec::new();
            while let Some(row) = rows.next()? {
                let job = reference(row, 0, 1)?;
                stored.push((lane_of(connection, &job)?, job, Timestamp::from_millis(row.get(2)?)));
            }
            Ok(stored)
        });
        let stored = stored.await.map_err(failed)?;
        let (mut waiting, now) = (Lanes::<Waiting>::default(), clock.now());
        for (lane, job, visible) in stored {
            waiting[lane].add(&job, visible, now);
        }
        Ok(Self { database, clock, waiting: Arc::new(Mutex::new(waiting)), arrived: Arc::default() })
    }

    /// The next message of any lane, if one can be received at `now`. Accounts take turns.
    pub fn receive(&self, now: Timestamp, visibility: Duration) -> Option<Message> {
        Lane::ALL.into_iter().find_map(|lane| self.receive_below(lane, usize::MAX, now, visibility))
    }

    fn receive_below(
        &self,
        lane: Lane,
        most: usize,
        now: Timestamp,
        visibility: Duration,
    ) -> Option<Message> {
        let (job, receipt) = self.waiting()[lane].take(now, now.plus(visibility), most)?;
        // One wake-up may stand for several messages: whoever takes one passes it on.
        self.arrived[lane].notify_one();
        Some(Message { job, lane, receipt })
    }

    /// The next message that is not for calls, once there is one.
    pub async fn received(&self, visibility: Duration) -> Message {
        self.received_below(Lane::Work, usize::MAX, visibility).await
    }

    /// The lane's next message, once there is one of an account of which less than `most` are held in it.
    pub(crate) async fn received_below(&self, lane: Lane, most: usize, visibility: Duration) -> Message {
        loop {
            let now = self.clock.now();
            if let Some(message) = self.receive_below(lane, most, now, visibility) {
                return message;
            }
            let next = self.waiting()[lane].next(most);
            // At most a while, in case the clock is set forward.
            let at_most = next.map_or(IDLE, |next| next.since(now).min(IDLE));
            let _ = tokio::time::timeout(at_most, self.arrived[lane].notified()).await;
        }
    }

    /// The message has done its work.
    pub fn acknowledge(&self, message: &Message) {
        // Memory and the line of writes change under one lock, so both have the same order.
        let mut waiting = self.waiting();
        let gone = waiting[message.lane].acknowledge(&message.job, message.receipt, self.clock.now());
        self.arrived[message.lane].notify_one();
        // A job that has left a lane may have been sent to the other since.
        if gone && !Lane::ALL.into_iter().any(|lane| waiting[lane].has(&message.job)) {
            let job = message.job.clone();
            self.write(move |connection| {
                connection
                    .prepare_cached("DELETE FROM messages WHERE account = ?1 AND job = ?2")?
                    .execute(params![job.account.as_str(), job.job.to_string()])
            });
        }
    }

    /// The message has not done its work: it comes again once `delay` has passed.
    pub fn release(&self, message: &Message, delay: Duration) {
        let (mut waiting, now) = (self.waiting(), self.clock.now());
        let lane = message.lane;
        if let Some(visible) = waiting[lane].release(&message.job, message.receipt, now.plus(delay), now) {
            self.arrived[lane].notify_one();
            self.keep(&message.job, visible);
        }
    }

    fn keep(&self, job: &JobRef, visible: Timestamp) {
        let job = job.clone();
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO messages (account, job, visible_at) VALUES (?1, ?2, ?3)
                        ON CONFLICT (account, job) DO UPDATE SET visible_at = excluded.visible_at",
                )?
                .execute(params![job.account.as_str(), job.job.to_string(), visible.as_millis()])
        });
    }

    /// Puts a write in line and does not wait for it, as it may be behind a sync of the disk. What this process
    /// receives is decided in memory; should a write be lost, the next start gives every accepted job a message and
    /// drops those of jobs that have ended.
    fn write(&self, work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<usize> + Send + 'static) {
        let _unawaited = self.database.submit(
            Durability::Process,
            move |connection| Ok::<_, Failed<Never>>(work(connection)?),
            |_| (),
        );
    }

    fn waiting(&self) -> MutexGuard<'_, Lanes<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a waiting worker sleeps at most.
const IDLE: Duration = Duration::from_secs(1);

#[async_trait]
impl JobQueue for SqliteJobQueue {
    async fn send(&self, job: &JobRef, delay: Duration) -> Result<(), QueueError> {
        let asked = job.clone();
        let lane = self.database.read(move |connection| Ok(lane_of(connection, &asked)?)).await;
        let lane = lane.map_err(failed)?;
        let (mut waiting, now) = (self.waiting(), self.clock.now());
        let visible = now.plus(delay);
        waiting[lane].add(job, visible, now);
        self.arrived[lane].notify_one();
        self.keep(job, visible);
        Ok(())
    }

    fn is_awaited(&self, by: &JobRef) -> bool {
        let (mut waiting, now) = (self.waiting(), self.clock.now());
        let held = Lane::ALL.into_iter().filter(|lane| waiting[*lane].is_held(by)).collect::<Vec<_>>();
        held.into_iter().any(|lane| waiting[lane].is_awaited(now))
    }
}

fn failed(failed: Failed<Never>) -> QueueError {
    let source: Source = failed.source();
    QueueError(source)
}
