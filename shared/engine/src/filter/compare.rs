//! Comparisons: with a literal, with a set of them, and of two values of one record.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Decimal128Array, PrimitiveArray, Scalar, StringArray,
    cast::AsArray, types::*,
};
use arrow_buffer::{BooleanBuffer, i256};
use arrow_schema::{DataType, TimeUnit};
use half::f16;
use willcall_core::query::{CompareOp, Literal};

use super::{kernel, text_of};

/// Compares each value with the literal; `None` where the literal is not of the values' type.
pub(crate) fn compare_literal(values: &ArrayRef, op: CompareOp, literal: &Literal) -> Option<BooleanArray> {
    // A float32 column compared with a float64 that float32 cannot hold.
    if let (DataType::Float16 | DataType::Float32, Literal::Float(wide)) = (values.data_type(), literal)
        && wide.is_finite()
        && (*wide as f32).is_infinite()
    {
        let values = arrow_cast::cast(values, &DataType::Float64).ok()?;
        return compare_literal(&values, op, literal);
    }
    let literal = scalar(literal, values.data_type())?;
    kernel(op, &canonical_floats(values), &Scalar::new(canonical_floats(&literal))).ok()
}

/// Whether each value is one of the literals; `None` where they are not of the values' type.
pub(crate) fn is_in(values: &ArrayRef, literals: &[Literal]) -> Option<BooleanArray> {
    let set: Vec<ArrayRef> =
        literals.iter().map(|literal| scalar(literal, values.data_type())).collect::<Option<_>>()?;
    let set: Vec<&dyn Array> = set.iter().map(AsRef::as_ref).collect();
    let set = canonical_floats(&arrow_select::concat::concat(&set).ok()?);
    let values = canonical_floats(values);
    macro_rules! primitive {
        ($type:ty, $key:expr) => {
            members(
                &values,
                values.as_primitive::<$type>().values(),
                set.as_primitive::<$type>().values(),
                $key,
            )
        };
    }
    Some(match values.data_type() {
        DataType::Boolean => {
            let set = set.as_boolean();
            let (yes, no) = (set.has_true(), set.has_false());
            let own = values.as_boolean();
            let kept = BooleanBuffer::collect_bool(own.len(), |row| if own.value(row) { yes } else { no });
            BooleanArray::new(kept, own.nulls().cloned())
        }
        DataType::Utf8 => {
            let own: &StringArray = values.as_string();
            let set: HashSet<&str> = set.as_string::<i32>().iter().flatten().collect();
            let kept = BooleanBuffer::collect_bool(own.len(), |row| set.contains(own.value(row)));
            BooleanArray::new(kept, own.nulls().cloned())
        }
        DataType::Int8 => primitive!(Int8Type, |v| v),
        DataType::Int16 => primitive!(Int16Type, |v| v),
        DataType::Int32 => primitive!(Int32Type, |v| v),
        DataType::Int64 => primitive!(Int64Type, |v| v),
        DataType::UInt8 => primitive!(UInt8Type, |v| v),
        DataType::UInt16 => primitive!(UInt16Type, |v| v),
        DataType::UInt32 => primitive!(UInt32Type, |v| v),
        DataType::UInt64 => primitive!(UInt64Type, |v| v),
        DataType::Float16 => primitive!(Float16Type, |v: f16| v.to_bits()),
        DataType::Float32 => primitive!(Float32Type, |v: f32| v.to_bits()),
        DataType::Float64 => primitive!(Float64Type, |v: f64| v.to_bits()),
        DataType::Decimal32(..) => primitive!(Decimal32Type, |v| v),
        DataType::Decimal64(..) => primitive!(Decimal64Type, |v| v),
        DataType::Decimal128(..) => primitive!(Decimal128Type, |v| v),
        DataType::Decimal256(..) => primitive!(Decimal256Type, |v: i256| v.to_le_bytes()),
        DataType::Date32 => primitive!(Date32Type, |v| v),
        DataType::Date64 => primitive!(Date64Type, |v| v),
        DataType::Time32(TimeUnit::Second) => primitive!(Time32SecondType, |v| v),
        DataType::Time32(_) => primitive!(Time32MillisecondType, |v| v),
        DataType::Time64(TimeUnit::Microsecond) => primitive!(Time64MicrosecondType, |v| v),
        DataType::Time64(_) => primitive!(Time64NanosecondType, |v| v),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => primitive!(TimestampSecondType, |v| v),
            TimeUnit::Millisecond => primitive!(TimestampMillisecondType, |v| v),
            TimeUnit::Microsecond => primitive!(TimestampMicrosecondType, |v| v),
            TimeUnit::Nanosecond => primitive!(TimestampNanosecondType, |v| v),
        },
        _ => return None,
    })
}

