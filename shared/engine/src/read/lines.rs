//! A file cut into lines, each a row as it is written.

use std::io::{self, BufRead};

use super::error::FileError;

/// Text of a file, read once from start to end.
pub(super) type Input = Box<dyn BufRead + Send>;

/// The bytes of one row as they are written, without the line break behind them.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) bytes: Vec<u8>,
    /// The line on which it begins.
    pub(super) line: u64,
    /// Whether there was more than may be held. The rest was passed over.
    pub(super) too_large: bool,
    /// Whether a quote was open where too much had come.
    pub(super) in_quotes: bool,
}

impl Raw {
    pub(super) fn begin(&mut self, line: u64) {
        self.bytes.clear();
        (self.line, self.too_large, self.in_quotes) = (line, false, false);
    }

    /// Adds bytes, as long as there is room for them.
    pub(super) fn add(&mut self, bytes: &[u8], limit: usize, in_quotes: bool) {
        if self.too_large {
            return;
        }
        if self.bytes.len() + bytes.len() > limit {
            self.too_large = true;
            self.in_quotes = in_quotes;
            self.bytes.clear();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Takes the carriage return of a line break off.
    pub(super) fn end_line(&mut self) {
        if self.bytes.last() == Some(&b'\r') {
            self.bytes.pop();
        }
    }
}

/// What is ready of the input, which is nothing at its end alone.
pub(super) fn ready(input: &mut Input) -> Result<&[u8], FileError> {
    loop {
        // Asked for twice because the first answer would be borrowed until the caller is done.
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(input.fill_buf()?)
}

/// How many lines end in the bytes.
pub(super) fn breaks(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// Rows that are a line each. Blank lines are none.
pub(super) struct Lines {
    input: Input,
    line: u64,
}

impl Lines {
    pub(super) fn new(input: Input) -> Self {
        Self { input, line: 1 }
    }

    /// The next row; false at the end of the file.
    pub(super) fn next(&mut self, raw: &mut Raw, limit: usize) -> Result<bool, FileError> {
        loop {
            raw.begin(self.line);
            let mut any = false;
            loop {
                let ready = ready(&mut self.input)?;
                if ready.is_empty() {
                    break;
                }
                any = true;
                let end = ready.iter().position(|byte| *byte == b'\n');
                let length = end.unwrap_or(ready.len());
                raw.add(&ready[..length], limit, false);
                self.input.consume(length + usize::from(end.is_some()));
                if end.is_some() {
                    self.line += 1;
                    break;
                }
            }
            if !any {
                return Ok(false);
            }
            raw.end_line();
            if raw.too_large || !raw.bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }
}
