//! Whole SELECT statements.
