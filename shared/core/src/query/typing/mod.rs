//! Typing: a literal as it is written becomes a condition on a value of a known type, one that means exactly the
//! same. No engine has to round, cast or overflow.
//!
//! A literal that the type cannot hold lies between two values it can, or beyond all of them. `x < 2.5` on whole
//! numbers is `x <= 2`; `x = 2.5` is false for every number but still unknown for null, so it becomes
//! `x < lowest`, which is just that, under NOT too; and `x <> 2.5` becomes `x >= lowest`.

mod moment;
mod number;

use std::borrow::Cow;

pub(crate) use self::moment::{is_date, moment_text};
use self::{
    moment::{nanos_per, parse_date, parse_moment, parse_time, units_per_day},
    number::{Decimal, Units, round_float},
};
use super::{CompareOp, Filter, Literal, Operand, TextMatch, error::quoted};
use crate::catalog::ColumnType;

/// A literal as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw<'a> {
    /// A number without quotes.
    Number(Cow<'a, str>),
    /// Text in quotes.
    Text(Cow<'a, str>),
    /// `TRUE` or `FALSE`.
    Bool(bool),
    /// `DATE '...'`.
    Date(Cow<'a, str>),
    /// `TIME '...'`.
    Time(Cow<'a, str>),
    /// `TIMESTAMP '...'`.
    Timestamp(Cow<'a, str>),
    /// Of a syntax where only the column tells what the characters mean.
    Untyped(Cow<'a, str>),
}

/// What is compared: a value, its type, and how to name it in a sentence.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subject<'c> {
    pub(super) operand: Operand,
    pub(super) data_type: Cow<'c, ColumnType>,
    pub(super) label: String,
}

/// A literal among the values of a type.
enum Fit {
    Exact(Literal),
    /// Higher than this value and lower than the next.
    Above(Literal),
    TooLow,
    TooHigh,
}

impl Subject<'_> {
    /// The condition that the value compares so with the literal; the error is a sentence without a place.
    pub(super) fn compare(&self, op: CompareOp, raw: &Raw<'_>) -> Result<Filter, String> {
        use CompareOp::{Eq, Ge, Gt, Le, Lt, Ne};
        let fit = self.fit(raw)?;
        Ok(match (fit, op) {
            (Fit::Exact(right), op) => self.literal(op, right),
            (Fit::Above(value), Lt | Le) => self.literal(Le, value),
            (Fit::Above(value), Gt | Ge) => self.literal(Gt, value),
            (Fit::Above(_), Eq) | (Fit::TooLow, Eq | Lt | Le) | (Fit::TooHigh, Eq | Gt | Ge) => self.never(),
            (Fit::Above(_), Ne) | (Fit::TooLow, Ne | Gt | Ge) | (Fit::TooHigh, Ne | Lt | Le) => {
                Filter::Not(Box::new(self.never()))
            }
        })
    }

    /// The condition that the value is one of the literals. Those that the type cannot hold drop out.
    pub(super) fn one_of<'r>(&self, raws: impl IntoIterator<Item = &'r Raw<'r>>) -> Result<Filter, String> {
        let mut values = Vec::new();
        for raw in raws {
            if let Fit::Exact(value) = self.fit(raw)? {
                values.push(value);
            }
        }
        if values.is_empty() {
            return Ok(self.never());
        }
        Ok(Filter::In { operand: self.operand.clone(), values })
    }

    /// The condition that the text fits the pattern.
    pub(super) fn text(
        &self,
        matches: TextMatch,
        pattern: String,
        ignore_case: bool,
    ) -> Result<Filter, String> {
        if *self.data_type != ColumnType::Text {
            return Err(format!("{} is {}, and only text fits a pattern", self.label, self.data_type));
        }
        Ok(Filter::Text { operand: self.operand.clone(), matches, pattern, ignore_case })
    }

    /// Whether values of the two can be compared with each other.
    pub(super) fn comparable(&self, other: &Self) -> bool {
        use ColumnType::{Boolean, Date, Decimal, Float, Int, Text, Time, Timestamp};
        match (&*self.data_type, &*other.data_type) {
            (Int { .. } | Float { .. } | Decimal { .. }, Int { .. } | Float { .. } | Decimal { .. })
            | (Boolean, Boolean)
            | (Text, Text)
            | (Date, Date)
            | (Time { .. }, Time { .. }) => true,
            (Timestamp { zone: left, .. }, Timestamp { zone: right, .. }) => {
                left.is_some() == right.is_some()
            }
            _ => false,
        }
    }

    fn literal(&self, op: CompareOp, right: Literal) -> Filter {
        Filter::Compare { left: self.operand.clone(), op, right }
    }

    /// False for every value, unknown for null. Only called for types that have a lowest value.
    fn never(&self) -> Filter {
        let lowest = match &*self.data_type {
            ColumnType::Int { bits, signed: true } => {
                Literal::Int(i64::MIN >> (64 - u32::from(*bits).clamp(1, 64)))
            }
            ColumnType::Int { signed: false, .. } => Literal::UInt(0),
            ColumnType::Decimal { precision, .. } => Literal::Decimal(-decimal_limit(*precision)),
            ColumnType::Date => Literal::Date(i32::MIN),
            ColumnType::Time { .. } => Literal::Time(0),
            ColumnType::Timestamp { .. } => Literal::Timestamp(i64::MIN),
            _ => Literal::Float(f64::NEG_INFINITY),
        };
        self.literal(CompareOp::Lt, lowest)
    }

    fn fit(&self, raw: &Raw<'_>) -> Result<Fit, String> {
        match &*self.data_type {
            ColumnType::Boolean => self.fit_boolean(raw),
            ColumnType::Int { bits, signed } => {
                let bits = u32::from(*bits).clamp(1, 64);
                let (lowest, highest) = if *signed {
                    (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
                } else {
                    (0, (1i128 << bits) - 1)
                };
                let units = self.decimal(raw)?.units(0, lowest, highest);
                Ok(Fit::of(units, |n| if *signed { Literal::Int(n as i64) } else { Literal::UInt(n as u64) }))
            }
            ColumnType::Decimal { precision, scale } => {
                let limit = decimal_limit(*precision);
                let units = self.decimal(raw)?.units(*scale, -limit, limit);
                if *precision > 38 && matches!(units, Units::TooLow | Units::TooHigh) {
                    return Err(format!(
                        "{} is {}, but a filter compares at most 38 digits",
                        self.label, self.data_type
                    ));
                }
                Ok(Fit::of(units, Literal::Decimal))
            }
            ColumnType::Float { bits } => self.fit_float(raw, *bits),
            ColumnType::Text => match raw {
                Raw::Text(text) | Raw::Untyped(text) => Ok(Fit::Exact(Literal::Text(text.to_string()))),
                _ => Err(self.misfit(raw, "text in single quotes")),
            },
            ColumnType::Date => match raw {
                Raw::Text(text) | Raw::Untyped(text) | Raw::Date(text) => parse_date(text)
                    .map(|days| Fit::Exact(Literal::Date(days)))
                    .ok_or_else(|| self.misfit(raw, "a date like '2013-01-31'")),
                _ => Err(self.misfit(raw, "a date like '2013-01-31'")),
            },
            ColumnType::Time { unit } => match raw {
                Raw::Text(text) | Raw::Untyped(text) | Raw::Time(text) => {
                    let nanos = parse_time(text).ok_or_else(|| self.misfit(raw, "a time like '10:30:00'"))?;
                    let units = Units::of(nanos, nanos_per(*unit), 0, units_per_day(*unit) - 1);
                    Ok(Fit::of(units, |n| Literal::Time(n as i64)))
                }
                _ => Err(self.misfit(raw, "a time like '10:30:00'")),
            },
            ColumnType::Timestamp { unit, zone } => {
                let example = match zone {
                    Some(_) => "a date, or a timestamp like '2013-01-31T10:30:00Z'",
                    None => "a date, or a timestamp without a zone like '2013-01-31T10:30:00'",
                };
                let (Raw::Text(text) | Raw::Untyped(text) | Raw::Date(text) | Raw::Timestamp(text)) = raw
                else {
                    return Err(self.misfit(raw, example));
                };
                let kept = !matches!(raw, Raw::Date(_)) || parse_date(text).is_some();
                let moment = parse_moment(text).filter(|_| kept).ok_or_else(|| self.misfit(raw, example))?;
                if moment.offset && zone.is_none() {
                    return Err(format!(
                        "{} is {}, without a zone, but {} has an offset from UTC",
                        self.label,
                        self.data_type,
                        raw.show()
                    ));
                }
                let (lowest, highest) = (i128::from(i64::MIN), i128::from(i64::MAX));
                let units = Units::of(moment.nanos, nanos_per(*unit), lowest, highest);
                Ok(Fit::of(units, |n| Literal::Timestamp(n as i64)))
            }
            other => {
                Err(format!("{} is {other}, and values of this type can only be tested for null", self.label))
            }
        }
    }

    fn fit_boolean(&self, raw: &Raw<'_>) -> Result<Fit, String> {
        match raw {
            Raw::Bool(value) => Ok(Fit::Exact(Literal::Bool(*value))),
            Raw::Text(text) | Raw::Untyped(text) if text.eq_ignore_ascii_case("true") => {
                Ok(Fit::Exact(Literal::Bool(true)))
            }
            Raw::Text(text) | Raw::Untyped(text) if text.eq_ignore_ascii_case("false") => {
                Ok(Fit::Exact(Literal::Bool(false)))
            }
            _ => Err(self.misfit(raw, "true or false")),
        }
    }

    fn fit_float(&self, raw: &Raw<'_>, bits: u8) -> Result<Fit, String> {
        if let Raw::Text(text) | Raw::Untyped(text) = raw
            && let Some(value) = parse_special(text)
        {
            return Ok(Fit::Exact(Literal::Float(value)));
        }
        self.decimal(raw)?;
        let (Raw::Number(text) | Raw::Untyped(text)) = raw else { return Err(self.misfit(raw, "a number")) };
        match round_float(text, bits) {
            // The largest number and infinity have nothing between them that could be held.
            Some((largest, true)) if largest > 0.0 => Ok(Fit::Above(Literal::Float(largest))),
            Some((_, true)) => Ok(Fit::Above(Literal::Float(f64::NEG_INFINITY))),
            Some((value, false)) => Ok(Fit::Exact(Literal::Float(value))),
            None => Err(self.misfit(raw, "a number")),
        }
    }

    fn decimal<'r>(&self, raw: &'r Raw<'_>) -> Result<Decimal<'r>, String> {
        match raw {
            Raw::Number(text) | Raw::Untyped(text) => {
                Decimal::parse(text).ok_or_else(|| self.misfit(raw, "a number"))
            }
            Raw::Text(text) if Decimal::parse(text).is_some() => {
                Err(self.misfit(raw, "a number without quotes"))
            }
            _ => Err(self.misfit(raw, "a number")),
        }
    }

    fn misfit(&self, raw: &Raw<'_>, wanted: &str) -> String {
        format!("{} is {}, which needs {wanted}, not {}", self.label, self.data_type, raw.show())
    }
}

impl Fit {
    fn of(units: Units, literal: impl FnOnce(i128) -> Literal) -> Self {
        match units {
            Units::Exact(n) => Self::Exact(literal(n)),
            Units::Above(n) => Self::Above(literal(n)),
            Units::TooLow => Self::TooLow,
            Units::TooHigh => Self::TooHigh,
        }
    }
}

impl Raw<'_> {
    /// The literal for a sentence.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Number(text) if text.len() <= 40 => text.to_string(),
            Self::Number(_) => "that long number".into(),
            Self::Bool(value) => value.to_string(),
            Self::Text(text)
            | Self::Untyped(text)
            | Self::Date(text)
            | Self::Time(text)
            | Self::Timestamp(text) => quoted(text),
        }
    }
}

/// The largest unscaled value of a decimal type; of the widest types, of what 128 bits hold of them.
fn decimal_limit(precision: u8) -> i128 {
    10i128.checked_pow(u32::from(precision)).map_or(i128::MAX, |limit| limit - 1)
}

/// The floats that no digits write.
fn parse_special(text: &str) -> Option<f64> {
    let (sign, name) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if name.eq_ignore_ascii_case("nan") {
        return (name.len() == text.len()).then_some(f64::NAN);
    }
    let infinite = name.eq_ignore_ascii_case("infinity") || name.eq_ignore_ascii_case("inf");
    infinite.then_some(sign * f64::INFINITY)
}
