//! Jobs in a map.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use willcall_core::{
    AccountId, JobId, JobRef, Timestamp,
    idempotency::{KeyHash, KeyRecord, Made},
    job::{Identity, Job, JobState, Refused, Transition},
    ports::{
        AddBatchError, BatchAdded, Consumed, InsertError, JobFilter, JobPage, JobStore, NewBatch, NewJob,
        StoreError, Submitted, TransitionError,
    },
};

use super::{MemorySignals, MemoryWebhookStore, lock};

/// A job store in memory. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct MemoryJobStore {
    jobs: Arc<Mutex<BTreeMap<JobRef, Job>>>,
    beside: Arc<Mutex<Beside>>,
    signals: MemorySignals,
    webhooks: MemoryWebhookStore,
    broken: Arc<Mutex<Option<String>>>,
}

/// What is kept beside the jobs. It is locked after them.
#[derive(Debug, Default)]
struct Beside {
    identities: BTreeMap<(AccountId, Identity), BTreeSet<JobId>>,
    submits: BTreeMap<(AccountId, i64), u32>,
    delivered: BTreeMap<(AccountId, i64), (u64, u64)>,
}

/// What a store that was broken on purpose answers with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(String);

impl MemoryJobStore {
    /// An empty store that tells `signals` of every change.
    pub fn new(signals: MemorySignals) -> Self {
        Self { signals, ..Self::default() }
    }

    /// The store into which it writes the events of jobs.
    pub fn webhooks(&self) -> MemoryWebhookStore {
        self.webhooks.clone()
    }

    /// Makes every call fail with these words, until called with `None`.
    pub fn break_with(&self, words: Option<&str>) {
        *lock(&self.broken) = words.map(ToOwned::to_owned);
    }

    fn check(&self) -> Result<(), StoreError> {
        match &*lock(&self.broken) {
            Some(words) => Err(StoreError::Unavailable(Box::new(Broken(words.clone())))),
            None => Ok(()),
        }
    }
}

fn count_open(jobs: &BTreeMap<JobRef, Job>, account: &AccountId) -> u32 {
    let own = jobs.values().filter(|job| job.account == *account && job.container.is_none());
    let open = own.filter(|job| !job.state.is_terminal()).count();
    u32::try_from(open).unwrap_or(u32::MAX)
}

#[async_trait]
impl JobStore for MemoryJobStore {
    async fn submit(&self, new: &NewJob) -> Result<Submitted, InsertError> {
        self.check()?;
        let (mut jobs, mut beside) = (lock(&self.jobs), lock(&self.beside));
        let mut keys = lock(&self.webhooks.1);
        let (job, now) = (&new.job, new.job.created);
        let own = |key: &KeyHash| (job.account.clone(), key.clone());
        if let Some(key) = &new.key
            && let Some(record) = keys.get(&own(&key.key)).filter(|record| record.is_live(now))
        {
            return Ok(Submitted::Known(record.clone()));
        }
        let identity = new.identity.clone().map(|identity| (job.account.clone(), identity));
        if let (Some(identity), Some(reuse)) = (&identity, new.reuse)
            && let Some(equals) = beside.identities.get(identity)
            && let Some(serving) = equals
                .iter()
                .rev()
                .map(|id| JobRef { account: job.account.clone(), job: *id })
                .find(|id| jobs.get(id).is_some_and(|other| reuse.serves(other, &job.notify, now)))
            && let Some(other) = jobs.get_mut(&serving)
        {
            if let Some(key) = &new.key {
                keys.insert(own(&key.key), key.record(Made::Job(other.id), true, now));
            }
            if let Some((joined, event)) = other.joined(&job.notify, now) {
                *other = joined;
                event.into_iter().for_each(|event| self.webhooks.add(event));
            }
            return Ok(Submitted::Joined(Box::new(other.clone())));
        }
        if !job.state.is_terminal() && count_open(&jobs, &job.account) >= new.max_open_jobs {
            return Err(InsertError::TooManyOpenJobs);
        }
        if jobs.contains_key(&job.reference()) {
            return Err(InsertError::Exists);
        }
        let mut submits = None;
        if let Some(most) = new.submits_per_minute {
            let count = beside.submits.entry((job.account.clone(), now.minute())).or_default();
            if *count >= most {
                return Err(InsertError::TooManySubmits);
            }
            *count += 1;
            submits = Some(*count);
        }
        if let Some(key) = &new.key {
            keys.insert(own(&key.key), key.record(Made::Job(job.id), false, now));
        }
        if let Some(identity) = identity {
            beside.identities.entry(identity).or_default().insert(job.id);
        }
        jobs.insert(job.reference(), job.clone());
        Ok(Submitted::Inserted { submits })
    }

    async fn key(
        &self,
        account: &AccountId,
        key: &KeyHash,
        now: Timestamp,
    ) -> Result<Option<KeyRecord>, StoreError> {
        self.check()?;
        let keys = lock(&self.webhooks.1);
        let found = keys.get(&(account.clone(), key.clone()));
        Ok(found.filter(|record| record.is_live(now)).cloned())
    }

    async fn get(&self, job: &JobRef) -> Result<Option<Job>, StoreError> {
        self.check()?;
        Ok(lock(&self.jobs).get(job).cloned())
    }

