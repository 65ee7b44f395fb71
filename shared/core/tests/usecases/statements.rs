//! Whole statements, from what a client writes to what a worker gets.

use willcall_core::{
    job::{
        ResultSummary,
        kinds::{SqlValue, SqlWork, Work},
    },
    usecases::{AboutDraft, Draft, SqlDraft, submit::Receipt},
};

use super::*;

fn plan() -> Plan {
    Plan::default_named("pro")
}

fn statement(sql: &str) -> SqlDraft {
    let about = AboutDraft { format: Some("jsonl".into()), ..AboutDraft::default() };
    SqlDraft { sql: sql.into(), about, ..SqlDraft::default() }
}

fn with_sql() -> Plan {
    Plan { sql: true, ..plan() }
}

/// A catalog with a data set beside `flights` that no plan here allows.
fn two(plan: Plan) -> Catalog {
    let mut catalog = catalog(plan);
    let mut salaries = (*catalog.datasets["flights"]).clone();
    salaries.name = "salaries".into();
    catalog.datasets.insert("salaries".into(), Arc::new(salaries));
    catalog
}

async fn ask(world: &World, plan: Plan, draft: SqlDraft, dry_run: bool) -> Result<Receipt, Error> {
    let caller = Caller { plan, ..world.caller() };
    let submission = Submission {
        dry_run,
        ..Submission::new(Draft::Sql(Box::new(draft)), json!({"sql": "as it was sent"}))
    };
    usecases::submit::submit(&world.app, &caller, submission).await
}

fn work_of(receipt: &Receipt) -> &SqlWork {
    let Work::Sql(work) = &receipt.view.request.work else { panic!("no statement") };
    work
}

#[tokio::test]
async fn a_statement_runs_from_submit_to_manifest() {
    let world = World::delivering();
    let mut draft = statement("SELECT carrier FROM flights WHERE flight > $n");
    draft.parameters.insert("n".into(), json!(1));
    let receipt = ask(&world, with_sql(), draft, false).await.unwrap();
    let work = work_of(&receipt);
    assert_eq!(
        (work.datasets.as_slice(), &work.parameters["n"]),
        (&["flights".to_owned()][..], &SqlValue::Int64(1))
    );
    let job = receipt.view.job;
    assert_eq!((job.kind.as_str(), job.dataset.as_deref()), ("query", None));
    assert_eq!(world.work(&job.reference()).await, Disposition::Done);
    let tasks = world.executor.tasks();
    assert_eq!(tasks[0].subject.datasets()[0].name, "flights");
    let manifest = results::manifest(&world.app, &world.caller(), job.id).await.unwrap();
    assert_eq!(
        (manifest.sources[0].dataset.as_str(), manifest.sources[0].version.as_str()),
        ("flights", "v1")
    );
    assert!(manifest.source.is_none());
}

#[tokio::test]
async fn a_plan_without_sql_has_no_statements() {
    let world = World::delivering();
    let refused = ask(&world, plan(), statement("DROP TABLE x"), false).await;
    assert!(matches!(refused, Err(Error::NotInPlan { what: "sql", .. })), "whatever the statement is");
    assert!(world.queue.receive().is_none());
}

#[tokio::test]
async fn a_data_set_that_the_plan_does_not_allow_looks_like_none() {
    let world = World::delivering();
    world.catalog.set(two(with_sql()));
    let narrow = Plan { datasets: Some(["flights".to_owned()].into()), ..with_sql() };
    let told = async |name: &str| match ask(
        &world,
        narrow.clone(),
        statement(&format!("SELECT * FROM {name}")),
        false,
    )
    .await
    {
        Err(Error::Invalid(errors)) => errors[0].detail.replace(name, "it"),
        other => panic!("{other:?}"),
    };
    assert_eq!(told("salaries").await, told("xalaries").await);
    assert!(ask(&world, with_sql(), statement("SELECT * FROM salaries"), false).await.is_ok());
}

#[tokio::test]
async fn a_data_set_that_went_since_fails_the_job() {
    let world = World::delivering();
    let receipt = ask(&world, with_sql(), statement("SELECT * FROM flights"), false).await.unwrap();
    let mut emptied = catalog(with_sql());
    emptied.datasets.clear();
    world.catalog.set(emptied);
    let job = receipt.view.job.reference();
    world.work(&job).await;
    let view = jobs::status(&world.app, &world.caller(), job.job, Duration::ZERO).await.unwrap();
    assert_eq!(view.job.error.map(|problem| problem.kind), Some(ProblemType::Conflict));
}

#[tokio::test]
async fn an_equal_statement_over_equal_data_serves_and_nothing_else_does() {
    let world = World::delivering();
    world.catalog.set(two(with_sql()));
    let asked = |sql: &str| SqlDraft { reuse: Some(true), ..statement(sql) };
    let sql = "SELECT * FROM flights f JOIN salaries s ON f.flight = s.flight";
    let first = ask(&world, with_sql(), statement(sql), false).await.unwrap().view.job.id;
    let served = ask(&world, with_sql(), asked(sql), false).await.unwrap();
    assert_eq!((served.view.job.id, served.view.reused), (first, true));
    for other in [
        asked(&sql.replace("f JOIN", "f  JOIN")),
        SqlDraft { limit: Some(1), ..asked(sql) },
        SqlDraft { offset: 1, ..asked(sql) },
    ] {
        assert_ne!(ask(&world, with_sql(), other, false).await.unwrap().view.job.id, first);
    }
    let mut changed = two(with_sql());
    let mut salaries = (*changed.datasets["salaries"]).clone();
    salaries.facts.version = "v2".into();
    changed.datasets.insert("salaries".into(), Arc::new(salaries));
    world.catalog.set(changed);
    let later = ask(&world, with_sql(), asked(sql), false).await.unwrap();
    assert_ne!(later.view.job.id, first, "the data of one of its data sets is another");
}

#[tokio::test]
async fn a_dry_run_that_gives_more_than_its_sample_tells_what_it_knows() {
    let world = World::delivering();
    world.catalog.set(two(with_sql()));
    let sql = "SELECT * FROM flights UNION ALL SELECT * FROM salaries";
    let receipt = ask(&world, Plan { max_records: 5_000, ..with_sql() }, statement(sql), true).await.unwrap();
    assert_eq!(work_of(&receipt).limit, Some(1_000));
    let mut job = receipt.view.job;
    assert_eq!(job.dry_run.as_ref().unwrap().dataset_bytes, 200, "those of all data sets");
    job.state = JobState::Completed;
    let result = |records| ResultSummary {
        attempt: 1,
        records,
        bytes: records * 10,
        files: 1,
        pages: None,
        sha256: String::new(),
        truncated: None,
    };
    job.result = Some(result(1_000));
    let more = job.estimate().unwrap();
    assert_eq!(
        (more.records_found, more.records, more.bytes_written, more.bytes_read),
        (None, None, None, 200)
    );
    job.progress.records_found = Some(7_000);
    assert_eq!(job.estimate().unwrap().records, Some(5_000), "counted, and cut by the plan");
    job.progress.records_found = None;
    job.result = Some(result(999));
    let all = job.estimate().unwrap();
    assert_eq!((all.records_found, all.bytes_written), (Some(999), Some(9_990)), "it ended by itself");
}
