//! A unit: a range of one row group's records, selected by the filter and decoded batch by batch.

use std::{sync::Arc, time::Instant};

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{ArrowError, FieldRef};
use arrow_select::filter::filter_record_batch;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
        },
    },
    errors::ParquetError,
};
use willcall_core::query::Filter;

use super::{Kept, OpenFile, Scan, TextFile, pages, partition::Constants, plan};
use crate::{
    adapt::adapt,
    attempt::Attempt,
    failure::{Outcome, defect},
    filter,
    ordered::panicked,
};

/// A range of one row group's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) file: usize,
    pub(crate) row_group: usize,
    /// The first record, counted from the row group's first.
    pub(crate) start: u64,
    pub(crate) rows: u64,
    pub(crate) batch_rows: usize,
    /// What the filter keeps of it, as far as its row group's statistics tell.
    pub(crate) kept: Kept,
}

impl Unit {
    /// Where it stands in the order of the data set.
    fn place(&self) -> (usize, usize, u64) {
        (self.file, self.row_group, self.start)
    }
}

/// How many records the filter keeps of what was read of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Matched {
    pub(crate) records: u64,
    /// Of a file of text that was not read to its end, as the time for it was over: how many bytes of it were.
    pub(crate) left_at: Option<u64>,
}

impl Matched {
    /// In a whole unit.
    pub(crate) fn whole(records: u64) -> Self {
        Self { records, left_at: None }
    }
}

/// What is read of each unit.
pub(crate) struct Reading {
    pub(crate) scan: Arc<Scan>,
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) filter: Option<Filter>,
    filter_columns: Vec<String>,
}

impl Reading {
    pub(crate) fn new(scan: Arc<Scan>, attempt: Arc<Attempt>, filter: Option<Filter>) -> Self {
        let filter_columns = filter.iter().flat_map(super::filter_columns).map(str::to_owned).collect();
        Self { scan, attempt, filter, filter_columns }
    }

    /// Whether the job reads on after the unit: it does unless it was cut to offset and limit.
    fn goes_on(&self, unit: &Unit) -> bool {
        self.scan
            .units
            .binary_search_by_key(&unit.place(), Unit::place)
            .is_ok_and(|whole| self.scan.units[whole] == *unit)
    }

    /// How many records of the unit the filter keeps, reading the filter's columns alone. Text is read no further after
    /// `until`.
    pub(crate) fn count(&self, unit: &Unit, until: Option<Instant>) -> Outcome<Matched> {
        if let Some(text) = self.scan.text(unit.file)? {
            return self.read_text(&text, unit, &[], until, |_, _| Ok(()));
        }
        let records = match (&self.filter, unit.kept) {
            (None, _) | (_, Kept::All) => unit.rows,
            (_, Kept::None) => 0,
            (Some(filter), Kept::Some) => self.select(&*self.scan.file(unit.file)?, unit, filter)?.0,
        };
        Ok(Matched::whole(records))
    }

    /// Hands on the unit's records that the filter keeps, with the columns in the order of `fields`; text is read no
    /// further after `until`. `counted` is told how many there are as soon as that is known: of Parquet before any is handed
    /// on, of text behind the last.
    pub(crate) fn read(
        &self,
        unit: &Unit,
        fields: &[FieldRef],
        until: Option<Instant>,
        counted: impl FnOnce(Matched),
        mut each: impl FnMut(Vec<ArrayRef>, usize) -> Outcome<()>,
    ) -> Outcome<()> {
        if let Some(text) = self.scan.text(unit.file)? {
            counted(self.read_text(&text, unit, fields, until, each)?);
            return Ok(());
        }
        if self.filter.is_some() && unit.kept == Kept::None {
            counted(Matched::whole(0));
            return Ok(());
        }
        let file = self.scan.file(unit.file)?;
        let (count, selection) = match self.filter.as_ref().filter(|_| unit.kept == Kept::Some) {
            Some(filter) => {
                let (count, selection) = self.select(&file, unit, filter)?;
                counted(Matched::whole(count));
                if count == 0 {
                    return Ok(());
                }
                (count, selection)
            }
            None => {
                counted(Matched::whole(unit.rows));
                (unit.rows, whole(unit))
            }
        };
        // Where few records fit, it is not known whether the next units have any.
        let on = count >= unit.rows / 4 && self.goes_on(unit);
        self.batches(&file, unit, fields, selection, on, &mut each)?;
        file.check()
    }

