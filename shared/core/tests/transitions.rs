//! What may happen to a job, and what may not: the table of `docs/state-machine.md`, transition by transition.

#![expect(clippy::unwrap_used, reason = "a test: what it does not expect must end it")]

use std::time::Duration;

use willcall_conformance::samples::{self, START, complete, problem};
use willcall_core::{
    Timestamp,
    job::{
        Job, JobState, MAX_ATTEMPTS, Progress, RECORD_KEPT, Refused, SENT_DUE, Stage, Transition, UNSENT_DUE,
    },
};

#[path = "transitions/batches.rs"]
mod batches;

const LEASE: Duration = Duration::from_secs(30);

fn claim() -> Transition {
    Transition::Claim { lease: LEASE, max_lost: 2 }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(START.as_millis() + seconds * 1000)
}

fn job() -> Job {
    samples::job("acme")
}

fn claimed() -> Job {
    job().apply(&claim(), at(1)).unwrap()
}

fn ended(state: JobState) -> Job {
    let job = match state {
        JobState::Completed => claimed().apply(&complete(1), at(2)),
        JobState::Failed => {
            claimed().apply(&Transition::Fail { attempt: Some(1), problem: problem() }, at(2))
        }
        JobState::Cancelled => claimed().apply(&Transition::Cancel, at(2)),
        JobState::Expired => {
            let done = ended(JobState::Completed);
            let expires = done.expires.unwrap();
            done.apply(&Transition::Expire, expires)
        }
        open => panic!("{open} is not an end"),
    };
    job.unwrap()
}

const ENDS: [JobState; 4] = [JobState::Completed, JobState::Failed, JobState::Cancelled, JobState::Expired];

#[test]
fn a_claim_takes_a_lease_and_a_new_attempt() {
    let job = claimed();
    assert_eq!((job.state, job.attempt, job.lost), (JobState::Processing, 1, 0));
    assert_eq!(job.leased_until, Some(at(1).plus(LEASE)));
    assert_eq!(job.due_at, job.leased_until, "the sweeper looks when the lease is past");
    assert_eq!(job.started, Some(at(1)));
}

#[test]
fn a_live_lease_keeps_others_out_and_a_dead_one_does_not() {
    let job = claimed();
    assert_eq!(job.apply(&claim(), at(30)), Err(Refused::Leased(at(31))));
    let again = job.apply(&claim(), at(31)).unwrap();
    assert_eq!((again.attempt, again.lost, again.started), (2, 1, Some(at(1))));
}

#[test]
fn a_job_that_loses_too_many_workers_is_exhausted() {
    let mut job = claimed();
    for round in 1..=2 {
        job = job.apply(&claim(), at(100 * round)).unwrap();
    }
    assert_eq!(job.lost, 2);
    assert_eq!(job.apply(&claim(), at(1000)), Err(Refused::Exhausted));
    let fail = Transition::Fail { attempt: None, problem: problem() };
    assert_eq!(job.apply(&fail, at(1000)).unwrap().state, JobState::Failed);
}

#[test]
fn an_attempt_that_came_further_makes_earlier_failures_forgotten() {
    let mut job = job();
    for attempt in 1..=8 {
        job = job.apply(&claim(), START).unwrap();
        let gained = attempt % 2 == 0;
        job = job.apply(&Transition::Retry { attempt, gained, problem: problem() }, START).unwrap();
        assert_eq!(
            (job.state, job.failures),
            (JobState::Accepted, if gained { 1 } else { 1 + u32::from(attempt > 1) })
        );
    }
}

#[test]
fn only_the_current_attempt_may_write() {
    let second = claimed().apply(&claim(), at(40)).unwrap();
    let renew = |attempt| Transition::Renew {
        attempt,
        progress: Box::new(Progress { stage: Stage::Writing, ..Progress::queued() }),
        lease: LEASE,
    };
    let fail = |attempt| Transition::Fail { attempt: Some(attempt), problem: problem() };
    let retry = |attempt| Transition::Retry { attempt, gained: false, problem: problem() };
    let hand_back = |attempt| Transition::HandBack { attempt };
    for stale in [renew(1), complete(1), fail(1), retry(1), hand_back(1), complete(3)] {
        assert_eq!(second.apply(&stale, at(41)), Err(Refused::StaleAttempt), "{stale:?}");
    }
    for current in [renew(2), complete(2), fail(2), retry(2), hand_back(2)] {
        assert!(second.apply(&current, at(41)).is_ok(), "{current:?}");
    }
}

