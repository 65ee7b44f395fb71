//! JSON Schema, as much of it as items and answers need. What is not understood is refused, so that nothing is believed to
//! be checked that is not.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How deep schemas may lie in each other.
const MAX_DEPTH: usize = 32;
/// The most that is told of one value.
const MAX_MISFITS: usize = 20;

/// Members that say something of a schema's owner, and nothing of values.
const NOTES: [&str; 11] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
];

/// A schema of these members: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`,
/// `minItems`, `maxItems`, `minLength`, `maxLength`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, and
/// notes that check nothing, `format` among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct JsonSchema(Value);

/// What does not fit in a value, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The place, as a JSON pointer; empty for the whole.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl Misfit {
    /// What is wrong with a member of what lies at a place.
    pub(super) fn below(place: &str, member: &str, detail: impl Into<String>) -> Self {
        let member = member.replace('~', "~0").replace('/', "~1");
        Self { pointer: format!("{place}/{member}"), detail: detail.into() }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.detail),
            pointer => write!(f, "{pointer}: {}", self.detail),
        }
    }
}

impl JsonSchema {
    /// Checks that the whole schema is understood; else says what is not, and where.
    pub fn new(schema: Value) -> Result<Self, Misfit> {
        understand(&schema, "", MAX_DEPTH)?;
        Ok(Self(schema))
    }

    /// What does not fit in the value; empty where all does.
    pub fn check(&self, value: &Value) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        check(&self.0, value, "", &mut misfits);
        misfits
    }

    /// The same of an object.
    pub fn check_object(&self, object: &Map<String, Value>) -> Vec<Misfit> {
        // A copy, and small: what is checked is a row.
        self.check(&Value::Object(object.clone()))
    }

    /// The type that a member must have, where it is one of number, integer and boolean: what text is to be read as where
    /// a file has nothing but text.
    pub fn scalar_type(&self, member: &str) -> Option<&str> {
        let schema = self.0.get("properties")?.get(member)?;
        schema.get("type")?.as_str().filter(|name| matches!(*name, "number" | "integer" | "boolean"))
    }
}

impl TryFrom<Value> for JsonSchema {
    type Error = String;

    fn try_from(schema: Value) -> Result<Self, String> {
        Self::new(schema).map_err(|misfit| misfit.to_string())
    }
}

impl From<JsonSchema> for Value {
    fn from(schema: JsonSchema) -> Self {
        schema.0
    }
}

const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];

fn understand(schema: &Value, place: &str, depth: usize) -> Result<(), Misfit> {
    let wrong = |member: &str, detail: &str| Err(Misfit::below(place, member, detail));
    let members = match schema {
        Value::Bool(_) => return Ok(()),
        Value::Object(members) => members,
        _ => return Err(Misfit { pointer: place.to_owned(), detail: "is no schema".into() }),
    };
    let Some(depth) = depth.checked_sub(1) else {
        let detail = format!("lies deeper than {MAX_DEPTH} schemas");
        return Err(Misfit { pointer: place.to_owned(), detail });
    };
    for (name, value) in members {
        let is_count = value.as_u64().is_some();
        match name.as_str() {
            "type" => {
                let known = |name: &Value| name.as_str().is_some_and(|name| TYPES.contains(&name));
                let fits = match value {
                    Value::Array(names) => !names.is_empty() && names.iter().all(known),
                    name => known(name),
                };
                if !fits {
                    return wrong(name, &format!("must be of {}", TYPES.join(", ")));
                }
            }
            "enum" if value.as_array().is_none_or(Vec::is_empty) => {
                return wrong(name, "must be a list of values");
            }
            "required" if value.as_array().is_none_or(|names| !names.iter().all(Value::is_string)) => {
                return wrong(name, "must be a list of names");
            }
            "minItems" | "maxItems" | "minLength" | "maxLength" if !is_count => {
                return wrong(name, "must be a count");
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" if !value.is_number() => {
                return wrong(name, "must be a number");
            }
            "properties" => {
                let Value::Object(properties) = value else { return wrong(name, "must be an object") };
                for (property, schema) in properties {
                    let place = Misfit::below(&format!("{place}/properties"), property, "").pointer;
                    understand(schema, &place, depth)?;
                }
            }
            "items" | "additionalProperties" => understand(value, &format!("{place}/{name}"), depth)?,
            "enum" | "const" | "required" | "minItems" | "maxItems" | "minLength" | "maxLength"
            | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {}
            note if NOTES.contains(&note) => {}
            _ => return wrong(name, "is not a member of schemas that is understood here"),
        }
    }
    Ok(())
}