    /// Hands on the unit's records that `keeps` tells, which looks at the columns of `by` alone, with the columns of
    /// `fields`. Answers how many there were.
    pub(crate) fn read_kept(
        &self,
        unit: &Unit,
        by: &[FieldRef],
        mut keeps: impl FnMut(&[ArrayRef], usize) -> Outcome<BooleanArray>,
        fields: &[FieldRef],
        mut each: impl FnMut(Vec<ArrayRef>, usize) -> Outcome<()>,
    ) -> Outcome<u64> {
        let file = self.scan.file(unit.file)?;
        let mut masks = vec![];
        if unit.start > 0 {
            masks.push(BooleanArray::from(vec![false; unit.start as usize]));
        }
        let mut count = 0;
        self.batches(&file, unit, by, whole(unit), self.goes_on(unit), |columns, rows| {
            let mask = keeps(&columns, rows)?;
            count += mask.true_count() as u64;
            masks.push(mask);
            Ok(())
        })?;
        if count > 0 {
            let on = count >= unit.rows / 4 && self.goes_on(unit);
            self.batches(&file, unit, fields, RowSelection::from_filters(&masks), on, &mut each)?;
        }
        file.check()?;
        Ok(count)
    }

    /// Hands on the selected records batch by batch.
    fn batches(
        &self,
        file: &OpenFile,
        unit: &Unit,
        fields: &[FieldRef],
        selection: RowSelection,
        on: bool,
        mut each: impl FnMut(Vec<ArrayRef>, usize) -> Outcome<()>,
    ) -> Outcome<()> {
        let columns = fields.iter().map(|field| field.name().as_str());
        for batch in reader(file, unit, columns, selection, on)? {
            self.attempt.check()?;
            let batch = batch.map_err(|error| file.failure(error))?;
            let columns = in_types(file, &batch, fields)?;
            each(columns, batch.num_rows())?;
        }
        Ok(())
    }

    /// The same of a file of text, which is read from its start on: the filter looks at each batch.
    fn read_text(
        &self,
        text: &TextFile,
        unit: &Unit,
        fields: &[FieldRef],
        until: Option<Instant>,
        mut each: impl FnMut(Vec<ArrayRef>, usize) -> Outcome<()>,
    ) -> Outcome<Matched> {
        let mut all = fields.to_vec();
        for name in &self.filter_columns {
            if !fields.iter().any(|field| field.name() == name) {
                all.push(Arc::clone(self.scan.field(name)?));
            }
        }
        let mut records = 0;
        let left_at = text.read(&self.attempt, &all, unit.batch_rows, until, |batch| {
            let batch = match &self.filter {
                Some(filter) => {
                    let mask = self.mask(&text.entry.name, &text.constants, filter, &batch)?;
                    filter_record_batch(&batch, &mask).map_err(defect)?
                }
                None => batch,
            };
            records += batch.num_rows() as u64;
            match batch.num_rows() {
                0 => Ok(()),
                rows => each(batch.columns()[..fields.len()].to_vec(), rows),
            }
        })?;
        Ok(Matched { records, left_at })
    }

    /// The records of the unit that the filter keeps, as a selection within its row group.
    fn select(&self, file: &OpenFile, unit: &Unit, filter: &Filter) -> Outcome<(u64, RowSelection)> {
        let columns = self.filter_columns.iter().map(String::as_str);
        let mut masks = vec![];
        if unit.start > 0 {
            masks.push(BooleanArray::from(vec![false; unit.start as usize]));
        }
        let mut count = 0;
        for batch in reader(file, unit, columns, whole(unit), self.goes_on(unit))? {
            self.attempt.check()?;
            let batch = batch.map_err(|error| file.failure(error))?;
            let mask = self.mask(&file.entry.name, &file.constants, filter, &batch)?;
            count += mask.true_count() as u64;
            masks.push(mask);
        }
        file.check()?;
        Ok((count, RowSelection::from_filters(&masks)))
    }

