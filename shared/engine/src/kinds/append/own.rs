//! The rows' own columns, and what their values are.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, builder::StringBuilder,
    cast::AsArray, new_null_array,
};
use arrow_schema::{DataType, Field as ArrowField, FieldRef};

use crate::{
    failure::{Outcome, defect, invalid},
    formats::value::Bound,
    read::{Field, value},
};

/// Whole numbers up to here are floats without loss.
const EXACT_IN_FLOAT: u64 = 1 << 53;

/// Digits that every 64-bit float holds that is neither too large nor too small for them.
const FLOAT_DIGITS: usize = 15;

/// A column of the rows, with what was seen in it.
///
/// Values of CSV are text. Those of JSON are booleans, whole numbers or numbers where all of the column are, and else
/// text: texts as they are, all else as it stands in JSON. Columns of Parquet keep their type.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) name: String,
    boolean: bool,
    int: bool,
    /// Whole numbers that a float would round.
    wide_int: bool,
    float: bool,
    text: bool,
    typed: Option<DataType>,
    /// Whether types of several files are not the same.
    mixed: bool,
    /// Whether any of those types has no text for its values.
    nested: bool,
}

impl Own {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            boolean: false,
            int: false,
            wide_int: false,
            float: false,
            text: false,
            typed: None,
            mixed: false,
            nested: false,
        }
    }

    /// Takes a value of text or JSON into account.
    pub(super) fn see(&mut self, field: Field<'_>, is_json: bool) {
        match field {
            Field::Missing | Field::Null => {}
            Field::Boolean(_) if is_json => self.boolean = true,
            Field::Number(text) if is_json => self.see_number(text),
            _ => self.text = true,
        }
    }

    fn see_number(&mut self, text: &str) {
        // A whole number has no sign where it is zero.
        if let Some(value) = value::int::<i64>(text).filter(|_| text != "-0") {
            self.int = true;
            self.wide_int |= value.unsigned_abs() > EXACT_IN_FLOAT;
            return;
        }
        let is_whole = !text.contains(['.', 'e', 'E']);
        if is_whole || !value::float::<f64>(text).is_some_and(|value| is_exactly(text, value)) {
            self.text = true;
        } else {
            self.float = true;
        }
    }

    /// Takes the type that a file gives the column into account.
    pub(super) fn see_type(&mut self, data_type: &DataType) {
        self.nested |= data_type.is_nested();
        match &self.typed {
            Some(known) if known == data_type => {}
            Some(_) => self.mixed = true,
            None => self.typed = Some(data_type.clone()),
        }
    }

    /// The column as it is in the result.
    pub(super) fn field(&self) -> Outcome<FieldRef> {
        let Self { boolean, int, wide_int, float, text, .. } = *self;
        let untyped = boolean || int || float || text;
        let data_type = match &self.typed {
            Some(data_type) if !untyped && !self.mixed => data_type.clone(),
            Some(_) if self.nested => {
                let detail = format!(
                    "the column {:?} is of another type in some of the files than in others: send them apart",
                    self.name
                );
                return Err(invalid(detail));
            }
            Some(_) => DataType::Utf8,
            None => match (boolean, int, float, text) {
                (true, false, false, false) => DataType::Boolean,
                (false, true, false, false) => DataType::Int64,
                (false, _, true, false) if !wide_int => DataType::Float64,
                _ => DataType::Utf8,
            },
        };
        Ok(Arc::new(ArrowField::new(&self.name, data_type, true)))
    }
}

/// Whether the float is written with the very digits of the number, but for zeros that say nothing.
fn is_exactly(number: &str, value: f64) -> bool {
    let (digits, exponent) = digits(number);
    if digits.is_empty() || (digits.len() <= FLOAT_DIGITS && value.is_normal()) {
        return true;
    }
    let (held, power) = self::digits(&format!("{value:e}"));
    held == digits && exponent == power
}

/// The digits of a number without the zeros around them, and the power of ten that the last of them counts.
fn digits(number: &str) -> (String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    // What does not fit is past every float, and was told from them before.
    let exponent: i64 = exponent.parse().unwrap_or(i64::from(i32::MAX));
    let behind = mantissa.split_once('.').map_or(0, |(_, behind)| behind.len() as i64);
    let all: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let kept = all.trim_end_matches('0');
    let zeros = (all.len() - kept.len()) as i64;
    (kept.trim_start_matches('0').to_owned(), exponent.saturating_sub(behind).saturating_add(zeros))
}

/// Rows' values in the type that their column has in the result; nulls where a file has no such column.
pub(super) fn in_type(array: Option<&ArrayRef>, to: &DataType, rows: usize) -> Outcome<ArrayRef> {
    let Some(array) = array else { return Ok(new_null_array(to, rows)) };
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    if *to == DataType::Utf8 {
        return as_text(array);
    }
    let texts: &StringArray =
        array.as_string_opt().ok_or_else(|| defect(format!("{from} in a column of {to}")))?;
    let wrong = |text: &str| defect(format!("{text:?} in a column of {to}"));
    macro_rules! read {
        ($array:ty, $read:expr) => {{
            let read =
                |text: Option<&str>| text.map(|text| $read(text).ok_or_else(|| wrong(text))).transpose();
            Ok(Arc::new(texts.iter().map(read).collect::<Outcome<$array>>()?))
        }};
    }
    match to {
        DataType::Boolean => read!(BooleanArray, value::boolean),
        DataType::Int64 => read!(Int64Array, value::int::<i64>),
        DataType::Float64 => read!(Float64Array, value::float::<f64>),
        _ => Err(wrong("text")),
    }
}

