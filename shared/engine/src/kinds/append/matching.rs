//! Finds the records that rows match.
//!
//! Rows come as tables of their keys. The data set is read in its order and looked up in the table, so that memory holds
//! keys of rows and never records. What is found is counted first, then brought together with each of its rows.

use std::{
    cell::RefCell,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::Scope,
};

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, RecordBatch, UInt32Array, UInt64Array, builder::BinaryBuilder,
    cast::AsArray, types::UInt32Type,
};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_select::take::take;
use willcall_core::job::kinds::OnMultiple;

use super::{
    key::{Bindings, Key},
    table::{PARTS, Seen, Table, Tables, Wanted, part_of},
    totals::{Counting, progress},
    weight::{BYTES, Weights},
};
use crate::{
    attempt::Attempt,
    failure::{Outcome, defect},
    ordered::{Emit, ordered},
    scan::{Reading, Unit},
    spill::Spill,
    store::{Gathered, Store},
};

/// Pairs of a row and a record that are made at once.
const PAIRS: usize = 8192;

/// Batches of one unit that may wait.
const BATCHES: usize = 8;

/// Where fewer than one record of so many can be asked for, keys are read before the fields.
const SPARSE: u64 = 8;

/// Pairs of a row and a record, in no order.
pub(super) type Pairs = Box<dyn Iterator<Item = Outcome<RecordBatch>> + Send>;

/// Records that were found: the number of each one's key, and their fields.
type Hits = (Vec<u32>, Vec<ArrayRef>);

/// How rows are matched.
#[derive(Clone)]
pub(super) struct Matching {
    pub(super) attempt: Arc<Attempt>,
    pub(super) reading: Arc<Reading>,
    pub(super) keys: Arc<Vec<Key>>,
    /// The columns of the data set that are compared, in the order of the keys.
    pub(super) by: Vec<FieldRef>,
    /// The columns of the data set that are added.
    pub(super) fields: Vec<FieldRef>,
    pub(super) mode: OnMultiple,
    /// The most rows that the result has.
    pub(super) keep: u64,
    pub(super) counting: Arc<Counting>,
    pub(super) spill: Arc<Spill>,
    /// The bytes of memory for keys, and for records that were found.
    pub(super) room: usize,
    pub(super) readers: usize,
}

impl Matching {
    /// What pairs are made of: the row's number, how many records it matches, and the fields of one of them.
    pub(super) fn schema(&self) -> SchemaRef {
        let mut fields =
            vec![Field::new("row", DataType::UInt64, false), Field::new("found", DataType::UInt64, false)];
        fields.extend(numbered(&self.fields));
        Arc::new(Schema::new(fields))
    }

