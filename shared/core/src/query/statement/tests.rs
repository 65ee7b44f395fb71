//! What passes, what an attacker tries, and that no text does harm by being read.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn check(text: &str) -> Result<Statement, Vec<SyntaxError>> {
    check_statement(text, &BTreeSet::from(["airports", "Capitals", "flights", "flights-2024"]))
}

#[track_caller]
fn refused(text: &str) -> String {
    let Err(errors) = check(text) else { panic!("passed: {text}") };
    errors.into_iter().map(|error| error.detail).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_reads_passes() {
    for (text, datasets) in [
        ("SELECT * FROM flights", &["flights"][..]),
        ("SELECT 1; -- and no more", &[]),
        (
            "select carrier, count(*) AS n from FLIGHTS group by carrier having count(*) > 10 order by n desc;",
            &["flights"],
        ),
        ("SELECT f.*, a.name FROM flights f JOIN airports a ON f.dest = a.iata", &["airports", "flights"]),
        ("SELECT * FROM flights NATURAL JOIN airports", &["airports", "flights"]),
        (
            "SELECT * FROM flights LEFT JOIN airports USING (iata), \"flights-2024\" CROSS JOIN \"Capitals\"",
            &["Capitals", "airports", "flights", "flights-2024"],
        ),
        ("SELECT * FROM (flights f FULL OUTER JOIN airports a ON TRUE)", &["airports", "flights"]),
        ("WITH late AS (SELECT * FROM flights WHERE dep_delay > 60) SELECT * FROM late", &["flights"]),
        ("WITH flights AS (SELECT * FROM flights LIMIT 5) SELECT * FROM flights", &["flights"]),
        ("WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT * FROM b JOIN a ON a.x = b.x", &[]),
        (
            "SELECT * FROM (SELECT dest FROM flights UNION ALL SELECT iata FROM airports) t(d)",
            &["airports", "flights"],
        ),
        (
            "(SELECT dest FROM flights) EXCEPT SELECT iata FROM airports INTERSECT DISTINCT SELECT 'x'",
            &["airports", "flights"],
        ),
        (
            "SELECT dest, row_number() OVER (PARTITION BY carrier ORDER BY dep_delay DESC NULLS LAST) FROM flights",
            &["flights"],
        ),
        (
            "SELECT sum(x) OVER w FROM flights WINDOW w AS (ORDER BY y ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
            &["flights"],
        ),
        (
            "SELECT lag(x, 1, 0) IGNORE NULLS OVER (ORDER BY y) FROM flights QUALIFY row_number() OVER (ORDER BY y) = 1",
            &["flights"],
        ),
        (
            "SELECT count(DISTINCT x) FILTER (WHERE y > 0), string_agg(z, ',' ORDER BY z) FROM flights",
            &["flights"],
        ),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM flights", &["flights"]),
        ("SELECT DISTINCT ON (carrier) carrier, dest FROM flights ORDER BY carrier", &["flights"]),
        (
            "SELECT * EXCLUDE (x) FROM flights WHERE EXISTS (SELECT 1 FROM airports WHERE iata = dest)",
            &["airports", "flights"],
        ),
        (
            "SELECT * FROM flights WHERE dest IN (SELECT iata FROM airports) AND x NOT IN (1, 2)",
            &["airports", "flights"],
        ),
        (
            "SELECT (SELECT max(x) FROM flights), CASE WHEN a BETWEEN 1 AND 2 THEN -a ELSE +b END FROM airports",
            &["airports", "flights"],
        ),
        (
            "SELECT CAST(x AS DECIMAL(10, 2)), x::bigint, TRY_CAST(y AS date), DATE '2024-01-01' FROM flights",
            &["flights"],
        ),
        (
            "SELECT extract(year FROM t), date_trunc('month', t), t AT TIME ZONE 'UTC', t - INTERVAL '1 day' FROM flights",
            &["flights"],
        ),
        (
            "SELECT substring(x FROM 1 FOR 2), position('a' IN x), trim(BOTH ' ' FROM x), ceil(y), x || 'a' FROM flights",
            &["flights"],
        ),
        (
            "SELECT x IS DISTINCT FROM y, x IS NOT NULL, x LIKE 'a\\_%' ESCAPE '\\', x ILIKE 'b' FROM flights",
            &["flights"],
        ),
        (
            "SELECT \"Übergröße\" -- DROP TABLE flights;\n FROM /* ; COPY */ \"flights\" WHERE x = 'it''s; DROP'",
            &["flights"],
        ),
        ("SELECT $since, $n + 1 FROM flights WHERE d >= $since LIMIT $n OFFSET 5", &["flights"]),
    ] {
        match check(text) {
            Ok(statement) => assert_eq!(statement.datasets, datasets, "{text}"),
            Err(errors) => panic!("{text}\n{errors:#?}"),
        }
    }
}

#[test]
fn what_an_attacker_tries_is_refused() {
    let tried = [
        // Files, networks and other places.
        "SELECT * FROM 'file.csv'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM \"s3://bucket/key.parquet\"",
        "SELECT * FROM 's3://bucket/key.parquet'",
        "SELECT * FROM `flights`",
        "SELECT * FROM [flights]",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "SELECT * FROM parquet_metadata('x.parquet')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT load_extension('x')",
        "SELECT input_file_name() FROM flights",
        "LOAD 'x'",
        "INSTALL httpfs",
        "ATTACH 'x.db' AS x",
        "DETACH x",
        "COPY flights TO '/tmp/x.csv'",
        "COPY (SELECT * FROM flights) TO 's3://bucket/x'",
        "UNLOAD ('SELECT 1') TO 's3://bucket/x'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        // Settings and the host.
        "SET datafusion.execution.batch_size = 1",
        "RESET ALL",
        "SHOW TABLES",
        "SHOW ALL",
        "PRAGMA database_list",
        "USE other",
        "DESCRIBE flights",
        "SELECT version()",
        "SELECT current_setting('x')",
        "SELECT current_user",
        "SELECT user",
        "SELECT @@version",
        "SELECT @x",
        "SELECT now()",
        "SELECT current_timestamp",
        "SELECT current_date",
        "SELECT random()",
        "SELECT uuid()",
        "SELECT * FROM flights SETTINGS max_threads = 1",
        "SELECT arrow_typeof(x) FROM flights",
        // Other statements.
        "CREATE TABLE x AS SELECT * FROM flights",
        "CREATE VIEW x AS SELECT * FROM flights",
        "DROP TABLE flights",
        "ALTER TABLE flights ADD COLUMN x INT",
        "INSERT INTO flights SELECT * FROM flights",
        "UPDATE flights SET x = 1",
        "DELETE FROM flights",
        "MERGE INTO flights USING airports ON TRUE WHEN MATCHED THEN DELETE",
        "TRUNCATE flights",
        "EXPLAIN SELECT * FROM flights",
        "EXPLAIN ANALYZE SELECT * FROM flights",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "BEGIN",
        "CALL p()",
        "DO $$ x $$",
        "GRANT SELECT ON flights TO x",
        "TABLE flights",
        "VALUES (1)",
        "FROM flights",
        "FROM flights SELECT *",
        "FROM flights |> SELECT x",
        // Several, and hidden ones.
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE flights",
        "SELECT 1;;",
        "SELECT 1 /* */; /* */ COPY flights TO 'x'",
        "SELECT 1 -- \n; DROP TABLE flights",
        "SELECT 1 SELECT 2",
        "SELECT /*! 1; DROP TABLE flights */",
        "SELECT /*+ hint */ 1",
        "SELECT $$x$$",
        "SELECT $a$x$a$",
        "SELECT E'\\'; DROP TABLE flights; --'",
        "SELECT N'x'",
        "SELECT U&'\\0041'",
        "SELECT X'00'",
        "SELECT b'00'",
        "SELECT \u{ff53}elect\u{ff08}1\u{ff09}",
        "ＳＥＬＥＣＴ 1",
        "SELECT * FROM fl\u{0456}ghts",
        "SELECT * FROM flights\u{200b}",
        "SELECT 1\0; DROP TABLE flights",
        // What writes inside a query.
        "WITH x AS (DELETE FROM flights RETURNING *) SELECT * FROM x",
        "WITH x AS (INSERT INTO flights SELECT 1) SELECT * FROM x",
        "WITH x AS (SELECT 1) INSERT INTO flights SELECT * FROM x",
        "WITH x AS (SELECT 1) UPDATE flights SET a = 1",
        "WITH x AS (SELECT 1) DELETE FROM flights",
        "SELECT * INTO x FROM flights",
        "SELECT * FROM flights FOR UPDATE",
        "SELECT * FROM flights FOR SHARE",
        "SELECT * FROM flights FOR XML AUTO",
        "SELECT * FROM flights FORMAT JSON",
        // Tables that are none of the plan's.
        "SELECT * FROM secrets",
        "SELECT * FROM Capitals",
        "SELECT * FROM \"Flights\"",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM datafusion.public.flights",
        "SELECT * FROM public.flights",
        "SELECT * FROM pg_catalog.pg_tables",
        "SELECT * FROM sqlite_master",
        "SELECT (SELECT x FROM secrets) FROM flights",
        "SELECT * FROM flights WHERE x IN (SELECT x FROM secrets)",
        "SELECT * FROM flights JOIN secrets ON TRUE",
        "SELECT * FROM flights UNION SELECT * FROM secrets",
        "SELECT * FROM flights ORDER BY (SELECT x FROM secrets)",
        "SELECT * FROM flights LIMIT (SELECT x FROM secrets)",
        "SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM secrets)) FROM flights",
        "SELECT sum(x) OVER (ORDER BY (SELECT 1 FROM secrets)) FROM flights",
        "SELECT sum(x) OVER (ROWS BETWEEN (SELECT 1 FROM secrets) PRECEDING AND CURRENT ROW) FROM flights",
        "SELECT sum(x) OVER w FROM flights WINDOW w AS (PARTITION BY (SELECT 1 FROM secrets))",
        "SELECT DISTINCT ON ((SELECT x FROM secrets)) x FROM flights",
        "SELECT CASE (SELECT x FROM secrets) WHEN 1 THEN 2 END FROM flights",
        "SELECT string_agg(x, ',' ORDER BY (SELECT x FROM secrets)) FROM flights",
        "SELECT * FROM flights GROUP BY (SELECT x FROM secrets)",
        "SELECT * FROM flights JOIN airports ON EXISTS (SELECT 1 FROM secrets)",
        "WITH x AS (SELECT * FROM secrets) SELECT 1",
        "WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets",
        "SELECT * FROM (WITH inner_one AS (SELECT 1) SELECT * FROM inner_one) t JOIN inner_one ON TRUE",
        "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a",
        "WITH a AS (SELECT 1) SELECT * FROM (WITH a AS (SELECT 2) SELECT * FROM a) t",
        "WITH a AS (SELECT 1), A AS (SELECT 2) SELECT * FROM a",
        // Rows of nothing, and much of little.
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT * FROM x",
        "WITH RECURSIVE x AS (SELECT 1) SELECT * FROM x",
        "SELECT * FROM generate_series(1, 1000000000)",
        "SELECT * FROM range(1000000000)",
        "SELECT * FROM flights, LATERAL generate_series(1, 10)",
        "SELECT * FROM flights, LATERAL (SELECT 1)",
        "SELECT * FROM TABLE(generate_series(1, 10))",
        "SELECT * FROM UNNEST(ARRAY[1, 2])",
        "SELECT unnest(x) FROM flights",
        "SELECT * FROM (VALUES (1), (2)) t",
        "SELECT generate_series(1, 1000000000)",
        "SELECT repeat('x', 1000000000)",
        "SELECT lpad('x', 1000000000)",
        "SELECT rpad('x', 1000000000)",
        "SELECT array_repeat(1, 1000000000)",
        "SELECT make_array(1, 2)",
        "SELECT array_agg(x) FROM flights",
        "SELECT regexp_replace(x, '(a*)*', 'b') FROM flights",
        "SELECT ARRAY[1]",
        "SELECT [1, 2]",
        "SELECT x[1] FROM flights",
        "SELECT {'a': 1}",
        "SELECT MAP {'a': 1}",
        "SELECT STRUCT(1)",
        "SELECT ROW(1, 2)",
        "SELECT (1, 2)",
        "SELECT ARRAY(SELECT x FROM secrets)",
        "SELECT x FROM flights GROUP BY CUBE (a, b)",
        "SELECT x FROM flights GROUP BY a WITH ROLLUP",
        "SELECT x FROM flights GROUP BY GROUPING SETS ((a), ())",
        "SELECT * FROM flights TABLESAMPLE (10)",
        "SELECT * FROM flights PIVOT (sum(x) FOR y IN (1, 2))",
        "SELECT * FROM flights MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS x > 1)",
        "SELECT * FROM flights CONNECT BY PRIOR x = y",
        "SELECT * FROM flights AT (TIMESTAMP => now())",
        "SELECT * FROM flights FOR SYSTEM_TIME AS OF '2024-01-01'",
        "SELECT x ~ '(a*)*' FROM flights",
        "SELECT x SIMILAR TO '(a*)*' FROM flights",
        "SELECT x RLIKE 'a' FROM flights",
        "SELECT x -> 'a' FROM flights",
        "SELECT x & 1 FROM flights",
        "SELECT x = ANY (SELECT 1) FROM flights",
        "SELECT transform(x, y -> y) FROM flights",
        // Placeholders of other kinds, and functions of other schemas.
        "SELECT ?",
        "SELECT $1",
        "SELECT :x",
        "SELECT pg_catalog.lower('x')",
        "SELECT \"LOWER\"('x')",
        "SELECT lower(x) OVER () FROM flights",
        "SELECT lower(DISTINCT x) FROM flights",
        "SELECT rank() FROM flights",
        "SELECT sum(*) FROM flights",
        "SELECT lower(str => 'x')",
        "SELECT CAST('1' AS regclass)",
        "SELECT CAST(x AS ARRAY<INT>) FROM flights",
        "SELECT CAST(x AS STRUCT<a INT>) FROM flights",
        "SELECT x COLLATE \"C\" FROM flights",
        "SELECT * REPLACE ((SELECT x FROM secrets) AS x) FROM flights",
        "SELECT * RENAME (x AS y) FROM flights",
        "SELECT TOP 5 * FROM flights",
        "SELECT * FROM flights LIMIT 5 BY x",
        "SELECT * FROM flights LATERAL VIEW explode(x) t",
        "SELECT AS STRUCT 1",
        "SELECT INTERVAL INTERVAL '1'",
        "",
        " -- nothing\n",
        ";",
        "(",
        "SELECT",
    ];
    for text in tried {
        let detail = refused(text);
        assert!(!detail.is_empty(), "{text}");
    }
    assert!(tried.len() >= 60, "{}", tried.len());
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, detail) in [
        (
            "SELECT *\nFROM flihgts",
            "there is no data set \"flihgts\" at line 2, column 6 (position 15); did you mean \"flights\"?",
        ),
        (
            "SELECT * FROM capitals",
            "there is no data set \"capitals\" at line 1, column 15 (position 15); write \"Capitals\", in double quotes",
        ),
        (
            "SELECT lowr(x) FROM flights",
            "unknown function \"lowr\" at line 1, column 8 (position 8); did you mean \"lower\"?",
        ),
        (
            "SELECT 'é',\n now()",
            "the function \"now\" is not allowed: it gives another value each time; pass the value as a parameter (at line 2, column 2, position 14)",
        ),
        (
            "SELECT 1;\nSELECT 2",
            "there is one statement in a request: nothing may follow \";\" (at line 1, column 9, position 9)",
        ),
        (
            "DROP TABLE x",
            "a statement begins with SELECT or WITH, not with \"DROP\" (at line 1, column 1, position 1)",
        ),
        ("SELECT (1", "a bracket is never closed (at line 1, column 8, position 8)"),
        ("SELECT 1)", "a bracket closes that was never opened (at line 1, column 9, position 9)"),
        (
            "SELECT * FROM flights\nFOR UPDATE",
            "FOR UPDATE and other locks are not supported in a statement (at line 2, column 1, position 23)",
        ),
        (
            "WITH RECURSIVE x AS (SELECT 1) SELECT 1",
            "WITH RECURSIVE is not supported in a statement (at line 1, column 6, position 6)",
        ),
        (
            "SELECT a FROM x.flights",
            "a data set has one name, without a schema or a catalog before it (at line 1, column 15, position 15)",
        ),
        (
            "SELECT * FROM flights WHERE",
            "expected an expression, found the end at line 1, column 28 (position 28)",
        ),
        ("SELECT ?", "a placeholder is a dollar and a name (at line 1, column 8, position 8); write $since"),
        ("SELECT 'x", "unterminated string literal at line 1, column 8 (position 8)"),
    ] {
        assert_eq!(refused(text), detail, "{text}");
    }
}

