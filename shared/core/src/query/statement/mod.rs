//! Whole SELECT statements: read, and let pass only where all of it is known to be harmless.
//!
//! The text is parsed with `sqlparser` and [`GenericDialect`], the parser and the dialect of the engine, so that both see the
//! same tree. A walk over the tree knows what may be in it and refuses everything else: a part of the language that
//! it was never told of, or that a later parser adds, does not pass. Names without double quotes are in lower
//! case, as the engine reads them.
//!
//! **Architecture invariant:** whoever carries a statement out has checked nothing of this and need not; and still gives it
//! no more than the data sets that it names, for two walls are better than one.

mod columns;
mod expressions;
mod functions;
mod place;
mod relations;
mod scope;
mod tables;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use sqlparser::{
    ast::Statement as Parsed,
    dialect::GenericDialect,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token},
};

pub use self::columns::name_without_as;
pub use self::functions::{AGGREGATE_FUNCTIONS, SCALAR_FUNCTIONS, WINDOW_FUNCTIONS};
pub(crate) use self::words::is_parameter;
use self::{
    place::Lines,
    relations::Walk,
    words::{Words, too_deep},
};
use super::SyntaxError;

/// The longest text of a statement in bytes.
pub const MAX_STATEMENT_BYTES: usize = 64 * 1024;
/// How deep brackets may be nested in a statement.
pub const MAX_STATEMENT_DEPTH: usize = 32;
/// How deep CASE, CAST, EXISTS, NOT with a bracket and the like may be nested in a statement.
pub const MAX_STATEMENT_CASES: usize = 10;
/// The most operators of a statement: comparisons, AND, OR, NOT, arithmetic, UNION and the like.
pub const MAX_STATEMENT_OPERATORS: usize = 1_000;
/// The most SELECTs of a statement, sub-queries among them.
pub const MAX_STATEMENT_SELECTS: usize = 64;
/// The most data sets, sub-queries and common tables that a statement reads, counted once those that WITH names are put in wherever
/// they are used.
pub const MAX_STATEMENT_RELATIONS: usize = 64;

/// Parsing goes through about fifty levels of calls, each of which may take a quarter of a megabyte in a build without
/// optimisation.
const STACK: usize = 64 * 1024 * 1024;

/// The most mistakes that are told at once.
const MOST_ERRORS: usize = 20;

/// What a harmless statement needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The data sets that it names, sorted, each once.
    pub datasets: Vec<String>,
    /// Its placeholders without the dollar, each with the first place where it stands, in characters from 0.
    pub placeholders: BTreeMap<String, usize>,
}

/// Checks that the text is one SELECT that does nothing but read these data sets, by functions that are known. Every mistake
/// that can be found is told, by its place. A data set that is not among `datasets` is one that there is not.
pub fn check_statement(text: &str, datasets: &BTreeSet<&str>) -> Result<Statement, Vec<SyntaxError>> {
    if text.len() > MAX_STATEMENT_BYTES {
        return Err(vec![SyntaxError::whole(format!(
            "the statement has {} bytes, more than the {MAX_STATEMENT_BYTES} allowed",
            text.len()
        ))]);
    }
    let words = Words::of(text).map_err(|error| vec![error])?;
    with_stack(|| read(&words, datasets))
}

/// Does something with as much stack as parsing a statement needs that [`check_statement`] lets pass, or walking over what it
/// makes. How deep both go is bounded, by the nesting of the text, but more than what is left of a thread's stack may be needed.
pub fn with_stack<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK / 2, STACK, run)
}

fn read(words: &Words, datasets: &BTreeSet<&str>) -> Result<Statement, Vec<SyntaxError>> {
    let mut parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(words.tokens.clone());
    let parsed = parser.parse_statement().map_err(|error| vec![unreadable(error, &words.lines)])?;
    let _ = parser.consume_token(&Token::SemiColon);
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let place = words.lines.place(rest.span.start);
        let found = super::error::quoted(&rest.token.to_string());
        return Err(vec![place.sentence(format_args!("the statement has ended, and {found} follows"))]);
    }
    let mut walk = Walk::new(words, datasets);
    match &parsed {
        Parsed::Query(query) => walk.statement(query),
        _ => {
            return Err(vec![words.lines.at(0).sentence("only a SELECT is carried out")]);
        }
    }
    walk.finish()
}

/// A place of a text that was checked, in words for a sentence's end.
pub(crate) fn statement_place(text: &str, offset: usize) -> String {
    Lines::of(text).at(offset).to_string()
}

/// What the parser says, in the words and with the place that other mistakes have.
fn unreadable(error: ParserError, lines: &Lines) -> SyntaxError {
    let message = match error {
        ParserError::RecursionLimitExceeded => return too_deep(),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let (detail, place) = match message.rsplit_once(" at Line: ") {
        Some((detail, place)) => (detail, place.split_once(", Column: ")),
        None => (message.as_str(), None),
    };
    let place = place.and_then(|(line, column)| Some((line.parse().ok()?, column.trim().parse().ok()?)));
    let place = place.map_or_else(|| lines.end(), |(line, column)| lines.place(Location::new(line, column)));
    let detail: String = detail.replacen("Expected: ", "expected ", 1).replacen("found: ", "found ", 1);
    let detail: String = detail.replace("found EOF", "found the end").chars().take(200).collect();
    place.at(detail)
}

#[cfg(test)]
mod tests;