#[test]
fn a_renewal_moves_the_lease_but_not_the_sweepers_date() {
    let job = claimed();
    let progress = Progress { stage: Stage::Writing, records_written: 9, ..Progress::queued() };
    let renew = Transition::Renew { attempt: 1, progress: Box::new(progress.clone()), lease: LEASE };
    let after = job.apply(&renew, at(10)).unwrap();
    assert_eq!(after.leased_until, Some(at(40)));
    assert_eq!(after.due_at, job.due_at);
    assert_eq!(after.progress, progress);
    let postponed = after.apply(&Transition::Postpone, at(31)).unwrap();
    assert_eq!(postponed.due_at, Some(at(40)));
    assert_eq!(postponed.apply(&Transition::Postpone, at(32)), Err(Refused::Unchanged));
}

#[test]
fn a_transient_failure_goes_back_until_attempts_run_out() {
    let mut job = job();
    for failures in 1..=MAX_ATTEMPTS {
        job = job.apply(&claim(), at(i64::from(failures) * 10)).unwrap();
        let retry = Transition::Retry { attempt: job.attempt, gained: false, problem: problem() };
        job = job.apply(&retry, at(i64::from(failures) * 10 + 1)).unwrap();
        assert_eq!(job.failures, failures);
        let expected = if failures < MAX_ATTEMPTS { JobState::Accepted } else { JobState::Failed };
        assert_eq!(job.state, expected);
    }
    assert_eq!(job.error, Some(problem()));
}

#[test]
fn handing_back_costs_no_attempt() {
    let mut job = job();
    for round in 0..20 {
        job = job.apply(&claim(), at(round)).unwrap();
        job = job.apply(&Transition::HandBack { attempt: job.attempt }, at(round)).unwrap();
    }
    assert_eq!((job.state, job.failures, job.lost, job.attempt), (JobState::Accepted, 0, 0, 20));
}

#[test]
fn completion_commits_the_result_and_its_expiry() {
    let job = ended(JobState::Completed);
    assert_eq!(job.progress.percent, 100.0);
    assert_eq!((job.progress.records_found, job.progress.records_requested), (Some(10), Some(10)));
    let result = job.result.clone().unwrap();
    assert_eq!((result.attempt, result.records), (1, job.progress.records_written));
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!((job.finished, job.expires), (Some(at(2)), Some(at(2).plus(week))));
    assert_eq!(job.due_at, job.expires);
    assert_eq!(job.leased_until, None);
}

#[test]
fn cancel_takes_the_job_from_its_worker() {
    for open in [job(), claimed()] {
        let cancelled = open.apply(&Transition::Cancel, at(5)).unwrap();
        assert_eq!((cancelled.state, cancelled.leased_until), (JobState::Cancelled, None));
        let late = cancelled.apply(&complete(open.attempt), at(6));
        assert_eq!(late, Err(Refused::State(JobState::Cancelled)));
        assert_eq!(cancelled.apply(&Transition::Cancel, at(6)), Err(Refused::Unchanged));
    }
}

#[test]
fn what_has_ended_stays_ended() {
    for state in ENDS {
        let job = ended(state);
        assert_eq!(job.state, state);
        let attempt = job.attempt;
        let moves = [
            claim(),
            complete(attempt),
            Transition::Retry { attempt, gained: false, problem: problem() },
            Transition::HandBack { attempt },
            Transition::Fail { attempt: Some(attempt), problem: problem() },
            Transition::Fail { attempt: None, problem: problem() },
            Transition::Sent,
            Transition::Resent,
            Transition::Postpone,
        ];
        for transition in moves {
            assert_eq!(
                job.apply(&transition, at(9_999)),
                Err(Refused::State(state)),
                "{state} {transition:?}"
            );
        }
        if state != JobState::Cancelled {
            assert_eq!(job.apply(&Transition::Cancel, at(9)), Err(Refused::State(state)));
        }
    }
}

