//! The filter's meaning, row by row.

use std::sync::Arc;

use arrow_array::{
    Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int64Array, ListArray, StringArray,
    TimestampMillisecondArray, UInt64Array, types::Int32Type,
};
use willcall_core::query::{Function, TextMatch};

use super::*;

fn column(name: &str) -> Result<ArrayRef, String> {
    Ok(match name {
        "i" => Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(i64::MIN)])),
        "b" => Arc::new(Int8Array::from(vec![Some(-128), Some(127), Some(0), None])),
        "u" => Arc::new(UInt64Array::from(vec![1, u64::MAX, 0, 2])),
        "f" => Arc::new(Float64Array::from(vec![Some(-0.0), Some(-f64::NAN), Some(1.5), None])),
        "g" => Arc::new(Float32Array::from(vec![0.1, f32::NAN, f32::INFINITY, 0.0])),
        "t" => Arc::new(StringArray::from(vec![Some("Straße"), Some("50%_\\x"), None, Some("")])),
        "d" => Arc::new(Date32Array::from(vec![Some(0), Some(-1), None, Some(19_782)])),
        "ts" => Arc::new(TimestampMillisecondArray::from(vec![Some(0), Some(-1), None, Some(86_400_000)])),
        "n" => Arc::new(
            Decimal128Array::from(vec![Some(150), Some(-150), None, Some(100)])
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        "y" => Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)])),
        "l" => Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            Some(vec![Some(2), None]),
            None,
            Some(vec![]),
        ])),
        _ => return Err(format!("no {name}")),
    })
}

fn eval(filter: &Filter) -> String {
    let mask = evaluate(filter, 4, &column).unwrap();
    let sign = |value: Option<bool>| match value {
        Some(true) => 'T',
        Some(false) => 'F',
        None => '?',
    };
    mask.iter().map(sign).collect()
}

fn of(name: &str) -> Operand {
    Operand::Column(name.into())
}

fn compare(name: &str, op: CompareOp, right: Literal) -> Filter {
    Filter::Compare { left: of(name), op, right }
}

fn text(name: &str, matches: TextMatch, pattern: &str, ignore_case: bool) -> Filter {
    Filter::Text { operand: of(name), matches, pattern: pattern.into(), ignore_case }
}

fn call(function: Function, name: &str, op: CompareOp, right: Literal) -> Filter {
    Filter::Compare { left: Operand::Call(function, name.into()), op, right }
}

#[test]
fn comparisons_with_null_are_unknown() {
    use CompareOp::*;
    for (op, expected) in [(Eq, "TF?F"), (Ne, "FT?T"), (Lt, "FF?T"), (Le, "TF?T"), (Gt, "FT?F"), (Ge, "TT?F")]
    {
        assert_eq!(eval(&compare("i", op, Literal::Int(1))), expected);
    }
    assert_eq!(eval(&compare("y", Eq, Literal::Bool(true))), "TF?T");
    assert_eq!(eval(&compare("u", Eq, Literal::UInt(u64::MAX))), "FTFF");
    assert_eq!(eval(&compare("n", Gt, Literal::Decimal(100))), "TF?F");
    assert_eq!(eval(&compare("d", Lt, Literal::Date(0))), "FT?F");
    assert_eq!(eval(&compare("ts", Ge, Literal::Timestamp(0))), "TF?T");
    assert_eq!(eval(&compare("t", Lt, Literal::Text("S".into()))), "FT?T");
}

#[test]
fn logic_is_three_valued() {
    let (yes, no) = (Filter::And(vec![]), Filter::Or(vec![]));
    assert_eq!((eval(&yes), eval(&no)), ("TTTT".into(), "FFFF".into()));
    let i = compare("i", CompareOp::Eq, Literal::Int(1));
    assert_eq!(eval(&Filter::Not(Box::new(i.clone()))), "FT?T");
    assert_eq!(eval(&Filter::IsNotTrue(Box::new(i.clone()))), "FTTT");
    assert_eq!(eval(&Filter::And(vec![i.clone(), yes.clone()])), "TF?F");
    assert_eq!(eval(&Filter::And(vec![i.clone(), no.clone()])), "FFFF");
    assert_eq!(eval(&Filter::Or(vec![i.clone(), yes])), "TTTT");
    assert_eq!(eval(&Filter::Or(vec![i.clone(), no])), "TF?F");
    let b = compare("b", CompareOp::Ge, Literal::Int(0));
    assert_eq!(eval(&b), "FTT?");
    assert_eq!(eval(&Filter::And(vec![i.clone(), b.clone()])), "FF?F");
    assert_eq!(eval(&Filter::Or(vec![i, b])), "TTT?");
    assert_eq!(eval(&Filter::IsNull(of("i"))), "FFTF");
    assert_eq!(eval(&Filter::IsNull(of("u"))), "FFFF");
}

#[test]
fn nan_is_the_greatest_and_the_zeros_are_equal() {
    use CompareOp::*;
    let nan = || Literal::Float(f64::NAN);
    assert_eq!(eval(&compare("f", Eq, Literal::Float(0.0))), "TFF?");
    assert_eq!(eval(&compare("f", Lt, Literal::Float(0.0))), "FFF?");
    assert_eq!(eval(&compare("f", Eq, nan())), "FTF?");
    assert_eq!(eval(&compare("f", Lt, nan())), "TFT?");
    assert_eq!(eval(&compare("f", Gt, Literal::Float(f64::INFINITY))), "FTF?");
    assert_eq!(eval(&compare("g", Eq, Literal::Float(0.1))), "TFFF");
    assert_eq!(eval(&compare("g", Lt, Literal::Float(1e300))), "TFFT");
    assert_eq!(eval(&compare("g", Ge, Literal::Float(f64::INFINITY))), "FTTF");
    let values = vec![Literal::Float(0.0), nan()];
    assert_eq!(eval(&Filter::In { operand: of("f"), values }), "TTF?");
}

