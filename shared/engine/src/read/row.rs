//! A row and the names of its columns.

use std::{collections::HashMap, ops::Range};

/// The columns of a file, by place and by name. Those of CSV are known from the header on; those of JSON are found as
/// rows are read, in the order of their first appearance, and stay where they are.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Columns {
    /// All names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many there are so far.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none so far.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The place of the column of that name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Adds a column; a name that is there already changes nothing, and answers false.
    pub(super) fn add(&mut self, name: &str) -> bool {
        let new = !self.places.contains_key(name);
        if new {
            self.places.insert(name.to_owned(), self.names.len());
            self.names.push(name.to_owned());
        }
        new
    }
}

/// A value of a row, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// The row has no such member, or ended before it.
    Missing,
    /// JSON's null, or a field of CSV with nothing between its delimiters.
    Null,
    /// Text of CSV without its quotes, or of JSON without its escapes. An empty one was `""`.
    Text(&'a str),
    /// JSON's true or false.
    Boolean(bool),
    /// A number of JSON with all its digits.
    Number(&'a str),
    /// An array or object of JSON as it stands.
    Json(&'a str),
}

/// One row. Reading the next one into it uses its memory again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub(super) number: u64,
    pub(super) line: u64,
    text: String,
    fields: Vec<Slot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    kind: Kind,
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Missing,
    Null,
    Text,
    True,
    False,
    Number,
    Json,
}

const MISSING: Slot = Slot { kind: Kind::Missing, start: 0, end: 0 };

impl Row {
    /// Its number, from 1. Rows that were in error count too; the header and blank lines do not.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The line on which it begins, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The value of the column at that place.
    pub fn field(&self, place: usize) -> Field<'_> {
        let Some(slot) = self.fields.get(place) else { return Field::Missing };
        let text = &self.text[slot.start..slot.end];
        match slot.kind {
            Kind::Missing => Field::Missing,
            Kind::Null => Field::Null,
            Kind::Text => Field::Text(text),
            Kind::True => Field::Boolean(true),
            Kind::False => Field::Boolean(false),
            Kind::Number => Field::Number(text),
            Kind::Json => Field::Json(text),
        }
    }

    /// How many places it has; all after them are [`Field::Missing`].
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The bytes of its values' text.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    pub(super) fn begin(&mut self, number: u64, line: u64) {
        (self.number, self.line) = (number, line);
        self.text.clear();
        self.fields.clear();
    }

    /// Where the text of the next value begins, and its text is to be added.
    pub(super) fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// Adds a value with its text.
    pub(super) fn push(&mut self, kind: Kind, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.push_added(kind, start..self.text.len());
    }

    /// Adds a value whose text was added.
    pub(super) fn push_added(&mut self, kind: Kind, range: Range<usize>) {
        self.fields.push(Slot { kind, start: range.start, end: range.end });
    }

    /// Makes nothing of the values with such text.
    pub(super) fn forget(&mut self, is_such: impl Fn(&str) -> bool) {
        for slot in &mut self.fields {
            if is_such(&self.text[slot.start..slot.end]) {
                *slot = MISSING;
            }
        }
    }

    /// Puts a value with its text at a place. False, and nothing done, where there is one.
    pub(super) fn put(&mut self, place: usize, kind: Kind, text: &str) -> bool {
        if self.fields.len() <= place {
            self.fields.resize(place + 1, MISSING);
        }
        if self.fields[place].kind != Kind::Missing {
            return false;
        }
        let start = self.text.len();
        self.text.push_str(text);
        self.fields[place] = Slot { kind, start, end: self.text.len() };
        true
    }
}
