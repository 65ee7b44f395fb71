//! What a data set's files say of themselves.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use willcall_core::{
    Timestamp,
    catalog::{Column, DatasetFacts, DatasetSource},
    ports::{DatasetInspector, InspectError},
};

use crate::{
    scan::{SharedFile, load},
    schema::column,
    snapshot::{FileEntry, Snapshot},
};

/// Reads the footers of Parquet files: of one file, or of all in a directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct ParquetInspector;

#[async_trait]
impl DatasetInspector for ParquetInspector {
    async fn version(&self, source: &DatasetSource) -> Result<String, InspectError> {
        blocking(source, |location| list(&location).map(|snapshot| snapshot.version)).await
    }

    async fn inspect(&self, source: &DatasetSource) -> Result<DatasetFacts, InspectError> {
        blocking(source, |location| inspect(&location)).await
    }
}

async fn blocking<T: Send + 'static>(
    source: &DatasetSource,
    work: impl FnOnce(PathBuf) -> Result<T, InspectError> + Send + 'static,
) -> Result<T, InspectError> {
    let location = PathBuf::from(&source.location);
    let name = source.location.clone();
    let done = tokio::task::spawn_blocking(move || work(location)).await;
    done.unwrap_or_else(|error| Err(InspectError::Unreadable { location: name, source: error.into() }))
}

fn list(location: &Path) -> Result<Snapshot, InspectError> {
    let name = location.display().to_string();
    Snapshot::list(location).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => InspectError::Missing { location: name },
        _ => InspectError::Unreadable { location: name, source: error.into() },
    })
}

fn inspect(location: &Path) -> Result<DatasetFacts, InspectError> {
    let snapshot = list(location)?;
    let mut columns: Vec<Column> = Vec::new();
    let mut records = 0;
    for (number, entry) in snapshot.files.iter().enumerate() {
        let path = snapshot.path(entry);
        let (own, rows) = read(&path)
            .map_err(|source| InspectError::Unreadable { location: path.display().to_string(), source })?;
        records += rows;
        unify(&mut columns, own, number == 0)
            .map_err(|detail| InspectError::Mismatch { location: path.display().to_string(), detail })?;
    }
    let newest = snapshot.files.iter().map(|file: &FileEntry| file.modified_ns / 1_000_000).max();
    Ok(DatasetFacts {
        columns,
        records: Some(records),
        bytes: snapshot.files.iter().map(|file| file.size).sum(),
        files: snapshot.files.len() as u64,
        updated: newest.and_then(|millis| i64::try_from(millis).ok()).map(Timestamp::from_millis),
        version: snapshot.version,
    })
}

fn read(path: &Path) -> Result<(Vec<Column>, u64), willcall_core::error::Source> {
    let file = SharedFile::new(std::fs::File::open(path)?)?;
    let metadata = std::panic::catch_unwind(|| load(&file))
        .map_err(|panic| crate::ordered::panicked(&*panic).to_string())??;
    let rows = metadata.metadata().row_groups().iter().map(|group| group.num_rows());
    let rows = rows.map(|rows| u64::try_from(rows).unwrap_or(0)).sum();
    Ok((metadata.schema().fields().iter().map(|field| column(field)).collect(), rows))
}

/// Adds a file's columns to those of the files before it.
fn unify(columns: &mut Vec<Column>, own: Vec<Column>, first: bool) -> Result<(), String> {
    let mut seen = HashSet::new();
    if let Some(twice) = own.iter().find(|column| !seen.insert(column.name.as_str())) {
        return Err(format!("the column {:?} appears twice", twice.name));
    }
    if first {
        *columns = own;
        return Ok(());
    }
    for known in columns.iter_mut() {
        match own.iter().find(|column| column.name == known.name) {
            Some(column) if column.data_type != known.data_type => {
                return Err(format!(
                    "the column {:?} is {} here and {} in the files before",
                    known.name, column.data_type, known.data_type
                ));
            }
            Some(column) => known.nullable |= column.nullable,
            None if known.nullable => {}
            None => {
                return Err(format!(
                    "the column {:?} is missing, and is never null in the files before",
                    known.name
                ));
            }
        }
    }
    for column in own {
        if !columns.iter().any(|known| known.name == column.name) {
            if !column.nullable {
                return Err(format!(
                    "the column {:?} is missing in the files before, and is never null",
                    column.name
                ));
            }
            columns.push(column);
        }
    }
    Ok(())
}
