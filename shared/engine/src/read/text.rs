//! Bytes brought to UTF-8.
//!
//! A mark at the start is taken off and believed: UTF-8, or UTF-16 in either order, which is decoded. Without a mark
//! the text is UTF-8. No other encoding is guessed: a wrong guess would put other letters into names, and nobody would
//! be told. Bytes that are no UTF-8 are handed on as they are, for the row in which they stand to tell.

use std::io::{self, BufRead, Read};

use super::error::FileError;

const CHUNK: usize = 64 << 10;

/// Text in UTF-8, as far as it is text.
pub(super) struct Utf8<R> {
    input: R,
    form: Option<Form>,
    raw: Vec<u8>,
    out: Vec<u8>,
    taken: usize,
    /// The first half of a pair whose second half has not come.
    high: Option<u16>,
}

#[derive(Clone, Copy)]
enum Form {
    Utf8,
    Utf16(fn([u8; 2]) -> u16),
}

impl<R: Read> Utf8<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, form: None, raw: Vec::new(), out: Vec::new(), taken: 0, high: None }
    }

    /// Reads until there are `least` raw bytes, or the input has ended: then it answers true.
    fn read_raw(&mut self, least: usize) -> io::Result<bool> {
        let mut length = self.raw.len();
        self.raw.resize(CHUNK, 0);
        let mut ended = false;
        while length < least && !ended {
            match self.input.read(&mut self.raw[length..]) {
                Ok(0) => ended = true,
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.raw.truncate(length);
                    return Err(error);
                }
            }
        }
        self.raw.truncate(length);
        Ok(ended)
    }

    fn refill(&mut self) -> io::Result<()> {
        self.taken = 0;
        self.out.clear();
        let Some(form) = self.form else {
            self.read_raw(4)?;
            let (form, mark) = match self.raw.as_slice() {
                [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => {
                    let detail = "the text is UTF-32: UTF-8 and UTF-16 are read".into();
                    return Err(FileError::Malformed { line: None, detail }.into());
                }
                [0xEF, 0xBB, 0xBF, ..] => (Form::Utf8, 3),
                [0xFF, 0xFE, ..] => (Form::Utf16(u16::from_le_bytes), 2),
                [0xFE, 0xFF, ..] => (Form::Utf16(u16::from_be_bytes), 2),
                _ => (Form::Utf8, 0),
            };
            self.form = Some(form);
            self.raw.drain(..mark);
            return if self.raw.is_empty() { self.refill() } else { self.convert(form, false) };
        };
        let ended = self.read_raw(self.raw.len() + 1)?;
        self.convert(form, ended)
    }

    /// Moves what is read to where it is taken from.
    fn convert(&mut self, form: Form, ended: bool) -> io::Result<()> {
        let Form::Utf16(unit) = form else {
            std::mem::swap(&mut self.raw, &mut self.out);
            return Ok(());
        };
        let whole = self.raw.len() / 2 * 2;
        for pair in self.raw[..whole].chunks_exact(2) {
            let unit = unit([pair[0], pair[1]]);
            match (self.high.take(), unit) {
                (Some(high), 0xDC00..=0xDFFF) => {
                    let code = 0x10000 + ((u32::from(high) - 0xD800) << 10) + (u32::from(unit) - 0xDC00);
                    push(code, &mut self.out);
                    continue;
                }
                (Some(high), _) => push(high.into(), &mut self.out),
                (None, _) => {}
            }
            match unit {
                0xD800..=0xDBFF => self.high = Some(unit),
                _ => push(unit.into(), &mut self.out),
            }
        }
        self.raw.drain(..whole);
        if ended {
            if let Some(high) = self.high.take() {
                push(high.into(), &mut self.out);
            }
            // Half a unit is no text.
            if self.raw.pop().is_some() {
                self.out.push(0xFF);
            }
            return Ok(());
        }
        // One byte, or the first half of a pair alone, is not yet anything.
        if self.out.is_empty() { self.refill() } else { Ok(()) }
    }
}

/// Writes a code point; half of a pair in the form that UTF-8 forbids, so that its row is told not to be text.
fn push(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        None => out.extend_from_slice(&[0xED, 0x80 | (code >> 6 & 0x3F) as u8, 0x80 | (code & 0x3F) as u8]),
    }
}

impl<R: Read> BufRead for Utf8<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.out.len() {
            self.refill()?;
        }
        Ok(&self.out[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
    }
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ready = self.fill_buf()?;
        let read = ready.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}
