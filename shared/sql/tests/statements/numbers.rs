//! Numbers: what is too large for its type fails, and what is compared is compared with all its digits.

use arrow_array::{
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, UInt8Array, UInt16Array, UInt64Array,
};

use super::*;

/// Two records at the ends of what their types hold, and one of nulls.
async fn numbers() -> (TempDir, Arc<Dataset>) {
    let dir = TempDir::new().unwrap();
    let money = Decimal128Array::from(vec![Some(123_456_789_012_345_678_901_234), Some(10_500), None]);
    let most = Decimal128Array::from(vec![Some(10_i128.pow(38) - 1), Some(1), None]);
    let columns: [(&str, ArrayRef); 13] = [
        ("k", Arc::new(Int64Array::from(vec![Some(1), Some(1), None]))),
        ("i8", Arc::new(Int8Array::from(vec![Some(i8::MIN), Some(100), None]))),
        ("i16", Arc::new(Int16Array::from(vec![Some(1301), Some(i16::MIN), None]))),
        ("i32", Arc::new(Int32Array::from(vec![Some(4983), Some(2), None]))),
        ("i64", Arc::new(Int64Array::from(vec![Some(i64::MAX), Some(i64::MAX), None]))),
        ("low", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(5), None]))),
        ("u8", Arc::new(UInt8Array::from(vec![Some(200), Some(3), None]))),
        ("u16", Arc::new(UInt16Array::from(vec![Some(3), Some(5), None]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(1), None]))),
        ("d", Arc::new(money.with_precision_and_scale(24, 4).unwrap())),
        ("most", Arc::new(most.with_precision_and_scale(38, 0).unwrap())),
        ("f", Arc::new(Float64Array::from(vec![Some(0.1), Some(0.30000000000000004), None]))),
        ("r", Arc::new(Float32Array::from(vec![Some(0.1), Some(0.5), None]))),
    ];
    write_parquet(&dir.path().join("t.parquet"), &[RecordBatch::try_from_iter(columns).unwrap()], 10);
    let dataset = dataset(&dir.path().join("t.parquet"), "t").await;
    (dir, dataset)
}

