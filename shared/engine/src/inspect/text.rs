//! Files of text say of themselves no more than the names of their columns: each is read whole, once a version, to
//! count its records, to infer types where none are declared, and to find what cannot be read before a job does.

use std::{sync::Arc, thread};

use willcall_core::{
    catalog::{Column, Partition},
    ports::{DataFileEntry, DataFiles, DataFilesError, InspectError},
};

use super::unreadable;
use crate::{
    ordered::{Emit, ordered},
    read::{Columns, Inference, Row},
    scan::{TextError, TextFile},
    schema::column,
    snapshot::Snapshot,
};

/// What was found in one file.
struct Found {
    columns: Columns,
    types: Inference,
    rows: u64,
    /// Whether the file has all its columns for each row.
    is_csv: bool,
}

/// The columns, those declared or those inferred from all rows, and how many rows each file has.
pub(super) fn inspect(
    files: &dyn DataFiles,
    declared: Option<&[Column]>,
    snapshot: &Snapshot,
) -> Result<(Vec<Column>, Vec<u64>), InspectError> {
    // What directories tell is no matter of the files'.
    let told = snapshot.files.first().and_then(|file| Partition::of_file(&file.name)).unwrap_or_default();
    let of_files = |column: &&Column| !told.iter().any(|one| one.column == column.name);
    let threads = thread::available_parallelism().map_or(2, usize::from).min(snapshot.files.len());
    let (mut columns, mut types, mut is_csv) = (Columns::default(), None, false);
    let mut rows = Vec::with_capacity(snapshot.files.len());
    thread::scope(|scope| {
        // A file that cannot be read is an outcome, so that its place in the order is known.
        let work = |entry: &DataFileEntry, emit: &Emit<_>| emit.send(read(files, entry, declared.is_none()));
        let found = ordered(scope, threads, 1, snapshot.files.iter().map(Ok), work);
        let mut found = found.map_err(|error| unreadable(&snapshot.files[0], error))?;
        for entry in &snapshot.files {
            let found = found.next().ok_or("the file was not read");
            let found = found.map_err(|error| unreadable(entry, error))?;
            let found = found.map_err(|error| unreadable(entry, error))?.map_err(|error| match error {
                TextError::Read(error) => unreadable(entry, error),
                TextError::Malformed(detail) => mismatch(entry, detail),
            })?;
            if let Some(missing) = missing(declared.unwrap_or_default().iter().filter(of_files), &found) {
                return Err(mismatch(
                    entry,
                    format!("there is no column {missing:?}, and it must have values"),
                ));
            }
            rows.push(found.rows);
            is_csv = found.is_csv;
            let types = types.get_or_insert_with(|| found.types.empty());
            types.add(&mut columns, &found.types, &found.columns);
        }
        Ok(())
    })?;
    if let Some(declared) = declared {
        // Objects leave members out that are null; a header does not.
        let lacking = declared.iter().filter(of_files).find(|column| columns.place(&column.name).is_none());
        if let Some(missing) = lacking.filter(|_| is_csv) {
            let detail = format!("no file has the column {:?} that is declared", missing.name);
            return Err(mismatch(&snapshot.files[0], detail));
        }
        return Ok((declared.to_vec(), rows));
    }
    let schema = types.map(|types| types.schema(&columns));
    let columns: Vec<Column> =
        schema.iter().flat_map(|schema| schema.fields()).map(|field| column(field)).collect();
    if columns.is_empty() && told.is_empty() {
        let detail = "there is no row to infer columns from: declare them".to_owned();
        return Err(mismatch(&snapshot.files[0], detail));
    }
    Ok((columns, rows))
}

fn mismatch(entry: &DataFileEntry, detail: String) -> InspectError {
    InspectError::Mismatch { location: entry.location.clone(), detail }
}

fn read(files: &dyn DataFiles, entry: &DataFileEntry, infer: bool) -> Result<Found, TextError> {
    let failed = |error: DataFilesError| TextError::Read(Arc::new(error));
    let file = TextFile::new(entry, files.open(entry).map_err(failed)?);
    let mut rows = file.rows()?;
    let is_json = rows.reader.recognised().format.is_json();
    let (mut types, mut row) = (Inference::new(is_json), Row::default());
    while rows.next(&mut row)? {
        if infer {
            types.observe(&row);
        }
    }
    file.file.check().map_err(failed)?;
    let (columns, rows) = (rows.reader.columns().clone(), rows.reader.rows());
    Ok(Found { columns, types, rows, is_csv: !is_json })
}

/// A declared column that must have values, and of which the file has none.
fn missing<'a>(mut declared: impl Iterator<Item = &'a Column>, found: &Found) -> Option<&'a str> {
    let lacks = |column: &&Column| !column.nullable && found.columns.place(&column.name).is_none();
    let has_rows = found.is_csv || found.rows > 0;
    declared.find(lacks).filter(|_| has_rows).map(|column| column.name.as_str())
}
