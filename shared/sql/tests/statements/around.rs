//! What is around the records: names of columns, files that are read, the stage.

use willcall_core::job::Stage;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn columns_without_a_name_are_called_after_their_expressions_and_never_after_values() {
    let data = data();
    for (sql, expected) in [
        (
            "SELECT $x, count(*), count(*) FILTER (WHERE n > $x) FROM big",
            "$x,count(*),count(*) FILTER (WHERE n > $x)\n@,20000,19939\n",
        ),
        (
            "SELECT * FROM (SELECT max(n), upper('a') FROM big WHERE n < $x + 0.5) x",
            "max(n),upper('a')\n60,A\n",
        ),
        (
            "WITH m AS (SELECT max(n) FROM big) SELECT \"max(n)\" + 1 FROM m WHERE 1 < $x",
            "\"\"\"max(n)\"\" + 1\"\n20000\n",
        ),
        ("SELECT DISTINCT n % 3 FROM big WHERE n < $x ORDER BY n % 3 DESC", "n % 3\n2\n1\n0\n"),
        (
            "SELECT n % 2, count(*) FROM big WHERE n < $x GROUP BY n % 2 ORDER BY count(*), n % 2",
            "n % 2,count(*)\n0,30\n1,30\n",
        ),
        (
            "SELECT n % 2, sum(n) FROM big WHERE n < $x GROUP BY 1 HAVING sum(n) > 870 ORDER BY sum(n)",
            "n % 2,sum(n)\n1,900\n",
        ),
        ("SELECT n + 1 FROM big WHERE n < 2 UNION ALL SELECT $x + 1 ORDER BY 1", "n + 1\n1\n2\n61\n"),
        (
            "SELECT (SELECT max(n) FROM big), n FROM big WHERE n IN (SELECT id + 1 FROM names) AND n < $x ORDER BY 2",
            "(SELECT max(n) FROM big),n\n19999,1\n19999,2\n19999,3\n19999,8\n",
        ),
        (
            "SELECT sum(n) OVER w FROM big WHERE n < 2 AND n < $x WINDOW w AS (ORDER BY n)",
            "sum(n) OVER w\n0\n1\n",
        ),
        ("SELECT CAST(n AS text), -n FROM big WHERE n = 3 AND n < $x", "CAST(n AS TEXT),-n\n3,-3\n"),
        (
            "SELECT DISTINCT ON (n % 2) n % 2, n FROM big WHERE n < $x ORDER BY n % 2, n DESC",
            "n % 2,n\n0,58\n1,59\n",
        ),
        (
            "SELECT row_number() OVER (ORDER BY n) FROM big WHERE n < $x QUALIFY row_number() OVER (ORDER BY n) = 2",
            "row_number() OVER (ORDER BY n)\n2\n",
        ),
    ] {
        let parameters = BTreeMap::from([("x".to_owned(), SqlValue::Int64(60))]);
        let ran = run(&data, SqlWork { parameters, ..work(sql, Format::Csv) }).await;
        assert_eq!(ran.text(), expected.replace('@', "60"), "{sql}");
    }
}

/// Files by year and month, of three records each.
async fn by_month() -> (TempDir, Arc<Dataset>) {
    let dir = TempDir::new().unwrap();
    for (year, month) in [(2024, 12), (2025, 1), (2025, 2), (2025, 3)] {
        let within = dir.path().join(format!("months/year={year}/month={month}"));
        fs::create_dir_all(&within).unwrap();
        let n: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        write_parquet(&within.join("a.parquet"), &[RecordBatch::try_from_iter([("n", n)]).unwrap()], 10);
    }
    let dataset = dataset(&dir.path().join("months"), "months").await;
    (dir, dataset)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_directories_rule_out_are_not_counted_as_read() {
    let (dir, months) = by_month().await;
    for (sql, files_read) in [
        ("SELECT * FROM months", 4),
        ("SELECT * FROM months WHERE year = 2025", 3),
        ("SELECT * FROM months WHERE year = 2025 AND month = 1", 1),
        ("SELECT a.n FROM months a JOIN months b ON a.n = b.n WHERE a.month = 1 AND b.month = 2", 2),
        ("SELECT a.n FROM months a JOIN months b ON a.n = b.n WHERE a.month = 1 AND b.month = 1", 1),
        ("SELECT * FROM months WHERE year = 1999", 0),
    ] {
        let blobs = Arc::new(MemoryBlobs::default());
        let work = SqlWork { datasets: vec!["months".into()], ..work(sql, Format::Csv) };
        let task = task_over(vec![Arc::clone(&months)], work, &blobs);
        let executor = SqlExecutor::new(limits(dir.path()), config(), local());
        let delivered = executor.execute(task).await.unwrap();
        let read = &delivered.datasets[0];
        assert_eq!((read.files, read.files_read), (4, files_read), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_reads_before_it_writes() {
    let data = data();
    let blobs = Arc::new(MemoryBlobs::default());
    let task = task(&data, work(LONG, Format::Csv), &blobs).await;
    let control = Arc::clone(&task.control);
    let executor = SqlExecutor::new(limits(data.dir.path()), config(), local());
    let running = tokio::spawn(async move { executor.execute(task).await });
    let deadline = Instant::now() + Duration::from_secs(30);
    while control.stage() != Stage::Reading {
        assert!(Instant::now() < deadline, "still {:?}", control.stage());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    control.cancel();
    running.await.unwrap().unwrap_err();
}
