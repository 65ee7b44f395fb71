//! Data files that are objects far away, whatever client reaches them: reads of many ranges at once, for threads that
//! wait for them.

mod object;
mod runtime;

pub use self::{
    object::{ObjectFile, ReadRange, short},
    runtime::OwnRuntime,
};
