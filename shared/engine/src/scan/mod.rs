//! Reading a data set: its files' columns brought together, and its records cut into numbered units.

mod bounds;
mod far;
mod file;
mod header;
mod inflate;
mod levels;
mod outcomes;
mod pages;
mod partition;
mod plan;
mod survey;
mod text;
mod unit;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
};

use arrow_schema::{Field, FieldRef};
use parquet::{
    basic::{Encoding, EncodingMask},
    schema::types::ColumnPath,
};
use willcall_core::{
    catalog::Dataset,
    job::ProblemType,
    ports::{DataFileEntry, DataFiles},
    query::Filter,
};

use self::survey::RowGroup;
pub(crate) use self::{
    bounds::{Bounds, ColumnBounds},
    far::Blocks,
    file::{OpenFile, SharedFile, load},
    outcomes::Kept,
    partition::{Partitions, inferred},
    text::{TextError, TextFile, text_format},
    unit::{Matched, Reading, Unit, read_all},
};
use crate::{
    attempt::Attempt,
    failure::{Outcome, defect, fatal},
    ordered::{Emit, ordered},
    schema::{arrow_fields, arrow_type, column_type, plain_field, wider},
    snapshot::{Snapshot, open as open_file},
};

/// Files whose footers are kept; of more, each is read again when its turn comes.
const KEPT_OPEN: usize = 32;

/// Files whose footers are read at the same time: of far files, each takes a trip.
pub(crate) const OPENED_AT_ONCE: usize = 8;

/// The decoded bytes that a unit should have: small enough to hold its text whole, large enough to be worth a
/// reader of its own.
const UNIT_BYTES: u64 = 8 << 20;

/// The most records of a unit.
const UNIT_ROWS: u64 = 64 << 10;

/// The most records of a unit that must not be cut small: its selection, which a filter makes, is held whole.
const WHOLE_ROWS: u64 = 1 << 20;

/// The decoded bytes that a batch should have.
const BATCH_BYTES: u64 = 2 << 20;

/// The most records of a batch.
const BATCH_ROWS: u64 = 8192;

/// What a job asks of a data set.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The columns that it uses, each once.
    pub(crate) used: &'a [&'a str],
    /// Those of them that are read of each record that the filter keeps, sorted.
    pub(crate) read: &'a [&'a str],
    pub(crate) filter: Option<&'a Filter>,
    /// The bytes of far files that it may hold.
    pub(crate) memory: usize,
}

/// A data set as one job reads it.
pub(crate) struct Scan {
    pub(crate) snapshot: Snapshot,
    /// All columns, in plain types.
    pub(crate) fields: Vec<FieldRef>,
    /// All records, in the order of the data set.
    pub(crate) units: Vec<Unit>,
    /// Whether the files are text: each is one unit, whose records nobody has counted.
    is_text: bool,
    records: Option<u64>,
    /// Of Parquet, all row groups with records of the files that are read.
    groups: Vec<RowGroup>,
    partitions: Partitions,
    /// The files that the filter did not rule out by their directories.
    read: Vec<usize>,
    files: Arc<dyn DataFiles>,
    blocks: Arc<Blocks>,
    far: bool,
    open: Vec<Mutex<Weak<OpenFile>>>,
    kept: Vec<Arc<OpenFile>>,
}

impl Scan {
    /// Finds out how the data set's files are read, for a job that was accepted for `dataset`.
    /// Files of which the filter keeps nothing, as their directories tell, are not looked into.
    pub(crate) fn plan(
        attempt: &Attempt,
        source: (Arc<dyn DataFiles>, Snapshot),
        dataset: &Dataset,
        asked: Asked<'_>,
    ) -> Outcome<Self> {
        let filter = asked.filter;
        let wrong = |detail: String| fatal(ProblemType::EngineFailed, detail);
        let partitions = Partitions::of_dataset(&source.1.files, dataset).map_err(wrong)?;
        let kept = |file: &usize| filter.is_none_or(|filter| partitions.file(*file).may_match(filter));
        let kept: Vec<usize> = (0..source.1.files.len()).filter(kept).collect();
        let names = source.1.files.iter().map(|file| file.name.as_str());
        match text_format(names).map_err(wrong)? {
            None => Self::of_parquet(attempt, source, dataset, asked, (partitions, kept)),
            Some(_) => Self::of_text(source, dataset, (partitions, kept), asked.memory),
        }
    }

