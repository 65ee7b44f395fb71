//! One row of JSON: an object, its members as values with all their digits.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Limits,
    row::{Columns, Kind, Row},
};

/// What is wrong with an object.
pub(super) struct Fault {
    /// How many lines behind the first of the object.
    pub(super) line: u64,
    pub(super) detail: String,
}

/// Puts an object's members into the row, and columns that were not there before behind the others.
pub(super) fn object(text: &str, columns: &mut Columns, limits: &Limits, row: &mut Row) -> Result<(), Fault> {
    // Before anything looks into it: whatever looks is as deep in the stack as the text in itself.
    if depth(text) > limits.depth {
        let detail = format!("arrays and objects lie in each other more than {} deep", limits.depth);
        return Err(Fault { line: 0, detail });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = Members { columns, limits, row };
    members.deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(|error| fault(&error))
}

fn fault(error: &serde_json::Error) -> Fault {
    let line = (error.line() as u64).saturating_sub(1);
    Fault { line, detail: format!("{} at column {}", said(error), error.column()) }
}

/// What is wrong, without the place, which is told apart.
fn said(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.rsplit_once(" at line ").map_or(said.as_str(), |(detail, _)| detail).to_owned()
}

/// How deep brackets lie in each other.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
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
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The members of the row's object.
struct Members<'a> {
    columns: &'a mut Columns,
    limits: &'a Limits,
    row: &'a mut Row,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(place) = map.next_key_seed(Name { columns: self.columns, limits: self.limits })? {
            let value: &RawValue = map.next_value()?;
            if !put(self.row, place, value.get()).map_err(A::Error::custom)? {
                let name = &self.columns.names()[place];
                return Err(A::Error::custom(format_args!("the member {name:?} is there twice")));
            }
        }
        Ok(())
    }
}

/// Puts a value, which is JSON, at its place. False where there is one already.
fn put(row: &mut Row, place: usize, value: &str) -> Result<bool, String> {
    Ok(match value.as_bytes().first() {
        Some(b'n') => row.put(place, Kind::Null, ""),
        Some(b't') => row.put(place, Kind::True, ""),
        Some(b'f') => row.put(place, Kind::False, ""),
        Some(b'"') if !value.contains('\\') => row.put(place, Kind::Text, &value[1..value.len() - 1]),
        Some(b'"') => row.put(place, Kind::Text, &text(value)?),
        Some(b'{' | b'[') => {
            check(value)?;
            row.put(place, Kind::Json, value)
        }
        _ => row.put(place, Kind::Number, value),
    })
}

fn text(value: &str) -> Result<String, String> {
    serde_json::from_str(value).map_err(|error| said(&error))
}

/// A member's name, looked up or added.
struct Name<'a> {
    columns: &'a mut Columns,
    limits: &'a Limits,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        if let Some(place) = self.columns.place(name) {
            return Ok(place);
        }
        let Limits { columns, name_bytes, .. } = *self.limits;
        if name.is_empty() {
            return Err(E::custom("a member has no name"));
        }
        if name.len() > name_bytes {
            return Err(E::custom(format_args!(
                "a member's name is longer than {name_bytes} bytes, which is the limit"
            )));
        }
        if self.columns.len() >= columns {
            return Err(E::custom(format_args!(
                "with the member {name:?} there are more than {columns} columns, which is the limit"
            )));
        }
        self.columns.add(name);
        Ok(self.columns.len() - 1)
    }
}

/// Whether no object within a value names a member twice, and every text in it is one.
fn check(value: &str) -> Result<(), String> {
    match value.as_bytes().first() {
        Some(b'{' | b'[') => {
            let mut deserializer = serde_json::Deserializer::from_str(value);
            deserializer.deserialize_any(Inner).map_err(|error| said(&error))
        }
        Some(b'"') if value.contains('\\') => text(value).map(drop),
        _ => Ok(()),
    }
}

/// The inside of an array or object. As deep in the stack as they lie in each other, which is bounded.
struct Inner;

impl<'de> Visitor<'de> for Inner {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &RawValue>()? {
            check(value.get()).map_err(A::Error::custom)?;
            if let Some(twice) = seen.replace(name) {
                return Err(A::Error::custom(format_args!("the member {twice:?} is there twice")));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(value) = array.next_element::<&RawValue>()? {
            check(value.get()).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
