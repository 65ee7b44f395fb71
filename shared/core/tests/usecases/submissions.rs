//! Submissions that are repeated, limited, or served by a job that there is.

use futures::future::join_all;
use willcall_core::{
    idempotency::KEY_KEPT,
    job::{DailyLimits, DryRun, FoundBy, PartCounted, Survey, Transition, TruncationReason, Values},
    usecases::{
        idempotency::{Keyed, is_known},
        submit::{Receipt, repeated, submit},
    },
};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn keyed(key: &str) -> Option<Keyed> {
    Some(Keyed { key: key.parse().unwrap(), target: "/v1/jobs".into(), status: 202, by_path: false })
}

impl World {
    async fn ask(&self, plan: Plan, draft: QueryDraft, key: Option<Keyed>) -> Result<Receipt, Error> {
        let caller = Caller { plan, ..self.caller() };
        submit(
            &self.app,
            &caller,
            Submission { draft: draft.into(), original: json!({}).into(), key, dry_run: false },
        )
        .await
    }

    async fn jobs_there_are(&self) -> usize {
        let filter = JobFilter::default();
        jobs::list(&self.app, &self.caller(), &filter, None, 500).await.unwrap().jobs.len()
    }
}

fn plan() -> Plan {
    Plan { max_open_jobs: 10_000, ..Plan::default_named("pro") }
}

#[tokio::test]
async fn a_repeated_request_answers_its_job_as_it_is_now() {
    let world = World::delivering();
    let first = world.ask(plan(), draft(), keyed("k")).await.unwrap();
    assert!(!first.replayed);
    let job = first.view.job.reference();
    world.work(&job).await;
    world.clock.advance(KEY_KEPT - Duration::from_secs(1));
    let again = world.ask(plan(), draft(), keyed("k")).await.unwrap();
    assert!(again.replayed && !again.view.reused);
    assert_eq!((again.view.job.id, again.view.job.state), (job.job, JobState::Completed));
    assert_eq!(world.jobs_there_are().await, 1);
    world.clock.advance(Duration::from_secs(1));
    let later = world.ask(plan(), draft(), keyed("k")).await.unwrap();
    assert!(!later.replayed, "a day later the key is as good as new");
    assert_ne!(later.view.job.id, job.job);
}

#[tokio::test]
async fn a_key_is_bound_to_its_request_and_its_account() {
    let world = World::delivering();
    let first = world.ask(plan(), draft(), keyed("k")).await.unwrap().view.job.id;
    let other = QueryDraft { limit: Some(5), ..draft() };
    assert!(matches!(world.ask(plan(), other.clone(), keyed("k")).await, Err(Error::KeyMismatch)));
    let elsewhere = keyed("k").map(|key| Keyed { target: "/v1/other".into(), ..key });
    assert!(matches!(world.ask(plan(), draft(), elsewhere).await, Err(Error::KeyMismatch)));
    assert!(!world.ask(plan(), other, keyed("K")).await.unwrap().replayed, "another key is another");
    let mut stranger = world.caller();
    stranger.account.id = "other".parse().unwrap();
    let submission =
        Submission { draft: draft().into(), original: json!({}).into(), key: keyed("k"), dry_run: false };
    let theirs = submit(&world.app, &stranger, submission).await.unwrap();
    assert!(!theirs.replayed && theirs.view.job.id != first);
}

#[tokio::test]
async fn only_success_is_kept() {
    let world = World::delivering();
    let wrong = QueryDraft { dataset: "flihgts".into(), ..draft() };
    assert!(matches!(world.ask(plan(), wrong, keyed("k")).await, Err(Error::Invalid(_))));
    let full = Plan { max_open_jobs: 0, ..plan() };
    assert!(matches!(world.ask(full, draft(), keyed("k")).await, Err(Error::QuotaExceeded { .. })));
    world.jobs.break_with(Some("unplugged"));
    assert!(matches!(world.ask(plan(), draft(), keyed("k")).await, Err(Error::Unavailable(_))));
    world.jobs.break_with(None);
    assert!(!world.ask(plan(), draft(), keyed("k")).await.unwrap().replayed);
}

