//! A data set's columns with one of every type.

use crate::catalog::{Column, ColumnType, TimeUnit};

pub(super) fn columns() -> Vec<Column> {
    let timestamp = |unit, zone: Option<&str>| ColumnType::Timestamp { unit, zone: zone.map(String::from) };
    let text_list = ColumnType::List(Box::new(ColumnType::Text));
    [
        ("flag", ColumnType::Boolean),
        ("i8", ColumnType::Int { bits: 8, signed: true }),
        ("i64", ColumnType::Int { bits: 64, signed: true }),
        ("u16", ColumnType::Int { bits: 16, signed: false }),
        ("u64", ColumnType::Int { bits: 64, signed: false }),
        ("f32", ColumnType::Float { bits: 32 }),
        ("f64", ColumnType::Float { bits: 64 }),
        ("price", ColumnType::Decimal { precision: 15, scale: 2 }),
        ("wide", ColumnType::Decimal { precision: 76, scale: 0 }),
        ("name", ColumnType::Text),
        ("Country", ColumnType::Text),
        ("day_of", ColumnType::Date),
        ("clock", ColumnType::Time { unit: TimeUnit::Second }),
        ("seen", timestamp(TimeUnit::Microsecond, Some("UTC"))),
        ("local", timestamp(TimeUnit::Second, None)),
        ("nanos", timestamp(TimeUnit::Nanosecond, None)),
        ("blob", ColumnType::Binary),
        ("tags", text_list),
        ("marks", ColumnType::List(Box::new(ColumnType::Int { bits: 32, signed: true }))),
        ("nested", ColumnType::Struct(vec![])),
        ("odd", ColumnType::Other("Interval".into())),
        ("a.b", ColumnType::Text),
        ("a", ColumnType::Text),
        ("we ird\"n:ame", ColumnType::Text),
        ("year", ColumnType::Int { bits: 64, signed: true }),
        ("origin", ColumnType::Text),
    ]
    .into_iter()
    .map(|(name, data_type)| Column { name: name.into(), data_type, nullable: true })
    .collect()
}
