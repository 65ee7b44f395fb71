//! Comparisons with a literal, and with a set of them.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, StringArray, cast::AsArray, types::*,
};
use arrow_buffer::{BooleanBuffer, i256};
use arrow_schema::{DataType, TimeUnit};
use half::f16;
use willcall_core::query::{CompareOp, Literal};

/// A float as a number that orders as DuckDB orders floats: one NaN, the greatest of all, and one zero.
pub(super) fn float_key(value: f64) -> i64 {
    if value.is_nan() {
        return i64::MAX;
    }
    // Adding zero makes -0.0 plain.
    let bits = (value + 0.0).to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// Does the work for the type of the values: `$work!(type, key)` where there are primitive values, with a function
/// that gives what they are compared by.
macro_rules! for_primitive {
    ($data_type:expr, $work:ident, $otherwise:expr) => {
        match $data_type {
            DataType::Int8 => $work!(Int8Type, |v| v),
            DataType::Int16 => $work!(Int16Type, |v| v),
            DataType::Int32 => $work!(Int32Type, |v| v),
            DataType::Int64 => $work!(Int64Type, |v| v),
            DataType::UInt8 => $work!(UInt8Type, |v| v),
            DataType::UInt16 => $work!(UInt16Type, |v| v),
            DataType::UInt32 => $work!(UInt32Type, |v| v),
            DataType::UInt64 => $work!(UInt64Type, |v| v),
            DataType::Float16 => $work!(Float16Type, |v: f16| float_key(f64::from(v))),
            DataType::Float32 => $work!(Float32Type, |v: f32| float_key(f64::from(v))),
            DataType::Float64 => $work!(Float64Type, |v: f64| float_key(v)),
            DataType::Decimal32(..) => $work!(Decimal32Type, |v| v),
            DataType::Decimal64(..) => $work!(Decimal64Type, |v| v),
            DataType::Decimal128(..) => $work!(Decimal128Type, |v| v),
            DataType::Decimal256(..) => $work!(Decimal256Type, |v: i256| v),
            DataType::Date32 => $work!(Date32Type, |v| v),
            DataType::Date64 => $work!(Date64Type, |v| v),
            DataType::Time32(TimeUnit::Second) => $work!(Time32SecondType, |v| v),
            DataType::Time32(_) => $work!(Time32MillisecondType, |v| v),
            DataType::Time64(TimeUnit::Microsecond) => $work!(Time64MicrosecondType, |v| v),
            DataType::Time64(_) => $work!(Time64NanosecondType, |v| v),
            DataType::Timestamp(TimeUnit::Second, _) => $work!(TimestampSecondType, |v| v),
            DataType::Timestamp(TimeUnit::Millisecond, _) => $work!(TimestampMillisecondType, |v| v),
            DataType::Timestamp(TimeUnit::Microsecond, _) => $work!(TimestampMicrosecondType, |v| v),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $work!(TimestampNanosecondType, |v| v),
            _ => $otherwise,
        }
    };
}
pub(super) use for_primitive;

/// Compares row by row.
pub(super) fn by<K: Ord>(
    op: CompareOp,
    rows: usize,
    left: impl Fn(usize) -> K,
    right: impl Fn(usize) -> K,
) -> BooleanBuffer {
    match op {
        CompareOp::Eq => BooleanBuffer::collect_bool(rows, |row| left(row) == right(row)),
        CompareOp::Ne => BooleanBuffer::collect_bool(rows, |row| left(row) != right(row)),
        CompareOp::Lt => BooleanBuffer::collect_bool(rows, |row| left(row) < right(row)),
        CompareOp::Le => BooleanBuffer::collect_bool(rows, |row| left(row) <= right(row)),
        CompareOp::Gt => BooleanBuffer::collect_bool(rows, |row| left(row) > right(row)),
        CompareOp::Ge => BooleanBuffer::collect_bool(rows, |row| left(row) >= right(row)),
    }
}

/// Compares each value with the literal; `None` where the literal is not of the values' type.
pub(crate) fn compare_literal(values: &ArrayRef, op: CompareOp, literal: &Literal) -> Option<BooleanArray> {
    let rows = values.len();
    // A narrow float column compared with a float64 that its type cannot hold.
    if let (DataType::Float16 | DataType::Float32, Literal::Float(wide)) = (values.data_type(), literal)
        && wide.is_finite()
        && (*wide as f32).is_infinite()
    {
        let least = float_key(*wide);
        let kept = match values.data_type() {
            DataType::Float16 => {
                let own = values.as_primitive::<Float16Type>().values();
                by(op, rows, |row| float_key(f64::from(own[row])), |_| least)
            }
            _ => {
                let own = values.as_primitive::<Float32Type>().values();
                by(op, rows, |row| float_key(f64::from(own[row])), |_| least)
            }
        };
        return Some(BooleanArray::new(kept, values.nulls().cloned()));
    }
    let literal = scalar(literal, values.data_type())?;
    macro_rules! primitive {
        ($type:ty, $key:expr) => {{
            let own = values.as_primitive::<$type>().values();
            let right = $key(literal.as_primitive::<$type>().value(0));
            by(op, rows, |row| $key(own[row]), |_| right)
        }};
    }
    let kept = for_primitive!(
        values.data_type(),
        primitive,
        match values.data_type() {
            DataType::Boolean => {
                let (own, right) = (values.as_boolean().values(), literal.as_boolean().value(0));
                by(op, rows, |row| own.value(row), |_| right)
            }
            DataType::Utf8 => {
                let (own, right) = (values.as_string::<i32>(), literal.as_string::<i32>().value(0));
                by(op, rows, |row| own.value(row), |_| right)
            }
            _ => return None,
        }
    );
    Some(BooleanArray::new(kept, values.nulls().cloned()))
}

/// Whether each value is one of the literals; `None` where they are not of the values' type.
pub(crate) fn is_in(values: &ArrayRef, literals: &[Literal]) -> Option<BooleanArray> {
    let set: Vec<ArrayRef> =
        literals.iter().map(|literal| scalar(literal, values.data_type())).collect::<Option<_>>()?;
    macro_rules! primitive {
        ($type:ty, $key:expr) => {{
            let own = values.as_primitive::<$type>().values();
            let set = set.iter().map(|literal| $key(literal.as_primitive::<$type>().value(0)));
            members(own.len(), set.collect(), |row| $key(own[row]))
        }};
    }
    let kept = for_primitive!(
        values.data_type(),
        primitive,
        match values.data_type() {
            DataType::Boolean => {
                let own = values.as_boolean().values();
                members(own.len(), set.iter().map(|l| l.as_boolean().value(0)).collect(), |row| {
                    own.value(row)
                })
            }
            DataType::Utf8 => {
                let own: &StringArray = values.as_string();
                let set = set.iter().map(|literal| literal.as_string::<i32>().value(0));
                members(own.len(), set.collect(), |row| own.value(row))
            }
            _ => return None,
        }
    );
    Some(BooleanArray::new(kept, values.nulls().cloned()))
}

fn members<K: Hash + Eq>(rows: usize, set: HashSet<K>, of: impl Fn(usize) -> K) -> BooleanBuffer {
    BooleanBuffer::collect_bool(rows, |row| set.contains(&of(row)))
}

/// The literal as an array of one value; `None` where the type cannot hold it.
fn scalar(literal: &Literal, data_type: &DataType) -> Option<ArrayRef> {
    fn one<T: ArrowPrimitiveType>(value: Option<T::Native>, data_type: &DataType) -> Option<ArrayRef> {
        let array = PrimitiveArray::<T>::from_iter_values([value?]).with_data_type(data_type.clone());
        Some(Arc::new(array))
    }
    let t = data_type;
    match (literal, t) {
        (Literal::Bool(value), DataType::Boolean) => Some(Arc::new(BooleanArray::from(vec![*value]))),
        (Literal::Int(value), _) => match t {
            DataType::Int8 => one::<Int8Type>(i8::try_from(*value).ok(), t),
            DataType::Int16 => one::<Int16Type>(i16::try_from(*value).ok(), t),
            DataType::Int32 => one::<Int32Type>(i32::try_from(*value).ok(), t),
            DataType::Int64 => one::<Int64Type>(Some(*value), t),
            // What a function makes of integers.
            DataType::Decimal128(_, 0) => one::<Decimal128Type>(Some(i128::from(*value)), t),
            _ => None,
        },
        (Literal::UInt(value), _) => match t {
            DataType::UInt8 => one::<UInt8Type>(u8::try_from(*value).ok(), t),
            DataType::UInt16 => one::<UInt16Type>(u16::try_from(*value).ok(), t),
            DataType::UInt32 => one::<UInt32Type>(u32::try_from(*value).ok(), t),
            DataType::UInt64 => one::<UInt64Type>(Some(*value), t),
            _ => None,
        },
        (Literal::Float(value), DataType::Float16) => one::<Float16Type>(Some(f16::from_f64(*value)), t),
        (Literal::Float(value), DataType::Float32) => one::<Float32Type>(Some(*value as f32), t),
        (Literal::Float(value), DataType::Float64) => one::<Float64Type>(Some(*value), t),
        (Literal::Decimal(value), _) => match t {
            DataType::Decimal32(..) => one::<Decimal32Type>(i32::try_from(*value).ok(), t),
            DataType::Decimal64(..) => one::<Decimal64Type>(i64::try_from(*value).ok(), t),
            DataType::Decimal128(..) => one::<Decimal128Type>(Some(*value), t),
            DataType::Decimal256(..) => one::<Decimal256Type>(Some(i256::from_i128(*value)), t),
            _ => None,
        },
        (Literal::Text(value), DataType::Utf8) => {
            Some(Arc::new(StringArray::from_iter_values([value.as_str()])))
        }
        (Literal::Date(days), DataType::Date32) => one::<Date32Type>(Some(*days), t),
        (Literal::Date(days), DataType::Date64) => one::<Date64Type>(Some(i64::from(*days) * 86_400_000), t),
        (Literal::Timestamp(value), DataType::Timestamp(unit, _)) => match unit {
            TimeUnit::Second => one::<TimestampSecondType>(Some(*value), t),
            TimeUnit::Millisecond => one::<TimestampMillisecondType>(Some(*value), t),
            TimeUnit::Microsecond => one::<TimestampMicrosecondType>(Some(*value), t),
            TimeUnit::Nanosecond => one::<TimestampNanosecondType>(Some(*value), t),
        },
        (Literal::Time(value), DataType::Time32(unit)) => match unit {
            TimeUnit::Second => one::<Time32SecondType>(i32::try_from(*value).ok(), t),
            _ => one::<Time32MillisecondType>(i32::try_from(*value).ok(), t),
        },
        (Literal::Time(value), DataType::Time64(unit)) => match unit {
            TimeUnit::Microsecond => one::<Time64MicrosecondType>(Some(*value), t),
            _ => one::<Time64NanosecondType>(Some(*value), t),
        },
        _ => None,
    }
}
