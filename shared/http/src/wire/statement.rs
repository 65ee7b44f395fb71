//! Statements as clients write them: the members of a body, and what of them may come by a query string.

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use willcall_core::usecases::SqlDraft;

use super::{
    body::Words,
    members::{Members, kind_of},
    rows::{ABOUT, about},
};

/// What a statement has beside what every job has.
pub(crate) const STATEMENT: [&str; 7] = ["kind", "sql", "parameters", "limit", "offset", "reuse", "max_age"];

/// Members of a query that a statement says itself.
const SAID: [&str; 6] = ["dataset", "filter", "query", "fields", "view", "sort"];

/// Whether these members are those of a statement.
pub(crate) fn is_statement(members: &Map<String, Value>) -> bool {
    members.get("sql").is_some_and(|sql| !sql.is_null())
}

/// Reads a statement from the members of `words` and what came beside them.
pub(crate) fn draft(mut members: Members<'_>, words: &Words) -> SqlDraft {
    match members.text("kind").as_deref() {
        None | Some("query") => {}
        Some(kind) => members.wrong("kind", format!("is {kind:?}, and sql is of jobs of kind \"query\"")),
    }
    for name in SAID {
        if members.given(name) {
            members.wrong(name, "does not go with sql: the statement says it itself");
        }
    }
    let parameters = match members.value("parameters") {
        None => Map::new(),
        Some(Value::Object(parameters)) => parameters,
        Some(other) => {
            members.wrong("parameters", format!("must be an object, not {}", kind_of(&other)));
            Map::new()
        }
    };
    for (name, written) in words.parameters() {
        let Some(value) = parameters.get(&name) else { continue };
        let written = written.get();
        // It has been rounded already.
        if value.is_f64() && !written.contains(['.', 'e', 'E']) {
            let advice = "write {\"type\": \"decimal\", \"value\": \"…\"}";
            members.wrong_within(
                "parameters",
                &name,
                format!("{} does not fit 64 bits; {advice}", shown(written)),
            );
        }
    }
    let draft = SqlDraft {
        sql: members.text("sql").unwrap_or_default(),
        parameters,
        limit: members.whole("limit"),
        offset: members.whole("offset").unwrap_or(0),
        reuse: members.flag("reuse"),
        max_age: members.whole("max_age"),
        about: about(&mut members),
    };
    members.finish(&[&STATEMENT[..], &ABOUT].concat());
    draft
}

/// Gives parameters that say their type the digits of their numbers, as texts: what was read of them is rounded.
pub(crate) fn keep_digits(members: &mut Map<String, Value>, words: &Words) {
    let Some(Value::Object(parameters)) = members.get_mut("parameters") else { return };
    for (name, written) in words.parameters() {
        if let Some(Value::Object(typed)) = parameters.get_mut(&name) {
            exactly(typed, written.get());
        }
    }
}

fn exactly(typed: &mut Map<String, Value>, written: &str) {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow)]
        value: &'a RawValue,
    }
    let of_numbers = ["int64", "float64", "decimal"];
    let of = typed.get("type").and_then(Value::as_str).unwrap_or_default();
    if !of_numbers.contains(&of) {
        return;
    }
    if let (Some(value @ Value::Number(_)), Ok(read)) =
        (typed.get_mut("value"), serde_json::from_str::<Typed<'_>>(written))
    {
        *value = read.value.get().into();
    }
}

/// The start of what may be long.
fn shown(number: &str) -> String {
    if number.len() > 60 { format!("{}…", &number[..60]) } else { number.to_owned() }
}
