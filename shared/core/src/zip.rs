//! The frame of a zip whose files are known beforehand: what stands before, between and behind their bytes.
//!
//! Files are stored as they are (method 0), with sizes and CRC-32 in front of them, so that nobody need see their bytes to
//! write the rest. ZIP64 is used where a number does not fit, and nowhere else: old readers open what they can. The same
//! files give the same bytes.

use crate::Timestamp;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// The versions of the format that a reader must know.
const PLAIN: u16 = 20;
const ZIP64: u16 = 45;
/// Made on Unix, so that the mode below counts.
const MADE_BY: u16 = (3 << 8) | ZIP64;
/// A file that its owner may write and all may read.
const MODE: u32 = 0o100_644 << 16;
/// Names are UTF-8.
const UTF8: u16 = 1 << 11;
/// The extra field of ZIP64.
const EXTRA_64: u16 = 1;

/// A file of the zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipEntry {
    /// Its name, of letters, digits, `.`, `-` and `_`: it leads nowhere but beside the others.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The CRC-32 of its bytes.
    pub crc32: u32,
}

/// What a zip has beside its files' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipFrame {
    /// What comes before the bytes of each file.
    pub heads: Vec<Vec<u8>>,
    /// What comes behind the last.
    pub tail: Vec<u8>,
    /// The size of the whole.
    pub size: u64,
}

/// The frame of a zip of these files, all of which were written at that time.
pub fn frame(entries: &[ZipEntry], written: Timestamp) -> ZipFrame {
    let stamp = dos_stamp(written);
    let (mut heads, mut directory) = (Vec::with_capacity(entries.len()), Vec::new());
    let mut offset = 0;
    for entry in entries {
        let head = local(entry, stamp);
        central(&mut directory, entry, stamp, offset);
        offset += head.len() as u64 + entry.size;
        heads.push(head);
    }
    let length = directory.len() as u64;
    let mut tail = directory;
    end(&mut tail, entries.len() as u64, length, offset);
    ZipFrame { heads, size: offset + tail.len() as u64, tail }
}

fn local(entry: &ZipEntry, stamp: u32) -> Vec<u8> {
    let large = entry.size >= u64::from(u32::MAX);
    let mut out = Vec::new();
    put(&mut out, &LOCAL.to_le_bytes());
    put(&mut out, &if large { ZIP64 } else { PLAIN }.to_le_bytes());
    shared(&mut out, entry, stamp);
    put(&mut out, &if large { 20_u16 } else { 0 }.to_le_bytes());
    put(&mut out, entry.name.as_bytes());
    if large {
        put(&mut out, &EXTRA_64.to_le_bytes());
        put(&mut out, &16_u16.to_le_bytes());
        // Packed and unpacked: stored files have one size.
        put(&mut out, &entry.size.to_le_bytes());
        put(&mut out, &entry.size.to_le_bytes());
    }
    out
}

fn central(out: &mut Vec<u8>, entry: &ZipEntry, stamp: u32, offset: u64) {
    let mut extra = Vec::new();
    if entry.size >= u64::from(u32::MAX) {
        put(&mut extra, &entry.size.to_le_bytes());
        put(&mut extra, &entry.size.to_le_bytes());
    }
    if offset >= u64::from(u32::MAX) {
        put(&mut extra, &offset.to_le_bytes());
    }
    put(out, &CENTRAL.to_le_bytes());
    put(out, &MADE_BY.to_le_bytes());
    put(out, &if extra.is_empty() { PLAIN } else { ZIP64 }.to_le_bytes());
    shared(out, entry, stamp);
    // At most three numbers of eight bytes, with their own head of four.
    let length = if extra.is_empty() { 0 } else { extra.len() as u16 + 4 };
    put(out, &length.to_le_bytes());
    // Neither comment, nor a second disk, nor marks of text.
    put(out, &[0; 6]);
    put(out, &MODE.to_le_bytes());
    put(out, &short(offset).to_le_bytes());
    put(out, entry.name.as_bytes());
    if !extra.is_empty() {
        put(out, &EXTRA_64.to_le_bytes());
        put(out, &(extra.len() as u16).to_le_bytes());
        put(out, &extra);
    }
}

