//! Statements over data sets of several formats, given straight to the executor: no submit has checked them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "statements/around.rs"]
mod around;
#[path = "statements/numbers.rs"]
mod numbers;
#[path = "../../engine/tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{
    ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    builder::{Int64Builder, ListBuilder},
};
use support::{MemoryBlobs, Ran, Shared, local, write_parquet};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use willcall_core::{
    JobId, JobRef,
    catalog::{Dataset, DatasetSource},
    format::{Format, OutputFormat},
    job::{
        ProblemType, TruncationReason,
        kinds::{SqlValue, SqlWork, Work},
    },
    ports::*,
};
use willcall_engine::{EngineConfig, ParquetInspector};
use willcall_sql::{SqlConfig, SqlExecutor};

const ROWS: i64 = 20_000;

struct Data {
    dir: TempDir,
}

/// `big` in two Parquet files, and `names` in CSV.
fn data() -> Data {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("big")).unwrap();
    for (file, from) in [("a.parquet", 0), ("b.parquet", ROWS / 2)] {
        write_parquet(&dir.path().join("big").join(file), &[big(from, from + ROWS / 2)], 1_000);
    }
    fs::write(dir.path().join("names.csv"), "id,name\n0,zero\n1,one\n2,\n7,seven\n").unwrap();
    Data { dir }
}

fn big(from: i64, to: i64) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    let of: ArrayRef = Arc::new(Int64Array::from_iter((from..to).map(|n| (n % 10 != 9).then_some(n % 10))));
    let money = Decimal128Array::from_iter_values((from..to).map(|n| i128::from(n) * 25));
    let money: ArrayRef = Arc::new(money.with_precision_and_scale(12, 2).unwrap());
    let at = TimestampMicrosecondArray::from_iter_values((from..to).map(|n| n * 1_000_000));
    let at: ArrayRef = Arc::new(at.with_timezone("UTC"));
    let text: ArrayRef = Arc::new(StringArray::from_iter_values((from..to).map(|n| format!("text {n}"))));
    let mut list = ListBuilder::new(Int64Builder::new());
    (from..to).for_each(|n| list.append_value([Some(n), None]));
    let list: ArrayRef = Arc::new(list.finish());
    let columns = [("n", n), ("of", of), ("money", money), ("at", at), ("text", text), ("list", list)];
    RecordBatch::try_from_iter(columns).unwrap()
}

async fn dataset(path: &Path, name: &str) -> Arc<Dataset> {
    let source = DatasetSource::at(path.to_str().unwrap());
    let facts = ParquetInspector::new(local()).inspect(&source).await.unwrap();
    let (description, views) = Default::default();
    Arc::new(Dataset { name: name.into(), description, source, views, facts })
}

fn work(sql: &str, format: Format) -> SqlWork {
    SqlWork {
        sql: sql.into(),
        parameters: BTreeMap::new(),
        datasets: vec!["big".into(), "names".into()],
        limit: None,
        offset: 0,
        max_records: u64::MAX,
        output: OutputFormat::plain(format),
        page_size: 1000,
    }
}

fn limits(dir: &Path) -> EngineConfig {
    let spill_limit = Some(16 << 20);
    EngineConfig { threads: 2, sort_memory: 32 << 20, spill_limit, ..EngineConfig::new(dir.join("spill")) }
}

fn config() -> SqlConfig {
    let program = env!("CARGO_BIN_EXE_willcall-statement").into();
    SqlConfig { program, memory: 1 << 30, time: Duration::from_secs(60) }
}

async fn task(data: &Data, work: SqlWork, blobs: &Arc<MemoryBlobs>) -> Task {
    let big = dataset(&data.dir.path().join("big"), "big").await;
    let names = dataset(&data.dir.path().join("names.csv"), "names").await;
    task_over(vec![big, names], work, blobs)
}

fn task_over(datasets: Vec<Arc<Dataset>>, work: SqlWork, blobs: &Arc<MemoryBlobs>) -> Task {
    let job = JobRef { account: "acme".parse().unwrap(), job: JobId::generate() };
    Task {
        job: job.clone(),
        attempt: 1,
        work: Arc::new(Work::Sql(Box::new(work))),
        subject: Subject::Datasets(datasets),
        snapshot: job,
        input: Input::Work,
        max_bytes: None,
        blobs: Arc::new(Shared(Arc::clone(blobs))),
        control: Arc::new(Control::default()),
    }
}

