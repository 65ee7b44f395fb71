//! Parquet: row groups of exactly the size asked for, encoded side by side and appended in order.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{Builder, Scope},
};

use arrow_array::ArrayRef;
use arrow_schema::{FieldRef, Schema};
use parquet::{
    arrow::{
        ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata,
        arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves},
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::ColumnPath,
};
use willcall_core::{
    format::{ParquetCodec, ParquetOptions},
    job::ProblemType,
    ports::ExecuteError,
};

use crate::{
    attempt::Attempt,
    failure::{Outcome, defect, fatal_from},
    ordered::{Emit, ordered},
    sink::Sink,
};

/// Readers look for known faults of writers by this form of words.
const CREATED_BY: &str = "willcall version 1.0.0";

/// Batches of one row group that may wait for the thread that encodes it.
const WAITING: usize = 16;

/// Columns of some records.
pub(crate) type Columns = (Vec<ArrayRef>, usize);

/// The batches of one row group, as they come.
enum Part {
    Batch(Columns),
    Failed(ExecuteError),
    /// Without it the row group is not whole.
    End,
}

/// Writes the records as one file; answers how many there were.
#[expect(clippy::too_many_arguments, reason = "a pipeline's ends, named one by one")]
pub(crate) fn write<'scope, I>(
    scope: &'scope Scope<'scope, '_>,
    attempt: &Arc<Attempt>,
    threads: usize,
    options: &ParquetOptions,
    fields: &[FieldRef],
    without_dictionary: Vec<ColumnPath>,
    batches: I,
    sink: &mut Sink,
) -> Outcome<u64>
where
    I: Iterator<Item = Outcome<Columns>> + Send + 'scope,
{
    let cannot = |error: ParquetError| {
        fatal_from(ProblemType::UnsupportedFormat, "a column cannot be written as Parquet", error)
    };
    // Metadata of fields is the source file's: its ids mean nothing here.
    let fields: Vec<FieldRef> = fields
        .iter()
        .map(|field| Arc::new(field.as_ref().clone().with_metadata(Default::default())))
        .collect();
    let schema = Arc::new(Schema::new(fields.clone()));
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.into())
        .set_compression(match options.codec {
            ParquetCodec::None => Compression::UNCOMPRESSED,
            ParquetCodec::Snappy => Compression::SNAPPY,
            ParquetCodec::Zstd => Compression::ZSTD(ZstdLevel::try_new(3).map_err(defect)?),
        })
        .set_max_row_group_row_count(Some(options.row_group_size.max(1) as usize));
    for path in without_dictionary {
        properties = properties.set_column_dictionary_enabled(path, false);
    }
    let mut properties = properties.build();
    add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
    let root = ArrowSchemaConverter::new().convert(&schema).map_err(cannot)?.root_schema_ptr();
    let output = Output { sink, failed: None };
    let mut file = SerializedFileWriter::new(output, root, Arc::new(properties)).map_err(cannot)?;
    let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&schema));
    // Writers are made once before any record is read, so that a type that cannot be written fails at once.
    factory.create_column_writers(0).map_err(cannot)?;

    let (sender, groups) = sync_channel(1);
    let rows = u64::from(options.row_group_size.max(1));
    let feeder = move || feed(batches, rows, &sender);
    Builder::new().name("willcall-rows".into()).spawn_scoped(scope, feeder).map_err(defect)?;

    let watched = Arc::clone(attempt);
    let encode = move |(number, parts): (usize, Receiver<Part>), emit: &Emit<RowGroup>| {
        emit.send(encode(&watched, &factory, &fields, number, &parts)?)
    };
    let mut records = 0;
    for group in ordered(scope, threads, 1, groups.into_iter().enumerate().map(Ok), encode)? {
        attempt.check()?;
        let group = group?;
        if group.rows == 0 {
            continue;
        }
        if file.inner().sink.is_full() {
            break;
        }
        let written = append(&mut file, group.chunks);
        written.map_err(|error| file.inner_mut().failed.take().unwrap_or_else(|| defect(error)))?;
        records += group.rows;
        attempt.control.add_written(group.rows, 0);
    }
    match file.finish() {
        Ok(_) => Ok(records),
        Err(error) => Err(file.inner_mut().failed.take().unwrap_or_else(|| defect(error))),
    }
}

struct RowGroup {
    chunks: Vec<ArrowColumnChunk>,
    rows: u64,
}

/// Cuts the batches into row groups, each a channel of its own.
fn feed(batches: impl Iterator<Item = Outcome<Columns>>, size: u64, groups: &SyncSender<Receiver<Part>>) {
    let mut open: Option<SyncSender<Part>> = None;
    let mut room = size;
    // Whoever does not take a part any more has failed, and told so.
    let mut put = |part: Part| {
        let sender = match &open {
            Some(sender) => sender,
            None => {
                let (sender, receiver) = sync_channel(WAITING);
                groups.send(receiver).ok()?;
                open.insert(sender)
            }
        };
        let ends = !matches!(part, Part::Batch(_));
        sender.send(part).ok()?;
        if ends {
            open = None;
        }
        Some(())
    };
    for batch in batches {
        let (columns, rows) = match batch {
            Ok(batch) => batch,
            Err(error) => {
                put(Part::Failed(error));
                return;
            }
        };
        let mut start = 0;
        while start < rows {
            let length = (rows - start).min(usize::try_from(room).unwrap_or(usize::MAX));
            let part = columns.iter().map(|column| column.slice(start, length)).collect();
            if put(Part::Batch((part, length))).is_none() {
                return;
            }
            start += length;
            room -= length as u64;
            if room == 0 {
                if put(Part::End).is_none() {
                    return;
                }
                room = size;
            }
        }
    }
    if room < size {
        put(Part::End);
    }
}

fn encode(
    attempt: &Attempt,
    factory: &ArrowRowGroupWriterFactory,
    fields: &[FieldRef],
    number: usize,
    parts: &Receiver<Part>,
) -> Outcome<RowGroup> {
    let mut writers = factory.create_column_writers(number).map_err(defect)?;
    let mut rows = 0;
    loop {
        attempt.check()?;
        match parts.recv() {
            Ok(Part::Batch((columns, length))) => {
                let mut writer = writers.iter_mut();
                for (field, column) in fields.iter().zip(&columns) {
                    for leaf in compute_leaves(field, column).map_err(defect)? {
                        let writer = writer.next().ok_or_else(|| defect("a leaf without a writer"))?;
                        writer.write(&leaf).map_err(defect)?;
                    }
                }
                rows += length as u64;
            }
            Ok(Part::End) => {
                let chunks = writers.into_iter().map(|writer| writer.close()).collect::<Result<_, _>>();
                return Ok(RowGroup { chunks: chunks.map_err(defect)?, rows });
            }
            Ok(Part::Failed(error)) => return Err(error),
            Err(_) => return Err(defect("a row group was not fed to its end")),
        }
    }
}

fn append(
    file: &mut SerializedFileWriter<Output<'_>>,
    chunks: Vec<ArrowColumnChunk>,
) -> parquet::errors::Result<()> {
    let mut group = file.next_row_group()?;
    for chunk in chunks {
        chunk.append_to_row_group(&mut group)?;
    }
    group.close()?;
    Ok(())
}

/// The sink as Parquet's writer sees it; keeps the error that `io::Error` cannot tell.
struct Output<'a> {
    sink: &'a mut Sink,
    failed: Option<ExecuteError>,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.sink.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("the sink takes no more"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
