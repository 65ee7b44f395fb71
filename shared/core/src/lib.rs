//! The domain of Willcall: jobs, filters, ports and use cases.
//!
//! **Architecture invariant:** this crate knows no HTTP framework, no cloud SDK and no query engine. Hosts wire
//! it to those through the traits in [`ports`]; what the system does is written in [`usecases`].

pub mod account;
pub mod catalog;
pub mod error;
pub mod file_name;
pub mod format;
pub mod id;
pub mod idempotency;
pub mod input;
pub mod job;
pub mod json;
pub mod ports;
pub mod prices;
pub mod query;
pub mod telemetry;
pub mod time;
pub mod token;
pub mod usecases;
pub mod webhook;
pub mod zip;

pub use error::{Error, FieldError, chain};
pub use id::{AccountId, JobId, JobRef};
pub use time::Timestamp;
