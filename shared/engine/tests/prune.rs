//! Row groups left out by their statistics hold nothing that the filter keeps, and those taken whole nothing that it
//! leaves out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{sync::Arc, time::Duration};

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array, Int64Array,
    RecordBatch, StringArray, TimestampSecondArray,
};
use proptest::{collection::vec, option, prelude::*};
use support::*;
use willcall_core::{
    format::Format,
    job::FoundBy,
    query::{CompareOp, Filter, Literal, Operand, TextMatch},
};

type Row = (Option<i64>, Option<f64>, Option<String>, Option<i32>, Option<i64>);

fn float() -> impl Strategy<Value = f64> {
    // What float32 cannot hold is among them: files have it rounded, up and down.
    let odd = [f64::NAN, -f64::NAN, 0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 0.1, 0.7];
    prop_oneof![(-3..4).prop_map(f64::from), proptest::sample::select(odd.to_vec())]
}

fn text() -> impl Strategy<Value = String> {
    // Long ones have their bounds cut short.
    prop_oneof!["[ab\u{10FFFF}]{0,3}", "[ab]{60,70}", "\u{10FFFF}{20}"]
}

fn row() -> impl Strategy<Value = Row> {
    (
        option::of(-3_i64..4),
        option::of(float()),
        option::of(text()),
        option::of(-3_i32..4),
        option::of(-3_i64..4),
    )
}

/// Sets of values of one column, sorted as filters have them: none, some, and more than are compared one by one.
fn set() -> impl Strategy<Value = (&'static str, Vec<Literal>)> {
    fn sorted<T: PartialOrd>(mut values: Vec<T>, literal: fn(T) -> Literal) -> Vec<Literal> {
        values.sort_by(|one, other| one.partial_cmp(other).unwrap());
        values.into_iter().map(literal).collect()
    }
    let floats = || {
        vec(float(), 0..4).prop_map(|mut values| {
            values.sort_by(f64::total_cmp);
            values.into_iter().map(Literal::Float).collect()
        })
    };
    let many = || (-160_i64..5, 1_usize..4);
    let steps = |(first, step): (i64, usize)| (first..first + 240).step_by(step).take(70);
    prop_oneof![
        vec(-4_i64..5, 0..4).prop_map(|v| ("i", sorted(v, Literal::Int))),
        many().prop_map(move |of| ("i", steps(of).map(Literal::Int).collect())),
        floats().prop_map(|v| ("f", v)),
        floats().prop_map(|v| ("g", v)),
        vec(text(), 0..4).prop_map(|v| ("t", sorted(v, Literal::Text))),
        (text(), vec(text(), 70)).prop_map(|(one, mut v)| {
            v.push(one);
            ("t", sorted(v, Literal::Text))
        }),
        vec(-4_i32..5, 0..4).prop_map(|v| ("d", sorted(v, Literal::Date))),
        vec(-4_i128..5, 0..4).prop_map(|v| ("n", sorted(v, Literal::Decimal))),
        many().prop_map(move |of| ("n", steps(of).map(|v| Literal::Decimal(v.into())).collect())),
        vec(-4_i64..5, 0..4).prop_map(|v| ("z", sorted(v, Literal::Timestamp))),
        vec(-1_i64..3, 0..4).prop_map(|v| ("p", sorted(v, Literal::Int))),
        vec(any::<bool>(), 0..3).prop_map(|v| ("b", sorted(v, Literal::Bool))),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let op = proptest::sample::select(vec![
        CompareOp::Eq,
        CompareOp::Ne,
        CompareOp::Lt,
        CompareOp::Le,
        CompareOp::Gt,
        CompareOp::Ge,
    ]);
    let side = prop_oneof![
        (-4_i64..5).prop_map(|v| ("i", Literal::Int(v))),
        float().prop_map(|v| ("f", Literal::Float(v))),
        float().prop_map(|v| ("g", Literal::Float(v))),
        text().prop_map(|v| ("t", Literal::Text(v))),
        (-4_i32..5).prop_map(|v| ("d", Literal::Date(v))),
        (-4_i128..5).prop_map(|v| ("n", Literal::Decimal(v))),
        (-4_i64..5).prop_map(|v| ("z", Literal::Timestamp(v))),
        (-1_i64..3).prop_map(|v| ("p", Literal::Int(v))),
        any::<bool>().prop_map(|v| ("b", Literal::Bool(v))),
    ];
    let column = proptest::sample::select(vec!["i", "f", "g", "t", "d", "n", "z", "p", "b"]);
    let of = |name: &str| Operand::Column(name.into());
    let leaf = prop_oneof![
        1 => (op.clone(), column.clone(), column.clone()).prop_map(move |(op, left, right)| {
            Filter::CompareOperands { left: of(left), op, right: of(right) }
        }).prop_filter("of one kind", alike),
        4 => (op, side.clone()).prop_map(move |(op, (name, right))| Filter::Compare { left: of(name), op, right }),
        1 => side.prop_map(move |(name, value)| Filter::In { operand: of(name), values: vec![value] }),
        2 => set().prop_map(move |(name, values)| Filter::In { operand: of(name), values }),
        1 => column.prop_map(move |name| Filter::IsNull(of(name))),
        2 => (text(), any::<bool>()).prop_map(move |(pattern, ignore_case)| Filter::Text {
            operand: of("t"),
            matches: TextMatch::Prefix,
            pattern,
            ignore_case,
        }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Filter::And),
            vec(inner.clone(), 0..3).prop_map(Filter::Or),
            inner.clone().prop_map(|filter| Filter::Not(Box::new(filter))),
            inner.prop_map(|filter| Filter::IsNotTrue(Box::new(filter))),
        ]
    })
}