    /// Takes each file as it is: what is in it was found out when the catalog was loaded.
    fn of_text(
        (files, snapshot): (Arc<dyn DataFiles>, Snapshot),
        dataset: &Dataset,
        (partitions, kept): (Partitions, Vec<usize>),
        read_memory: usize,
    ) -> Outcome<Self> {
        let fields = arrow_fields(&dataset.facts.columns).map_err(defect)?;
        let (batch_rows, kept_of) = (BATCH_ROWS as usize, Kept::Some);
        let unit = |file| Unit { file, row_group: 0, start: 0, rows: 0, batch_rows, kept: kept_of };
        let units = kept.iter().copied().map(unit).collect();
        let far = snapshot.files.first().map(|entry| open_file(&*files, entry)).transpose()?;
        // Counted with these very files, or not at all.
        let records = dataset.facts.records.filter(|_| dataset.facts.version == snapshot.version);
        Ok(Self {
            snapshot,
            fields,
            units,
            is_text: true,
            records,
            groups: Vec::new(),
            partitions,
            read: kept.clone(),
            files,
            blocks: Arc::new(Blocks::new(read_memory)),
            far: far.is_some_and(|file| file.is_far()),
            open: Vec::new(),
            kept: Vec::new(),
        })
    }

    /// Reads the footers, and checks the columns in use against what the job was accepted for.
    fn of_parquet(
        attempt: &Attempt,
        (files, snapshot): (Arc<dyn DataFiles>, Snapshot),
        dataset: &Dataset,
        asked: Asked<'_>,
        (partitions, kept): (Partitions, Vec<usize>),
    ) -> Outcome<Self> {
        let used = asked.used;
        let count = snapshot.files.len();
        let empty = || Mutex::new(Weak::new());
        let mut scan = Self {
            snapshot,
            fields: Vec::new(),
            units: Vec::new(),
            is_text: false,
            records: None,
            groups: Vec::new(),
            partitions,
            read: kept.clone(),
            files,
            blocks: Arc::new(Blocks::new(asked.memory)),
            far: false,
            open: (0..count).map(|_| empty()).collect(),
            kept: Vec::new(),
        };
        let keep = kept.len() <= KEPT_OPEN;
        scan.footers(attempt, &kept, |scan, index, file| {
            let groups = survey::row_groups(index, &file, dataset, asked);
            scan.units.extend(cut(index, &file, used, |group| groups[group].kept));
            scan.groups.extend(groups);
            scan.open[index] = Mutex::new(Arc::downgrade(&file));
            if keep {
                scan.kept.push(file);
            }
        })?;
        let told = scan.partitions.fields.clone();
        scan.fields.extend(told);
        let there: HashSet<&str> = scan.fields.iter().map(|field| field.name().as_str()).collect();
        if !used.iter().all(|name| there.contains(name)) {
            // Files that the filter rules out may be those that have it.
            let rest: Vec<usize> = (0..count).filter(|index| kept.binary_search(index).is_err()).collect();
            scan.footers(attempt, &rest, |_, _, _| {})?;
        }
        for name in used {
            scan.settle(name, dataset)?;
        }
        scan.records = Some(scan.units.iter().map(|unit| unit.rows).sum());
        Ok(scan)
    }

    /// Reads the footers of these files, and brings their columns together.
    fn footers(
        &mut self,
        attempt: &Attempt,
        which: &[usize],
        mut each: impl FnMut(&mut Self, usize, Arc<OpenFile>),
    ) -> Outcome<()> {
        let (files, blocks) = (Arc::clone(&self.files), Arc::clone(&self.blocks));
        let jobs: Vec<_> = which
            .iter()
            .map(|index| (self.snapshot.files[*index].clone(), self.partitions.file(*index)))
            .collect();
        thread::scope(|scope| {
            let work = |(entry, constants): (DataFileEntry, _), emit: &Emit<Arc<OpenFile>>| {
                attempt.check()?;
                let file = OpenFile::new(&entry, open_file(&*files, &entry)?, &blocks, constants)?;
                // What its footer tells may be all that is ever read of it.
                file.check()?;
                emit.send(Arc::new(file))
            };
            let threads = OPENED_AT_ONCE.min(which.len());
            for (index, file) in which.iter().zip(ordered(scope, threads, 1, jobs.into_iter().map(Ok), work)?)
            {
                attempt.check()?;
                let file = file?;
                self.far |= file.reader.far().is_some();
                unify(&mut self.fields, &file)?;
                each(self, *index, file);
            }
            Ok(())
        })
    }

