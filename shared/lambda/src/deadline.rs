//! When Lambda ends an invocation, and how long before that its work must stop.

use std::time::{Duration, Instant};

use lambda_runtime::Context;
use willcall_core::{Timestamp, usecases::work::TimeLimit};

/// What winding up takes: ten seconds until work that does not stop is dropped, then removing files and writing the
/// outcome down.
const MARGIN: Duration = Duration::from_secs(20);

/// The time of one invocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    ends: Instant,
    /// What the function is given: all of it is left when the invocation begins.
    whole: Duration,
}

impl Deadline {
    /// The invocation's, which begins now; `None` where the runtime tells none.
    pub(crate) fn of(context: &Context) -> Option<Self> {
        let deadline = i64::try_from(context.deadline).ok().filter(|millis| *millis > 0)?;
        let whole = Timestamp::from_millis(deadline).since(Timestamp::system_now());
        Some(Self { ends: Instant::now() + whole, whole })
    }

    /// How long before its end an invocation must have begun to wind up.
    fn margin(self) -> Duration {
        MARGIN.min(self.whole / 3)
    }

    /// What an attempt of this invocation is given.
    pub(crate) fn time_limit(self) -> TimeLimit {
        TimeLimit { until: self.ends - self.margin(), whole: self.whole }
    }

    /// Whether so little is left that a job which begins now is likely to be cut short for no fault of its own.
    pub(crate) fn is_short(self) -> bool {
        self.ends.saturating_duration_since(Instant::now()) < self.whole / 2
    }

    /// When steps that each take a moment must have ended.
    pub(crate) fn last_step(self) -> Timestamp {
        Timestamp::system_now().plus(self.whole.saturating_sub(self.margin()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(whole: Duration) -> Deadline {
        let mut context = Context::default();
        context.deadline = u64::try_from(Timestamp::system_now().plus(whole).as_millis()).unwrap();
        Deadline::of(&context).unwrap()
    }

    #[test]
    fn work_stops_twenty_seconds_before_the_end() {
        let deadline = deadline(Duration::from_secs(900));
        let limit = deadline.time_limit();
        let left = limit.until.saturating_duration_since(Instant::now());
        assert!((870..=880).contains(&left.as_secs()), "{left:?}");
        assert_eq!((limit.whole.as_millis() + 500) / 1000, 900);
        assert!(!deadline.is_short());
    }

    #[test]
    fn a_short_invocation_keeps_most_of_its_time() {
        let left =
            deadline(Duration::from_secs(9)).time_limit().until.saturating_duration_since(Instant::now());
        assert!((5..=6).contains(&left.as_secs()), "{left:?}");
    }

    #[test]
    fn what_is_left_shrinks() {
        let mut deadline = deadline(Duration::from_secs(10));
        assert!(!deadline.is_short());
        deadline.ends -= Duration::from_secs(6);
        assert!(deadline.is_short());
    }

    #[test]
    fn a_runtime_without_deadlines_sets_none() {
        assert!(Deadline::of(&Context::default()).is_none());
    }
}