#[test]
fn every_mistake_is_told_in_the_order_of_the_text() {
    let details = refused("SELECT foo(), lowr(x) FROM secrets WHERE barbaz() > 0");
    let places: Vec<&str> = details.lines().map(|line| line.split(" at ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "unknown function \"foo\"",
            "unknown function \"lowr\"",
            "there is no data set \"secrets\"",
            "unknown function \"barbaz\""
        ]
    );
}

#[test]
fn a_forbidden_data_set_looks_like_none() {
    let allowed = BTreeSet::from(["flights"]);
    let told = |text| check_statement(text, &allowed).unwrap_err()[0].detail.clone();
    assert_eq!(
        told("SELECT * FROM salaries").replace("salaries", "x_______"),
        told("SELECT * FROM x_______")
    );
}

#[test]
fn placeholders_are_told_with_their_first_place() {
    let statement = check("SELECT $b, $a FROM flights WHERE x > $b").unwrap();
    assert_eq!(statement.placeholders, BTreeMap::from([("a".into(), 11), ("b".into(), 7)]));
}

#[test]
fn common_tables_count_wherever_they_are_used() {
    let mut text = "WITH t0 AS (SELECT * FROM flights)".to_owned();
    for n in 1..30 {
        text += &format!(", t{n} AS (SELECT * FROM t{} a, t{} b)", n - 1, n - 1);
    }
    text += " SELECT * FROM t29";
    assert!(refused(&text).contains("countless tables"), "{}", refused(&text));
    let few = "WITH a AS (SELECT * FROM flights) SELECT * FROM a x, a y, a z";
    assert!(check(few).is_ok());
    let many = vec!["flights"; MAX_STATEMENT_RELATIONS].join(", ");
    assert!(refused(&format!("SELECT * FROM {many}")).contains("more than the 64 allowed"));
}

