//! Text that fits a pattern.

use arrow_array::{ArrayRef, BooleanArray, Scalar, StringArray};
use arrow_schema::DataType;
use arrow_string::like;
use willcall_core::query::TextMatch;

use super::text_of;

/// Whether each text fits.
pub(super) fn matches(
    values: &ArrayRef,
    how: TextMatch,
    pattern: &str,
    ignore_case: bool,
) -> Result<BooleanArray, String> {
    if values.data_type() != &DataType::Utf8 {
        return Err(format!("a pattern for {}", values.data_type()));
    }
    let scalar = |pattern: &str| Scalar::new(StringArray::from_iter_values([pattern]));
    let matched = match (how, ignore_case) {
        (TextMatch::Like, false) => like::like(values, &scalar(pattern)),
        (TextMatch::Like, true) => like::ilike(values, &scalar(pattern)),
        (TextMatch::Prefix, false) => like::starts_with(values, &scalar(pattern)),
        (TextMatch::Contains, false) => like::contains(values, &scalar(pattern)),
        (TextMatch::Prefix, true) => like::ilike(values, &scalar(&(literal(pattern) + "%"))),
        (TextMatch::Contains, true) => like::ilike(values, &scalar(&format!("%{}%", literal(pattern)))),
    };
    matched.map_err(text_of)
}

/// A LIKE pattern that fits the text alone.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
