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
    let (control, running) = started(&data).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while control.stage() != Stage::Reading {
        assert!(Instant::now() < deadline, "still {:?}", control.stage());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    control.cancel();
    running.await.unwrap().unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_in_the_words_of_statements_and_of_data_sets() {
    let data = data();
    for (sql, expected) in [
        ("SELECT 'a' + 1 AS x", "text + int64 is not defined: cast one of them"),
        (
            "SELECT at + 1 AS x FROM big",
            "timestamp + int64 is not defined: cast one of them (line 1, column 8)",
        ),
        (
            "SELECT 1 AS nosuchx, of FROM big f\nGROUP BY of HAVING sum(f.nosuch) > 1",
            "there is no column f.nosuch (line 2, column 26)",
        ),
        ("SELECT 'nosuch', nosuch FROM big f", "there is no column nosuch (line 1, column 18)"),
        ("SELECT g.n FROM big f", "there is no column g.n; did you mean 'f.n'? (line 1, column 8)"),
        (
            "SELECT n, count(*) FROM big",
            "column \"big.n\" must appear in the GROUP BY clause or must be part of an aggregate function, currently only \
             \"count(*)\" appears in the SELECT clause satisfies this requirement (line 1, column 8)",
        ),
        ("SELECT *, n FROM big", "there are two columns \"big.n\": name them apart with AS"),
        (
            "SELECT n FROM big a JOIN big b ON a.n = b.n",
            "several tables have a column n: write the table before it (line 1, column 8)",
        ),
        ("SELECT CAST(text AS bigint) AS x FROM big", "Cannot cast string 'text 0' to value of int64 type"),
        (
            "SELECT CAST(123.45 AS decimal(3, 2)) AS x",
            "123.45 is too large to store in a decimal of precision 3. Max is 9.99",
        ),
        ("SELECT sum(text) FROM big", "the function 'sum' does not take arguments of these types"),
        ("SELECT abs(text) FROM big", "Function 'abs' expects Numeric but received String"),
        (
            "SELECT abs(-9223372036854775808) AS x",
            "a number is too large for its type: abs(-9223372036854775808)",
        ),
        ("SELECT n FROM big x, big x", "two tables that are read have one name: name them apart with AS"),
        (
            "SELECT m + 1 AS x FROM (SELECT CAST('99999999999999999999999999999999999999' AS decimal(38, 0)) AS m) x",
            "the result does not fit the type decimal(38, 0): cast to a wider type first, as in CAST(x AS double)",
        ),
    ] {
        assert_eq!(failed(&data, config(), sql).await.1, expected, "{sql}");
    }
}
