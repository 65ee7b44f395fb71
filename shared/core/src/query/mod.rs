//! Which records: one typed [`Filter`], and the three syntaxes that parse into it; and whole statements, checked.
//!
//! **Architecture invariant:** no text of a filter reaches an engine. A parser makes a tree of names and literals,
//! the checker types it against the data set's columns, and the engine has one translation of the outcome.

mod canonical;
mod combine;
mod error;
mod filter;
mod limits;
mod lookup;
mod lucene;
mod nearest;
mod params;
mod sql;
mod statement;
#[cfg(test)]
mod tests;
mod typing;

pub use error::SyntaxError;
pub use filter::{CompareOp, Filter, Function, Literal, Operand, TextMatch};
pub use limits::{MAX_CONDITIONS, MAX_DEPTH, MAX_FILTER_BYTES, MAX_IN, check_limits};
pub use lucene::parse_lucene;
pub use nearest::nearest;
pub use params::parse_param;
pub use sql::parse_sql;
pub use statement::{
    AGGREGATE_FUNCTIONS, MAX_STATEMENT_BYTES, MAX_STATEMENT_CASES, MAX_STATEMENT_DEPTH,
    MAX_STATEMENT_OPERATORS, MAX_STATEMENT_RELATIONS, MAX_STATEMENT_SELECTS, SCALAR_FUNCTIONS, Statement,
    WINDOW_FUNCTIONS, check_statement, name_without_as, with_stack,
};
pub(crate) use statement::{is_parameter, statement_place};
pub(crate) use typing::{is_date, moment_text};
