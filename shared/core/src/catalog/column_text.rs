//! Types of columns as the operator writes them for files of text: as they are shown, and without units in short.

use std::str::FromStr;

use super::{ColumnType, TimeUnit};

impl FromStr for ColumnType {
    type Err = String;

    /// Reads the types that values of text can have, as they are written by [`Display`](std::fmt::Display). Without a
    /// unit, times and timestamps are in microseconds.
    fn from_str(text: &str) -> Result<Self, String> {
        let int = |bits, signed| Self::Int { bits, signed };
        let refused = || {
            format!(
                "{text:?} is not a type of text files: use boolean, int8 to int64, uint8 to uint64, float32, float64, \
                 decimal(precision, scale), text, binary, date, time, timestamp, or timestamp(microsecond, UTC)"
            )
        };
        let (name, arguments) = match text.split_once('(') {
            None => (text, Vec::new()),
            Some((name, rest)) => {
                let inner = rest.strip_suffix(')').ok_or_else(refused)?;
                (name, inner.split(',').map(str::trim).collect())
            }
        };
        match (name, arguments.as_slice()) {
            ("boolean", []) => Ok(Self::Boolean),
            ("int8", []) => Ok(int(8, true)),
            ("int16", []) => Ok(int(16, true)),
            ("int32", []) => Ok(int(32, true)),
            ("int64", []) => Ok(int(64, true)),
            ("uint8", []) => Ok(int(8, false)),
            ("uint16", []) => Ok(int(16, false)),
            ("uint32", []) => Ok(int(32, false)),
            ("uint64", []) => Ok(int(64, false)),
            ("float32", []) => Ok(Self::Float { bits: 32 }),
            ("float64", []) => Ok(Self::Float { bits: 64 }),
            ("decimal", [precision, scale]) => {
                let precision = precision.parse::<u8>().ok().filter(|precision| (1..=38).contains(precision));
                let scale = scale.parse::<i8>().ok();
                match (precision, scale) {
                    (Some(precision), Some(scale)) if (0..=precision as i8).contains(&scale) => {
                        Ok(Self::Decimal { precision, scale })
                    }
                    _ => {
                        Err(format!("{text:?} has a precision of 1 to 38 and a scale of 0 to the precision"))
                    }
                }
            }
            ("text", []) => Ok(Self::Text),
            ("binary", []) => Ok(Self::Binary),
            ("date", []) => Ok(Self::Date),
            ("time", []) => Ok(Self::Time { unit: TimeUnit::Microsecond }),
            ("time", [unit]) => Ok(Self::Time { unit: unit_of(unit).ok_or_else(refused)? }),
            ("timestamp", []) => Ok(Self::Timestamp { unit: TimeUnit::Microsecond, zone: None }),
            ("timestamp", [unit]) => {
                Ok(Self::Timestamp { unit: unit_of(unit).ok_or_else(refused)?, zone: None })
            }
            ("timestamp", [unit, zone]) => {
                if *zone != "UTC" {
                    return Err(format!(
                        "{text:?} has a zone that is not UTC: write UTC, into which offsets are brought"
                    ));
                }
                Ok(Self::Timestamp { unit: unit_of(unit).ok_or_else(refused)?, zone: Some("UTC".into()) })
            }
            _ => Err(refused()),
        }
    }
}

fn unit_of(text: &str) -> Option<TimeUnit> {
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    units.into_iter().find(|unit| unit.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_shown() {
        for text in [
            "boolean",
            "int8",
            "int64",
            "uint16",
            "float32",
            "float64",
            "decimal(38, 0)",
            "decimal(9, 9)",
            "text",
            "binary",
            "date",
            "time(second)",
            "timestamp(nanosecond)",
            "timestamp(microsecond, UTC)",
        ] {
            assert_eq!(text.parse::<ColumnType>().unwrap().to_string(), text);
        }
        assert_eq!("timestamp".parse::<ColumnType>().unwrap().to_string(), "timestamp(microsecond)");
        assert_eq!("time".parse::<ColumnType>().unwrap().to_string(), "time(microsecond)");
        assert_eq!("decimal(9,2)".parse::<ColumnType>().unwrap().to_string(), "decimal(9, 2)");
    }

    #[test]
    fn what_is_no_type_of_text_is_refused() {
        for (text, said) in [
            ("", "is not a type"),
            ("string", "is not a type"),
            ("INT64", "is not a type"),
            ("int64()", "is not a type"),
            ("list<text>", "is not a type"),
            ("decimal", "is not a type"),
            ("decimal(39, 2)", "a precision of 1 to 38"),
            ("decimal(5, 6)", "a precision of 1 to 38"),
            ("decimal(5, -1)", "a precision of 1 to 38"),
            ("timestamp(hour)", "is not a type"),
            ("timestamp(second, Europe/Berlin)", "not UTC"),
            ("timestamp(second", "is not a type"),
        ] {
            let error = text.parse::<ColumnType>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
