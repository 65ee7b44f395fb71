//! The executor of calls against an upstream that behaves, and many that do not.

#![expect(clippy::unwrap_used, reason = "a test: what it does not expect must end it")]

mod answers;
mod files;
mod limits;
mod resume;
mod scripted;
mod secrets;
mod world;
