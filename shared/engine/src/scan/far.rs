//! Far files: fetched ahead and in large pieces, and kept in blocks whose memory is bounded.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaData;
use willcall_core::ports::{DataFile, DataFilesError};

use super::plan::chunk_range;

/// The bytes of a block: small enough that a file of many columns does not push its own blocks out.
const BLOCK: u64 = 64 << 10;

/// Blocks of one request.
const REQUEST_BLOCKS: u64 = 64;

/// Blocks between two that are wanted and that are fetched with them, as another request would take longer.
const GAP_BLOCKS: u64 = 16;

/// Blocks fetched before the first of them can be used.
const ROUND_BLOCKS: u64 = 256;

/// Blocks fetched ahead of a read that came without a plan; doubled for as long as such reads follow each other.
const AHEAD_BLOCKS: u64 = 2;

/// Places of reads that may follow each other.
const AHEAD_KEPT: usize = 4096;

/// What is kept of each page's head: it is read again by each unit that skips the page, when its block is long gone.
const HEAD: usize = 256;

/// Heads of pages that are kept, of each file.
const HEADS_KEPT: usize = 32 << 10;

/// Blocks of far files, for all threads of a job. Those that were used last are kept, within a bound.
#[derive(Debug)]
pub(crate) struct Blocks {
    limit: usize,
    files: AtomicU64,
    state: Mutex<State>,
    arrived: Condvar,
}

/// A file's number and the block's in the file.
type Key = (u64, u64);

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Key, Slot>,
    /// The blocks here by when they were used last.
    used: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
}

#[derive(Debug)]
enum Slot {
    /// A thread fetches it.
    Coming,
    Here {
        bytes: Bytes,
        used: u64,
    },
}

