//! One record as a row of a sheet.
//!
//! A value is a number, a boolean or a moment of the sheet where that loses nothing, and else text: Excel keeps and
//! shows 15 digits of a number, thousandths of a second, and days from 1900-03-01 to 9999-12-31. Null is no cell.

use arrow_schema::TimeUnit;

use super::parts::style;
use crate::formats::{
    json::write_value,
    number,
    time::{day_of, per_second},
    value::{Bound, Values},
};

/// The most characters of a cell, as Excel counts them: in units of UTF-16.
pub(super) const MAX_TEXT: usize = 32_767;

/// Digits that Excel keeps of a number.
const DIGITS: usize = 15;
/// The numbers that Excel has beside 0.
const SMALLEST: f64 = f64::MIN_POSITIVE;
const LARGEST: f64 = 9.999_999_999_999_99e307;

/// 1970-01-01 as a day of Excel.
const EPOCH: i64 = 25_569;
/// 1900-03-01: Excel's days before it are one off, as it takes 1900 for a leap year.
const FIRST_DAY: i64 = 61;
/// 9999-12-31.
const LAST_DAY: i64 = 2_958_465;
const MILLIS_A_DAY: i64 = 86_400_000;

/// Text that no cell holds, with so many characters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong(pub(super) usize);

/// Where a cell is, and room for its text.
pub(super) struct Cells<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) scratch: &'a mut Vec<u8>,
    /// Floats within lists and the like that were written as null, as JSON has no words for them.
    pub(super) odd: u64,
}

impl Cells<'_> {
    /// Writes the cell at this place for the value of a row.
    pub(super) fn write(
        &mut self,
        place: (&str, &[u8]),
        column: &Bound<'_>,
        row: usize,
    ) -> Result<(), TooLong> {
        if column.is_null(row) {
            return Ok(());
        }
        let values = &column.values;
        self.scratch.clear();
        match values {
            Values::Boolean(bits) => {
                self.open(place, style::PLAIN, " t=\"b\"");
                self.out.extend_from_slice(if bits.value(row) { b"<v>1" } else { b"<v>0" });
                self.out.extend_from_slice(b"</v></c>");
                return Ok(());
            }
            Values::Text(text) => return self.text(place, text.value(row), style::PLAIN),
            values if values.is_nested() => write_value(column, row, self.scratch, &mut self.odd),
            values if values.is_float() => {
                let value = values.float(row).unwrap_or_default();
                if value == 0.0 || (SMALLEST..=LARGEST).contains(&value.abs()) {
                    values.write(row, self.scratch);
                    self.number(place, style::PLAIN);
                    return Ok(());
                }
                match value {
                    value if value.is_nan() => self.scratch.extend_from_slice(b"NaN"),
                    f64::INFINITY => self.scratch.extend_from_slice(b"Infinity"),
                    f64::NEG_INFINITY => self.scratch.extend_from_slice(b"-Infinity"),
                    _ => values.write(row, self.scratch),
                }
            }
            values if values.is_bare() => {
                values.write(row, self.scratch);
                if significant(self.scratch) <= DIGITS {
                    self.number(place, look(values));
                    return Ok(());
                }
            }
            values => match serial(values, row) {
                Some((day, millis, style)) => {
                    if millis == 0 {
                        number::write_int(day, self.scratch);
                    } else {
                        let moment = (day * MILLIS_A_DAY + millis) as f64 / MILLIS_A_DAY as f64;
                        number::write_float(moment, self.scratch);
                    }
                    self.number(place, style);
                    return Ok(());
                }
                None => values.write(row, self.scratch),
            },
        }
        let text = std::mem::take(self.scratch);
        let written = self.text(place, &text, style::PLAIN);
        *self.scratch = text;
        written
    }

    fn open(&mut self, (letters, line): (&str, &[u8]), style: usize, kind: &str) {
        self.out.extend_from_slice(b"<c r=\"");
        self.out.extend_from_slice(letters.as_bytes());
        self.out.extend_from_slice(line);
        self.out.push(b'"');
        if style != style::PLAIN {
            self.out.extend_from_slice(b" s=\"");
            number::write_uint(style as u64, self.out);
            self.out.push(b'"');
        }
        self.out.extend_from_slice(kind.as_bytes());
        self.out.push(b'>');
    }

    fn number(&mut self, place: (&str, &[u8]), style: usize) {
        self.open(place, style, "");
        self.out.extend_from_slice(b"<v>");
        self.out.extend_from_slice(self.scratch);
        self.out.extend_from_slice(b"</v></c>");
    }

    /// Writes a cell of text, which no reader takes for anything else.
    pub(super) fn text(&mut self, place: (&str, &[u8]), text: &[u8], style: usize) -> Result<(), TooLong> {
        // A character has at least as many bytes as units of UTF-16.
        if text.len() > MAX_TEXT {
            let length = String::from_utf8_lossy(text).encode_utf16().count();
            if length > MAX_TEXT {
                return Err(TooLong(length));
            }
        }
        let begins_formula = text.first().is_some_and(|byte| b"=+-@\t\r".contains(byte));
        let style = if style == style::PLAIN && begins_formula { style::QUOTED } else { style };
        self.open(place, style, " t=\"inlineStr\"");
        let at_ends = [text.first(), text.last()];
        let spaced = at_ends.into_iter().flatten().any(|byte| *byte <= b' ');
        self.out.extend_from_slice(if spaced { b"<is><t xml:space=\"preserve\">" } else { b"<is><t>" });
        write_text(text, self.out);
        self.out.extend_from_slice(b"</t></is></c>");
        Ok(())
    }
}

