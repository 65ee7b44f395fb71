//! Comparisons of two values of one record.

use arrow_array::{Array, ArrayRef, BooleanArray, cast::AsArray, types::*};
use arrow_buffer::{BooleanBuffer, NullBuffer, i256};
use arrow_schema::{DataType, TimeUnit};
use half::f16;
use willcall_core::query::CompareOp;

use super::compare::{by, float_key, for_primitive};

/// Compares two columns, exactly: what has no type in common is brought to one that holds every value of both.
pub(crate) fn compare(left: &ArrayRef, op: CompareOp, right: &ArrayRef) -> Result<BooleanArray, String> {
    let (l, r) = (left.data_type(), right.data_type());
    let rows = left.len();
    let kept = if l == r {
        same(left, op, right)
    } else if l.is_floating() || r.is_floating() {
        float_keys(left).zip(float_keys(right)).map(|(l, r)| by(op, rows, |row| l[row], |row| r[row]))
    } else if is_exact(l) && is_exact(r) {
        let shared = scale(l).max(scale(r)).max(0);
        let (l, r) = (exact(left, shared), exact(right, shared));
        l.zip(r).map(|(l, r)| by(op, rows, |row| l[row], |row| r[row]))
    } else {
        nanoseconds(left).zip(nanoseconds(right)).map(|(l, r)| by(op, rows, |row| l[row], |row| r[row]))
    };
    let kept = kept.ok_or_else(|| format!("{l} compared with {r}"))?;
    Ok(BooleanArray::new(kept, NullBuffer::union(left.nulls(), right.nulls())))
}

fn same(left: &ArrayRef, op: CompareOp, right: &ArrayRef) -> Option<BooleanBuffer> {
    let rows = left.len();
    macro_rules! primitive {
        ($type:ty, $key:expr) => {{
            let (l, r) = (left.as_primitive::<$type>().values(), right.as_primitive::<$type>().values());
            by(op, rows, |row| $key(l[row]), |row| $key(r[row]))
        }};
    }
    Some(for_primitive!(
        left.data_type(),
        primitive,
        match left.data_type() {
            DataType::Boolean => {
                let (l, r) = (left.as_boolean().values(), right.as_boolean().values());
                by(op, rows, |row| l.value(row), |row| r.value(row))
            }
            DataType::Utf8 => {
                let (l, r) = (left.as_string::<i32>(), right.as_string::<i32>());
                by(op, rows, |row| l.value(row), |row| r.value(row))
            }
            _ => return None,
        }
    ))
}

fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_decimal()
}

fn scale(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

/// Integers and decimals as they are, unscaled.
fn unscaled(values: &ArrayRef) -> Option<Vec<i256>> {
    macro_rules! narrow {
        ($type:ty) => {
            values.as_primitive::<$type>().values().iter().map(|v| i256::from_i128(i128::from(*v))).collect()
        };
    }
    Some(match values.data_type() {
        DataType::Int8 => narrow!(Int8Type),
        DataType::Int16 => narrow!(Int16Type),
        DataType::Int32 => narrow!(Int32Type),
        DataType::Int64 => narrow!(Int64Type),
        DataType::UInt8 => narrow!(UInt8Type),
        DataType::UInt16 => narrow!(UInt16Type),
        DataType::UInt32 => narrow!(UInt32Type),
        DataType::UInt64 => narrow!(UInt64Type),
        DataType::Decimal32(..) => narrow!(Decimal32Type),
        DataType::Decimal64(..) => narrow!(Decimal64Type),
        DataType::Decimal128(..) => narrow!(Decimal128Type),
        DataType::Decimal256(..) => values.as_primitive::<Decimal256Type>().values().to_vec(),
        _ => return None,
    })
}

/// Integers and decimals at a scale; `None` where a value that is there has too many digits for it.
fn exact(values: &ArrayRef, at: i8) -> Option<Vec<i256>> {
    let shift = u32::try_from(i16::from(at) - i16::from(scale(values.data_type()))).ok()?;
    let factor = i256::from_i128(10).checked_pow(shift)?;
    let scaled = |(row, value): (usize, i256)| {
        value.checked_mul(factor).or_else(|| values.is_null(row).then_some(i256::ZERO))
    };
    unscaled(values)?.into_iter().enumerate().map(scaled).collect()
}

fn float_keys(values: &ArrayRef) -> Option<Vec<i64>> {
    Some(match values.data_type() {
        DataType::Float16 => {
            let own = values.as_primitive::<Float16Type>().values();
            own.iter().map(|value: &f16| float_key(f64::from(*value))).collect()
        }
        DataType::Float32 => {
            values.as_primitive::<Float32Type>().values().iter().map(|v| float_key(f64::from(*v))).collect()
        }
        DataType::Float64 => {
            values.as_primitive::<Float64Type>().values().iter().map(|v| float_key(*v)).collect()
        }
        other => {
            let power = 10_f64.powi(i32::from(scale(other)));
            let own = unscaled(values)?;
            own.into_iter()
                .map(|v| v.to_i128().map(|v| float_key(v as f64 / power)))
                .collect::<Option<_>>()?
        }
    })
}

/// Dates and times as nanoseconds in 128 bits, where none overflows.
fn nanoseconds(values: &ArrayRef) -> Option<Vec<i128>> {
    let of_unit = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    let factor: i128 = match values.data_type() {
        DataType::Date32 => 86_400_000_000_000,
        DataType::Date64 => 1_000_000,
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => of_unit(unit),
        _ => return None,
    };
    Some(match values.data_type() {
        DataType::Date32 => {
            values.as_primitive::<Date32Type>().values().iter().map(|v| i128::from(*v) * factor).collect()
        }
        DataType::Time32(TimeUnit::Second) => values
            .as_primitive::<Time32SecondType>()
            .values()
            .iter()
            .map(|v| i128::from(*v) * factor)
            .collect(),
        DataType::Time32(_) => values
            .as_primitive::<Time32MillisecondType>()
            .values()
            .iter()
            .map(|v| i128::from(*v) * factor)
            .collect(),
        _ => longs(values)?.iter().map(|v| i128::from(*v) * factor).collect(),
    })
}

/// The values of dates and times that have 64 bits, as they are.
pub(super) fn longs(values: &ArrayRef) -> Option<&[i64]> {
    Some(match values.data_type() {
        DataType::Date64 => values.as_primitive::<Date64Type>().values(),
        DataType::Time64(TimeUnit::Microsecond) => values.as_primitive::<Time64MicrosecondType>().values(),
        DataType::Time64(TimeUnit::Nanosecond) => values.as_primitive::<Time64NanosecondType>().values(),
        DataType::Timestamp(TimeUnit::Second, _) => values.as_primitive::<TimestampSecondType>().values(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            values.as_primitive::<TimestampMillisecondType>().values()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            values.as_primitive::<TimestampMicrosecondType>().values()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            values.as_primitive::<TimestampNanosecondType>().values()
        }
        _ => return None,
    })
}
