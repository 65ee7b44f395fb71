//! A query as clients write it: members of a body, parameters of a query string, or both, read into one draft.

use serde_json::{Map, Value};
use willcall_core::{
    Error, FieldError,
    json::Json,
    query::nearest,
    usecases::{CsvDraft, Draft, ParquetDraft, QueryDraft},
};

use super::{
    body::Words,
    members::Members,
    params::{Params, split_list, wrong},
    rows, statement,
};
use crate::problem::Failure;

/// The members of a query in a body.
pub(crate) const MEMBERS: [&str; 21] = [
    "kind",
    "dataset",
    "filter",
    "query",
    "fields",
    "view",
    "sort",
    "limit",
    "offset",
    "format",
    "async_format",
    "compression",
    "csv",
    "parquet",
    "page_size",
    "name",
    "labels",
    "reuse",
    "max_age",
    "notification_url",
    "notification_method",
];
const CSV_MEMBERS: [&str; 4] = ["delimiter", "null", "header", "spreadsheet_safe"];
const PARQUET_MEMBERS: [&str; 2] = ["compression", "row_group_size"];
/// Members of a statement, which names its data sets itself.
const OF_STATEMENTS: [&str; 2] = ["sql", "parameters"];
/// How a parameter's text becomes a member.
#[derive(Clone, Copy)]
enum As {
    Text,
    Whole,
    Flag,
    List,
}

/// Every reserved parameter of a query: its name, the member that it stands for, and how it is read.
const PARAMS: [(&str, &str, As); 22] = [
    ("filter", "filter", As::Text),
    ("query", "query", As::Text),
    ("fields", "fields", As::List),
    ("view", "view", As::Text),
    ("sort", "sort", As::List),
    ("limit", "limit", As::Whole),
    ("offset", "offset", As::Whole),
    ("format", "format", As::Text),
    ("async_format", "async_format", As::Text),
    ("compression", "compression", As::Text),
    ("page_size", "page_size", As::Whole),
    ("name", "name", As::Text),
    ("reuse", "reuse", As::Flag),
    ("max_age", "max_age", As::Whole),
    ("notification_url", "notification_url", As::Text),
    ("notification_method", "notification_method", As::Text),
    ("csv.delimiter", "csv/delimiter", As::Text),
    ("csv.null", "csv/null", As::Text),
    ("csv.header", "csv/header", As::Flag),
    ("csv.spreadsheet_safe", "csv/spreadsheet_safe", As::Flag),
    ("parquet.compression", "parquet/compression", As::Text),
    ("parquet.row_group_size", "parquet/row_group_size", As::Whole),
];

/// Members that cannot be judged where another could not be read.
const TOLD_BY: [(&str, &str); 2] = [("sql", "parameters"), ("format", "async_format")];

/// Where a query is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Endpoint<'a> {
    /// `/v1/jobs`, where the query names its kind and data set.
    Jobs,
    /// The records of this data set.
    Records(&'a str),
}

/// A query that was read.
pub(crate) struct QueryRequest {
    /// For the use case.
    pub(crate) draft: QueryDraft,
    /// In the client's own words.
    pub(crate) original: Value,
    /// Where each of its members came from.
    pub(crate) places: Places,
    /// What could not be read of it.
    pub(crate) errors: Vec<FieldError>,
}

/// A job of any kind that was read.
pub(crate) struct JobRequest {
    /// For the use case.
    pub(crate) draft: Draft,
    /// In the client's own words.
    pub(crate) original: Json,
    /// Where each of its members came from.
    pub(crate) places: Places,
    /// What could not be read of it: with any, the draft is what is left, to be judged and not to be submitted.
    pub(crate) errors: Vec<FieldError>,
}

impl From<QueryRequest> for JobRequest {
    fn from(query: QueryRequest) -> Self {
        Self {
            draft: query.draft.into(),
            original: query.original.into(),
            places: query.places,
            errors: query.errors,
        }
    }
}

/// Which members came by the query string, so that errors point there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    given: Vec<(String, String)>,
    conditions: Vec<String>,
}