    /// Reads the data set, and answers the pairs of rows and records.
    pub(super) fn pairs<'scope>(&self, scope: &'scope Scope<'scope, '_>, wanted: Wanted) -> Outcome<Pairs> {
        let rows = self.counting.totals().rows.min(self.keep);
        let cut = Arc::new(Cut::new(rows, self.keep, self.mode == OnMultiple::All));
        match wanted {
            Wanted::Held(table) if table.rows().is_empty() => Ok(Box::new(std::iter::empty())),
            Wanted::Held(table) => {
                let table = Arc::new(table);
                let hits = self.scan_for(scope, &table)?;
                Ok(Box::new(self.join(&table, hits, &cut)?))
            }
            Wanted::Apart { hasher, parts, seen } => {
                let records = self.scan_apart(scope, &hasher, &seen)?;
                let own = self.clone();
                let room = self.room;
                let mut parts = parts.into_iter().zip(records).flat_map(move |(rows, records)| {
                    Tables::new(&rows, &hasher, room)
                        .map(move |table| Ok((Arc::new(table?), Arc::clone(&records))))
                });
                let mut open: Option<Expand> = None;
                Ok(Box::new(std::iter::from_fn(move || {
                    loop {
                        if let Some(next) = open.as_mut().and_then(Iterator::next) {
                            return Some(next);
                        }
                        let next: Outcome<(Arc<Table>, Arc<Store>)> = parts.next()?;
                        // The last one's memory is free before the next one's is taken.
                        open = None;
                        let joined = next.and_then(|(table, records)| {
                            let hits = own.look_up(&table, &records);
                            own.join(&table, hits, &cut)
                        });
                        match joined {
                            Ok(joined) => open = Some(joined),
                            Err(error) => return Some(Err(error)),
                        }
                    }
                })))
            }
        }
    }

    /// The records of the data set that a row of the table matches, in order.
    fn scan_for<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        table: &Arc<Table>,
    ) -> Outcome<impl Iterator<Item = Outcome<Hits>> + Send + use<'scope>> {
        // Text is read whole anyhow.
        let scan = &self.reading.scan;
        let asked = (table.len() as u64).saturating_mul(SPARSE);
        let sparse = scan.is_counted() && scan.records().is_some_and(|records| asked < records);
        let (own, table, columns) = (self.clone(), Arc::clone(table), self.columns());
        let done = Arc::new(AtomicU64::new(0));
        let work = move |unit: Unit, emit: &Emit<Hits>| {
            if sparse {
                own.read_sparse(&unit, &table, emit)?;
            } else {
                own.reading.read(
                    &unit,
                    &columns,
                    None,
                    |_| {},
                    |columns, rows| {
                        let (by, _) = columns.split_at(own.by.len());
                        let (mut ids, mut kept) = (Vec::new(), Vec::new());
                        own.each_key(by, rows, |row, key| {
                            if let Some(id) = table.find(table.hash(key), key) {
                                ids.push(id);
                                kept.push(row as u32);
                            }
                        })?;
                        if ids.is_empty() {
                            Ok(())
                        } else {
                            emit.send((ids, own.taken(&columns, kept.into())?))
                        }
                    },
                )?;
            }
            own.unit_done(&done);
            Ok(())
        };
        let units: Vec<Unit> = self.reading.scan.units.clone();
        ordered(scope, self.readers, BATCHES, units.into_iter().map(Ok), work)
    }

    /// Reads the keys of a unit, and the fields of those records alone that are asked for.
    fn read_sparse(&self, unit: &Unit, table: &Table, emit: &Emit<Hits>) -> Outcome<()> {
        let ids = RefCell::new(Vec::new());
        let keeps = |by: &[ArrayRef], rows: usize| {
            let mut kept = vec![false; rows];
            self.each_key(by, rows, |row, key| {
                if let Some(id) = table.find(table.hash(key), key) {
                    ids.borrow_mut().push(id);
                    kept[row] = true;
                }
            })?;
            Ok(BooleanArray::from(kept))
        };
        let mut next = 0;
        self.reading.read_kept(unit, &self.by, keeps, &self.fields, |columns, rows| {
            let of = ids.borrow()[next..next + rows].to_vec();
            next += rows;
            emit.send((of, columns))
        })?;
        Ok(())
    }

    /// Puts the data set's records aside by their keys, but those that no row asks for.
    fn scan_apart<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        hasher: &std::hash::RandomState,
        seen: &Arc<Seen>,
    ) -> Outcome<Vec<Arc<Store>>> {
        use std::hash::BuildHasher;
        let (own, columns, schema) = (self.clone(), self.columns(), self.keyed_schema());
        let (hasher, seen, done) = (hasher.clone(), Arc::clone(seen), AtomicU64::new(0));
        let work = move |unit: Unit, emit: &Emit<Vec<(usize, RecordBatch)>>| {
            own.reading.read(
                &unit,
                &columns,
                None,
                |_| {},
                |columns, rows| {
                    let (by, _) = columns.split_at(own.by.len());
                    let mut parts: Vec<(Vec<u32>, BinaryBuilder)> = Vec::new();
                    parts.resize_with(PARTS, Default::default);
                    own.each_key(by, rows, |row, key| {
                        let hash = hasher.hash_one(key);
                        if seen.may_have(hash) {
                            let (kept, keys) = &mut parts[part_of(hash)];
                            kept.push(row as u32);
                            keys.append_value(key);
                        }
                    })?;
                    let mut apart = Vec::new();
                    for (part, (kept, mut keys)) in
                        parts.into_iter().enumerate().filter(|(_, (kept, _))| !kept.is_empty())
                    {
                        let mut of_part: Vec<ArrayRef> = vec![Arc::new(keys.finish())];
                        of_part.extend(own.taken(&columns, kept.into())?);
                        apart.push((
                            part,
                            RecordBatch::try_new(Arc::clone(&schema), of_part).map_err(defect)?,
                        ));
                    }
                    emit.send(apart)
                },
            )?;
            own.unit_done(&done);
            Ok(())
        };
        let units: Vec<Unit> = self.reading.scan.units.clone();
        let mut parts: Vec<Gathered> = (0..PARTS).map(|_| Gathered::new(&self.spill)).collect();
        for apart in ordered(scope, self.readers, BATCHES, units.into_iter().map(Ok), work)? {
            self.attempt.check()?;
            for (part, batch) in apart? {
                parts[part].push(batch)?;
            }
        }
        parts.into_iter().map(Gathered::finish).collect()
    }

    /// The records of one part that a row of the table matches, in order.
    fn look_up(
        &self,
        table: &Arc<Table>,
        records: &Arc<Store>,
    ) -> impl Iterator<Item = Outcome<Hits>> + use<> {
        let table = Arc::clone(table);
        records.read().map(move |batch| {
            let batch = batch?;
            let keys: &BinaryArray = batch.column(0).as_binary();
            let (mut ids, mut kept) = (Vec::new(), Vec::new());
            for row in 0..batch.num_rows() {
                let key = keys.value(row);
                if let Some(id) = table.find(table.hash(key), key) {
                    ids.push(id);
                    kept.push(row as u32);
                }
            }
            let kept = UInt32Array::from(kept);
            let taken = batch.columns()[1..].iter().map(|column| take(column, &kept, None).map_err(defect));
            Ok((ids, taken.collect::<Outcome<_>>()?))
        })
    }

    /// Counts what each key of the table matches, and keeps what is needed of it.
    fn join(
        &self,
        table: &Arc<Table>,
        hits: impl Iterator<Item = Outcome<Hits>>,
        cut: &Arc<Cut>,
    ) -> Outcome<Expand> {
        let mut counts = vec![0_u64; table.len()];
        let mut store = Store::new(&self.spill, self.room);
        let mut fields = vec![Field::new("id", DataType::UInt32, false)];
        fields.extend(numbered(&self.fields));
        let schema = Arc::new(Schema::new(fields));
        let most = if self.mode == OnMultiple::All { self.keep } else { 1 };
        for hits in hits {
            self.attempt.check()?;
            let (ids, columns) = hits?;
            let mut kept: Vec<u32> = Vec::with_capacity(ids.len());
            for (place, id) in ids.iter().enumerate() {
                let count = &mut counts[*id as usize];
                if *count < most {
                    kept.push(place as u32);
                }
                *count += 1;
            }
            if kept.is_empty() {
                continue;
            }
            let whole = kept.len() == ids.len();
            let kept = UInt32Array::from(kept);
            let ids: ArrayRef = Arc::new(UInt32Array::from(ids));
            let mut batch = Vec::with_capacity(1 + columns.len());
            for column in std::iter::once(&ids).chain(&columns) {
                batch.push(if whole {
                    Arc::clone(column)
                } else {
                    take(column, &kept, None).map_err(defect)?
                });
            }
            store.push(RecordBatch::try_new(Arc::clone(&schema), batch).map_err(defect)?)?;
        }
        store.finish()?;
        self.count(table, &counts, cut);
        let (ends, rows) = table.by_key();
        Ok(Expand {
            attempt: Arc::clone(&self.attempt),
            schema: self.schema(),
            mode: self.mode,
            most,
            until: cut.until(),
            written: vec![0; counts.len()],
            counts,
            ends,
            rows,
            batches: Box::new(Arc::new(store).read()),
            open: None,
        })
    }

    /// Tells what became of the table's rows.
    fn count(&self, table: &Table, counts: &[u64], cut: &Cut) {
        let (mut matched, mut unmatched, mut ambiguous, mut extra) = (0, 0, 0, 0_u64);
        for (row, id) in table.rows() {
            match counts[*id as usize] {
                0 => unmatched += 1,
                1 => matched += 1,
                several => {
                    ambiguous += 1;
                    if self.mode == OnMultiple::All {
                        extra = extra.saturating_add(several - 1);
                        cut.add(*row, several - 1);
                    }
                }
            }
        }
        self.counting.add(|totals| {
            totals.matched += matched;
            totals.unmatched += unmatched;
            totals.ambiguous += ambiguous;
            totals.extra = totals.extra.saturating_add(extra);
        });
    }

    /// What is read of the data set: what is compared, then what is added.
    fn columns(&self) -> Vec<FieldRef> {
        self.by.iter().chain(&self.fields).cloned().collect()
    }

    fn keyed_schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new("key", DataType::Binary, false)];
        fields.extend(numbered(&self.fields));
        Arc::new(Schema::new(fields))
    }

    /// Hands on the key of each record that has one.
    fn each_key(&self, by: &[ArrayRef], rows: usize, mut each: impl FnMut(usize, &[u8])) -> Outcome<()> {
        let mut bound = Bindings::new(&self.keys, by)?;
        let mut key = Vec::new();
        for row in 0..rows {
            if bound.write(row, &mut key) {
                each(row, &key);
            }
        }
        Ok(())
    }

    /// The fields that are added, of these records.
    fn taken(&self, columns: &[ArrayRef], kept: UInt32Array) -> Outcome<Vec<ArrayRef>> {
        columns[self.by.len()..].iter().map(|column| take(column, &kept, None).map_err(defect)).collect()
    }

    fn unit_done(&self, done: &AtomicU64) {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress(&self.attempt, 1, done, self.reading.scan.units.len() as u64);
    }
}

