//! Input at and beyond the limits, hostile input, and input by chance: an answer or an error, never more.

use proptest::{collection::vec, prelude::*};

use super::fixture::columns;
use crate::query::{
    Filter, MAX_CONDITIONS, MAX_DEPTH, MAX_FILTER_BYTES, MAX_IN, SyntaxError, check_limits, parse_lucene,
    parse_param, parse_sql,
};

fn sql(text: &str) -> Result<Filter, SyntaxError> {
    parse_sql(text, &columns())
}

fn lucene(text: &str) -> Result<Filter, SyntaxError> {
    parse_lucene(text, &columns())
}

fn fails_with(result: Result<Filter, SyntaxError>, part: &str) {
    let error = result.expect_err(part);
    assert!(error.detail.contains(part), "{error}");
    assert!(error.detail.len() < 600, "{}", error.detail.len());
}

#[test]
fn depth_is_bounded_at_32() {
    let nested =
        |open: &str, inner: &str, close: &str, depth| open.repeat(depth) + inner + &close.repeat(depth);
    for depth in [MAX_DEPTH, MAX_DEPTH + 1, 20_000] {
        for result in [
            sql(&nested("(", "i8 = 1", ")", depth)),
            sql(&nested("NOT ", "i8 = 1", "", depth.min(16_000))),
            sql(&nested("i8 = 1 AND (", "i8 = 2", ")", depth.min(5_000))),
            lucene(&nested("(", "i8:1", ")", depth)),
            lucene(&nested("NOT ", "i8:1", "", depth.min(16_000))),
            lucene(&nested(
                "i8:1 OR NOT (",
                "i8:2",
                ")",
                if depth == MAX_DEPTH { 16 } else { depth.min(4_000) },
            )),
            lucene(&nested("i8:(", "1", ")", depth.min(10_000))),
            lucene(&nested("+(", "i8:1", ")", depth)),
        ] {
            if depth == MAX_DEPTH {
                result.unwrap();
            } else {
                fails_with(result, "more than the 32 levels allowed");
            }
        }
    }
}

#[test]
fn the_deepest_filter_can_be_stored_and_read_back() {
    for (open, close) in [
        ("i8 = 1 AND (flag OR ", ")"),
        ("i8 = 1 AND NOT (flag OR ", ")"),
        ("i8 = 1 OR (flag AND u16 = 1 OR ", ")"),
    ] {
        let mut deepest = None;
        for depth in 1..=MAX_DEPTH {
            let text = open.repeat(depth) + "u16 = 2" + &close.repeat(depth);
            match sql(&text) {
                Ok(filter) => deepest = Some(filter),
                Err(error) => {
                    assert!(error.detail.contains("nested too deeply"), "{error}");
                    assert!(depth > MAX_DEPTH / 2, "{depth}");
                }
            }
        }
        let deepest = deepest.unwrap();
        // As deep as in a job's request.
        type Outer = [[[[[Filter; 1]; 1]; 1]; 1]; 1];
        let text = serde_json::to_string(&[[[[[&deepest]]]]]).unwrap();
        assert_eq!(serde_json::from_str::<Outer>(&text).unwrap(), [[[[[deepest]]]]]);
    }
}

#[test]
fn texts_and_lists_are_bounded() {
    let long = format!("name = '{}'", "x".repeat(MAX_FILTER_BYTES));
    fails_with(sql(&long), "65536");
    fails_with(lucene(&long), "65536");
    fails_with(parse_param("name", &long, &columns()), "65536");
    assert!(sql(&format!("name = '{}'", "x".repeat(MAX_FILTER_BYTES - 9))).is_ok());

    let members = |count: usize, between: &str| {
        (0..count).map(|n| (n % 100_000).to_string()).collect::<Vec<_>>().join(between)
    };
    assert!(sql(&format!("i64 IN ({})", members(MAX_IN, ","))).is_ok());
    fails_with(sql(&format!("i64 IN ({})", members(MAX_IN + 1, ","))), "10001 members");
    fails_with(lucene(&format!("i64:IN [{}]", members(MAX_IN + 1, " "))), "10001 members");
    fails_with(parse_param("i64.in", &members(MAX_IN + 1, ","), &columns()), "10001 members");
}

