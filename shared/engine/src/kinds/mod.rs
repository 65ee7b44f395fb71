//! The kinds of work, one file each.

pub(crate) mod query;
mod tally;
mod text;
