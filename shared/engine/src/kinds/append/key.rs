//! What a row and a record must have in common, as bytes: equal where they match.

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, TimeUnit};
use willcall_core::job::kinds::{Compare, MatchKey};

use super::normal::normalise;
use crate::{
    failure::{Outcome, defect},
    formats::{
        time::write_day,
        value::{Bound, Values},
    },
    read::value,
    schema::column_type,
};

/// What is compared with one column of the data set.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The rows' column.
    pub(super) input: String,
    kind: Kind,
    /// What the column is, for errors.
    said: String,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text(Compare),
    Boolean,
    /// Numbers of any width, by their value.
    Number,
    Day,
    Moment(TimeUnit, bool),
}

/// What came of a row's value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its bytes were added.
    Added,
    /// There is nothing to compare.
    Empty,
    /// It is a value that no record can have.
    Never,
    /// It is none of the column's values. The words follow the column's name.
    Wrong(String),
}

impl Key {
    pub(super) fn new(key: &MatchKey, field: &Field) -> Outcome<Self> {
        let said = column_type(field.data_type()).to_string();
        let kind = match field.data_type() {
            DataType::Utf8 => Kind::Text(key.compare),
            DataType::Boolean => Kind::Boolean,
            data_type if data_type.is_integer() || data_type.is_decimal() => Kind::Number,
            DataType::Date32 | DataType::Date64 => Kind::Day,
            DataType::Timestamp(unit, zone) => Kind::Moment(*unit, zone.is_some()),
            _ => return Err(defect(format!("{said} is compared with"))),
        };
        Ok(Self { input: key.input.clone(), kind, said })
    }

    /// Adds what a row has, as text.
    pub(super) fn add(&self, text: &str, out: &mut Vec<u8>) -> Part {
        if let Kind::Text(compare) = self.kind {
            let start = out.len();
            normalise(text, compare, out);
            return if out.len() == start { Part::Empty } else { Part::Added };
        }
        let text = text.trim();
        if text.is_empty() {
            return Part::Empty;
        }
        let added = match self.kind {
            Kind::Boolean => value::boolean(text).map(|value| out.push(u8::from(value))),
            Kind::Number => number(text, out),
            Kind::Day => value::date(text).map(|day| write_day(day.into(), out)),
            Kind::Moment(unit, zoned) => match value::moment(text) {
                // Without an offset it is UTC in a column with a zone; with one there is nothing to compare it to in
                // a column without.
                Some(moment) if zoned || !moment.zoned => match value::in_units(moment.nanos, unit) {
                    Some(value) => {
                        out.extend_from_slice(&value.to_le_bytes());
                        Some(())
                    }
                    None => return Part::Never,
                },
                _ => None,
            },
            Kind::Text(_) => None,
        };
        match added {
            Some(()) => Part::Added,
            None => Part::Wrong(format!("{} is not {}", shown(text), self.said)),
        }
    }
}