    async fn add_batch(&self, new: &NewBatch) -> Result<BatchAdded, AddBatchError> {
        self.check()?;
        let (batch, now) = (&new.batch, new.batch.created);
        let reference = batch.container().ok_or(AddBatchError::NotFound)?;
        let container = {
            let (mut jobs, mut keys) = (lock(&self.jobs), lock(&self.webhooks.1));
            let own = |key: &KeyHash| (batch.account.clone(), key.clone());
            if let Some(key) = &new.key
                && let Some(record) = keys.get(&own(&key.key)).filter(|record| record.is_live(now))
            {
                return Ok(BatchAdded::Known(record.clone()));
            }
            let container = jobs.get(&reference).ok_or(AddBatchError::NotFound)?;
            let container = container.apply(&Transition::AddBatch(batch.phase()), now)?;
            if let Some(name) = &batch.name {
                let mut others = jobs.values().filter(|job| job.container() == Some(reference.clone()));
                if let Some(other) = others.find(|other| other.holds_name(name)) {
                    return Err(AddBatchError::NameTaken(other.id));
                }
            }
            if jobs.contains_key(&batch.reference()) {
                return Err(AddBatchError::Exists);
            }
            if let Some(key) = &new.key {
                keys.insert(own(&key.key), key.record(Made::Job(batch.id), false, now));
            }
            jobs.insert(batch.reference(), batch.clone());
            jobs.insert(reference.clone(), container.clone());
            container
        };
        self.signals.tell(&reference);
        Ok(BatchAdded::Added(Box::new(container)))
    }

    async fn batches(
        &self,
        container: &JobRef,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<JobPage, StoreError> {
        self.check()?;
        let jobs = lock(&self.jobs);
        let mut fitting = jobs.values().filter(|job| {
            job.container().as_ref() == Some(container) && after.is_none_or(|after| job.id > after)
        });
        let page: Vec<Job> = fitting.by_ref().take(limit as usize).cloned().collect();
        let next = fitting.next().and(page.last()).map(|job| job.id);
        Ok(JobPage { jobs: page, next })
    }

    async fn list(
        &self,
        account: &AccountId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<JobPage, StoreError> {
        self.check()?;
        let jobs = lock(&self.jobs);
        let mut fitting = jobs.values().rev().filter(|job| {
            job.account == *account && before.is_none_or(|before| job.id < before) && filter.matches(job)
        });
        let page: Vec<Job> = fitting.by_ref().take(limit as usize).cloned().collect();
        let next = fitting.next().and(page.last()).map(|job| job.id);
        Ok(JobPage { jobs: page, next })
    }

    async fn transition(
        &self,
        job: &JobRef,
        transition: &Transition,
        now: Timestamp,
    ) -> Result<Job, TransitionError> {
        self.check()?;
        let mut told = vec![job.clone()];
        let after = {
            let mut jobs = lock(&self.jobs);
            let found = jobs.get(job).ok_or(TransitionError::NotFound)?;
            let container = found.container().and_then(|container| jobs.get(&container));
            let mut change = found.change(container, transition, now)?;
            if let Some(entry) = change.job.day_entry(found, transition) {
                let mut beside = lock(&self.beside);
                let day = beside.delivered.entry((job.account.clone(), now.day())).or_default();
                let consumed = Consumed { submits: 0, records: day.0, bytes: day.1 };
                if !entry.fits(&consumed) {
                    return Err(Refused::DayUsedUp.into());
                }
                day.0 += entry.records;
                day.1 += entry.bytes;
            }
            if let Some(event) = change.event(self.webhooks.is_listening(&job.account), now) {
                self.webhooks.add(event);
            }
            if let Some(container) = change.container {
                told.push(container.reference());
                jobs.insert(container.reference(), container);
            }
            jobs.insert(job.clone(), change.job.clone());
            change.job
        };
        told.iter().for_each(|job| self.signals.tell(job));
        Ok(after)
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRef>, StoreError> {
        self.check()?;
        let jobs = lock(&self.jobs);
        let mut due: Vec<(Timestamp, JobRef)> = jobs
            .values()
            .filter_map(|job| Some((job.due_at?, job.reference())))
            .filter(|(due, _)| *due <= now)
            .collect();
        due.sort();
        Ok(due.into_iter().take(limit as usize).map(|(_, job)| job).collect())
    }

    async fn delete(&self, job: &JobRef) -> Result<bool, StoreError> {
        self.check()?;
        let gone = lock(&self.jobs).remove(job).is_some();
        self.signals.tell(job);
        Ok(gone)
    }

    async fn open_jobs(&self, account: &AccountId) -> Result<u32, StoreError> {
        self.check()?;
        Ok(count_open(&lock(&self.jobs), account))
    }

    async fn consumed(&self, account: &AccountId, now: Timestamp) -> Result<Consumed, StoreError> {
        self.check()?;
        let beside = lock(&self.beside);
        let submits = beside.submits.get(&(account.clone(), now.minute())).copied().unwrap_or_default();
        let (records, bytes) =
            beside.delivered.get(&(account.clone(), now.day())).copied().unwrap_or_default();
        Ok(Consumed { submits, records, bytes })
    }

    async fn queue_position(&self, job: &JobRef) -> Result<Option<u64>, StoreError> {
        self.check()?;
        let jobs = lock(&self.jobs);
        if jobs.get(job).is_none_or(|job| job.state != JobState::Accepted) {
            return Ok(None);
        }
        let before = jobs.values().filter(|other| other.state == JobState::Accepted && other.id < job.job);
        Ok(u64::try_from(before.filter(|other| other.account == job.account).count()).ok())
    }
}
