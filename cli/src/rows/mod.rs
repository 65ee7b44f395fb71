//! Rows of the user's own: cut into parts, uploaded, and brought together again.

mod collect;
mod feed;
mod input;
mod ledger;
mod records;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    collect::{Collector, Shape, Told},
    feed::{check_parts, feed},
    input::{Input, Part},
    ledger::Ledger,
    source::RowsFile,
};
