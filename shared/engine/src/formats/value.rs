//! Columns bound to their types once a batch, so that a value is written without asking what it is.

use arrow_array::{Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, cast::AsArray, types::*};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, IntervalDayTime, IntervalMonthDayNano, NullBuffer, i256};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};
use base64::{Engine, engine::general_purpose::STANDARD};
use half::f16;

use super::{number, short::append, time};

/// A column of one batch.
pub(crate) struct Bound<'a> {
    pub(crate) nulls: Option<&'a NullBuffer>,
    pub(crate) values: Values<'a>,
}

/// The values of a column of one batch.
pub(crate) enum Values<'a> {
    Null,
    Boolean(&'a BooleanBuffer),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float16(&'a [f16]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal32(&'a [i32], i8),
    Decimal64(&'a [i64], i8),
    Decimal128(&'a [i128], i8),
    Decimal256(&'a [i256], i8),
    Text(Text<'a>),
    Binary(&'a BinaryArray),
    FixedBinary(&'a FixedSizeBinaryArray),
    Day(&'a [i32]),
    DayMillis(&'a [i64]),
    Time32(&'a [i32], TimeUnit),
    Time64(&'a [i64], TimeUnit),
    Timestamp(&'a [i64], TimeUnit, bool),
    Duration(&'a [i64], TimeUnit),
    Months(&'a [i32]),
    DayTime(&'a [IntervalDayTime]),
    MonthDayNano(&'a [IntervalMonthDayNano]),
    List(&'a [i32], Box<Bound<'a>>),
    Struct(Vec<(Vec<u8>, Bound<'a>)>),
    Map(&'a [i32], Box<Bound<'a>>, Box<Bound<'a>>),
}

/// Text of one batch.
pub(crate) struct Text<'a> {
    offsets: &'a [i32],
    data: &'a [u8],
    /// Whether no value holds a byte that the format must treat.
    pub(super) clean: bool,
}

impl<'a> Text<'a> {
    #[inline]
    pub(crate) fn value(&self, row: usize) -> &'a [u8] {
        &self.data[self.offsets[row].as_usize()..self.offsets[row + 1].as_usize()]
    }

    /// Writes the value as it is.
    #[inline]
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        let start = self.offsets[row].as_usize();
        append(self.data, start, self.offsets[row + 1].as_usize() - start, out);
    }
}

/// Tells whether any of the bytes must be treated by the format.
pub(crate) type Dirty<'d> = &'d dyn Fn(&[u8]) -> bool;

impl<'a> Bound<'a> {
    /// Binds a column. The error names a type that cannot be written as text.
    pub(crate) fn new(array: &'a ArrayRef, dirty: Dirty<'_>) -> Result<Self, String> {
        use Values as V;
        macro_rules! values {
            ($type:ty) => {
                array.as_primitive::<$type>().values()
            };
        }
        let values = match array.data_type() {
            DataType::Null => V::Null,
            DataType::Boolean => V::Boolean(array.as_boolean().values()),
            DataType::Int8 => V::Int8(values!(Int8Type)),
            DataType::Int16 => V::Int16(values!(Int16Type)),
            DataType::Int32 => V::Int32(values!(Int32Type)),
            DataType::Int64 => V::Int64(values!(Int64Type)),
            DataType::UInt8 => V::UInt8(values!(UInt8Type)),
            DataType::UInt16 => V::UInt16(values!(UInt16Type)),
            DataType::UInt32 => V::UInt32(values!(UInt32Type)),
            DataType::UInt64 => V::UInt64(values!(UInt64Type)),
            DataType::Float16 => V::Float16(values!(Float16Type)),
            DataType::Float32 => V::Float32(values!(Float32Type)),
            DataType::Float64 => V::Float64(values!(Float64Type)),
            DataType::Decimal32(_, scale) => V::Decimal32(values!(Decimal32Type), *scale),
            DataType::Decimal64(_, scale) => V::Decimal64(values!(Decimal64Type), *scale),
            DataType::Decimal128(_, scale) => V::Decimal128(values!(Decimal128Type), *scale),
            DataType::Decimal256(_, scale) => V::Decimal256(values!(Decimal256Type), *scale),
            DataType::Utf8 => {
                let text = array.as_string::<i32>();
                let (offsets, data) = (text.value_offsets(), text.value_data());
                let used = match offsets {
                    [first, .., last] => &data[first.as_usize()..last.as_usize()],
                    _ => &[],
                };
                V::Text(Text { offsets, data, clean: !dirty(used) })
            }
            DataType::Binary => V::Binary(array.as_binary()),
            DataType::FixedSizeBinary(_) => V::FixedBinary(array.as_fixed_size_binary()),
            DataType::Date32 => V::Day(values!(Date32Type)),
            DataType::Date64 => V::DayMillis(values!(Date64Type)),
            DataType::Time32(TimeUnit::Second) => V::Time32(values!(Time32SecondType), TimeUnit::Second),
            DataType::Time32(unit) => V::Time32(values!(Time32MillisecondType), *unit),
            DataType::Time64(TimeUnit::Microsecond) => {
                V::Time64(values!(Time64MicrosecondType), TimeUnit::Microsecond)
            }
            DataType::Time64(unit) => V::Time64(values!(Time64NanosecondType), *unit),
            DataType::Timestamp(unit, zone) => {
                let values = match unit {
                    TimeUnit::Second => values!(TimestampSecondType),
                    TimeUnit::Millisecond => values!(TimestampMillisecondType),
                    TimeUnit::Microsecond => values!(TimestampMicrosecondType),
                    TimeUnit::Nanosecond => values!(TimestampNanosecondType),
                };
                V::Timestamp(values, *unit, zone.is_some())
            }
            DataType::Duration(unit) => {
                let values = match unit {
                    TimeUnit::Second => values!(DurationSecondType),
                    TimeUnit::Millisecond => values!(DurationMillisecondType),
                    TimeUnit::Microsecond => values!(DurationMicrosecondType),
                    TimeUnit::Nanosecond => values!(DurationNanosecondType),
                };
                V::Duration(values, *unit)
            }
            DataType::Interval(IntervalUnit::YearMonth) => V::Months(values!(IntervalYearMonthType)),
            DataType::Interval(IntervalUnit::DayTime) => V::DayTime(values!(IntervalDayTimeType)),
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                V::MonthDayNano(values!(IntervalMonthDayNanoType))
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                V::List(list.value_offsets(), Box::new(Self::new(list.values(), dirty)?))
            }
            DataType::Struct(fields) => {
                let fields = fields.iter().zip(array.as_struct().columns());
                let bind = |(field, column): (&arrow_schema::FieldRef, &'a ArrayRef)| {
                    Ok((super::json::member(field.name()), Self::new(column, dirty)?))
                };
                V::Struct(fields.map(bind).collect::<Result<_, String>>()?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let keys = Self::new(map.keys(), dirty)?;
                if keys.values.is_nested() {
                    return Err(format!("maps with keys of type {}", map.keys().data_type()));
                }
                V::Map(map.value_offsets(), Box::new(keys), Box::new(Self::new(map.values(), dirty)?))
            }
            DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::LargeList(_)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
            | DataType::FixedSizeList(..)
            | DataType::Union(..)
            | DataType::Dictionary(..)
            | DataType::RunEndEncoded(..) => return Err(format!("values of type {}", array.data_type())),
        };
        Ok(Self { nulls: array.nulls(), values })
    }

    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null) || self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }
}

impl Values<'_> {
    /// Whether JSON writes the values as they stand: numbers and booleans.
    pub(crate) fn is_bare(&self) -> bool {
        matches!(
            self,
            Self::Null
                | Self::Boolean(_)
                | Self::Int8(_)
                | Self::Int16(_)
                | Self::Int32(_)
                | Self::Int64(_)
                | Self::UInt8(_)
                | Self::UInt16(_)
                | Self::UInt32(_)
                | Self::UInt64(_)
                | Self::Float16(_)
                | Self::Float32(_)
                | Self::Float64(_)
                | Self::Decimal32(..)
                | Self::Decimal64(..)
                | Self::Decimal128(..)
                | Self::Decimal256(..)
        )
    }

    /// Whether the values are floats, which can be no number at all.
    pub(crate) fn is_float(&self) -> bool {
        matches!(self, Self::Float16(_) | Self::Float32(_) | Self::Float64(_))
    }

    /// Whether the values hold values.
    pub(crate) fn is_nested(&self) -> bool {
        matches!(self, Self::List(..) | Self::Struct(_) | Self::Map(..))
    }

    /// The value as a float, where the column has floats.
    #[inline]
    pub(crate) fn float(&self, row: usize) -> Option<f64> {
        match self {
            Self::Float16(values) => Some(f64::from(values[row])),
            Self::Float32(values) => Some(f64::from(values[row])),
            Self::Float64(values) => Some(values[row]),
            _ => None,
        }
    }

    /// Writes a value without any quotes. Values that hold values, and floats that are not finite, are left to the
    /// format; text is written as it is.
    #[inline]
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::Boolean(values) => {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
            }
            Self::Int8(values) => number::write_int(i64::from(values[row]), out),
            Self::Int16(values) => number::write_int(i64::from(values[row]), out),
            Self::Int32(values) => number::write_int(i64::from(values[row]), out),
            Self::Int64(values) => number::write_int(values[row], out),
            Self::UInt8(values) => number::write_uint(u64::from(values[row]), out),
            Self::UInt16(values) => number::write_uint(u64::from(values[row]), out),
            Self::UInt32(values) => number::write_uint(u64::from(values[row]), out),
            Self::UInt64(values) => number::write_uint(values[row], out),
            Self::Float16(values) => number::write_float(f32::from(values[row]), out),
            Self::Float32(values) => number::write_float(values[row], out),
            Self::Float64(values) => number::write_float(values[row], out),
            Self::Decimal32(values, scale) => number::write_decimal(i128::from(values[row]), *scale, out),
            Self::Decimal64(values, scale) => number::write_decimal(i128::from(values[row]), *scale, out),
            Self::Decimal128(values, scale) => number::write_decimal(values[row], *scale, out),
            Self::Decimal256(values, scale) => number::write_wide_decimal(values[row], *scale, out),
            Self::Text(text) => text.write(row, out),
            Self::Binary(values) => write_base64(values.value(row), out),
            Self::FixedBinary(values) => write_base64(values.value(row), out),
            Self::Day(values) => time::write_day(i64::from(values[row]), out),
            Self::DayMillis(values) => time::write_day(time::day_of(values[row], 86_400_000), out),
            Self::Time32(values, unit) => time::write_time(i64::from(values[row]), *unit, out),
            Self::Time64(values, unit) => time::write_time(values[row], *unit, out),
            Self::Timestamp(values, unit, zoned) => time::write_timestamp(values[row], *unit, *zoned, out),
            Self::Duration(values, unit) => time::write_duration(values[row], *unit, out),
            Self::Months(values) => time::write_interval(values[row], 0, 0, out),
            Self::DayTime(values) => {
                let value = values[row];
                time::write_interval(0, value.days, i64::from(value.milliseconds) * 1_000_000, out);
            }
            Self::MonthDayNano(values) => {
                let value = values[row];
                time::write_interval(value.months, value.days, value.nanoseconds, out);
            }
            Self::List(..) | Self::Struct(_) | Self::Map(..) => {}
        }
    }
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The slice is exactly as long as the encoding.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}
