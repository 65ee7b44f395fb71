//! JSON that keeps nothing back: a member given twice is an error with its place, not a silent last one.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use willcall_core::FieldError;

use crate::problem::{MAX_POINTER, cut};

/// The document in `bytes`, or where it is not one.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Vec<FieldError>> {
    let whole = |detail: String| vec![FieldError { pointer: "#".into(), detail }];
    let text = std::str::from_utf8(bytes)
        .map_err(|error| whole(format!("the body is not UTF-8 at byte {}", error.valid_up_to())))?;
    let duplicates = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node { place: &Place::Root, duplicates: &duplicates }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| {
            let what =
                if error.is_eof() { "the JSON of the body ends too early" } else { "the body is not JSON" };
            whole(format!("{what}: {error}"))
        })?;
    let duplicates = duplicates.into_inner();
    if duplicates.is_empty() { Ok(value) } else { Err(duplicates) }
}

/// Writes one segment of a JSON pointer (RFC 6901 §3).
pub(crate) fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("#"),
            Self::Member(parent, name) => write!(f, "{parent}/{}", escape(name)),
            Self::Item(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

#[derive(Clone, Copy)]
struct Node<'a> {
    place: &'a Place<'a>,
    duplicates: &'a RefCell<Vec<FieldError>>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        loop {
            let place = Place::Item(self.place, array.len());
            match items.next_element_seed(Node { place: &place, ..self })? {
                Some(item) => array.push(item),
                None => return Ok(Value::Array(array)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let place = Place::Member(self.place, &name);
            let value = members.next_value_seed(Node { place: &place, ..self })?;
            if object.contains_key(&name) {
                // Bounded, so that a hostile body does not earn an answer larger than itself.
                if self.duplicates.borrow().len() >= 100 {
                    return Err(A::Error::custom("too many members are given twice"));
                }
                let error = FieldError {
                    pointer: cut(place.to_string(), MAX_POINTER),
                    detail: "is given twice".into(),
                };
                self.duplicates.borrow_mut().push(error);
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_json_document_is_refused_with_its_place() {
        let bomb = "[".repeat(100_000);
        for (text, expected) in [
            (&b"{\"a\": 1} x"[..], "trailing characters at line 1 column 10"),
            (b"{\"a\": ", "ends too early"),
            (b"", "ends too early"),
            (b"{a: 1}", "not JSON"),
            (b"{\"a\": 1e999}", "number out of range"),
            (b"{\"a\": \"\xff\"}", "not UTF-8 at byte 7"),
            (bomb.as_bytes(), "recursion limit"),
        ] {
            let errors = parse(text).unwrap_err();
            assert_eq!(errors[0].pointer, "#");
            assert!(errors[0].detail.contains(expected), "{}", errors[0].detail);
        }
    }

    #[test]
    fn members_given_twice_are_named() {
        let errors = parse(br#"{"a/b": {"x": 1, "x": 2}, "c": [{"y": 1, "y": 1}]}"#).unwrap_err();
        let places: Vec<_> = errors.iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(places, ["#/a~1b/x", "#/c/0/y"]);
    }

    #[test]
    fn values_come_through_unchanged() {
        let text = r#"{"b":[1,-2,2.5,true,null,"é\u0000"],"a":{"n":18446744073709551615}}"#;
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse(text.as_bytes()).unwrap(), expected);
    }
}
