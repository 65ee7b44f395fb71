//! SQL boolean expressions.
//!
//! `sqlparser` reads the words. Its expression parser is not used on top: it builds chains of AND, OR and the like as
//! trees as deep as they are long, which overflow the stack when walked or dropped, and it forgets where brackets,
//! NULL or a sign stood. The grammar of a filter is small, so it is spelled out here, with bounded depth and
//! the place of everything; tests hold it to `sqlparser`, which must read whatever is accepted here.

mod function;
mod grammar;
mod predicate;
mod refused;
mod words;

use self::{grammar::Grammar, words::tokenize};
use super::{Filter, SyntaxError, check_limits, limits::check_text};
use crate::catalog::Column;

/// Parses an SQL boolean expression over the columns into a filter in canonical form.
///
/// Names without quotes are first looked for as they are, then in any case. Of functions there are those of
/// [`Function`](super::Function).
pub fn parse_sql(text: &str, columns: &[Column]) -> Result<Filter, SyntaxError> {
    check_text(text)?;
    let tokens = tokenize(text)?;
    let filter = Grammar::new(tokens, columns).parse()?.canonical();
    check_limits(&filter)?;
    Ok(filter)
}