    /// Gives a column in use the type that the job was accepted with, if the files still have it: those that are read may
    /// all have a narrower one.
    fn settle(&mut self, name: &str, dataset: &Dataset) -> Outcome<()> {
        let accepted = dataset.column(name).map(|column| &column.data_type);
        let field = self.fields.iter_mut().find(|field| field.name() == name);
        if let (Some(accepted), Some(field)) = (accepted, field) {
            let now = column_type(field.data_type());
            if now == *accepted {
                return Ok(());
            }
            if wider(&now, accepted).as_ref() == Some(accepted)
                && let Some(data_type) = arrow_type(accepted)
            {
                *field = Arc::new(Field::clone(field).with_data_type(data_type));
                return Ok(());
            }
        }
        Err(fatal(
            ProblemType::Conflict,
            format!("the data set changed since the job was accepted: its column {name:?} is not the same"),
        ))
    }

    /// Whether reading takes trips to somewhere else, during which a thread has nothing to do.
    pub(crate) fn is_far(&self) -> bool {
        self.far
    }

    /// All records of the data set, where that is known without reading them.
    pub(crate) fn records(&self) -> Option<u64> {
        self.records
    }

    /// How many files the filter did not rule out by their directories.
    pub(crate) fn files_read(&self) -> u64 {
        self.read.len() as u64
    }

    /// Which those are, by their places in the list.
    pub(crate) fn read(&self) -> &[usize] {
        &self.read
    }

    /// What a unit has of the data set: its records, or of text, where those are not known, its bytes.
    pub(crate) fn weight(&self, unit: &Unit) -> u64 {
        if self.is_text { self.snapshot.files[unit.file].size } else { unit.rows }
    }