#[test]
fn sets_hold_every_type() {
    let set = |name: &str, values: Vec<Literal>| eval(&Filter::In { operand: of(name), values });
    assert_eq!(set("i", vec![Literal::Int(i64::MIN), Literal::Int(2)]), "FT?T");
    assert_eq!(set("t", vec![Literal::Text("".into()), Literal::Text("Straße".into())]), "TF?T");
    assert_eq!(set("y", vec![Literal::Bool(false)]), "FT?F");
    assert_eq!(set("n", vec![Literal::Decimal(-150), Literal::Decimal(100)]), "FT?T");
    assert_eq!(set("d", vec![Literal::Date(-1), Literal::Date(0)]), "TT?F");
    assert_eq!(set("ts", vec![Literal::Timestamp(0)]), "TF?F");
    let many = (0..10_000).map(Literal::Int).collect();
    assert_eq!(set("i", many), "TT?F");
}

#[test]
fn patterns_are_taken_as_they_are_meant() {
    use TextMatch::*;
    assert_eq!(eval(&text("t", Like, "Stra_e", false)), "TF?F");
    assert_eq!(eval(&text("t", Like, "%A%", true)), "TF?F");
    assert_eq!(eval(&text("t", Like, "50\\%\\_\\\\x", false)), "FT?F");
    assert_eq!(eval(&text("t", Like, "", false)), "FF?T");
    assert_eq!(eval(&text("t", Prefix, "50%_", false)), "FT?F");
    assert_eq!(eval(&text("t", Prefix, "STRASSE", true)), "FF?F");
    assert_eq!(eval(&text("t", Prefix, "sTRAß", true)), "TF?F");
    assert_eq!(eval(&text("t", Contains, "%_\\", false)), "FT?F");
    assert_eq!(eval(&text("t", Contains, "%_\\X", true)), "FT?F");
    assert_eq!(eval(&text("t", Contains, "", false)), "TT?T");
}

#[test]
fn functions_work_on_their_types() {
    use CompareOp::*;
    let is = |function, name: &str, right| eval(&call(function, name, Eq, right));
    assert_eq!(is(Function::Lower, "t", Literal::Text("straße".into())), "TF?F");
    assert_eq!(is(Function::Upper, "t", Literal::Text("STRASSE".into())), "TF?F");
    assert_eq!(is(Function::Length, "t", Literal::Int(6)), "TT?F");
    assert_eq!(is(Function::Year, "d", Literal::Int(1969)), "FT?F");
    assert_eq!(is(Function::Month, "d", Literal::Int(2)), "FF?T");
    assert_eq!(is(Function::Day, "ts", Literal::Int(31)), "FT?F");
    assert_eq!(is(Function::Abs, "n", Literal::Decimal(150)), "TT?F");
    assert_eq!(eval(&call(Function::Abs, "b", Gt, Literal::Int(127))), "TFF?");
    assert_eq!(eval(&call(Function::Abs, "i", Eq, Literal::Int(i64::MAX))), "FF?F");
    assert_eq!(eval(&call(Function::Abs, "u", Eq, Literal::UInt(1))), "TFFF");
    assert_eq!(eval(&call(Function::Abs, "f", Le, Literal::Float(0.0))), "TFF?");
    assert!(evaluate(&call(Function::Year, "t", Eq, Literal::Int(1)), 4, &column).is_err());
}

#[test]
fn two_columns_are_compared_exactly() {
    let both =
        |left: &str, op, right: &str| eval(&Filter::CompareOperands { left: of(left), op, right: of(right) });
    assert_eq!(both("i", CompareOp::Lt, "u"), "FT?T");
    assert_eq!(both("i", CompareOp::Eq, "u"), "TF?F");
    assert_eq!(both("n", CompareOp::Gt, "i"), "TF?T");
    assert_eq!(both("d", CompareOp::Le, "ts"), "TT?F");
    assert_eq!(both("f", CompareOp::Eq, "g"), "FTF?");
    assert_eq!(both("t", CompareOp::Eq, "t"), "TT?T");
}

#[test]
fn any_element_of_a_list_may_fit() {
    let fits = |value: i64| Filter::AnyElement {
        column: "l".into(),
        condition: Box::new(Filter::Compare {
            left: Operand::Element,
            op: CompareOp::Eq,
            right: Literal::Int(value),
        }),
    };
    assert_eq!(eval(&fits(1)), "T??F");
    assert_eq!(eval(&Filter::IsNotTrue(Box::new(fits(1)))), "FTTT");
    let missing =
        Filter::AnyElement { column: "l".into(), condition: Box::new(Filter::IsNull(Operand::Element)) };
    assert_eq!(eval(&missing), "TT?F");
}

#[test]
fn what_the_checker_would_refuse_is_an_error_and_no_panic() {
    for filter in [
        compare("i", CompareOp::Eq, Literal::Text("x".into())),
        compare("zz", CompareOp::Eq, Literal::Int(1)),
        compare("b", CompareOp::Eq, Literal::Int(1_000)),
        text("i", TextMatch::Like, "%", false),
        Filter::IsNull(Operand::Element),
        Filter::CompareOperands { left: of("t"), op: CompareOp::Eq, right: of("i") },
        Filter::AnyElement { column: "i".into(), condition: Box::new(Filter::And(vec![])) },
    ] {
        assert!(evaluate(&filter, 4, &column).is_err(), "{filter:?}");
    }
}
