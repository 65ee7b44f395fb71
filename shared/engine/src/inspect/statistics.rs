//! What the files of a data set say of their values: merged from the statistics of all row groups, and from directories.

use std::{
    collections::{BTreeMap, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow_array::{Array, ArrayRef, cast::AsArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::file::metadata::ParquetMetaData;
use serde_json::{Number, Value};
use willcall_core::{
    catalog::{Column, ColumnStatistics, ColumnType, LISTED_VALUES, Statistics, TOLD_TEXT},
    format::{Format, OutputFormat},
    ports::DataFileEntry,
    query::CompareOp,
};

use crate::{
    adapt::adapt,
    filter::compare,
    formats::{Chunk, TextEncoder},
    scan::{Bounds, ColumnBounds, Partitions},
    schema::{arrow_type, column_type, wider},
};

/// The least or the greatest of some values.
#[derive(Debug, Clone)]
enum End {
    /// There is no value.
    Nothing,
    /// No value is beyond this one; whether it is one of them.
    At(ArrayRef, bool),
    /// Somebody did not say.
    Unknown,
}

/// Which of the two ends.
#[derive(Debug, Clone, Copy)]
enum Side {
    Least,
    Greatest,
}

impl End {
    fn of(bound: Option<ArrayRef>, exact: bool, all_null: bool) -> Self {
        match bound {
            _ if all_null => Self::Nothing,
            Some(bound) => Self::At(bound, exact),
            None => Self::Unknown,
        }
    }

    fn with(self, other: Self, side: Side) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Nothing, end) | (end, Self::Nothing) => end,
            (Self::At(one, exact), Self::At(other, also)) => {
                let Some((one, other)) = alike(&one, &other) else { return Self::Unknown };
                let goes_before = match side {
                    Side::Least => CompareOp::Lt,
                    Side::Greatest => CompareOp::Gt,
                };
                let holds =
                    |op| compare(&one, op, &other).is_ok_and(|held| held.is_valid(0) && held.value(0));
                if holds(CompareOp::Eq) {
                    Self::At(one, exact || also)
                } else if holds(goes_before) {
                    Self::At(one, exact)
                } else {
                    Self::At(other, also)
                }
            }
        }
    }

    fn value(self) -> Option<(ArrayRef, bool)> {
        match self {
            Self::At(value, exact) => Some((value, exact)),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

/// Both in the type that holds both.
fn alike(one: &ArrayRef, other: &ArrayRef) -> Option<(ArrayRef, ArrayRef)> {
    if one.data_type() == other.data_type() {
        return Some((ArrayRef::clone(one), ArrayRef::clone(other)));
    }
    let both = wider(&column_type(one.data_type()), &column_type(other.data_type()))?;
    let both = arrow_type(&both)?;
    Some((adapt(Some(one), &both, 1).ok()?, adapt(Some(other), &both, 1).ok()?))
}

/// What is known of one column of some row groups.
#[derive(Debug)]
struct Summary {
    least: End,
    greatest: End,
    nulls: Option<u64>,
    distinct: Option<u64>,
    rows: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Self { least: End::Nothing, greatest: End::Nothing, nulls: Some(0), distinct: None, rows: 0 }
    }
}

impl Summary {
    /// Of so many records of a row group; nothing is known where its statistics say nothing.
    fn of(bounds: Option<Bounds>, rows: u64) -> Self {
        let Some(bounds) = bounds else {
            return Self { least: End::Unknown, greatest: End::Unknown, nulls: None, distinct: None, rows };
        };
        let all_null = bounds.nulls == Some(rows);
        Self {
            least: End::of(bounds.least, bounds.exact.0, all_null),
            greatest: End::of(bounds.greatest, bounds.exact.1, all_null),
            nulls: bounds.nulls,
            distinct: bounds.distinct,
            rows,
        }
    }

    fn add(&mut self, other: Self) {
        let take = |end: &mut End| std::mem::replace(end, End::Unknown);
        self.least = take(&mut self.least).with(other.least, Side::Least);
        self.greatest = take(&mut self.greatest).with(other.greatest, Side::Greatest);
        self.nulls = self.nulls.zip(other.nulls).map(|(one, other)| one.saturating_add(other));
        // Who knows how many values two row groups have in common?
        self.distinct = if self.rows == 0 { other.distinct } else { None };
        self.rows = self.rows.saturating_add(other.rows);
    }

    /// As it is told of a column of that type in a data set of so many records: those of files that lack the column have
    /// no value.
    fn told(self, data_type: &ColumnType, rows: u64) -> ColumnStatistics {
        let (least, greatest) = (self.least.value(), self.greatest.value());
        let exact = |end: &Option<(ArrayRef, bool)>| end.as_ref().is_none_or(|(_, exact)| *exact);
        let exact = exact(&least) && exact(&greatest);
        let json = |end: Option<(ArrayRef, bool)>| json(&in_type(&end?.0, data_type)?);
        let (min, max) = (json(least), json(greatest));
        ColumnStatistics {
            exact: exact && (min.is_some() || max.is_some()),
            min,
            max,
            nulls: self.nulls.map(|nulls| nulls.saturating_add(rows.saturating_sub(self.rows))),
            distinct: self.distinct,
            values: None,
        }
    }
}

/// What is known of the columns of some files.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    columns: HashMap<String, Summary>,
    row_groups: u64,
}

impl Summaries {
    /// What a file's footer says.
    pub(super) fn of_file(schema: &Schema, metadata: &ParquetMetaData) -> Self {
        let groups = metadata.row_groups();
        let mut all = Self { columns: HashMap::new(), row_groups: groups.len() as u64 };
        for (field, bounds) in ColumnBounds::all(schema, metadata) {
            let mut column = Summary::default();
            for (number, group) in groups.iter().enumerate() {
                let rows = u64::try_from(group.num_rows()).unwrap_or(0);
                if rows == 0 {
                    continue;
                }
                // What one column says may be of any form; the others are as good as without it.
                let told = || bounds.as_ref()?.row_group(number);
                let told = catch_unwind(AssertUnwindSafe(told)).unwrap_or(None);
                column.add(Summary::of(told, rows));
            }
            if column.rows > 0 {
                all.columns.insert(field.name().clone(), column);
            }
        }
        all
    }

    pub(super) fn add(&mut self, file: Self) {
        self.row_groups += file.row_groups;
        for (name, summary) in file.columns {
            self.columns.entry(name).or_default().add(summary);
        }
    }

    /// As they are told of a data set with these columns and so many records.
    pub(super) fn told(mut self, columns: &[Column], rows: u64) -> Statistics {
        let told = columns.iter().filter_map(|column| {
            let told = self.columns.remove(&column.name)?.told(&column.data_type, rows);
            (!told.is_empty()).then(|| (column.name.clone(), told))
        });
        Statistics { columns: told.collect(), row_groups: Some(self.row_groups) }
    }
}

/// What directories tell, of files with so many records each: a value that no record has is none.
pub(super) fn of_directories(
    columns: &[Column],
    files: &[DataFileEntry],
    rows: &[u64],
) -> Result<BTreeMap<String, ColumnStatistics>, String> {
    let partitions = Partitions::of_columns(files, columns)?;
    let told = partitions.told(files.len()).map(|(name, values)| {
        let (mut nulls, mut all_told) = (0_u64, true);
        let mut distinct: HashMap<String, (ArrayRef, Value)> = HashMap::new();
        for (value, rows) in values.iter().zip(rows).filter(|(_, rows)| **rows > 0) {
            if value.is_null(0) {
                nulls = nulls.saturating_add(*rows);
            } else if let Some(told) = json(value) {
                distinct.entry(told.to_string()).or_insert((ArrayRef::clone(value), told));
            } else {
                all_told = false;
            }
        }
        let mut distinct: Vec<(ArrayRef, Value)> = distinct.into_values().collect();
        distinct.sort_by(|(one, _), (other, _)| {
            let less = |one, other| compare(one, CompareOp::Lt, other).is_ok_and(|less| less.value(0));
            less(other, one).cmp(&less(one, other))
        });
        let mut listed: Vec<Value> = distinct.into_iter().map(|(_, value)| value).collect();
        let count = listed.len();
        let (min, max) = (listed.first().cloned(), listed.last().cloned());
        if nulls > 0 {
            listed.push(Value::Null);
        }
        let statistics = ColumnStatistics {
            exact: all_told && min.is_some(),
            min: min.filter(|_| all_told),
            max: max.filter(|_| all_told),
            nulls: Some(nulls),
            distinct: all_told.then_some(count as u64),
            values: (all_told && listed.len() <= LISTED_VALUES).then_some(listed),
        };
        (name, statistics)
    });
    Ok(told.collect())
}

/// A value in the type that its column has in the data set: the files that have values may have a narrower one.
fn in_type(value: &ArrayRef, data_type: &ColumnType) -> Option<ArrayRef> {
    if column_type(value.data_type()) == *data_type {
        return Some(ArrayRef::clone(value));
    }
    adapt(Some(value), &arrow_type(data_type)?, 1).ok()
}

/// The only value of the array, as it is told; `None` for what is too long, and for what has no text.
fn json(value: &ArrayRef) -> Option<Value> {
    if let DataType::Utf8 = value.data_type() {
        let text = value.as_string::<i32>().value(0);
        return (text.len() <= TOLD_TEXT).then(|| Value::from(text));
    }
    let field = Field::new("value", value.data_type().clone(), true);
    let encoder = TextEncoder::new(&OutputFormat::plain(Format::Csv), &[field.into()]).ok()??;
    let mut chunk = Chunk::default();
    encoder.encode(std::slice::from_ref(value), 1, &mut chunk).ok()?;
    let text = String::from_utf8(chunk.text).ok()?;
    let text = text.trim_end();
    Some(match value.data_type() {
        DataType::Boolean => Value::Bool(text == "true"),
        of if of.is_integer() => {
            let signed = text.parse::<i64>().map(Value::from);
            signed.or_else(|_| text.parse::<u64>().map(Value::from)).ok()?
        }
        // Parquet cannot tell the zeros apart; JSON has no word for infinities.
        of if of.is_floating() => match Number::from_f64(text.parse::<f64>().ok()? + 0.0) {
            Some(number) => Value::Number(number),
            None => Value::from(text),
        },
        _ => Value::from(text),
    })
}