    /// Whether files are not opened again for each of their units.
    pub(crate) fn holds_files_open(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Whether it is known how many records each unit has.
    pub(crate) fn is_counted(&self) -> bool {
        !self.is_text
    }

    /// The file of that number, to be read as text, where the files are text.
    fn text(&self, index: usize) -> Outcome<Option<TextFile>> {
        if !self.is_text {
            return Ok(None);
        }
        let entry = &self.snapshot.files[index];
        let file = open_file(&*self.files, entry)?;
        let constants = self.partitions.file(index);
        Ok(Some(TextFile { entry: entry.clone(), file, window: self.blocks.share(), constants }))
    }

    /// The column of that name.
    pub(crate) fn field(&self, name: &str) -> Outcome<&FieldRef> {
        self.fields.iter().find(|field| field.name() == name).ok_or_else(|| {
            fatal(ProblemType::Internal, format!("the column {name:?} was not checked before it was read"))
        })
    }

    /// The file of that number, opened again if it is not open.
    pub(crate) fn file(&self, index: usize) -> Outcome<Arc<OpenFile>> {
        let mut held = self.open[index].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = held.upgrade() {
            return Ok(file);
        }
        let entry = &self.snapshot.files[index];
        let constants = self.partitions.file(index);
        let file = Arc::new(OpenFile::new(entry, open_file(&*self.files, entry)?, &self.blocks, constants)?);
        *held = Arc::downgrade(&file);
        Ok(file)
    }

    /// Columns that the data set's own files did not get smaller by a dictionary, by their paths in Parquet: a hint
    /// for writing them, since looking for repetitions costs the most there.
    pub(crate) fn without_dictionary(&self) -> Vec<ColumnPath> {
        let mut sizes: BTreeMap<String, (ColumnPath, i64, i64)> = BTreeMap::new();
        for column in self.kept.iter().flat_map(|file| file.parquet().row_groups()).flat_map(|g| g.columns())
        {
            let all = column.compressed_size();
            let is_dictionary = |mask: &EncodingMask| {
                mask.is_only(Encoding::RLE_DICTIONARY) || mask.is_only(Encoding::PLAIN_DICTIONARY)
            };
            let given_up = column.page_encoding_stats_mask().is_some_and(|mask| !is_dictionary(mask));
            let dictionary = match column.dictionary_page_offset() {
                Some(start) if !given_up => column.data_page_offset().saturating_sub(start),
                _ => all,
            };
            let path = column.column_path();
            let entry = sizes.entry(path.string()).or_insert_with(|| (path.clone(), 0, 0));
            entry.1 = entry.1.saturating_add(dictionary);
            entry.2 = entry.2.saturating_add(all);
        }
        let useless =
            |(path, dictionary, all): (ColumnPath, i64, i64)| (dictionary > all / 2).then_some(path);
        sizes.into_values().filter_map(useless).collect()
    }

    /// Fails unless the files kept open are still what they were.
    pub(crate) fn check(&self) -> Outcome<()> {
        self.kept.iter().try_for_each(|file| file.check())
    }
}

/// Adds a file's columns to those of the files before it.
fn unify(fields: &mut Vec<FieldRef>, file: &OpenFile) -> Outcome<()> {
    let name = &file.entry.name;
    let wrong = |detail: String| Err(fatal(ProblemType::EngineFailed, format!("{name}: {detail}")));
    let own = file.schema().fields().iter().filter(|field| !file.constants.tell(field.name()));
    let own: Vec<FieldRef> = own.map(plain_field).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = own.iter().find(|field| !seen.insert(field.name())) {
        return wrong(format!("the column {:?} appears twice", twice.name()));
    }
    if fields.is_empty() {
        *fields = own;
        return Ok(());
    }
    for field in &own {
        let Some(known) = fields.iter_mut().find(|known| known.name() == field.name()) else {
            // Files before this one lack it.
            fields.push(nullable(field));
            continue;
        };
        let (before, here) = (column_type(known.data_type()), column_type(field.data_type()));
        if before != here {
            let Some(both) = wider(&before, &here) else {
                return wrong(format!(
                    "the column {:?} is {here} here and {before} in files before",
                    field.name()
                ));
            };
            if both == here {
                *known = Arc::new(Field::clone(field).with_nullable(known.is_nullable()));
            } else if both != before
                && let Some(data_type) = arrow_type(&both)
            {
                *known = Arc::new(Field::clone(known).with_data_type(data_type));
            }
        }
        if field.is_nullable() {
            *known = nullable(known);
        }
    }
    for known in fields.iter_mut().filter(|known| !file.constants.tell(known.name())) {
        if !own.iter().any(|field| field.name() == known.name()) {
            *known = nullable(known);
        }
    }
    Ok(())
}

fn nullable(field: &FieldRef) -> FieldRef {
    if field.is_nullable() { Arc::clone(field) } else { Arc::new(Field::clone(field).with_nullable(true)) }
}

/// Cuts a file's row groups into units, by the size of the columns in use.
fn cut(index: usize, file: &OpenFile, used: &[&str], kept: impl Fn(usize) -> Kept) -> Vec<Unit> {
    let mut units = Vec::new();
    // Both may be thousands.
    let used: HashSet<&str> = used.iter().copied().collect();
    for (row_group, metadata) in file.parquet().row_groups().iter().enumerate() {
        let rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
        if rows == 0 {
            continue;
        }
        let in_use = || {
            metadata.columns().iter().enumerate().filter(|(_, column)| {
                let root = column.column_path().parts().first();
                root.is_some_and(|root| used.contains(root.as_str()))
            })
        };
        let bytes: u64 = in_use()
            .map(|(_, column)| {
                // Dictionaries hide the size of what they decode to.
                let encoded = u64::try_from(column.uncompressed_size()).unwrap_or(0);
                let decoded = column.unencoded_byte_array_data_bytes().and_then(|b| u64::try_from(b).ok());
                encoded.max(decoded.unwrap_or(0))
            })
            .sum();
        let row_bytes = (bytes / rows).max(1);
        // Where pages do not tell how many records they have, everything before a unit is decoded to get to it.
        let slow_to_skip = in_use().any(|(index, column)| {
            column.column_descr().max_rep_level() > 0 && !file.has_offset_index(row_group, index)
        });
        let unit_rows =
            if slow_to_skip { WHOLE_ROWS } else { (UNIT_BYTES / row_bytes).clamp(1024, UNIT_ROWS) };
        let batch_rows = (BATCH_BYTES / row_bytes).clamp(16, BATCH_ROWS);
        // Units of one size, so that none is a small rest.
        let pieces = rows.div_ceil(unit_rows);
        for piece in 0..pieces {
            let (start, end) = (rows * piece / pieces, rows * (piece + 1) / pieces);
            units.push(Unit {
                file: index,
                row_group,
                start,
                rows: end - start,
                batch_rows: batch_rows as usize,
                kept: kept(row_group),
            });
        }
    }
    units
}

/// The columns that a filter looks at.
pub(crate) fn filter_columns(filter: &Filter) -> Vec<&str> {
    fn operand<'a>(operand: &'a willcall_core::query::Operand, into: &mut Vec<&'a str>) {
        use willcall_core::query::Operand;
        match operand {
            Operand::Column(name) | Operand::Call(_, name) => into.push(name),
            Operand::Element => {}
        }
    }
    fn walk<'a>(filter: &'a Filter, into: &mut Vec<&'a str>) {
        match filter {
            Filter::And(all) | Filter::Or(all) => all.iter().for_each(|filter| walk(filter, into)),
            Filter::Not(inner) | Filter::IsNotTrue(inner) => walk(inner, into),
            Filter::Compare { left, .. } => operand(left, into),
            Filter::CompareOperands { left, right, .. } => {
                operand(left, into);
                operand(right, into);
            }
            Filter::In { operand: of, .. } | Filter::Text { operand: of, .. } | Filter::IsNull(of) => {
                operand(of, into);
            }
            Filter::AnyElement { column, condition } => {
                into.push(column);
                walk(condition, into);
            }
        }
    }
    let mut columns = Vec::new();
    walk(filter, &mut columns);
    columns.sort_unstable();
    columns.dedup();
    columns
}

