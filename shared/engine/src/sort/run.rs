//! Runs: records sorted in memory, and written to disk where there are several.

use std::{
    fs::File,
    io::{BufReader, BufWriter},
    path::PathBuf,
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave_record_batch;

use super::{
    SPILL_BYTES, SPILL_ROWS,
    keys::{Keys, head},
};
use crate::{
    attempt::Attempt,
    failure::{Outcome, defect, spill},
    spill::{Held, Spill, spilling},
};

/// Sorted records, read batch by batch.
pub(super) enum Run {
    Held(Box<dyn Iterator<Item = Outcome<RecordBatch>> + Send>),
    Spilled(PathBuf, Held),
}

impl Run {
    pub(super) fn held(batches: impl Iterator<Item = Outcome<RecordBatch>> + Send + 'static) -> Self {
        Self::Held(Box::new(batches))
    }

    /// Reads the run. The file of a spilled run is gone once it is open: its space is free when it has been read.
    pub(super) fn read(self) -> Outcome<Box<dyn Iterator<Item = Outcome<RecordBatch>> + Send>> {
        match self {
            Self::Held(batches) => Ok(batches),
            Self::Spilled(path, held) => {
                let file = BufReader::with_capacity(128 << 10, File::open(&path).map_err(spill)?);
                std::fs::remove_file(&path).map_err(spill)?;
                let reader = StreamReader::try_new(file, None);
                let reader = reader.map_err(|error| spilling(held.spill(), error))?;
                Ok(Box::new(reader.map(move |batch| batch.map_err(|error| spilling(held.spill(), error)))))
            }
        }
    }
}

/// Sorts records; those that came first stay first among equals. Of more than `needed`, the last are dropped.
pub(super) fn sorted(
    attempt: &Arc<Attempt>,
    keys: &Keys,
    batches: Vec<RecordBatch>,
    needed: u64,
) -> Outcome<impl Iterator<Item = Outcome<RecordBatch>> + Send + use<>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut order = Vec::with_capacity(rows);
    let mut sort_keys = Vec::with_capacity(batches.len());
    for (number, batch) in batches.iter().enumerate() {
        attempt.check()?;
        let keys = keys.of(batch)?;
        order.extend((0..batch.num_rows()).map(|row| {
            let key = keys.row(row);
            (head(key.as_ref()), number as u32, row as u32)
        }));
        sort_keys.push(keys);
    }
    order.sort_unstable_by(|a, b| {
        a.0.cmp(&b.0)
            .then_with(|| {
                let key = |at: &(u128, u32, u32)| sort_keys[at.1 as usize].row(at.2 as usize);
                key(a).cmp(&key(b))
            })
            .then_with(|| (a.1, a.2).cmp(&(b.1, b.2)))
    });
    attempt.check()?;
    drop(sort_keys);
    order.truncate(usize::try_from(needed).unwrap_or(usize::MAX));
    let order: Vec<(u32, u32)> = order.into_iter().map(|(_, batch, row)| (batch, row)).collect();
    let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let step = (SPILL_BYTES / (bytes / rows.max(1)).max(1)).clamp(1, SPILL_ROWS);
    let attempt = Arc::clone(attempt);
    let mut next = 0;
    Ok(std::iter::from_fn(move || {
        if next >= order.len() {
            return None;
        }
        let end = (next + step).min(order.len());
        let rows: Vec<(usize, usize)> =
            order[next..end].iter().map(|(batch, row)| (*batch as usize, *row as usize)).collect();
        next = end;
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let taken = interleave_record_batch(&batches, &rows).map_err(defect);
        Some(attempt.check().and(taken))
    }))
}

/// Writes sorted records to disk.
pub(super) fn spilled(
    attempt: &Attempt,
    spill: &Arc<Spill>,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Outcome<RecordBatch>>,
) -> Outcome<Run> {
    let spilling = |error| spilling(spill, error);
    let (file, path) = spill.file()?;
    let file = BufWriter::with_capacity(256 << 10, file);
    let mut writer = StreamWriter::try_new(file, schema).map_err(spilling)?;
    for batch in batches {
        attempt.check()?;
        writer.write(&batch?).map_err(spilling)?;
    }
    writer.finish().map_err(spilling)?;
    let file = writer.into_inner().map_err(spilling)?;
    let file = file.into_inner().map_err(|error| spill.failure(error.into_error()))?;
    Ok(Run::Spilled(path, file.written()))
}
