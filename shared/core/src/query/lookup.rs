//! Finding the column that a name means.

use super::{SyntaxError, error::quoted, nearest};
use crate::catalog::Column;

/// The column of exactly that name.
pub(super) fn exact<'c>(name: &str, columns: &'c [Column]) -> Option<&'c Column> {
    columns.iter().find(|column| column.name == name)
}

/// The column of that name or, as SQL has it for names without quotes, the only one that differs in case alone.
pub(super) fn any_case<'c>(name: &str, at: usize, columns: &'c [Column]) -> Result<&'c Column, SyntaxError> {
    if let Some(column) = exact(name, columns) {
        return Ok(column);
    }
    let lower = name.to_lowercase();
    let mut alike = columns.iter().filter(|column| column.name.to_lowercase() == lower);
    match (alike.next(), alike.next()) {
        (Some(column), None) => Ok(column),
        (Some(one), Some(other)) => {
            Err(SyntaxError::at(at, format_args!("ambiguous column {}", quoted(name)))
                .advise(format_args!("write \"{}\" or \"{}\" in double quotes", one.name, other.name)))
        }
        (None, _) => Err(unknown(name, at, columns)),
    }
}

/// The error for a name that no column has.
pub(super) fn unknown(name: &str, at: usize, columns: &[Column]) -> SyntaxError {
    with_nearest(SyntaxError::at(at, format_args!("unknown column {}", quoted(name))), name, columns)
}

/// The error with the nearest column's name as advice.
pub(super) fn with_nearest(error: SyntaxError, name: &str, columns: &[Column]) -> SyntaxError {
    match nearest(name, columns.iter().map(|column| column.name.as_str())) {
        Some(near) => error.advise(format_args!("did you mean {}?", quoted(near))),
        None => error,
    }
}
