//! Checks work that takes rows: appends and calls.

use std::collections::HashSet;

use super::{
    output::{output, page_size},
    validate::{check_about, fields, unknown_dataset, with_nearest},
};
use crate::{
    Error, FieldError,
    account::Plan,
    catalog::{Catalog, ColumnType, Dataset},
    format::{Format, OutputFormat},
    job::kinds::{AppendWork, CallWork, Compare, MatchKey, OnMultiple},
    json::Object,
    usecases::{
        AppendDraft, CallDraft,
        limits::{MAX_ITEMS, MAX_MATCH_KEYS, MAX_SHEET_COLUMNS},
    },
};

/// What the columns that tell of the match are called; rows must not have them already.
pub const MATCH_COLUMN: &str = "_match";
/// The column that says what is wrong with a row.
pub const ERROR_COLUMN: &str = "_error";

/// The append as work to be done, or everything that is wrong with it.
pub(super) fn append(catalog: &Catalog, plan: &Plan, draft: &AppendDraft) -> Result<AppendWork, Error> {
    let mut errors = Vec::new();
    let dataset = catalog.dataset(&draft.dataset, plan);
    if dataset.is_none() {
        errors.push(unknown_dataset(catalog, plan, &draft.dataset));
    }
    check_about(&draft.about, &mut errors);
    let on = keys(dataset.as_deref(), draft, &mut errors);
    let on_multiple = one_of(
        "on_multiple",
        draft.on_multiple.as_deref(),
        OnMultiple::ALL.map(|way| (way.as_str(), way)),
        &mut errors,
    );
    let fields = match &dataset {
        Some(dataset) => fields(dataset, draft.fields.as_deref(), draft.view.as_deref(), &mut errors),
        None => Vec::new(),
    };
    let output = output(plan, &draft.about, Format::Csv, &mut errors);
    let page_size = page_size(draft.about.page_size, &mut errors);
    if let Some(items) = &draft.items {
        check_items(items, &mut errors);
        check_columns(items, &on, &mut errors);
    }
    check_sheet(&output, &fields, &on, draft.items.as_deref(), &mut errors);
    let Some(dataset) = dataset.filter(|_| errors.is_empty()) else {
        return Err(Error::Invalid(errors));
    };
    let max_records = plan.max_records;
    let (dataset, items) = (dataset.name.clone(), draft.items.clone());
    Ok(AppendWork { dataset, on, on_multiple, fields, max_records, output, page_size, items })
}

/// The call as work to be done, or everything that is wrong with it.
pub(super) fn call(catalog: &Catalog, plan: &Plan, draft: &CallDraft) -> Result<CallWork, Error> {
    let mut errors = Vec::new();
    let upstream = catalog.upstream(&draft.upstream, plan);
    if upstream.is_none() {
        let allowed = catalog.upstreams.keys().map(String::as_str).filter(|name| plan.allows_upstream(name));
        let sentence = format!("there is no upstream {:?}", draft.upstream);
        errors.push(FieldError::at("upstream", with_nearest(sentence, &draft.upstream, allowed)));
    }
    check_about(&draft.about, &mut errors);
    let id = draft.id.clone().unwrap_or_else(|| "id".into());
    if id.is_empty() || id.len() > 200 {
        errors.push(FieldError::at("id", "must have 1 to 200 characters"));
    }
    if draft.max_errors == Some(0) {
        errors.push(FieldError::at("max_errors", "must be at least 1, or be left out"));
    }
    let output = output(plan, &draft.about, Format::Jsonl, &mut errors);
    if !output.format.is_text() {
        // An answer may be of any shape, so there are no columns that it would fit.
        let detail =
            format!("what upstreams answer cannot be written as {}: use jsonl, json or csv", output.format);
        errors.push(FieldError::at("format", detail));
    }
    let page_size = page_size(draft.about.page_size, &mut errors);
    if let Some(items) = &draft.items {
        check_items(items, &mut errors);
    }
    let Some(upstream) = upstream.filter(|_| errors.is_empty()) else {
        return Err(Error::Invalid(errors));
    };
    let (upstream, max_records, max_errors) = (upstream.name.clone(), plan.max_records, draft.max_errors);
    let items = draft.items.clone();
    Ok(CallWork { upstream, id, max_errors, max_records, output, page_size, items, first_item: None })
}

/// The value of that name, the default where none is given.
fn one_of<T: Default, const N: usize>(
    place: &str,
    wanted: Option<&str>,
    among: [(&str, T); N],
    errors: &mut Vec<FieldError>,
) -> T {
    let Some(wanted) = wanted else { return T::default() };
    let names = among.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match among.into_iter().find(|(name, _)| *name == wanted) {
        Some((_, value)) => value,
        None => {
            errors.push(FieldError::at(place, format!("{wanted:?} is not one of {names}")));
            T::default()
        }
    }
}

