//! Carries out whole SELECT statements with DataFusion, in a child process.
//!
//! The child is the same program, started with [`CHILD_ARGUMENT`] alone: [`run_child`] belongs first into its `main`. It
//! has an empty environment and limits on its memory, its time and its files; it opens nothing, and reads the data sets by
//! asking its parent for bytes of files that are the job's. What it makes goes to the parent as Arrow's stream, and the
//! engine writes it there.
//!
//! **Architecture invariant:** no text of a statement is ever planned in the process that serves others.

mod arithmetic;
mod child;
mod executor;
mod failure;
mod files;
mod names;
mod numbers;
mod order;
mod pushdown;
mod rewrite;
mod session;
mod sum;
mod table;
mod wire;
mod words;

pub use self::{
    child::{CHILD_ARGUMENT, run_child},
    executor::{SqlConfig, SqlExecutor},
};
