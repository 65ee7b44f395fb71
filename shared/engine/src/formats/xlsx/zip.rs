//! A zip archive written from its start to its end without going back (APPNOTE 6.3): what is known of an entry only once
//! it is written follows it, and stands in the directory at the end. Entries of 4 GiB and more, and archives of that
//! size, are told as zip64 tells them. Nothing in it depends on when or where it is written.

use std::io::{self, Write};

use flate2::{Compression as Level, write::DeflateEncoder};

use crate::{failure::Outcome, sink::Sink};

/// Level of the compression: the default of most tools.
const LEVEL: u32 = 6;
/// The version of the format that has zip64.
const VERSION: u16 = 45;
/// Checksum and sizes come after the entry.
const FLAGS: u16 = 1 << 3;
const DEFLATE: u16 = 8;
/// 1980-01-01, the first day that the format knows.
const DATE: u16 = (1 << 5) | 1;
/// The extra field of zip64.
const ZIP64: u16 = 1;
/// Deflate's last block, with nothing in it.
const LAST: [u8; 2] = [3, 0];

/// A part of an entry, compressed by itself, so that parts can be made side by side.
pub(super) struct Part {
    packed: Vec<u8>,
    size: u64,
    crc: crc32fast::Hasher,
}

impl Part {
    pub(super) fn new(text: &[u8]) -> io::Result<Self> {
        let packed = Vec::with_capacity(text.len() / 5 + 64);
        let mut deflate = DeflateEncoder::new(packed, Level::new(LEVEL));
        deflate.write_all(text)?;
        // Up to a whole byte and not to an end: another part may follow.
        deflate.flush()?;
        let packed = std::mem::take(deflate.get_mut());
        let mut crc = crc32fast::Hasher::new();
        crc.update(text);
        Ok(Self { packed, size: text.len() as u64, crc })
    }
}

#[derive(Default)]
struct Entry {
    name: String,
    offset: u64,
    packed: u64,
    size: u64,
    crc: crc32fast::Hasher,
}

/// Writes an archive into the sink.
pub(super) struct Zip<'a> {
    sink: &'a mut Sink,
    entries: Vec<Entry>,
}

impl<'a> Zip<'a> {
    pub(super) fn new(sink: &'a mut Sink) -> Self {
        Self { sink, entries: Vec::new() }
    }

    /// Begins an entry; parts are appended to it until it is ended.
    pub(super) fn begin(&mut self, name: &str) -> Outcome<()> {
        let entry = Entry { name: name.to_owned(), offset: self.sink.position(), ..Entry::default() };
        let mut header = Vec::with_capacity(64);
        put(&mut header, &[&0x0403_4b50_u32.to_le_bytes()]);
        shorts(&mut header, &[VERSION, FLAGS, DEFLATE, 0, DATE]);
        // The checksum, then sizes that say: as zip64, and after the entry.
        put(&mut header, &[&[0; 4], &[0xFF; 8]]);
        shorts(&mut header, &[length(name), 20]);
        put(&mut header, &[name.as_bytes()]);
        shorts(&mut header, &[ZIP64, 16]);
        put(&mut header, &[&[0; 16]]);
        self.entries.push(entry);
        self.sink.write(&header)
    }

    /// Appends to the entry that was begun last.
    pub(super) fn append(&mut self, part: Part) -> Outcome<()> {
        if let Some(entry) = self.entries.last_mut() {
            entry.packed += part.packed.len() as u64;
            entry.size += part.size;
            entry.crc.combine(&part.crc);
        }
        self.sink.write_owned(part.packed.into())
    }

    /// Ends the entry that was begun last.
    pub(super) fn end(&mut self) -> Outcome<()> {
        self.sink.write(&LAST)?;
        let Some(entry) = self.entries.last_mut() else { return Ok(()) };
        entry.packed += LAST.len() as u64;
        let mut tail = Vec::with_capacity(24);
        put(&mut tail, &[&0x0807_4b50_u32.to_le_bytes(), &entry.crc.clone().finalize().to_le_bytes()]);
        put(&mut tail, &[&entry.packed.to_le_bytes(), &entry.size.to_le_bytes()]);
        self.sink.write(&tail)
    }

