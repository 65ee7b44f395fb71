//! The journal of a job's calls: what was sent and what came back, across attempts and workers.
//!
//! Each attempt writes parts of its own, numbered from 0; a part is JSON Lines, written whole. An item is
//! told as being sent before it is, where sending it twice is not safe, and with its outcome afterwards. What an attempt
//! did after its last part is not known to the next one, which is why the first of these comes before the call.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use serde::{Deserialize, Serialize};
use willcall_core::{
    JobRef,
    job::kinds::{ItemOutcome, ItemState},
    ports::{BlobError, BlobKey, BlobStore},
};

use crate::failure::{Outcome, blob, defect};

/// How long a part that could not be written waits before it is tried again; doubled each time, up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_millis(800);
/// Parts that are read at once.
const AT_ONCE: u32 = 8;
/// Parts that are kept while their outcomes are handed on.
const KEPT: usize = 8;

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Record {
    /// These items are sent next.
    Sending(Vec<u64>),
    /// These items were not sent after all, or were refused and not sent again: nothing is in doubt.
    Released(Vec<u64>),
    /// What became of an item.
    Done { item: u64, outcome: ItemOutcome },
}

/// What earlier attempts left.
pub(crate) struct Past {
    blobs: Arc<dyn BlobStore>,
    job: JobRef,
    /// What is known of each item, by its number less one.
    known: Vec<Known>,
    /// Outcomes of failed and doubtful items: they count for as long as the job runs.
    pub(crate) failures: u64,
    read: VecDeque<(Place, HashMap<u64, ItemOutcome>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    attempt: u32,
    part: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Sending,
    Done(Place),
}

/// What is known of an item before this attempt has done anything.
#[derive(Debug)]
pub(crate) enum Before {
    /// It was not sent.
    Nothing,
    /// It was sent, and what came back is not known.
    InDoubt,
    /// It is done.
    Done(ItemOutcome),
}

impl Past {
    /// Reads what the attempts before this one wrote.
    pub(crate) async fn read(blobs: &Arc<dyn BlobStore>, job: &JobRef, attempt: u32) -> Outcome<Self> {
        let mut past = Self {
            blobs: Arc::clone(blobs),
            job: job.clone(),
            known: Vec::new(),
            failures: 0,
            read: VecDeque::new(),
        };
        for earlier in 1..attempt {
            past.read_attempt(earlier).await?;
        }
        Ok(past)
    }

    async fn read_attempt(&mut self, attempt: u32) -> Outcome<()> {
        let mut first = 0;
        loop {
            let last = first + AT_ONCE;
            let places = (first..last).map(|part| Place { attempt, part });
            let parts = places.map(|place| {
                let (blobs, key) = (Arc::clone(&self.blobs), key(&self.job, place));
                async move { (place, fetch(&*blobs, &key).await) }
            });
            let parts: Vec<_> = stream::iter(parts).buffered(AT_ONCE as usize).collect().await;
            let mut any = false;
            for (place, bytes) in parts {
                // One that could not be written may have others behind it, which an attempt wrote that was winding up.
                let Some(bytes) = bytes? else { continue };
                any = true;
                for record in records(&bytes)? {
                    self.note(place, record);
                }
            }
            if !any {
                return Ok(());
            }
            first = last;
        }
    }

    fn note(&mut self, place: Place, record: Record) {
        match record {
            Record::Sending(items) => {
                for item in items {
                    let known = self.slot(item);
                    if *known == Known::Nothing {
                        *known = Known::Sending;
                    }
                }
            }
            Record::Released(items) => {
                for item in items {
                    let known = self.slot(item);
                    if *known == Known::Sending {
                        *known = Known::Nothing;
                    }
                }
            }
            Record::Done { item, outcome } => {
                if matches!(outcome.state, ItemState::Failed | ItemState::Unknown) {
                    self.failures += 1;
                }
                *self.slot(item) = Known::Done(place);
            }
        }
    }

    fn slot(&mut self, item: u64) -> &mut Known {
        let at = usize::try_from(item.saturating_sub(1)).unwrap_or(usize::MAX);
        if self.known.len() <= at {
            self.known.resize(at + 1, Known::Nothing);
        }
        &mut self.known[at]
    }

    /// What is known of the item. Cheap where items are asked for in their order, which is about that of the parts.
    pub(crate) async fn of(&mut self, item: u64) -> Outcome<Before> {
        let at = usize::try_from(item.saturating_sub(1)).unwrap_or(usize::MAX);
        match self.known.get(at).copied().unwrap_or(Known::Nothing) {
            Known::Nothing => Ok(Before::Nothing),
            Known::Sending => Ok(Before::InDoubt),
            Known::Done(place) => self.outcome(place, item).await.map(Before::Done),
        }
    }

