//! Writes records that come as columns, in any format.

use std::{sync::Arc, thread::Scope};

use ::parquet::schema::types::ColumnPath;
use arrow_schema::FieldRef;
use willcall_core::format::{Format, OutputFormat};

use super::text::{self, Layout, Told};
use crate::{
    attempt::Attempt,
    failure::{Outcome, defect},
    formats::{
        Chunk, TextEncoder, arrow,
        parquet::{self, Columns},
        xlsx,
    },
    ordered::{Emit, ordered},
    sink::{Sink, Trimmed},
};

/// How records are written.
pub(crate) struct Target<'a> {
    pub(crate) attempt: &'a Arc<Attempt>,
    pub(crate) threads: usize,
    pub(crate) output: &'a OutputFormat,
    pub(crate) page_size: u32,
    pub(crate) fields: &'a [FieldRef],
    /// What the sheets of a workbook are called.
    pub(crate) title: &'a str,
}

impl<'a> Target<'a> {
    /// The same for text.
    pub(super) fn layout(&self, encoder: &TextEncoder) -> Layout<'a> {
        Layout {
            output: self.output,
            fields: self.fields,
            page_size: self.page_size,
            separator: encoder.separator(),
            threads: self.threads,
        }
    }
}

/// Writes a format that is text.
pub(crate) fn text<'scope>(
    scope: &'scope Scope<'scope, '_>,
    target: &Target<'_>,
    encoder: TextEncoder,
    batches: impl Iterator<Item = Outcome<Columns>> + Send + 'scope,
    sink: &mut Sink,
) -> Outcome<Told> {
    let layout = target.layout(&encoder);
    let work = move |(columns, rows): Columns, emit: &Emit<Chunk>| {
        let mut chunk = Chunk::default();
        encoder.encode(&columns, rows, &mut chunk).map_err(defect)?;
        emit.send(chunk)
    };
    let chunks = ordered(scope, target.threads, 2, batches, work)?;
    let records = Trimmed { chunks, skip: 0, take: u64::MAX };
    text::write(scope, target.attempt, &layout, records, sink)
}

/// Writes a format that takes records as columns. `without_dictionary` is a hint for Parquet.
pub(crate) fn columns<'scope>(
    scope: &'scope Scope<'scope, '_>,
    target: &Target<'_>,
    without_dictionary: Vec<ColumnPath>,
    batches: impl Iterator<Item = Outcome<Columns>> + Send + 'scope,
    sink: &mut Sink,
) -> Outcome<Told> {
    let Target { attempt, threads, output, fields, title, .. } = *target;
    let mut non_finite = 0;
    let records = match output.format {
        Format::Arrow => arrow::write(scope, attempt, threads, fields, batches, sink)?,
        Format::Parquet => {
            let options = output.parquet.clone().unwrap_or_default();
            parquet::write(scope, attempt, threads, &options, fields, without_dictionary, batches, sink)?
        }
        Format::Xlsx => {
            let book = xlsx::Book { title, sheet_rows: xlsx::SHEET_ROWS, fields };
            let (records, odd) = xlsx::write(scope, attempt, threads, &book, batches, sink)?;
            non_finite = odd;
            records
        }
        Format::Json | Format::Jsonl | Format::Csv => return Err(defect("text without its encoder")),
    };
    Ok(Told { records, non_finite })
}

/// Batches of which records are left out at the start and the end.
pub(crate) struct TrimmedBatches<I> {
    pub(crate) batches: I,
    pub(crate) skip: u64,
    pub(crate) take: u64,
}

impl<I: Iterator<Item = Outcome<Columns>>> Iterator for TrimmedBatches<I> {
    type Item = Outcome<Columns>;

    fn next(&mut self) -> Option<Outcome<Columns>> {
        while self.take > 0 {
            let (columns, rows) = match self.batches.next()? {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            };
            let first = usize::try_from(self.skip).unwrap_or(usize::MAX).min(rows);
            self.skip -= first as u64;
            let length = usize::try_from(self.take).unwrap_or(usize::MAX).min(rows - first);
            self.take -= length as u64;
            if length == rows {
                return Some(Ok((columns, rows)));
            }
            if length > 0 {
                let columns = columns.iter().map(|column| column.slice(first, length)).collect();
                return Some(Ok((columns, length)));
            }
        }
        None
    }
}
