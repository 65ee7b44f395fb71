//! JSON as it was written. A parsed value holds a number in 64 bits; what clients send is kept and handed on as text, so that
//! no digit of theirs is lost.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Error, Map, Value, value::RawValue};

/// Numbers beyond this are read as the last ones that 64 bits hold. A little before these, as not all who read floats agree
/// where they end.
const MOST: f64 = 1e308;

/// A JSON document as text, without space between its tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The document in `text`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        RawValue::from_string(compact(text)).map(Self)
    }

    /// The document.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The document as a value, its numbers rounded to 64 bits.
    pub fn value(&self) -> Result<Value, Error> {
        serde_json::from_str(&bounded(self.text()))
    }

    /// What the document says, where it is a string.
    pub fn as_text(&self) -> Option<String> {
        self.text().starts_with('"').then(|| serde_json::from_str(self.text()).ok()).flatten()
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        // A value is JSON, and writes itself as such.
        Self(RawValue::from_string(value.to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl PartialEq<Value> for Json {
    fn eq(&self, other: &Value) -> bool {
        self.value().is_ok_and(|value| value == *other)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A JSON object as it was written, beside its members as they are read. It is stored as one text, as what is read from the
/// middle of a stored form has been through 64 bits.
#[derive(Debug, Clone)]
pub struct Object {
    text: Box<str>,
    members: Map<String, Value>,
}

impl Object {
    /// The object in `text`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = compact(text).into_boxed_str();
        let members = serde_json::from_str(&bounded(&text))?;
        Ok(Self { text, members })
    }

    /// The object, without space between its tokens.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The members, their numbers rounded to 64 bits: to look at, not to hand on.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// A member as it was written.
    pub fn written(&self, name: &str) -> Option<Json> {
        self.members.get(name)?;
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&self.text).ok()?;
        members.remove(name).map(Json)
    }
}

impl From<Map<String, Value>> for Object {
    fn from(members: Map<String, Value>) -> Self {
        let value = Value::Object(members);
        let text = value.to_string().into_boxed_str();
        let Value::Object(members) = value else { unreachable!("it was made an object above") };
        Self { text, members }
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Stored;

        impl<'de> de::Visitor<'de> for Stored {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object, or the text of one")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Object, E> {
                Object::parse(text).map_err(E::custom)
            }

            /// As objects were stored before their text was.
            fn visit_map<A: de::MapAccess<'de>>(self, members: A) -> Result<Object, A::Error> {
                let members = de::value::MapAccessDeserializer::new(members);
                Map::deserialize(members).map(Object::from)
            }
        }

        deserializer.deserialize_any(Stored)
    }
}

/// The objects for a hash that neither the order of members nor members that are null count in: each as a text.
pub(crate) fn canonical_objects<S: Serializer>(
    objects: &Option<Vec<Object>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let canonical = |object: &Object| {
        let mut text = String::with_capacity(object.text.len());
        canonical(&object.text, &mut text).map(|()| text)
    };
    let texts = objects.as_ref().map(|objects| objects.iter().map(canonical).collect::<Result<Vec<_>, _>>());
    texts.transpose().map_err(serde::ser::Error::custom)?.serialize(serializer)
}

/// Numbers as they stand, texts escaped one way, members that are not null in the order of their names. As deep in the stack
/// as the text is in itself, which whoever made an object of it has bounded.
fn canonical(text: &str, out: &mut String) -> Result<(), Error> {
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            out.push('{');
            for (name, value) in members.iter().filter(|(_, value)| value.get() != "null") {
                out.push_str(&serde_json::to_string(name)?);
                out.push(':');
                canonical(value.get(), out)?;
                out.push(',');
            }
            out.push('}');
        }
        Some(b'[') => {
            out.push('[');
            for value in serde_json::from_str::<Vec<&RawValue>>(text)? {
                canonical(value.get(), out)?;
                out.push(',');
            }
            out.push(']');
        }
        Some(b'"') => out.push_str(&serde_json::to_string(&serde_json::from_str::<String>(text)?)?),
        _ => out.push_str(text),
    }
    Ok(())
}

/// JSON with numbers that 64-bit floats do not reach as the last that they do, so that it can be read for what else it says.
/// What is no JSON stays none.
pub fn bounded(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut taken = 0;
    for (start, end) in numbers(text) {
        let written = &text[start..end];
        let number = written.parse::<f64>().unwrap_or(0.0);
        // Not all that is read as a number is one of JSON.
        if number.abs() > MOST && serde_json::from_str::<de::IgnoredAny>(written).is_ok() {
            out.push_str(&text[taken..start]);
            out.push_str(if number < 0.0 { "-1.7976931348623157e308" } else { "1.7976931348623157e308" });
            taken = end;
        }
    }
    if taken == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[taken..]);
    Cow::Owned(out)
}

/// Where the numbers of JSON stand.
fn numbers(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let bytes = text.as_bytes();
    let (mut at, mut quotes) = (0, Quotes::default());
    std::iter::from_fn(move || {
        while let Some(&byte) = bytes.get(at) {
            if quotes.outside(byte) && (byte == b'-' || byte.is_ascii_digit()) {
                let rest = &bytes[at..];
                let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                let number = (at, at + length);
                at += length;
                return Some(number);
            }
            at += 1;
        }
        None
    })
}