#[test]
fn a_held_job_cannot_be_failed_from_outside() {
    let fail = Transition::Fail { attempt: None, problem: problem() };
    assert_eq!(claimed().apply(&fail, at(2)), Err(Refused::Leased(at(31))));
    assert!(claimed().apply(&fail, at(31)).is_ok());
    assert!(job().apply(&fail, at(2)).is_ok());
}

#[test]
fn the_sweepers_date_follows_the_message() {
    let job = job();
    assert_eq!(job.due_at, Some(START.plus(UNSENT_DUE)));
    let sent = job.apply(&Transition::Sent, at(1)).unwrap();
    assert_eq!(sent.due_at, Some(at(1).plus(SENT_DUE)));
    let once = sent.apply(&Transition::Resent, at(2)).unwrap();
    let twice = once.apply(&Transition::Resent, at(2)).unwrap();
    assert_eq!(once.due_at, Some(at(2).plus(SENT_DUE * 2)));
    assert_eq!(twice.due_at, Some(at(2).plus(SENT_DUE * 4)));
    let mut many = job;
    for _ in 0..100 {
        many = many.apply(&Transition::Resent, at(2)).unwrap();
    }
    assert_eq!(many.due_at, Some(at(2).plus(SENT_DUE * 64)), "the interval has an end");
}

#[test]
fn a_sent_mark_that_comes_after_the_claim_is_refused() {
    assert_eq!(claimed().apply(&Transition::Sent, at(2)), Err(Refused::State(JobState::Processing)));
}

#[test]
fn an_ended_jobs_record_is_kept_after_its_result() {
    let expired = ended(JobState::Expired);
    assert_eq!(expired.due_at, Some(expired.expires.unwrap().plus(RECORD_KEPT)));
    for state in [JobState::Failed, JobState::Cancelled] {
        let job = ended(state);
        let purged = job.apply(&Transition::Purged, at(100)).unwrap();
        assert_eq!(purged.due_at, Some(job.expires.unwrap().plus(RECORD_KEPT)));
    }
    let completed = ended(JobState::Completed).apply(&Transition::Purged, at(9)).unwrap();
    assert_eq!(completed.due_at, completed.expires);
    assert_eq!(
        ended(JobState::Expired).apply(&Transition::Purged, at(9)),
        Err(Refused::State(JobState::Expired))
    );
}

#[test]
fn amending_changes_only_what_is_given() {
    let amend = |name, labels, expires| Transition::Amend { name, labels, expires, version: None };
    let done = ended(JobState::Completed);
    let named = done.apply(&amend(Some(Some("x".into())), None, None), at(3)).unwrap();
    assert_eq!((named.name.as_deref(), named.expires), (Some("x"), done.expires));
    let unnamed = named.apply(&amend(Some(None), None, Some(at(50))), at(3)).unwrap();
    assert_eq!((unnamed.name, unnamed.expires, unnamed.due_at), (None, Some(at(50)), Some(at(50))));
    assert!(job().apply(&amend(None, None, Some(at(50))), at(3)).is_err(), "only a result expires");
}

#[test]
fn readers_see_the_clock_and_not_the_sweeper() {
    let done = ended(JobState::Completed);
    let expires = done.expires.unwrap();
    let state = |now| done.clone().seen_at(now).map(|job| job.state);
    assert_eq!(state(at(3)), Some(JobState::Completed));
    assert_eq!(state(expires), Some(JobState::Expired));
    assert_eq!(state(expires.plus(RECORD_KEPT)), None);
    assert_eq!(job().seen_at(at(i64::MAX / 10_000)).map(|job| job.state), Some(JobState::Accepted));
}

#[test]
fn every_write_changes_the_version() {
    let job = job();
    assert_eq!(claimed().version, job.version + 1);
}