impl Blocks {
    /// Holds at most `limit` bytes, and what is being fetched.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, files: AtomicU64::new(0), state: Mutex::default(), arrived: Condvar::new() }
    }

    /// The bytes that one thread may ask for at once, so that it does not push out what others wait for.
    pub(crate) fn share(&self) -> u64 {
        (self.limit as u64 / 4).max(BLOCK)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The block, if it is here.
    fn get(&mut self, key: Key) -> Option<Bytes> {
        let Some(Slot::Here { bytes, used }) = self.slots.get_mut(&key) else { return None };
        self.used.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.used.insert(self.clock, key);
        Some(bytes.clone())
    }

    /// Takes it on to fetch a block, if nobody has it or fetches it.
    fn claim(&mut self, key: Key) -> bool {
        if self.slots.contains_key(&key) {
            return false;
        }
        self.slots.insert(key, Slot::Coming);
        true
    }

    fn arrive(&mut self, key: Key, bytes: Bytes, limit: usize) {
        self.clock += 1;
        self.bytes += bytes.len();
        self.used.insert(self.clock, key);
        self.slots.insert(key, Slot::Here { bytes, used: self.clock });
        while self.bytes > limit {
            let Some((_, oldest)) = self.used.pop_first() else { break };
            self.remove(oldest);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(Slot::Here { bytes, used }) = self.slots.remove(&key) {
            self.bytes -= bytes.len();
            self.used.remove(&used);
        }
    }
}

/// One far file and what is here of it.
#[derive(Debug)]
pub(crate) struct FarFile {
    file: Arc<dyn DataFile>,
    size: u64,
    number: u64,
    blocks: Arc<Blocks>,
    /// Where the chunks of columns end: nothing is fetched ahead across.
    ends: OnceLock<Vec<u64>>,
    /// By the block that would be read next, how many were fetched ahead the last time.
    ahead: Mutex<HashMap<u64, u64>>,
    heads: Mutex<BTreeMap<u64, Bytes>>,
}

impl FarFile {
    pub(crate) fn new(file: Arc<dyn DataFile>, size: u64, blocks: Arc<Blocks>) -> Self {
        let number = blocks.files.fetch_add(1, Ordering::Relaxed);
        let (ends, ahead, heads) = Default::default();
        Self { file, size, number, blocks, ends, ahead, heads }
    }

    /// Tells where the file's chunks lie.
    pub(crate) fn set_chunks(&self, metadata: &ParquetMetaData) {
        let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
        let mut ends: Vec<u64> = columns.map(|column| chunk_range(column, self.size).end).collect();
        ends.sort_unstable();
        ends.dedup();
        // Told once by whoever read the footer.
        let _ = self.ends.set(ends);
    }

    /// The bytes that one thread may ask for at once.
    pub(crate) fn share(&self) -> u64 {
        self.blocks.share()
    }

    /// Reads the head of a page, or a part of it.
    pub(crate) fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DataFilesError> {
        if position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let known = lock(&self.heads).get(&position).cloned();
        let head = match known {
            Some(head) => head,
            None => {
                let number = position / BLOCK;
                let block = self.get(number, number)?.remove(0);
                let start = (position - number * BLOCK) as usize;
                let head = Bytes::copy_from_slice(&block[start..block.len().min(start + HEAD)]);
                let mut heads = lock(&self.heads);
                heads.insert(position, head.clone());
                if heads.len() > HEADS_KEPT {
                    heads.pop_first();
                }
                head
            }
        };
        let length = head.len().min(buffer.len());
        buffer[..length].copy_from_slice(&head[..length]);
        Ok(length)
    }

    /// The bytes of a range within the file.
    pub(crate) fn bytes(&self, start: u64, length: usize) -> Result<Bytes, DataFilesError> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        let (first, last) = (start / BLOCK, (start + length as u64 - 1) / BLOCK);
        let blocks = self.get(first, last)?;
        let skip = (start - first * BLOCK) as usize;
        if let [only] = blocks.as_slice() {
            return Ok(only.slice(skip..skip + length));
        }
        let mut bytes = Vec::with_capacity(length);
        for (number, block) in blocks.iter().enumerate() {
            let block = if number == 0 { &block[skip..] } else { &block[..] };
            bytes.extend_from_slice(&block[..block.len().min(length - bytes.len())]);
        }
        Ok(bytes.into())
    }

    /// Whether something of the ranges is not here and not fetched by anybody.
    pub(crate) fn lacks(&self, ranges: &[Range<u64>]) -> bool {
        let state = self.blocks.state();
        self.numbers(ranges).any(|number| !state.slots.contains_key(&(self.number, number)))
    }

    /// Fetches what is not here of the ranges, and is not fetched by another thread.
    pub(crate) fn fetch(&self, ranges: &[Range<u64>]) -> Result<(), DataFilesError> {
        let mut claim = Claim { file: self, numbers: Vec::new() };
        {
            let mut state = self.blocks.state();
            claim.numbers = self.numbers(ranges).filter(|n| state.claim((self.number, *n))).collect();
        }
        if claim.numbers.is_empty() {
            return Ok(());
        }
        claim.numbers.sort_unstable();
        let mut ahead = lock(&self.ahead);
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            ahead.insert((range.end.min(self.size) - 1) / BLOCK + 1, 2 * AHEAD_BLOCKS);
        }
        drop(ahead);
        claim.load().map(drop)
    }

    /// The blocks of the ranges, one by one; some may come twice.
    fn numbers(&self, ranges: &[Range<u64>]) -> impl Iterator<Item = u64> {
        let within = ranges.iter().map(|range| range.start..range.end.min(self.size));
        within.filter(|range| !range.is_empty()).flat_map(|r| r.start / BLOCK..(r.end - 1) / BLOCK + 1)
    }

    /// The blocks from `first` to `last`, which lie within the file.
    fn get(&self, first: u64, last: u64) -> Result<Vec<Bytes>, DataFilesError> {
        let mut got: Vec<Option<Bytes>> = vec![None; (last - first + 1) as usize];
        loop {
            let mut claim = Claim { file: self, numbers: Vec::new() };
            {
                let mut state = self.blocks.state();
                let mut complete = true;
                for (number, got) in (first..).zip(&mut got).filter(|(_, got)| got.is_none()) {
                    let key = (self.number, number);
                    *got = state.get(key);
                    if got.is_none() && state.claim(key) {
                        claim.numbers.push(number);
                    }
                    complete &= got.is_some();
                }
                if complete {
                    return Ok(got.into_iter().flatten().collect());
                }
                if claim.numbers.is_empty() {
                    // All that is missing is fetched by others.
                    drop(self.blocks.arrived.wait(state).unwrap_or_else(PoisonError::into_inner));
                    continue;
                }
                self.claim_ahead(&mut state, &mut claim.numbers);
            }
            for (number, block) in claim.load()? {
                if let Some(got) = number.checked_sub(first).and_then(|place| got.get_mut(place as usize)) {
                    *got = Some(block);
                }
            }
        }
    }

    /// Adds blocks that are likely to be read next.
    fn claim_ahead(&self, state: &mut State, numbers: &mut Vec<u64>) {
        let (Some(first), Some(last)) = (numbers.first().copied(), numbers.last().copied()) else { return };
        let most = (self.blocks.limit as u64 / BLOCK / 32).clamp(1, REQUEST_BLOCKS / 2);
        let mut ahead = lock(&self.ahead);
        let window = ahead.remove(&first).map_or(AHEAD_BLOCKS, |before| 2 * before).min(most);
        let ends = self.ends.get().map_or(&[][..], Vec::as_slice);
        let end = ends.get(ends.partition_point(|end| *end <= last * BLOCK)).copied().unwrap_or(self.size);
        let mut next = last + 1;
        while next <= last + window && next * BLOCK < end && state.claim((self.number, next)) {
            numbers.push(next);
            next += 1;
        }
        if ahead.len() >= AHEAD_KEPT {
            ahead.clear();
        }
        ahead.insert(next, window);
    }
}

