//! The adapters against an emulator of AWS: the suites of their ports, and what only AWS can do to them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

mod assembled;
mod batches;
mod blobs;
mod catalog;
mod conformance;
mod data;
mod environment;
mod faults;
mod faulty;
mod jobs;
mod place;
mod publish;
mod secrets;
mod signature;
mod submits;
mod webhooks;
