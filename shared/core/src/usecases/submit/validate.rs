//! Checks a query draft against catalog and plan. Every mistake is found in one go and named with its place.

use std::collections::{BTreeMap, BTreeSet};

use super::output::{output, page_size};
use crate::{
    Error, FieldError,
    account::Plan,
    catalog::{Catalog, ColumnType, Dataset},
    format::Format,
    job::kinds::{QueryWork, SortKey},
    query::{self, Filter, SyntaxError},
    usecases::{
        AboutDraft, QueryDraft,
        limits::{
            MAX_FIELDS, MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_LABELS, MAX_NAME, MAX_SHEET_COLUMNS, MAX_SORT,
        },
    },
};

/// The query as work to be done, or everything that is wrong with it.
pub(super) fn validate(catalog: &Catalog, plan: &Plan, draft: &QueryDraft) -> Result<QueryWork, Error> {
    let mut errors = Vec::new();
    let dataset = catalog.dataset(&draft.dataset, plan);
    if dataset.is_none() {
        errors.push(unknown_dataset(catalog, plan, &draft.dataset));
    }
    check_about(&draft.about, &mut errors);
    check_reuse(draft.reuse, draft.max_age, &mut errors);
    let Some(dataset) = dataset else {
        // Its columns are not known, but how a result is written does not depend on them.
        let _ = output(plan, &draft.about, Format::Json, &mut errors);
        let _ = page_size(draft.about.page_size, &mut errors);
        return Err(Error::Invalid(errors));
    };
    let filter = filter(&dataset, draft, &mut errors);
    let fields = fields(&dataset, draft.fields.as_deref(), draft.view.as_deref(), &mut errors);
    let sort = sort(&dataset, &draft.sort, &mut errors);
    let output = output(plan, &draft.about, Format::Json, &mut errors);
    if output.format == Format::Xlsx && fields.len() > MAX_SHEET_COLUMNS {
        let detail =
            format!("are {} columns, and a sheet of xlsx has at most {MAX_SHEET_COLUMNS}", fields.len());
        errors.push(FieldError::at("fields", detail));
    }
    let page_size = page_size(draft.about.page_size, &mut errors);
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    Ok(QueryWork {
        dataset: dataset.name.clone(),
        filter,
        fields,
        sort,
        limit: draft.limit,
        offset: draft.offset,
        max_records: plan.max_records,
        output,
        page_size,
    })
}

pub(super) fn unknown_dataset(catalog: &Catalog, plan: &Plan, name: &str) -> FieldError {
    let allowed = catalog.datasets.keys().map(String::as_str).filter(|name| plan.allows_dataset(name));
    FieldError::at("dataset", with_nearest(format!("there is no data set {name:?}"), name, allowed))
}

/// The sentence, and the nearest name where one is near.
pub(super) fn with_nearest<'a>(
    sentence: String,
    wanted: &str,
    among: impl IntoIterator<Item = &'a str>,
) -> String {
    match query::nearest(wanted, among) {
        Some(near) => format!("{sentence}; did you mean {near:?}?"),
        None => sentence,
    }
}

fn filter(dataset: &Dataset, draft: &QueryDraft, errors: &mut Vec<FieldError>) -> Option<Filter> {
    let columns = &dataset.facts.columns;
    let mut all = Vec::new();
    let mut take = |place: &str, parsed: Result<Filter, SyntaxError>| match parsed {
        Ok(filter) => all.push(filter),
        Err(error) => errors.push(FieldError::at(place, error.detail)),
    };
    if let Some(text) = &draft.filter {
        take("filter", query::parse_sql(text, columns));
    }
    if let Some(text) = &draft.query {
        take("query", query::parse_lucene(text, columns));
    }
    for (name, value) in &draft.params {
        take(name, query::parse_param(name, value, columns));
    }
    if all.is_empty() {
        return None;
    }
    let filter = Filter::all(all).canonical();
    // Each part alone may be within the limits, and all of them together not.
    if let Err(error) = query::check_limits(&filter) {
        errors.push(FieldError::at("filter", error.detail));
    }
    Some(filter)
}

