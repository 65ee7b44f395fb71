//! Reads the members of an object one by one, and notes everything that is wrong with any of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use willcall_core::{FieldError, Timestamp, query::nearest};

use super::json::escape;

/// The largest whole number that a float tells apart from its neighbours.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// An object's members. Each is taken out as it is read; `null` is as good as left out.
pub(crate) struct Members<'a> {
    place: String,
    left: Map<String, Value>,
    errors: &'a mut Vec<FieldError>,
}

/// A value's kind in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl<'a> Members<'a> {
    pub(crate) fn new(members: Map<String, Value>, errors: &'a mut Vec<FieldError>) -> Self {
        Self { place: "#".into(), left: members, errors }
    }

    /// Whether the member is there, even as `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// Whether the member is there and not null.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.shift_remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        let pointer = format!("{}/{}", self.place, escape(name));
        self.errors.push(FieldError { pointer, detail: detail.into() });
    }

    /// The same of a member's own member.
    pub(crate) fn wrong_within(&mut self, name: &str, inner: &str, detail: impl Into<String>) {
        let pointer = format!("{}/{}/{}", self.place, escape(name), escape(inner));
        self.errors.push(FieldError { pointer, detail: detail.into() });
    }

    fn expected(&mut self, name: &str, expected: &str, found: &Value) {
        self.wrong(name, format!("must be {expected}, not {}", kind_of(found)));
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => {
                self.expected(name, "a string", &other);
                None
            }
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(flag) => Some(flag),
            other => {
                self.expected(name, "a boolean", &other);
                None
            }
        }
    }

    /// A whole number from 0; `1e3` and `1000.0` are 1000.
    pub(crate) fn whole(&mut self, name: &str) -> Option<u64> {
        let value = self.take(name)?;
        let Value::Number(number) = &value else {
            self.expected(name, "a whole number", &value);
            return None;
        };
        let exact = |float: &f64| (0.0..=MAX_EXACT).contains(float) && float.fract() == 0.0;
        let whole = number.as_u64().or_else(|| number.as_f64().filter(exact).map(|float| float as u64));
        if whole.is_none() {
            self.wrong(name, format!("must be a whole number from 0 to {}, not {number}", u64::MAX));
        }
        whole
    }

    pub(crate) fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let items = match self.take(name)? {
            Value::Array(items) => items,
            other => {
                self.expected(name, "an array of strings", &other);
                return None;
            }
        };
        let mut texts = Vec::with_capacity(items.len());
        let count = items.len();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text),
                other => {
                    let pointer = format!("{}/{}/{index}", self.place, escape(name));
                    let detail = format!("must be a string, not {}", kind_of(&other));
                    self.errors.push(FieldError { pointer, detail });
                }
            }
        }
        (texts.len() == count).then_some(texts)
    }

    pub(crate) fn text_map(&mut self, name: &str) -> Option<BTreeMap<String, String>> {
        let members = match self.take(name)? {
            Value::Object(members) => members,
            other => {
                self.expected(name, "an object of strings", &other);
                return None;
            }
        };
        let mut map = BTreeMap::new();
        for (key, value) in members {
            match value {
                Value::String(text) => {
                    map.insert(key, text);
                }
                other => {
                    let pointer = format!("{}/{}/{}", self.place, escape(name), escape(&key));
                    let detail = format!("must be a string, not {}", kind_of(&other));
                    self.errors.push(FieldError { pointer, detail });
                }
            }
        }
        Some(map)
    }

    pub(crate) fn timestamp(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        let moment = Timestamp::parse(&text);
        if moment.is_none() {
            self.wrong(name, format!("{text:?} is not a moment: write 2026-01-05T10:00:00Z (RFC 3339)"));
        }
        moment
    }

    /// The members of an object within the object.
    pub(crate) fn object(&mut self, name: &str) -> Option<Members<'_>> {
        match self.take(name)? {
            Value::Object(left) => {
                let place = format!("{}/{}", self.place, escape(name));
                Some(Members { place, left, errors: self.errors })
            }
            other => {
                self.expected(name, "an object", &other);
                None
            }
        }
    }

    /// The objects of an array, each read by `read`.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(Members<'_>) -> T,
    ) -> Option<Vec<T>> {
        let items = match self.take(name)? {
            Value::Array(items) => items,
            other => {
                self.expected(name, "an array of objects", &other);
                return None;
            }
        };
        let mut objects = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{}/{}/{index}", self.place, escape(name));
            match item {
                Value::Object(left) => objects.push(read(Members { place, left, errors: self.errors })),
                other => {
                    let detail = format!("must be an object, not {}", kind_of(&other));
                    self.errors.push(FieldError { pointer: place, detail });
                }
            }
        }
        Some(objects)
    }

    /// The members of an object within the object, each as `read` takes it with its name.
    pub(crate) fn map<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Members<'_>, &str, Value) -> Option<T>,
    ) -> Option<Vec<(String, T)>> {
        let left = match self.take(name)? {
            Value::Object(left) => left,
            other => {
                self.expected(name, "an object", &other);
                return None;
            }
        };
        let place = format!("{}/{}", self.place, escape(name));
        let mut inner = Members { place, left: Map::new(), errors: self.errors };
        let read = left.into_iter().filter_map(|(key, value)| {
            let value = read(&mut inner, &key, value)?;
            Some((key, value))
        });
        Some(read.collect())
    }

    /// The same object with one member, to be read by its name.
    pub(crate) fn put(&mut self, name: &str, value: Value) {
        self.left.insert(name.to_owned(), value);
    }

    /// Whether the member is there and not null. It is taken out.
    pub(crate) fn given(&mut self, name: &str) -> bool {
        self.take(name).is_some()
    }

    /// The member, whatever it is.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.take(name)
    }

    /// Whatever is left has a name that nobody knows; `known` are those that it may have been meant to be.
    pub(crate) fn finish(self, known: &[&str]) {
        for name in self.left.keys().take(100) {
            let pointer = format!("{}/{}", self.place, escape(name));
            let detail = match nearest(name, known.iter().copied()) {
                Some(near) => format!("unknown member {name:?}; did you mean {near:?}?"),
                None => format!("unknown member {name:?}"),
            };
            self.errors.push(FieldError { pointer, detail });
        }
    }
}
