//! Literals that fit their column's type exactly, nearly, or not at all.

use super::{evaluate, fixture::columns, print};
use crate::query::{CompareOp, Filter, Literal, Operand, parse_sql};
use proptest::prelude::*;

#[test]
fn literals_that_no_value_equals_become_conditions_of_the_same_meaning() {
    for (text, meaning) in [
        ("i8 < 1000", "NOT (i8 < -128)"),
        ("i8 > 1000", "i8 < -128"),
        ("i8 = 1000", "i8 < -128"),
        ("i8 <> 1000", "NOT (i8 < -128)"),
        ("i8 >= -1000", "NOT (i8 < -128)"),
        ("i8 < 2.5", "i8 <= 2"),
        ("i8 <= 2.5", "i8 <= 2"),
        ("i8 > 2.5", "i8 > 2"),
        ("i8 >= -2.5", "i8 > -3"),
        ("i8 = 2.5", "i8 < -128"),
        ("i8 <> 2.5", "NOT (i8 < -128)"),
        ("i8 = 2.0", "i8 = 2"),
        ("i8 = 1e2", "i8 = 100"),
        ("i8 < 127.5", "NOT (i8 < -128)"),
        ("i8 > -128.5", "NOT (i8 < -128)"),
        ("i8 IN (1, 2.5, 1000)", "i8 = 1"),
        ("i8 NOT IN (2.5, 1000)", "NOT (i8 < -128)"),
        ("i64 = 9223372036854775807", "i64 = 9223372036854775807"),
        ("i64 = 9223372036854775808", "i64 < -9223372036854775808"),
        ("u64 = 18446744073709551615", "u64 = 18446744073709551615"),
        ("u16 < 0", "u16 < 0"),
        ("u16 > -1", "NOT (u16 < 0)"),
        ("price < 2.505", "price <= 250e-2"),
        ("price >= 2.505", "price > 250e-2"),
        ("price = 2.50", "price = 250e-2"),
        ("price = 2.505", "price < -999999999999999e-2"),
        ("price < 1e30", "NOT (price < -999999999999999e-2)"),
        ("wide = 99999999999999999999999999999999999999", "wide = 99999999999999999999999999999999999999e0"),
        ("f64 < 0.1", "f64 < 0.1"),
        ("f64 = -0.0", "f64 = 0.0"),
        ("f64 < 1e400", "f64 <= 1.7976931348623157e308"),
        ("f64 >= 1e400", "f64 > 1.7976931348623157e308"),
        ("f64 = 1e400", "f64 < '-Infinity'"),
        ("f64 > -1e400", "f64 > '-Infinity'"),
        ("f32 = 0.1", "f32 = 0.10000000149011612"),
        ("f64 = 'NaN' OR f64 = '-inf'", "f64 IN ('-Infinity', 'NaN')"),
        ("seen = '2013-01-01'", "seen = TIMESTAMP '2013-01-01T00:00:00Z'"),
        ("seen = '2013-01-01T01:00:00+01:00'", "seen = TIMESTAMP '2013-01-01T00:00:00Z'"),
        ("seen < '2013-01-01T00:00:00.0000005Z'", "seen <= TIMESTAMP '2013-01-01T00:00:00Z'"),
        ("local = '2013-01-01 05:00:00'", "local = TIMESTAMP '2013-01-01T05:00:00'"),
        ("local > '2013-01-01 05:00:00.5'", "local > TIMESTAMP '2013-01-01T05:00:00'"),
        ("local = DATE '2013-01-01'", "local = TIMESTAMP '2013-01-01T00:00:00'"),
        ("nanos < '9999-01-01'", "NOT (nanos < LOWEST)"),
        ("day_of = '2013-01-01'", "day_of = DATE '2013-01-01'"),
        ("length(name) < 2.5", "length(name) <= 2"),
        ("abs(i8) = 1000", "abs(i8) < -128"),
    ] {
        let filter = parse_sql(text, &columns()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(print::sql(&filter), meaning, "{text}");
    }
}

proptest! {
    #[test]
    fn comparisons_of_any_literal_are_exact(
        value in -140i64..140,
        thousandths in -150_000i64..150_000,
        op in 0usize..6,
        decimal in any::<bool>(),
        negated in any::<bool>(),
    ) {
        let op_text = ["=", "<>", "<", "<=", ">", ">="][op];
        let (sign, size) = (if thousandths < 0 { "-" } else { "" }, thousandths.abs());
        let not = if negated { "NOT " } else { "" };
        let column = if decimal { "price" } else { "i8" };
        let text = format!("{not}{column} {op_text} {sign}{}.{:03}", size / 1000, size % 1000);
        let filter = parse_sql(&text, &columns()).unwrap();

        let (literal, scaled) =
            if decimal { (Literal::Decimal(value.into()), value * 10) } else { (Literal::Int(value), value * 1000) };
        prop_assume!(decimal || i8::try_from(value).is_ok());
        let expected = match op {
            0 => scaled == thousandths,
            1 => scaled != thousandths,
            2 => scaled < thousandths,
            3 => scaled <= thousandths,
            4 => scaled > thousandths,
            _ => scaled >= thousandths,
        };
        let row = [(column.to_string(), evaluate::Value::One(literal))].into();
        prop_assert_eq!(evaluate::filter(&filter, &row), Some(expected != negated), "{}", text);
        prop_assert_eq!(evaluate::filter(&filter, &Default::default()), None, "null: {}", text);
    }
}

#[test]
fn what_can_never_be_is_still_unknown_for_null() {
    let filter = parse_sql("NOT i8 = 2.5", &columns()).unwrap();
    let compare =
        Filter::Compare { left: Operand::Column("i8".into()), op: CompareOp::Lt, right: Literal::Int(-128) };
    assert_eq!(filter, Filter::Not(Box::new(compare)));
    assert_eq!(evaluate::filter(&filter, &Default::default()), None);
}