#[test]
fn size_and_depth_are_bounded() {
    let brackets = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
    assert!(check(&brackets(MAX_STATEMENT_DEPTH)).is_ok(), "{:?}", check(&brackets(MAX_STATEMENT_DEPTH)));
    for (text, detail) in [
        (brackets(MAX_STATEMENT_DEPTH + 1), "nested too deeply"),
        (brackets(30_000), "nested too deeply"),
        ("(".repeat(60_000), "nested too deeply"),
        (format!("SELECT {}1", "NOT ".repeat(900)), "nested too deeply"),
        (format!("SELECT {}1", "- ".repeat(900)), "nested too deeply"),
        (format!("SELECT {}1{}", "CASE WHEN ".repeat(200), " THEN 1 END".repeat(200)), "nested too deeply"),
        (format!("SELECT 1{}", " + 1".repeat(1_001)), "1001 operators, more than the 1000"),
        (format!("SELECT 1{}", "::int".repeat(5_000)), "more than the 1000"),
        (format!("SELECT 1{}", " IS NULL".repeat(5_000)), "more than the 1000"),
        (format!("SELECT 1{}", " UNION SELECT 1".repeat(64)), "65 SELECTs, more than the 64"),
        (format!("SELECT CAST(1 AS {}INT{})", "ARRAY<".repeat(900), ">".repeat(900)), "nested types"),
        (format!("SELECT {}'1'", "INTERVAL ".repeat(5_000)), "INTERVAL is followed by a text"),
        (format!("SELECT '{}'", "x".repeat(MAX_STATEMENT_BYTES)), "more than the 65536 allowed"),
    ] {
        let found = refused(&text);
        assert!(found.contains(detail), "{}\n{found}", &text[..60.min(text.len())]);
    }
    assert!(check(&format!("SELECT 1{}", " + 1".repeat(1_000))).is_ok());
    assert!(check(&format!("SELECT x IN (1{}) FROM flights", ", 1".repeat(20_000))).is_ok());
}

