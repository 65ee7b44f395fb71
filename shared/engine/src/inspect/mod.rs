//! What a data set's files say of themselves.

mod statistics;
mod text;

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

use async_trait::async_trait;
use willcall_core::{
    catalog::{Column, DatasetFacts, DatasetSource, Statistics},
    error::Source,
    ports::{DataFileEntry, DataFiles, DataFilesError, DatasetInspector, InspectError},
};

use self::statistics::{Summaries, of_directories};
use crate::{
    ordered::{Emit, ordered, panicked},
    scan::{Blocks, OPENED_AT_ONCE, SharedFile, inferred, load, text_format},
    schema::{column, wider},
    snapshot::Snapshot,
};

/// The bytes of far files that are held while footers are read.
const FOOTERS: usize = 16 << 20;

/// Reads the footers of Parquet files, and files of text whole: of one file, or of all in a directory.
#[derive(Clone)]
pub struct ParquetInspector {
    files: Arc<dyn DataFiles>,
}

impl ParquetInspector {
    /// Inspects what `files` finds and opens.
    pub fn new(files: Arc<dyn DataFiles>) -> Self {
        Self { files }
    }

    async fn list(&self, source: &DatasetSource) -> Result<Snapshot, InspectError> {
        let location = || source.location.clone();
        self.files.list(source).await.map(Snapshot::of).map_err(|error| match error {
            DataFilesError::Missing => InspectError::Missing { location: location() },
            _ => InspectError::Unreadable { location: location(), source: error.into() },
        })
    }
}

#[async_trait]
impl DatasetInspector for ParquetInspector {
    async fn version(&self, source: &DatasetSource) -> Result<String, InspectError> {
        Ok(self.list(source).await?.version)
    }

    async fn inspect(&self, source: &DatasetSource) -> Result<DatasetFacts, InspectError> {
        let snapshot = self.list(source).await?;
        let files = Arc::clone(&self.files);
        let of = source.clone();
        let done = tokio::task::spawn_blocking(move || inspect(&*files, &of, snapshot)).await;
        let location = source.location.clone();
        done.unwrap_or_else(|error| Err(InspectError::Unreadable { location, source: error.into() }))
    }
}

fn inspect(
    files: &dyn DataFiles,
    source: &DatasetSource,
    snapshot: Snapshot,
) -> Result<DatasetFacts, InspectError> {
    let mismatch = |detail| InspectError::Mismatch { location: source.location.clone(), detail };
    let (columns, rows, summaries) =
        match text_format(snapshot.files.iter().map(|file| file.name.as_str())).map_err(mismatch)? {
            Some(_) => {
                let (columns, rows) = text::inspect(files, source.columns.as_deref(), &snapshot)?;
                (columns, rows, None)
            }
            None if source.columns.is_some() => {
                return Err(mismatch(
                    "columns are declared, and its files are Parquet, which has its own".into(),
                ));
            }
            None => {
                let (columns, rows, summaries) = parquet(files, &snapshot)?;
                (columns, rows, Some(summaries))
            }
        };
    let columns = with_partitions(columns, source, &snapshot).map_err(mismatch)?;
    let records = rows.iter().fold(0_u64, |all, rows| all.saturating_add(*rows));
    let told = of_directories(&columns, &snapshot.files, &rows).map_err(mismatch)?;
    let mut statistics = match summaries {
        Some(summaries) => summaries.told(&columns, records),
        None => Statistics::default(),
    };
    // Where the files have such a column too, the directories are believed.
    statistics.columns.extend(told);
    Ok(DatasetFacts {
        columns,
        records: Some(records),
        bytes: snapshot.files.iter().map(|file| file.size).sum(),
        files: snapshot.files.len() as u64,
        updated: snapshot.files.iter().map(|file| file.modified).max(),
        version: snapshot.version,
        statistics: Some(statistics),
    })
}

/// The columns with those that directories tell behind them; where the files have such a column too, the directories
/// are believed. Declared ones stay where they are.
fn with_partitions(
    mut columns: Vec<Column>,
    source: &DatasetSource,
    snapshot: &Snapshot,
) -> Result<Vec<Column>, String> {
    let declared = source.columns.as_deref().unwrap_or_default();
    let told = inferred(&snapshot.files, declared)?;
    columns.retain(|own| !told.iter().any(|column| column.name == own.name));
    columns.extend(told);
    if !declared.is_empty() {
        columns.sort_by_key(|column| {
            declared.iter().position(|own| own.name == column.name).unwrap_or(declared.len())
        });
    }
    Ok(columns)
}

