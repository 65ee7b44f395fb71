//! Containers and batches: what each may go through, and what one change does to both.

use willcall_conformance::samples::{batch_at, container_at, uploaded};
use willcall_core::job::{
    BATCH_IDLE, BatchCounts, BatchPhase, Counts, MAX_BATCHES, Problem, ProblemType, SWEEP_AFTER_END,
    UPLOAD_DUE, UploadFile, UploadedFile,
};

use super::*;

fn container() -> Job {
    container_at("acme", START)
}

/// A container with that many batches, none of which has ended.
fn fed(batches: usize) -> Job {
    (0..batches).fold(container(), |container, _| {
        container.apply(&Transition::AddBatch(BatchPhase::WaitingForUpload), at(1)).unwrap()
    })
}

fn closed(batches: usize) -> Job {
    fed(batches).apply(&Transition::Close, at(2)).unwrap()
}

fn batch() -> Job {
    batch_at(&container(), START)
}

fn moved(from: BatchPhase, to: BatchPhase) -> Transition {
    Transition::MoveBatch { from, to }
}

const WAITS: BatchPhase = BatchPhase::WaitingForUpload;

#[test]
fn a_batch_is_counted_in_its_phase_and_feeds_its_container() {
    for phase in BatchPhase::ALL {
        let after = container().apply(&Transition::AddBatch(phase), at(5)).unwrap();
        let counts = after.batches.unwrap();
        assert_eq!((counts.count(phase), counts.total()), (1, 1), "{phase:?}");
        assert_eq!(counts.pending(), u32::from(!phase.has_ended()), "{phase:?}");
        assert_eq!((after.fed, after.due_at), (Some(at(5)), Some(at(5).plus(BATCH_IDLE))));
        assert_eq!((after.state, after.version), (JobState::Open, 2));
    }
}

#[test]
fn what_takes_no_batches_says_why() {
    let full = BatchCounts { completed: MAX_BATCHES, ..BatchCounts::default() };
    let cancelled = container().apply(&Transition::Cancel, at(1)).unwrap();
    for (job, refused) in [
        (job(), Refused::NoContainer),
        (batch(), Refused::NoContainer),
        (closed(1), Refused::Closed),
        (cancelled, Refused::State(JobState::Cancelled)),
        (Job { batches: Some(full), ..container() }, Refused::TooManyBatches),
    ] {
        assert_eq!(job.apply(&Transition::AddBatch(WAITS), at(3)), Err(refused));
    }
    let almost = BatchCounts { completed: MAX_BATCHES - 1, ..BatchCounts::default() };
    let last = Job { batches: Some(almost), ..container() };
    assert!(last.apply(&Transition::AddBatch(WAITS), at(3)).is_ok());
}

#[test]
fn a_close_waits_for_the_batches_without_a_lease() {
    let waiting = closed(2);
    assert_eq!((waiting.state, waiting.leased_until), (JobState::Processing, None));
    assert_eq!((waiting.started, waiting.due_at), (Some(at(2)), Some(at(2).plus(SENT_DUE))));
    assert!(waiting.batches.unwrap().closed && !waiting.batches.unwrap().is_ready());
    let empty = closed(0);
    assert!(empty.batches.unwrap().is_ready(), "nothing is waited for");
    assert_eq!(empty.due_at, Some(at(2).plus(UNSENT_DUE)), "its message is due");
    assert_eq!(waiting.apply(&Transition::Close, at(3)), Err(Refused::Unchanged));
    assert_eq!(job().apply(&Transition::Close, at(3)), Err(Refused::NoContainer));
    let cancelled = fed(1).apply(&Transition::Cancel, at(1)).unwrap();
    assert_eq!(cancelled.apply(&Transition::Close, at(3)), Err(Refused::State(JobState::Cancelled)));
}