#[test]
fn long_chains_are_flat_and_conditions_bounded() {
    let chain = |part: &str, word: &str, count: usize| vec![part; count].join(word);
    let same = sql(&chain("i8=1", " OR ", 8_000)).unwrap();
    assert_eq!(same, sql("i8 = 1").unwrap());
    let many: Vec<String> = (0..4_000).map(|n| format!("i64={n}")).collect();
    assert!(matches!(sql(&many.join(" OR ")).unwrap(), Filter::In { values, .. } if values.len() == 4_000));
    let many: Vec<String> = (0..4_000).map(|n| format!("i64:{n}")).collect();
    assert!(
        matches!(lucene(&many.join(" OR ")).unwrap(), Filter::In { values, .. } if values.len() == 4_000)
    );

    for count in [MAX_CONDITIONS, MAX_CONDITIONS + 1] {
        let parts: Vec<String> = (0..count).map(|n| format!("i64 < {n}")).collect();
        for word in [" AND ", " OR "] {
            let result = sql(&parts.join(word));
            if count == MAX_CONDITIONS {
                drop(result.unwrap())
            } else {
                fails_with(result, "1001 conditions")
            }
        }
    }
    let half = |from: usize| {
        let parts: Vec<String> = (from..from + 600).map(|n| format!("i64 < {n}")).collect();
        sql(&parts.join(" AND ")).unwrap()
    };
    let both = Filter::all(vec![half(0), half(600)]).canonical();
    assert!(check_limits(&both).unwrap_err().detail.contains("1200 conditions"));
}

#[test]
fn monotonous_input_neither_overflows_nor_hangs() {
    for part in [
        "(",
        ")",
        "((",
        "()",
        "NOT ",
        "NOT(",
        "not not",
        "-",
        "+",
        "- ",
        "+-",
        "\"",
        "'",
        "''",
        "\"\"",
        "\\",
        "[",
        "]",
        "{",
        "i8=",
        "i8 = 1 = ",
        "i8 IS NULL ",
        "i8 IS TRUE IS ",
        "a.",
        "i8::",
        "i8[",
        "CASE WHEN ",
        "/*",
        "/* */",
        "--\n",
        "*",
        "i8:",
        "i8:(",
        "i8:[",
        "f:*",
        "i8:IN [",
        "a:b^",
        "~",
        "/",
        "a:/",
        "1",
        "1.",
        "e",
        "1e",
        "&&",
        "OR ",
        "AND ",
        " ",
        "\u{a0}",
        "\u{0}",
        "é",
        "x'",
        "E'\\'",
        "$$",
        "$a$",
        "`",
        "0x",
        "i8 BETWEEN 1 AND ",
        "i8 IN (",
        "lower(",
        "i8 NOT ",
        ";",
        ",",
        "\\\\ ",
        "(-",
        "-(",
        "+(i8:1 ",
        "i8:1 OR -",
        "IN [",
        "[a TO ",
        ">",
        ">=",
        "i8:>",
        "a:\"b\"*",
    ] {
        for length in [100_000, 60_000] {
            let text = part.repeat(length / part.len());
            for text in [text.clone(), format!("i8 = 1 AND {text}"), format!("i8:1 AND {text}")] {
                let text = text.as_str();
                let _ = (sql(text), lucene(text));
                let _ = parse_param("name.in", text, &columns());
                let _ = parse_param(text, "x", &columns());
            }
        }
    }
}

#[test]
fn injections_are_text_or_refused() {
    for attack in [
        "'; DROP TABLE flights; --",
        "' OR 1=1 --",
        "x' OR 'x'='x",
        "') OR ('1'='1",
        "\\'; COPY flights TO '/tmp/x'; --",
        "${jndi:ldap://x}",
        "*:* OR _exists_:x",
        "' UNION SELECT * FROM read_csv('/etc/passwd') --",
        "%00'; ATTACH 'x' AS y; --",
    ] {
        let expected = |filter: Filter| {
            let text = serde_json::to_string(attack).unwrap();
            assert!(serde_json::to_string(&filter).unwrap().contains(&text), "{filter:?}");
            assert_eq!(filter.columns().into_iter().collect::<Vec<_>>(), ["name"]);
        };
        expected(parse_param("name", attack, &columns()).unwrap());
        expected(sql(&format!("name = '{}'", attack.replace('\'', "''"))).unwrap());
        let escaped = attack.replace('\\', "\\\\").replace('"', "\\\"");
        expected(lucene(&format!("name:\"{escaped}\"")).unwrap());
        if attack.contains('\'') {
            sql(&format!("name = '{attack}'")).expect_err(attack);
        }
    }
    for attack in [
        "1=1",
        "TRUE; SELECT 1",
        "i8 = 1 UNION SELECT 2",
        "i8 = (SELECT max(i8) FROM flights)",
        "pg_sleep(10) IS NULL",
        "read_text('/etc/passwd') = 'x'",
        "current_setting('x') = 'y'",
        "name = getenv('HOME')",
        "name = current_user",
        "repeat(name, 40000) = 'x'",
        "i8 IN (VALUES (1))",
        "EXISTS(SELECT 1)",
        "name LIKE (SELECT 'x')",
    ] {
        sql(attack).expect_err(attack);
        lucene(attack).expect_err(attack);
    }
}