fn check(schema: &Value, value: &Value, place: &str, misfits: &mut Vec<Misfit>) {
    if misfits.len() >= MAX_MISFITS {
        return;
    }
    let mut wrong = |detail: String| misfits.push(Misfit { pointer: place.to_owned(), detail });
    let members = match schema {
        Value::Bool(false) => return wrong("is not allowed".into()),
        Value::Object(members) => members,
        _ => return,
    };
    let number = value.as_f64();
    for (name, limit) in members {
        let count = |found: usize| limit.as_u64().map(|limit| (found as u64, limit));
        let bound = number.zip(limit.as_f64());
        let length = || value.as_str().map(|text| text.chars().count());
        match name.as_str() {
            "type" => {
                let fits = match limit {
                    Value::Array(names) => {
                        names.iter().filter_map(Value::as_str).any(|name| is_of(value, name))
                    }
                    name => name.as_str().is_some_and(|name| is_of(value, name)),
                };
                if !fits {
                    // The rest would only say the same in other words.
                    let wanted = limit.to_string().replace('"', "");
                    return wrong(format!("must be {wanted}, and is {}", type_of(value)));
                }
            }
            "const" if !same(value, limit) => wrong(format!("must be {limit}")),
            "enum" if !limit.as_array().is_some_and(|all| all.iter().any(|one| same(value, one))) => {
                wrong(format!("must be one of {limit}"));
            }
            "minLength" if length().and_then(count).is_some_and(|(n, limit)| n < limit) => {
                wrong(format!("must have {limit} characters or more"));
            }
            "maxLength" if length().and_then(count).is_some_and(|(n, limit)| n > limit) => {
                wrong(format!("must have {limit} characters at most"));
            }
            "minItems"
                if value.as_array().and_then(|a| count(a.len())).is_some_and(|(n, limit)| n < limit) =>
            {
                wrong(format!("must have {limit} elements or more"));
            }
            "maxItems"
                if value.as_array().and_then(|a| count(a.len())).is_some_and(|(n, limit)| n > limit) =>
            {
                wrong(format!("must have {limit} elements at most"));
            }
            "minimum" if bound.is_some_and(|(n, limit)| n < limit) => {
                wrong(format!("must be {limit} or more"))
            }
            "maximum" if bound.is_some_and(|(n, limit)| n > limit) => {
                wrong(format!("must be {limit} or less"))
            }
            "exclusiveMinimum" if bound.is_some_and(|(n, limit)| n <= limit) => {
                wrong(format!("must be more than {limit}"));
            }
            "exclusiveMaximum" if bound.is_some_and(|(n, limit)| n >= limit) => {
                wrong(format!("must be less than {limit}"));
            }
            _ => {}
        }
    }
    match value {
        Value::Object(object) => check_members(members, object, place, misfits),
        Value::Array(elements) => {
            for (at, element) in elements.iter().enumerate() {
                if let Some(schema) = members.get("items") {
                    check(schema, element, &format!("{place}/{at}"), misfits);
                }
            }
        }
        _ => {}
    }
}

