//! Dates and times as text: RFC 3339, and ISO 8601 for durations.
//!
//! A fraction has 3, 6 or 9 digits, the fewest that hold the value, and is left out where it is zero. Years before
//! 0000 and past 9999 are written with a sign and at least six digits (ISO 8601, expanded).

use std::sync::LazyLock;

use arrow_schema::TimeUnit;

use super::short::append_of;

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

fn pair(value: u32) -> [u8; 2] {
    let at = (value as usize % 100) * 2;
    [PAIRS[at], PAIRS[at + 1]]
}

/// The day on which a moment lies, counted from 1970-01-01, where a day has that many units.
pub(crate) fn day_of(value: i64, units_a_day: i64) -> i64 {
    value.div_euclid(units_a_day)
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
pub(crate) fn civil(day: i64) -> (i64, u32, u32) {
    // Counted from 0000-03-01, so that the leap day ends a year; an era is 400 years.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097) as u32;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = i64::from(year_of_era) + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The days most met, 1900-01-01 to 2099-12-31, as text.
static DAYS: LazyLock<Vec<[u8; 16]>> = LazyLock::new(|| {
    let text = |day| {
        let mut text = Vec::new();
        compute_day(day, &mut text);
        let mut wide = [0; 16];
        wide[..10].copy_from_slice(&text[..10]);
        wide
    };
    (FIRST_DAY..47_482).map(text).collect()
});

const FIRST_DAY: i64 = -25_567;

/// `2026-01-05`.
pub(crate) fn write_day(day: i64, out: &mut Vec<u8>) {
    match day.checked_sub(FIRST_DAY).and_then(|place| DAYS.get(usize::try_from(place).ok()?)) {
        Some(text) => append_of(text, 10, out),
        None => compute_day(day, out),
    }
}

fn compute_day(day: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(day);
    if (0..=9999).contains(&year) {
        let (century, rest) = (pair(year as u32 / 100), pair(year as u32 % 100));
        let (month, day) = (pair(month), pair(day));
        out.extend_from_slice(&[
            century[0], century[1], rest[0], rest[1], b'-', month[0], month[1], b'-', day[0], day[1],
        ]);
    } else {
        let sign = if year < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("{sign}{:06}-{month:02}-{day:02}", year.unsigned_abs()).as_bytes());
    }
}

/// How many units a second has.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// `10:00:00.123`, of a time of day in units since midnight.
pub(crate) fn write_time(value: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let per_second = per_second(unit);
    let (seconds, fraction) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    // Values past a day are no times; they are still told as they are.
    let (hours, minutes, second) =
        (seconds.div_euclid(3600), seconds.rem_euclid(3600) / 60, seconds.rem_euclid(60));
    if (0..100).contains(&hours) {
        let (h, m, s) = (pair(hours as u32), pair(minutes as u32), pair(second as u32));
        out.extend_from_slice(&[h[0], h[1], b':', m[0], m[1], b':', s[0], s[1]]);
    } else {
        out.extend_from_slice(format!("{hours}:{minutes:02}:{second:02}").as_bytes());
    }
    write_fraction(fraction * (1_000_000_000 / per_second), out);
}

fn write_fraction(nanoseconds: i64, out: &mut Vec<u8>) {
    if nanoseconds == 0 {
        return;
    }
    let nanoseconds = nanoseconds as u32;
    let mut digits = [b'.', 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut rest = nanoseconds;
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let length = match nanoseconds {
        n if n % 1_000_000 == 0 => 4,
        n if n % 1_000 == 0 => 7,
        _ => 10,
    };
    out.extend_from_slice(&digits[..length]);
}

/// `2026-01-05T10:00:00.123`, with a `Z` where the column has a zone.
pub(crate) fn write_timestamp(value: i64, unit: TimeUnit, zoned: bool, out: &mut Vec<u8>) {
    let units_a_day = 86_400 * per_second(unit);
    write_day(day_of(value, units_a_day), out);
    out.push(b'T');
    write_time(value.rem_euclid(units_a_day), unit, out);
    if zoned {
        out.push(b'Z');
    }
}

/// `PT1.5S`: a duration in seconds, which no calendar changes.
pub(crate) fn write_duration(value: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let per_second = per_second(unit).unsigned_abs();
    if value < 0 {
        out.push(b'-');
    }
    let value = value.unsigned_abs();
    out.extend_from_slice(b"PT");
    out.extend_from_slice(itoa::Buffer::new().format(value / per_second).as_bytes());
    write_fraction(((value % per_second) * (1_000_000_000 / per_second)) as i64, out);
    out.push(b'S');
}

/// `P1M2DT3.5S`: months, days and nanoseconds, each with its own sign; `PT0S` for none of them.
pub(crate) fn write_interval(months: i32, days: i32, nanoseconds: i64, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'P');
    if months != 0 {
        out.extend_from_slice(format!("{months}M").as_bytes());
    }
    if days != 0 {
        out.extend_from_slice(format!("{days}D").as_bytes());
    }
    if nanoseconds != 0 || out.len() == start + 1 {
        out.push(b'T');
        if nanoseconds < 0 {
            out.push(b'-');
        }
        let nanoseconds = nanoseconds.unsigned_abs();
        out.extend_from_slice(itoa::Buffer::new().format(nanoseconds / 1_000_000_000).as_bytes());
        write_fraction((nanoseconds % 1_000_000_000) as i64, out);
        out.push(b'S');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn days_are_civil_dates_at_every_edge() {
        for (day, expected) in [
            (0, "1970-01-01"),
            (-25_567, "1900-01-01"),
            (-25_568, "1899-12-31"),
            (47_481, "2099-12-31"),
            (47_482, "2100-01-01"),
            (-1, "1969-12-31"),
            (19_782, "2024-02-29"),
            (11_016, "2000-02-29"),
            (-25_509, "1900-02-28"),
            (-25_508, "1900-03-01"),
            (-719_528, "0000-01-01"),
            (-719_529, "-000001-12-31"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "+010000-01-01"),
            (i64::from(i32::MAX), "+5881580-07-11"),
            (i64::from(i32::MIN), "-5877641-06-23"),
        ] {
            assert_eq!(text(|out| write_day(day, out)), expected);
        }
    }

    #[test]
    fn fractions_have_three_six_or_nine_digits() {
        for (value, unit, expected) in [
            (0, TimeUnit::Nanosecond, "1970-01-01T00:00:00Z"),
            (1_500, TimeUnit::Millisecond, "1970-01-01T00:00:01.500Z"),
            (-1, TimeUnit::Microsecond, "1969-12-31T23:59:59.999999Z"),
            (1_000_000_001, TimeUnit::Nanosecond, "1970-01-01T00:00:01.000000001Z"),
            (1_700_000_000, TimeUnit::Second, "2023-11-14T22:13:20Z"),
        ] {
            assert_eq!(text(|out| write_timestamp(value, unit, true, out)), expected);
        }
        for value in [i64::MIN, i64::MAX] {
            for unit in [TimeUnit::Second, TimeUnit::Nanosecond] {
                assert!(text(|out| write_timestamp(value, unit, false, out)).contains('T'));
                text(|out| write_time(value, unit, out));
                text(|out| write_duration(value, unit, out));
            }
        }
    }

    #[test]
    fn durations_and_intervals_are_iso_8601() {
        assert_eq!(text(|out| write_duration(-1_500, TimeUnit::Millisecond, out)), "-PT1.500S");
        assert_eq!(text(|out| write_duration(0, TimeUnit::Second, out)), "PT0S");
        assert_eq!(text(|out| write_interval(1, -2, 3_500_000_000, out)), "P1M-2DT3.500S");
        assert_eq!(text(|out| write_interval(0, 0, 0, out)), "PT0S");
        assert_eq!(text(|out| write_interval(14, 0, -1, out)), "P14MT-0.000000001S");
    }
}