/// How many digits a number has that count.
fn significant(number: &[u8]) -> usize {
    let number = number.strip_prefix(b"-").unwrap_or(number);
    let point = number.iter().position(|byte| *byte == b'.').unwrap_or(number.len());
    let fraction = number.get(point + 1..).unwrap_or_default();
    let fraction = &fraction[..fraction.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1)];
    let leading = number[..point].iter().chain(fraction).take_while(|byte| **byte == b'0').count();
    point + fraction.len() - leading
}

/// How a whole number or a decimal looks.
fn look(values: &Values<'_>) -> usize {
    let scale = match values {
        Values::Decimal32(_, scale)
        | Values::Decimal64(_, scale)
        | Values::Decimal128(_, scale)
        | Values::Decimal256(_, scale) => usize::try_from(*scale).unwrap_or(0),
        _ => 0,
    };
    match scale {
        0 => style::WHOLE,
        1..=style::DIGITS => style::DECIMAL + scale,
        _ => style::PLAIN,
    }
}

/// A date or time as Excel counts it, the day and milliseconds of it, and how it looks; `None` where it has no such
/// value.
fn serial(values: &Values<'_>, row: usize) -> Option<(i64, i64, usize)> {
    let known = |day: i64| Some(day + EPOCH).filter(|day| (FIRST_DAY..=LAST_DAY).contains(day));
    let time = |value: i64, unit| {
        let millis = millis(value, unit).filter(|millis| (0..MILLIS_A_DAY).contains(millis))?;
        Some((0, millis, style::TIME + usize::from(millis % 1000 != 0)))
    };
    match values {
        Values::Day(days) => Some((known(i64::from(days[row]))?, 0, style::DATE)),
        Values::DayMillis(values) => Some((known(day_of(values[row], MILLIS_A_DAY))?, 0, style::DATE)),
        Values::Time32(values, unit) => time(i64::from(values[row]), *unit),
        Values::Time64(values, unit) => time(values[row], *unit),
        Values::Timestamp(values, unit, zoned) => {
            let units_a_day = 86_400 * per_second(*unit);
            let day = known(day_of(values[row], units_a_day))?;
            let millis = millis(values[row].rem_euclid(units_a_day), *unit)?;
            let look = style::MOMENT + usize::from(millis % 1000 != 0) + 2 * usize::from(*zoned);
            Some((day, millis, look))
        }
        _ => None,
    }
}

/// The value in milliseconds, where it is whole ones.
fn millis(value: i64, unit: TimeUnit) -> Option<i64> {
    match per_second(unit) {
        per_second @ ..=1_000 => value.checked_mul(1_000 / per_second),
        per_second => (value % (per_second / 1_000) == 0).then(|| value / (per_second / 1_000)),
    }
}

/// Writes text as XML. What XML cannot hold, and a carriage return, which readers would drop, is `_xHHHH_`, as
/// ECMA-376 has it; text that looks like that has its first underscore so written.
pub(super) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for (at, byte) in text.iter().enumerate() {
        let instead: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'\t' | b'\n' => continue,
            0..0x20 => {
                out.extend_from_slice(&text[from..at]);
                out.extend_from_slice(format!("_x{byte:04X}_").as_bytes());
                from = at + 1;
                continue;
            }
            b'_' if is_escape(&text[at..]) => b"_x005F_",
            // U+FFFE and U+FFFF, of three bytes each.
            0xEF if text[at..].starts_with(b"\xEF\xBF\xBE") || text[at..].starts_with(b"\xEF\xBF\xBF") => {
                out.extend_from_slice(&text[from..at]);
                out.extend_from_slice(if text[at + 2] == 0xBE { b"_xFFFE_" } else { b"_xFFFF_" });
                from = at + 3;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&text[from..at]);
        out.extend_from_slice(instead);
        from = at + 1;
    }
    out.extend_from_slice(&text[from..]);
}