pub(super) fn fields(
    dataset: &Dataset,
    fields: Option<&[String]>,
    view: Option<&str>,
    errors: &mut Vec<FieldError>,
) -> Vec<String> {
    let names = || dataset.facts.columns.iter().map(|column| column.name.as_str());
    let fields = match (fields, view) {
        (Some(_), Some(_)) => {
            errors.push(FieldError::at("view", "give either fields or view, not both"));
            return Vec::new();
        }
        (Some(fields), None) => fields.to_vec(),
        (None, Some(name)) => match dataset.views.get(name) {
            Some(view) => return view.fields.clone(),
            None => {
                let sentence = format!("the data set {:?} has no view {name:?}", dataset.name);
                let views = dataset.views.keys().map(String::as_str);
                errors.push(FieldError::at("view", with_nearest(sentence, name, views)));
                return Vec::new();
            }
        },
        (None, None) => return names().map(str::to_owned).collect(),
    };
    if fields.is_empty() {
        errors.push(FieldError::at("fields", "is empty: name at least one column, or leave it out for all"));
    }
    if fields.len() > MAX_FIELDS {
        let detail = format!("has {} entries: at most {MAX_FIELDS} are allowed", fields.len());
        errors.push(FieldError::at("fields", detail));
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    for (index, field) in fields.iter().enumerate() {
        let place = format!("fields/{index}");
        if dataset.column(field).is_none() {
            let sentence = format!("unknown column {field:?}");
            errors.push(FieldError::at(&place, with_nearest(sentence, field, names())));
        } else if !seen.insert(field) {
            errors.push(FieldError::at(&place, format!("column {field:?} is named twice")));
        }
    }
    fields
}

fn sort(dataset: &Dataset, sort: &[String], errors: &mut Vec<FieldError>) -> Vec<SortKey> {
    if sort.len() > MAX_SORT {
        let detail = format!("has {} entries: at most {MAX_SORT} are allowed", sort.len());
        errors.push(FieldError::at("sort", detail));
        return Vec::new();
    }
    let mut keys: Vec<SortKey> = Vec::new();
    for (index, text) in sort.iter().enumerate() {
        let place = format!("sort/{index}");
        // A column may itself begin with a sign: its whole name is tried first.
        let (column, descending) = match text.strip_prefix('-') {
            _ if dataset.column(text).is_some() => (text.as_str(), false),
            Some(rest) => (rest, true),
            None => (text.strip_prefix('+').unwrap_or(text), false),
        };
        match dataset.column(column) {
            None => {
                let names = dataset.facts.columns.iter().map(|column| column.name.as_str());
                let sentence = format!("unknown column {column:?}");
                errors.push(FieldError::at(&place, with_nearest(sentence, column, names)));
            }
            Some(found) if !is_sortable(&found.data_type) => {
                let detail = format!("column {column:?} is {}: it has no order", found.data_type);
                errors.push(FieldError::at(&place, detail));
            }
            Some(_) if keys.iter().any(|key| key.column == column) => {
                errors.push(FieldError::at(&place, format!("column {column:?} is named twice")));
            }
            Some(_) => keys.push(SortKey { column: column.to_owned(), descending }),
        }
    }
    keys
}

fn is_sortable(data_type: &ColumnType) -> bool {
    use ColumnType::{
        Binary, Boolean, Date, Decimal, Float, Int, List, Map, Other, Struct, Text, Time, Timestamp,
    };
    match data_type {
        Boolean | Int { .. } | Float { .. } | Decimal { .. } | Text | Binary | Date => true,
        Time { .. } | Timestamp { .. } => true,
        List(_) | Struct(_) | Map(..) | Other(_) => false,
    }
}

pub(super) fn check_reuse(reuse: Option<bool>, max_age: Option<u64>, errors: &mut Vec<FieldError>) {
    if reuse == Some(false) && max_age.is_some() {
        errors.push(FieldError::at("max_age", "is for jobs that may be reused: leave it out, or reuse"));
    }
}

/// What every kind of work has beside itself, and is no matter of its result.
pub(super) fn check_about(about: &AboutDraft, errors: &mut Vec<FieldError>) {
    if let Some(name) = &about.name {
        check_name(name, errors);
    }
    check_labels(&about.labels, errors);
}

pub(in crate::usecases) fn check_name(name: &str, errors: &mut Vec<FieldError>) {
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME {
        errors.push(FieldError::at("name", format!("must have 1 to {MAX_NAME} characters, not {length}")));
    }
    if name.chars().any(char::is_control) {
        errors.push(FieldError::at("name", "must not have control characters"));
    }
}

pub(in crate::usecases) fn check_labels(labels: &BTreeMap<String, String>, errors: &mut Vec<FieldError>) {
    if labels.len() > MAX_LABELS {
        let detail = format!("has {} entries: at most {MAX_LABELS} are allowed", labels.len());
        errors.push(FieldError::at("labels", detail));
    }
    for (key, value) in labels {
        if key.is_empty() || key.chars().count() > MAX_LABEL_KEY {
            let detail = format!("a label's key must have 1 to {MAX_LABEL_KEY} characters");
            errors.push(FieldError::at("labels", detail));
        }
        if value.chars().count() > MAX_LABEL_VALUE {
            let place = format!("labels/{}", key.replace('~', "~0").replace('/', "~1"));
            let detail = format!("a label's value must have at most {MAX_LABEL_VALUE} characters");
            errors.push(FieldError::at(&place, detail));
        }
    }
}
