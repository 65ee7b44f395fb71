//! `columns` of a data set in `willcall.toml`.

use serde::Deserialize;

use super::{Column, FileFormat};

/// A column as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnEntry {
    name: String,
    r#type: String,
    #[serde(default = "yes")]
    nullable: bool,
}

fn yes() -> bool {
    true
}

/// The columns that are declared for the files at a location; else which is wrong, and why.
pub(super) fn declared(columns: Vec<ColumnEntry>, location: &str) -> Result<Vec<Column>, (String, String)> {
    if columns.is_empty() {
        return Err((String::new(), "is empty: leave it out, and the columns are inferred".into()));
    }
    if FileFormat::of_name(location) == Some(FileFormat::Parquet) {
        return Err((String::new(), "are for files of text: Parquet has columns of its own".into()));
    }
    let mut declared: Vec<Column> = Vec::new();
    for (place, ColumnEntry { name, r#type, nullable }) in columns.into_iter().enumerate() {
        let wrong = |detail: String| Err((format!("[{place}]"), detail));
        if name.trim().is_empty() {
            return wrong("has no name".into());
        }
        if declared.iter().any(|column| column.name == name) {
            return wrong(format!("names the column {name:?} twice"));
        }
        match r#type.parse() {
            Ok(data_type) => declared.push(Column { name, data_type, nullable }),
            Err(detail) => return wrong(format!("of {name:?}: {detail}")),
        }
    }
    Ok(declared)
}