    async fn outcome(&mut self, place: Place, item: u64) -> Outcome<ItemOutcome> {
        if !self.read.iter().any(|(read, _)| *read == place) {
            let bytes = fetch(&*self.blobs, &key(&self.job, place)).await?;
            let mut outcomes = HashMap::new();
            for record in records(&bytes.unwrap_or_default())? {
                if let Record::Done { item, outcome } = record {
                    outcomes.insert(item, outcome);
                }
            }
            if self.read.len() == KEPT {
                self.read.pop_front();
            }
            self.read.push_back((place, outcomes));
        }
        let found = self.read.iter_mut().find(|(read, _)| *read == place);
        let found = found.and_then(|(_, outcomes)| outcomes.remove(&item));
        found.ok_or_else(|| defect(format!("the journal has lost item {item}")))
    }
}

fn key(job: &JobRef, place: Place) -> BlobKey {
    BlobKey::Journal { job: job.clone(), attempt: place.attempt, part: place.part }
}

async fn fetch(blobs: &dyn BlobStore, key: &BlobKey) -> Outcome<Option<Bytes>> {
    let stream = match blobs.stream(key, None).await {
        Ok(stream) => stream,
        Err(BlobError::Missing(_)) => return Ok(None),
        Err(error) => return Err(blob(error)),
    };
    let bytes = stream.try_fold(Vec::new(), |mut all, piece| async move {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    match bytes.await {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(BlobError::Missing(_)) => Ok(None),
        Err(error) => Err(blob(error)),
    }
}

fn records(bytes: &[u8]) -> Outcome<Vec<Record>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(defect)).collect()
}

/// What this attempt adds.
pub(crate) struct Journal {
    blobs: Arc<dyn BlobStore>,
    job: JobRef,
    attempt: u32,
    part: u32,
    pending: Vec<u8>,
    /// Outcomes among what is pending.
    pub(crate) outcomes: usize,
}

impl Journal {
    pub(crate) fn new(blobs: &Arc<dyn BlobStore>, job: &JobRef, attempt: u32) -> Self {
        let (blobs, job) = (Arc::clone(blobs), job.clone());
        Self { blobs, job, attempt, part: 0, pending: Vec::new(), outcomes: 0 }
    }

    /// Notes what became of an item, for the next part.
    pub(crate) fn done(&mut self, item: u64, outcome: &ItemOutcome) -> Outcome<()> {
        self.outcomes += 1;
        self.add(&Record::Done { item, outcome: outcome.clone() })
    }

    /// Notes that items are sent next. They may be once the part is written.
    pub(crate) fn sending(&mut self, items: Vec<u64>) -> Outcome<()> {
        if items.is_empty() { Ok(()) } else { self.add(&Record::Sending(items)) }
    }

    /// Notes that nothing is in doubt of these.
    pub(crate) fn released(&mut self, items: Vec<u64>) -> Outcome<()> {
        if items.is_empty() { Ok(()) } else { self.add(&Record::Released(items)) }
    }

    /// Whether anything is to be written.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Bytes that are to be written.
    pub(crate) fn bytes(&self) -> usize {
        self.pending.len()
    }

    fn add(&mut self, record: &Record) -> Outcome<()> {
        serde_json::to_writer(&mut self.pending, record).map_err(defect)?;
        self.pending.push(b'\n');
        Ok(())
    }

    /// Writes everything that is pending as the next part, several times if need be. Durable once it has ended. Parts are
    /// written one after the other: many gaps would hide those behind them.
    pub(crate) fn write(&mut self) -> BoxFuture<'static, Result<(), BlobError>> {
        let place = Place { attempt: self.attempt, part: self.part };
        let (blobs, key) = (Arc::clone(&self.blobs), key(&self.job, place));
        let bytes = Bytes::from(std::mem::take(&mut self.pending));
        self.outcomes = 0;
        self.part += 1;
        Box::pin(async move {
            let mut wait = FIRST_WAIT;
            loop {
                match blobs.put(&key, "application/x-ndjson", bytes.clone()).await {
                    Err(BlobError::Unavailable(_)) if wait <= LAST_WAIT => {
                        tokio::time::sleep(wait).await;
                        wait *= 2;
                    }
                    written => return written,
                }
            }
        })
    }
}