impl Places {
    fn at(&self, error: FieldError) -> FieldError {
        let Some(path) = error.pointer.strip_prefix("#/") else { return error };
        if self.conditions.iter().any(|name| name == path) {
            let known = PARAMS.iter().map(|(name, ..)| *name).chain(["async"]);
            let detail = match nearest(path, known).filter(|_| !error.detail.contains("did you mean")) {
                Some(near) => format!("{}; did you mean the parameter {near:?}?", error.detail),
                None => error.detail,
            };
            return wrong(path, detail);
        }
        let param = self.given.iter().find(|(_, member)| within(path, member) || within(member, path));
        match param {
            Some((name, _)) => wrong(name, error.detail),
            None => error,
        }
    }

    /// The errors, those of members that came by the query string pointing there.
    pub(crate) fn translate(&self, errors: Vec<FieldError>) -> Vec<FieldError> {
        errors.into_iter().map(|error| self.at(error)).collect()
    }

    /// The refusal of a request that was not read whole: what could not be read, and what is wrong with the rest of it.
    pub(crate) fn refuse(&self, unread: Vec<FieldError>, judged: Vec<FieldError>) -> Failure {
        let mut errors = self.translate(unread);
        let judged = self.translate(judged);
        let unread: Vec<String> = errors.iter().map(|error| error.pointer.clone()).collect();
        // A member that could not be read is not there for those who judge, and what they say of its place is none of its mistakes.
        let told = |error: &FieldError| {
            let at = member_of(&error.pointer);
            unread
                .iter()
                .map(|place| member_of(place))
                .any(|place| within(at, place) || within(place, at) || TOLD_BY.contains(&(at, place)))
        };
        errors.extend(judged.into_iter().filter(|error| !told(error)));
        Failure::invalid(errors)
    }

    /// An error of the use case in terms of the request.
    pub(crate) fn explain(&self, error: Error) -> Failure {
        match error {
            Error::Invalid(errors) => Failure::invalid(self.translate(errors)),
            other => other.into(),
        }
    }
}

/// The path of a member, or the name of a parameter.
fn member_of(place: &str) -> &str {
    place.trim_start_matches(['#', '?']).trim_start_matches('/')
}

/// Whether a place is another, or in it.
fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Reads a job of kind `query`: records of one data set, or a whole statement.
pub(crate) fn job(mut body: Words, params: Params) -> JobRequest {
    let members = std::mem::take(&mut body.members);
    if !statement::is_statement(&members) && !params.has("sql") {
        return read(members, params, Endpoint::Jobs).into();
    }
    let (mut merged, mut params, mut places) = (members, params, Places::default());
    statement::keep_digits(&mut merged, &body);
    if let Some(sql) = params.text("sql") {
        places.given.push(("sql".into(), "sql".into()));
        put(&mut merged, &mut params, "sql", "sql", sql.into());
    }
    if params.text("parameters").is_some() {
        params.wrong("parameters", "is an object: give it in the body");
    }
    let conditions = merge(&mut merged, &mut params, Endpoint::Jobs, &mut places);
    for (name, _) in &conditions {
        params
            .wrong(name, "is a condition on a column, which does not go with sql: write it in the statement");
    }
    places.conditions = Vec::new();
    let mut errors = params.take_errors();
    let draft = statement::draft(Members::new(merged.clone(), &mut errors), &body);
    let draft = Draft::Sql(Box::new(draft));
    JobRequest { draft, original: Value::Object(merged).into(), places, errors }
}

/// Reads a query from the members of a body and what is left of a query string.
pub(crate) fn read(body: Map<String, Value>, mut params: Params, endpoint: Endpoint<'_>) -> QueryRequest {
    let mut merged = body;
    let mut places = Places::default();
    let conditions = merge(&mut merged, &mut params, endpoint, &mut places);
    let mut errors = params.take_errors();

    let mut members = Members::new(merged.clone(), &mut errors);
    let mut draft = draft(&mut members, endpoint);
    members.finish(&MEMBERS);
    let original = original(merged, endpoint, &conditions);
    draft.params = conditions;
    QueryRequest { draft, original, places, errors }
}

