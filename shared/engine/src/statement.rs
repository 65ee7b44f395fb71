//! What carrying out whole statements needs of the engine: data sets as tables, and the writing of records that
//! somebody else makes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use willcall_core::{
    catalog::{ColumnType, Dataset},
    format::OutputFormat,
    job::{ManifestFile, Stage, Truncation, TruncationReason},
    ports::{Control, DataFileEntry, DataFiles, DatasetRead, Delivered, ExecuteError, Task},
    query::Filter,
};

use crate::{
    Engine, WRITER_VERSION,
    attempt::{Attempt, StopOnDrop},
    engine::{Output, drive, file_name},
    failure::{Outcome, defect},
    formats::{TextEncoder, parquet::Columns},
    kinds::write::{self, Target},
    ordered::{Emit, ordered},
    scan::{Asked, Reading, Scan, Unit, filter_columns},
    schema::{arrow_type, column, plain_schema},
    snapshot::Snapshot,
};

/// Batches of one unit that may wait.
const BATCHES: usize = 2;

/// The files of a data set as every attempt of a job reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed(Snapshot);

impl Listed {
    /// The files.
    pub fn files(&self) -> &[DataFileEntry] {
        &self.0.files
    }
}

/// A data set as a table: some of its columns are read in the order of its records.
pub struct Table {
    dataset: Dataset,
    snapshot: Snapshot,
    files: Arc<dyn DataFiles>,
    threads: usize,
    read_memory: usize,
    schema: SchemaRef,
}

impl Table {
    /// A table over these files. Columns of types that no table has are not in it.
    pub fn new(
        dataset: Dataset,
        listed: Listed,
        files: Arc<dyn DataFiles>,
        threads: usize,
        read_memory: usize,
    ) -> Self {
        // What the catalog says of nulls was true of other files, maybe.
        let field = |(name, data_type): (&String, DataType)| Field::new(name, data_type, true);
        let columns = dataset.facts.columns.iter();
        let columns = columns.filter_map(|column| Some((&column.name, table_type(&column.data_type)?)));
        let schema = Arc::new(Schema::new(columns.map(field).collect::<Vec<_>>()));
        Self { dataset, snapshot: listed.0, files, threads, read_memory, schema }
    }

    /// The data set's name.
    pub fn name(&self) -> &str {
        &self.dataset.name
    }

    /// The columns, in the catalog's types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many records the catalog counted, where it did.
    pub fn records(&self) -> Option<u64> {
        self.dataset.facts.records
    }

    /// The size of the files.
    pub fn bytes(&self) -> u64 {
        self.snapshot.files.iter().map(|file| file.size).sum()
    }

    /// The type of a column in the domain's words.
    pub fn column_type(&self, name: &str) -> Option<&ColumnType> {
        self.dataset.column(name).map(|column| &column.data_type)
    }

    /// Hands on the records that the filter keeps, with these columns by their places, and tells first which files have any,
    /// by their places in the list. Blocks; an error of `each` ends it.
    pub fn read(
        &self,
        columns: &[usize],
        filter: Option<Filter>,
        begin: impl FnOnce(&[usize]),
        mut each: impl FnMut(RecordBatch) -> Result<(), ExecuteError>,
    ) -> Result<(), ExecuteError> {
        let attempt = Attempt::new(Arc::new(Control::default()));
        let fields: Vec<FieldRef> =
            columns.iter().map(|place| Arc::clone(&self.schema.fields()[*place])).collect();
        let mut used: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        used.extend(filter.iter().flat_map(filter_columns));
        used.sort_unstable();
        used.dedup();
        let source = (Arc::clone(&self.files), self.snapshot.clone());
        let (filtered, memory) = (filter.as_ref(), self.read_memory);
        let asked = Asked { used: &used, read: &used, filter: filtered, memory };
        let scan = Arc::new(Scan::plan(&attempt, source, &self.dataset, asked)?);
        begin(scan.read());
        let readers = if scan.is_far() { 2 * self.threads } else { self.threads };
        let reading = Reading::new(Arc::clone(&scan), attempt, filter);
        let schema = Arc::new(Schema::new(fields.clone()));
        thread::scope(|scope| {
            let units: Vec<Unit> = scan.units.clone();
            let work = move |unit: Unit, emit: &Emit<RecordBatch>| {
                let each = |columns: Vec<ArrayRef>, rows: usize| {
                    let options = RecordBatchOptions::new().with_row_count(Some(rows));
                    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options);
                    emit.send(batch.map_err(defect)?)
                };
                reading.read(&unit, &fields, None, |_| (), each)
            };
            for batch in ordered(scope, readers, BATCHES, units.into_iter().map(Ok), work)? {
                each(batch?)?;
            }
            Ok(())
        })?;
        scan.check()
    }
}

/// The type in which a column is read; none for those that no table has.
fn table_type(column_type: &ColumnType) -> Option<DataType> {
    Some(match column_type {
        ColumnType::Float { bits: 16 } => DataType::Float32,
        ColumnType::Decimal { precision, scale } if *precision > 38 => {
            DataType::Decimal256(*precision, *scale)
        }
        ColumnType::List(item) => DataType::new_list(table_type(item)?, true),
        ColumnType::Struct(columns) => {
            let field = |column: &willcall_core::catalog::Column| {
                Some(Field::new(&column.name, table_type(&column.data_type)?, true))
            };
            DataType::Struct(columns.iter().map(field).collect::<Option<Fields>>()?)
        }
        ColumnType::Map(key, value) => {
            let entries = Fields::from(vec![
                Field::new("key", table_type(key)?, false),
                Field::new("value", table_type(value)?, true),
            ]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
        }
        other => arrow_type(other)?,
    })
}

/// The same columns in the types in which results are written.
pub fn written_schema(schema: &Schema) -> Schema {
    plain_schema(schema)
}

/// What makes the records of a result, on a thread of its own.
pub trait Records: Iterator<Item = Result<RecordBatch, ExecuteError>> + Send {
    /// The columns, in the types in which results are written.
    fn schema(&self) -> SchemaRef;
}

/// How the records of a result ended: told by what makes them, with the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// All records that there are; `None` where they were not counted.
    pub found: Option<u64>,
    /// Whether there are more than were made.
    pub more: bool,
    /// How many files of each data set were looked into.
    pub files_read: Vec<u64>,
}

