//! The order in which messages are received: accounts take turns, and within one the message that has waited
//! longest comes first. An account that holds as many as it may is passed over, and keeps its turn.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use willcall_core::{AccountId, JobId, JobRef, Timestamp};

/// The longest that a message waits by its own wish. A message that would wait longer was written by a clock that
/// was ahead, and is received at once.
const MAX_DELAY: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, Clone, Copy)]
enum Place {
    /// Can be received; its account has its turn.
    Ready,
    /// Can be received from then on.
    Later(Timestamp),
    /// A receiver has it until then; `again` where it was sent once more meanwhile.
    Held { receipt: u64, until: Timestamp, again: Option<Timestamp> },
}

/// All messages that there are.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    places: HashMap<JobRef, Place>,
    ready: HashMap<AccountId, VecDeque<JobId>>,
    turns: VecDeque<AccountId>,
    later: BTreeSet<(Timestamp, JobRef)>,
    /// How many messages of each account are held; no account is there with none.
    held: HashMap<AccountId, usize>,
    receipts: u64,
}

impl Waiting {
    /// Adds a message to be received at `visible`; one that is there already keeps the earlier moment.
    pub(super) fn add(&mut self, job: &JobRef, visible: Timestamp, now: Timestamp) {
        match self.places.get_mut(job) {
            Some(Place::Ready) => {}
            Some(Place::Held { again, .. }) => {
                *again = Some(again.map_or(visible, |earlier| earlier.min(visible)));
            }
            Some(Place::Later(earlier)) if *earlier <= visible && now < *earlier => {}
            Some(Place::Later(earlier)) => {
                let earlier = *earlier;
                self.later.remove(&(earlier, job.clone()));
                self.place(job.clone(), earlier.min(visible), now);
            }
            None => self.place(job.clone(), visible, now),
        }
    }

    /// Takes the next message of an account that holds less than `most`, and holds it until `until`.
    pub(super) fn take(&mut self, now: Timestamp, until: Timestamp, most: usize) -> Option<(JobRef, u64)> {
        self.wake(now);
        // Few are passed over: at most as many as there are receivers.
        let turn = self.turns.iter().position(|account| self.holds_less(account, most))?;
        let account = self.turns.remove(turn)?;
        let jobs = self.ready.get_mut(&account)?;
        let job = jobs.pop_front()?;
        if jobs.is_empty() {
            self.ready.remove(&account);
        } else {
            self.turns.push_back(account.clone());
        }
        *self.held.entry(account.clone()).or_default() += 1;
        let job = JobRef { account, job };
        self.receipts += 1;
        self.places.insert(job.clone(), Place::Held { receipt: self.receipts, until, again: None });
        // A receiver that never answers must not keep the message for ever.
        self.later.insert((until, job.clone()));
        Some((job, self.receipts))
    }

    /// Ends the hold of that receipt. Answers whether the message is gone for good: not where it was sent again
    /// meanwhile, nor where another has received it since.
    pub(super) fn acknowledge(&mut self, job: &JobRef, receipt: u64, now: Timestamp) -> bool {
        let Some((until, again)) = self.held_by(job, receipt) else { return false };
        self.later.remove(&(until, job.clone()));
        self.let_go(&job.account);
        self.places.remove(job);
        if let Some(visible) = again {
            self.place(job.clone(), visible, now);
        }
        again.is_none()
    }

    /// Gives the message back, to be received at `visible`. Answers when it will be, or `None` where another has
    /// received it since.
    pub(super) fn release(
        &mut self,
        job: &JobRef,
        receipt: u64,
        visible: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let (until, again) = self.held_by(job, receipt)?;
        self.later.remove(&(until, job.clone()));
        self.let_go(&job.account);
        let visible = again.map_or(visible, |again| again.min(visible));
        self.place(job.clone(), visible, now);
        Some(visible)
    }

    /// Whether the job has a message, received or not.
    pub(super) fn has(&self, job: &JobRef) -> bool {
        self.places.contains_key(job)
    }

    /// Whether somebody holds the job's message.
    pub(super) fn is_held(&self, job: &JobRef) -> bool {
        matches!(self.places.get(job), Some(Place::Held { .. }))
    }

    /// Whether any message could be received that nobody receives.
    pub(super) fn is_awaited(&mut self, now: Timestamp) -> bool {
        self.wake(now);
        !self.turns.is_empty()
    }