/// What both headers of a file have: from the flags to the length of its name.
fn shared(out: &mut Vec<u8>, entry: &ZipEntry, stamp: u32) {
    put(out, &UTF8.to_le_bytes());
    put(out, &0_u16.to_le_bytes());
    put(out, &stamp.to_le_bytes());
    put(out, &entry.crc32.to_le_bytes());
    put(out, &short(entry.size).to_le_bytes());
    put(out, &short(entry.size).to_le_bytes());
    put(out, &(entry.name.len() as u16).to_le_bytes());
}

fn end(out: &mut Vec<u8>, entries: u64, length: u64, offset: u64) {
    let large = entries >= u64::from(u16::MAX) || length.max(offset) >= u64::from(u32::MAX);
    if large {
        let begins = offset + length;
        put(out, &END_64.to_le_bytes());
        // Without the signature and this number itself.
        put(out, &44_u64.to_le_bytes());
        put(out, &MADE_BY.to_le_bytes());
        put(out, &ZIP64.to_le_bytes());
        put(out, &[0; 8]);
        for number in [entries, entries, length, offset] {
            put(out, &number.to_le_bytes());
        }
        put(out, &LOCATOR_64.to_le_bytes());
        put(out, &0_u32.to_le_bytes());
        put(out, &begins.to_le_bytes());
        put(out, &1_u32.to_le_bytes());
    }
    let count = u16::try_from(entries).unwrap_or(u16::MAX);
    put(out, &END.to_le_bytes());
    put(out, &[0; 4]);
    put(out, &count.to_le_bytes());
    put(out, &count.to_le_bytes());
    put(out, &short(length).to_le_bytes());
    put(out, &short(offset).to_le_bytes());
    put(out, &0_u16.to_le_bytes());
}

/// The number where it fits, else the mark that says it stands elsewhere.
fn short(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

/// The date and the time in UTC as MS-DOS wrote them, in steps of two seconds from 1980 to 2107: the time in the lower half.
fn dos_stamp(at: Timestamp) -> u32 {
    const FIRST: u32 = (1 << 21) | (1 << 16);
    let Ok(time) = jiff::Timestamp::from_millisecond(at.as_millis()) else { return FIRST };
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let part = |value: i8| u32::try_from(value).unwrap_or(0);
    match u32::try_from(time.year()) {
        Ok(year @ 1980..=2107) => {
            let date = ((year - 1980) << 9) | (part(time.month()) << 5) | part(time.day());
            let clock = (part(time.hour()) << 11) | (part(time.minute()) << 5) | (part(time.second()) / 2);
            (date << 16) | clock
        }
        _ => FIRST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_ms_dos_did() {
        let stamp = |text: &str| dos_stamp(Timestamp::parse(text).unwrap());
        // 2026-01-05: 46 years after 1980, month 1, day 5; 10:20:31 is written as 10:20:30.
        let (date, time) = ((46 << 9) | (1 << 5) | 5, (10 << 11) | (20 << 5) | 15);
        assert_eq!(stamp("2026-01-05T10:20:31.999Z"), (date << 16) | time);
        for outside in ["1979-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2108-01-01T00:00:00Z"] {
            assert_eq!(stamp(outside), 0x0021_0000, "{outside}");
        }
    }

    #[test]
    fn the_frame_has_the_size_that_it_tells() {
        for size in [0, 1, u64::from(u32::MAX) - 1, u64::from(u32::MAX), u64::from(u32::MAX) + 1, 5 << 40] {
            let entry = |name: &str| ZipEntry { name: name.into(), size, crc32: 7 };
            let entries = [entry("result.csv"), entry("manifest.json")];
            let ZipFrame { heads, tail, size: whole } = frame(&entries, Timestamp::from_millis(0));
            let own: usize = heads.iter().map(Vec::len).sum::<usize>() + tail.len();
            assert_eq!(whole, 2 * size + own as u64);
            let large = tail.windows(4).any(|four| four == END_64.to_le_bytes());
            assert_eq!(large, 2 * size >= u64::from(u32::MAX) - 200, "ZIP64 where a number needs it: {size}");
        }
    }
}
