//! The query engine: reads Parquet, filters, sorts, and writes results.
//!
//! Records flow through numbered units that are decoded and encoded on all cores and written strictly in order, so
//! the bytes of a result depend on the request and the data alone. Memory is bounded by what is in flight, never
//! by the size of the data or of the result.

mod adapt;
mod attempt;
mod engine;
mod failure;
mod filter;
mod formats;
mod inspect;
mod kinds;
mod local;
mod ordered;
mod scan;
mod schema;
mod sink;
mod snapshot;
mod sort;

pub use self::{
    engine::{Engine, EngineConfig},
    inspect::ParquetInspector,
    local::LocalDataFiles,
};

/// The version of everything that decides a result's bytes. Another one means that a result of this code may
/// differ from a result of older code for the same request and data.
pub const WRITER_VERSION: &str = "willcall-2";