/// Whether the text begins with `_xHHHH_`.
fn is_escape(text: &[u8]) -> bool {
    matches!(text, [b'_', b'x', digits @ ..] if matches!(digits, [a, b, c, d, b'_', ..]
        if [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
        Time64NanosecondArray, TimestampMicrosecondArray, TimestampSecondArray,
    };

    use super::*;

    fn cell(array: ArrayRef) -> Result<String, TooLong> {
        let bound = Bound::new(&array, &|_| true).expect("a type that can be written");
        let (mut out, mut scratch) = (Vec::new(), Vec::new());
        Cells { out: &mut out, scratch: &mut scratch, odd: 0 }.write(("B", b"7"), &bound, 0)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    fn check(array: ArrayRef, style: usize, value: &str) {
        let look = if style == 0 { String::new() } else { format!(" s=\"{style}\"") };
        assert_eq!(cell(array).as_deref(), Ok(format!("<c r=\"B7\"{look}><v>{value}</v></c>").as_str()));
    }

    fn is_text(array: ArrayRef, text: &str) {
        let cell = cell(array).expect("short");
        assert!(cell.contains("t=\"inlineStr\"") && cell.contains(&format!(">{text}</t>")), "{cell}");
    }

    fn text(text: &str) -> ArrayRef {
        Arc::new(StringArray::from(vec![text]))
    }

    #[test]
    fn numbers_are_numbers_where_excel_keeps_every_digit() {
        let int = |value| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
        check(int(-999_999_999_999_999), style::WHOLE, "-999999999999999");
        is_text(int(1_000_000_000_000_001), "1000000000000001");
        is_text(int(i64::MIN), "-9223372036854775808");
        let decimal = |value, scale| -> ArrayRef {
            let array = Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale);
            Arc::new(array.expect("a decimal"))
        };
        check(decimal(1230, 2), style::DECIMAL + 2, "12.30");
        check(decimal(-1, 15), style::DECIMAL + 15, "-0.000000000000001");
        check(decimal(15 * 10_i128.pow(19), 20), style::PLAIN, "1.50000000000000000000");
        check(decimal(0, 30), style::PLAIN, "0.000000000000000000000000000000");
        is_text(decimal(1_234_567_890_123_456, 2), "12345678901234.56");
        is_text(decimal(10_i128.pow(37), 0), &format!("1{}", "0".repeat(37)));
        let float = |value| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
        check(float(0.1), 0, "0.1");
        check(float(-1e300), 0, "-1e+300");
        for (value, words) in [
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::MIN, "-1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ] {
            is_text(float(value), words);
        }
        assert_eq!(
            cell(Arc::new(BooleanArray::from(vec![true]))).as_deref(),
            Ok("<c r=\"B7\" t=\"b\"><v>1</v></c>")
        );
        assert_eq!(cell(Arc::new(Int64Array::from(vec![None]))).as_deref(), Ok(""));
    }

    #[test]
    fn days_and_moments_are_serials_where_excel_has_them() {
        let day = |value| -> ArrayRef { Arc::new(Date32Array::from(vec![value])) };
        check(day(0), style::DATE, "25569");
        check(day(-25_508), style::DATE, "61");
        is_text(day(-25_509), "1900-02-28");
        check(day(2_932_896), style::DATE, "2958465");
        is_text(day(2_932_897), "+010000-01-01");
        let time = |value| -> ArrayRef { Arc::new(Time64NanosecondArray::from(vec![value])) };
        check(time(43_200_000_000_000), style::TIME, "0.5");
        check(time(0), style::TIME, "0");
        assert!(cell(time(1_000_000)).is_ok_and(|cell| cell.contains(" s=\"5\"")), "thousandths show");
        is_text(time(1), "00:00:00.000000001");
        is_text(time(86_400_000_000_000), "24:00:00");
        check(Arc::new(TimestampSecondArray::from(vec![-43_200])), style::MOMENT, "25568.5");
        let zoned = |value| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(vec![value]).with_timezone("Europe/Helsinki"))
        };
        check(zoned(21_600_000_000), style::MOMENT + 2, "25569.25");
        assert!(cell(zoned(1_000)).is_ok_and(|cell| cell.contains(" s=\"9\"")));
        is_text(zoned(1), "1970-01-01T00:00:00.000001Z");
        is_text(zoned(i64::MIN), "-290308-12-21T19:59:05.224192Z");
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(
            cell(text("=1+1")).as_deref(),
            Ok("<c r=\"B7\" s=\"10\" t=\"inlineStr\"><is><t>=1+1</t></is></c>")
        );
        assert_eq!(cell(text("")).as_deref(), Ok("<c r=\"B7\" t=\"inlineStr\"><is><t></t></is></c>"));
        assert!(cell(text(" a")).is_ok_and(|cell| cell.contains("<t xml:space=\"preserve\"> a</t>")));
        is_text(text("<a & b>]]>"), "&lt;a &amp; b&gt;]]&gt;");
        is_text(text("a\0b\rc\td\ne\u{FFFE}f\u{FFFF}"), "a_x0000_b_x000D_c\td\ne_xFFFE_f_xFFFF_");
        is_text(text("_x000D_ _x12_ _xZZZZ_ a_b 日本語😀"), "_x005F_x000D_ _x12_ _xZZZZ_ a_b 日本語😀");
        is_text(text("_x_x000D_"), "_x_x005F_x000D_");
    }

    #[test]
    fn text_is_as_long_as_a_cell_can_hold_and_never_cut() {
        is_text(text(&"é".repeat(MAX_TEXT)), &"é".repeat(MAX_TEXT));
        assert_eq!(cell(text(&"a".repeat(MAX_TEXT + 1))), Err(TooLong(MAX_TEXT + 1)));
        assert_eq!(cell(text(&"😀".repeat(16_384))), Err(TooLong(32_768)));
    }
}
