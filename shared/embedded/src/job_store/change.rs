//! A transition: the job, its container, its event and what it delivered, in the one transaction that the writer is in.

use rusqlite::Connection;
use willcall_core::{
    JobRef, Timestamp,
    job::{Job, Refused, Transition},
};

use super::{
    row::{read_job, update_job},
    submit::{add_delivered, consumed, forget_identity},
};
use crate::{
    database::{Durability, Failed},
    webhooks::{is_listening, put_event},
};

/// What was written.
pub(crate) struct Changed {
    /// The job as it is now.
    pub(crate) job: Job,
    /// Its container, where it changed with it.
    pub(crate) container: Option<JobRef>,
}

/// Makes the transition of a job that was read in the same transaction.
pub(crate) fn change_job<E>(
    connection: &Connection,
    before: &Job,
    transition: &Transition,
    now: Timestamp,
) -> Result<Result<Changed, Refused>, Failed<E>> {
    let container =
        before.container().map(|container| read_job(connection, &container)).transpose()?.flatten();
    let mut change = match before.change(container.as_ref(), transition, now) {
        Ok(change) => change,
        Err(refused) => return Ok(Err(refused)),
    };
    let entry = change.job.day_entry(before, transition);
    if let Some(entry) = &entry
        && !entry.fits(&consumed(connection, &before.account, now)?)
    {
        return Ok(Err(Refused::DayUsedUp));
    }
    let listening = change.may_tell() && is_listening(connection, &before.account)?;
    if let Some(event) = change.event(listening, now) {
        put_event(connection, &event)?;
    }
    update_job(connection, before, &change.job)?;
    if !before.state.leaves_nothing() && change.job.state.leaves_nothing() {
        forget_identity(connection, &change.job)?;
    }
    if let (Some(before), Some(after)) = (&container, &change.container) {
        update_job(connection, before, after)?;
    }
    if let Some(entry) = &entry {
        add_delivered(connection, &before.account, entry, now)?;
    }
    let container = change.container.map(|container| container.reference());
    Ok(Ok(Changed { job: change.job, container }))
}

/// What ends a job must survive like its insert: a client may have seen the end. So must the close of a container, which
/// nobody would do again.
pub(super) fn durability(transition: &Transition) -> Durability {
    match transition {
        // The last retry ends the job; whether it is the last is known only once it is judged.
        Transition::Complete { .. }
        | Transition::Fail { .. }
        | Transition::Cancel
        | Transition::Abandon
        | Transition::Close
        | Transition::Expire
        | Transition::Retry { .. } => Durability::Machine,
        // The arrival of a file is found again by whoever looks for the file.
        Transition::Uploaded { .. }
        | Transition::Fed
        | Transition::AddBatch(_)
        | Transition::MoveBatch { .. }
        | Transition::Sent
        | Transition::Resent
        | Transition::Postpone
        | Transition::Claim { .. }
        | Transition::Renew { .. }
        | Transition::HandBack { .. }
        | Transition::Orphan
        | Transition::Amend { .. }
        // A zip that is forgotten is asked for again, or packed again.
        | Transition::WantZip
        | Transition::PackZip { .. }
        | Transition::ZipMade
        | Transition::ZipFailed { .. }
        | Transition::ZipTold
        | Transition::Purged => Durability::Process,
    }
}