#[cfg(test)]
mod tests {
    use arrow_array::{
        ArrayRef, RecordBatch,
        builder::{Int64Builder, ListBuilder},
    };
    use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
    use willcall_core::catalog::DatasetSource;

    use super::*;
    use crate::LocalDataFiles;

    /// The units of a file of two row groups, by the columns in use.
    fn units(offset_index: bool, used: &[&str]) -> Vec<(usize, u64, u64)> {
        let mut lists = ListBuilder::new(Int64Builder::new());
        (0..150_000).for_each(|n| lists.append_value([Some(n), None]));
        let flat: ArrayRef = Arc::new((0..150_000).collect::<arrow_array::Int64Array>());
        let batch = RecordBatch::try_from_iter([("l", Arc::new(lists.finish()) as ArrayRef), ("n", flat)]);
        let batch = batch.unwrap();
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(100_000))
            .set_offset_index_disabled(!offset_index)
            .set_statistics_enabled(parquet::file::properties::EnabledStatistics::Chunk)
            .build();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let source = DatasetSource::at(path.to_str().unwrap().to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let entry = runtime.block_on(LocalDataFiles.list(&source)).unwrap().remove(0);
        let open = LocalDataFiles.open(&entry).unwrap();
        let file = OpenFile::new(&entry, open, &Arc::new(Blocks::new(0)), Arc::default()).unwrap();
        cut(0, &file, used, |_| Kept::Some)
            .iter()
            .map(|unit| (unit.row_group, unit.start, unit.rows))
            .collect()
    }

    #[test]
    fn row_groups_of_lists_are_cut_only_where_their_pages_are_known() {
        let whole = [(0, 0, 100_000), (1, 0, 50_000)];
        assert_eq!(units(false, &["l"]), whole);
        assert_eq!(units(false, &["l", "n"]), whole);
        let pieces = [(0, 0, 50_000), (0, 50_000, 50_000), (1, 0, 50_000)];
        assert_eq!(units(false, &["n"]), pieces);
        assert_eq!(units(true, &["l"]), pieces);
        assert_eq!(units(true, &["l", "n"]), pieces);
    }
}