async fn asked(sql: &str) -> Result<String, String> {
    let (dir, dataset) = numbers().await;
    let blobs = Arc::new(MemoryBlobs::default());
    let work = SqlWork { datasets: vec!["t".into()], ..work(sql, Format::Csv) };
    let task = task_over(vec![dataset], work, &blobs);
    let executor = SqlExecutor::new(limits(dir.path()), config(), local());
    match executor.execute(task.clone()).await {
        Ok(delivered) => Ok(Ran { delivered, task, blobs }.text()),
        Err(ExecuteError::Fatal { problem, .. }) => {
            assert_eq!(problem.kind, ProblemType::EngineFailed, "{sql}: {}", problem.detail);
            Err(problem.detail)
        }
        Err(other) => panic!("{sql}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_its_type_fails_wherever_it_is_reckoned() {
    for (sql, words) in [
        ("SELECT max(i16 * i16) AS m FROM t", "1301 * 1301 does not fit the type int16"),
        ("SELECT avg(i16 * i16) AS m FROM t", "CAST(x AS bigint)"),
        ("SELECT i32 * i32 * i32 AS x FROM t", "does not fit the type int32"),
        ("SELECT i64 + 1 AS x FROM t", "9223372036854775807 + 1 does not fit the type int64"),
        ("SELECT i64 + 1 AS x FROM t", "CAST(x AS decimal(38, 0))"),
        ("SELECT low - 1 AS x FROM t", "int64"),
        ("SELECT u64 * u64 AS x FROM t", "uint64"),
        ("SELECT u8 - u16 AS x FROM t WHERE u8 = 3", "3 - 5 does not fit the type uint16"),
        ("SELECT i8 + i8 AS x FROM t", "int8"),
        ("SELECT -i8 AS x FROM t", "does not fit the type int8"),
        ("SELECT -low AS x FROM t", "int64"),
        ("SELECT abs(low) AS x FROM t", "too large for its type"),
        ("SELECT 9223372036854775807 + 1 AS x", "int64"),
        ("SELECT k FROM t WHERE i64 + k > 0", "int64"),
        ("SELECT k FROM t ORDER BY i64 + k", "int64"),
        ("SELECT i64 + k AS x, count(*) AS n FROM t GROUP BY i64 + k", "int64"),
        ("SELECT a.k FROM t a JOIN t b ON a.i64 + a.k = b.i64", "int64"),
        ("SELECT a.k FROM t a JOIN t b ON a.k = b.k AND a.i64 * b.i64 > b.low", "int64"),
        ("SELECT k FROM t WHERE EXISTS (SELECT 1 FROM t b WHERE b.i64 + t.i64 > 0)", "int64"),
        ("SELECT (SELECT max(i64) FROM t) + 1 AS x", "int64"),
        ("SELECT max(i64 * k) FILTER (WHERE i64 + i64 > 0) AS x FROM t", "int64"),
        ("SELECT max(i64 * 2) OVER (PARTITION BY k) AS x FROM t", "int64"),
        ("SELECT CASE WHEN k = 1 THEN i64 * 2 ELSE 0 END AS x FROM t", "int64"),
        ("SELECT sum(i64) AS s FROM t", "the sum does not fit the type int64"),
        ("SELECT k, sum(i64) AS s FROM t GROUP BY k", "the sum does not fit the type int64"),
        ("SELECT sum(u64) AS s FROM t", "the sum does not fit the type uint64"),
        ("SELECT sum(DISTINCT i64 - k + low + 5) AS s, count(DISTINCT k) AS n FROM t", "int64"),
        ("SELECT sum(i64) OVER (ORDER BY low) AS s FROM t", "the sum does not fit"),
        (
            "SELECT sum(i64) OVER (ORDER BY low ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t",
            "the sum",
        ),
        ("SELECT sum(most) AS s FROM t", "the sum does not fit the type decimal(38, 0)"),
    ] {
        let told = asked(sql).await.expect_err(sql);
        assert!(told.contains(words), "{sql}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_is_as_it_was_and_a_wider_type_has_room() {
    for (sql, expected) in [
        ("SELECT max(CAST(i16 AS int) * i16) AS m FROM t", "m\n1073741824\n"),
        ("SELECT i16 * 1000 AS x FROM t", "x\n1301000\n-32768000\n\"\"\n"),
        ("SELECT CAST(i64 AS decimal(38, 0)) + 1 AS x FROM t LIMIT 1", "x\n9223372036854775808\n"),
        ("SELECT -i16 AS x FROM t WHERE i16 > 0", "x\n-1301\n"),
        ("SELECT sum(CAST(i64 AS decimal(38, 0))) AS s FROM t", "s\n18446744073709551614\n"),
        // Between its records a sum may leave its type.
        (
            "SELECT sum(i64) AS s FROM (SELECT i64 FROM t UNION ALL SELECT low FROM t) x WHERE i64 <> 5",
            "s\n9223372036854775806\n",
        ),
        ("SELECT sum(x) AS s FROM (SELECT i64 AS x FROM t UNION ALL SELECT -i64 FROM t) x", "s\n0\n"),
        (
            "SELECT k, sum(i32) AS s, sum(i32) FILTER (WHERE i32 < 3) AS p FROM t GROUP BY k ORDER BY k",
            "k,s,p\n1,4985,2\n,,\n",
        ),
        (
            "SELECT sum(DISTINCT k) AS s, sum(i32) AS t, sum(d) AS d, sum(r) AS r FROM t",
            "s,t,d,r\n1,4985,12345678901234567891.1734,0.6000000014901161\n",
        ),
        (
            "SELECT sum(i32) OVER (ORDER BY i32 ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t ORDER BY s",
            "s\n2\n4983\n4985\n",
        ),
        (
            "SELECT sum(DISTINCT i32) OVER (ORDER BY i32 ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t ORDER BY s",
            "s\n2\n4983\n4985\n",
        ),
        ("SELECT sum(i32) AS s FROM t WHERE k = 9", "s\n\"\"\n"),
        ("SELECT sum(i32 + 1) AS s, avg(i32 * 2) AS a FROM t", "s,a\n4987,4985.0\n"),
        ("SELECT CASE WHEN i64 < 0 THEN i64 * 2 ELSE 0 END AS x FROM t WHERE k = 1", "x\n0\n0\n"),
        ("SELECT n FROM (SELECT i16 * i16 AS x, i16 AS n FROM t) x WHERE n < 0 AND n > 0", "n\n"),
    ] {
        assert_eq!(asked(sql).await.as_deref(), Ok(expected), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_compared_with_all_their_digits() {
    for (condition, found) in [
        ("d = 12345678901234567890.1234", 1),
        ("d = CAST(12345678901234567890.1234 AS decimal(24, 4))", 1),
        ("d = 12345678901234567890.12340", 1),
        ("d = 12345678901234567890.12341", 0),
        ("d < 12345678901234567890.12341 AND d > 12345678901234567890.12339", 1),
        ("-d = -12345678901234567890.1234", 1),
        ("d IN (1, 1.05)", 1),
        ("d IN (12345678901234567890.1234, 1.050000000000000000000000000000000000000000)", 2),
        ("d NOT IN (12345678901234567890.1233, 1.051)", 2),
        ("d BETWEEN 12345678901234567890.1234 AND 12345678901234567890.1234", 1),
        ("d BETWEEN 1.05 AND 1.05", 1),
        ("1.05 BETWEEN d AND d", 1),
        ("CASE d WHEN 12345678901234567890.1234 THEN 1 ELSE 0 END = 1", 1),
        ("d + 0.0001 = 12345678901234567890.1235", 1),
        ("d * 10.0 = 123456789012345678901.234", 1),
        ("d IS DISTINCT FROM 12345678901234567890.1234", 2),
        ("i64 = 9223372036854775806.0", 0),
        ("i64 = 9223372036854775807.0", 2),
        ("i64 = 9223372036854775807", 2),
        ("i64 > 9223372036854775806.5", 2),
        ("i64 < 9223372036854775807.00000000000000000000000000000000000000000000001", 2),
        ("i64 = 9223372036854775808", 0),
        ("i64 < 9223372036854775808", 2),
        ("low = -9223372036854775808", 1),
        ("low = -9223372036854775809", 0),
        ("low > -9223372036854775809", 2),
        ("low > -18446744073709551616", 2),
        ("u64 = 18446744073709551616", 0),
        ("u64 = 18446744073709551615", 1),
        ("u64 = 18446744073709551615.0", 1),
        ("u64 = 1.8446744073709551615e19", 1),
        ("i16 = 1301.0", 1),
        ("i16 > 1300.5", 1),
        ("i16 = 1301.5", 0),
        ("i64 < 1e400", 2),
        ("i64 < 1e76", 2),
        ("most = 99999999999999999999999999999999999999", 1),
        ("most < 99999999999999999999999999999999999999.5", 2),
        ("f = 0.1", 1),
        ("f = 0.10", 1),
        ("f = 1e-1", 1),
        ("f = 0.1000000000000000055511151231257827021181583404541015625", 1),
        ("f = 0.30000000000000004", 1),
        ("f = 0.3", 0),
        ("f < 1e400", 2),
        ("f > -1e400", 2),
        ("f IN (0.1, 0.3)", 1),
        ("f BETWEEN 0.1 AND 0.3", 1),
        ("f * 2.0 = 0.2", 1),
        ("r = 0.1", 0),
        ("r = 0.5", 1),
        ("r = CAST(0.1 AS real)", 1),
        ("i16 / 2.0 = 650.5", 1),
        ("0.1 + 0.2 = 0.30000000000000004", 3),
        ("sqrt(2.25) = 1.5", 3),
        ("1.0 = 1.00", 3),
    ] {
        let sql = format!("SELECT count(*) AS n FROM t WHERE {condition}");
        assert_eq!(asked(&sql).await, Ok(format!("n\n{found}\n")), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_with_a_point_are_floats_where_nothing_asks_for_digits() {
    for (sql, expected) in [
        (
            "SELECT 0.1 AS a, -2.5 AS b, 1e3 AS c, 18446744073709551616 AS d",
            "a,b,c,d\n0.1,-2.5,1000.0,1.8446744073709552e+19\n",
        ),
        ("SELECT 100.0 * 1 / 3 AS a", "a\n33.333333333333336\n"),
        (
            "SELECT d * 1.1 AS a, d + 0.5 AS b, d / 3.0 AS c FROM t WHERE d < 9",
            "a,b,c\n1.15500,1.5500,0.35000000000000003\n",
        ),
        (
            "SELECT round(i16 * 0.5) AS a, coalesce(f, 0.25) AS b FROM t",
            "a,b\n651.0,0.1\n-16384.0,0.30000000000000004\n,0.25\n",
        ),
        (
            "SELECT i16 * 0.5 AS a, count(*) AS n FROM t GROUP BY i16 * 0.5 ORDER BY i16 * 0.5 NULLS FIRST",
            "a,n\n,1\n-16384.0,1\n650.5,1\n",
        ),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY f) AS p FROM t", "p\n0.2\n"),
        ("SELECT lag(f, 1, -0.5) OVER (ORDER BY f) AS p FROM t LIMIT 1", "p\n-0.5\n"),
        ("SELECT x + 0.5 AS y FROM (SELECT 0.5 AS x UNION ALL SELECT 1) x ORDER BY 1", "y\n1.0\n1.5\n"),
        (
            "SELECT CAST(2.5 AS decimal(4, 2)) AS a, CAST(1.5 AS text) AS b, CAST(1.5 AS double) AS c",
            "a,b,c\n2.50,1.5,1.5\n",
        ),
    ] {
        assert_eq!(asked(sql).await.as_deref(), Ok(expected), "{sql}");
    }
}