/// JSON without the space between its tokens.
fn compact(text: &str) -> String {
    let mut quotes = Quotes::default();
    let is_kept = |c: &char| {
        let Ok(byte) = u8::try_from(*c) else { return true };
        !(quotes.outside(byte) && matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
    };
    text.chars().filter(is_kept).collect()
}

/// Follows JSON byte by byte through its texts.
#[derive(Default)]
struct Quotes {
    within: bool,
    escaped: bool,
}

impl Quotes {
    /// Whether the next byte stands outside of texts; their quotes do not.
    fn outside(&mut self, byte: u8) -> bool {
        if !self.within {
            self.within = byte == b'"';
            return !self.within;
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.within = false,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NUMBERS: &str = r#"{ "a": 12345678901234567890123, "b": [0.1000000000000000055, 1e400, -1E+400],
        "c": { "d": -0.0, "e": 1.50 }, "f": "1e400 \" 1 ", "g": -0 }"#;
    const WRITTEN: &str = r#"{"a":12345678901234567890123,"b":[0.1000000000000000055,1e400,-1E+400],"c":{"d":-0.0,"e":1.50},"f":"1e400 \" 1 ","g":-0}"#;

    #[test]
    fn an_object_keeps_its_numbers_as_they_were_written() {
        let object = Object::parse(NUMBERS).unwrap();
        assert_eq!(object.text(), WRITTEN);
        assert_eq!(object.written("a").unwrap().text(), "12345678901234567890123");
        assert_eq!(object.written("c").unwrap().text(), r#"{"d":-0.0,"e":1.50}"#);
        assert!(object.written("z").is_none());
        let rounded = object.members();
        assert_eq!((&rounded["b"][1], &rounded["b"][2]), (&json!(f64::MAX), &json!(f64::MIN)));
        assert_eq!(rounded["f"], "1e400 \" 1 ");
    }

    #[test]
    fn what_is_stored_is_read_as_it_was_and_so_is_what_was_stored_as_an_object() {
        // As the job's work is stored: read by way of its tag, which is where numbers would be rounded.
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        enum Tagged {
            Rows { items: Vec<Object> },
        }
        let tagged = Tagged::Rows { items: vec![Object::parse(NUMBERS).unwrap()] };
        let stored = serde_json::to_string(&tagged).unwrap();
        let Tagged::Rows { items } = serde_json::from_str(&stored).unwrap();
        assert_eq!(items[0].text(), WRITTEN);
        let older = r#"{"items": [{"b": 1, "a": [2.5]}], "kind": "Rows"}"#;
        let Tagged::Rows { items } = serde_json::from_str(older).unwrap();
        assert_eq!((items[0].text(), &items[0].members()["a"]), (r#"{"b":1,"a":[2.5]}"#, &json!([2.5])));
    }

    #[test]
    fn a_document_is_compared_as_text_and_with_a_value_by_what_it_says() {
        let json = Json::parse(" { \"a\" : [ 1.0 , \"x y\" ] } ").unwrap();
        assert_eq!(json.text(), r#"{"a":[1.0,"x y"]}"#);
        assert_eq!(json, json!({"a": [1.0, "x y"]}));
        assert_ne!(json, Json::parse(r#"{"a":[1.00,"x y"]}"#).unwrap());
        assert_eq!(Json::from(json!("x\n")).as_text().as_deref(), Some("x\n"));
        assert_eq!(Json::from(json!(1)).as_text(), None);
        for bad in ["", "{", "{} {}", "01"] {
            assert!(Json::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_numbers_that_floats_do_not_reach_are_read_as_others() {
        for same in ["1e308", "-1e-400", r#"{"1e400":"-1e400\\"}"#, "[1,2.5,true]"] {
            assert_eq!(bounded(same), same);
        }
        assert_eq!(
            serde_json::from_str::<Value>(&bounded("[9e999,-9e999,1]")).unwrap(),
            json!([f64::MAX, f64::MIN, 1])
        );
        assert!(serde_json::from_str::<Value>(&bounded("[9e999,,1]")).is_err());
        for none in ["01e400", "1.e400", "-.5e400", "-01e400"] {
            assert_eq!(bounded(none), none);
            assert!(Object::parse(&format!("{{\"n\":{none}}}")).is_err(), "{none}");
        }
    }

    #[test]
    fn objects_that_say_the_same_in_other_words_have_one_canonical_text() {
        let of = |text: &str| {
            let mut out = String::new();
            canonical(Object::parse(text).unwrap().text(), &mut out).unwrap();
            out
        };
        let one = of(r#"{"b": {"y": 1, "x": "\u0041"}, "a": [1e400, null], "c": null}"#);
        assert_eq!(one, of(r#"{"a": [1e400, null], "b": {"x": "A", "y": 1}}"#));
        for other in [
            r#"{"a": [1e401, null], "b": {"x": "A", "y": 1}}"#,
            r#"{"a": [1e400], "b": {"x": "A", "y": 1}}"#,
            r#"{"a": [1e400, null], "b": {"x": "A", "y": 1.0}}"#,
        ] {
            assert_ne!(one, of(other));
        }
    }
}
