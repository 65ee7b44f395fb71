//! Data sets for scenarios, made on the spot.

use std::{fs::File, io::Write, path::Path, sync::Arc};

use anyhow::Result;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

/// `rows` records of three columns: `n` counts from `start`, `mixed` is in no order, `word` is one of three words or
/// null.
pub fn numbers(start: i64, rows: i64) -> Result<RecordBatch> {
    let range = start..start + rows;
    let mixed = range.clone().map(|n| n.wrapping_mul(0x5851_F42D_4C95_7F2D).rotate_left(17));
    let words = range.clone().map(|n| [Some("red"), Some("green"), Some("blue"), None][(n % 4) as usize]);
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("n", Arc::new(Int64Array::from_iter_values(range.clone())), false),
        ("mixed", Arc::new(Int64Array::from_iter_values(mixed)), false),
        ("word", Arc::new(words.collect::<StringArray>()), true),
    ];
    // Said of each column, so that a batch without a null, or without a record, has the same schema.
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// Writes [`numbers`] from 0 as a Parquet file.
pub fn write_numbers(path: &Path, rows: i64) -> Result<()> {
    write(File::create(path)?, 0, rows)
}

/// The bytes of such a file.
pub fn numbers_file(rows: i64) -> Result<Vec<u8>> {
    numbers_from(0, rows)
}

/// The bytes of such a file of numbers that count from `start`.
pub fn numbers_from(start: i64, rows: i64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write(&mut bytes, start, rows)?;
    Ok(bytes)
}

/// Writes a Parquet file of `rows` records of two columns: `n` counts, and `text` is always the same.
pub fn write_texts(path: &Path, rows: i64, text: &str) -> Result<()> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("text", Arc::new((0..rows).map(|_| Some(text)).collect::<StringArray>())),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

fn write(to: impl Write + Send, start: i64, rows: i64) -> Result<()> {
    const BATCH: i64 = 50_000;
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(BATCH as usize)).build();
    let mut writer = ArrowWriter::try_new(to, numbers(0, 0)?.schema(), Some(properties))?;
    let mut written = 0;
    while written < rows {
        let count = BATCH.min(rows - written);
        writer.write(&numbers(start + written, count)?)?;
        written += count;
    }
    writer.close()?;
    Ok(())
}
