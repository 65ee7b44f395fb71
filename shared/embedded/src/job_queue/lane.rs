//! The lanes of the queue: what shares workers, and what has its own.

use std::ops::{Index, IndexMut};

use rusqlite::{Connection, params};
use willcall_core::{
    JobRef,
    job::{JobKind, JobState},
};

/// Which workers a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Those that compute.
    Work,
    /// Those that call upstreams: they wait more than they work.
    Calls,
}

impl Lane {
    /// Every lane.
    pub(crate) const ALL: [Self; 2] = [Self::Work, Self::Calls];
}

/// One of each lane.
#[derive(Debug, Default)]
pub(super) struct Lanes<T> {
    work: T,
    calls: T,
}

impl<T> Index<Lane> for Lanes<T> {
    type Output = T;

    fn index(&self, lane: Lane) -> &T {
        match lane {
            Lane::Work => &self.work,
            Lane::Calls => &self.calls,
        }
    }
}

impl<T> IndexMut<Lane> for Lanes<T> {
    fn index_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Work => &mut self.work,
            Lane::Calls => &mut self.calls,
        }
    }
}

/// The lane of a job's message. What is left to do for a job that has completed calls nobody.
pub(super) fn lane_of(connection: &Connection, job: &JobRef) -> rusqlite::Result<Lane> {
    let calls = connection
        .prepare_cached("SELECT 1 FROM jobs WHERE account = ?1 AND id = ?2 AND kind = ?3 AND state <> ?4")?
        .exists(params![
            job.account.as_str(),
            job.job.to_string(),
            JobKind::Call.as_str(),
            JobState::Completed.as_str()
        ])?;
    Ok(if calls { Lane::Calls } else { Lane::Work })
}