    /// Writes the directory.
    pub(super) fn finish(self) -> Outcome<()> {
        let start = self.sink.position();
        let mut directory = Vec::new();
        for entry in &self.entries {
            entry.describe(&mut directory);
        }
        end_of_directory(&mut directory, self.entries.len() as u64, start);
        self.sink.write(&directory)
    }
}

impl Entry {
    fn describe(&self, out: &mut Vec<u8>) {
        let wide: Vec<u64> = [self.size, self.packed, self.offset]
            .into_iter()
            .filter(|value| narrow(*value) == u32::MAX)
            .collect();
        let extra = if wide.is_empty() { 0 } else { 4 + 8 * wide.len() as u16 };
        put(out, &[&0x0201_4b50_u32.to_le_bytes()]);
        shorts(out, &[VERSION, VERSION, FLAGS, DEFLATE, 0, DATE]);
        put(out, &[&self.crc.clone().finalize().to_le_bytes()]);
        put(out, &[&narrow(self.packed).to_le_bytes(), &narrow(self.size).to_le_bytes()]);
        // No comment, the first disk, no attributes.
        shorts(out, &[length(&self.name), extra, 0, 0, 0, 0, 0]);
        put(out, &[&narrow(self.offset).to_le_bytes(), self.name.as_bytes()]);
        if !wide.is_empty() {
            shorts(out, &[ZIP64, extra - 4]);
            wide.iter().for_each(|value| put(out, &[&value.to_le_bytes()]));
        }
    }
}

/// What ends an archive, after its directory that begins at `start`.
fn end_of_directory(out: &mut Vec<u8>, entries: u64, start: u64) {
    let size = out.len() as u64;
    let few = u16::try_from(entries).unwrap_or(u16::MAX);
    if few == u16::MAX || narrow(size) == u32::MAX || narrow(start) == u32::MAX {
        put(out, &[&0x0606_4b50_u32.to_le_bytes(), &44_u64.to_le_bytes()]);
        shorts(out, &[VERSION, VERSION]);
        put(out, &[&[0; 8]]);
        [entries, entries, size, start].iter().for_each(|value| put(out, &[&value.to_le_bytes()]));
        put(
            out,
            &[&0x0706_4b50_u32.to_le_bytes(), &[0; 4], &(start + size).to_le_bytes(), &1_u32.to_le_bytes()],
        );
    }
    put(out, &[&0x0605_4b50_u32.to_le_bytes()]);
    shorts(out, &[0, 0, few, few]);
    put(out, &[&narrow(size).to_le_bytes(), &narrow(start).to_le_bytes(), &[0; 2]]);
}

/// The value in 32 bits; all of them set where it does not fit and stands elsewhere.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Names are ours and short.
fn length(name: &str) -> u16 {
    name.len() as u16
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn shorts(out: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bytes: &[u8], place: usize) -> u64 {
        u64::from_le_bytes(bytes[place..place + 8].try_into().expect("eight bytes"))
    }

    #[test]
    fn what_32_bits_do_not_hold_is_told_as_zip64() {
        let small = Entry {
            name: "s".into(),
            size: 9,
            packed: 5,
            offset: u64::from(u32::MAX) - 1,
            ..Entry::default()
        };
        let mut out = Vec::new();
        small.describe(&mut out);
        assert_eq!(out.len(), 46 + 1, "no extra field where none is needed");
        let large = Entry { size: 5 << 32, offset: 6 << 32, ..small };
        let mut out = Vec::new();
        large.describe(&mut out);
        assert_eq!(out.len(), 46 + 1 + 4 + 16);
        assert_eq!(out[20..28], [5, 0, 0, 0, 255, 255, 255, 255], "the packed size fits, the other does not");
        assert_eq!((at(&out, 51), at(&out, 59)), (5 << 32, 6 << 32), "the size comes before the offset");
    }

    #[test]
    fn a_directory_far_behind_has_the_end_of_zip64() {
        let mut near = vec![0; 100];
        end_of_directory(&mut near, 3, 1000);
        assert_eq!(near.len(), 122);
        let mut far = vec![0; 100];
        end_of_directory(&mut far, 3, 5 << 32);
        assert_eq!(far.len(), 100 + 56 + 20 + 22);
        assert_eq!((at(&far, 124), at(&far, 132), at(&far, 140), at(&far, 148)), (3, 3, 100, 5 << 32));
        assert_eq!(at(&far, 100 + 56 + 8), (5 << 32) + 100, "where the end of zip64 lies");
    }
}