#[test]
fn a_file_that_arrives_keeps_an_open_container_from_being_forgotten() {
    let told = container().apply(&Transition::Fed, at(5)).unwrap();
    assert_eq!((told.fed, told.due_at), (Some(at(5)), Some(at(5).plus(BATCH_IDLE))));
    assert_eq!((told.state, told.batches), (container().state, container().batches));
    assert_eq!(closed(1).apply(&Transition::Fed, at(5)), Err(Refused::State(JobState::Processing)));
    assert_eq!(batch().apply(&Transition::Fed, at(5)), Err(Refused::NoContainer));
}

#[test]
fn the_sweepers_date_of_a_container_follows_its_batches() {
    let step = moved(WAITS, BatchPhase::Queued);
    let open = fed(1).apply(&step, at(5)).unwrap();
    assert_eq!((open.fed, open.due_at), (Some(at(5)), Some(at(5).plus(BATCH_IDLE))));
    let waiting = closed(1).apply(&step, at(5)).unwrap();
    assert_eq!(waiting.due_at, Some(at(5).plus(SENT_DUE)));
    let ready = closed(1).apply(&moved(WAITS, BatchPhase::Failed), at(5)).unwrap();
    assert_eq!(ready.due_at, Some(at(5).plus(UNSENT_DUE)), "the last one makes its message due");
    assert!(ready.batches.unwrap().is_ready());
    assert_eq!(job().apply(&step, at(5)), Err(Refused::NoContainer));
    let ended = fed(1).apply(&Transition::Cancel, at(3)).unwrap();
    assert_eq!(ended.apply(&step, at(5)), Err(Refused::State(JobState::Cancelled)));
}

#[test]
fn only_a_container_that_is_ready_can_be_claimed() {
    assert_eq!(fed(0).apply(&claim(), at(3)), Err(Refused::BatchesPending(0)), "more may come");
    assert_eq!(fed(2).apply(&claim(), at(3)), Err(Refused::BatchesPending(2)));
    assert_eq!(closed(2).apply(&claim(), at(3)), Err(Refused::BatchesPending(2)));
    let claimed = closed(0).apply(&claim(), at(3)).unwrap();
    assert_eq!((claimed.attempt, claimed.lost), (1, 0), "nobody was lost by waiting");
    assert_eq!((claimed.started, claimed.leased_until), (Some(at(2)), Some(at(3).plus(LEASE))));
    assert_eq!(claimed.apply(&claim(), at(4)), Err(Refused::Leased(at(3).plus(LEASE))));
    let again = claimed.apply(&claim(), at(40)).unwrap();
    assert_eq!((again.attempt, again.lost), (2, 1));
    let back = claimed.apply(&Transition::HandBack { attempt: 1 }, at(5)).unwrap();
    assert_eq!(back.apply(&claim(), at(6)).unwrap().attempt, 2);
    let done = claimed.apply(&complete(1), at(5)).unwrap();
    assert_eq!((done.state, done.due_at), (JobState::Completed, done.expires));
    assert_eq!(done.apply(&claim(), at(6)), Err(Refused::State(JobState::Completed)));
}

#[test]
fn a_container_that_waits_has_no_holder_to_lose() {
    assert_eq!(closed(1).apply(&Transition::Orphan, at(3)), Err(Refused::Unchanged));
    assert_eq!(fed(1).apply(&Transition::Orphan, at(3)), Err(Refused::State(JobState::Open)));
    let claimed = closed(0).apply(&claim(), at(3)).unwrap();
    assert_eq!(claimed.apply(&Transition::Orphan, at(4)).unwrap().lost, 1);
    let postponed = closed(1).apply(&Transition::Postpone, at(100)).unwrap();
    assert_eq!(postponed.due_at, Some(at(100).plus(SENT_DUE)));
}