    /// When a message can next be received with `most`, `now` or before for at once.
    pub(super) fn next(&self, most: usize) -> Option<Timestamp> {
        match self.turns.iter().any(|account| self.holds_less(account, most)) {
            true => Some(Timestamp::from_millis(i64::MIN)),
            false => self.later.first().map(|(moment, _)| *moment),
        }
    }

    fn holds_less(&self, account: &AccountId, most: usize) -> bool {
        self.held.get(account).is_none_or(|held| *held < most)
    }

    /// The account holds one message less.
    fn let_go(&mut self, account: &AccountId) {
        if let Some(held) = self.held.get_mut(account) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(account);
            }
        }
    }

    fn held_by(&self, job: &JobRef, receipt: u64) -> Option<(Timestamp, Option<Timestamp>)> {
        match self.places.get(job) {
            Some(Place::Held { receipt: holder, until, again }) if *holder == receipt => {
                Some((*until, *again))
            }
            _ => None,
        }
    }

    fn place(&mut self, job: JobRef, visible: Timestamp, now: Timestamp) {
        if visible <= now || visible > now.plus(MAX_DELAY) {
            self.places.insert(job.clone(), Place::Ready);
            let jobs = self.ready.entry(job.account.clone()).or_default();
            if jobs.is_empty() {
                self.turns.push_back(job.account);
            }
            jobs.push_back(job.job);
        } else {
            self.places.insert(job.clone(), Place::Later(visible));
            self.later.insert((visible, job));
        }
    }

    /// Makes ready what has waited long enough.
    fn wake(&mut self, now: Timestamp) {
        while let Some((moment, job)) = self.later.pop_first() {
            if moment > now {
                self.later.insert((moment, job));
                break;
            }
            if let Some(Place::Held { .. }) = self.places.get(&job) {
                self.let_go(&job.account);
            }
            self.place(job, now, now);
        }
        // The clock went back since these were written.
        while let Some((moment, job)) = self.later.last().cloned()
            && moment > now.plus(MAX_DELAY)
            && matches!(self.places.get(&job), Some(Place::Later(_)))
        {
            self.later.remove(&(moment, job.clone()));
            self.place(job, now, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: usize = usize::MAX;

    fn job(account: &str) -> JobRef {
        JobRef { account: account.parse().unwrap(), job: JobId::generate() }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn ten_thousand_messages_of_one_account_do_not_delay_anothers() {
        let mut waiting = Waiting::default();
        for _ in 0..10_000 {
            waiting.add(&job("many"), at(0), at(0));
        }
        let one = job("one");
        waiting.add(&one, at(0), at(0));
        let first: Vec<JobRef> =
            (0..2).filter_map(|_| waiting.take(at(0), at(9), ANY)).map(|(job, _)| job).collect();
        assert!(first.contains(&one));
    }

    #[test]
    fn an_account_that_holds_all_it_may_is_passed_over_until_a_hold_ends() {
        let mut waiting = Waiting::default();
        for _ in 0..5 {
            waiting.add(&job("long"), at(0), at(0));
        }
        let (first, receipt) = waiting.take(at(0), at(100), 2).unwrap();
        let (second, again) = waiting.take(at(0), at(50), 2).unwrap();
        assert!(waiting.take(at(1), at(100), 2).is_none());
        assert_eq!(waiting.next(2), Some(at(50)), "nobody is to ask in vain until a hold ends");
        let other = job("other");
        waiting.add(&other, at(1), at(1));
        assert_eq!(waiting.take(at(1), at(100), 2).unwrap().0, other);
        // Each of the ways in which a hold ends frees one place, and no more.
        assert!(waiting.acknowledge(&first, receipt, at(2)));
        assert!(!waiting.acknowledge(&first, receipt, at(2)));
        let (third, receipt) = waiting.take(at(2), at(100), 2).unwrap();
        assert!(waiting.take(at(2), at(100), 2).is_none());
        assert!(waiting.release(&third, receipt, at(90), at(3)).is_some());
        assert!(waiting.take(at(3), at(100), 2).is_some());
        assert!(waiting.take(at(3), at(100), 2).is_none());
        assert!(waiting.take(at(50), at(100), 2).is_some());
        assert_eq!(waiting.release(&second, again, at(51), at(51)), None);
        assert!(waiting.take(at(51), at(100), 2).is_none());
    }

    #[test]
    fn a_hold_that_ran_out_lets_another_receive_and_the_first_loses_its_say() {
        let (mut waiting, job) = (Waiting::default(), job("a"));
        waiting.add(&job, at(0), at(0));
        let (_, first) = waiting.take(at(0), at(10), ANY).unwrap();
        assert!(waiting.take(at(9), at(19), ANY).is_none());
        let (_, second) = waiting.take(at(10), at(20), ANY).unwrap();
        assert!(!waiting.acknowledge(&job, first, at(11)));
        assert_eq!(waiting.release(&job, first, at(11), at(11)), None);
        assert!(waiting.acknowledge(&job, second, at(11)));
        assert!(waiting.take(at(1_000), at(1_001), ANY).is_none());
    }

    #[test]
    fn a_message_sent_while_held_is_received_again() {
        let (mut waiting, job) = (Waiting::default(), job("a"));
        waiting.add(&job, at(0), at(0));
        let (_, receipt) = waiting.take(at(0), at(100), ANY).unwrap();
        waiting.add(&job, at(50), at(1));
        assert!(!waiting.acknowledge(&job, receipt, at(2)));
        assert!(waiting.take(at(49), at(200), ANY).is_none());
        assert!(waiting.take(at(50), at(200), ANY).is_some());
    }

    #[test]
    fn what_could_be_received_is_awaited_and_what_is_held_or_comes_later_is_not() {
        let (mut waiting, one, later) = (Waiting::default(), job("a"), job("b"));
        assert!(!waiting.is_awaited(at(0)));
        waiting.add(&one, at(0), at(0));
        assert!(waiting.is_awaited(at(0)));
        assert!(waiting.has(&one) && !waiting.is_held(&one));
        assert!(waiting.take(at(0), at(100), ANY).is_some());
        assert!(!waiting.is_awaited(at(1)), "somebody has it");
        assert!(waiting.is_held(&one));

        waiting.add(&later, at(50), at(1));
        assert!(!waiting.is_awaited(at(49)));
        assert!(waiting.is_awaited(at(50)), "its time has come, whether or not anybody asked for it");
        let (_, held) = waiting.take(at(50), at(90), ANY).unwrap();
        assert!(!waiting.is_awaited(at(50)));
        assert!(waiting.is_awaited(at(90)), "whoever had it has lost it");
        assert!(!waiting.is_held(&later));
        assert!(!waiting.acknowledge(&later, held, at(90)));

        // What its account may not receive just now waits all the same: whoever makes way lets it.
        let mut waiting = Waiting::default();
        waiting.add(&one, at(0), at(0));
        let (_, again) = waiting.take(at(0), at(100), 1).unwrap();
        waiting.add(&job("a"), at(0), at(0));
        assert!(waiting.take(at(0), at(100), 1).is_none());
        assert!(waiting.is_awaited(at(0)));
        assert!(waiting.release(&one, again, at(80), at(1)).is_some());
        assert!(waiting.take(at(1), at(100), 1).is_some());
        assert!(!waiting.is_awaited(at(79)) && waiting.is_awaited(at(80)));
    }

    #[test]
    fn a_clock_that_jumped_back_does_not_hide_messages_for_long() {
        let (mut waiting, job) = (Waiting::default(), job("a"));
        let future = at(0).plus(MAX_DELAY * 10);
        waiting.add(&job, future, at(0));
        let (_, receipt) = waiting.take(at(0), at(10), ANY).unwrap();
        waiting.release(&job, receipt, future.plus(MAX_DELAY), future);
        assert!(waiting.take(future, future, ANY).is_none());
        assert!(waiting.take(at(20), at(30), ANY).is_some());
    }

    #[test]
    fn duplicates_collapse_to_the_earlier_moment() {
        let (mut waiting, job) = (Waiting::default(), job("a"));
        waiting.add(&job, at(100), at(0));
        waiting.add(&job, at(50), at(0));
        waiting.add(&job, at(70), at(0));
        assert_eq!(waiting.next(ANY), Some(at(50)));
        let (_, receipt) = waiting.take(at(50), at(60), ANY).unwrap();
        assert!(waiting.acknowledge(&job, receipt, at(55)));
        assert_eq!(waiting.next(ANY), None);
    }
}