#[tokio::test]
async fn a_repeated_request_is_answered_even_where_it_would_be_refused_by_now() {
    let world = World::delivering();
    let first = world.ask(plan(), draft(), keyed("k")).await.unwrap().view.job.id;
    let mut emptied = catalog(plan());
    emptied.datasets.clear();
    world.catalog.set(emptied);
    let full = Plan { max_open_jobs: 1, ..plan() };
    let again = world.ask(full, draft(), keyed("k")).await.unwrap();
    assert_eq!((again.replayed, again.view.job.id), (true, first));
}

#[tokio::test]
async fn what_the_path_alone_asks_for_is_repeated_though_what_it_came_from_is_gone() {
    let world = World::delivering();
    let by_path =
        |key| keyed(key).map(|key| Keyed { by_path: true, target: "/v1/jobs/x/rerun".into(), ..key });
    let caller = Caller { plan: plan(), ..world.caller() };
    let known = async |key| repeated(&world.app, &caller, &by_path(key).unwrap()).await;
    assert!(known("k").await.unwrap().is_none());
    let first = world.ask(plan(), draft(), by_path("k")).await.unwrap().view.job.id;
    let again = known("k").await.unwrap().unwrap();
    assert_eq!((again.replayed, again.view.job.id), (true, first));
    assert!(known("other").await.unwrap().is_none());
    let elsewhere = by_path("k").map(|key| Keyed { target: "/v1/jobs/y/rerun".into(), ..key }).unwrap();
    assert!(matches!(repeated(&world.app, &caller, &elsewhere).await, Err(Error::KeyMismatch)));
    assert!(is_known(&world.app, &caller, &elsewhere).await.unwrap(), "whatever it asked for");
    let reader = Caller { scope: Scope::Read, ..caller.clone() };
    assert!(matches!(
        repeated(&world.app, &reader, &by_path("k").unwrap()).await,
        Err(Error::Forbidden(Scope::Submit))
    ));
    jobs::delete(&world.app, &caller, first).await.unwrap();
    assert!(matches!(known("k").await, Err(Error::NotFound(_))), "it is not made again");
}

