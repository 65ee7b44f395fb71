//! The rows' keys: in one table as long as they fit in memory, else apart by their hashes, on disk.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use arrow_array::{
    ArrayRef, RecordBatch, builder::BinaryBuilder, builder::UInt64Builder, cast::AsArray, types::UInt64Type,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use hashbrown::HashTable;

use crate::{
    failure::{Outcome, defect},
    spill::Spill,
    store::{Gathered, Store},
};

/// Into how many parts rows and records are put that do not fit in memory.
pub(super) const PARTS: usize = 32;

/// Keys, each once, and the rows that have them.
pub(super) struct Table {
    hasher: RandomState,
    ids: HashTable<u32>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Each row with the number of its key, in the order of the rows.
    rows: Vec<(u64, u32)>,
}

impl Table {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self { hasher, ids: HashTable::new(), bytes: Vec::new(), ends: Vec::new(), rows: Vec::new() }
    }

    /// How many different keys there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Each row with the number of its key.
    pub(super) fn rows(&self) -> &[(u64, u32)] {
        &self.rows
    }

    /// The bytes of memory that it takes, about.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + 8 * self.ends.capacity() + 16 * self.rows.capacity() + 6 * self.ids.capacity()
    }

    /// Adds a row. Rows come in their order.
    pub(super) fn add(&mut self, hash: u64, key: &[u8], row: u64) {
        let Self { hasher, ids, bytes, ends, rows } = self;
        let of = |id: &u32| key_of(bytes, ends, *id);
        let id = match ids.find(hash, |id| of(id) == key) {
            Some(id) => *id,
            None => {
                let id = ends.len() as u32;
                ids.insert_unique(hash, id, |id| hasher.hash_one(of(id)));
                bytes.extend_from_slice(key);
                ends.push(bytes.len());
                id
            }
        };
        rows.push((row, id));
    }

    /// The number of a key, if a row has it.
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.ids.find(hash, |id| key_of(&self.bytes, &self.ends, *id) == key).copied()
    }

    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn key(&self, id: u32) -> &[u8] {
        key_of(&self.bytes, &self.ends, id)
    }

    /// The rows of each key: those of key `n` lie between the ends `n` and `n + 1`.
    pub(super) fn by_key(&self) -> (Vec<usize>, Vec<u64>) {
        let mut ends = vec![0; self.len() + 1];
        for (_, id) in &self.rows {
            ends[*id as usize + 1] += 1;
        }
        for id in 0..self.len() {
            ends[id + 1] += ends[id];
        }
        let mut next = ends.clone();
        let mut rows = vec![0; self.rows.len()];
        for (row, id) in &self.rows {
            let place = &mut next[*id as usize];
            rows[*place] = *row;
            *place += 1;
        }
        (ends, rows)
    }

    fn clear(&mut self) {
        *self = Self::new(self.hasher.clone());
    }
}

fn key_of<'a>(bytes: &'a [u8], ends: &[usize], id: u32) -> &'a [u8] {
    let id = id as usize;
    &bytes[id.checked_sub(1).map_or(0, |before| ends[before])..ends[id]]
}

/// In which part a key lies. The table looks at the hash's other end.
pub(super) fn part_of(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}

/// Hashes of keys, so that records which no row asks for are not put aside: some that are not there seem to be.
pub(super) struct Seen {
    bits: Vec<u64>,
}

/// Four mebibytes.
const SEEN_BITS: u64 = 1 << 25;

impl Seen {
    fn new() -> Self {
        Self { bits: vec![0; (SEEN_BITS / 64) as usize] }
    }

    fn places(hash: u64) -> [u64; 2] {
        [hash % SEEN_BITS, (hash >> 32) % SEEN_BITS]
    }

    fn add(&mut self, hash: u64) {
        for place in Self::places(hash) {
            self.bits[(place / 64) as usize] |= 1 << (place % 64);
        }
    }

    pub(super) fn may_have(&self, hash: u64) -> bool {
        Self::places(hash).iter().all(|place| self.bits[(place / 64) as usize] & 1 << (place % 64) != 0)
    }
}

/// Collects the keys of rows.
pub(super) struct Keyed {
    table: Table,
    room: usize,
    spill: Arc<Spill>,
    apart: Option<Apart>,
}

/// What does not fit in memory.
struct Apart {
    parts: Vec<(Waiting, Gathered)>,
    seen: Seen,
    schema: SchemaRef,
}

#[derive(Default)]
struct Waiting {
    rows: UInt64Builder,
    keys: BinaryBuilder,
    bytes: usize,
}

/// Bytes of keys that wait for the disk, of each part.
const WAITING: usize = 64 << 10;

/// The keys of all rows.
pub(super) enum Wanted {
    Held(Table),
    Apart { hasher: RandomState, parts: Vec<Arc<Store>>, seen: Arc<Seen> },
}

impl Keyed {
    /// Holds about `room` bytes in memory.
    pub(super) fn new(spill: &Arc<Spill>, room: usize) -> Self {
        Self { table: Table::new(RandomState::new()), room, spill: Arc::clone(spill), apart: None }
    }

    /// Adds a row's key. Rows come in their order.
    pub(super) fn add(&mut self, row: u64, key: &[u8]) -> Outcome<()> {
        let hash = self.table.hash(key);
        if let Some(apart) = &mut self.apart {
            return apart.add(hash, key, row);
        }
        self.table.add(hash, key, row);
        if self.table.memory() <= self.room {
            return Ok(());
        }
        let mut apart = Apart::new(&self.spill);
        for (row, id) in self.table.rows() {
            let key = self.table.key(*id);
            apart.add(self.table.hash(key), key, *row)?;
        }
        self.table.clear();
        self.apart = Some(apart);
        Ok(())
    }

