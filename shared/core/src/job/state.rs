//! The one state machine.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Where a job is in its life. `docs/state-machine.md` draws it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Being fed: a container that takes batches, or a batch whose files have not all arrived.
    ///
    /// *Enters* by insert. *Leaves* when its container is closed, when the batch's last file has arrived, or by cancel.
    /// *Rescued* by the sweeper: past `due_at` it looks for files whose arrival nobody told, and cancels what nobody has
    /// fed for a day.
    Open,
    /// Stored, and waiting for a worker.
    ///
    /// *Enters* by insert, when the last file of a batch has arrived, or when a worker hands its lease back. *Leaves*
    /// when a worker claims it, or by cancel. *Rescued* by the sweeper: past `due_at` it sends the job's message again.
    Accepted,
    /// A worker has a lease on it; or it is a closed container that waits for its batches.
    ///
    /// *Enters* by a claim, or when a container is closed. *Leaves* when the holder of the lease completes or fails it or hands it back, or by
    /// cancel. *Rescued* by any claimer once the lease is past, woken by the sweeper.
    Processing,
    /// Its result can be collected.
    ///
    /// *Enters* when the holder of the lease has written the manifest. *Leaves* when it expires. *Rescued* by
    /// readers, who compare `expires` with the clock themselves, and by the sweeper, who removes the files.
    Completed,
    /// It ended without a result; `error` says why.
    ///
    /// *Enters* from a worker, or from the sweeper when no attempts are left. *Leaves* only by removal.
    Failed,
    /// The client gave it up.
    ///
    /// *Enters* by cancel. *Leaves* only by removal.
    Cancelled,
    /// Its result was there and is gone; the record stays for a while.
    ///
    /// *Enters* from the sweeper at `expires`. *Leaves* only by removal.
    Expired,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Accepted,
        Self::Processing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Whether a job in this state has ended and has no result, nor ever will.
    pub fn leaves_nothing(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled | Self::Expired)
    }

    /// Whether a job in this state may go to `next`. The only place that knows.
    pub fn allows(self, next: Self) -> bool {
        use JobState::*;
        match (self, next) {
            // A batch to the queue, a container to its end.
            (Open, Accepted | Processing | Cancelled) => true,
            (Accepted, Processing | Failed | Cancelled) => true,
            // To itself when a lease that ran out is claimed anew.
            (Processing, Accepted | Processing | Completed | Failed | Cancelled) => true,
            (Completed, Expired) => true,
            (Open | Accepted | Completed | Failed | Cancelled | Expired, _) => false,
            (Processing, Open | Expired) => false,
        }
    }

    /// Whether work on the job has ended for good.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Open | Self::Accepted | Self::Processing => false,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired => true,
        }
    }

    /// The state as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            format!(
                "{text:?} is not a state: use open, accepted, processing, completed, failed, cancelled or expired"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::JobState::{self, *};

    #[test]
    fn all_pairs_are_as_the_table_says() {
        let allowed = [
            (Open, Accepted),
            (Open, Processing),
            (Open, Cancelled),
            (Accepted, Processing),
            (Accepted, Failed),
            (Accepted, Cancelled),
            (Processing, Accepted),
            (Processing, Processing),
            (Processing, Completed),
            (Processing, Failed),
            (Processing, Cancelled),
            (Completed, Expired),
        ];
        for from in JobState::ALL {
            for to in JobState::ALL {
                assert_eq!(from.allows(to), allowed.contains(&(from, to)), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn only_states_that_have_not_ended_lead_to_an_outcome() {
        for state in JobState::ALL {
            let leads_on = [Completed, Failed, Cancelled].iter().any(|end| state.allows(*end));
            assert_eq!(leads_on, !state.is_terminal(), "{state}");
        }
    }

    #[test]
    fn states_read_back() {
        for state in JobState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert!("process".parse::<JobState>().is_err());
    }
}
