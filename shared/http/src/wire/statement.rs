//! Statements as clients write them: the members of a body, and what of them may come by a query string.

use serde_json::{Map, Value};
use willcall_core::usecases::SqlDraft;

use super::{
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

/// Reads a statement.
pub(crate) fn draft(mut members: Members<'_>) -> SqlDraft {
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
