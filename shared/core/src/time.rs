//! Points in time as the whole system writes them.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time in UTC with millisecond precision, written as RFC 3339: `2026-01-05T10:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment that many milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The present moment by the system's clock. Use cases ask their `Clock` instead.
    pub fn system_now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }

    /// Reads RFC 3339 text with any offset; digits past the millisecond are dropped.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_millisecond()))
    }

    /// This moment plus `duration`, at most the last moment that can be written.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment less `duration`.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Whole minutes since the Unix epoch, rounded down.
    pub const fn minute(self) -> i64 {
        self.0.div_euclid(60_000)
    }

    /// Whole days since the Unix epoch in UTC, rounded down.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(86_400_000)
    }

    /// How long this minute still lasts.
    pub fn left_of_minute(self) -> Duration {
        Duration::from_millis(60_000 - self.0.rem_euclid(60_000).unsigned_abs())
    }

    /// How long this day still lasts in UTC.
    pub fn left_of_day(self) -> Duration {
        Duration::from_millis(86_400_000 - self.0.rem_euclid(86_400_000).unsigned_abs())
    }

    /// The time from `earlier` to this moment; zero where the clock went back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{time:.3}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 timestamp"))
    }
}

/// A duration in ISO 8601 form with milliseconds: `PT1.532S`, `PT1H2M3S`.
pub fn iso8601(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (hours, minutes, seconds, rest) =
        (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60, millis % 1000);
    let mut text = String::from("PT");
    if hours > 0 {
        text += &format!("{hours}H");
    }
    if minutes > 0 {
        text += &format!("{minutes}M");
    }
    match rest {
        0 if seconds == 0 && text.len() > 2 => {}
        0 => text += &format!("{seconds}S"),
        _ => text += &format!("{seconds}.{rest:03}S"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_with_milliseconds() {
        let time = Timestamp::parse("2026-01-05T12:00:00.1239+02:00").unwrap();
        assert_eq!(time.to_string(), "2026-01-05T10:00:00.123Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn durations_are_iso_8601() {
        for (millis, text) in [
            (0, "PT0S"),
            (1_532, "PT1.532S"),
            (60_000, "PT1M"),
            (3_723_004, "PT1H2M3.004S"),
            (7_200_000, "PT2H"),
        ] {
            assert_eq!(iso8601(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn minutes_and_days_are_told_on_both_sides_of_the_epoch() {
        let time = Timestamp::parse("2026-01-05T23:59:30.500Z").unwrap();
        assert_eq!(time.left_of_minute(), Duration::from_millis(29_500));
        assert_eq!(time.left_of_day(), Duration::from_millis(29_500));
        assert_eq!(time.plus(time.left_of_day()).day(), time.day() + 1);
        let before = Timestamp::from_millis(-1);
        assert_eq!((before.minute(), before.day()), (-1, -1));
        assert_eq!(before.left_of_minute(), Duration::from_millis(1));
        assert_eq!(Timestamp::from_millis(0).left_of_day(), Duration::from_secs(86_400));
    }

    #[test]
    fn a_clock_that_went_back_gives_no_negative_duration() {
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    }
}