/// A value as an error shows it: quoted, and cut where it is long.
fn shown(value: &str) -> String {
    match value.char_indices().nth(64) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// A number in the one form that its value has: no zeros that say nothing.
fn number(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || rest.ends_with('.') {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if whole.is_empty() && fraction.is_empty() {
        out.push(b'0');
        return Some(());
    }
    if negative {
        out.push(b'-');
    }
    out.extend_from_slice(whole.as_bytes());
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
    Some(())
}

/// Adds one part of a key; of several each is told from the next by its length.
pub(super) fn part<T>(several: bool, out: &mut Vec<u8>, add: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    if !several {
        return add(out);
    }
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let done = add(out);
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    done
}

/// The keys of a batch of records.
pub(super) struct Bindings<'a> {
    columns: Vec<(&'a Key, Bound<'a>)>,
    scratch: Vec<u8>,
}

impl<'a> Bindings<'a> {
    /// Binds the keys' columns, in the order of the keys.
    pub(super) fn new(keys: &'a [Key], columns: &'a [ArrayRef]) -> Outcome<Self> {
        let bind = |(key, column)| Ok((key, Bound::new(column, &|_| false).map_err(defect)?));
        Ok(Self { columns: keys.iter().zip(columns).map(bind).collect::<Outcome<_>>()?, scratch: Vec::new() })
    }

    /// Writes a record's key; false where it has none.
    pub(super) fn write(&mut self, row: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        let several = self.columns.len() > 1;
        let scratch = &mut self.scratch;
        self.columns.iter().all(|(key, column)| {
            !column.is_null(row) && part(several, out, |out| key.of(column, row, scratch, out))
        })
    }
}

impl Key {
    fn of(&self, column: &Bound<'_>, row: usize, scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        match (self.kind, &column.values) {
            (Kind::Text(compare), Values::Text(text)) => {
                let start = out.len();
                match std::str::from_utf8(text.value(row)) {
                    Ok(text) => normalise(text, compare, out),
                    Err(_) => return false,
                }
                out.len() > start
            }
            (Kind::Boolean, Values::Boolean(values)) => {
                out.push(u8::from(values.value(row)));
                true
            }
            (Kind::Moment(..), Values::Timestamp(values, ..)) => {
                out.extend_from_slice(&values[row].to_le_bytes());
                true
            }
            (Kind::Number, values) => {
                scratch.clear();
                values.write(row, scratch);
                std::str::from_utf8(scratch).is_ok_and(|text| number(text, out).is_some())
            }
            (_, values) => {
                values.write(row, out);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        BooleanArray, Date32Array, Date64Array, Decimal128Array, Int64Array, StringArray,
        TimestampMillisecondArray, UInt64Array,
    };

    use super::*;

    fn key(array: &ArrayRef) -> Key {
        let key = MatchKey { input: "i".into(), column: "c".into(), compare: Compare::Exact };
        Key::new(&key, &Field::new("c", array.data_type().clone(), true)).unwrap()
    }

    fn record(key: &Key, array: &ArrayRef, row: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let (keys, columns) = ([key.clone()], [Arc::clone(array)]);
        Bindings::new(&keys, &columns).unwrap().write(row, &mut out).then_some(out)
    }

    fn row(key: &Key, text: &str) -> Result<Vec<u8>, Part> {
        let mut out = Vec::new();
        match key.add(text, &mut out) {
            Part::Added => Ok(out),
            other => Err(other),
        }
    }

    #[test]
    fn values_are_equal_by_value_and_not_by_how_they_are_written() {
        let zoned: ArrayRef =
            Arc::new(TimestampMillisecondArray::from(vec![1_767_603_600_123]).with_timezone("UTC"));
        let local: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_767_603_600_000]));
        let day = 20_458;
        let columns: [(ArrayRef, &[&str], &[&str]); 9] = [
            (Arc::new(Int64Array::from(vec![-7])), &["-7", " -007 ", "-7.0"], &["7", "-7.5", "70"]),
            (Arc::new(Int64Array::from(vec![0])), &["0", "-0", "0.00", "000"], &["1"]),
            (
                Arc::new(UInt64Array::from(vec![u64::MAX])),
                &["18446744073709551615"],
                &["18446744073709551616"],
            ),
            (
                Arc::new(Decimal128Array::from(vec![1230]).with_precision_and_scale(9, 2).unwrap()),
                &["12.3", "12.30", "012.300"],
                &["12.301", "1230"],
            ),
            (Arc::new(BooleanArray::from(vec![true])), &["true", "TRUE"], &["false"]),
            (Arc::new(Date32Array::from(vec![day])), &["2026-01-05"], &["2026-01-06"]),
            (
                Arc::new(Date64Array::from(vec![i64::from(day) * 86_400_000])),
                &["2026-01-05"],
                &["2025-01-05"],
            ),
            (
                zoned,
                &["2026-01-05T09:00:00.123Z", "2026-01-05T10:00:00.123+01:00", "2026-01-05 09:00:00.123"],
                &["2026-01-05T09:00:00Z"],
            ),
            (local, &["2026-01-05T09:00:00", "2026-01-05 09:00"], &["2026-01-05"]),
        ];
        for (array, same, other) in columns {
            let key = key(&array);
            let of_record = record(&key, &array, 0);
            for text in same {
                assert_eq!(row(&key, text).ok(), of_record, "{text}");
            }
            for text in other {
                assert_ne!(row(&key, text).ok(), of_record, "{text}");
                assert!(row(&key, text).is_ok(), "{text}");
            }
            assert_eq!(row(&key, "  "), Err(Part::Empty));
            let Err(Part::Wrong(words)) = row(&key, "x1") else { panic!("{array:?}") };
            assert!(words.starts_with("\"x1\" is not "), "{words}");
        }
    }

    #[test]
    fn nothing_and_null_are_no_key_and_what_the_column_cannot_hold_is_never_there() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some(""), None, Some(" a")]));
        let of_text = key(&text);
        assert_eq!((record(&of_text, &text, 0), record(&of_text, &text, 1)), (None, None));
        assert_eq!(record(&of_text, &text, 2), row(&of_text, " a").ok());
        assert_ne!(record(&of_text, &text, 2), row(&of_text, "a").ok());
        assert_eq!(row(&of_text, ""), Err(Part::Empty));
        let local: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![0]));
        let of_moment = key(&local);
        assert_eq!(row(&of_moment, "1970-01-01T00:00:00.0001"), Err(Part::Never));
        assert!(matches!(row(&of_moment, "1970-01-01T00:00:00Z"), Err(Part::Wrong(_))));
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        let join = |parts: [&str; 2]| {
            let mut out = Vec::new();
            for text in parts {
                part(true, &mut out, |out| out.extend_from_slice(text.as_bytes()));
            }
            out
        };
        assert_ne!(join(["ab", "c"]), join(["a", "bc"]));
        assert_ne!(join(["", "abc"]), join(["abc", ""]));
        assert_eq!(join(["ab", "c"]), join(["ab", "c"]));
    }
}
