//! That no text does harm by being read.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

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
