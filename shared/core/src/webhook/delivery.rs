//! Deliveries: one for each event and each who is told of it, with a log of what was tried.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Event, EventKind, EventRef, Method, Target, UNTOLD_DUE, WEBHOOK_SCHEMA};
use crate::{AccountId, JobId, JobRef, Timestamp, id::InvalidId};

/// The waits between attempts, before chance moves them. The last attempt follows the last wait.
const WAITS: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// The number of the last attempt.
pub const LAST_ATTEMPT: u32 = WAITS.len() as u32 + 1;
/// The longest that a receiver can put the next attempt off.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);
/// Waits up to this go by the queue's delay; longer ones wait for the sweeper, so that no delay follows a delay.
pub const LONGEST_DELAY: Duration = Duration::from_secs(900);
/// How long an attempt has the delivery to itself: twice what it may take.
pub const SEND_LEASE: Duration = Duration::from_secs(30);
/// How many of the newest attempts the log has.
pub const ATTEMPTS_KEPT: usize = 20;

/// Names a delivery among those of its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeliveryId {
    /// The number of the event.
    pub sequence: u32,
    /// Who is told.
    pub target: Target,
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Address(place) => write!(f, "{}-url{place}", self.sequence),
            Target::Endpoint(endpoint) => write!(f, "{}-{endpoint}", self.sequence),
        }
    }
}

impl FromStr for DeliveryId {
    type Err = InvalidId;

    /// Accepts only the form that is printed.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (sequence, target) = text.split_once('-').ok_or(InvalidId)?;
        let target = match target.strip_prefix("url") {
            Some(place) => Target::Address(place.parse().map_err(|_| InvalidId)?),
            None => Target::Endpoint(target.parse()?),
        };
        let id = Self { sequence: sequence.parse().map_err(|_| InvalidId)?, target };
        if id.to_string() == text { Ok(id) } else { Err(InvalidId) }
    }
}

/// Where a delivery is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeliveryRef {
    /// The job.
    pub job: JobRef,
    /// Which of its deliveries.
    pub id: DeliveryId,
}

/// Where a delivery is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It will be tried, or tried again.
    ///
    /// *Enters* when the event is told, or by a resend. *Leaves* when an attempt succeeds, or when none is left.
    /// *Rescued* by the sweeper: past `due_at` it wakes a sender again.
    Pending,
    /// The receiver has taken it.
    Delivered,
    /// It will not be tried again unless somebody asks for it; `ending` says why.
    Failed,
}

impl DeliveryState {
    /// The state as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// Why a delivery will not be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// No attempt is left.
    Exhausted,
    /// The receiver answered 410.
    Gone,
    /// The endpoint was disabled.
    Disabled,
    /// The endpoint was removed.
    Removed,
}

impl Ending {
    /// The reason as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Gone => "gone",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }
}

/// One attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub millis: u64,
    /// What the receiver answered, if it did.
    pub status: Option<u16>,
    /// What went wrong, in words for the owner.
    pub error: Option<String>,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has taken it.
    Delivered,
    /// Try again, no sooner than the receiver asked for.
    Again(Option<Duration>),
    /// Never try again.
    Over(Ending),
}

/// What is sent of an event to one who is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The version of this form.
    pub schema: u32,
    /// Changes with every write; stores compare it to detect races. The first is 1.
    pub version: u64,
    /// Whose job.
    pub account: AccountId,
    /// Which job.
    pub job: JobId,
    /// Which of the job's deliveries.
    pub id: DeliveryId,
    /// Of what it tells.
    pub kind: EventKind,
    /// The address, where the job's request named it; an endpoint is asked for its own at each attempt.
    pub url: Option<String>,
    /// How.
    pub method: Method,
    /// Where it is in its life.
    pub state: DeliveryState,
    /// Why it ended without success.
    pub ending: Option<Ending>,
    /// When it was made.
    pub created: Timestamp,
    /// The newest attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Attempts since it was made, or since it was last asked for anew.
    pub tries: u32,
    /// When the next attempt may begin, while it is pending.
    pub next_at: Option<Timestamp>,
    /// Until when an attempt has it to itself.
    pub leased_until: Option<Timestamp>,
    /// When the sweeper must look at it; `None` once it has ended.
    pub due_at: Option<Timestamp>,
}