fn check_members(
    schema: &Map<String, Value>,
    object: &Map<String, Value>,
    place: &str,
    misfits: &mut Vec<Misfit>,
) {
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = name.as_str().filter(|name| !object.contains_key(*name)) {
            misfits.push(Misfit::below(place, name, "is missing"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, value) in object {
        let own = properties.and_then(|properties| properties.get(name));
        if let Some(schema) = own.or_else(|| schema.get("additionalProperties")) {
            let place = Misfit::below(place, name, "").pointer;
            check(schema, value, &place, misfits);
        }
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "number" => value.is_number(),
        name => type_of(value) == name,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// 1 and 1.0 are the same number.
fn same(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one == other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn person() -> JsonSchema {
        JsonSchema::new(json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["email"],
            "additionalProperties": false,
            "properties": {
                "email": { "type": "string", "minLength": 3, "maxLength": 20, "format": "email" },
                "age": { "type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 150 },
                "kind": { "enum": ["a", 1] },
                "tags": { "type": "array", "minItems": 1, "maxItems": 2, "items": { "type": "string" } },
                "more": { "type": "object", "additionalProperties": { "const": 1 } },
                "a/b": { "type": "boolean" }
            }
        }))
        .unwrap()
    }

    #[test]
    fn what_fits_fits() {
        for value in [
            json!({ "email": "a@b" }),
            json!({ "email": "äöü", "age": 7.0, "kind": 1.0, "tags": ["x"], "more": { "y": 1 }, "a/b": true }),
            json!({ "email": "a@b", "age": null }),
        ] {
            assert_eq!(person().check(&value), [], "{value}");
        }
        assert_eq!(JsonSchema::new(json!(true)).unwrap().check(&json!([1])), []);
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        for (value, said) in [
            (json!([]), "must be object, and is array"),
            (json!({}), "/email: is missing"),
            (json!({ "email": 1 }), "/email: must be string, and is number"),
            (json!({ "email": "ab" }), "/email: must have 3 characters or more"),
            (json!({ "email": "a".repeat(21) }), "/email: must have 20 characters at most"),
            (json!({ "email": "a@b", "age": 1.5 }), "/age: must be [integer,null], and is number"),
            (json!({ "email": "a@b", "age": -1 }), "/age: must be 0 or more"),
            (json!({ "email": "a@b", "age": 150 }), "/age: must be less than 150"),
            (json!({ "email": "a@b", "kind": "b" }), "/kind: must be one of [\"a\",1]"),
            (json!({ "email": "a@b", "tags": [] }), "/tags: must have 1 elements or more"),
            (json!({ "email": "a@b", "tags": ["a", "b", "c"] }), "/tags: must have 2 elements at most"),
            (json!({ "email": "a@b", "tags": ["a", 2] }), "/tags/1: must be string"),
            (json!({ "email": "a@b", "more": { "x": 2 } }), "/more/x: must be 1"),
            (json!({ "email": "a@b", "a/b": 1 }), "/a~1b: must be boolean"),
            (json!({ "email": "a@b", "extra": 1 }), "/extra: is not allowed"),
        ] {
            let misfits = person().check(&value);
            assert_eq!(misfits.len(), 1, "{value}: {misfits:?}");
            assert!(misfits[0].to_string().contains(said), "{value}: {}", misfits[0]);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (schema, said) in [
            (json!("x"), "is no schema"),
            (json!({ "pattern": "^a" }), "/pattern: is not a member"),
            (json!({ "properties": { "a": { "$ref": "#" } } }), "/properties/a/$ref: is not a member"),
            (json!({ "type": "text" }), "/type: must be of"),
            (json!({ "type": [] }), "/type: must be of"),
            (json!({ "required": "a" }), "/required: must be a list of names"),
            (json!({ "enum": [] }), "/enum: must be a list"),
            (json!({ "minLength": -1 }), "/minLength: must be a count"),
            (json!({ "maximum": "1" }), "/maximum: must be a number"),
            (json!({ "items": [{}] }), "/items: is no schema"),
            (json!({ "properties": [] }), "/properties: must be an object"),
        ] {
            let misfit = JsonSchema::new(schema.clone()).unwrap_err();
            assert!(misfit.to_string().contains(said), "{schema}: {misfit}");
        }
        let deep = (0..40).fold(json!(true), |inner, _| json!({ "items": inner }));
        assert!(JsonSchema::new(deep).unwrap_err().to_string().contains("deeper"));
    }

    #[test]
    fn a_value_that_is_wrong_everywhere_is_not_told_without_end() {
        let schema = JsonSchema::new(json!({ "items": { "type": "string" } })).unwrap();
        let misfits = schema.check(&json!(vec![1; 1000]));
        assert_eq!(misfits.len(), MAX_MISFITS);
    }
}
