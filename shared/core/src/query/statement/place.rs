//! Where in a statement something is, told as people look for it.

use std::fmt;

use sqlparser::tokenizer::Location;

use crate::query::SyntaxError;

/// A place in the text of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// In characters from 0.
    pub(super) offset: usize,
    line: usize,
    column: usize,
}

impl Place {
    /// An error told in few words.
    pub(super) fn at(self, detail: impl fmt::Display) -> SyntaxError {
        SyntaxError { detail: format!("{detail} {self}"), offset: Some(self.offset) }
    }

    /// An error told in a whole sentence.
    pub(super) fn sentence(self, detail: impl fmt::Display) -> SyntaxError {
        let Self { offset, line, column } = self;
        let detail = format!("{detail} (at line {line}, column {column}, position {})", offset + 1);
        SyntaxError { detail, offset: Some(offset) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at line {}, column {} (position {})", self.line, self.column, self.offset + 1)
    }
}

/// Where each line begins, in characters.
#[derive(Debug)]
pub(super) struct Lines {
    starts: Vec<usize>,
    length: usize,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let mut starts = vec![0];
        let mut length = 0;
        for c in text.chars() {
            length += 1;
            if c == '\n' {
                starts.push(length);
            }
        }
        Self { starts, length }
    }

    /// The place of what the tokenizer found there; the beginning for what it did not place.
    pub(super) fn place(&self, location: Location) -> Place {
        let line = usize::try_from(location.line).unwrap_or(usize::MAX).clamp(1, self.starts.len());
        let column = usize::try_from(location.column).unwrap_or(usize::MAX).max(1);
        let start = self.starts[line - 1];
        let offset = start.saturating_add(column - 1).min(self.length);
        Place { offset, line, column: offset - start + 1 }
    }

    /// The place of a character.
    pub(super) fn at(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        Place { offset, line, column: offset - self.starts[line - 1] + 1 }
    }

    /// The end of the text.
    pub(super) fn end(&self) -> Place {
        self.at(self.length)
    }
}
