//! The data files as the child sees them: its parent reads them.

use std::{
    collections::HashMap,
    io::{Read, Stdout, Write},
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Sender, channel},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use willcall_core::{
    catalog::DatasetSource,
    ports::{DataFile, DataFileEntry, DataFiles, DataFilesError},
};

use crate::wire::{ANSWER, ASK, Ask, What, answer, read_frame, write_frame};

/// What the child says to its parent, and who waits for an answer.
#[derive(Debug)]
pub(crate) struct Parent {
    out: Mutex<Stdout>,
    waiting: Mutex<HashMap<u64, Sender<(u8, Bytes)>>>,
    next: AtomicU64,
}

impl Parent {
    pub(crate) fn new() -> Arc<Self> {
        let (waiting, next) = Default::default();
        Arc::new(Self { out: Mutex::new(std::io::stdout()), waiting, next })
    }

    /// Says something. A parent that does not listen is gone, and so is the reason to go on.
    pub(crate) fn tell(&self, kind: u8, parts: &[&[u8]]) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if write_frame(&mut *out, kind, parts).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// Hands answers to those who wait for them until the parent closes its end.
    pub(crate) fn listen(&self, from: &mut impl Read) {
        while let Ok(Some((kind, bytes))) = read_frame(from) {
            if kind != ANSWER || bytes.len() < 9 {
                return;
            }
            let bytes = Bytes::from(bytes);
            let number = u64::from_le_bytes(bytes[..8].try_into().unwrap_or_default());
            let waits = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            if let Some(waits) = waits {
                let _ = waits.send((bytes[8], bytes.slice(9..)));
            }
        }
    }

    fn send(&self, number: u64, what: What) {
        // Of numbers and names alone: nothing in it fails to be written.
        let ask = serde_json::to_vec(&Ask { number, what }).unwrap_or_default();
        self.tell(ASK, &[&ask]);
    }

    fn ask(&self, what: What) -> Result<(u64, Bytes), DataFilesError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answered) = channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, sender);
        self.send(number, what);
        let (how, bytes) = answered.recv().map_err(|error| DataFilesError::Unavailable(error.into()))?;
        let words = || String::from_utf8_lossy(&bytes).into_owned();
        match how {
            answer::DONE => Ok((number, bytes)),
            answer::MISSING => Err(DataFilesError::Missing),
            answer::CHANGED => Err(DataFilesError::Changed),
            answer::UNREADABLE => Err(DataFilesError::Unreadable(words().into())),
            _ => Err(DataFilesError::Unavailable(words().into())),
        }
    }
}

/// Opens files by asking the parent.
pub(crate) struct ParentFiles(pub(crate) Arc<Parent>);

#[async_trait]
impl DataFiles for ParentFiles {
    async fn list(&self, _: &DatasetSource) -> Result<Vec<DataFileEntry>, DataFilesError> {
        Err(DataFilesError::Unreadable("files are listed before".into()))
    }

    fn open(&self, entry: &DataFileEntry) -> Result<Arc<dyn DataFile>, DataFilesError> {
        let (file, far) = self.0.ask(What::Open(entry.clone()))?;
        Ok(Arc::new(ParentFile { parent: Arc::clone(&self.0), file, far: far.first() == Some(&1) }))
    }
}

#[derive(Debug)]
struct ParentFile {
    parent: Arc<Parent>,
    file: u64,
    far: bool,
}

impl DataFile for ParentFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> Result<usize, DataFilesError> {
        let (_, bytes) = self.parent.ask(What::ReadAt { file: self.file, position, length: buffer.len() })?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, DataFilesError> {
        let asked = ranges.iter().map(|range| (range.start, range.end)).collect();
        let (_, mut bytes) = self.parent.ask(What::Ranges { file: self.file, ranges: asked })?;
        let each = |range: &Range<u64>| {
            let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
            let short = || DataFilesError::Unavailable("an answer that is too short".into());
            if length > bytes.len() { Err(short()) } else { Ok(bytes.split_to(length)) }
        };
        ranges.iter().map(each).collect()
    }

    fn is_far(&self) -> bool {
        self.far
    }

    fn check(&self) -> Result<(), DataFilesError> {
        self.parent.ask(What::Check { file: self.file }).map(|_| ())
    }
}

impl Drop for ParentFile {
    fn drop(&mut self) {
        self.parent.send(0, What::Close { file: self.file });
    }
}
