//! Brings values to the type that all files of a data set share.
//!
//! The decoder gives plain types already. What is left are the same values in another width (decimals, days) and
//! nested types whose inner fields have other names.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Decimal32Array, Decimal64Array, Decimal128Array, Decimal256Array,
    ListArray, MapArray, PrimitiveArray, StructArray, cast::AsArray, new_null_array, types::*,
};
use arrow_buffer::i256;
use arrow_schema::{ArrowError, DataType};

const DAY_MILLIS: i64 = 86_400_000;

/// The values in the type asked for; nulls where there are none.
pub(crate) fn adapt(array: Option<&ArrayRef>, to: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
    match array {
        None => Ok(new_null_array(to, rows)),
        Some(array) => change(array, to),
    }
}

fn change(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let from = array.data_type();
    let cannot = || ArrowError::CastError(format!("{from} cannot be read as {to}"));
    match (from, to) {
        _ if from == to => Ok(Arc::clone(array)),
        (DataType::Dictionary(..), _) => {
            let dictionary = array.as_any_dictionary();
            let values = arrow_select::take::take(dictionary.values(), dictionary.keys(), None)?;
            change(&values, to)
        }
        (DataType::Date32, DataType::Date64) => {
            let days = array.as_primitive::<Date32Type>();
            Ok(Arc::new(days.unary::<_, Date64Type>(|day| i64::from(day) * DAY_MILLIS)))
        }
        (DataType::Date64, DataType::Date32) => {
            let moments = array.as_primitive::<Date64Type>();
            Ok(Arc::new(moments.try_unary::<_, Date32Type, _>(|moment| {
                i32::try_from(moment.div_euclid(DAY_MILLIS)).map_err(|_| cannot())
            })?))
        }
        (_, DataType::Decimal32(precision, scale)) if scale_of(from) == Some(*scale) => {
            let narrow: Decimal32Array =
                narrowed(array, |v| v.to_i128().and_then(|v| i32::try_from(v).ok())).ok_or_else(cannot)?;
            Ok(Arc::new(narrow.with_precision_and_scale(*precision, *scale)?))
        }
        (_, DataType::Decimal64(precision, scale)) if scale_of(from) == Some(*scale) => {
            let narrow: Decimal64Array =
                narrowed(array, |v| v.to_i128().and_then(|v| i64::try_from(v).ok())).ok_or_else(cannot)?;
            Ok(Arc::new(narrow.with_precision_and_scale(*precision, *scale)?))
        }
        (_, DataType::Decimal128(precision, scale)) if scale_of(from) == Some(*scale) => {
            let narrow: Decimal128Array = narrowed(array, i256::to_i128).ok_or_else(cannot)?;
            Ok(Arc::new(narrow.with_precision_and_scale(*precision, *scale)?))
        }
        (_, DataType::Decimal256(precision, scale)) if scale_of(from) == Some(*scale) => {
            let wide: Decimal256Array = narrowed(array, Some).ok_or_else(cannot)?;
            Ok(Arc::new(wide.with_precision_and_scale(*precision, *scale)?))
        }
        _ if from.is_integer() && to.is_integer() => widened(array, to).ok_or_else(cannot),
        (DataType::FixedSizeBinary(_), DataType::Binary) => {
            let fixed = array.as_fixed_size_binary();
            Ok(Arc::new(fixed.iter().collect::<arrow_array::BinaryArray>()))
        }
        (DataType::Float16, DataType::Float32) => {
            Ok(Arc::new(array.as_primitive::<Float16Type>().unary::<_, Float32Type>(f32::from)))
        }
        (DataType::Float16, DataType::Float64) => {
            Ok(Arc::new(array.as_primitive::<Float16Type>().unary::<_, Float64Type>(f64::from)))
        }
        (DataType::Float32, DataType::Float64) => {
            Ok(Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float64Type>(f64::from)))
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let values = change(list.values(), item.data_type())?;
            let nulls = list.nulls().cloned();
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, nulls)?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let own = array.as_struct();
            // By place: names within a nested type are a part of it, and the types were found to be alike.
            let columns = own.columns().iter().zip(fields.iter());
            let columns = columns.map(|(column, field)| change(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, own.nulls().cloned())?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let own: ArrayRef = Arc::new(map.entries().clone());
            let changed = change(&own, entries.data_type())?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, changed, nulls, *sorted)?))
        }
        _ => Err(cannot()),
    }
}

fn scale_of(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        _ => None,
    }
}

/// A decimal's unscaled values in another width; `None` where one does not fit.
fn narrowed<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    narrow: impl Fn(i256) -> Option<T::Native>,
) -> Option<PrimitiveArray<T>> {
    macro_rules! from {
        ($type:ty) => {{
            let own = array.as_primitive::<$type>();
            let wide = |value| narrow(i256::from_i128(i128::from(value))).ok_or(());
            own.try_unary::<_, T, ()>(wide).ok()
        }};
    }
    match array.data_type() {
        DataType::Decimal32(..) => from!(Decimal32Type),
        DataType::Decimal64(..) => from!(Decimal64Type),
        DataType::Decimal128(..) => from!(Decimal128Type),
        _ => {
            let own = array.as_primitive_opt::<Decimal256Type>()?;
            own.try_unary::<_, T, ()>(|value| narrow(value).ok_or(())).ok()
        }
    }
}

