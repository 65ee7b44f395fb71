//! Query parameters, good and bad.

use super::{fixture::columns, print};
use crate::query::parse_param;

#[test]
fn parameters_mean_what_they_say() {
    for (name, value, meaning) in [
        ("origin", "JFK", "origin = 'JFK'"),
        ("origin.eq", "", "origin = ''"),
        ("origin.ne", "JFK", "origin <> 'JFK'"),
        ("origin", "a,b\\,c", "origin = 'a,b\\,c'"),
        ("i8.lt", "5", "i8 < 5"),
        ("i8.lte", "2.5", "i8 <= 2"),
        ("i8.gt", "-5", "i8 > -5"),
        ("price.gte", "1000", "price >= 100000e-2"),
        ("Country.in", "FI,SE", "\"Country\" IN ('FI', 'SE')"),
        ("Country.in", "SE,FI,SE", "\"Country\" IN ('FI', 'SE')"),
        ("Country.in", "Korea\\, South", "\"Country\" = 'Korea, South'"),
        ("Country.in", "a\\\\,b\\c", "\"Country\" IN ('a\\', 'b\\c')"),
        ("Country.in", "", "\"Country\" = ''"),
        ("i8.in", "3,1", "i8 IN (1, 3)"),
        ("name.contains", "100%", "name LIKE '%100\\%%'"),
        ("name.prefix", "a_", "name LIKE 'a\\_%'"),
        ("blob.null", "true", "blob IS NULL"),
        ("i8.null", "false", "NOT (i8 IS NULL)"),
        ("tags.null", "true", "tags IS NULL"),
        ("tags", "red", "ANY tags (element = 'red')"),
        ("tags.in", "red,blue", "ANY tags (element IN ('blue', 'red'))"),
        ("tags.prefix", "re", "ANY tags (element LIKE 're%')"),
        ("tags.contains", "re", "ANY tags (element LIKE '%re%')"),
        ("marks.gt", "5", "ANY marks (element > 5)"),
        ("a", "x", "a = 'x'"),
        ("a.b", "x", "\"a.b\" = 'x'"),
        ("a.b.ne", "x", "\"a.b\" <> 'x'"),
        ("flag", "TRUE", "flag = TRUE"),
        ("f64", "NaN", "f64 = 'NaN'"),
        ("seen.gte", "2013-01-01", "seen >= TIMESTAMP '2013-01-01T00:00:00Z'"),
        ("name", "'; DROP TABLE x; --", "name = '''; DROP TABLE x; --'"),
        ("we ird\"n:ame.eq", "x", "\"we ird\"\"n:ame\" = 'x'"),
    ] {
        let filter =
            parse_param(name, value, &columns()).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
        assert_eq!(print::sql(&filter), meaning, "{name}={value}");
    }
}

#[test]
fn wrong_parameters_are_told_what_is_meant() {
    for (name, value, part) in [
        ("orgin", "x", "unknown parameter or column \"orgin\"; did you mean \"origin\"?"),
        ("orgin.eq", "x", "did you mean \"origin\"?"),
        ("ORIGIN", "x", "did you mean \"origin\"?"),
        ("", "x", "unknown parameter or column \"\""),
        (".", "x", "unknown parameter"),
        ("origin.", "x", "unknown operator \"\""),
        ("origin.like", "x", "unknown operator \"like\" in \"origin.like\""),
        ("origin.prefx", "x", "did you mean \"prefix\"?"),
        ("a.c", "x", "unknown operator \"c\" in \"a.c\""),
        ("i8", "abc", "\"i8\": column \"i8\" is int8, which needs a number, not \"abc\""),
        ("i8", "", "needs a number"),
        ("i8.in", "1,,2", "needs a number"),
        ("i8.contains", "1", "only text"),
        ("i8.null", "yes", "null takes true or false"),
        ("blob", "x", "only be tested for null"),
        ("nested.eq", "x", "only be tested for null"),
        ("tags.ne", "x", "is a list"),
        ("day_of", "01/02/2013", "a date like"),
    ] {
        let error = parse_param(name, value, &columns()).unwrap_err();
        assert!(error.detail.contains(part), "{name}={value}: {error}");
        assert_eq!(error.offset, None);
    }
}
