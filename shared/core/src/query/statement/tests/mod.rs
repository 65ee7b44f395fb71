//! What passes, what is said of what does not, and that users are told both.

mod attack;
mod stress;

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

/// What is wrong, and what is said of it.
const MISTAKES: [(&str, &str); 20] = [
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
    (
        "SELECT x AS n, y AS n FROM flights",
        "there are two columns \"n\": name them apart with AS (at line 1, column 21, position 21)",
    ),
    (
        "SELECT max(x), max( x ) FROM flights",
        "there are two columns \"max(x)\": name them apart with AS (at line 1, column 16, position 16)",
    ),
    (
        "SELECT x, struct(1) FROM flights",
        "lists and other nested values are not supported in a statement (at line 1, column 11, position 11)",
    ),
    (
        "SELECT x FROM flights WHERE (x, 2) IS NULL",
        "lists and other nested values are not supported in a statement (at line 1, column 30, position 30)",
    ),
    (
        "SELECT * FROM '/etc/passwd'",
        "a text is no data set, and no file is read (at line 1, column 15, position 15); a name stands in double quotes, or without any",
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
    (
        "SELECT *\nFROM flights\nWHERE x = now()",
        "the function \"now\" is not allowed: it gives another value each time; pass the value as a parameter (at line 3, column 11, position 33)",
    ),
];

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, detail) in MISTAKES {
        assert_eq!(refused(text), detail, "{text}");
    }
}

#[test]
fn a_column_without_a_name_is_called_after_its_expression() {
    use sqlparser::{dialect::GenericDialect, parser::Parser};
    for (text, name) in [
        ("x", None),
        ("(f.x)", None),
        ("$x", Some("$x")),
        ("count( * ) filter (where  x > $n)", Some("count(*) FILTER (WHERE x > $n)")),
        ("X + 0.50", Some("X + 0.50")),
        ("cast(x as text)", Some("CAST(x AS TEXT)")),
    ] {
        let expression = Parser::new(&GenericDialect {}).try_with_sql(text).unwrap().parse_expr().unwrap();
        assert_eq!(name_without_as(&expression).as_deref(), name, "{text}");
    }
    let long = format!("upper('{}')", "é".repeat(100));
    let long = Parser::new(&GenericDialect {}).try_with_sql(&long).unwrap().parse_expr().unwrap();
    assert_eq!(name_without_as(&long).unwrap().chars().count(), 63);
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

const REFERENCE: &str = include_str!("../../../../../../docs/sql.md");

#[test]
fn the_reference_names_every_function_and_no_other() {
    let (_, after) = REFERENCE.split_once("## Functions").unwrap();
    let (section, _) = after.split_once("There are no others").unwrap();
    let named: BTreeSet<&str> = section.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, functions::all().collect());
    let (_, left_out) = after.split_once("There are no others").unwrap();
    let (left_out, _) = left_out.split_once("## Limits").unwrap();
    for name in left_out.split('`').skip(1).step_by(2) {
        assert!(functions::why_not(name).is_some() && functions::class_of(name).is_none(), "{name}");
    }
}

#[test]
fn errors_in_the_reference_are_word_for_word() {
    let (_, errors) = REFERENCE.split_once("## Errors").unwrap();
    let told: Vec<String> = MISTAKES.iter().map(|(text, _)| refused(text)).collect();
    let details =
        errors.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split('`').nth_back(1));
    // Those of parameters are the use case's.
    let details: Vec<&str> =
        details.filter(|detail| !detail.contains("placeholder") && !detail.contains("must be")).collect();
    assert_eq!(details.len(), 8, "{details:?}");
    for detail in details {
        assert!(told.iter().any(|told| told == detail), "{detail}");
    }
}