    pub(super) fn finish(self) -> Outcome<Wanted> {
        let Some(Apart { parts, seen, schema }) = self.apart else { return Ok(Wanted::Held(self.table)) };
        let finish = |(mut waiting, mut gathered): (Waiting, Gathered)| {
            waiting.flush(&schema, &mut gathered)?;
            gathered.finish()
        };
        let parts = parts.into_iter().map(finish).collect::<Outcome<_>>()?;
        Ok(Wanted::Apart { hasher: self.table.hasher, parts, seen: Arc::new(seen) })
    }
}

impl Apart {
    fn new(spill: &Arc<Spill>) -> Self {
        let fields = [Field::new("row", DataType::UInt64, false), Field::new("key", DataType::Binary, false)];
        let parts = (0..PARTS).map(|_| (Waiting::default(), Gathered::new(spill))).collect();
        Self { parts, seen: Seen::new(), schema: Arc::new(Schema::new(fields.to_vec())) }
    }

    fn add(&mut self, hash: u64, key: &[u8], row: u64) -> Outcome<()> {
        self.seen.add(hash);
        let (waiting, gathered) = &mut self.parts[part_of(hash)];
        waiting.rows.append_value(row);
        waiting.keys.append_value(key);
        waiting.bytes += key.len() + 12;
        if waiting.bytes >= WAITING { waiting.flush(&self.schema, gathered) } else { Ok(()) }
    }
}

impl Waiting {
    fn flush(&mut self, schema: &SchemaRef, gathered: &mut Gathered) -> Outcome<()> {
        self.bytes = 0;
        let columns: Vec<ArrayRef> = vec![Arc::new(self.rows.finish()), Arc::new(self.keys.finish())];
        gathered.push(RecordBatch::try_new(Arc::clone(schema), columns).map_err(defect)?)
    }
}

/// The rows of one part as tables that fit in memory, one after the other: one key that all rows have is in several.
pub(super) struct Tables {
    batches: Box<dyn Iterator<Item = Outcome<RecordBatch>> + Send>,
    rest: Option<(RecordBatch, usize)>,
    hasher: RandomState,
    room: usize,
}

impl Tables {
    pub(super) fn new(part: &Arc<Store>, hasher: &RandomState, room: usize) -> Self {
        Self { batches: Box::new(part.read()), rest: None, hasher: hasher.clone(), room }
    }
}

impl Iterator for Tables {
    type Item = Outcome<Table>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut table = Table::new(self.hasher.clone());
        loop {
            let (batch, from) = match self.rest.take() {
                Some(rest) => rest,
                None => match self.batches.next() {
                    Some(Ok(batch)) => (batch, 0),
                    Some(Err(error)) => return Some(Err(error)),
                    None => return (!table.rows.is_empty()).then_some(Ok(table)),
                },
            };
            let (rows, keys) =
                (batch.column(0).as_primitive::<UInt64Type>(), batch.column(1).as_binary::<i32>());
            for place in from..batch.num_rows() {
                if table.memory() > self.room && !table.rows.is_empty() {
                    self.rest = Some((batch, place));
                    return Some(Ok(table));
                }
                let key = keys.value(place);
                table.add(table.hash(key), key, rows.value(place));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::spill::Purpose;

    #[test]
    fn rows_are_found_by_their_keys_however_many_there_are() {
        let key = |row: u64| format!("key {}", row % 1000);
        let dir = tempfile::tempdir().unwrap();
        let spill = Spill::new(dir.path(), None, Purpose::Match);
        for room in [0, usize::MAX] {
            let mut keyed = Keyed::new(&spill, room);
            (0..5000).for_each(|row| keyed.add(row, key(row).as_bytes()).unwrap());
            let tables: Vec<Table> = match keyed.finish().unwrap() {
                Wanted::Held(table) => vec![table],
                Wanted::Apart { hasher, parts, seen } => {
                    assert!(seen.may_have(hasher.hash_one(b"key 7".as_slice())));
                    let tables = parts.iter().flat_map(|part| Tables::new(part, &hasher, 10_000));
                    tables.collect::<Outcome<_>>().unwrap()
                }
            };
            assert_eq!(tables.len() > 1, room == 0);
            let mut found: BTreeMap<u64, String> = BTreeMap::new();
            for table in &tables {
                let (ends, rows) = table.by_key();
                for id in 0..table.len() {
                    let key = table.key(id as u32);
                    assert_eq!(table.find(table.hash(key), key), Some(id as u32));
                    let of_key = &rows[ends[id]..ends[id + 1]];
                    assert!(of_key.is_sorted());
                    found.extend(of_key.iter().map(|row| (*row, String::from_utf8(key.to_vec()).unwrap())));
                }
                assert_eq!(table.find(table.hash(b"other"), b"other"), None);
            }
            assert!(found.into_iter().eq((0..5000).map(|row| (row, key(row)))), "{room}");
        }
    }

    #[test]
    fn a_key_that_all_rows_have_comes_in_tables_that_fit() {
        let dir = tempfile::tempdir().unwrap();
        let mut keyed = Keyed::new(&Spill::new(dir.path(), None, Purpose::Match), 0);
        (0..100_000).for_each(|row| keyed.add(row, b"the same").unwrap());
        let Wanted::Apart { hasher, parts, .. } = keyed.finish().unwrap() else { panic!("it fits") };
        let tables: Vec<Table> = parts
            .iter()
            .flat_map(|part| Tables::new(part, &hasher, 100_000))
            .collect::<Outcome<_>>()
            .unwrap();
        assert!(tables.len() > 10 && tables.iter().all(|table| table.memory() < 300_000 && table.len() == 1));
        let rows = tables.iter().flat_map(|table| table.rows().iter().map(|(row, _)| *row));
        assert!(rows.eq(0..100_000));
    }
}