fn unreadable(entry: &DataFileEntry, source: impl Into<Source>) -> InspectError {
    InspectError::Unreadable { location: entry.location.clone(), source: source.into() }
}

/// The columns, the records of each file, and what is known of the values.
fn parquet(
    files: &dyn DataFiles,
    snapshot: &Snapshot,
) -> Result<(Vec<Column>, Vec<u64>, Summaries), InspectError> {
    let (mut columns, mut first): (Vec<Column>, Vec<usize>) = Default::default();
    let (mut records, mut summaries) = (Vec::with_capacity(snapshot.files.len()), Summaries::default());
    let blocks = Arc::new(Blocks::new(FOOTERS));
    thread::scope(|scope| {
        // A file that cannot be read is an outcome, so that its place in the order is known.
        let work = |entry: &DataFileEntry, emit: &Emit<_>| emit.send(read(files, entry, &blocks));
        let jobs = snapshot.files.iter().map(Ok);
        let footers = ordered(scope, OPENED_AT_ONCE.min(snapshot.files.len()), 1, jobs, work);
        let mut footers = footers.map_err(|error| unreadable(&snapshot.files[0], error))?;
        for (number, entry) in snapshot.files.iter().enumerate() {
            let footer = footers.next().ok_or("the file was not read");
            let footer = footer.map_err(|error| unreadable(entry, error))?;
            let (own, rows, summary) = footer
                .map_err(Source::from)
                .and_then(|footer| footer)
                .map_err(|error| unreadable(entry, error))?;
            records.push(rows);
            summaries.add(summary);
            unify(&mut columns, &mut first, own, number, &snapshot.files)
                .map_err(|detail| InspectError::Mismatch { location: entry.location.clone(), detail })?;
        }
        Ok(())
    })?;
    Ok((columns, records, summaries))
}

fn read(
    files: &dyn DataFiles,
    entry: &DataFileEntry,
    blocks: &Arc<Blocks>,
) -> Result<(Vec<Column>, u64, Summaries), Source> {
    let file = SharedFile::new(entry, files.open(entry)?, blocks);
    let loaded = catch_unwind(AssertUnwindSafe(|| load(&file)));
    let metadata = loaded.map_err(|panic| panicked(&*panic).to_string())?;
    let metadata = metadata.map_err(|error| match file.failed() {
        Some(failed) => Source::from(Arc::clone(failed)),
        None => error.into(),
    })?;
    let rows = metadata.metadata().row_groups().iter().map(|group| group.num_rows());
    let rows = rows.fold(0_u64, |all, rows| all.saturating_add(u64::try_from(rows).unwrap_or(0)));
    let summarise = || Summaries::of_file(metadata.schema(), metadata.metadata());
    let summaries = catch_unwind(AssertUnwindSafe(summarise));
    let summaries = summaries.map_err(|panic| panicked(&*panic).to_string())?;
    Ok((metadata.schema().fields().iter().map(|field| column(field)).collect(), rows, summaries))
}

/// Adds a file's columns to those of the files before it: what one file lacks is null there, and numbers that grew have
/// the wider type. `first` has the file from which each column has its type.
fn unify(
    columns: &mut Vec<Column>,
    first: &mut Vec<usize>,
    own: Vec<Column>,
    number: usize,
    files: &[DataFileEntry],
) -> Result<(), String> {
    let mut seen = HashSet::new();
    if let Some(twice) = own.iter().find(|column| !seen.insert(column.name.as_str())) {
        return Err(format!("the column {:?} appears twice", twice.name));
    }
    for (known, first) in columns.iter_mut().zip(first.iter_mut()) {
        let Some(column) = own.iter().find(|column| column.name == known.name) else {
            known.nullable = true;
            continue;
        };
        known.nullable |= column.nullable;
        let Some(both) = wider(&known.data_type, &column.data_type) else {
            return Err(format!(
                "the column {:?} is {} here and {} in {}",
                known.name, column.data_type, known.data_type, files[*first].name
            ));
        };
        if both != known.data_type {
            (known.data_type, *first) = (both, number);
        }
    }
    for column in own {
        if !columns.iter().any(|known| known.name == column.name) {
            columns.push(Column { nullable: column.nullable || number > 0, ..column });
            first.push(number);
        }
    }
    Ok(())
}
