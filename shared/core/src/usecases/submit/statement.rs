//! Checks a statement with its parameters against catalog and plan. Every mistake is named with its place.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    output::{output, page_size},
    validate::{check_about, check_reuse, with_nearest},
};
use crate::{
    Error, FieldError,
    account::Plan,
    catalog::Catalog,
    format::Format,
    job::kinds::{SqlValue, SqlWork},
    query::{self, Statement, is_date, is_parameter, moment_text},
    usecases::{SqlDraft, limits::MAX_PARAMETERS},
};

/// The most digits of a decimal.
const MAX_DIGITS: usize = 38;
/// The types of a parameter that says its own.
const TYPES: [&str; 7] = ["boolean", "int64", "float64", "decimal", "text", "date", "timestamp"];

/// The statement as work to be done, or everything that is wrong with it.
pub(super) fn validate(catalog: &Catalog, plan: &Plan, draft: &SqlDraft) -> Result<SqlWork, Error> {
    if !plan.sql {
        return Err(Error::NotInPlan { plan: plan.name.clone(), what: "sql" });
    }
    let mut errors = Vec::new();
    let about = &draft.about;
    check_about(about, &mut errors);
    check_reuse(draft.reuse, draft.max_age, &mut errors);
    let names: BTreeSet<&str> = catalog.datasets.keys().map(String::as_str).collect();
    let allowed = names.into_iter().filter(|name| plan.allows_dataset(name)).collect();
    let statement = query::check_statement(&draft.sql, &allowed);
    let parameters = parameters(&draft.parameters, &mut errors);
    let statement = match statement {
        Ok(statement) => {
            fit(&draft.sql, &statement, &draft.parameters, &mut errors);
            Some(statement)
        }
        Err(found) => {
            errors.extend(found.into_iter().map(|error| FieldError::at("sql", error.detail)));
            None
        }
    };
    let output = output(plan, about, Format::Json, &mut errors);
    let page_size = page_size(about.page_size, &mut errors);
    match statement {
        Some(statement) if errors.is_empty() => Ok(SqlWork {
            sql: draft.sql.clone(),
            parameters,
            datasets: statement.datasets,
            limit: draft.limit,
            offset: draft.offset,
            max_records: plan.max_records,
            output,
            page_size,
        }),
        _ => Err(Error::Invalid(errors)),
    }
}

/// Whether placeholders and parameters are the same.
fn fit(sql: &str, statement: &Statement, given: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    for (name, offset) in &statement.placeholders {
        if !given.contains_key(name) {
            let place = query::statement_place(sql, *offset);
            let detail = format!("the placeholder \"${name}\" has no value among the parameters {place}");
            let known =
                given.keys().map(String::as_str).filter(|name| !statement.placeholders.contains_key(*name));
            errors.push(FieldError::at("sql", with_nearest(detail, name, known)));
        }
    }
    for name in given.keys().filter(|name| is_parameter(name) && !statement.placeholders.contains_key(*name))
    {
        let detail = format!("the statement has no placeholder \"${name}\"");
        errors.push(FieldError::at(&place(name), detail));
    }
}

fn place(name: &str) -> String {
    format!("parameters/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn parameters(given: &Map<String, Value>, errors: &mut Vec<FieldError>) -> BTreeMap<String, SqlValue> {
    if given.len() > MAX_PARAMETERS {
        let detail = format!("has {} entries: at most {MAX_PARAMETERS} are allowed", given.len());
        errors.push(FieldError::at("parameters", detail));
        return BTreeMap::new();
    }
    let mut values = BTreeMap::new();
    for (name, value) in given {
        if !is_parameter(name) {
            let detail =
                "a parameter's name has letters, digits and \"_\", begins with no digit, and has at most 64";
            errors.push(FieldError::at(&place(name), detail));
        }
        match parameter(value) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err((member, detail)) => errors.push(FieldError::at(&(place(name) + member), detail)),
        }
    }
    values
}

