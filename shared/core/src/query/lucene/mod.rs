//! Lucene-like queries.
//!
//! `tantivy-query-grammar` reads each value: words, phrases, ranges, sets. What stands between them is read here:
//! its tree forgets where a clause stood and which clauses had no operator between them, and its parser goes as
//! deep as the brackets do.

mod clauses;
mod value;

use self::clauses::Reader;
use super::{Filter, SyntaxError, check_limits, limits::check_text};
use crate::catalog::Column;

/// Parses a Lucene-like query over the columns into a filter in canonical form.
///
/// Values match whole and case-sensitively, in a list column any element. NOT and `-` keep records for which the
/// negated condition is unknown ([`Filter::IsNotTrue`]). AND binds tighter than OR.
pub fn parse_lucene(text: &str, columns: &[Column]) -> Result<Filter, SyntaxError> {
    check_text(text)?;
    let filter = Reader::new(text, columns).parse()?.canonical();
    check_limits(&filter)?;
    Ok(filter)
}