async fn try_with(data: &Data, config: SqlConfig, work: SqlWork) -> Result<Ran, ExecuteError> {
    let blobs = Arc::new(MemoryBlobs::default());
    let task = task(data, work, &blobs).await;
    let executor = SqlExecutor::new(limits(data.dir.path()), config, local());
    let delivered = executor.execute(task.clone()).await?;
    Ok(Ran { delivered, task, blobs })
}

async fn run(data: &Data, work: SqlWork) -> Ran {
    try_with(data, config(), work).await.unwrap()
}

async fn failed(data: &Data, config: SqlConfig, sql: &str) -> (ProblemType, String) {
    match try_with(data, config, work(sql, Format::Csv)).await.err().unwrap_or_else(|| panic!("{sql} ran")) {
        ExecuteError::Fatal { problem, .. } => (problem.kind, problem.detail),
        other => panic!("{sql}: {other:?}"),
    }
}

/// Children of this process that run a statement.
fn children() -> usize {
    let own = std::process::id().to_string();
    let of_ours = |entry: &fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        stat.contains("(willcall-statem") && after.split(' ').nth(1) == Some(&own)
    };
    fs::read_dir("/proc").unwrap().flatten().filter(of_ours).count()
}

fn nothing_is_put_aside(data: &Data) {
    let left = fs::read_dir(data.dir.path().join("spill")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

async fn no_child_is_left() {
    let deadline = Instant::now() + Duration::from_secs(5);
    while children() > 0 {
        assert!(Instant::now() < deadline, "{} are left", children());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_sets_of_two_formats_are_joined_grouped_and_ordered() {
    let data = data();
    for (sql, expected) in [
        (
            "SELECT coalesce(name, '-') AS name, count(*) AS k, sum(money) AS m FROM big LEFT JOIN names ON of = id \
             WHERE n < 40 GROUP BY 1 ORDER BY 2 DESC, 1",
            "name,k,m\n-,28,142.00\none,4,16.00\nseven,4,22.00\nzero,4,15.00\n",
        ),
        (
            "WITH x AS (SELECT n, of, rank() OVER (PARTITION BY of ORDER BY n DESC) AS r FROM big) \
             SELECT n, of FROM x WHERE r = 1 AND of IN (SELECT id FROM names) ORDER BY n",
            "n,of\n19990,0\n19991,1\n19992,2\n19997,7\n",
        ),
        (
            "SELECT at, money, list FROM big WHERE n = 3",
            "at,money,list\n1970-01-01T00:00:03Z,0.75,\"[3,null]\"\n",
        ),
        ("SELECT count(*) AS k, count(of) AS o FROM big", "k,o\n20000,18000\n"),
        ("SELECT NULL AS nothing, 1 AS one", "nothing,one\n,1\n"),
        ("SELECT n FROM big WHERE n < 2 UNION ALL SELECT id FROM names", "n\n0\n1\n0\n1\n2\n7\n"),
        ("SELECT n FROM big WHERE n < 0", "n\n"),
    ] {
        assert_eq!(run(&data, work(sql, Format::Csv)).await.text(), expected, "{sql}");
    }
    no_child_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_without_an_order_gives_the_same_bytes_whatever_the_cores() {
    let data = data();
    let sql = "SELECT of, avg(n / 3.7e0) AS a, count(*) AS k FROM (SELECT of, n FROM big UNION ALL SELECT id, id AS n FROM names) \
               GROUP BY of";
    let mut all = Vec::new();
    for threads in [1, 2, 7] {
        let blobs = Arc::new(MemoryBlobs::default());
        let task = task(&data, work(sql, Format::Jsonl), &blobs).await;
        let limits = EngineConfig { threads, ..limits(data.dir.path()) };
        let delivered = SqlExecutor::new(limits, config(), local()).execute(task.clone()).await.unwrap();
        all.push(Ran { delivered, task, blobs }.text());
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    assert_eq!(all[0].lines().count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_has_the_records_and_text_has_its_pages() {
    let data = data();
    for format in Format::ALL {
        let ran = run(&data, work("SELECT n, text FROM big ORDER BY n DESC", format)).await;
        let delivered = &ran.delivered;
        assert_eq!((delivered.records, delivered.records_found), (20_000, Some(20_000)), "{format:?}");
        assert_eq!(delivered.datasets.len(), 2);
        assert_eq!(delivered.schema[1].name, "text");
        assert_eq!(delivered.pages.is_some(), format.is_text());
        if format == Format::Csv {
            let pages = ran.pages();
            assert_eq!(pages.len(), 20);
            assert!(pages[1].starts_with("n,text\n18999,text 18999\n"), "{}", &pages[1][..60]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_offset_and_plan_cut_the_result_and_say_so() {
    let data = data();
    let all = work("SELECT n FROM big ORDER BY n", Format::Csv);
    let cut = run(&data, SqlWork { limit: Some(2), offset: 3, ..all.clone() }).await;
    assert_eq!((cut.text().as_str(), cut.delivered.truncated.clone()), ("n\n3\n4\n", None));
    let plan = run(&data, SqlWork { max_records: 3, ..all.clone() }).await;
    let truncated = plan.delivered.truncated.clone().unwrap();
    assert_eq!((truncated.reason, truncated.limit), (TruncationReason::PlanLimit, 3));
    assert_eq!((plan.text().as_str(), plan.delivered.records_found), ("n\n0\n1\n2\n", None));
    let just = run(&data, SqlWork { max_records: 20_000, ..all.clone() }).await;
    assert_eq!((just.delivered.truncated.clone(), just.delivered.records_found), (None, Some(20_000)));
    let past = run(&data, SqlWork { offset: 30_000, ..all.clone() }).await;
    assert_eq!((past.text().as_str(), past.delivered.records_found), ("n\n", Some(20_000)));
    let blobs = Arc::new(MemoryBlobs::default());
    let day = Task { max_bytes: Some(1_000), ..task(&data, all, &blobs).await };
    let executor = SqlExecutor::new(limits(data.dir.path()), config(), local());
    let delivered = executor.execute(day).await.unwrap();
    assert_eq!(delivered.truncated.unwrap().reason, TruncationReason::DailyLimit);
    assert!(delivered.records < 20_000);
    no_child_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn placeholders_are_values_and_no_text() {
    let data = data();
    let sql = "SELECT $t AS t, $d AS d, $i + 1 AS i, $f AS f, $x AS x, $b AS b, $z AS z, count(*) AS k FROM names \
               WHERE name = $t OR $z IS NOT NULL";
    let values = [
        ("t", SqlValue::Text("o' OR '1'='1".into())),
        ("d", SqlValue::Date("2024-02-29".into())),
        ("i", SqlValue::Int64(i64::MIN)),
        ("f", SqlValue::Float64(0.5)),
        ("x", SqlValue::Decimal("-1.050".into())),
        ("b", SqlValue::Boolean(true)),
        ("z", SqlValue::Null),
    ];
    let parameters = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let ran = run(&data, SqlWork { parameters, ..work(sql, Format::Csv) }).await;
    assert_eq!(
        ran.text(),
        "t,d,i,f,x,b,z,k\no' OR '1'='1,2024-02-29,-9223372036854775807,0.5,-1.050,true,,0\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_submit_refuses_does_nothing_here_either() {
    let data = data();
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM generate_series(1, 1000)",
        "SELECT repeat('x', 1000000000)",
        "SELECT version()",
        "SELECT random()",
        "SELECT uuid()",
        "SELECT arrow_cast(1, 'Utf8')",
        "COPY names TO '/tmp/willcall-must-not-be.csv'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO names VALUES (1, 'x')",
        "SET datafusion.execution.batch_size = 1",
        "SHOW TABLES",
        "EXPLAIN ANALYZE SELECT * FROM big",
        "DROP TABLE names",
        "SELECT 1; DROP TABLE names",
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT * FROM x",
        "SELECT $missing",
        "",
    ] {
        let (kind, detail) = failed(&data, config(), sql).await;
        assert_eq!(kind, ProblemType::InvalidRequest, "{sql}: {detail}");
        assert!(!detail.contains("root:"), "{detail}");
    }
    assert!(!Path::new("/tmp/willcall-must-not-be.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_their_place_and_what_fails_later_in_words() {
    let data = data();
    for (sql, kind, words) in [
        ("SELECT nn\nFROM big", ProblemType::InvalidRequest, "line 1, column 8"),
        ("SELECT n FROM big WHERE", ProblemType::InvalidRequest, ""),
        ("SELECT 1 / (n - n) AS x FROM big", ProblemType::EngineFailed, "ivi"),
        ("SELECT CAST(text AS BIGINT) AS x FROM big", ProblemType::EngineFailed, "text 0"),
        ("SELECT n, of AS n FROM big", ProblemType::InvalidRequest, "n"),
        ("SELECT at - at AS x FROM big", ProblemType::InvalidRequest, "CAST"),
    ] {
        let (was, detail) = failed(&data, config(), sql).await;
        assert_eq!(was, kind, "{sql}: {detail}");
        assert!(detail.contains(words), "{sql}: {detail}");
        assert!(!detail.contains(".rs:") && !detail.contains("DataFusion"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_more_memory_than_there_is_fails_and_leaves_no_child() {
    let data = data();
    let small = || SqlConfig { memory: 192 << 20, ..config() };
    for sql in [
        "SELECT a.text || b.text AS t, count(*) AS k FROM big a CROSS JOIN big b GROUP BY 1",
        "SELECT length(string_agg(a.text || b.text, ',')) AS l FROM big a CROSS JOIN big b",
        "SELECT length(t || t || t || t || t || t || t || t) AS l FROM (SELECT replace(replace(replace(replace(replace(text, \
         't', 'tttttttttttttttttttt'), 't', 'tttttttttttttttttttt'), 't', 'tttttttttttttttttttt'), 't', \
         'tttttttttttttttttttt'), 't', 'tttttttttttttttttttt') AS t FROM big) x",
    ] {
        let (kind, detail) = failed(&data, small(), sql).await;
        assert_eq!(kind, ProblemType::EngineFailed, "{sql}: {detail}");
        assert!(detail.contains("memory"), "{sql}: {detail}");
    }
    no_child_is_left().await;
    nothing_is_put_aside(&data);
}

/// Takes minutes at the least.
const LONG: &str = "SELECT count(*) AS k FROM big a CROSS JOIN big b WHERE a.text || b.text LIKE '%x1%y'";

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_fails_and_says_so() {
    let data = data();
    let hasty = SqlConfig { time: Duration::from_secs(1), ..config() };
    let (kind, detail) = failed(&data, hasty, LONG).await;
    assert_eq!(kind, ProblemType::EngineFailed);
    assert!(detail.contains("longer than the 1 s"), "{detail}");
    no_child_is_left().await;
}

/// A statement that takes long, on its way.
async fn started(data: &Data) -> (Arc<Control>, JoinHandle<Result<Delivered, ExecuteError>>) {
    let task = task(data, work(LONG, Format::Csv), &Arc::new(MemoryBlobs::default())).await;
    let control = Arc::clone(&task.control);
    let executor = SqlExecutor::new(limits(data.dir.path()), config(), local());
    (control, tokio::spawn(async move { executor.execute(task).await }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_child() {
    let data = data();
    let (control, running) = started(&data).await;
    while children() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    control.cancel();
    assert!(matches!(running.await.unwrap(), Err(ExecuteError::Cancelled)));
    no_child_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_dropped_ends_the_child() {
    let data = data();
    let (_, running) = started(&data).await;
    while children() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.abort();
    no_child_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_reads_the_files_of_the_first_and_a_change_is_a_conflict() {
    let data = data();
    let blobs = Arc::new(MemoryBlobs::default());
    let first = task(&data, work("SELECT count(*) AS k FROM big, names", Format::Csv), &blobs).await;
    let executor = SqlExecutor::new(limits(data.dir.path()), config(), local());
    let one = executor.execute(first.clone()).await.unwrap();
    write_parquet(&data.dir.path().join("big/c.parquet"), &[big(0, 5)], 10);
    let second = Task { attempt: 2, control: Arc::default(), ..first.clone() };
    assert_eq!(executor.execute(second).await.unwrap(), one);
    for change in ["changed", "gone"] {
        let path = data.dir.path().join("big/b.parquet");
        match change {
            "changed" => write_parquet(&path, &[big(0, 6)], 10),
            _ => fs::remove_file(&path).unwrap(),
        }
        let third = Task { attempt: 3, control: Arc::default(), ..first.clone() };
        match executor.execute(third).await.unwrap_err() {
            ExecuteError::Fatal { problem, .. } => {
                assert_eq!(problem.kind, ProblemType::Conflict, "{change}");
                assert!(problem.detail.contains("b.parquet"), "{}", problem.detail);
            }
            other => panic!("{other:?}"),
        }
    }
}
