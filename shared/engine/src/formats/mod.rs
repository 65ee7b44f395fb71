//! What a result is written as: one file a format, and the compression of text.

pub(crate) mod arrow;
pub(crate) mod compress;
mod csv;
mod json;
mod number;
pub(crate) mod parquet;
pub(crate) mod pieces;
mod short;
pub(crate) mod time;
pub(crate) mod value;
pub(crate) mod xlsx;

use arrow_array::{ArrayRef, new_empty_array};
use arrow_schema::FieldRef;
use willcall_core::{
    format::{Format, OutputFormat},
    job::ProblemType,
};

use crate::failure::{Outcome, fatal};

/// Records as text, with where each one ends.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) text: Vec<u8>,
    /// The end of each record in the text.
    pub(crate) ends: Vec<usize>,
    /// Records with numbers that are not finite and were written as null, and how many.
    pub(crate) non_finite: Vec<(usize, u64)>,
}

/// Writes records as text.
pub(crate) enum TextEncoder {
    Csv(csv::CsvEncoder),
    Json(json::JsonEncoder),
}

impl TextEncoder {
    /// An encoder for the format; `None` where the format is not text. Fails where a column cannot be written so.
    pub(crate) fn new(output: &OutputFormat, fields: &[FieldRef]) -> Outcome<Option<Self>> {
        let encoder = match output.format {
            Format::Csv => {
                Self::Csv(csv::CsvEncoder::new(&output.csv.clone().unwrap_or_default(), fields.len()))
            }
            Format::Json => Self::Json(json::JsonEncoder::new(fields, false)),
            Format::Jsonl => Self::Json(json::JsonEncoder::new(fields, true)),
            Format::Parquet | Format::Arrow | Format::Xlsx => return Ok(None),
        };
        check(output.format, fields)?;
        Ok(Some(encoder))
    }

    /// How many bytes before a record are not a part of it.
    pub(crate) fn separator(&self) -> usize {
        match self {
            Self::Csv(_) => 0,
            Self::Json(json) => json.separator(),
        }
    }

    /// Appends records to the chunk.
    pub(crate) fn encode(&self, columns: &[ArrayRef], rows: usize, chunk: &mut Chunk) -> Result<(), String> {
        match self {
            Self::Csv(csv) => csv.encode(columns, rows, chunk),
            Self::Json(json) => json.encode(columns, rows, chunk),
        }
    }
}

/// Fails where a column cannot be written value by value.
fn check(format: Format, fields: &[FieldRef]) -> Outcome<()> {
    for field in fields {
        let none = new_empty_array(field.data_type());
        if let Err(what) = value::Bound::new(&none, &|_| false) {
            let detail = format!("the column {:?} cannot be written as {format}: {what}", field.name());
            return Err(fatal(ProblemType::UnsupportedFormat, detail));
        }
    }
    Ok(())
}