/// Fields by their numbers: names may come twice.
fn numbered(fields: &[FieldRef]) -> impl Iterator<Item = Field> {
    fields
        .iter()
        .enumerate()
        .map(|(place, field)| Field::new(place.to_string(), field.data_type().clone(), true))
}

/// Up to which row pairs are needed, where each row comes once for each of its records: the result may end long before
/// the last row.
struct Cut {
    keep: u64,
    /// The result's rows, of so many rows of the input each; none where every row comes once.
    blocks: Mutex<Vec<u64>>,
}

/// Rows of the input that are counted together.
const BLOCK: u64 = 256;

impl Cut {
    fn new(rows: u64, keep: u64, counts: bool) -> Self {
        let blocks = if counts { vec![BLOCK; rows.div_ceil(BLOCK) as usize] } else { Vec::new() };
        Self { keep, blocks: Mutex::new(blocks) }
    }

    fn add(&self, row: u64, extra: u64) {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = blocks.get_mut((row / BLOCK) as usize) {
            *block = block.saturating_add(extra);
        }
    }

    /// The row from which on none is needed, by what is known.
    fn until(&self) -> u64 {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = 0_u64;
        for (number, block) in blocks.iter().enumerate() {
            rows = rows.saturating_add(*block);
            if rows >= self.keep {
                return ((number as u64 + 1) * BLOCK).min(self.keep);
            }
        }
        self.keep
    }
}

