//! The functions that a filter may use.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Decimal128Array, Int64Array, PrimitiveArray, StringArray, cast::AsArray, types::*,
};
use arrow_schema::{DataType, TimeUnit};
use half::f16;
use willcall_core::query::Function;

use super::text_of;
use crate::formats::time::{civil, day_of};

/// Calls the function for each value; null gives null.
pub(super) fn call(function: Function, values: &ArrayRef) -> Result<ArrayRef, String> {
    let wrong = || Err(format!("{} of {}", function.as_str(), values.data_type()));
    match function {
        Function::Lower | Function::Upper | Function::Length if values.data_type() != &DataType::Utf8 => {
            wrong()
        }
        Function::Lower => Ok(text(values.as_string(), str::to_lowercase)),
        Function::Upper => Ok(text(values.as_string(), str::to_uppercase)),
        Function::Length => {
            let lengths = values.as_string::<i32>().iter().map(|text| text.map(|t| t.chars().count() as i64));
            Ok(Arc::new(lengths.collect::<Int64Array>()))
        }
        Function::Abs => absolute(values).map_or_else(wrong, Ok),
        Function::Year | Function::Month | Function::Day => {
            let part = move |day: i64| {
                let (year, month, day) = civil(day);
                match function {
                    Function::Year => year,
                    Function::Month => i64::from(month),
                    _ => i64::from(day),
                }
            };
            let days = match values.data_type() {
                DataType::Date32 => {
                    let days = values.as_primitive::<Date32Type>();
                    return Ok(Arc::new(days.unary::<_, Int64Type>(|day| part(i64::from(day)))));
                }
                DataType::Date64 => per_day(values, 86_400_000)?,
                DataType::Timestamp(unit, _) => per_day(values, units_a_day(*unit))?,
                _ => return wrong(),
            };
            Ok(Arc::new(days.unary::<_, Int64Type>(part)))
        }
    }
}

fn units_a_day(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 86_400,
        TimeUnit::Millisecond => 86_400_000,
        TimeUnit::Microsecond => 86_400_000_000,
        TimeUnit::Nanosecond => 86_400_000_000_000,
    }
}

fn per_day(values: &ArrayRef, units: i64) -> Result<Int64Array, String> {
    let raw = arrow_cast::cast(values, &DataType::Int64).map_err(text_of)?;
    Ok(raw.as_primitive::<Int64Type>().unary(|value| day_of(value, units)))
}

fn text(values: &StringArray, change: impl Fn(&str) -> String) -> ArrayRef {
    Arc::new(values.iter().map(|text| text.map(&change)).collect::<StringArray>())
}

/// Integers become decimals of no scale: the absolute value of the least integer does not fit its own type.
fn absolute(values: &ArrayRef) -> Option<ArrayRef> {
    macro_rules! integer {
        ($type:ty) => {{
            let wide: Decimal128Array = values.as_primitive::<$type>().unary(|v| i128::from(v).abs());
            Some(Arc::new(wide.with_precision_and_scale(38, 0).ok()?) as ArrayRef)
        }};
    }
    macro_rules! same {
        ($type:ty, $abs:expr) => {{
            let own: &PrimitiveArray<$type> = values.as_primitive();
            let own: PrimitiveArray<$type> = own.unary($abs);
            Some(Arc::new(own.with_data_type(values.data_type().clone())) as ArrayRef)
        }};
    }
    match values.data_type() {
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => Some(values.clone()),
        DataType::Float16 => same!(Float16Type, |v: f16| f16::from_bits(v.to_bits() & 0x7FFF)),
        DataType::Float32 => same!(Float32Type, f32::abs),
        DataType::Float64 => same!(Float64Type, f64::abs),
        // A decimal's digits are fewer than its bits could hold.
        DataType::Decimal32(..) => same!(Decimal32Type, i32::wrapping_abs),
        DataType::Decimal64(..) => same!(Decimal64Type, i64::wrapping_abs),
        DataType::Decimal128(..) => same!(Decimal128Type, i128::wrapping_abs),
        DataType::Decimal256(..) => same!(Decimal256Type, |v: arrow_buffer::i256| v.wrapping_abs()),
        _ => None,
    }
}