/// Tells how the records ended, once they have.
pub type AtEnd = Arc<dyn Fn() -> Ended + Send + Sync>;

/// An attempt as what makes its records sees it.
#[derive(Clone)]
pub struct Watched(Arc<Attempt>);

impl Watched {
    /// Whether it is to end.
    pub fn is_over(&self) -> bool {
        self.0.is_over()
    }

    /// Tells that data is read now.
    pub fn reads(&self) {
        if self.0.control.stage() == Stage::Planning {
            self.0.control.enter(Stage::Reading);
        }
    }

    /// Tells that it moves.
    pub fn beat(&self) {
        self.0.beat();
    }
}

/// How records are to be cut and written.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// How they are written.
    pub output: OutputFormat,
    /// The most records in a page.
    pub page_size: u32,
    /// What the sheets of a workbook are called.
    pub title: String,
    /// The most records that the plan delivers, where it is the plan that cuts.
    pub plan_limit: Option<u64>,
}

impl Engine {
    /// The files of these data sets as the job's first attempt found them.
    pub async fn listed(&self, task: &Task, datasets: &[Arc<Dataset>]) -> Result<Vec<Listed>, ExecuteError> {
        let lists = Snapshot::of_statement(&task.snapshot, datasets, self.files(), &task.blobs).await?;
        Ok(lists.into_iter().map(Listed).collect())
    }

    /// Writes what `begin` makes as the result of an attempt.
    pub async fn deliver<R, F>(
        &self,
        task: &Task,
        lists: &[Listed],
        wanted: Wanted,
        begin: F,
    ) -> Result<Delivered, ExecuteError>
    where
        R: Records + 'static,
        F: FnOnce(Watched) -> Result<(R, AtEnd), ExecuteError> + Send + 'static,
    {
        if task.control.is_cancelled() {
            return Err(ExecuteError::Cancelled);
        }
        let attempt = Attempt::new(Arc::clone(&task.control));
        let _stop = StopOnDrop(Arc::clone(&attempt));
        let mut output = Output::new(task);
        let threads = self.config().threads.max(1);
        let work = move |attempt: Arc<Attempt>, mut sink: crate::sink::Sink| {
            attempt.check()?;
            let (records, ended) = begin(Watched(Arc::clone(&attempt)))?;
            let fields: Vec<FieldRef> = records.schema().fields().iter().cloned().collect();
            let encoder = TextEncoder::new(&wanted.output, &fields)?;
            attempt.control.enter(Stage::Writing);
            let made = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&made);
            let told = thread::scope(|scope| {
                let target = Target {
                    attempt: &attempt,
                    threads,
                    output: &wanted.output,
                    page_size: wanted.page_size,
                    fields: &fields,
                    title: &wanted.title,
                };
                let batches = records.map(move |batch| -> Outcome<Columns> {
                    let batch = batch?;
                    counted.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                    Ok((batch.columns().to_vec(), batch.num_rows()))
                });
                match encoder {
                    Some(encoder) => write::text(scope, &target, encoder, batches, &mut sink),
                    None => write::columns(scope, &target, Vec::new(), batches, &mut sink),
                }
            })?;
            attempt.control.enter(Stage::Committing);
            let ended = ended();
            let truncated = if sink.is_full() && told.records < made.load(Ordering::Relaxed) {
                Some(Truncation { reason: TruncationReason::DailyLimit, limit: told.records })
            } else {
                wanted
                    .plan_limit
                    .filter(|_| ended.more)
                    .map(|limit| Truncation { reason: TruncationReason::PlanLimit, limit })
            };
            if let Some(found) = ended.found {
                attempt.control.set_found(found);
            }
            let written = sink.finish()?;
            Ok((told, ended, truncated, written, fields, wanted))
        };
        let run = drive(task, &attempt, &mut output, work);
        let result = tokio::select! {
            biased;
            () = task.control.cancelled() => Err(ExecuteError::Cancelled),
            error = self.watch(&attempt) => Err(error),
            result = run => result,
        };
        let (told, ended, truncated, written, fields, wanted) = match result {
            Ok(made) => made,
            Err(error) => {
                attempt.stop();
                output.abort().await;
                return Err(error);
            }
        };
        output.finish().await?;
        let file = ManifestFile {
            batch: None,
            name: file_name(task),
            media_type: wanted.output.media_type().to_owned(),
            records: told.records,
            bytes: written.bytes,
            sha256: written.sha256,
            crc32: written.crc32,
        };
        let read = |(list, files_read): (&Listed, &u64)| DatasetRead {
            version: list.0.version.clone(),
            files: list.0.files.len() as u64,
            files_read: *files_read,
        };
        Ok(Delivered {
            records: told.records,
            files: vec![file],
            pages: wanted.output.format.is_text().then_some(written.pages),
            schema: fields.iter().map(|field| column(field)).collect(),
            records_found: ended.found,
            truncated,
            non_finite_as_null: told.non_finite,
            dataset: None,
            datasets: lists.iter().zip(&ended.files_read).map(read).collect(),
            counts: None,
            writer: WRITER_VERSION.to_owned(),
        })
    }
}
