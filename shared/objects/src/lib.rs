//! Data files that are objects far away, whatever client reaches them: reads of many ranges at once, for threads that
//! wait for them; and what it means where they are refused.

mod object;
mod runtime;
pub mod words;

pub use self::{
    object::{ObjectFile, ReadRange, short},
    runtime::OwnRuntime,
};