/// Whether both are numbers.
fn alike(filter: &Filter) -> bool {
    let is_number = |of: &Operand| matches!(of, Operand::Column(name) if "ifgnp".contains(name.as_str()));
    matches!(filter, Filter::CompareOperands { left, right, .. } if is_number(left) && is_number(right))
}

/// The same of before the data set grew: narrower numbers, and no text.
fn old_batch(rows: &[Row]) -> RecordBatch {
    let new = batch(rows);
    let i: ArrayRef = Arc::new(rows.iter().map(|row| row.0.map(|v| v as i16)).collect::<Int16Array>());
    let n = rows.iter().map(|row| row.4.map(i128::from)).collect::<Decimal128Array>();
    let n: ArrayRef = Arc::new(n.with_precision_and_scale(4, 2).unwrap());
    let of = |name: &str| Arc::clone(new.column_by_name(name).unwrap());
    let columns = [("n", n), ("i", i), ("f", of("g")), ("g", of("g")), ("d", of("d")), ("b", of("b"))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn batch(rows: &[Row]) -> RecordBatch {
    let i: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
    let f: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>());
    let g: ArrayRef = Arc::new(rows.iter().map(|row| row.1.map(|v| v as f32)).collect::<Float32Array>());
    let t: ArrayRef = Arc::new(rows.iter().map(|row| row.2.clone()).collect::<StringArray>());
    let d: ArrayRef = Arc::new(rows.iter().map(|row| row.3).collect::<Date32Array>());
    let n = rows.iter().map(|row| row.4.map(i128::from)).collect::<Decimal128Array>();
    let n: ArrayRef = Arc::new(n.with_precision_and_scale(9, 2).unwrap());
    let z: ArrayRef =
        Arc::new(rows.iter().map(|row| row.4).collect::<TimestampSecondArray>().with_timezone("UTC"));
    let b: ArrayRef = Arc::new(rows.iter().map(|row| row.3.map(|v| v > 0)).collect::<BooleanArray>());
    let columns = [("i", i), ("f", f), ("g", g), ("t", t), ("d", d), ("n", n), ("z", z), ("b", b)];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn statistics_decide_as_reading_does(rows in vec(row(), 1..40), filters in vec(filter(), 6), group in 1..4_usize) {
        let (data, silent) = (Data::new(), Data::new());
        let (old, new) = rows.split_at(rows.len() / 3);
        for (directory, rows) in
            [("p=0", old_batch(old)), ("p=1", batch(new)), ("p=__HIVE_DEFAULT_PARTITION__", batch(old))]
        {
            for (data, write) in [(&data, write_parquet as fn(&_, &_, _)), (&silent, write_silent)] {
                std::fs::create_dir(data.dir.path().join(directory)).unwrap();
                write(&data.dir.path().join(directory).join("a.parquet"), std::slice::from_ref(&rows), group);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for filter in filters {
                let mut query = data.query(Format::Csv).await;
                query.filter = Some(filter.clone());
                let decided = run(&data, query.clone()).await;
                // The same files without a word about their values: each record is read.
                let read = run(&silent, query.clone()).await;
                prop_assert_eq!(decided.text(), read.text(), "{:?}", filter);
                prop_assert_eq!(decided.delivered.records_found, read.delivered.records_found);
                // A sample that has no record leaves all of them to be counted.
                let counted = survey(&data, query.clone(), 0, Duration::MAX).await;
                let found = read.delivered.records_found.unwrap();
                prop_assert_eq!((counted.at_least, counted.at_most), (found, Some(found)), "{:?}", filter);
                let hurried = survey(&data, query, 0, Duration::ZERO).await;
                prop_assert!(hurried.at_least <= found && found <= hurried.at_most.unwrap(), "{:?}", filter);
                prop_assert!((hurried.at_least..=hurried.at_most.unwrap()).contains(&hurried.likely));
                if hurried.is_exact() {
                    prop_assert_eq!(hurried.found_by, FoundBy::Statistics);
                    prop_assert_eq!(hurried.at_least, found, "{:?}", filter);
                }
            }
            Ok(())
        })?;
    }
}
