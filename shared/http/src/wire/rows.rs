//! Appends and calls as clients write them: the members of a body, read into a draft.

use serde_json::{Map, Value};
use willcall_core::{
    FieldError,
    job::JobKind,
    json::Object,
    usecases::{AboutDraft, AppendDraft, CallDraft, Draft, MatchDraft},
};

use super::{
    body::Words,
    members::{Members, kind_of},
    params::Params,
    query::{JobRequest, Places, csv, format, parquet},
};
use crate::problem::Failure;

/// What every job has, whether it takes rows or is a statement.
pub(crate) const ABOUT: [&str; 10] = [
    "format",
    "async_format",
    "compression",
    "csv",
    "parquet",
    "page_size",
    "name",
    "labels",
    "notification_url",
    "notification_method",
];
/// What an append has beside.
pub(crate) const APPEND: [&str; 8] =
    ["kind", "dataset", "on", "compare", "on_multiple", "fields", "view", "items"];
/// What a call has beside.
pub(crate) const CALL: [&str; 5] = ["kind", "upstream", "id", "max_errors", "items"];

/// The kind of a request that takes rows, if it is one.
pub(crate) fn kind(body: &Map<String, Value>) -> Option<JobKind> {
    match body.get("kind").and_then(Value::as_str) {
        Some("append") => Some(JobKind::Append),
        Some("call") => Some(JobKind::Call),
        _ => None,
    }
}

/// Reads a job that takes rows. Rows do not fit into a query string, and so nothing of such a job may come by it.
pub(crate) fn read(words: Words, params: Params, kind: JobKind) -> Result<JobRequest, Failure> {
    let mut errors: Vec<FieldError> = params.mistakes(&[]);
    let mut members = Members::new(words.members.clone(), &mut errors);
    let _ = members.text("kind");
    let draft = match kind {
        JobKind::Call => Draft::Call(Box::new(call(&mut members, &words))),
        JobKind::Append | JobKind::Query => Draft::Append(Box::new(append(&mut members, &words))),
    };
    let own: &[&str] = if kind == JobKind::Call { &CALL } else { &APPEND };
    members.finish(&[own, &ABOUT].concat());
    Ok(JobRequest { draft, original: words.json()?, places: Places::default(), errors })
}

fn append(members: &mut Members<'_>, words: &Words) -> AppendDraft {
    let given = members.is_given("on");
    let on = members.map("on", |on, input, value| match value {
        Value::String(column) => Some(MatchDraft { column, compare: None }),
        Value::Object(_) => {
            on.put(input, value);
            let mut key = on.object(input)?;
            if !key.has("column") {
                key.wrong("column", "is missing: name the column of the data set");
            }
            let draft =
                MatchDraft { column: key.text("column").unwrap_or_default(), compare: key.text("compare") };
            key.finish(&["column", "compare"]);
            Some(draft)
        }
        other => {
            on.wrong(input, format!("must be the name of a column or an object, not {}", kind_of(&other)));
            None
        }
    });
    if !given {
        members.wrong("on", "is missing: say which column of the rows is which of the data set");
    }
    AppendDraft {
        dataset: needed(members, "dataset", "name the data set"),
        on: on.unwrap_or_default(),
        compare: members.text("compare"),
        on_multiple: members.text("on_multiple"),
        fields: members.texts("fields"),
        view: members.text("view"),
        items: items(members, words),
        about: about(members),
    }
}

fn call(members: &mut Members<'_>, words: &Words) -> CallDraft {
    CallDraft {
        upstream: needed(members, "upstream", "name the upstream"),
        id: members.text("id"),
        max_errors: members.whole("max_errors"),
        items: items(members, words),
        about: about(members),
    }
}

/// The items as they were written.
fn items(members: &mut Members<'_>, words: &Words) -> Option<Vec<Object>> {
    // What they are not is told of the values, and what they are is taken from the text.
    members.objects("items", |_| ())?;
    words.items()
}

fn needed(members: &mut Members<'_>, name: &str, what: &str) -> String {
    if !members.has(name) {
        members.wrong(name, format!("is missing: {what}"));
    }
    members.text(name).unwrap_or_default()
}

/// What every job has beside its work.
pub(super) fn about(members: &mut Members<'_>) -> AboutDraft {
    AboutDraft {
        format: format(members),
        compression: members.text("compression"),
        csv: members.object("csv").map(csv),
        parquet: members.object("parquet").map(parquet),
        page_size: members.whole("page_size"),
        name: members.text("name"),
        labels: members.text_map("labels").unwrap_or_default(),
        notification_url: members.text("notification_url"),
        notification_method: members.text("notification_method"),
    }
}
