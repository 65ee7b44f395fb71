//! Record batches put aside in order and read back as often as needed: in memory as long as they fit there, on disk
//! from then on.

use std::{
    fs::File,
    io::{BufReader, BufWriter},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;

use crate::{
    failure::{Outcome, defect, spill},
    spill::{Held, Spill, SpillFile, spilling},
};

/// Batches in the order in which they came. Their schemas may differ.
pub(crate) struct Store {
    spill: Arc<Spill>,
    /// The bytes that may be held in memory.
    room: usize,
    held: Vec<RecordBatch>,
    bytes: usize,
    rows: u64,
    files: Vec<Spilled>,
    open: Option<Open>,
}

/// A file with batches of one schema; removed when it is dropped.
struct Spilled {
    path: PathBuf,
    held: Held,
}

impl Drop for Spilled {
    fn drop(&mut self) {
        // The directory goes with everything in it, should this fail.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A file that is being written.
struct Open {
    schema: SchemaRef,
    path: PathBuf,
    writer: StreamWriter<BufWriter<SpillFile>>,
}

impl Store {
    /// Holds `room` bytes in memory before anything goes to disk.
    pub(crate) fn new(spill: &Arc<Spill>, room: usize) -> Self {
        let spill = Arc::clone(spill);
        Self { spill, room, held: Vec::new(), bytes: 0, rows: 0, files: Vec::new(), open: None }
    }

    /// How many records there are.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Puts a batch behind the others.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Outcome<()> {
        self.rows += batch.num_rows() as u64;
        if self.files.is_empty() && self.open.is_none() {
            self.bytes += batch.get_array_memory_size();
            if self.bytes <= self.room {
                self.held.push(batch);
                return Ok(());
            }
            for held in std::mem::take(&mut self.held) {
                self.write(&held)?;
            }
        }
        self.write(&batch)
    }

    /// Ends the writing; more may not be pushed.
    pub(crate) fn finish(&mut self) -> Outcome<()> {
        let Some(Open { path, mut writer, .. }) = self.open.take() else { return Ok(()) };
        writer.finish().map_err(|error| spilling(&self.spill, error))?;
        let file = writer.into_inner().map_err(|error| spilling(&self.spill, error))?;
        let file = file.into_inner().map_err(|error| self.spill.failure(error.into_error()))?;
        self.files.push(Spilled { path, held: file.written() });
        Ok(())
    }

    /// All batches in order.
    pub(crate) fn read(self: &Arc<Self>) -> impl Iterator<Item = Outcome<RecordBatch>> + Send + use<> {
        let (held, files) = (Arc::clone(self), Arc::clone(self));
        let in_memory = (0..self.held.len()).map(move |batch| Ok(held.held[batch].clone()));
        let on_disk = (0..self.files.len()).flat_map(move |file| {
            let Spilled { path, held } = &files.files[file];
            let (failed, batches) = match open(path, held.spill()) {
                Ok(batches) => (None, Some(batches)),
                Err(error) => (Some(Err(error)), None),
            };
            let keep = Arc::clone(&files);
            let batches = batches.into_iter().flatten();
            let batches = batches
                .map(move |batch| batch.map_err(|error| spilling(keep.files[file].held.spill(), error)));
            failed.into_iter().chain(batches)
        });
        in_memory.chain(on_disk)
    }

    fn write(&mut self, batch: &RecordBatch) -> Outcome<()> {
        if self.open.as_ref().is_some_and(|open| open.schema != batch.schema()) {
            self.finish()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Open::new(&self.spill, batch.schema())?),
        };
        open.writer.write(batch).map_err(|error| spilling(&self.spill, error))
    }
}

impl Open {
    fn new(spill: &Arc<Spill>, schema: SchemaRef) -> Outcome<Self> {
        let (file, path) = spill.file()?;
        let file = BufWriter::with_capacity(64 << 10, file);
        let writer = StreamWriter::try_new(file, &schema).map_err(|error| spilling(spill, error))?;
        Ok(Self { schema, path, writer })
    }
}

fn open(path: &Path, of: &Spill) -> Outcome<StreamReader<BufReader<File>>> {
    let file = BufReader::with_capacity(128 << 10, File::open(path).map_err(spill)?);
    StreamReader::try_new(file, None).map_err(|error| spilling(of, error))
}

/// The bytes of small batches that are brought together before they go to disk.
const GATHERED: usize = 128 << 10;

/// Small batches of one schema, put aside on disk as larger ones.
pub(crate) struct Gathered {
    store: Store,
    waiting: Vec<RecordBatch>,
    bytes: usize,
}

impl Gathered {
    pub(crate) fn new(spill: &Arc<Spill>) -> Self {
        Self { store: Store::new(spill, 0), waiting: Vec::new(), bytes: 0 }
    }

    /// Puts a batch behind the others.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Outcome<()> {
        self.bytes += batch.get_array_memory_size();
        self.waiting.push(batch);
        if self.bytes >= GATHERED { self.flush() } else { Ok(()) }
    }

    /// Ends the writing.
    pub(crate) fn finish(mut self) -> Outcome<Arc<Store>> {
        self.flush()?;
        self.store.finish()?;
        Ok(Arc::new(self.store))
    }

    fn flush(&mut self) -> Outcome<()> {
        self.bytes = 0;
        let Some(first) = self.waiting.first() else { return Ok(()) };
        let all = concat_batches(&first.schema(), &self.waiting).map_err(defect)?;
        self.waiting.clear();
        self.store.push(all)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int64Array, cast::AsArray, types::Int64Type};

    use super::*;
    use crate::spill::Purpose;

    fn batch(name: &str, from: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 100));
        RecordBatch::try_from_iter([(name, numbers)]).unwrap()
    }

    #[test]
    fn batches_come_back_in_order_wherever_they_are_held_and_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for room in [0, 2_000, usize::MAX] {
            let spill = Spill::new(dir.path(), None, Purpose::Match);
            let mut store = Store::new(&spill, room);
            for (number, name) in ["a", "a", "b", "a"].into_iter().enumerate() {
                store.push(batch(name, 100 * number as i64)).unwrap();
            }
            store.finish().unwrap();
            assert_eq!(store.rows(), 400);
            let store = Arc::new(store);
            for _ in 0..2 {
                let read: Vec<RecordBatch> = store.read().collect::<Outcome<_>>().unwrap();
                let names: Vec<String> = read.iter().map(|b| b.schema().field(0).name().clone()).collect();
                assert_eq!(names, ["a", "a", "b", "a"], "{room}");
                let firsts = read.iter().map(|b| b.column(0).as_primitive::<Int64Type>().value(0));
                assert_eq!(firsts.collect::<Vec<_>>(), [0, 100, 200, 300], "{room}");
            }
            drop((store, spill));
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{room}");
        }
    }

    #[test]
    fn small_batches_go_to_disk_together() {
        let dir = tempfile::tempdir().unwrap();
        let mut gathered = Gathered::new(&Spill::new(dir.path(), None, Purpose::Match));
        (0..50).for_each(|number| gathered.push(batch("a", number * 100)).unwrap());
        let read: Vec<RecordBatch> = gathered.finish().unwrap().read().collect::<Outcome<_>>().unwrap();
        assert!(read.len() < 5, "{}", read.len());
        let numbers = read.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec());
        assert!(numbers.eq(0..5_000));
    }
}