/// What opens much and closes nothing, or closes it, read within a second however it is nested.
#[test]
fn no_nesting_takes_long() {
    let opening = [
        "(",
        "((",
        "(SELECT ",
        "(SELECT * FROM (",
        "SELECT * FROM ((",
        "f(",
        "CASE ",
        "CASE WHEN ",
        "CAST(",
        "EXISTS(",
        "x IN (",
        "NOT ",
        "- ",
        "(SELECT 1 UNION ",
        "WITH a AS (",
        "DATE ",
        "count(*) FILTER (WHERE ",
        "sum(x) OVER (ORDER BY ",
        "(a, ",
        "(x -> ",
        "(WITH a AS (",
        "a JOIN (",
        "LATERAL (",
        "UNNEST(",
        "ARRAY(",
        "NULLABLE(",
        "MAP(",
        "TABLE(",
        "ROW(",
        "INTERVAL (",
        "EXTRACT(YEAR FROM ",
        "TRIM(",
        "(VALUES (",
        "a AS (",
        "STRUCT(",
        "(x INT ",
    ];
    let twice = format!("SELECT {}'{}'", "CASE WHEN CAST(".repeat(5), "', '".repeat(13_000));
    let began = Instant::now();
    assert!(check(&twice).is_err());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    for (one, other) in opening.iter().flat_map(|one| opening.iter().map(move |other| (one, other))) {
        for (begin, inside, end) in
            [("SELECT ", "1", ")"), ("SELECT * FROM ", "flights", ") t"), ("SELECT ", "", "")]
        {
            let text = format!("{begin}{}{inside}{}", format!("{one}{other}").repeat(16), end.repeat(32));
            let began = Instant::now();
            let _ = check(&text);
            assert!(began.elapsed() < Duration::from_secs(5), "{:?} {text}", began.elapsed());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_to_an_end(text in "\\PC{0,200}") {
        let _ = check(&text);
        let _ = check(&format!("SELECT {text} FROM flights"));
        let _ = check(&format!("SELECT * FROM flights {text}"));
    }

    #[test]
    fn any_words_are_read_to_an_end_and_name_allowed_data_sets(words in prop::collection::vec(word(), 0..40)) {
        if let Ok(statement) = check(&format!("SELECT {}", words.join(" "))) {
            let known = ["airports", "Capitals", "flights", "flights-2024"];
            prop_assert!(statement.datasets.iter().all(|name| known.contains(&name.as_str())));
        }
    }
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SELECT",
        "FROM",
        "flights",
        "airports",
        "secrets",
        "WHERE",
        "(",
        ")",
        ",",
        "*",
        "1",
        "'x'",
        "AND",
        "OR",
        "NOT",
        "AS",
        "t",
        "x",
        ".",
        "JOIN",
        "ON",
        "USING",
        "LEFT",
        "GROUP",
        "BY",
        "ORDER",
        "HAVING",
        "WITH",
        "RECURSIVE",
        "UNION",
        "ALL",
        "EXISTS",
        "IN",
        "CASE",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
        "CAST",
        "::",
        "INT",
        "count(*)",
        "lower(",
        "sum(",
        "OVER",
        "PARTITION",
        "ROWS",
        "BETWEEN",
        "PRECEDING",
        "$a",
        "=",
        "<",
        ">",
        "+",
        "-",
        "||",
        "IS",
        "NULL",
        "LIMIT",
        "OFFSET",
        "DISTINCT",
        "VALUES",
        "LATERAL",
        "TABLE",
        "INTO",
        "FOR",
        "UPDATE",
        "INTERVAL",
        "DATE",
        ";",
        "ARRAY",
        "[",
        "]",
        "->",
        "QUALIFY",
        "WINDOW",
        "EXCLUDE",
        "PIVOT",
        "UNNEST",
        "NATURAL",
        "CROSS",
        "TRIM(",
        "EXTRACT(",
        "SUBSTRING(",
        "POSITION(",
        "--\n",
        "/*",
        "*/",
        "$$",
        "é",
    ])
}