#[test]
fn what_is_open_is_looked_at_ever_less_often_and_once_more_at_its_end() {
    let (mut batch, mut now, mut looks) = (batch(), START.plus(UPLOAD_DUE), 0);
    let end = START.plus(BATCH_IDLE);
    let mut waited = Duration::ZERO;
    while now < end {
        assert_eq!(batch.apply(&Transition::Abandon, now), Err(Refused::NotDue(end)));
        batch = batch.apply(&Transition::Postpone, now).unwrap();
        let next = batch.due_at.unwrap();
        assert!(next > now && next <= end, "{next}");
        assert!(next == end || next.since(now) >= waited);
        (waited, now, looks) = (next.since(now), next, looks + 1);
    }
    assert!((5..20).contains(&looks), "{looks}");
    let abandoned = batch.apply(&Transition::Abandon, end).unwrap();
    assert_eq!((abandoned.state, abandoned.finished), (JobState::Cancelled, Some(end)));
}

#[test]
fn only_what_is_open_is_abandoned_and_only_when_nobody_feeds_it() {
    let container = fed(1);
    let end = at(1).plus(BATCH_IDLE);
    assert_eq!(container.apply(&Transition::Abandon, START.plus(BATCH_IDLE)), Err(Refused::NotDue(end)));
    assert_eq!(container.apply(&Transition::Abandon, end).unwrap().state, JobState::Cancelled);
    for (job, state) in [
        (job(), JobState::Accepted),
        (claimed(), JobState::Processing),
        (closed(1), JobState::Processing),
        (ended(JobState::Failed), JobState::Failed),
    ] {
        let far = START.plus(BATCH_IDLE * 9);
        assert_eq!(job.apply(&Transition::Abandon, far), Err(Refused::State(state)));
    }
}

#[test]
fn the_last_file_sends_a_batch_to_the_queue() {
    let mut two = batch();
    let second = UploadFile { name: "more.csv".into(), ..two.upload.as_ref().unwrap().files[0].clone() };
    two.upload.as_mut().unwrap().files.push(second);
    let arrived = |file, etag: &str, second| Transition::Uploaded {
        file,
        arrived: UploadedFile { etag: etag.into(), bytes: 100, at: at(second) },
    };
    let one = two.apply(&arrived(1, "a", 5), at(5)).unwrap();
    assert_eq!((one.state, one.fed, one.due_at), (JobState::Open, Some(at(5)), Some(at(5).plus(UPLOAD_DUE))));
    assert_eq!(one.apply(&arrived(1, "a", 6), at(6)), Err(Refused::Unchanged), "it is told twice");
    let anew = one.apply(&arrived(1, "b", 7), at(7)).unwrap();
    let pinned = anew.upload.as_ref().unwrap().files[1].arrived.as_ref().unwrap();
    assert_eq!((pinned.etag.as_str(), pinned.at), ("b", at(7)), "what was sent again takes its place");
    let whole = anew.apply(&arrived(0, "c", 8), at(8)).unwrap();
    assert_eq!((whole.state, whole.due_at), (JobState::Accepted, Some(at(8).plus(UNSENT_DUE))));
    assert!(whole.upload.as_ref().unwrap().is_complete());

    let late = Err(Refused::State(JobState::Accepted));
    assert_eq!(whole.apply(&arrived(0, "d", 9), at(9)), late, "what is queued is pinned");
    assert_eq!(job().apply(&arrived(0, "d", 9), at(9)), late);
    assert_eq!(two.apply(&arrived(2, "d", 9), at(9)), Err(Refused::NoContainer));
    assert_eq!(container().apply(&arrived(0, "d", 9), at(9)), Err(Refused::NoContainer));
    let cancelled = two.apply(&Transition::Cancel, at(9)).unwrap();
    assert_eq!(cancelled.apply(&arrived(0, "d", 9), at(9)), Err(Refused::State(JobState::Cancelled)));
}

fn malformed() -> Problem {
    Problem::new(ProblemType::InvalidRequest, "no such column")
}

fn fail(problem: Problem) -> Transition {
    Transition::Fail { attempt: Some(1), problem }
}