#[tokio::test]
async fn a_removed_job_is_not_made_again_by_its_key() {
    let world = World::delivering();
    let first = world.ask(plan(), draft(), keyed("k")).await.unwrap().view.job.id;
    jobs::delete(&world.app, &world.caller(), first).await.unwrap();
    assert!(matches!(world.ask(plan(), draft(), keyed("k")).await, Err(Error::NotFound(_))));
    assert_eq!(world.jobs_there_are().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_with_one_key_make_one_job_and_leave_one_request() {
    let world = World::delivering();
    let large = format!("carrier <> '{}'", "x".repeat(20_000));
    let asked = QueryDraft { filter: Some(large), ..draft() };
    let submits = (0..1_000).map(|_| {
        let (app, asked) = (world.app.clone(), asked.clone());
        let caller = Caller { plan: plan(), ..world.caller() };
        let submission =
            Submission { draft: asked.into(), original: json!({}).into(), key: keyed("k"), dry_run: false };
        tokio::spawn(async move { submit(&app, &caller, submission).await.unwrap() })
    });
    let receipts: Vec<Receipt> = join_all(submits).await.into_iter().map(|done| done.unwrap()).collect();
    assert_eq!(receipts.iter().filter(|receipt| !receipt.replayed).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.view.job.id == receipts[0].view.job.id));
    assert_eq!(world.jobs_there_are().await, 1);
    assert_eq!(world.blobs.keys().len(), 1, "the requests of the others went");
}

#[tokio::test]
async fn open_jobs_are_limited_by_the_plan() {
    let world = World::delivering();
    let first = world.submit().await;
    world.submit().await;
    world.submit().await;
    let refused = world.submit_as(draft()).await;
    assert!(matches!(refused, Err(Error::QuotaExceeded { limit: "max_open_jobs", value: 3, .. })));
    world.work(&first).await;
    world.submit().await;
    assert_eq!(accounts::usage(&world.app, &world.caller()).await.unwrap().open_jobs, 3);
}

#[tokio::test]
async fn submits_are_counted_by_the_minute_of_the_clock() {
    let world = World::delivering();
    let limited = Plan { submits_per_minute: Some(2), ..plan() };
    world.clock.set(Timestamp::from_millis(START.as_millis() / 60_000 * 60_000 + 50_000));
    let first = world.ask(limited.clone(), draft(), keyed("k")).await.unwrap().rate.unwrap();
    assert_eq!((first.limit, first.value, first.left), ("submits_per_minute", 2, 1));
    assert_eq!((first.window, first.resets), (MINUTE, Duration::from_secs(10)));
    let second = world.ask(limited.clone(), draft(), None).await.unwrap().rate.unwrap();
    assert_eq!(second.left, 0);
    let refused = world.ask(limited.clone(), draft(), None).await;
    let Err(Error::QuotaExceeded { limit, value, window, retry_after }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((limit, value, window), ("submits_per_minute", 2, Some(MINUTE)));
    assert_eq!(retry_after, Duration::from_secs(10));
    let again = world.ask(limited.clone(), draft(), keyed("k")).await.unwrap();
    assert!(again.replayed && again.rate.is_none(), "what is repeated is no submit");
    let caller = Caller { plan: limited.clone(), ..world.caller() };
    assert_eq!(accounts::usage(&world.app, &caller).await.unwrap().submits, Some(2));
    world.clock.advance(retry_after);
    assert_eq!(world.ask(limited.clone(), draft(), None).await.unwrap().rate.unwrap().left, 1);
    // The clock goes back: the minute that was full is full still.
    world.clock.set(Timestamp::from_millis(START.as_millis() / 60_000 * 60_000));
    assert!(matches!(world.ask(limited, draft(), None).await, Err(Error::QuotaExceeded { .. })));
    assert!(world.ask(plan(), draft(), None).await.unwrap().rate.is_none(), "without a limit none is told");
}

#[tokio::test]
async fn an_attempt_delivers_what_the_day_has_left_and_says_so() {
    let lines = |count| Script::Deliver(vec!["{}".into(); count]);
    let world = World::new([lines(2), lines(2), lines(0)]);
    let limited = Plan { max_records_per_day: Some(3), ..plan() };
    let caller = Caller { plan: limited.clone(), ..world.caller() };
    let mut run = Vec::new();
    for _ in 0..3 {
        run.push(world.ask(limited.clone(), draft(), None).await.unwrap().view.job.reference());
    }
    for job in &run {
        world.work(job).await;
    }
    let caps: Vec<u64> = world
        .executor
        .tasks()
        .iter()
        .map(|task| {
            let willcall_core::job::kinds::Work::Query(work) = &*task.work else {
                panic!("a query was asked for")
            };
            work.max_records
        })
        .collect();
    assert_eq!(caps, [3, 1, 0]);
    let truncated = world.job(&run[1]).await.result.unwrap().truncated.unwrap();
    assert_eq!((truncated.reason, truncated.limit), (TruncationReason::DailyLimit, 1));
    let usage = accounts::usage(&world.app, &caller).await.unwrap();
    assert!(usage.records_today >= 3 && usage.bytes_today > 0 && usage.submits.is_none());
    let refused = world.ask(limited.clone(), draft(), None).await;
    let Err(Error::QuotaExceeded { limit, value, retry_after, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((limit, value, retry_after), ("max_records_per_day", 3, START.left_of_day()));
    world.clock.advance(retry_after);
    assert_eq!(accounts::usage(&world.app, &caller).await.unwrap().records_today, 0);
    world.ask(limited, draft(), None).await.unwrap();
}

#[tokio::test]
async fn jobs_that_run_at_once_together_deliver_what_the_day_has_left_and_no_more() {
    let world = World::new([Script::Deliver(vec!["{}".into(); 4])]);
    let limited = Plan { max_records_per_day: Some(10), ..plan() };
    let mut run = Vec::new();
    for _ in 0..5 {
        run.push(world.ask(limited.clone(), draft(), None).await.unwrap().view.job.reference());
    }
    // All are told of the ten before any has completed; two of them fit whole.
    let dispositions = join_all(run.iter().map(|job| world.work(job))).await;
    let late = dispositions.iter().filter(|one| **one == Disposition::RetryAfter(Duration::ZERO)).count();
    assert_eq!(late, 3, "{dispositions:?}");
    for job in &run {
        let found = world.job(job).await;
        assert!(found.state == JobState::Completed || !world.has_files_of(job));
    }
    join_all(run.iter().map(|job| world.work(job))).await;
    join_all(run.iter().map(|job| world.work(job))).await;
    let mut delivered = Vec::new();
    for job in &run {
        let found = world.job(job).await;
        assert_eq!((found.state, found.failures, found.lost), (JobState::Completed, 0, 0));
        delivered.push(found.result.unwrap().records);
    }
    delivered.sort_unstable();
    assert_eq!(delivered, [0, 0, 2, 4, 4]);
    let caller = Caller { plan: limited, ..world.caller() };
    assert_eq!(accounts::usage(&world.app, &caller).await.unwrap().records_today, 10);
}

#[tokio::test]
async fn a_day_without_a_byte_left_delivers_no_record() {
    let world = World::delivering();
    let limited = Plan { max_bytes_per_day: Some(10), ..plan() };
    let jobs = [
        world.ask(limited.clone(), draft(), None).await.unwrap().view.job.reference(),
        world.ask(limited.clone(), draft(), None).await.unwrap().view.job.reference(),
    ];
    assert_eq!(world.job(&jobs[0]).await.daily, DailyLimits { records: None, bytes: Some(10) });
    for job in &jobs {
        world.work(job).await;
    }
    let second = world.executor.tasks()[1].clone();
    let willcall_core::job::kinds::Work::Query(work) = &*second.work else { panic!("a query was asked for") };
    assert_eq!(work.max_records, 0);
    let refused = world.ask(limited, draft(), None).await;
    assert!(matches!(refused, Err(Error::QuotaExceeded { limit: "max_bytes_per_day", value: 10, .. })));
}

fn reusing(max_age: Option<u64>) -> QueryDraft {
    QueryDraft { reuse: Some(true), max_age, ..draft() }
}

#[tokio::test]
async fn an_identical_job_serves_while_it_runs_and_as_long_as_its_result_is_young_enough() {
    let world = World::delivering();
    let first = world.ask(plan(), draft(), None).await.unwrap().view.job.reference();
    let joined = world.ask(plan(), reusing(Some(0)), None).await.unwrap();
    assert_eq!((joined.view.job.id, joined.view.reused), (first.job, true));
    world.work(&first).await;
    world.clock.advance(MINUTE);
    let named = QueryDraft { about: AboutDraft { name: Some("other".into()), ..about() }, ..reusing(None) };
    assert_eq!(world.ask(plan(), named, None).await.unwrap().view.job.id, first.job, "names decide nothing");
    let by_age = QueryDraft { max_age: Some(61), ..draft() };
    assert_eq!(world.ask(plan(), by_age, None).await.unwrap().view.job.id, first.job, "an age is a wish too");
    assert_eq!(world.jobs_there_are().await, 1);
    let anew = world.ask(plan(), reusing(Some(60)), None).await.unwrap();
    assert!(!anew.view.reused && anew.view.job.id != first.job, "it completed 60 s ago");
    let latest = world.ask(plan(), reusing(Some(60)), None).await.unwrap();
    assert_eq!(latest.view.job.id, anew.view.job.id, "the latest serves");
    assert!(!world.ask(plan(), draft(), None).await.unwrap().view.reused, "who does not ask gets a new one");
    let refused = QueryDraft { reuse: Some(false), max_age: Some(1), ..draft() };
    assert!(matches!(world.ask(plan(), refused, None).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn what_was_cancelled_failed_expired_or_cut_by_the_day_serves_nobody() {
    let world = World::new([Script::Fatal(problem()), Script::Deliver(vec!["{}".into(), "{}".into()])]);
    let anew = async |daily: Option<u64>| {
        let plan = Plan { max_records_per_day: daily, ..plan() };
        let receipt = world.ask(plan, reusing(None), None).await.unwrap();
        assert!(!receipt.view.reused);
        receipt.view.job.reference()
    };
    let cancelled = anew(None).await;
    jobs::cancel(&world.app, &world.caller(), cancelled.job).await.unwrap();
    let failed = anew(None).await;
    world.work(&failed).await;
    assert_eq!(world.job(&failed).await.state, JobState::Failed);
    let cut = anew(Some(1)).await;
    world.work(&cut).await;
    assert!(world.job(&cut).await.result.unwrap().truncated.is_some());
    let whole = anew(None).await;
    world.work(&whole).await;
    assert!(world.ask(plan(), reusing(None), None).await.unwrap().view.reused);
    world.clock.advance(7 * DAY);
    let deleted = anew(None).await;
    jobs::delete(&world.app, &world.caller(), deleted.job).await.unwrap();
    anew(None).await;
}

#[tokio::test]
async fn what_decides_the_bytes_decides_whether_jobs_are_identical() {
    let world = World::delivering();
    let asked = QueryDraft { filter: Some("carrier = 'AA' OR carrier = 'UA'".into()), ..reusing(None) };
    let first = world.ask(plan(), asked.clone(), None).await.unwrap().view.job.id;
    let same = QueryDraft { filter: Some("carrier IN ('UA', 'AA')".into()), ..asked.clone() };
    assert_eq!(world.ask(plan(), same, None).await.unwrap().view.job.id, first, "said in other words");
    let more = Plan { max_records: 5_000, ..plan() };
    let beside = |about| QueryDraft { about, ..asked.clone() };
    for (plan, other) in [
        (plan(), QueryDraft { filter: None, ..asked.clone() }),
        (plan(), QueryDraft { fields: Some(vec!["flight".into()]), ..asked.clone() }),
        (plan(), QueryDraft { sort: vec!["flight".into()], ..asked.clone() }),
        (plan(), QueryDraft { limit: Some(1_000), ..asked.clone() }),
        (plan(), QueryDraft { offset: 1, ..asked.clone() }),
        (plan(), beside(AboutDraft { format: Some("csv".into()), ..about() })),
        (plan(), beside(AboutDraft { compression: Some("gzip".into()), ..about() })),
        (plan(), beside(AboutDraft { page_size: Some(100), ..about() })),
        (more, asked.clone()),
    ] {
        assert!(!world.ask(plan, other.clone(), None).await.unwrap().view.reused, "{other:?}");
    }
    let mut changed = catalog(plan());
    let mut dataset = (*changed.datasets["flights"]).clone();
    dataset.facts.version = "v2".into();
    changed.datasets.insert("flights".into(), Arc::new(dataset));
    world.catalog.set(changed);
    assert!(!world.ask(plan(), asked.clone(), None).await.unwrap().view.reused, "other data");
    let mut stranger = world.caller();
    stranger.account.id = "other".parse().unwrap();
    let theirs = submit(&world.app, &stranger, Submission::new(asked, json!({}))).await.unwrap();
    assert!(!theirs.view.reused);
}

#[tokio::test]
async fn a_joined_job_is_answered_again_by_the_key_of_who_joined() {
    let world = World::delivering();
    let first = world.ask(plan(), draft(), None).await.unwrap().view.job.id;
    for replayed in [false, true] {
        let joined = world.ask(plan(), reusing(None), keyed("k")).await.unwrap();
        assert_eq!((joined.view.job.id, joined.view.reused, joined.replayed), (first, true, replayed));
    }
    assert_eq!(world.jobs_there_are().await, 1);
}

fn dry_run(cap: u64, offset: u64) -> DryRun {
    DryRun { cap, offset, sorted: false, dataset_bytes: 7, prices: None, sort: Vec::new(), survey: None }
}

#[tokio::test]
async fn what_was_sampled_stands_for_the_rest() {
    let done = |found, cap, offset| {
        let mut job = willcall_conformance::samples::job("acme");
        job.dry_run = Some(dry_run(cap, offset));
        job = job.apply(&willcall_conformance::samples::claim(), START).unwrap();
        job = job.apply(&willcall_conformance::samples::complete(1), START.plus(MINUTE)).unwrap();
        job.progress.records_found = Some(found);
        job.estimate().unwrap()
    };
    // The sample has 10 records of 100 bytes, and took a minute.
    let whole = done(1_000_000_000, u64::MAX, 0);
    assert_eq!((whole.records, whole.bytes_written), (Some(1_000_000_000), Some(10_000_000_000)));
    assert_eq!(whole.bytes_read, 7);
    assert_eq!(whole.duration.unwrap().as_secs(), 60 + 199, "the rest at 50 MB a second");
    let cut = done(1_000, 500, 0);
    assert_eq!((cut.records_found, cut.records, cut.bytes_written), (Some(1_000), Some(500), Some(5_000)));
    assert_eq!(done(1_000, 500, 995).records, Some(5));
    assert_eq!(done(3, 500, 9).records, Some(0));
    let mut open = willcall_conformance::samples::job("acme");
    assert_eq!(open.estimate(), None);
    open.dry_run = Some(dry_run(1, 0));
    assert_eq!(open.estimate(), None, "not before it has completed");
}

#[tokio::test]
async fn what_the_files_told_goes_before_the_size_of_all_of_them() {
    let done = |survey: Survey, found: Option<u64>, sampled: u64| {
        let mut job = willcall_conformance::samples::job("acme");
        job.dry_run = Some(dry_run(u64::MAX, 10));
        job = job.apply(&willcall_conformance::samples::claim(), START).unwrap();
        let mut complete = willcall_conformance::samples::complete(1);
        if let Transition::Complete { result, records_found, survey: told, .. } = &mut complete {
            (*records_found, *told) = (found, Some(Box::new(survey)));
            (result.records, result.bytes) = (sampled, sampled * 100);
        }
        job.apply(&complete, START.plus(MINUTE)).unwrap().estimate().unwrap()
    };
    let survey = |found_by, likely| Survey {
        found_by,
        at_least: 100,
        at_most: Some(900),
        likely,
        bytes_read: 5,
        whole_files: false,
        values: Some(Values { bytes: 4_000, records: 1_000 }),
        part: (found_by == FoundBy::Part).then_some(PartCounted { weight: 1, of: 3, millis: 30_000 }),
    };
    let exact = done(survey(FoundBy::Statistics, 400), Some(400), 10);
    assert_eq!((exact.records_found, exact.records, exact.bytes_read), (Some(400), Some(390), 5));
    assert_eq!(exact.bytes_written, Some(39_000), "what was measured goes before what is reckoned");
    let part = done(survey(FoundBy::Part, 510), None, 10);
    assert_eq!((part.records_found, part.records), (Some(510), Some(500)));
    assert!(!part.survey.as_ref().unwrap().is_exact());
    assert_eq!(exact.duration.unwrap().as_secs(), 60, "all was counted");
    assert_eq!(part.duration.unwrap().as_secs(), 60 + 2 * 30, "two thirds were not");
    let uncounted = done(Survey { part: None, ..survey(FoundBy::Part, 510) }, None, 10);
    assert_eq!((uncounted.bytes_written, uncounted.duration), (Some(50_000), None));
    // The time was over before the sample had a record.
    let unseen = done(survey(FoundBy::Part, 510), None, 0);
    assert_eq!(unseen.bytes_written, Some(5_200), "four bytes of values a record, as JSON");
    let sizeless = done(Survey { values: None, ..survey(FoundBy::Part, 510) }, None, 0);
    assert_eq!((sizeless.records, sizeless.bytes_written, sizeless.duration), (Some(500), None, None));
    // What is only likely is not all that there is, however little it is.
    let little = |found_by| done(survey(found_by, 20), Some(20).filter(|_| found_by != FoundBy::Part), 10);
    assert!(little(FoundBy::Counting).is_whole && !little(FoundBy::Part).is_whole);
    let none = done(survey(FoundBy::Part, 0), None, 0);
    assert_eq!((none.records, none.is_whole), (Some(0), false));
}

#[tokio::test]
async fn a_sample_of_all_that_a_query_asks_for_is_the_whole_whatever_else_there_is() {
    let mut job = willcall_conformance::samples::job("acme");
    job.dry_run = Some(dry_run(10, 0));
    job = job.apply(&willcall_conformance::samples::claim(), START).unwrap();
    let mut complete = willcall_conformance::samples::complete(1);
    if let Transition::Complete { records_found, survey, .. } = &mut complete {
        *records_found = None;
        *survey = Some(Box::new(Survey {
            found_by: FoundBy::Part,
            at_least: 10,
            at_most: None,
            likely: 5_000,
            bytes_read: 5,
            whole_files: true,
            values: None,
            part: None,
        }));
    }
    let estimate = job.apply(&complete, START.plus(MINUTE)).unwrap().estimate().unwrap();
    assert_eq!((estimate.records, estimate.bytes_written, estimate.is_whole), (Some(10), Some(100), true));
}

#[tokio::test]
async fn a_job_that_delivers_keeps_no_survey() {
    let mut job = willcall_conformance::samples::job("acme");
    job = job.apply(&willcall_conformance::samples::claim(), START).unwrap();
    let told = Survey {
        found_by: FoundBy::Counting,
        at_least: 1,
        at_most: Some(1),
        likely: 1,
        bytes_read: 1,
        whole_files: true,
        values: None,
        part: None,
    };
    let mut complete = willcall_conformance::samples::complete(1);
    if let Transition::Complete { survey, .. } = &mut complete {
        *survey = Some(Box::new(told));
    }
    assert_eq!(job.apply(&complete, START.plus(MINUTE)).unwrap().dry_run, None);
}