/// The value, or which member of it is wrong and how.
fn parameter(value: &Value) -> Result<SqlValue, (&'static str, String)> {
    let members = match value {
        Value::Null => return Ok(SqlValue::Null),
        Value::Bool(value) => return Ok(SqlValue::Boolean(*value)),
        Value::String(text) => return Ok(SqlValue::Text(text.clone())),
        Value::Number(number) => {
            if let Some(whole) = number.as_i64() {
                return Ok(SqlValue::Int64(whole));
            }
            // Nothing is rounded unasked: a whole number beyond 64 bits is a decimal.
            return if number.is_f64() && number.to_string().contains(['.', 'e', 'E']) {
                Ok(SqlValue::Float64(number.as_f64().unwrap_or_default()))
            } else {
                let advice = "write {\"type\": \"decimal\", \"value\": \"…\"}";
                Err(("", format!("{number} does not fit 64 bits; {advice}")))
            };
        }
        Value::Array(_) => return Err(("", "must be one value, not an array".into())),
        Value::Object(members) => members,
    };
    if let Some(other) = members.keys().find(|name| !matches!(name.as_str(), "type" | "value")) {
        return Err(("", format!("has \"type\" and \"value\" and nothing else, not {other:?}")));
    }
    let Some(Value::String(of)) = members.get("type") else {
        return Err(("/type", format!("must be one of {}", TYPES.join(", "))));
    };
    if !TYPES.contains(&of.as_str()) {
        let detail = format!("{of:?} is not one of {}", TYPES.join(", "));
        return Err(("/type", with_nearest(detail, of, TYPES)));
    }
    let value = members.get("value").ok_or(("/value", "is missing".to_owned()))?;
    if value.is_null() {
        return Ok(SqlValue::Null);
    }
    let text = || match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let typed = match of.as_str() {
        "boolean" => value.as_bool().map(SqlValue::Boolean),
        "int64" => text().and_then(|text| text.parse().ok()).map(SqlValue::Int64),
        "float64" => text()
            .and_then(|text| text.parse::<f64>().ok())
            .filter(|value| value.is_finite())
            .map(SqlValue::Float64),
        "decimal" => text().filter(|text| is_decimal(text)).map(SqlValue::Decimal),
        "date" => value.as_str().filter(|text| is_date(text)).map(|text| SqlValue::Date(text.to_owned())),
        "timestamp" => value.as_str().and_then(moment_text).map(SqlValue::Timestamp),
        _ => value.as_str().map(|text| SqlValue::Text(text.to_owned())),
    };
    let written = match of.as_str() {
        "boolean" => "true or false",
        "int64" => "a whole number of 64 bits",
        "float64" => "a finite number",
        "decimal" => "a decimal number of at most 38 digits, in quotes",
        "date" => "a date: \"2024-01-31\"",
        "timestamp" => "a moment: \"2024-01-31T10:30:00Z\", or without Z",
        _ => "a string",
    };
    typed.ok_or_else(|| ("/value", format!("must be {written}, not {}", shown(value))))
}

/// The value as it is told back, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(part) && digits.bytes().filter(u8::is_ascii_digit).count() <= MAX_DIGITS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_values_have_the_type_that_json_gives_them() {
        for (value, expected) in [
            (json!(null), SqlValue::Null),
            (json!(true), SqlValue::Boolean(true)),
            (json!("2024-01-01"), SqlValue::Text("2024-01-01".into())),
            (json!(5), SqlValue::Int64(5)),
            (json!(i64::MIN), SqlValue::Int64(i64::MIN)),
            (json!(5.0), SqlValue::Float64(5.0)),
            (json!(1e300), SqlValue::Float64(1e300)),
        ] {
            assert_eq!(parameter(&value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn a_value_may_say_its_type() {
        for (of, value, expected) in [
            ("date", json!("2024-02-29"), SqlValue::Date("2024-02-29".into())),
            (
                "timestamp",
                json!("2024-01-31T10:30:00+01:00"),
                SqlValue::Timestamp("2024-01-31T09:30:00Z".into()),
            ),
            ("timestamp", json!("2024-01-31 10:30"), SqlValue::Timestamp("2024-01-31T10:30:00".into())),
            (
                "decimal",
                json!("-12345678901234567890.05"),
                SqlValue::Decimal("-12345678901234567890.05".into()),
            ),
            ("decimal", json!(5), SqlValue::Decimal("5".into())),
            ("int64", json!("9223372036854775807"), SqlValue::Int64(i64::MAX)),
            ("float64", json!(1), SqlValue::Float64(1.0)),
            ("boolean", json!(false), SqlValue::Boolean(false)),
            ("text", json!("x"), SqlValue::Text("x".into())),
            ("date", json!(null), SqlValue::Null),
        ] {
            assert_eq!(parameter(&json!({"type": of, "value": value})), Ok(expected), "{of} {value}");
        }
    }

    #[test]
    fn values_that_are_none_are_told_by_their_member() {
        for (value, member, detail) in [
            (json!([1]), "", "not an array"),
            (json!(u64::MAX), "", "does not fit 64 bits"),
            (json!({"value": 1}), "/type", "must be one of"),
            (json!({"type": "dat", "value": "x"}), "/type", "did you mean \"date\"?"),
            (json!({"type": "date"}), "/value", "is missing"),
            (json!({"type": "date", "value": "2023-02-29"}), "/value", "must be a date"),
            (json!({"type": "timestamp", "value": "noon"}), "/value", "must be a moment"),
            (json!({"type": "decimal", "value": "1e3"}), "/value", "a decimal number"),
            (json!({"type": "decimal", "value": "1".repeat(39)}), "/value", "at most 38 digits"),
            (json!({"type": "int64", "value": 1.5}), "/value", "a whole number"),
            (json!({"type": "float64", "value": "NaN"}), "/value", "a finite number"),
            (json!({"type": "boolean", "value": "true"}), "/value", "true or false"),
            (json!({"type": "text", "value": 1}), "/value", "a string"),
            (json!({"type": "text", "value": "x", "more": 1}), "", "nothing else"),
        ] {
            let (found, told) = parameter(&value).unwrap_err();
            assert_eq!(found, member, "{value}");
            assert!(told.contains(detail), "{value}: {told}");
        }
    }
}