/// A batch in work, and its container.
fn working() -> (Job, Job) {
    let container = fed(2).apply(&moved(WAITS, BatchPhase::Queued), at(3)).unwrap();
    let container = container.apply(&moved(BatchPhase::Queued, BatchPhase::InProgress), at(3)).unwrap();
    let batch = batch().apply(&uploaded(at(3)), at(3)).unwrap().apply(&claim(), at(3)).unwrap();
    (batch, container)
}

#[test]
fn a_batch_is_where_its_container_counts_it() {
    let (work, _) = working();
    let queued = batch().apply(&uploaded(at(3)), at(3)).unwrap();
    for (batch, phase) in [
        (batch(), WAITS),
        (queued, BatchPhase::Queued),
        (work.clone(), BatchPhase::InProgress),
        (work.apply(&complete(1), at(4)).unwrap(), BatchPhase::Completed),
        (work.apply(&fail(problem()), at(4)).unwrap(), BatchPhase::Failed),
        (work.apply(&fail(malformed()), at(4)).unwrap(), BatchPhase::Malformed),
        (work.apply(&Transition::Cancel, at(4)).unwrap(), BatchPhase::Cancelled),
    ] {
        assert_eq!(batch.phase(), phase);
        let named = Job { name: Some("x".into()), ..batch };
        let gone = matches!(phase, BatchPhase::Failed | BatchPhase::Malformed | BatchPhase::Cancelled);
        assert_eq!((named.holds_name("x"), named.holds_name("y")), (!gone, false), "{phase:?}");
    }
}

#[test]
fn what_a_batch_leaves_goes_with_its_container() {
    let (work, _) = working();
    let done = work.apply(&complete(1), at(4)).unwrap();
    assert_eq!((done.expires, done.due_at), (None, None));
    let failed = work.apply(&fail(problem()), at(4)).unwrap();
    assert_eq!((failed.expires, failed.due_at), (None, Some(at(4).plus(SWEEP_AFTER_END))));
    assert_eq!(failed.apply(&Transition::Purged, at(99)).unwrap().due_at, None);
}

#[test]
fn one_change_moves_a_batch_and_its_container() {
    let (work, container) = working();
    for (transition, to, tells) in [
        (complete(1), BatchPhase::Completed, true),
        (fail(problem()), BatchPhase::Failed, true),
        (fail(malformed()), BatchPhase::Malformed, true),
        (Transition::Cancel, BatchPhase::Cancelled, false),
        (Transition::HandBack { attempt: 1 }, BatchPhase::Queued, false),
        (Transition::Orphan, BatchPhase::Queued, false),
    ] {
        let change = work.change(Some(&container), &transition, at(5)).unwrap();
        assert_eq!(change.job, work.apply(&transition, at(5)).unwrap());
        let after = change.container.as_ref().unwrap();
        let counts = after.batches.unwrap();
        assert_eq!((counts.in_progress, counts.count(to), counts.total()), (0, 1, 2), "{transition:?}");
        assert_eq!((after.version, change.may_tell()), (container.version + 1, tells), "{transition:?}");
    }
    let renew = Transition::Renew { attempt: 1, progress: Box::new(Progress::queued()), lease: LEASE };
    let change = work.change(Some(&container), &renew, at(5)).unwrap();
    assert_eq!(change.container, None, "a renewal is none of its business");
    for stale in [complete(2), claim(), Transition::Abandon] {
        assert_eq!(work.change(Some(&container), &stale, at(5)), Err(work.apply(&stale, at(5)).unwrap_err()));
    }
}