impl Drop for FarFile {
    fn drop(&mut self) {
        let mut state = self.blocks.state();
        let own: Vec<Key> = state.slots.keys().filter(|key| key.0 == self.number).copied().collect();
        own.into_iter().for_each(|key| state.remove(key));
    }
}

/// Blocks that a thread has taken on to fetch, in order. Those that it gives up are anybody's again.
struct Claim<'a> {
    file: &'a FarFile,
    numbers: Vec<u64>,
}

impl Claim<'_> {
    /// Fetches the blocks, those that lie close together by one request, several requests at once.
    fn load(mut self) -> Result<Vec<(u64, Bytes)>, DataFilesError> {
        let far = self.file;
        let mut loaded = Vec::with_capacity(self.numbers.len());
        let requests = requests(&self.numbers);
        let mut rest = requests.as_slice();
        while !rest.is_empty() {
            let mut blocks = 0;
            let many = rest.iter().take_while(|request| {
                blocks += request.end - request.start;
                blocks <= ROUND_BLOCKS
            });
            let (round, after) = rest.split_at(many.count().max(1));
            rest = after;
            let ranges: Vec<Range<u64>> =
                round.iter().map(|r| r.start * BLOCK..(r.end * BLOCK).min(far.size)).collect();
            let pieces = far.file.read_ranges(&ranges)?;
            let mut state = far.blocks.state();
            for (request, piece) in round.iter().zip(pieces) {
                let here = self.numbers.partition_point(|number| *number < request.end);
                for number in self.numbers.drain(..here) {
                    let start = ((number - request.start) * BLOCK) as usize;
                    // A copy of its own: a slice would keep all of the piece.
                    let end = piece.len().min(start + BLOCK as usize);
                    let block = Bytes::copy_from_slice(&piece[start.min(end)..end]);
                    state.arrive((far.number, number), block.clone(), far.blocks.limit);
                    loaded.push((number, block));
                }
            }
            drop(state);
            far.blocks.arrived.notify_all();
        }
        Ok(loaded)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.numbers.is_empty() {
            let mut state = self.file.blocks.state();
            for number in &self.numbers {
                state.slots.remove(&(self.file.number, *number));
            }
            drop(state);
            self.file.blocks.arrived.notify_all();
        }
    }
}

