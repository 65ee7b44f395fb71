//! The types of a file's columns, from its values.

use arrow_schema::{DataType, Field as ArrowField, Schema, TimeUnit};

use super::{
    row::{Columns, Field, Row},
    value,
};

/// Whole numbers up to here are floats without loss.
const EXACT_IN_FLOAT: u64 = 1 << 53;

/// Digits that a 64-bit float holds.
const FLOAT_DIGITS: usize = 17;

/// Looks at rows, and tells the narrowest type of each column that holds every value seen without loss: boolean, int64,
/// float64, date, timestamp (microseconds, or nanoseconds where there are such; in UTC where every value has an
/// offset, without a zone where none has), else text.
///
/// What has leading zeros or a plus is text, since such are codes and not numbers; so are whole numbers past 64 bits, and
/// numbers with more digits than a float holds. Texts of JSON are never numbers or booleans. A column without any value
/// is text. Every column may be null: the next row may lack it.
#[derive(Debug, Clone)]
pub struct Inference {
    is_json: bool,
    seen: Vec<Seen>,
}

/// What a column's values are, all of those that were seen.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    boolean: bool,
    int: bool,
    /// Whole numbers that a float would round.
    wide_int: bool,
    float: bool,
    date: bool,
    local: bool,
    zoned: bool,
    /// Moments that microseconds would round.
    fine: bool,
    /// Moments that 64 bits of nanoseconds do not hold.
    far: bool,
    text: bool,
}

impl Inference {
    /// Looks at rows of JSON, which have types, or of CSV, which have not.
    pub fn new(is_json: bool) -> Self {
        Self { is_json, seen: Vec::new() }
    }

    /// One for rows of the same kind that has seen none.
    pub(crate) fn empty(&self) -> Self {
        Self::new(self.is_json)
    }

    /// Takes a row into account.
    pub fn observe(&mut self, row: &Row) {
        if self.seen.len() < row.len() {
            self.seen.resize(row.len(), Seen::default());
        }
        for (place, seen) in self.seen.iter_mut().enumerate() {
            match row.field(place) {
                Field::Missing | Field::Null => {}
                // Tools that quote everything write nothing so; it makes no text of a column of numbers.
                Field::Text("") if !self.is_json => {}
                Field::Boolean(_) => seen.boolean = true,
                Field::Number(text) => seen.number(text),
                Field::Json(_) => seen.text = true,
                Field::Text(text) if self.is_json => seen.moment(text),
                Field::Text(text) if value::boolean(text).is_some() => seen.boolean = true,
                Field::Text(text) if is_number(text) => seen.number(text),
                Field::Text("NaN" | "Infinity" | "-Infinity") => seen.float = true,
                Field::Text(text) => seen.moment(text),
            }
        }
    }

    /// Takes the rows of another file into account, whose columns are `others`; those that are not among `columns` are
    /// added behind them.
    pub(crate) fn add(&mut self, columns: &mut Columns, other: &Self, others: &Columns) {
        for (place, name) in others.names().iter().enumerate() {
            columns.add(name);
            let Some(at) = columns.place(name) else { continue };
            if self.seen.len() <= at {
                self.seen.resize(at + 1, Seen::default());
            }
            self.seen[at].add(other.seen.get(place).copied().unwrap_or_default());
        }
    }

    /// The types, for a file with these columns.
    pub fn schema(&self, columns: &Columns) -> Schema {
        let field = |(place, name): (usize, &String)| {
            let data_type = self.seen.get(place).copied().unwrap_or_default().data_type();
            ArrowField::new(name, data_type, true)
        };
        Schema::new(columns.names().iter().enumerate().map(field).collect::<Vec<_>>())
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.boolean |= other.boolean;
        self.int |= other.int;
        self.wide_int |= other.wide_int;
        self.float |= other.float;
        self.date |= other.date;
        self.local |= other.local;
        self.zoned |= other.zoned;
        self.fine |= other.fine;
        self.far |= other.far;
        self.text |= other.text;
    }

    fn number(&mut self, text: &str) {
        if let Some(value) = value::int::<i64>(text) {
            self.int = true;
            self.wide_int |= value.unsigned_abs() > EXACT_IN_FLOAT;
            return;
        }
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let significant = digits.trim_matches('0').len();
        let is_whole = mantissa.len() == text.len() && !text.contains('.');
        if is_whole || significant > FLOAT_DIGITS || value::float::<f64>(text).is_none() {
            self.text = true;
        } else {
            self.float = true;
        }
    }

    fn moment(&mut self, text: &str) {
        if value::date(text).is_some() {
            self.date = true;
        } else if let Some(moment) = value::moment(text) {
            if moment.zoned {
                self.zoned = true;
            } else {
                self.local = true;
            }
            self.fine |= value::in_units(moment.nanos, TimeUnit::Microsecond).is_none();
            self.far |= i64::try_from(moment.nanos).is_err();
        } else {
            self.text = true;
        }
    }

    fn data_type(self) -> DataType {
        let Self { boolean, int, wide_int, float, date, local, zoned, fine, far, text } = self;
        let timestamp = |zone: Option<&str>| {
            if fine && far {
                return DataType::Utf8;
            }
            let unit = if fine { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
            DataType::Timestamp(unit, zone.map(Into::into))
        };
        match (boolean, int || float, date, local, zoned, text) {
            (true, false, false, false, false, false) => DataType::Boolean,
            (false, true, false, false, false, false) => match (int, float, wide_int) {
                (true, false, _) => DataType::Int64,
                (true, true, true) => DataType::Utf8,
                _ => DataType::Float64,
            },
            (false, false, true, false, false, false) => DataType::Date32,
            (false, false, false, true, false, false) => timestamp(None),
            (false, false, false, false, true, false) => timestamp(Some("UTC")),
            _ => DataType::Utf8,
        }
    }
}

/// Whether the text is a number as JSON writes it: without leading zeros, without a plus.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}