#[test]
fn a_batch_of_an_ended_container_can_only_be_given_up() {
    let (work, container) = working();
    let cancelled = container.apply(&Transition::Cancel, at(4)).unwrap();
    let states = [JobState::Cancelled, JobState::Cancelled];
    for (container, state) in [Some(&cancelled), None].into_iter().zip(states) {
        let refused = Err(Refused::State(state));
        assert_eq!(work.change(container, &complete(1), at(5)), refused);
        assert_eq!(batch().change(container, &uploaded(at(5)), at(5)), refused);
        let queued = batch().apply(&uploaded(at(3)), at(3)).unwrap();
        assert_eq!(queued.change(container, &claim(), at(5)), refused);
        for end in [Transition::Cancel, fail(problem())] {
            let change = work.change(container, &end, at(5)).unwrap();
            assert!(change.job.state.is_terminal() && change.container.is_none() && !change.may_tell());
        }
    }
}

#[test]
fn a_job_that_is_no_batch_changes_alone() {
    let (waiting, work) = (job(), claimed());
    let change = work.change(None, &complete(1), at(5)).unwrap();
    assert_eq!((&change.job, &change.container), (&work.apply(&complete(1), at(5)).unwrap(), &None));
    assert!(change.may_tell());
    assert_eq!(waiting.change(None, &complete(1), at(5)), Err(Refused::StaleAttempt));
}

#[test]
fn a_container_has_what_its_batches_delivered() {
    let (work, mut container) = working();
    container = container.apply(&Transition::Close, at(4)).unwrap();
    let counted = |counts| match complete(1) {
        Transition::Complete { attempt, result, records_found, records_requested, .. } => {
            let (survey, day) = (None, None);
            Transition::Complete { attempt, result, records_found, records_requested, counts, survey, day }
        }
        other => other,
    };
    let counts = Counts::Append { rows: 10, matched: 6, unmatched: 2, ambiguous: 1, malformed: 1 };
    let first = work.change(Some(&container), &counted(Some(counts)), at(5)).unwrap().container.unwrap();
    let progress = &first.progress;
    assert_eq!((progress.records_written, progress.bytes_written, progress.percent), (10, 100, 50.0));
    assert_eq!(progress.counts, Some(counts));
    let second = batch().apply(&uploaded(at(5)), at(5)).unwrap().apply(&claim(), at(5)).unwrap();
    let first = first.apply(&moved(WAITS, BatchPhase::InProgress), at(5)).unwrap();
    let both = second.change(Some(&first), &counted(Some(counts)), at(6)).unwrap().container.unwrap();
    assert_eq!((both.progress.records_written, both.progress.bytes_written), (20, 200));
    let sum = Counts::Append { rows: 20, matched: 12, unmatched: 4, ambiguous: 2, malformed: 2 };
    assert_eq!(both.progress.counts, Some(sum));
    assert!(both.progress.percent < 100.0, "the manifest is not written");
    assert!(both.batches.unwrap().is_ready());
    let failed = second.change(Some(&first), &fail(problem()), at(6)).unwrap().container.unwrap();
    assert_eq!(failed.progress.records_written, 10, "what failed delivered nothing");
    assert_eq!(both.newly_delivered(&first), None, "its account has consumed it already");
}

#[test]
fn a_container_follows_its_batches_while_a_worker_has_them() {
    let container = fed(2).apply(&moved(WAITS, BatchPhase::Queued), at(3)).unwrap();
    let queued = batch().apply(&uploaded(at(3)), at(3)).unwrap();
    let change = queued.change(Some(&container), &claim(), at(3)).unwrap();
    let (work, container) = (change.job, change.container.unwrap());
    assert_eq!(container.followed, [work.id]);
    for transition in [
        complete(1),
        fail(problem()),
        Transition::Cancel,
        Transition::HandBack { attempt: 1 },
        Transition::Orphan,
    ] {
        let after = work.change(Some(&container), &transition, at(5)).unwrap().container.unwrap();
        assert!(after.followed.is_empty(), "{transition:?}");
    }
    assert!(container.apply(&Transition::Cancel, at(5)).unwrap().followed.is_empty());
}