/// Blocks in order, brought together in requests.
fn requests(numbers: &[u64]) -> Vec<Range<u64>> {
    let mut requests: Vec<Range<u64>> = Vec::new();
    for number in numbers {
        match requests.last_mut() {
            Some(last) if number - last.end <= GAP_BLOCKS && number - last.start < REQUEST_BLOCKS => {
                last.end = number + 1;
            }
            _ => requests.push(*number..number + 1),
        }
    }
    requests
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicUsize},
        thread,
    };

    use super::*;

    /// A file in memory whose byte at each place is told by the place.
    #[derive(Debug, Default)]
    struct Memory {
        requests: AtomicUsize,
        blocks: AtomicUsize,
        fails: AtomicBool,
    }

    fn byte(place: u64) -> u8 {
        (place ^ (place >> 8) ^ (place >> 16)) as u8
    }

    impl DataFile for Memory {
        fn read_at(&self, _: &mut [u8], _: u64) -> Result<usize, DataFilesError> {
            unreachable!("a far file is read by ranges")
        }

        fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, DataFilesError> {
            if self.fails.load(Ordering::SeqCst) {
                return Err(DataFilesError::Unavailable("down".into()));
            }
            self.requests.fetch_add(ranges.len(), Ordering::SeqCst);
            let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            self.blocks.fetch_add(bytes.div_ceil(BLOCK) as usize, Ordering::SeqCst);
            Ok(ranges.iter().map(|range| range.clone().map(byte).collect::<Vec<u8>>().into()).collect())
        }

        fn is_far(&self) -> bool {
            true
        }

        fn check(&self) -> Result<(), DataFilesError> {
            Ok(())
        }
    }

    const SIZE: u64 = 40 * BLOCK + 1_234;

    fn far(limit: u64) -> (FarFile, Arc<Memory>, Arc<Blocks>) {
        let (memory, blocks) = (Arc::new(Memory::default()), Arc::new(Blocks::new(limit as usize)));
        let file: Arc<dyn DataFile> = Arc::<Memory>::clone(&memory);
        (FarFile::new(file, SIZE, Arc::clone(&blocks)), memory, blocks)
    }

    fn is_right(bytes: &[u8], start: u64) -> bool {
        bytes.iter().zip(start..).all(|(is, place)| *is == byte(place))
    }

    #[test]
    fn blocks_that_lie_close_together_are_one_request() {
        assert_eq!(requests(&[]), []);
        let (three, to_the_gap) = (3..6, 0..GAP_BLOCKS + 2);
        assert_eq!(requests(&[3, 4, 5]), [three]);
        assert_eq!(requests(&[0, GAP_BLOCKS + 1]), [to_the_gap]);
        assert_eq!(requests(&[0, GAP_BLOCKS + 2]), [0..1, GAP_BLOCKS + 2..GAP_BLOCKS + 3]);
        let many: Vec<u64> = (0..150).collect();
        assert_eq!(requests(&many), [0..64, 64..128, 128..150]);
    }

    #[test]
    fn reads_are_exact_within_and_across_blocks_in_any_memory() {
        for limit in [0, BLOCK, 8 * BLOCK, 1 << 30] {
            let (file, _, blocks) = far(limit);
            for (start, length) in [
                (0, 1),
                (5, BLOCK as usize - 5),
                (BLOCK - 1, 2),
                (3 * BLOCK, 20 * BLOCK as usize),
                (SIZE - 10, 10),
                (7, 0),
            ] {
                let bytes = file.bytes(start, length).unwrap();
                assert!(bytes.len() == length && is_right(&bytes, start), "{limit} {start} {length}");
                assert!(blocks.state().bytes <= limit as usize);
            }
            let mut head = [0; 5_000];
            for place in [0, BLOCK - 100, SIZE - 7] {
                let read = file.read_at(&mut head, place).unwrap();
                assert!(read > 0 && is_right(&head[..read], place));
            }
            assert_eq!(file.read_at(&mut head, SIZE).unwrap(), 0);
        }
    }

    #[test]
    fn what_was_fetched_is_not_fetched_again_until_it_had_to_go() {
        let (file, memory, _) = far(1 << 30);
        let wanted = [0..10 * BLOCK, 30 * BLOCK..SIZE];
        assert!(file.lacks(&wanted));
        file.fetch(&wanted).unwrap();
        assert!(!file.lacks(&wanted));
        assert_eq!(memory.requests.load(Ordering::SeqCst), 2);
        file.fetch(&wanted).unwrap();
        file.bytes(0, 10 * BLOCK as usize).unwrap();
        assert_eq!(memory.requests.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn reads_that_follow_each_other_are_fetched_ahead() {
        let (file, memory, _) = far(1 << 30);
        for block in 0..40 {
            file.bytes(block * BLOCK, BLOCK as usize).unwrap();
        }
        assert!(memory.requests.load(Ordering::SeqCst) <= 6);
        assert!(memory.blocks.load(Ordering::SeqCst) <= 42);
    }

    #[test]
    fn heads_of_pages_outlive_their_blocks() {
        let (file, memory, _) = far(2 * BLOCK);
        let mut head = [0; 100];
        file.read_at(&mut head, 100).unwrap();
        file.bytes(20 * BLOCK, 10 * BLOCK as usize).unwrap();
        let before = memory.requests.load(Ordering::SeqCst);
        file.read_at(&mut head, 100).unwrap();
        assert!(is_right(&head, 100));
        assert_eq!(memory.requests.load(Ordering::SeqCst), before);
    }

    #[test]
    fn what_failed_may_be_fetched_again() {
        let (file, memory, blocks) = far(1 << 30);
        memory.fails.store(true, Ordering::SeqCst);
        let all = 0..SIZE;
        assert!(file.fetch(&[all]).is_err());
        assert!(file.bytes(0, 10).is_err());
        assert!(blocks.state().slots.is_empty());
        memory.fails.store(false, Ordering::SeqCst);
        assert!(is_right(&file.bytes(0, 10).unwrap(), 0));
    }

    #[test]
    fn many_threads_get_what_they_ask_for_and_little_comes_twice() {
        let (file, memory, blocks) = far(1 << 30);
        thread::scope(|scope| {
            for thread in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    for step in 0..40 {
                        let block = (step + 5 * thread) % 40;
                        let bytes = file.bytes(block * BLOCK + 3, BLOCK as usize).unwrap();
                        assert!(is_right(&bytes, block * BLOCK + 3));
                    }
                });
            }
        });
        assert!(memory.blocks.load(Ordering::SeqCst) <= 41);
        drop(file);
        assert_eq!(blocks.state().bytes, 0, "it goes with the file");
    }
}
