//! SQL expressions that are understood.

use sqlparser::{dialect::PostgreSqlDialect, parser::Parser, tokenizer::Token};

use super::{fixture::columns, print};
use crate::query::parse_sql;

/// Text, and what it means in canonical form.
const GOOD: &[(&str, &str)] = &[
    ("origin = 'JFK'", "origin = 'JFK'"),
    ("ORIGIN = 'JFK'", "origin = 'JFK'"),
    ("country = 'FI'", "\"Country\" = 'FI'"),
    ("'JFK' = origin", "origin = 'JFK'"),
    ("5 < i64", "i64 > 5"),
    ("5 >= i64", "i64 <= 5"),
    ("origin != 'it''s'", "origin <> 'it''s'"),
    ("NOT origin = 'JFK'", "origin <> 'JFK'"),
    ("NOT NOT i8 < 5", "i8 < 5"),
    ("NOT i8 < 5", "NOT (i8 < 5)"),
    ("i8 = 1 OR i8 = 2 AND flag", "(flag = TRUE AND i8 = 2) OR i8 = 1"),
    ("i8 = 3 OR i8 = 1 OR i8 IN (2, 3)", "i8 IN (1, 2, 3)"),
    ("i8 IN (1)", "i8 = 1"),
    ("i8 NOT IN (1, 2)", "NOT (i8 IN (1, 2))"),
    ("i8 NOT IN (1)", "i8 <> 1"),
    ("i8 BETWEEN -5 AND +5 AND flag", "flag = TRUE AND i8 >= -5 AND i8 <= 5"),
    ("i8 NOT BETWEEN 1 AND 2", "NOT (i8 >= 1 AND i8 <= 2)"),
    ("flag", "flag = TRUE"),
    ("NOT flag", "flag = FALSE"),
    ("flag <> TRUE", "flag = FALSE"),
    ("flag = false", "flag = FALSE"),
    ("flag = 'True'", "flag = TRUE"),
    ("flag IS TRUE", "NOT ((flag = TRUE) IS NOT TRUE)"),
    ("flag IS NOT TRUE", "(flag = TRUE) IS NOT TRUE"),
    ("flag IS FALSE", "NOT ((flag = FALSE) IS NOT TRUE)"),
    ("(i8 = 1) IS NOT FALSE", "(i8 <> 1) IS NOT TRUE"),
    ("i8 = 1 IS TRUE", "NOT ((i8 = 1) IS NOT TRUE)"),
    ("i8 IS NULL", "i8 IS NULL"),
    ("i8 IS NOT NULL", "NOT (i8 IS NULL)"),
    ("(i8 IS NULL) IS NOT TRUE", "NOT (i8 IS NULL)"),
    ("blob IS NULL OR nested IS NULL", "blob IS NULL OR nested IS NULL"),
    ("tags IS NOT NULL", "NOT (tags IS NULL)"),
    ("length(name) IS NULL", "length(name) IS NULL"),
    ("i8 IS DISTINCT FROM 1", "(i8 = 1) IS NOT TRUE"),
    ("i8 IS NOT DISTINCT FROM 1", "NOT ((i8 = 1) IS NOT TRUE)"),
    ("i8 IS DISTINCT FROM NULL", "NOT (i8 IS NULL)"),
    ("i8 IS NOT DISTINCT FROM i64", "(i64 IS NULL AND i8 IS NULL) OR NOT ((i64 = i8) IS NOT TRUE)"),
    ("name LIKE 'a%b_c'", "name LIKE 'a%b_c'"),
    ("name LIKE 'abc%'", "name LIKE 'abc%'"),
    ("name LIKE '%a\\%b%'", "name LIKE '%a\\%b%'"),
    ("name LIKE 'abc'", "name = 'abc'"),
    ("name LIKE 'a\\_b'", "name = 'a_b'"),
    ("name LIKE '%'", "name LIKE '%'"),
    ("name LIKE ''", "name = ''"),
    ("name LIKE '%abc'", "name LIKE '%abc'"),
    ("name NOT LIKE 'a%' ESCAPE '\\'", "NOT (name LIKE 'a%')"),
    ("name ILIKE 'abc%'", "name ILIKE 'abc%'"),
    ("name NOT ILIKE 'abc'", "NOT (name ILIKE 'abc')"),
    ("lower(name) = 'x' AND UPPER(name) LIKE 'X%'", "lower(name) = 'x' AND upper(name) LIKE 'X%'"),
    ("Length(name) > 3", "length(name) > 3"),
    ("abs(i8) < 3 AND abs(price) > 2.5", "abs(i8) < 3 AND abs(price) > 250e-2"),
    ("year(day_of) = 2013 AND month(seen) IN (1, 2)", "year(day_of) = 2013 AND month(seen) IN (1, 2)"),
    ("year = 2013 AND day(local) = 1", "day(local) = 1 AND year = 2013"),
    ("i8 < i64", "i64 > i8"),
    ("price = f64", "f64 = price"),
    ("name <> origin", "name <> origin"),
    ("lower(name) = origin", "lower(name) = origin"),
    ("\"we ird\"\"n:ame\" = 'x'", "\"we ird\"\"n:ame\" = 'x'"),
    ("\"a.b\" = 'x' AND a = 'y'", "a = 'y' AND \"a.b\" = 'x'"),
    ("TRUE", "TRUE"),
    ("FALSE OR flag", "flag = TRUE"),
    ("FALSE AND flag", "FALSE"),
    ("TRUE OR i8 = 1", "TRUE"),
    ("NOT (TRUE)", "FALSE"),
    ("((i8)) = ((1))", "i8 = 1"),
    ("(i8 = 1)", "i8 = 1"),
    ("i8 = 1 -- a note\n AND /* another */ u16 = 2", "i8 = 1 AND u16 = 2"),
    ("i8=1AND u16=2", "i8 = 1 AND u16 = 2"),
    ("day_of >= DATE '2013-01-01'", "day_of >= DATE '2013-01-01'"),
    ("seen < TIMESTAMP '2013-01-01 05:00:00'", "seen < TIMESTAMP '2013-01-01T05:00:00Z'"),
    ("clock = TIME '10:30:00'", "clock = TIME '10:30:00'"),
    ("name = 'x; DROP TABLE flights --'", "name = 'x; DROP TABLE flights --'"),
    ("name = '\\'", "name = '\\'"),
];

#[test]
fn expressions_mean_what_they_say() {
    let mut report = String::new();
    for (text, meaning) in GOOD {
        let found = parse_sql(text, &columns()).map(|filter| print::sql(&filter));
        if found.as_deref() != Ok(meaning) {
            report += &format!("{text:?}: {found:?}\n");
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn what_is_accepted_is_sql_to_sqlparser_too() {
    for (text, _) in GOOD {
        let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).unwrap();
        assert!(parser.parse_expr().is_ok(), "{text}");
        assert_eq!(parser.peek_token().token, Token::EOF, "{text}");
    }
}

#[test]
fn signs_may_stand_close_to_operators() {
    for op in ["=", "<>", "!=", "<", "<=", ">", ">="] {
        assert_eq!(
            parse_sql(&format!("i8{op}-5"), &columns()),
            parse_sql(&format!("i8 {op} - 5"), &columns())
        );
        assert!(parse_sql(&format!("i8{op}-5"), &columns()).is_ok(), "{op}");
    }
}
