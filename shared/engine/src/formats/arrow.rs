//! An Arrow IPC stream: the schema, record batches that are encoded side by side, and the mark of the end.

use std::{collections::HashMap, sync::Arc, thread::Scope};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, FieldRef, Schema, SchemaRef};
use arrow_select::concat::concat;
use bytes::Bytes;
use willcall_core::job::ProblemType;

use super::{
    parquet::Columns,
    pieces::{Bounds, Piece, Pieces},
};
use crate::{
    attempt::Attempt,
    failure::{Outcome, defect, fatal_from},
    ordered::{Emit, ordered},
    sink::Sink,
};

/// How large a record batch is.
const BATCH: Bounds = Bounds { rows: 65_536, bytes: 4 << 20, value: 0, stride: u64::MAX };

/// Writes the records as one stream; answers how many there were.
pub(crate) fn write<'scope, I>(
    scope: &'scope Scope<'scope, '_>,
    attempt: &Arc<Attempt>,
    threads: usize,
    fields: &[FieldRef],
    batches: I,
    sink: &mut Sink,
) -> Outcome<u64>
where
    I: Iterator<Item = Outcome<Columns>> + Send + 'scope,
{
    // Metadata of fields is the source file's: its ids mean nothing here.
    let fields = fields.iter().map(|field| field.as_ref().clone().with_metadata(HashMap::new()));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let cannot = |error: ArrowError| {
        fatal_from(ProblemType::UnsupportedFormat, "a column cannot be written as Arrow", error)
    };
    let mut stream = StreamWriter::try_new(Vec::new(), &schema).map_err(cannot)?;
    let head = stream.get_ref().len();
    stream.finish().map_err(defect)?;
    let ends = stream.into_inner().map_err(defect)?;
    sink.write(&ends[..head])?;

    let watched = Arc::clone(attempt);
    let encode = move |piece: Piece, emit: &Emit<(u64, Vec<u8>)>| {
        watched.check()?;
        emit.send((piece.rows as u64, message(&schema, &piece).map_err(defect)?))
    };
    let mut records = 0;
    for message in ordered(scope, threads, 1, Pieces::new(batches, BATCH), encode)? {
        attempt.check()?;
        let (rows, message) = message?;
        sink.write_owned(Bytes::from(message))?;
        records += rows;
        attempt.control.add_written(rows, 0);
    }
    sink.write(&ends[head..])?;
    Ok(records)
}

/// A piece as one record batch of a stream.
fn message(schema: &SchemaRef, piece: &Piece) -> Result<Vec<u8>, ArrowError> {
    let column = |(index, field): (usize, &FieldRef)| {
        // Always copied, which two arrays are and one is not: else the bits behind the last value would be
        // those of the batch from which it was cut.
        let none = new_empty_array(field.data_type());
        let parts = piece.parts.iter().map(|(columns, _)| columns[index].as_ref());
        concat(&parts.chain([none.as_ref()]).collect::<Vec<_>>())
    };
    let columns: Vec<ArrayRef> =
        schema.fields().iter().enumerate().map(column).collect::<Result<_, ArrowError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(piece.rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
    let mut stream = StreamWriter::try_new(Vec::new(), schema)?;
    let head = stream.get_ref().len();
    stream.write(&batch)?;
    Ok(std::mem::take(stream.get_mut()).split_off(head))
}