#[test]
fn what_batches_have_done_stays_told_until_the_manifest_is_written() {
    let (work, container) = working();
    let mut container = Job {
        batches: Some(BatchCounts { in_progress: 1, closed: true, ..BatchCounts::default() }),
        ..container
    };
    container.state = JobState::Processing;
    let ready = work.change(Some(&container), &complete(1), at(5)).unwrap().container.unwrap();
    let done = Progress { records_written: 10, bytes_written: 100, percent: 99.9, ..Progress::queued() };
    assert_eq!(ready.progress, done);
    let claimed = ready.apply(&claim(), at(6)).unwrap();
    assert_eq!(claimed.progress, Progress { stage: Stage::Planning, ..done.clone() });
    assert_eq!(claimed.apply(&Transition::HandBack { attempt: 1 }, at(7)).unwrap().progress, done);
}

#[test]
fn what_fails_has_no_rows_that_came_back_but_items_that_were_sent() {
    let (work, _) = working();
    let half = Counts::Append { rows: 2000, matched: 0, unmatched: 1, ambiguous: 0, malformed: 3 };
    let sent = Counts::Call { total: Some(9), pending: 4, succeeded: 5, failed: 0, unknown: 0, malformed: 0 };
    let told = |counts| {
        let progress = Box::new(Progress { counts: Some(counts), ..Progress::queued() });
        work.apply(&Transition::Renew { attempt: 1, progress, lease: LEASE }, at(4)).unwrap()
    };
    let after = |counts, transition| told(counts).apply(&transition, at(5)).unwrap().progress.counts;
    for end in [fail(malformed()), fail(problem())] {
        assert_eq!(after(half, end.clone()), None);
        assert_eq!(after(sent, end), Some(sent));
    }
    let retry = Transition::Retry { attempt: 1, gained: false, problem: problem() };
    let mut last = told(half);
    last.failures = MAX_ATTEMPTS - 1;
    let failed = last.apply(&retry, at(5)).unwrap();
    assert_eq!((failed.state, failed.progress.counts), (JobState::Failed, None));
    assert_eq!(after(sent, Transition::Cancel), Some(sent));
}

#[test]
fn batches_deliver_together_what_their_job_may() {
    let (work, mut container) = working();
    container.max_records = Some(15);
    let first = work.change(Some(&container), &complete(1), at(5)).unwrap().container.unwrap();
    assert_eq!(first.progress.records_written, 10);
    let second = batch().apply(&uploaded(at(5)), at(5)).unwrap().apply(&claim(), at(5)).unwrap();
    let first = first.apply(&moved(WAITS, BatchPhase::InProgress), at(5)).unwrap();
    assert_eq!(second.change(Some(&first), &complete(1), at(6)), Err(Refused::RecordsUsedUp));
    // What delivers nothing may end.
    assert!(second.change(Some(&first), &fail(problem()), at(6)).is_ok());
    let just = Job { max_records: Some(20), ..first };
    let both = second.change(Some(&just), &complete(1), at(6)).unwrap().container.unwrap();
    assert_eq!(both.progress.records_written, 20);
}

#[test]
fn counts_of_calls_add_up_and_a_total_is_known_of_all_or_none() {
    let call =
        |total, succeeded| Counts::Call { total, pending: 1, succeeded, failed: 2, unknown: 3, malformed: 4 };
    let both = |total| Counts::Call { total, pending: 2, succeeded: 7, failed: 4, unknown: 6, malformed: 8 };
    assert_eq!(call(Some(10), 3).plus(call(Some(20), 4)), both(Some(30)));
    assert_eq!(call(Some(10), 3).plus(call(None, 4)), both(None));
    assert_eq!(call(Some(10), 3).plus(Counts::append()), call(Some(10), 3), "of one kind only");
}

#[test]
fn a_stored_record_without_batches_reads_as_before() {
    let text = serde_json::to_string(&job()).unwrap();
    for member in ["container", "batches", "followed", "upload", "fed"] {
        assert!(!text.contains(&format!("\"{member}\"")), "{member}");
    }
    for job in [fed(2), closed(1), working().0] {
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    }
}