/// Whole numbers of another width; none where one of them does not fit.
fn widened(array: &ArrayRef, to: &DataType) -> Option<ArrayRef> {
    fn into<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<ArrayRef>
    where
        T::Native: TryFrom<i128>,
    {
        macro_rules! from {
            ($type:ty) => {{
                let own = array.as_primitive::<$type>();
                own.try_unary::<_, T, ()>(|value| T::Native::try_from(i128::from(value)).map_err(|_| ())).ok()
            }};
        }
        let wide = match array.data_type() {
            DataType::Int8 => from!(Int8Type),
            DataType::Int16 => from!(Int16Type),
            DataType::Int32 => from!(Int32Type),
            DataType::Int64 => from!(Int64Type),
            DataType::UInt8 => from!(UInt8Type),
            DataType::UInt16 => from!(UInt16Type),
            DataType::UInt32 => from!(UInt32Type),
            DataType::UInt64 => from!(UInt64Type),
            _ => None,
        };
        wide.map(|wide| Arc::new(wide) as ArrayRef)
    }
    match to {
        DataType::Int8 => into::<Int8Type>(array),
        DataType::Int16 => into::<Int16Type>(array),
        DataType::Int32 => into::<Int32Type>(array),
        DataType::Int64 => into::<Int64Type>(array),
        DataType::UInt8 => into::<UInt8Type>(array),
        DataType::UInt16 => into::<UInt16Type>(array),
        DataType::UInt32 => into::<UInt32Type>(array),
        DataType::UInt64 => into::<UInt64Type>(array),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Date32Array, DictionaryArray, Int32Array, StringArray};
    use arrow_buffer::OffsetBuffer;
    use arrow_schema::Field;

    use super::*;

    fn decimal(value: i128) -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![Some(value), None]).with_precision_and_scale(9, 2).unwrap())
    }

    #[test]
    fn the_same_values_in_another_width() {
        for to in [DataType::Decimal32(9, 2), DataType::Decimal64(9, 2), DataType::Decimal256(9, 2)] {
            let there = change(&decimal(-123), &to).unwrap();
            assert_eq!(there.data_type(), &to);
            assert_eq!(&change(&there, &DataType::Decimal128(9, 2)).unwrap(), &decimal(-123));
        }
        assert!(change(&decimal(i128::MAX), &DataType::Decimal32(9, 2)).is_err());
        assert!(change(&decimal(1), &DataType::Decimal128(9, 3)).is_err());
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(-1), None]));
        let there = change(&days, &DataType::Date64).unwrap();
        assert_eq!(&change(&there, &DataType::Date32).unwrap(), &days);
    }

    #[test]
    fn numbers_that_grew_keep_their_values_and_nulls() {
        let narrow: ArrayRef = Arc::new(arrow_array::Int16Array::from(vec![Some(-7), None, Some(i16::MAX)]));
        let wide: ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![Some(-7), None, Some(32_767)]));
        assert_eq!(&change(&narrow, &DataType::Int64).unwrap(), &wide);
        assert!(change(&narrow, &DataType::UInt64).is_err(), "nothing is wrapped around");
        let unsigned: ArrayRef = Arc::new(arrow_array::UInt32Array::from(vec![u32::MAX]));
        let signed: ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![4_294_967_295]));
        assert_eq!(&change(&unsigned, &DataType::Int64).unwrap(), &signed);
        let float: ArrayRef = Arc::new(arrow_array::Float32Array::from(vec![Some(0.5), None]));
        let double: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![Some(0.5), None]));
        assert_eq!(&change(&float, &DataType::Float64).unwrap(), &double);
    }

    #[test]
    fn inner_fields_of_other_names_and_dictionaries() {
        let words: DictionaryArray<Int32Type> = [Some("a"), None, Some("a")].into_iter().collect();
        let words: ArrayRef = Arc::new(words);
        let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("a")]));
        assert_eq!(&change(&words, &DataType::Utf8).unwrap(), &plain);
        let list = |name: &str| -> ArrayRef {
            let item = Arc::new(Field::new(name, DataType::Int32, true));
            let values = Arc::new(Int32Array::from(vec![1, 2, 3]));
            Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([1, 2]), values, None))
        };
        assert_eq!(&change(&list("item"), list("element").data_type()).unwrap(), &list("element"));
        assert!(change(&list("item"), &DataType::Utf8).is_err());
        assert_eq!(adapt(None, &DataType::Utf8, 2).unwrap().null_count(), 2);
    }
}
