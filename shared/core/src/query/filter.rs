//! The typed filter.

use serde::{Deserialize, Serialize};

/// A condition on a record, typed against the data set's columns: every column exists, every literal has the type
/// of what it is compared with. Three-valued as in SQL: a comparison with null is neither true nor false, and only
/// records for which the whole is true are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// All of them; true where empty.
    And(Vec<Filter>),
    /// At least one of them; false where empty.
    Or(Vec<Filter>),
    /// SQL's NOT: unknown stays unknown.
    Not(Box<Filter>),
    /// True where the condition is false or unknown: the NOT of the Lucene-like syntax.
    IsNotTrue(Box<Filter>),
    /// A value compared with a literal.
    Compare {
        /// What is compared.
        left: Operand,
        /// How.
        op: CompareOp,
        /// With what.
        right: Literal,
    },
    /// Two values of one record compared.
    CompareOperands {
        /// What is compared.
        left: Operand,
        /// How.
        op: CompareOp,
        /// With what.
        right: Operand,
    },
    /// Whether a value is one of many. Sorted, without repetitions, never empty, never null.
    In {
        /// What is looked for.
        operand: Operand,
        /// Among what.
        values: Vec<Literal>,
    },
    /// Whether text fits a pattern.
    Text {
        /// The text.
        operand: Operand,
        /// How it must fit.
        matches: TextMatch,
        /// The pattern.
        pattern: String,
        /// Whether upper and lower case are the same.
        ignore_case: bool,
    },
    /// Whether a value is missing.
    IsNull(Operand),
    /// Whether at least one element of a list column fits. Inside, [`Operand::Element`] is the element.
    AnyElement {
        /// The list column.
        column: String,
        /// What the element must fit.
        condition: Box<Filter>,
    },
}

/// A value of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operand {
    /// A column.
    Column(String),
    /// The element of the list that the enclosing [`Filter::AnyElement`] looks at.
    Element,
    /// A function of a column.
    Call(Function, String),
}

/// The functions that a filter may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Text in lower case.
    Lower,
    /// Text in upper case.
    Upper,
    /// How many characters a text has, as int64.
    Length,
    /// The absolute value of a number, of the number's own type.
    Abs,
    /// The year of a date or timestamp (of its UTC value where it has a zone), as int64.
    Year,
    /// The month, 1 to 12, as int64.
    Month,
    /// The day of the month, as int64.
    Day,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 7] =
        [Self::Lower, Self::Upper, Self::Length, Self::Abs, Self::Year, Self::Month, Self::Day];

    /// The function as it is written, in lower case; requests may use any case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Length => "length",
            Self::Abs => "abs",
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
        }
    }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less than.
    Lt,
    /// Less than or equal.
    Le,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Ge,
}

/// How a text must fit a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextMatch {
    /// SQL's LIKE: `%` is any text, `_` any one character, `\` takes the next character as it is.
    Like,
    /// The text begins with the pattern, taken as it is.
    Prefix,
    /// The text contains the pattern, taken as it is.
    Contains,
}

/// A constant of the type of what it is compared with; never null.
///
/// A whole or decimal literal that the column's type cannot hold (`int8_column < 1000`, `int_column < 2.5`) is
/// brought by the checker to a condition that means the same, so an engine never rounds or overflows.
#[derive(Debug, Clone, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    /// For boolean columns.
    Bool(bool),
    /// For signed integer columns and functions that give int64; fits the column's bits.
    Int(i64),
    /// For unsigned integer columns; fits the column's bits.
    UInt(u64),
    /// For float columns; finite, or `NaN` or infinity where the client wrote so.
    Float(#[serde(with = "float_text")] f64),
    /// For decimal columns: the unscaled value, of the column's own precision and scale.
    Decimal(#[serde(with = "int_text")] i128),
    /// For text columns.
    Text(String),
    /// For date columns: days since 1970-01-01.
    Date(i32),
    /// For timestamp columns: units of the column's own resolution since 1970-01-01T00:00:00, in UTC where the
    /// column has a zone, local where it has none.
    Timestamp(i64),
    /// For time columns: units of the column's own resolution since midnight.
    Time(i64),
}

/// JSON has no words for NaN and infinities, so floats travel as text.
mod float_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:?}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Not every reader of JSON keeps 128 bits.
mod int_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_literals_survive_their_stored_form() {
        for literal in [
            Literal::Decimal(i128::MIN),
            Literal::Float(f64::NEG_INFINITY),
            Literal::Float(0.1 + 0.2),
            Literal::UInt(u64::MAX),
            Literal::Text("\u{0}\"'".into()),
        ] {
            let text = serde_json::to_string(&literal).unwrap();
            assert_eq!(serde_json::from_str::<Literal>(&text).unwrap(), literal, "{text}");
        }
        let nan = serde_json::to_string(&Literal::Float(f64::NAN)).unwrap();
        assert!(matches!(serde_json::from_str(&nan), Ok(Literal::Float(x)) if x.is_nan()));
    }
}
