//! Which records: one typed [`Filter`], and the three syntaxes that parse into it.
//!
//! **Architecture invariant:** no text of a filter reaches an engine. A parser makes a tree of names and literals,
//! the checker types it against the data set's columns, and the engine has one translation of the outcome.

mod filter;

pub use filter::{CompareOp, Filter, Function, Literal, Operand, TextMatch};
