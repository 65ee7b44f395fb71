//! Arrow's types in the domain's words, and the plain types in which the engine works.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, TimeUnit as ArrowUnit};
use willcall_core::catalog::{Column, ColumnType, TimeUnit};

/// A field in the domain's words.
pub(crate) fn column(field: &Field) -> Column {
    Column {
        name: field.name().clone(),
        data_type: column_type(field.data_type()),
        nullable: field.is_nullable(),
    }
}

/// A type in the domain's words.
pub(crate) fn column_type(data_type: &DataType) -> ColumnType {
    let int = |bits, signed| ColumnType::Int { bits, signed };
    match data_type {
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8 => int(8, true),
        DataType::Int16 => int(16, true),
        DataType::Int32 => int(32, true),
        DataType::Int64 => int(64, true),
        DataType::UInt8 => int(8, false),
        DataType::UInt16 => int(16, false),
        DataType::UInt32 => int(32, false),
        DataType::UInt64 => int(64, false),
        DataType::Float16 => ColumnType::Float { bits: 16 },
        DataType::Float32 => ColumnType::Float { bits: 32 },
        DataType::Float64 => ColumnType::Float { bits: 64 },
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            ColumnType::Decimal { precision: *precision, scale: *scale }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnType::Binary
        }
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Time32(unit) | DataType::Time64(unit) => ColumnType::Time { unit: time_unit(*unit) },
        DataType::Timestamp(unit, zone) => {
            ColumnType::Timestamp { unit: time_unit(*unit), zone: zone.as_ref().map(|zone| zone.to_string()) }
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => ColumnType::List(Box::new(column_type(item.data_type()))),
        DataType::Struct(fields) => ColumnType::Struct(fields.iter().map(|f| column(f)).collect()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => ColumnType::Map(
                Box::new(column_type(fields[0].data_type())),
                Box::new(column_type(fields[1].data_type())),
            ),
            other => ColumnType::Other(name(other)),
        },
        DataType::Dictionary(_, value) => column_type(value),
        DataType::RunEndEncoded(_, value) => column_type(value.data_type()),
        DataType::Null | DataType::Duration(_) | DataType::Interval(_) | DataType::Union(..) => {
            ColumnType::Other(name(data_type))
        }
    }
}

/// The plain type of a column of text files, which are those that can be declared or inferred; none for others.
pub(crate) fn arrow_type(column_type: &ColumnType) -> Option<DataType> {
    Some(match column_type {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Int { bits: 8, signed: true } => DataType::Int8,
        ColumnType::Int { bits: 16, signed: true } => DataType::Int16,
        ColumnType::Int { bits: 32, signed: true } => DataType::Int32,
        ColumnType::Int { bits: 64, signed: true } => DataType::Int64,
        ColumnType::Int { bits: 8, signed: false } => DataType::UInt8,
        ColumnType::Int { bits: 16, signed: false } => DataType::UInt16,
        ColumnType::Int { bits: 32, signed: false } => DataType::UInt32,
        ColumnType::Int { bits: 64, signed: false } => DataType::UInt64,
        ColumnType::Float { bits: 32 } => DataType::Float32,
        ColumnType::Float { bits: 64 } => DataType::Float64,
        ColumnType::Decimal { precision, scale } if *precision <= 38 => {
            DataType::Decimal128(*precision, *scale)
        }
        ColumnType::Text => DataType::Utf8,
        ColumnType::Binary => DataType::Binary,
        ColumnType::Date => DataType::Date32,
        ColumnType::Time { unit } => match arrow_unit(*unit) {
            unit @ (ArrowUnit::Second | ArrowUnit::Millisecond) => DataType::Time32(unit),
            unit => DataType::Time64(unit),
        },
        ColumnType::Timestamp { unit, zone } => {
            DataType::Timestamp(arrow_unit(*unit), zone.as_deref().map(Into::into))
        }
        ColumnType::Int { .. }
        | ColumnType::Float { .. }
        | ColumnType::Decimal { .. }
        | ColumnType::List(_)
        | ColumnType::Struct(_)
        | ColumnType::Map(..)
        | ColumnType::Other(_) => return None,
    })
}

/// The narrowest type that holds the values of both without loss: whole numbers of more bits, floats of more bits,
/// decimals of more digits before the point. None for other types that differ.
pub(crate) fn wider(one: &ColumnType, other: &ColumnType) -> Option<ColumnType> {
    Some(match (one, other) {
        (ColumnType::Int { bits: a, signed: x }, ColumnType::Int { bits: b, signed: y }) if x == y => {
            ColumnType::Int { bits: *a.max(b), signed: *x }
        }
        (ColumnType::Int { bits, signed: true }, ColumnType::Int { bits: unsigned, signed: false })
        | (ColumnType::Int { bits: unsigned, signed: false }, ColumnType::Int { bits, signed: true }) => {
            let bits = if bits > unsigned { *bits } else { unsigned.checked_mul(2)? };
            (bits <= 64).then_some(ColumnType::Int { bits, signed: true })?
        }
        (ColumnType::Float { bits: a }, ColumnType::Float { bits: b }) => {
            ColumnType::Float { bits: *a.max(b) }
        }
        (ColumnType::Decimal { precision: a, scale: x }, ColumnType::Decimal { precision: b, scale: y })
            if x == y =>
        {
            ColumnType::Decimal { precision: *a.max(b), scale: *x }
        }
        (one, other) if one == other => one.clone(),
        _ => return None,
    })
}

/// The fields of such columns. The error names one whose type text has not.
pub(crate) fn arrow_fields(columns: &[Column]) -> Result<Vec<FieldRef>, String> {
    let field = |column: &Column| {
        let data_type = arrow_type(&column.data_type).ok_or_else(|| {
            format!("the column {:?} is {}, which text cannot be read as", column.name, column.data_type)
        })?;
        Ok(Arc::new(Field::new(&column.name, data_type, column.nullable)))
    };
    columns.iter().map(field).collect()
}

fn arrow_unit(unit: TimeUnit) -> ArrowUnit {
    match unit {
        TimeUnit::Second => ArrowUnit::Second,
        TimeUnit::Millisecond => ArrowUnit::Millisecond,
        TimeUnit::Microsecond => ArrowUnit::Microsecond,
        TimeUnit::Nanosecond => ArrowUnit::Nanosecond,
    }
}

fn name(data_type: &DataType) -> String {
    data_type.to_string().to_lowercase()
}

fn time_unit(unit: ArrowUnit) -> TimeUnit {
    match unit {
        ArrowUnit::Second => TimeUnit::Second,
        ArrowUnit::Millisecond => TimeUnit::Millisecond,
        ArrowUnit::Microsecond => TimeUnit::Microsecond,
        ArrowUnit::Nanosecond => TimeUnit::Nanosecond,
    }
}

/// The type in which the engine works with such values: one kind of text, bytes and list, no dictionaries. Encoders
/// and filters know these alone.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    let item = |field: &FieldRef| plain_field(field);
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        DataType::RunEndEncoded(_, value) => plain(value.data_type()),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => DataType::List(item(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(item).collect::<Fields>()),
        DataType::Map(field, sorted) => DataType::Map(item(field), *sorted),
        other => other.clone(),
    }
}

/// The field in the type in which the engine works.
pub(crate) fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = plain(field.data_type());
    if &data_type == field.data_type() {
        Arc::clone(field)
    } else {
        Arc::new(
            Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone()),
        )
    }
}

/// The schema in the types in which the engine works.
pub(crate) fn plain_schema(schema: &Schema) -> Schema {
    let fields: Fields = schema.fields().iter().map(plain_field).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}
