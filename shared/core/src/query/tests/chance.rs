//! Filters by chance: printed and parsed back, brought to canonical form, evaluated.

use proptest::{collection::vec, option, prelude::*};

use super::{
    evaluate::{self, Row, Value},
    fixture::columns,
    print,
};
use crate::query::{CompareOp, Filter, Function, Literal, Operand, TextMatch, parse_sql};

fn op() -> impl Strategy<Value = CompareOp> {
    use CompareOp::{Eq, Ge, Gt, Le, Lt, Ne};
    prop_oneof![Just(Eq), Just(Eq), Just(Ne), Just(Lt), Just(Le), Just(Gt), Just(Ge)]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[ab%_'\\\\]{0,3}", "[ab]{0,2}", Just("ß☃".into())]
}

/// A pattern that does not end in half an escape.
fn pattern() -> impl Strategy<Value = String> {
    vec(prop_oneof![Just("a"), Just("b"), Just("%"), Just("_"), Just("\\%"), Just("\\\\")], 0..4)
        .prop_map(|parts| parts.concat())
}

fn typed() -> impl Strategy<Value = (Operand, Literal)> {
    let column = |name: &str| Operand::Column(name.into());
    let float = prop_oneof![Just(0.0), Just(-1.5), Just(1e300), Just(f64::NAN), Just(f64::NEG_INFINITY)];
    prop_oneof![
        any::<bool>().prop_map(move |value| (column("flag"), Literal::Bool(value))),
        (-2i64..3).prop_map(move |value| (column("i64"), Literal::Int(value))),
        (-2i64..3).prop_map(move |value| (column("i8"), Literal::Int(value))),
        (0i64..3).prop_map(move |value| (Operand::Call(Function::Abs, "i8".into()), Literal::Int(value))),
        (0i64..3)
            .prop_map(move |value| (Operand::Call(Function::Length, "name".into()), Literal::Int(value))),
        (0u64..3).prop_map(move |value| (column("u64"), Literal::UInt(value))),
        float.prop_map(move |value| (column("f64"), Literal::Float(value))),
        (-200i128..300).prop_map(move |value| (column("price"), Literal::Decimal(value))),
        word().prop_map(move |value| (column("name"), Literal::Text(value))),
        word().prop_map(move |value| (column("we ird\"n:ame"), Literal::Text(value))),
        (-1i32..3).prop_map(move |value| (column("day_of"), Literal::Date(value))),
        (0i64..3).prop_map(move |value| (column("clock"), Literal::Time(value))),
        (-1i64..3).prop_map(move |value| (column("seen"), Literal::Timestamp(value))),
    ]
}

fn leaf() -> impl Strategy<Value = Filter> {
    let name = || Operand::Column("name".into());
    let matches = prop_oneof![Just(TextMatch::Prefix), Just(TextMatch::Contains)];
    prop_oneof![
        6 => (typed(), op()).prop_map(|((left, right), op)| Filter::Compare { left, op, right }),
        2 => vec(-2i64..3, 1..4).prop_map(|values| Filter::In {
            operand: Operand::Column("i64".into()),
            values: values.into_iter().map(Literal::Int).collect(),
        }),
        1 => (pattern(), any::<bool>()).prop_map(move |(pattern, ignore_case)| Filter::Text {
            operand: name(), matches: TextMatch::Like, pattern, ignore_case,
        }),
        1 => (word(), matches).prop_map(move |(pattern, matches)| Filter::Text {
            operand: name(), matches, pattern, ignore_case: false,
        }),
        1 => typed().prop_map(|(operand, _)| Filter::IsNull(operand)),
        1 => op().prop_map(|op| Filter::CompareOperands {
            left: Operand::Column("i64".into()), op, right: Operand::Column("i8".into()),
        }),
    ]
}

fn tree(leaf: impl Strategy<Value = Filter> + 'static) -> impl Strategy<Value = Filter> {
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Filter::And),
            vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.clone().prop_map(|filter| Filter::Not(Box::new(filter))),
            inner.prop_map(|filter| Filter::IsNotTrue(Box::new(filter))),
        ]
    })
}

fn any_element() -> impl Strategy<Value = Filter> {
    (op(), word()).prop_map(|(op, word)| Filter::AnyElement {
        column: "tags".into(),
        condition: Box::new(Filter::Compare { left: Operand::Element, op, right: Literal::Text(word) }),
    })
}

fn row() -> impl Strategy<Value = Row> {
    (vec(typed(), 0..14), option::of(vec(option::of(word()), 0..3))).prop_map(|(cells, tags)| {
        let mut row: Row = cells
            .into_iter()
            .filter_map(|(operand, literal)| match operand {
                Operand::Column(name) => Some((name, Value::One(literal))),
                _ => None,
            })
            .collect();
        if let Some(tags) = tags {
            let tags = tags.into_iter().map(|tag| tag.map(Literal::Text)).collect();
            row.insert("tags".into(), Value::Many(tags));
        }
        row
    })
}

fn stored(filter: &Filter) -> String {
    serde_json::to_string(filter).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn canonical_form_keeps_the_meaning_and_is_its_own(
        filter in tree(prop_oneof![3 => leaf(), 1 => any_element()]),
        rows in vec(row(), 8),
    ) {
        let canonical = filter.clone().canonical();
        for row in &rows {
            prop_assert_eq!(evaluate::filter(&filter, row), evaluate::filter(&canonical, row), "{:?}", canonical);
        }
        prop_assert_eq!(stored(&canonical.clone().canonical()), stored(&canonical));
        prop_assert!(canonical.columns().is_subset(&filter.columns()));
    }

    #[test]
    fn members_in_any_order_have_one_canonical_form(members in vec(tree(leaf()), 0..5), or in any::<bool>()) {
        let join = |members| if or { Filter::Or(members) } else { Filter::And(members) };
        let turned = members.iter().rev().cloned().collect();
        prop_assert_eq!(stored(&join(members).canonical()), stored(&join(turned).canonical()));
    }

    #[test]
    fn printed_filters_parse_back(filter in tree(leaf())) {
        let text = print::sql(&filter);
        let parsed = parse_sql(&text, &columns());
        let parsed = parsed.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(stored(&parsed), stored(&filter.canonical()), "{}", text);
    }
}

#[test]
fn all_of_several_is_flat_and_names_its_columns() {
    let part = |text| parse_sql(text, &columns()).unwrap();
    let all = Filter::all(vec![part("i8 = 1 AND u16 = 2"), part("name = origin"), part("length(a) > 1")]);
    assert!(matches!(&all, Filter::And(members) if members.len() == 4));
    assert_eq!(all.columns().into_iter().collect::<Vec<_>>(), ["a", "i8", "name", "origin", "u16"]);
    assert_eq!(Filter::all(vec![part("i8 = 1")]), part("i8 = 1"));
    assert_eq!(Filter::all(vec![]), Filter::And(vec![]));
}
