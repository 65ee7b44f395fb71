//! The runner, with a function that does what a test wants of it, on the emulator.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

mod back_end;
mod faults;
mod gateway;
mod lambda;
mod queues;
mod setup;
