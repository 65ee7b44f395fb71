//! Text read as values: what our own writers write is read back, and nothing is rounded or guessed.

use arrow_schema::TimeUnit;

use crate::formats::time::per_second;

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const NANOS_PER_DAY: i128 = 86_400 * NANOS_PER_SECOND;

/// `true` or `false`, in capitals too.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// A whole number of digits alone, perhaps with a minus.
pub(crate) fn int<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A number of digits, with a point and an exponent perhaps; or `NaN`, `Infinity`, `-Infinity`. What is too large for
/// the type is none.
pub(crate) fn float<T: std::str::FromStr + Into<f64> + Copy>(text: &str) -> Option<T> {
    if matches!(text, "NaN" | "Infinity" | "-Infinity") {
        return text.parse().ok();
    }
    let begins = matches!(text.strip_prefix('-').unwrap_or(text).bytes().next(), Some(b'0'..=b'9' | b'.'));
    let numeric = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    let value: T = (begins && numeric).then(|| text.parse().ok())??;
    value.into().is_finite().then_some(value)
}

/// The digits of a decimal number as a whole number of units of its scale. Digits that the scale does not hold are
/// none, but zeros.
pub(crate) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || rest.ends_with('.') {
        return None;
    }
    let mut value: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    let mut surplus = i64::try_from(fraction.len()).ok()? - i64::from(scale);
    while surplus > 0 {
        if value % 10 != 0 {
            return None;
        }
        value /= 10;
        surplus -= 1;
    }
    let value = value.checked_mul(10_i128.checked_pow(u32::try_from(-surplus).ok()?)?)?;
    let fits = 10_i128.checked_pow(precision.into()).is_none_or(|end| value < end);
    fits.then_some(if negative { -value } else { value })
}

/// Days since 1970-01-01 of `2026-01-31`, or of `+010000-01-01` and `-000001-12-31`, as years that have not four digits
/// are written.
pub(crate) fn date(text: &str) -> Option<i32> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => (0, text),
    };
    let split = rest.len().checked_sub(6)?;
    let (year, rest) = rest.split_at_checked(split)?;
    let [b'-', m1, m2, b'-', d1, d2] = *rest.as_bytes() else { return None };
    let right_length = if sign == 0 { year.len() == 4 } else { (6..=7).contains(&year.len()) };
    if !right_length || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let year: i64 = year.parse().ok()?;
    let year = if sign < 0 { -year } else { year };
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    // Counted from March, so that the leap day ends a year; an era is 400 years.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    i32::try_from(days).ok()
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from((tens - b'0') * 10 + (ones - b'0')))
}

/// Nanoseconds since midnight of `10:00`, `10:00:00`, or `10:00:00.123` with up to nine digits.
pub(crate) fn time(text: &str) -> Option<i128> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) if clock.len() == 8 => (clock, Some(fraction)),
        Some(_) => return None,
        None => (text, None),
    };
    let (hour, minute, second) = match *clock.as_bytes() {
        [h1, h2, b':', m1, m2] => (two(h1, h2)?, two(m1, m2)?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut nanos = i128::from(hour * 3600 + minute * 60 + second) * NANOS_PER_SECOND;
    if let Some(fraction) = fraction {
        let digits = fraction.len();
        if !(1..=9).contains(&digits) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        nanos += fraction.parse::<i128>().ok()? * 10_i128.pow(9 - digits as u32);
    }
    Some(nanos)
}

/// A date and a time, or a date, which is its midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Nanoseconds since 1970-01-01T00:00:00, in UTC where there is an offset.
    pub(crate) nanos: i128,
    /// Whether the text has an offset or `Z`.
    pub(crate) zoned: bool,
}

/// Reads a date, or a date and a time with `T` or a blank between them and perhaps `Z` or an offset behind.
pub(crate) fn moment(text: &str) -> Option<Moment> {
    let day = |days: i32| i128::from(days) * NANOS_PER_DAY;
    let Some(between) = text.find(['T', 't', ' ']) else {
        return Some(Moment { nanos: day(date(text)?), zoned: false });
    };
    let (date_text, rest) = (&text[..between], &text[between + 1..]);
    let end = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(end);
    let local = day(date(date_text)?) + time(clock)?;
    if zone.is_empty() {
        return Some(Moment { nanos: local, zoned: false });
    }
    Some(Moment { nanos: local - offset(zone)?, zoned: true })
}

