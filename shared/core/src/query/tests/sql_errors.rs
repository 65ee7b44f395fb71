//! SQL expressions that are refused, each with its reason and place.

use super::{fixture::columns, print};
use crate::query::parse_sql;

#[test]
fn mistakes_are_told_with_their_place() {
    let mut report = String::new();
    for (text, offset, part) in [
        ("", None, "empty"),
        ("  -- nothing", None, "empty"),
        ("orgin = 'JFK'", Some(0), "unknown column \"orgin\" at position 1; did you mean \"origin\"?"),
        ("\"ORIGIN\" = 'JFK'", Some(0), "did you mean \"origin\"?"),
        ("i8 = 1; DROP TABLE x", Some(6), "\";\""),
        ("i8 = 1 u16 = 2", Some(7), "unexpected \"u16\""),
        ("i8 = 1 AND", Some(10), "ends where a column or a value"),
        ("i8 =", Some(4), "ends where"),
        ("i8 = = 1", Some(5), "expected a column or a value"),
        ("AND i8 = 1", Some(0), "expected a column or a value"),
        ("(i8 = 1", Some(0), "never closed"),
        ("i8 = 1)", Some(6), "never opened"),
        ("()", Some(1), "expected a column or a value"),
        ("i8 IN ()", Some(7), "expected a column or a value"),
        ("i8 IN (1,)", Some(9), "expected a column or a value"),
        ("i8 IN (1", Some(8), "expected \")\""),
        ("i8 IN 1", Some(6), "expected \"(\""),
        ("i8 IN (SELECT 1)", Some(7), "sub-queries"),
        ("i8 IN (u16)", Some(7), "expected a value"),
        ("i8 IN (1, NULL)", Some(10), "IS NULL"),
        ("i8 IN (1, 'x')", Some(10), "needs a number, not \"x\""),
        ("i8 = (SELECT 1)", Some(6), "sub-queries"),
        ("EXISTS (SELECT 1)", Some(0), "EXISTS"),
        ("i8 = ANY (1)", Some(5), "ANY, ALL and SOME"),
        ("i8 = NULL", Some(5), "IS NULL"),
        ("NULL", Some(0), "no condition"),
        ("i8 = ?", Some(5), "placeholders"),
        ("i8 = $1", Some(5), "placeholders"),
        ("i8 = :x", Some(5), "placeholders"),
        ("i8 = @x", Some(5), "placeholders"),
        ("CAST(i8 AS TEXT) = '1'", Some(0), "casts"),
        ("i8::text = '1'", Some(2), "casts"),
        ("TRY_CAST(i8 AS TEXT) = '1'", Some(0), "casts"),
        ("flights.i8 = 1", Some(0), "qualified names"),
        ("\"a\".\"b\" = 1", Some(0), "qualified names"),
        ("i8 + 1 = 2", Some(3), "arithmetic"),
        ("i8 = 1 + 1", Some(7), "arithmetic"),
        ("-i8 = 1", Some(0), "arithmetic"),
        ("i8 * 2 > 1", Some(3), "arithmetic"),
        ("day_of = 2013-01-01", Some(9), "needs a date"),
        ("name || 'x' = 'y'", Some(5), "joining text"),
        ("CASE WHEN flag THEN TRUE END", Some(0), "CASE"),
        ("i8 BETWEEN 1", Some(12), "expected AND"),
        ("i8 BETWEEN u16 AND 3", Some(11), "expected a value"),
        ("name LIKE", Some(9), "ends where"),
        ("name LIKE name", Some(10), "expected a value"),
        ("name LIKE 5", Some(10), "pattern"),
        ("name LIKE 'a\\'", Some(10), "backslash"),
        ("name LIKE 'a' ESCAPE '!'", Some(21), "escape"),
        ("i8 LIKE '1%'", Some(0), "only text"),
        ("name SIMILAR TO 'x'", Some(5), "patterns other"),
        ("name ~ 'x'", Some(5), "patterns other"),
        ("name REGEXP 'x'", Some(5), "patterns other"),
        ("name COLLATE \"C\" = 'x'", Some(5), "COLLATE"),
        ("seen AT TIME ZONE 'UTC' = '2013-01-01'", Some(5), "AT TIME ZONE"),
        ("INTERVAL '1 day' = '2'", Some(0), "INTERVAL"),
        ("EXTRACT(YEAR FROM seen) = 2013", Some(0), "year(column)"),
        ("lowr(name) = 'x'", Some(0), "did you mean \"lower\"?"),
        ("pg_sleep(10) = 1", Some(0), "unknown function \"pg_sleep\""),
        ("lower(i8) = 'x'", Some(6), "takes text"),
        ("lower('X') = name", Some(6), "one column"),
        ("lower(upper(name)) = 'x'", Some(6), "one column"),
        ("lower(name, 'x') = 'x'", Some(6), "one column"),
        ("lower() = 'x'", Some(6), "one column"),
        ("year(name) = 2013", Some(5), "a date or timestamp"),
        ("year(day_of) = '2013'", Some(15), "without quotes"),
        ("i8 = 'x'", Some(5), "column \"i8\" is int8, which needs a number, not \"x\""),
        ("i8 = '5'", Some(5), "without quotes"),
        ("name = 5", Some(7), "text in single quotes"),
        ("flag = 1", Some(7), "true or false"),
        ("price = TRUE", Some(8), "needs a number"),
        ("f64 = '1.5'", Some(6), "without quotes"),
        ("day_of = '2013-02-29'", Some(9), "date"),
        ("day_of = TIMESTAMP '2013-01-01'", Some(9), "date"),
        ("seen = TIME '10:00'", Some(7), "timestamp"),
        ("seen = 'yesterday'", Some(7), "timestamp"),
        ("local = '2013-01-01T00:00:00Z'", Some(8), "offset"),
        ("clock = '25:00'", Some(8), "time"),
        ("DATETIME '2013-01-01' = seen", Some(0), "unknown kind"),
        ("wide = 1e60", Some(7), "38 digits"),
        ("blob = 'x'", Some(7), "only be tested for null"),
        ("tags = 'x'", Some(7), "only be tested for null"),
        ("odd = 1", Some(6), "only be tested for null"),
        ("i8 = name", Some(3), "do not compare"),
        ("seen = local", Some(5), "do not compare"),
        ("blob = blob", Some(5), "do not compare"),
        ("i8", Some(0), "no condition by itself"),
        ("NOT i8", Some(4), "no condition by itself"),
        ("'x'", Some(0), "no condition by itself"),
        ("i8 = 1 OR 1", Some(10), "no condition by itself"),
        ("name = 'x' OR 1 = 1", Some(16), "no column"),
        ("i8 = 1 = TRUE", Some(7), "compared"),
        ("(i8 = 1) = TRUE", Some(9), "compared"),
        ("1 < i8 < 5", Some(7), "compared"),
        ("(i8 = 1) IS NULL", Some(0), "tested for null"),
        ("i8 IS 5", Some(6), "after IS"),
        ("i8 IS NULL IS NULL IS NULL", Some(0), "tested for null"),
        ("flag IS TRUE IS TRUE IS TRUE", Some(21), "unexpected \"IS\""),
        ("(i8, u16) = (1, 2)", Some(3), "\",\""),
        ("i8 = E'x'", Some(5), "\"E\""),
        ("i8 = 0x1F", Some(5), "bytes"),
        ("name = X'00'", Some(7), "bytes"),
        ("name = $$x$$", Some(7), "single quotes"),
        ("name = N'x'", Some(7), "single quotes"),
        ("name = 'x", Some(7), "unterminated"),
        ("i8 == 1", Some(3), "write ="),
        ("i8 = 1 XOR flag", Some(7), "operators"),
        ("i8 = 1 UNION SELECT 2", Some(7), "SELECT"),
        ("SELECT * FROM flights", Some(0), "sub-queries"),
        ("tags[1] = 'x'", Some(4), "nested"),
        ("i8 = 1 & 2", Some(7), "bits"),
        ("i8 = 1.2.3", Some(8), "unexpected"),
        ("é = 1", Some(0), "unknown column"),
        ("name = 'é' AND i8 = 'x'", Some(20), "needs a number"),
    ] {
        match parse_sql(text, &columns()) {
            Ok(filter) => report += &format!("{text:?} was understood as {}\n", print::sql(&filter)),
            Err(error) if !error.detail.contains(part) => report += &format!("{text:?}: {error}\n"),
            Err(error) if error.offset != offset => {
                report += &format!("{text:?}: {error} ({:?})\n", error.offset);
            }
            Err(_) => {}
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn names_that_differ_in_case_alone_need_quotes() {
    let mut columns = columns();
    let mut other = columns[9].clone();
    other.name = "NAME".into();
    columns.push(other);
    assert!(parse_sql("name = 'x' AND NAME = 'y' AND \"NAME\" = 'z'", &columns).is_ok());
    let error = parse_sql("Name = 'x'", &columns).unwrap_err();
    assert!(error.detail.contains("ambiguous column \"Name\""), "{error}");
}

#[test]
fn columns_named_like_words_of_the_language_are_found() {
    let mut columns = columns();
    for (column, name) in
        columns.iter_mut().zip(["date", "case", "exists", "end", "and", "lower", "null", "any"])
    {
        column.name = name.into();
    }
    let text = "date AND case = 1 AND exists = 1 AND \"end\" = 1 AND \"and\" = 1 AND lower = 1 AND \"null\" = 1 AND any = 1.5";
    assert!(parse_sql(text, &columns).is_ok(), "{:?}", parse_sql(text, &columns));
}
