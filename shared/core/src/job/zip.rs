//! The zip of a result and its manifest, which is packed when somebody first asks for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Job, JobState, Problem, Refused, Transition, UNSENT_DUE};
use crate::Timestamp;

/// How often packing a zip is tried before whoever asks is told that it failed.
pub const ZIP_TRIES: u32 = 3;

/// How far the zip of a completed job is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zip {
    /// Somebody has asked for it.
    Wanted {
        /// How often packing it was begun.
        tries: u32,
        /// Until when the worker that packs it has it to itself; `None` while nobody packs it.
        until: Option<Timestamp>,
        /// How often the sweeper has looked, and sent the job's message again.
        resends: u32,
    },
    /// It is there.
    Made,
    /// It could not be packed; nobody was told yet.
    Failed(Problem),
}

impl Job {
    /// Whether a zip is wanted that nobody packs.
    pub fn zip_waits(&self, now: Timestamp) -> bool {
        matches!(&self.zip, Some(Zip::Wanted { until, .. }) if until.is_none_or(|until| until <= now))
    }

    /// When the sweeper must look at a completed job: when it expires, or before that where a zip may be forgotten.
    pub(super) fn completed_due(&self, now: Timestamp) -> Option<Timestamp> {
        let Some(Zip::Wanted { until, resends, .. }) = &self.zip else { return self.expires };
        // Ever less often: a message may have to wait behind many others.
        let again = now.plus(UNSENT_DUE.saturating_mul(1 << resends.min(&8)));
        let due = until.filter(|until| *until > now).unwrap_or(again);
        Some(self.expires.map_or(due, |expires| expires.min(due)))
    }

    pub(super) fn move_zip(&mut self, transition: &Transition, now: Timestamp) -> Result<(), Refused> {
        self.must_be(JobState::Completed)?;
        // Looked at by the clock: the sweeper may not have come yet.
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(Refused::State(JobState::Expired));
        }
        self.zip = match (&self.zip, transition) {
            (None, Transition::WantZip) => Some(Zip::Wanted { tries: 0, until: None, resends: 0 }),
            (Some(Zip::Wanted { tries, until, resends }), Transition::PackZip { lease }) => {
                self.may_pack(*tries, *until, now)?;
                Some(Zip::Wanted { tries: tries + 1, until: Some(now.plus(*lease)), resends: *resends })
            }
            // Whoever made it, and however late: it is whole.
            (Some(Zip::Wanted { .. } | Zip::Failed(_)), Transition::ZipMade) => Some(Zip::Made),
            (Some(Zip::Wanted { tries, resends, .. }), Transition::ZipFailed { problem }) => match *tries {
                ZIP_TRIES.. => Some(Zip::Failed(problem.clone())),
                tries => Some(Zip::Wanted { tries, until: None, resends: *resends }),
            },
            (Some(Zip::Failed(_)), Transition::ZipTold) => None,
            _ => return Err(Refused::Unchanged),
        };
        // What else is due, as left-overs of earlier attempts, is not put off.
        let due = self.completed_due(now);
        self.due_at = match self.due_at {
            Some(before) if before > now && matches!(transition, Transition::WantZip) => {
                due.map(|due| due.min(before))
            }
            _ => due,
        };
        Ok(())
    }

    fn may_pack(&self, tries: u32, until: Option<Timestamp>, now: Timestamp) -> Result<(), Refused> {
        match until {
            Some(until) if now < until => Err(Refused::Leased(until)),
            // Those that began and never told of it died of it.
            _ if tries >= ZIP_TRIES => Err(Refused::Exhausted),
            _ => Ok(()),
        }
    }
}

/// How long a worker has a zip of that many bytes to itself: longer than copying takes.
pub(crate) fn packing_time(bytes: u64) -> Duration {
    Duration::from_secs(60 + bytes / (16 << 20))
}