fn as_text(array: &ArrayRef) -> Outcome<ArrayRef> {
    let bound = Bound::new(array, &|_| false).map_err(defect)?;
    let mut texts = StringBuilder::with_capacity(array.len(), 8 * array.len());
    let mut scratch = Vec::new();
    for row in 0..array.len() {
        if bound.is_null(row) {
            texts.append_null();
            continue;
        }
        scratch.clear();
        match bound.values.float(row).filter(|value| !value.is_finite()) {
            Some(value) if value.is_nan() => scratch.extend_from_slice(b"NaN"),
            Some(value) => scratch.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" }),
            None => bound.values.write(row, &mut scratch),
        }
        texts.append_value(std::str::from_utf8(&scratch).map_err(defect)?);
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
mod tests {
    use arrow_array::types::{Float64Type, Int64Type};

    use super::*;

    fn column(values: &[Field<'_>], is_json: bool) -> DataType {
        let mut own = Own::new("a");
        values.iter().for_each(|value| own.see(*value, is_json));
        own.field().unwrap().data_type().clone()
    }

    #[test]
    fn columns_of_json_have_the_type_that_all_of_their_values_have() {
        use Field::{Boolean, Json, Missing, Null, Number, Text};
        for (values, data_type) in [
            (&[Null, Number("1"), Missing, Number("-9223372036854775808")][..], DataType::Int64),
            (&[Number("1"), Number("2.5"), Number("1e3")], DataType::Float64),
            (&[Number("9007199254740993"), Number("2.5")], DataType::Utf8),
            (&[Number("9223372036854775808")], DataType::Utf8),
            (&[Number("0.1234567890123456789")], DataType::Utf8),
            (&[Number("1e999")], DataType::Utf8),
            (&[Number("1e-400")], DataType::Utf8),
            (&[Number("0.10000000000000001")], DataType::Utf8),
            (&[Number("0.30000000000000004"), Number("0.1000000000000000055e1")], DataType::Utf8),
            (&[Number("0.30000000000000004"), Number("-0.0"), Number("1.10e-3")], DataType::Float64),
            (&[Number("5e-324"), Number("0e-9223372036854775809"), Number("1e22")], DataType::Float64),
            (&[Number("1e-9223372036854775808")], DataType::Utf8),
            (&[Number("-0")], DataType::Utf8),
            (&[Boolean(true), Null], DataType::Boolean),
            (&[Boolean(true), Number("1")], DataType::Utf8),
            (&[Text("1"), Number("1")], DataType::Utf8),
            (&[Text("2026-01-01")], DataType::Utf8),
            (&[Json("[1]")], DataType::Utf8),
            (&[Null], DataType::Utf8),
        ] {
            assert_eq!(column(values, true), data_type, "{values:?}");
        }
        assert_eq!(column(&[Text("1")], false), DataType::Utf8, "CSV has no types");
    }

    #[test]
    fn types_of_files_are_kept_and_become_text_where_they_differ() {
        let mut own = Own::new("a");
        own.see_type(&DataType::Date32);
        own.see_type(&DataType::Date32);
        assert_eq!(*own.field().unwrap().data_type(), DataType::Date32);
        own.see_type(&DataType::Int64);
        assert_eq!(*own.field().unwrap().data_type(), DataType::Utf8);
        let mut own = Own::new("a");
        own.see_type(&DataType::Int64);
        own.see(Field::Text("x"), false);
        assert_eq!(*own.field().unwrap().data_type(), DataType::Utf8);
        let mut nested = Own::new("a");
        nested.see_type(&DataType::List(Arc::new(ArrowField::new("item", DataType::Int64, true))));
        assert!(nested.field().is_ok());
        nested.see(Field::Text("x"), false);
        assert!(nested.field().is_err());
    }

    #[test]
    fn values_come_in_the_type_of_the_result() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("1"), None, Some("-2")]));
        let ints = in_type(Some(&texts), &DataType::Int64, 3).unwrap();
        assert_eq!(ints.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(-2)]);
        let floats = in_type(Some(&texts), &DataType::Float64, 3).unwrap();
        assert_eq!(floats.as_primitive::<Float64Type>().value(2), -2.0);
        assert_eq!(in_type(None, &DataType::Int64, 3).unwrap().null_count(), 3);
        assert!(in_type(Some(&texts), &DataType::Boolean, 3).is_err());
        let odd: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::NAN), None, Some(f64::INFINITY)]));
        let texts = in_type(Some(&odd), &DataType::Utf8, 4).unwrap();
        let texts: Vec<_> = texts.as_string::<i32>().iter().map(|t| t.map(str::to_owned)).collect();
        assert_eq!(texts, [Some("1.5".into()), Some("NaN".into()), None, Some("Infinity".into())]);
    }
}