/// Pieces of all syntaxes, put together at random: nearer to sense than random characters.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "i8", "f64", "price", "name", "flag", "seen", "day_of", "clock", "tags", "blob", "wide", "\"a.b\"", "u64",
            "local", "nanos", "odd", "nested", "marks",
        ]),
        4 => prop::sample::select(vec![
            " = ", " <> ", " < ", " >= ", " AND ", " OR ", " NOT ", " IN (", " BETWEEN ", " LIKE ", " ILIKE ", " IS ", " NULL",
            " TRUE ", " DISTINCT FROM ", "lower(", "year(", "DATE ", "TIMESTAMP ", " ESCAPE ", "CASE ", "::", " SELECT ",
        ]),
        4 => prop::sample::select(vec![
            "(", ")", "[", "]", "{", "}", ",", ":", "\"", "'", "*", "?", "~", "^", "/", "\\", "-", "+", ">", "<", "=", " ", "\n",
            ";", ".", "$", "@", "&&", "||", "!", "--", "/*", "*/", "é", "\u{0}", "`", "#", "%", "_", "|",
        ]),
        3 => prop::sample::select(vec![
            "1", "-5", "2.5", "1e400", "-1e-400", "1e9999999999999999999", "99999999999999999999999999999999999999999999", "0x1F",
            "'x'", "'NaN'", "'2013-01-01'", "'2013-01-01T00:00:00Z'", "'-262144-01-01'", "'9999-12-31T23:59:60-23:59'", "x*", "IN [",
            " TO ", "a b", "'a%\\\\'", "true",
        ]),
    ];
    vec(piece, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_text_makes_a_parser_panic(text in prop_oneof![3 => pieces(), 1 => any::<String>()]) {
        let columns = columns();
        let inside = |error: &SyntaxError| error.offset.is_none_or(|offset| offset <= text.chars().count());
        for result in [parse_sql(&text, &columns), parse_lucene(&text, &columns)] {
            match result {
                Ok(filter) => {
                    prop_assert!(check_limits(&filter).is_ok());
                    let again = serde_json::to_string(&filter.clone().canonical()).unwrap();
                    prop_assert_eq!(again, serde_json::to_string(&filter).unwrap());
                }
                Err(error) => prop_assert!(inside(&error), "{:?}", error),
            }
        }
    }

    #[test]
    fn no_value_makes_a_column_panic(column in 0usize..26, op in 0usize..11, value in prop_oneof![pieces(), any::<String>(), "[-+]?[0-9]{0,50}[.]?[0-9]{0,50}(e[-+]?[0-9]{1,30})?", "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{0,12}(Z|[-+][0-9:]{0,6})?"]) {
        let columns = columns();
        let name = &columns[column].name;
        let op = ["", ".eq", ".ne", ".lt", ".lte", ".gt", ".gte", ".in", ".contains", ".prefix", ".null"][op];
        let _ = parse_param(&format!("{name}{op}"), &value, &columns);
        let quoted = value.replace('\'', "''");
        let _ = parse_sql(&format!("\"{}\" >= '{quoted}'", name.replace('"', "\"\"")), &columns);
        let _ = parse_sql(&format!("{name} < {value}"), &columns);
        let _ = parse_lucene(&format!("{name}:{value}"), &columns);
        let _ = parse_lucene(&format!("{name}:[{value} TO {value}]"), &columns);
    }

    #[test]
    fn no_name_makes_a_parameter_panic(name in any::<String>(), value in any::<String>()) {
        let _ = parse_param(&name, &value, &columns());
    }
}
