//! Calls somebody's slow API for each item of a job, and writes what became of each.
//!
//! Items are sent side by side within the upstream's limits, each with a key of its own that stays the same however often it
//! is sent. A journal in the blob store remembers across attempts and workers what was sent and what came back: no item is
//! lost, none is reported twice, and one that may have been done without our knowing says so.

mod answer;
mod call;
mod executor;
mod failure;
mod headers;
mod items;
mod journal;
mod limit;
mod result;
mod run;

pub use self::executor::UpstreamExecutor;
