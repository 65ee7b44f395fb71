//! The end of the pipeline: hashes, keeps the page index, and hands the bytes to the blob store's writers.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Sender;
use willcall_core::{
    job::pages::{PAGE_BYTES, index_entry},
    ports::ExecuteError,
};

use crate::{attempt::Attempt, failure::Outcome, formats::Chunk};

/// How many bytes are handed on at once.
const PIECE: usize = 1 << 20;

/// What the pipeline's threads hand to the task that holds the blob writers.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes of the result's file.
    Data(Bytes),
    /// Bytes of the page index.
    Index(Bytes),
}

/// Takes the bytes of the result in order.
pub(crate) struct Sink {
    attempt: Arc<Attempt>,
    sender: Sender<Piece>,
    buffer: Vec<u8>,
    index: Vec<u8>,
    hash: Sha256,
    crc: crc32fast::Hasher,
    bytes: u64,
    pages: u64,
    limit: Option<u64>,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) crc32: String,
    pub(crate) pages: u64,
}

impl Sink {
    /// A sink that is full once it has taken `limit` bytes.
    pub(crate) fn new(attempt: Arc<Attempt>, sender: Sender<Piece>, limit: Option<u64>) -> Self {
        Self {
            limit,
            attempt,
            sender,
            buffer: Vec::new(),
            index: Vec::new(),
            hash: Sha256::new(),
            crc: crc32fast::Hasher::new(),
            bytes: 0,
            pages: 0,
        }
    }

    /// Bytes written so far: where the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.bytes
    }

    /// Whether no further record is to be written. What ends the file still is.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full_at(self.bytes)
    }

    /// Whether it is full once it has taken the bytes before `position`.
    pub(crate) fn is_full_at(&self, position: u64) -> bool {
        self.limit.is_some_and(|limit| position >= limit)
    }

    /// Appends bytes, which it copies.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.count(bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    /// Appends bytes, which it hands on as they are where there are many.
    pub(crate) fn write_owned(&mut self, bytes: Bytes) -> Outcome<()> {
        if bytes.len() < PIECE / 4 {
            return self.write(&bytes);
        }
        self.flush()?;
        self.count(&bytes);
        self.send(Piece::Data(bytes))
    }

    /// Notes where a page lies.
    pub(crate) fn page(&mut self, offset: u64, length: u64) -> Outcome<()> {
        self.pages += 1;
        self.index.extend_from_slice(&index_entry(offset, length));
        if self.index.len() >= PIECE {
            let index = std::mem::take(&mut self.index);
            self.send(Piece::Index(index.into()))?;
        }
        Ok(())
    }

    /// Hands on everything.
    pub(crate) fn finish(mut self) -> Outcome<Written> {
        self.flush()?;
        if !self.index.is_empty() {
            let index = std::mem::take(&mut self.index);
            self.send(Piece::Index(index.into()))?;
        }
        Ok(Written {
            bytes: self.bytes,
            sha256: hex::encode(self.hash.finalize()),
            crc32: format!("{:08x}", self.crc.finalize()),
            pages: self.pages,
        })
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.crc.update(bytes);
        self.bytes += bytes.len() as u64;
        self.attempt.control.add_written(0, bytes.len() as u64);
    }

    fn flush(&mut self) -> Outcome<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.buffer);
        self.send(Piece::Data(piece.into()))
    }

    fn send(&self, piece: Piece) -> Outcome<()> {
        self.attempt.check()?;
        // Nobody takes it where writing has failed: that error is the one that is told.
        self.sender.blocking_send(piece).map_err(|_| ExecuteError::Cancelled)
    }
}

/// Decides where pages end, by the lengths of the records alone.
pub(crate) struct Cutter {
    page_size: u64,
    separator: usize,
    records: u64,
    bytes: usize,
}

impl Cutter {
    pub(crate) fn new(page_size: u32, separator: usize) -> Self {
        Self { page_size: u64::from(page_size.max(1)), separator, records: 0, bytes: 0 }
    }

    /// Takes the next record; tells whether it begins a page other than the first.
    pub(crate) fn begins_page(&mut self, length: usize) -> bool {
        let grown = self.bytes + self.separator + length;
        if self.records > 0 && (self.records >= self.page_size || grown > PAGE_BYTES) {
            (self.records, self.bytes) = (1, length);
            return true;
        }
        self.bytes = if self.records == 0 { length } else { grown };
        self.records += 1;
        false
    }
}

/// Records as text of which some are left out at the start and the end.
pub(crate) struct Trimmed<I> {
    pub(crate) chunks: I,
    pub(crate) skip: u64,
    pub(crate) take: u64,
}

impl<I: Iterator<Item = Outcome<Chunk>>> Iterator for Trimmed<I> {
    type Item = Outcome<(Chunk, std::ops::Range<usize>)>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.take > 0 {
            let chunk = match self.chunks.next()? {
                Ok(chunk) => chunk,
                Err(error) => return Some(Err(error)),
            };
            let records = chunk.ends.len();
            let first = usize::try_from(self.skip).unwrap_or(usize::MAX).min(records);
            self.skip -= first as u64;
            let last = first.saturating_add(usize::try_from(self.take).unwrap_or(usize::MAX)).min(records);
            self.take -= (last - first) as u64;
            if first < last {
                return Some(Ok((chunk, first..last)));
            }
        }
        None
    }
}
