//! A JSON array cut into its elements, one at a time.
//!
//! Brackets are counted here, not matched: an element that is not JSON is found when it is read, and the next one is
//! where its brackets have ended.

use super::{
    error::FileError,
    lines::{Input, Raw, breaks, ready},
};

/// Elements of an array that is the whole file.
pub(super) struct Elements {
    input: Input,
    line: u64,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    First,
    Behind,
    End,
}

impl Elements {
    pub(super) fn new(input: Input) -> Self {
        Self { input, line: 1, place: Place::Start }
    }

    /// The next element; false where the array and the file have ended.
    pub(super) fn next(&mut self, raw: &mut Raw, limit: usize) -> Result<bool, FileError> {
        if self.place == Place::Start {
            match self.significant()? {
                Some(b'[') => self.take(),
                Some(byte) => return Err(self.unexpected(byte, "an array begins with [")),
                None => {
                    return Err(FileError::malformed(self.line, "the file is empty: an array begins with ["));
                }
            }
            self.place = Place::First;
        }
        if self.place == Place::End {
            return Ok(false);
        }
        match (self.significant()?, self.place) {
            (Some(b']'), _) => {
                self.take();
                self.place = Place::End;
                return match self.significant()? {
                    None => Ok(false),
                    Some(byte) => Err(self.unexpected(byte, "nothing may come behind the array's end")),
                };
            }
            (Some(b','), Place::Behind) => self.take(),
            (Some(byte), Place::Behind) => {
                return Err(self.unexpected(byte, "between elements stands a comma, behind the last one ]"));
            }
            (Some(_), _) => {}
            (None, _) => return Err(self.cut_short()),
        }
        self.place = Place::Behind;
        match self.significant()? {
            Some(byte @ (b',' | b']' | b'}')) => return Err(self.unexpected(byte, "an element is missing")),
            Some(_) => {}
            None => return Err(self.cut_short()),
        }
        raw.begin(self.line);
        self.element(raw, limit)?;
        Ok(true)
    }

    fn element(&mut self, raw: &mut Raw, limit: usize) -> Result<(), FileError> {
        let (mut depth, mut in_text, mut escaped) = (0_u64, false, false);
        loop {
            let ready = ready(&mut self.input)?;
            if ready.is_empty() {
                return Err(self.cut_short());
            }
            let mut end = None;
            for (place, byte) in ready.iter().enumerate() {
                if in_text {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => in_text = false,
                        _ => {}
                    }
                    continue;
                }
                match byte {
                    b'"' => in_text = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' | b',' if depth == 0 => {
                        end = Some(place);
                        break;
                    }
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            end = Some(place + 1);
                            break;
                        }
                    }
                    _ => {}
                }
            }
            let length = end.unwrap_or(ready.len());
            raw.add(&ready[..length], limit, in_text);
            self.line += breaks(&ready[..length]);
            self.input.consume(length);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// The next byte that is no white space, which stays where it is.
    fn significant(&mut self) -> Result<Option<u8>, FileError> {
        loop {
            let ready = ready(&mut self.input)?;
            let blank = ready.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            let next = ready.get(blank).copied();
            let at_end = ready.is_empty();
            self.line += breaks(&ready[..blank]);
            self.input.consume(blank);
            if next.is_some() || at_end {
                return Ok(next);
            }
        }
    }

    fn take(&mut self) {
        self.input.consume(1);
    }

    fn unexpected(&self, byte: u8, rule: &str) -> FileError {
        FileError::malformed(self.line, format!("{:?} is not expected here: {rule}", char::from(byte)))
    }

    fn cut_short(&self) -> FileError {
        FileError::malformed(self.line, "the file is cut short: it ends in the middle of the array")
    }
}
