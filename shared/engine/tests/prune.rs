//! Row groups left out by their statistics hold nothing that the filter keeps.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use proptest::{collection::vec, option, prelude::*};
use support::*;
use willcall_core::{
    format::Format,
    query::{CompareOp, Filter, Literal, Operand, TextMatch},
};

type Row = (Option<i64>, Option<f64>, Option<String>, Option<i32>, Option<i64>);

fn float() -> impl Strategy<Value = f64> {
    let odd = [f64::NAN, -f64::NAN, 0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY];
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
    ];
    let column = proptest::sample::select(vec!["i", "f", "g", "t", "d", "n"]);
    let of = |name: &str| Operand::Column(name.into());
    let leaf = prop_oneof![
        4 => (op, side.clone()).prop_map(move |(op, (name, right))| Filter::Compare { left: of(name), op, right }),
        2 => side.prop_map(move |(name, value)| Filter::In { operand: of(name), values: vec![value] }),
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
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

fn batch(rows: &[Row]) -> RecordBatch {
    let i: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>());
    let f: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>());
    let g: ArrayRef = Arc::new(rows.iter().map(|row| row.1.map(|v| v as f32)).collect::<Float32Array>());
    let t: ArrayRef = Arc::new(rows.iter().map(|row| row.2.clone()).collect::<StringArray>());
    let d: ArrayRef = Arc::new(rows.iter().map(|row| row.3).collect::<Date32Array>());
    let n = rows.iter().map(|row| row.4.map(i128::from)).collect::<Decimal128Array>();
    let n: ArrayRef = Arc::new(n.with_precision_and_scale(9, 2).unwrap());
    let columns = [("i", i), ("f", f), ("g", g), ("t", t), ("d", d), ("n", n)];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn statistics_never_hide_a_record(rows in vec(row(), 1..40), filters in vec(filter(), 6)) {
        let data = Data::new().file("a.parquet", &[batch(&rows)], 3);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for filter in filters {
                let mut query = data.query(Format::Csv).await;
                query.filter = Some(filter.clone());
                let pruned = run(&data, query.clone()).await;
                // The same condition in a form that statistics are not asked about.
                let twice = Filter::IsNotTrue(Box::new(Filter::IsNotTrue(Box::new(filter.clone()))));
                query.filter = Some(twice);
                let whole = run(&data, query).await;
                prop_assert_eq!(pruned.text(), whole.text(), "{:?}", filter);
                prop_assert_eq!(pruned.delivered.records_found, whole.delivered.records_found);
            }
            Ok(())
        })?;
    }
}