/// What is compared with what, as far as the data set is known.
fn keys(dataset: Option<&Dataset>, draft: &AppendDraft, errors: &mut Vec<FieldError>) -> Vec<MatchKey> {
    let ways = || Compare::ALL.map(|way| (way.as_str(), way));
    let default = one_of("compare", draft.compare.as_deref(), ways(), errors);
    if draft.on.is_empty() || draft.on.len() > MAX_MATCH_KEYS {
        let detail =
            format!("must name 1 to {MAX_MATCH_KEYS} columns of the rows, each with one of the data set");
        errors.push(FieldError::at("on", detail));
        return Vec::new();
    }
    let mut keys: Vec<MatchKey> = Vec::with_capacity(draft.on.len());
    for (input, key) in &draft.on {
        let place = format!("on/{}", input.replace('~', "~0").replace('/', "~1"));
        let compare = match &key.compare {
            Some(wanted) => one_of(&format!("{place}/compare"), Some(wanted), ways(), errors),
            None => default,
        };
        let Some(dataset) = dataset else { continue };
        let names = dataset.facts.columns.iter().map(|column| column.name.as_str());
        match dataset.column(&key.column) {
            None => {
                let sentence = format!("unknown column {:?}", key.column);
                errors.push(FieldError::at(&place, with_nearest(sentence, &key.column, names)));
            }
            Some(column) if !is_comparable(&column.data_type) => {
                let detail = format!("column {:?} is {}: it cannot be matched", key.column, column.data_type);
                errors.push(FieldError::at(&place, detail));
            }
            Some(column) if compare != Compare::Exact && column.data_type != ColumnType::Text => {
                let detail = format!(
                    "column {:?} is {}: only text can be compared as {}",
                    key.column,
                    column.data_type,
                    compare.as_str()
                );
                errors.push(FieldError::at(&place, detail));
            }
            Some(_) => keys.push(MatchKey { input: input.clone(), column: key.column.clone(), compare }),
        }
    }
    keys
}

fn is_comparable(data_type: &ColumnType) -> bool {
    match data_type {
        ColumnType::Boolean
        | ColumnType::Int { .. }
        | ColumnType::Decimal { .. }
        | ColumnType::Text
        | ColumnType::Date
        | ColumnType::Timestamp { .. } => true,
        // Two floats that print alike need not be equal, and nobody means equality by them.
        ColumnType::Float { .. }
        | ColumnType::Binary
        | ColumnType::Time { .. }
        | ColumnType::List(_)
        | ColumnType::Struct(_)
        | ColumnType::Map(..)
        | ColumnType::Other(_) => false,
    }
}

/// Whether there are items, and not too many.
fn check_items(items: &[Object], errors: &mut Vec<FieldError>) {
    if items.is_empty() {
        errors.push(FieldError::at("items", "is empty: leave it out to add batches"));
    }
    if items.len() > MAX_ITEMS {
        let detail =
            format!("has {} entries: at most {MAX_ITEMS} come with a request, upload more", items.len());
        errors.push(FieldError::at("items", detail));
    }
}

/// Whether the result fits the columns of a sheet, as far as its columns are known: those that uploads bring, are not.
fn check_sheet(
    output: &OutputFormat,
    fields: &[String],
    on: &[MatchKey],
    items: Option<&[Object]>,
    errors: &mut Vec<FieldError>,
) {
    if output.format != Format::Xlsx {
        return;
    }
    let own = match items {
        Some(items) => items.iter().flat_map(|item| item.members().keys()).collect::<HashSet<_>>().len(),
        None => on.len(),
    };
    let columns = own + fields.len() + [MATCH_COLUMN, ERROR_COLUMN].len();
    if columns > MAX_SHEET_COLUMNS {
        let detail = format!(
            "are {} columns, {columns} with those of the rows and those that are added, and a sheet of xlsx has at most \
             {MAX_SHEET_COLUMNS}",
            fields.len()
        );
        errors.push(FieldError::at("fields", detail));
    }
}

/// Whether the rows have the columns that are matched, and none that the result adds.
fn check_columns(items: &[Object], on: &[MatchKey], errors: &mut Vec<FieldError>) {
    for key in on {
        if !items.iter().any(|item| item.members().contains_key(&key.input)) {
            let place = format!("on/{}", key.input.replace('~', "~0").replace('/', "~1"));
            errors.push(FieldError::at(&place, format!("no item has a member {:?}", key.input)));
        }
    }
    for (place, item) in items.iter().enumerate() {
        for reserved in [MATCH_COLUMN, ERROR_COLUMN] {
            if item.members().contains_key(reserved) {
                let detail = format!("has a member {reserved:?}, which the result uses itself");
                errors.push(FieldError::at(&format!("items/{place}"), detail));
            }
        }
    }
}