/// Reads the query of a job that there is, in its owner's own words, to be submitted again: as a job of its own, which
/// no other may serve.
pub(crate) fn again(words: &Json) -> Result<JobRequest, Failure> {
    let unclear = |_| Failure::at("#", "the job's request cannot be repeated: submit it anew");
    let words = Words::parse(words.text().as_bytes(), |_| true).map_err(unclear)?;
    if let Some(kind) = rows::kind(&words.members) {
        return rows::read(words, Params::parse(None)?, kind);
    }
    let mut words = words;
    for name in ["reuse", "max_age"] {
        words.members.shift_remove(name);
    }
    if statement::is_statement(&words.members) {
        return Ok(job(words, Params::parse(None)?));
    }
    let mut members = words.members;
    let conditions: Vec<(String, String)> = match members.shift_remove("conditions") {
        Some(Value::Array(lines)) => {
            lines.iter().filter_map(Value::as_str).filter_map(split_condition).collect()
        }
        _ => Vec::new(),
    };
    let dataset = members.get("dataset").and_then(Value::as_str).unwrap_or_default().to_owned();
    // Here no name is a parameter's: each was a condition when it was given.
    let endpoint = Endpoint::Records(&dataset);
    let mut errors = Vec::new();
    let mut reading = Members::new(members.clone(), &mut errors);
    let mut draft = draft(&mut reading, endpoint);
    reading.finish(&MEMBERS);
    let original = original(members, endpoint, &conditions);
    draft.params = conditions;
    Ok(JobRequest { draft: draft.into(), original: original.into(), places: Places::default(), errors })
}

fn split_condition(line: &str) -> Option<(String, String)> {
    line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// Puts the reserved parameters among the members, and answers the conditions on columns that are left.
fn merge(
    members: &mut Map<String, Value>,
    params: &mut Params,
    endpoint: Endpoint<'_>,
    places: &mut Places,
) -> Vec<(String, String)> {
    let own: &[(&str, &str, As)] = match endpoint {
        Endpoint::Jobs => &[("kind", "kind", As::Text), ("dataset", "dataset", As::Text)],
        Endpoint::Records(_) => &[],
    };
    for (name, path, read) in own.iter().chain(&PARAMS).copied() {
        if !params.has(name) {
            continue;
        }
        let value = match read {
            As::Text => params.text(name).map(Value::from),
            As::Whole => params.whole(name).map(Value::from),
            As::Flag => params.flag(name).map(Value::from),
            As::List => params.text(name).map(|text| split_list(&text).into()),
        };
        if let Some(value) = value {
            places.given.push((name.to_owned(), path.to_owned()));
            put(members, params, name, path, value);
        }
    }
    let labels = match endpoint {
        Endpoint::Jobs => params.prefixed("label."),
        // Here `label.gte` is a condition on a column.
        Endpoint::Records(_) => Vec::new(),
    };
    for (key, value) in labels {
        let name = format!("label.{key}");
        let path = format!("labels/{}", super::json::escape(&key));
        places.given.push((name.clone(), path));
        match members.entry("labels").or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(labels) if !labels.contains_key(&key) => {
                labels.insert(key, value.into());
            }
            _ => params.wrong(&name, "is given in the body as well"),
        }
    }
    for name in OF_STATEMENTS {
        if params.text(name).is_some() {
            params.wrong(name, of_statements(name, endpoint));
        }
    }
    let conditions = params.take_left();
    places.conditions = conditions.iter().map(|(name, _)| name.clone()).collect();
    conditions
}

fn put(members: &mut Map<String, Value>, params: &mut Params, name: &str, path: &str, value: Value) {
    let target = match path.split_once('/') {
        None => Some((members, path)),
        Some((outer, inner)) => match members.entry(outer).or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(nested) => Some((nested, inner)),
            _ => None,
        },
    };
    match target {
        Some((members, key)) if !members.contains_key(key) => {
            members.insert(key.to_owned(), value);
        }
        _ => params.wrong(name, "is given in the body as well"),
    }
}

fn draft(members: &mut Members<'_>, endpoint: Endpoint<'_>) -> QueryDraft {
    kind(members, endpoint);
    let dataset = dataset(members, endpoint);
    for name in OF_STATEMENTS {
        if members.given(name) {
            members.wrong(name, of_statements(name, endpoint));
        }
    }
    QueryDraft {
        dataset,
        filter: members.text("filter"),
        query: members.text("query"),
        params: Vec::new(),
        fields: members.texts("fields"),
        view: members.text("view"),
        sort: members.texts("sort").unwrap_or_default(),
        limit: members.whole("limit"),
        offset: members.whole("offset").unwrap_or(0),
        reuse: members.flag("reuse"),
        max_age: members.whole("max_age"),
        about: rows::about(members),
    }
}

