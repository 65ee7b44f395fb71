//! What one transition changes: the job, its container where it is a batch, and the event that it causes.

use super::{Job, JobState, Refused, Transition};
use crate::{
    Timestamp,
    webhook::{Event, EventKind},
};

/// What a store writes in one atomic step.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The job afterwards.
    pub job: Job,
    /// Its container afterwards, where it is a batch and the container changes with it.
    pub container: Option<Job>,
    kind: Option<EventKind>,
}

impl Job {
    /// What `transition` at `now` changes. Of a batch, `container` is its container as it is in the same step; one whose
    /// container has ended or is gone can only be given up.
    pub fn change(
        &self,
        container: Option<&Self>,
        transition: &Transition,
        now: Timestamp,
    ) -> Result<Change, Refused> {
        let job = self.apply(transition, now)?;
        if self.container.is_none() {
            let kind = EventKind::between(self.state, job.state);
            return Ok(Change { job, container: None, kind });
        }
        let (from, to) = (self.phase(), job.phase());
        let open = container.filter(|container| !container.state.is_terminal());
        let Some(open) = open else {
            let goes_anyway = from == to || to.has_ended() && job.result.is_none();
            let container = container.map_or(JobState::Cancelled, |container| container.state);
            return if goes_anyway {
                Ok(Change { job, container: None, kind: None })
            } else {
                Err(Refused::State(container))
            };
        };
        if from == to {
            return Ok(Change { job, container: None, kind: None });
        }
        let mut container = open.apply(&Transition::MoveBatch { from, to }, now)?;
        container.follow(job.id, to);
        if let Some(result) = job.newly_delivered(self) {
            let progress = &mut container.progress;
            progress.add(result.records, result.bytes, job.progress.counts);
            if container.max_records.is_some_and(|most| progress.records_written > most) {
                return Err(Refused::RecordsUsedUp);
            }
        }
        if let Some(batches) = container.batches {
            container.progress.percent = batches.percent(0.0);
        }
        let kind = EventKind::of_batch(self.state, job.state);
        Ok(Change { job, container: Some(container), kind })
    }
}

impl Change {
    /// Whether there may be something to tell: whether stores must find out if an endpoint listens.
    pub fn may_tell(&self) -> bool {
        self.kind.is_some()
    }

    /// The event that the change causes, if there is somebody to tell: an address of the job, or, as `listening` says, an
    /// endpoint of its account. Counts it in what is to be written: stores call this before they write.
    pub fn event(&mut self, listening: bool, now: Timestamp) -> Option<Event> {
        let kind = self.kind.take()?;
        match &mut self.container {
            None => Event::of_job(kind, &mut self.job, listening, now),
            Some(container) => Event::of_batch(kind, &mut self.job, container, listening, now),
        }
    }
}