    fn mask(
        &self,
        file: &str,
        constants: &Constants,
        filter: &Filter,
        batch: &RecordBatch,
    ) -> Outcome<BooleanArray> {
        let column = |name: &str| {
            let field = self.scan.field(name).map_err(|_| format!("there is no column {name:?}"))?;
            if let Some(told) = constants.column(name, batch.num_rows()) {
                return Ok(told);
            }
            adapt(batch.column_by_name(name), field.data_type(), batch.num_rows())
                .map_err(|error| error.to_string())
        };
        let mask = filter::evaluate(filter, batch.num_rows(), &column)
            .map_err(|error| defect(format!("{file}: the filter cannot be evaluated: {error}")))?;
        Ok(filter::is_true(&mask))
    }
}

/// Hands on all records of a file of anybody ([`OpenFile::of_anybody`]) in order, batch by batch, with the columns of `fields`. No
/// batch has more than fits into memory, however small the file is that it comes from.
pub(crate) fn read_all(
    attempt: &Attempt,
    file: &OpenFile,
    fields: &[FieldRef],
    mut each: impl FnMut(Vec<ArrayRef>, usize) -> Outcome<()>,
) -> Outcome<()> {
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let most = pages::most_rows(file, &|| attempt.check())?;
    for mut unit in super::cut(0, file, &names, |_| Kept::All) {
        let most = most.get(unit.row_group).map_or(1, |most| usize::try_from(*most).unwrap_or(1));
        unit.batch_rows = unit.batch_rows.min(most);
        for batch in reader(file, &unit, names.iter().copied(), whole(&unit), true)? {
            attempt.check()?;
            let batch = batch.map_err(|error| file.failure(error))?;
            let columns = in_types(file, &batch, fields)?;
            each(columns, batch.num_rows())?;
        }
    }
    file.check()
}

/// The batch's columns in the order and the types of `fields`.
fn in_types(file: &OpenFile, batch: &RecordBatch, fields: &[FieldRef]) -> Outcome<Vec<ArrayRef>> {
    let rows = batch.num_rows();
    let column = |field: &FieldRef| match file.constants.column(field.name(), rows) {
        Some(told) => Ok(told),
        None => adapt(batch.column_by_name(field.name()), field.data_type(), rows),
    };
    fields.iter().map(column).collect::<Result<_, _>>().map_err(|error| file.failure(error))
}

/// All records of the unit.
fn whole(unit: &Unit) -> RowSelection {
    let mut selectors = Vec::new();
    if unit.start > 0 {
        selectors.push(RowSelector::skip(unit.start as usize));
    }
    selectors.push(RowSelector::select(unit.rows as usize));
    RowSelection::from(selectors)
}

fn reader<'a>(
    file: &OpenFile,
    unit: &Unit,
    columns: impl Iterator<Item = &'a str>,
    selection: RowSelection,
    on: bool,
) -> Outcome<Guarded> {
    let schema = file.schema();
    let roots: Vec<usize> = columns.filter_map(|name| schema.index_of(name).ok()).collect();
    guard(file, || plan::fetch(file, unit, &roots, on))?;
    let mask = ProjectionMask::roots(file.parquet().file_metadata().schema_descr(), roots);
    let builder =
        ParquetRecordBatchReaderBuilder::new_with_metadata(file.reader.clone(), file.metadata.clone())
            .with_projection(mask)
            .with_row_groups(vec![unit.row_group])
            .with_batch_size(unit.batch_rows)
            .with_row_selection(selection);
    let reader = guard(file, || builder.build())?;
    Ok(Guarded { reader, file: file.entry.name.clone(), ended: false })
}

/// A reader whose panics are errors: the decoder does not withstand every damaged file.
struct Guarded {
    reader: ParquetRecordBatchReader,
    file: String,
    ended: bool,
}

impl Iterator for Guarded {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.reader.next()));
        let next = next.unwrap_or_else(|panic| {
            let error = format!("{}: {}", self.file, panicked(&*panic));
            Some(Err(ArrowError::ParquetError(error)))
        });
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

pub(super) fn guard<T>(file: &OpenFile, work: impl FnOnce() -> parquet::errors::Result<T>) -> Outcome<T> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| file.failure(error)),
        Err(panic) => Err(file.failure(ParquetError::General(panicked(&*panic).to_string()))),
    }
}