/// Why a member of a statement is wrong here.
fn of_statements(name: &str, endpoint: Endpoint<'_>) -> &'static str {
    match endpoint {
        Endpoint::Records(_) => {
            "is of jobs: a statement names its data sets itself, so send it to POST /v1/jobs"
        }
        Endpoint::Jobs if name == "parameters" => "goes with sql, which is missing",
        Endpoint::Jobs => "must be a string",
    }
}

fn kind(members: &mut Members<'_>, endpoint: Endpoint<'_>) {
    let given = members.has("kind");
    match (members.text("kind").as_deref(), endpoint) {
        (Some("query"), _) | (None, Endpoint::Records(_)) => {}
        // One that is there and no string was noted when it was read.
        (None, Endpoint::Jobs) if given => {}
        (None, Endpoint::Jobs) => {
            members.wrong("kind", "is missing: write \"query\", \"append\" or \"call\"")
        }
        (Some("append" | "call"), Endpoint::Records(_)) => {
            members.wrong("kind", "is of jobs: records are asked for by a query");
        }
        (Some("append" | "call"), Endpoint::Jobs) => {
            members.wrong("kind", "takes rows: give it in the body, with everything else");
        }
        (Some(kind), _) => {
            let detail = format!("{kind:?} is not a kind of job: write \"query\", \"append\" or \"call\"");
            members.wrong("kind", detail);
        }
    }
}

fn dataset(members: &mut Members<'_>, endpoint: Endpoint<'_>) -> String {
    let given = members.has("dataset");
    match (members.text("dataset"), endpoint) {
        (Some(dataset), Endpoint::Jobs) => dataset,
        (None, Endpoint::Jobs) => {
            if !given {
                members.wrong("dataset", "is missing: name the data set, or write a statement (sql)");
            }
            String::new()
        }
        (Some(other), Endpoint::Records(dataset)) if other != dataset => {
            members.wrong("dataset", format!("is {other:?}, and the path says {dataset:?}: leave it out"));
            other
        }
        (_, Endpoint::Records(dataset)) => dataset.to_owned(),
    }
}

pub(super) fn format(members: &mut Members<'_>) -> Option<String> {
    // One that is there and no text is no default either: what is said of other members would be of a format that nobody named.
    let mut read = |name: &str| {
        let given = members.is_given(name);
        members.text(name).or_else(|| given.then(String::new))
    };
    match (read("format"), read("async_format")) {
        (Some(format), Some(alias)) if format != alias && !format.is_empty() && !alias.is_empty() => {
            members.wrong("async_format", "is another name for format, and they differ: leave one out");
            Some(format)
        }
        (format, alias) => format.or(alias),
    }
}

pub(super) fn csv(mut members: Members<'_>) -> CsvDraft {
    let draft = CsvDraft {
        delimiter: members.text("delimiter"),
        null: members.text("null"),
        header: members.flag("header"),
        spreadsheet_safe: members.flag("spreadsheet_safe"),
    };
    members.finish(&CSV_MEMBERS);
    draft
}

pub(super) fn parquet(mut members: Members<'_>) -> ParquetDraft {
    let draft = ParquetDraft {
        compression: members.text("compression"),
        row_group_size: members.whole("row_group_size"),
    };
    members.finish(&PARQUET_MEMBERS);
    draft
}

/// The request to be shown back: what the client wrote, conditions on columns as a list of their own.
fn original(members: Map<String, Value>, endpoint: Endpoint<'_>, conditions: &[(String, String)]) -> Value {
    let mut original = match endpoint {
        Endpoint::Jobs => members,
        Endpoint::Records(dataset) => {
            let mut all = Map::new();
            all.insert("kind".into(), "query".into());
            all.insert("dataset".into(), dataset.into());
            all.extend(members.into_iter().filter(|(name, _)| name != "kind" && name != "dataset"));
            all
        }
    };
    if !conditions.is_empty() {
        let conditions: Vec<String> =
            conditions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        original.insert("conditions".into(), conditions.into());
    }
    Value::Object(original)
}
