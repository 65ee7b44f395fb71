//! What parent and child tell each other: frames of a kind, a length, and bytes.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use willcall_core::{
    catalog::Dataset,
    job::{Problem, kinds::SqlWork},
    ports::DataFileEntry,
};
use willcall_engine::statement::Listed;

/// The work, to the child, as its first frame.
pub(crate) const WORK: u8 = b'W';
/// An answer, to the child: the request's number, whether it went well, and bytes.
pub(crate) const ANSWER: u8 = b'A';
/// A request for bytes of a file.
pub(crate) const ASK: u8 = b'Q';
/// A data set and files of it, by their places in the lists, which are read now.
pub(crate) const READING: u8 = b'F';
/// Bytes of Arrow's stream.
pub(crate) const RECORDS: u8 = b'R';
/// The child is alive.
pub(crate) const TICK: u8 = b'T';
/// The end, with the outcome.
pub(crate) const OUTCOME: u8 = b'O';

/// The most bytes of a frame.
const MOST: u64 = 1 << 31;

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) work: SqlWork,
    /// With the files of each.
    pub(crate) datasets: Vec<(Dataset, Listed)>,
    pub(crate) threads: usize,
    pub(crate) read_memory: usize,
    /// Bytes that operators may hold before they spill.
    pub(crate) pool: usize,
    /// Bytes of address space beyond what is mapped at the start.
    pub(crate) memory: u64,
    pub(crate) cpu_seconds: u64,
    pub(crate) spill_dir: std::path::PathBuf,
    pub(crate) spill_limit: Option<u64>,
}

/// A request for something of a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) number: u64,
    pub(crate) what: What,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum What {
    /// Opens it, under the request's number. The answer is whether it is far.
    Open(DataFileEntry),
    /// Up to so many bytes from a position.
    ReadAt { file: u64, position: u64, length: usize },
    /// All bytes of ranges.
    Ranges { file: u64, ranges: Vec<(u64, u64)> },
    /// Whether it is still what was listed.
    Check { file: u64 },
    /// It is not needed any more. Has no answer.
    Close { file: u64 },
}

/// How it went with a request: an answer's second part.
pub(crate) mod answer {
    pub(crate) const DONE: u8 = 0;
    pub(crate) const MISSING: u8 = 1;
    pub(crate) const CHANGED: u8 = 2;
    pub(crate) const UNREADABLE: u8 = 3;
    pub(crate) const UNAVAILABLE: u8 = 4;
}

/// How the statement ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Done {
        found: Option<u64>,
        more: bool,
    },
    /// With what the log may know beyond the problem.
    Failed {
        problem: Problem,
        transient: bool,
        log: Option<String>,
    },
}

/// Writes a frame whole.
pub(crate) fn write_frame(to: &mut impl Write, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut head = [kind, 0, 0, 0, 0, 0, 0, 0, 0];
    head[1..].copy_from_slice(&(length as u64).to_le_bytes());
    to.write_all(&head)?;
    parts.iter().try_for_each(|part| to.write_all(part))?;
    to.flush()
}

/// The next frame; none at the end.
pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 9];
    if from.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut head[1..])?;
    let [kind, length @ ..] = head;
    let length = u64::from_le_bytes(length);
    if length > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame that is too long"));
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    Ok(Some((kind, bytes)))
}
