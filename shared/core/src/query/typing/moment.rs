//! Dates and times as filters write them: ISO 8601 days, RFC 3339 timestamps with or without their zone.

use jiff::civil;

use crate::catalog::TimeUnit;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// A date and time with what it says of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Nanoseconds since 1970-01-01T00:00:00, in UTC where there is an offset.
    pub(super) nanos: i128,
    /// Whether the text has an offset or `Z`.
    pub(super) offset: bool,
}

/// Days since 1970-01-01 of `2013-01-31`.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, byte)| match i {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return None;
    }
    let date = text.parse::<civil::Date>().ok()?;
    Some(date.duration_since(civil::Date::constant(1970, 1, 1)).as_hours().div_euclid(24) as i32)
}

/// Whether the text is a day.
pub(crate) fn is_date(text: &str) -> bool {
    parse_date(text).is_some()
}

/// The moment as RFC 3339 writes it: in UTC with a `Z` where the text has an offset, else without a zone. `None` for what is no
/// moment, or one of a year that has not four digits.
pub(crate) fn moment_text(text: &str) -> Option<String> {
    let Moment { nanos, offset } = parse_moment(text)?;
    let since = jiff::SignedDuration::from_nanos_i128(nanos);
    let moment = civil::date(1970, 1, 1).at(0, 0, 0, 0).checked_add(since).ok()?;
    (moment.year() >= 0).then(|| format!("{moment}{}", if offset { "Z" } else { "" }))
}

/// Nanoseconds since midnight of `10:00`, `10:00:00` or `10:00:00.123`.
pub(super) fn parse_time(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 5
        && bytes.iter().enumerate().all(|(i, byte)| match i {
            2 | 5 => *byte == b':',
            8 => *byte == b'.',
            _ => byte.is_ascii_digit(),
        })
        && !matches!(bytes.len(), 6 | 7 | 9);
    if !shaped {
        return None;
    }
    // A leap second would silently become the second before it.
    if bytes.get(6) == Some(&b'6') {
        return None;
    }
    let time = text.parse::<civil::Time>().ok()?;
    Some(time.duration_since(civil::Time::midnight()).as_nanos())
}

/// A date, or a date and a time with `T` or one space between, and perhaps `Z` or an offset like `+01:00` after.
pub(super) fn parse_moment(text: &str) -> Option<Moment> {
    let day = |days: i32| i128::from(days) * NANOS_PER_DAY;
    let (date, rest) = text.split_at_checked(10)?;
    let date = day(parse_date(date)?);
    if rest.is_empty() {
        return Some(Moment { nanos: date, offset: false });
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let end = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(end);
    let local = date + parse_time(time)?;
    if zone.is_empty() {
        return Some(Moment { nanos: local, offset: false });
    }
    Some(Moment { nanos: local - parse_offset(zone)?, offset: true })
}

/// Nanoseconds east of UTC of `Z`, `+01:00`, `+0100`, `-05`.
fn parse_offset(text: &str) -> Option<i128> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text.get(1..)?;
    let (hours, minutes) = match digits.len() {
        2 => (digits, "00"),
        4 => digits.split_at_checked(2)?,
        5 => digits.split_once(':')?,
        _ => return None,
    };
    let number = |text: &str| match text.as_bytes() {
        [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => Some(i128::from((a - b'0') * 10 + (b - b'0'))),
        _ => None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000_000_000)
}

/// How many nanoseconds a unit has.
pub(super) fn nanos_per(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// How many units a day has.
pub(super) fn units_per_day(unit: TimeUnit) -> i128 {
    NANOS_PER_DAY / nanos_per(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_the_epoch() {
        for (text, days) in
            [("1970-01-01", 0), ("1969-12-31", -1), ("2013-01-01", 15706), ("0001-01-01", -719_162)]
        {
            assert_eq!(parse_date(text), Some(days), "{text}");
        }
        for bad in ["2013-02-29", "2013-1-1", "20130101", "2013-01-01 ", "٢٠١٣-٠١-٠١", "2013-13-01", ""]
        {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments_know_whether_they_have_an_offset() {
        let ten = 15706 * NANOS_PER_DAY + 10 * 3_600_000_000_000;
        for (text, nanos, offset) in [
            ("2013-01-01T10:00:00", ten, false),
            ("2013-01-01 10:00", ten, false),
            ("2013-01-01T10:00:00Z", ten, true),
            ("2013-01-01T10:00:00.000000001z", ten + 1, true),
            ("2013-01-01T11:00:00+01:00", ten, true),
            ("2013-01-01 05:00:00-05", ten, true),
            ("2013-01-01T15:30:00+0530", ten, true),
            ("2013-01-01", 15706 * NANOS_PER_DAY, false),
        ] {
            assert_eq!(parse_moment(text), Some(Moment { nanos, offset }), "{text}");
        }
        for bad in [
            "2013-01-01T",
            "2013-01-01T10",
            "2013-01-01T25:00",
            "2013-01-01T10:00:00+",
            "2013-01-01T10:00:00+1:00",
            "2013-01-01T10:00:00+25:00",
            "2013-01-01  10:00:00",
            "2013-01-01T10:00:60Z",
            "2013-01-01Z",
            "12:00",
            "2013-01-01T10:00:00+00:00[UTC]",
            "日本日本日本日本日本日本",
        ] {
            assert_eq!(parse_moment(bad), None, "{bad}");
        }
    }
}