/// Pairs of the rows of one table with what they match.
struct Expand {
    attempt: Arc<Attempt>,
    schema: SchemaRef,
    mode: OnMultiple,
    /// The most records of one row.
    most: u64,
    until: u64,
    counts: Vec<u64>,
    /// How many records of each key were passed.
    written: Vec<u64>,
    ends: Vec<usize>,
    rows: Vec<u64>,
    batches: Box<dyn Iterator<Item = Outcome<RecordBatch>> + Send>,
    /// A batch, the record at hand, and the place among its rows.
    open: Option<(RecordBatch, usize, usize)>,
}

impl Iterator for Expand {
    type Item = Outcome<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Err(error) = self.attempt.check() {
                return Some(Err(error));
            }
            let (batch, record, at) = match self.open.take() {
                Some(open) => open,
                None => match self.batches.next()? {
                    Ok(batch) => (batch, 0, 0),
                    Err(error) => return Some(Err(error)),
                },
            };
            match self.pair(batch, record, at) {
                Ok(None) => {}
                Ok(Some(pairs)) => return Some(Ok(pairs)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Expand {
    /// Brings the records of a batch together with their rows.
    fn pair(&mut self, batch: RecordBatch, mut record: usize, mut at: usize) -> Outcome<Option<RecordBatch>> {
        let ids = batch.column(0).as_primitive::<UInt32Type>().values().clone();
        let (mut rows, mut found, mut of) = (Vec::new(), Vec::new(), Vec::new());
        let weights = Weights::new(&batch.columns()[1..]);
        let mut bytes = 0;
        while record < ids.len() && rows.len() < PAIRS && bytes < BYTES {
            let id = ids[record] as usize;
            let all = &self.rows[self.ends[id]..self.ends[id + 1]];
            let count = self.counts[id];
            let weight = weights.of(record);
            let room = ((BYTES - bytes) / weight.max(1)).clamp(1, PAIRS);
            let some = &all[at..all.len().min(at + room)];
            // Rows come in their order.
            let some = &some[..some.partition_point(|row| *row < self.until)];
            let some = if self.written[id] < self.most { some } else { &[] };
            // What is ambiguous gets nothing where that is an error.
            let taken = (self.mode != OnMultiple::Error || count == 1).then_some(record as u32);
            rows.extend_from_slice(some);
            found.resize(rows.len(), count);
            of.resize(rows.len(), taken);
            bytes += some.len() * weight;
            at += some.len();
            if some.is_empty() || at == all.len() {
                self.written[id] += 1;
                (record, at) = (record + 1, 0);
            }
        }
        let pairs = if rows.is_empty() {
            None
        } else {
            let of = UInt32Array::from(of);
            let mut columns: Vec<ArrayRef> =
                vec![Arc::new(UInt64Array::from(rows)), Arc::new(UInt64Array::from(found))];
            for column in &batch.columns()[1..] {
                columns.push(take(column, &of, None).map_err(defect)?);
            }
            Some(RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(defect)?)
        };
        if record < ids.len() {
            self.open = Some((batch, record, at));
        }
        Ok(pairs)
    }
}
