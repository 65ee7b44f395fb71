//! The query engine: reads Parquet and text, filters, sorts, and writes results.
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
pub mod read;
mod scan;
mod schema;
mod sink;
mod snapshot;
mod sort;
mod spill;
pub mod statement;
mod store;

pub use self::{
    engine::{Engine, EngineConfig},
    inspect::ParquetInspector,
    local::LocalDataFiles,
};
pub use willcall_core::format::WRITER_VERSION;
