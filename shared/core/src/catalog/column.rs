//! Columns and their types, in words of our own: no engine's types reach the domain.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A column of a data set or of a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Its name, exactly as in the data.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type")]
    pub data_type: ColumnType,
    /// Whether values may be missing.
    pub nullable: bool,
}

/// The resolution of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Seconds.
    Second,
    /// Milliseconds.
    Millisecond,
    /// Microseconds.
    Microsecond,
    /// Nanoseconds.
    Nanosecond,
}

/// The type of a column's values. Written as text: `int64`, `decimal(15, 2)`, `timestamp(microsecond, UTC)`,
/// `list<text>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// True or false.
    Boolean,
    /// A whole number of that many bits.
    Int {
        /// 8, 16, 32 or 64.
        bits: u8,
        /// Whether it can be negative.
        signed: bool,
    },
    /// A binary floating-point number of that many bits: 16, 32 or 64.
    Float {
        /// 16, 32 or 64.
        bits: u8,
    },
    /// An exact decimal number.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point; negative for zeros before it.
        scale: i8,
    },
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
    /// A day.
    Date,
    /// A time of day.
    Time {
        /// Its resolution.
        unit: TimeUnit,
    },
    /// A point in time, or a local date and time where there is no zone.
    Timestamp {
        /// Its resolution.
        unit: TimeUnit,
        /// The zone in which it is told; the value itself is in UTC.
        zone: Option<String>,
    },
    /// Many values of one type.
    List(Box<ColumnType>),
    /// Named values.
    Struct(Vec<Column>),
    /// Keys and values.
    Map(Box<ColumnType>, Box<ColumnType>),
    /// A type that can be delivered where the format knows it, but not filtered by; the engine's own name for it.
    Other(String),
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Int { bits, signed: true } => write!(f, "int{bits}"),
            Self::Int { bits, signed: false } => write!(f, "uint{bits}"),
            Self::Float { bits } => write!(f, "float{bits}"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            Self::Text => f.write_str("text"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Time { unit } => write!(f, "time({unit})"),
            Self::Timestamp { unit, zone: None } => write!(f, "timestamp({unit})"),
            Self::Timestamp { unit, zone: Some(zone) } => write!(f, "timestamp({unit}, {zone})"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{}: {}", field.name, field.data_type)?;
                }
                f.write_str(">")
            }
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "second",
            Self::Millisecond => "millisecond",
            Self::Microsecond => "microsecond",
            Self::Nanosecond => "nanosecond",
        })
    }
}