fn members<N: Copy, K: Hash + Eq>(
    values: &ArrayRef,
    own: &[N],
    set: &[N],
    key: impl Fn(N) -> K,
) -> BooleanArray {
    let set: HashSet<K> = set.iter().map(|value| key(*value)).collect();
    let kept = BooleanBuffer::collect_bool(own.len(), |row| set.contains(&key(own[row])));
    BooleanArray::new(kept, values.nulls().cloned())
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

/// Compares two columns, exactly: what has no type in common is brought to one that holds every value of both.
pub(super) fn operands(left: &ArrayRef, op: CompareOp, right: &ArrayRef) -> Result<BooleanArray, String> {
    let (l, r) = (left.data_type(), right.data_type());
    let (left, right) = if l == r {
        (left.clone(), right.clone())
    } else if is_instant(l) && is_instant(r) {
        (nanoseconds(left)?, nanoseconds(right)?)
    } else if l.is_floating() || r.is_floating() {
        (cast(left, &DataType::Float64)?, cast(right, &DataType::Float64)?)
    } else if is_exact(l) && is_exact(r) {
        let scale = scale(l).max(scale(r)).max(0);
        // 20 digits of the largest integer fit beside any scale that a decimal of 56 digits may have.
        let wide = DataType::Decimal256(arrow_schema::DECIMAL256_MAX_PRECISION, scale);
        (cast(left, &wide)?, cast(right, &wide)?)
    } else {
        return Err(format!("{l} compared with {r}"));
    };
    kernel(op, &canonical_floats(&left), &canonical_floats(&right)).map_err(text_of)
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let options = arrow_cast::CastOptions { safe: false, ..Default::default() };
    arrow_cast::cast_with_options(array, to, &options).map_err(text_of)
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

fn is_instant(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32
            | DataType::Date64
            | DataType::Timestamp(..)
            | DataType::Time32(_)
            | DataType::Time64(_)
    )
}

/// Dates and times as nanoseconds in 128 bits, where none overflows.
fn nanoseconds(array: &ArrayRef) -> Result<ArrayRef, String> {
    let factor: i128 = match array.data_type() {
        DataType::Date32 => 86_400_000_000_000,
        DataType::Date64 => 1_000_000,
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        },
        other => return Err(format!("{other} is no point in time")),
    };
    let narrow = matches!(array.data_type(), DataType::Date32 | DataType::Time32(_));
    let raw: Decimal128Array = if narrow {
        let raw = arrow_cast::cast(array, &DataType::Int32).map_err(text_of)?;
        raw.as_primitive::<Int32Type>().unary(|value| i128::from(value) * factor)
    } else {
        let raw = arrow_cast::cast(array, &DataType::Int64).map_err(text_of)?;
        raw.as_primitive::<Int64Type>().unary(|value| i128::from(value) * factor)
    };
    Ok(Arc::new(raw))
}

/// Floats with one NaN, the greatest of all, and one zero; other values as they are.
pub(crate) fn canonical_floats(array: &ArrayRef) -> ArrayRef {
    macro_rules! canonical {
        ($type:ty, $native:ty, $zero:expr) => {{
            let own = array.as_primitive::<$type>();
            let odd = own.values().iter().any(|v| v.is_nan() || v.to_bits() == (-$zero).to_bits());
            if !odd {
                return Arc::clone(array);
            }
            let one: PrimitiveArray<$type> = own.unary(|value| {
                if value.is_nan() {
                    <$native>::NAN
                } else if value == $zero {
                    $zero
                } else {
                    value
                }
            });
            Arc::new(one)
        }};
    }
    match array.data_type() {
        DataType::Float16 => canonical!(Float16Type, f16, f16::ZERO),
        DataType::Float32 => canonical!(Float32Type, f32, 0.0_f32),
        DataType::Float64 => canonical!(Float64Type, f64, 0.0_f64),
        _ => Arc::clone(array),
    }
}