/// Why an attempt may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// It has ended.
    Over,
    /// Its time comes after this long.
    Wait(Duration),
}

impl Delivery {
    /// A new delivery of the event, to be tried at once.
    pub fn new(event: &Event, target: Target, url: Option<String>, method: Method, now: Timestamp) -> Self {
        Self {
            schema: WEBHOOK_SCHEMA,
            version: 1,
            account: event.account.clone(),
            job: event.job,
            id: DeliveryId { sequence: event.sequence, target },
            kind: event.kind,
            url,
            method,
            state: DeliveryState::Pending,
            ending: None,
            created: now,
            attempts: Vec::new(),
            tries: 0,
            next_at: Some(now),
            leased_until: None,
            due_at: Some(now.plus(UNTOLD_DUE)),
        }
    }

    /// Where it is.
    pub fn reference(&self) -> DeliveryRef {
        DeliveryRef { job: JobRef { account: self.account.clone(), job: self.job }, id: self.id }
    }

    /// The event that it tells of.
    pub fn event(&self) -> EventRef {
        EventRef { job: self.reference().job, sequence: self.id.sequence }
    }

    /// The delivery with an attempt begun, which has it to itself for [`SEND_LEASE`]. Repeated and early messages begin
    /// none. Moments that a clock wrote which has been set back since say nothing of how long to wait: rather once too
    /// often than never.
    pub fn begin(&self, now: Timestamp) -> Result<Self, NotNow> {
        if self.state != DeliveryState::Pending {
            return Err(NotNow::Over);
        }
        // Clocks of several machines differ a little.
        let latest = now.plus(SEND_LEASE);
        let written = self.attempts.last().map_or(self.created, |attempt| attempt.at);
        let next_at = self.next_at.filter(|_| written <= latest);
        let leased_until = self.leased_until.filter(|until| *until <= latest.plus(SEND_LEASE));
        let from = next_at.max(leased_until).unwrap_or(now);
        if now < from {
            return Err(NotNow::Wait(from.since(now)));
        }
        let until = now.plus(SEND_LEASE);
        let (leased_until, due_at) = (Some(until), Some(until));
        Ok(Self { version: self.version + 1, leased_until, due_at, ..self.clone() })
    }

    /// The delivery after an attempt; `chance`, from 0 to 1, moves the next one. `attempt` is `None` where it ended
    /// before anything was sent.
    pub fn end_attempt(
        &self,
        attempt: Option<Attempt>,
        outcome: Outcome,
        now: Timestamp,
        chance: f64,
    ) -> Self {
        let mut after = self.clone();
        after.version += 1;
        after.leased_until = None;
        if let Some(attempt) = attempt {
            after.tries += 1;
            after.attempts.push(attempt);
            let surplus = after.attempts.len().saturating_sub(ATTEMPTS_KEPT);
            after.attempts.drain(..surplus);
        }
        let wait = match outcome {
            Outcome::Again(asked) => retry_delay(after.tries, asked, chance),
            Outcome::Delivered | Outcome::Over(_) => None,
        };
        (after.state, after.ending) = match (outcome, wait) {
            (Outcome::Delivered, _) => (DeliveryState::Delivered, None),
            (Outcome::Over(ending), _) => (DeliveryState::Failed, Some(ending)),
            (Outcome::Again(_), Some(_)) => (DeliveryState::Pending, None),
            (Outcome::Again(_), None) => (DeliveryState::Failed, Some(Ending::Exhausted)),
        };
        after.next_at = wait.map(|wait| now.plus(wait));
        after.due_at = wait.map(|wait| match wait {
            wait if wait <= LONGEST_DELAY => now.plus(wait).plus(UNTOLD_DUE),
            wait => now.plus(wait),
        });
        after
    }

    /// The delivery as asked for anew: it is tried at once, with all the attempts of a new one. An attempt that is under
    /// way goes on.
    pub fn resent(&self, now: Timestamp) -> Self {
        Self {
            version: self.version + 1,
            state: DeliveryState::Pending,
            ending: None,
            tries: 0,
            next_at: Some(now),
            due_at: Some(now.plus(UNTOLD_DUE)),
            ..self.clone()
        }
    }

