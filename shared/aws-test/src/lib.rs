//! An emulator of AWS on this machine: started once for all processes that use it, and ended when none does.
//!
//! A test takes a [`Place`] of its own: a table, a bucket and a queue as a deployment makes them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

mod emulator;
mod place;

pub use self::{
    emulator::{ACCESS_KEY, Emulator, QueueClock, REGION, SECRET_KEY},
    place::Place,
};