/// Nanoseconds east of UTC of `Z`, `+01:00`, `+0100`, `-05`.
fn offset(text: &str) -> Option<i128> {
    let (sign, digits) = match *text.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', ref digits @ ..] => (1, digits),
        [b'-', ref digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match *digits {
        [h1, h2] => (two(h1, h2)?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (two(h1, h2)?, two(m1, m2)?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then(|| i128::from(sign * (hours * 60 + minutes) * 60) * NANOS_PER_SECOND)
}

/// Nanoseconds in units; none where the unit does not hold them all.
pub(crate) fn in_units(nanos: i128, unit: TimeUnit) -> Option<i64> {
    let per_unit = NANOS_PER_SECOND / i128::from(per_second(unit));
    (nanos % per_unit == 0).then(|| i64::try_from(nanos / per_unit).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::time::{write_day, write_timestamp};

    #[test]
    fn days_are_read_as_they_are_written() {
        for day in (-3_000_000..3_000_000).step_by(997).chain([0, -719_528, -719_529, 2_932_896, 2_932_897]) {
            let mut text = Vec::new();
            write_day(day.into(), &mut text);
            let text = String::from_utf8(text).unwrap();
            assert_eq!(date(&text), Some(day), "{text}");
        }
        assert_eq!((date("2024-02-29"), date("2023-02-29"), date("1900-02-29")), (Some(19_782), None, None));
        for bad in [
            "",
            "2024",
            "2024-1-1",
            "2024-13-01",
            "2024-00-10",
            "2024-01-00",
            "2024-04-31",
            "20240101",
            "2024-01-01 ",
            "+2024-01-01",
            "٢٠١٣-٠١-٠١",
            "日本日本日本",
            "-",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments_are_read_as_they_are_written_and_offsets_count() {
        for (value, unit) in [(1_767_603_600_123_456, TimeUnit::Microsecond), (-1, TimeUnit::Nanosecond)] {
            for zoned in [true, false] {
                let mut text = Vec::new();
                write_timestamp(value, unit, zoned, &mut text);
                let read = moment(std::str::from_utf8(&text).unwrap()).unwrap();
                assert_eq!((in_units(read.nanos, unit), read.zoned), (Some(value), zoned));
            }
        }
        let ten = moment("2013-01-01T10:00:00Z").unwrap();
        for same in [
            "2013-01-01T11:00:00+01:00",
            "2013-01-01 05:00-05",
            "2013-01-01t15:30:00.000000000+0530",
            "2013-01-01T10:00z",
        ] {
            assert_eq!(moment(same), Some(ten), "{same}");
        }
        assert_eq!(moment("2013-01-01"), moment("2013-01-01T00:00:00"));
        for bad in [
            "2013-01-01T",
            "2013-01-01T10",
            "2013-01-01T24:00",
            "2013-01-01T10:00:60Z",
            "2013-01-01T10:00:00+1:00",
            "2013-01-01T10:00:00+25:00",
            "2013-01-01T10:00:00.1234567890",
            "2013-01-01T10:00.5",
            "2013-01-01Z",
            "10:00",
        ] {
            assert_eq!(moment(bad), None, "{bad}");
        }
        assert_eq!(in_units(1_500_000, TimeUnit::Millisecond), None, "nothing is rounded");
    }

    #[test]
    fn numbers_are_exact_or_none() {
        assert_eq!(
            (int::<i64>("-9223372036854775808"), int::<i64>("9223372036854775808")),
            (Some(i64::MIN), None)
        );
        assert_eq!((int::<u8>("255"), int::<u8>("256"), int::<u8>("-1")), (Some(255), None, None));
        for bad in ["", "-", "+1", " 1", "1.0", "1e3", "0x1", "١"] {
            assert_eq!(int::<i64>(bad), None, "{bad}");
        }
        assert_eq!(float::<f64>("-1.5e-3"), Some(-0.0015));
        assert_eq!(
            (float::<f64>("Infinity"), float::<f64>("-Infinity")),
            (Some(f64::INFINITY), Some(-f64::INFINITY))
        );
        assert!(float::<f64>("NaN").unwrap().is_nan());
        assert_eq!((float::<f64>("1e400"), float::<f32>("1e39")), (None, None));
        for bad in ["", "inf", "nan", "+1", "1,5", "e5", "--1", "1e", "infinity"] {
            assert_eq!(float::<f64>(bad), None, "{bad}");
        }
        for (text, precision, scale, value) in [
            ("12.30", 5, 2, Some(1230)),
            ("-0.05", 5, 2, Some(-5)),
            ("12.3400", 5, 2, Some(1234)),
            ("12.345", 5, 2, None),
            ("999.99", 5, 2, Some(99_999)),
            ("1000.00", 5, 2, None),
            ("1200", 5, -2, Some(12)),
            ("1250", 5, -2, None),
            ("99999999999999999999999999999999999999", 38, 0, Some(10_i128.pow(38) - 1)),
            ("999999999999999999999999999999999999999", 38, 0, None),
            ("1.", 5, 2, None),
            (".5", 5, 2, None),
            ("1e2", 5, 2, None),
            ("", 5, 2, None),
        ] {
            assert_eq!(decimal(text, precision, scale), value, "{text}");
        }
        assert_eq!((boolean("TRUE"), boolean("false"), boolean("1")), (Some(true), Some(false), None));
    }
}