    /// The delivery, to be looked at again no sooner than `due_at`.
    pub fn postponed(&self, due_at: Timestamp) -> Self {
        Self { version: self.version + 1, due_at: Some(due_at), ..self.clone() }
    }
}

/// How long to wait after that many attempts: the published wait, up to a tenth more or less by `chance` (from 0 to 1),
/// or what the receiver asked for where that is longer. `None` once no attempt is left.
pub fn retry_delay(tries: u32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
    let wait = WAITS.get(usize::try_from(tries.saturating_sub(1)).ok()?)?;
    let wait = Duration::from_secs(*wait).mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0));
    Some(wait.max(asked.unwrap_or_default().min(LONGEST_WAIT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::EndpointId;

    fn delivery(now: Timestamp) -> Delivery {
        let event = Event {
            schema: WEBHOOK_SCHEMA,
            version: 1,
            account: "acme".parse().unwrap(),
            job: JobId::generate(),
            sequence: 1,
            kind: EventKind::ResultsReady,
            occurred: now,
            data: serde_json::Map::new(),
            addresses: Vec::new(),
            joined: false,
            told: false,
            due_at: None,
        };
        Delivery::new(&event, Target::Address(0), Some("https://example.com/hook".into()), Method::Post, now)
    }

    #[test]
    fn ids_read_back_in_one_spelling() {
        for target in [Target::Address(0), Target::Address(12), Target::Endpoint(EndpointId::generate())] {
            let id = DeliveryId { sequence: 3, target };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for wrong in ["", "1", "1-", "1-url", "01-url0", "1-url00", "1-url-1", "-1-url0", "1-x", "x-url0"] {
            assert_eq!(wrong.parse::<DeliveryId>(), Err(InvalidId), "{wrong}");
        }
    }

    #[test]
    fn waits_follow_the_schedule_and_end() {
        let waits: Vec<u64> =
            (1..).map_while(|tries| retry_delay(tries, None, 0.5)).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, WAITS);
        assert_eq!(retry_delay(LAST_ATTEMPT, Some(Duration::from_secs(1)), 0.5), None);
        for tries in 1..LAST_ATTEMPT {
            let wait = |chance| retry_delay(tries, None, chance).unwrap().as_secs_f64();
            assert!(wait(0.0) >= wait(0.5) * 0.899 && wait(1.0) <= wait(0.5) * 1.101, "{tries}");
            assert!(wait(0.0) < wait(1.0));
        }
    }

    #[test]
    fn a_clock_that_was_set_back_holds_no_delivery_up() {
        let day = Duration::from_secs(86_400);
        let now = Timestamp::from_millis(1_780_000_000_000);
        let new = delivery(now);
        assert!(new.begin(now.minus(day)).is_ok(), "before its first attempt");
        let begun = new.begin(now).unwrap();
        assert_eq!(begun.begin(now), Err(NotNow::Wait(SEND_LEASE)));
        assert!(
            matches!(begun.begin(now.minus(SEND_LEASE)), Err(NotNow::Wait(_))),
            "clocks may differ so far"
        );
        assert!(begun.begin(now.minus(day)).is_ok(), "whoever had it is long gone, or sends it twice");

        let attempt = Attempt { at: now, millis: 1, status: Some(500), error: None };
        let failed = begun.end_attempt(Some(attempt), Outcome::Again(None), now, 0.5);
        assert_eq!(failed.begin(now), Err(NotNow::Wait(Duration::from_secs(5))));
        let back = now.minus(day);
        let again = failed.begin(back).unwrap();
        let attempt = Attempt { at: back, millis: 1, status: Some(500), error: None };
        let failed = again.end_attempt(Some(attempt), Outcome::Again(None), back, 0.5);
        assert_eq!(
            failed.begin(back),
            Err(NotNow::Wait(Duration::from_secs(300))),
            "it waits by the new time"
        );
        assert!(failed.begin(back.plus(Duration::from_secs(300))).is_ok());
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_less_or_for_ever() {
        let wait =
            |tries, asked| retry_delay(tries, Some(Duration::from_secs(asked)), 0.5).unwrap().as_secs();
        assert_eq!(wait(1, 120), 120);
        assert_eq!(wait(2, 1), 300);
        assert_eq!(wait(1, 10_000_000), 86_400);
    }
}
