//! What scenarios stand on: a running Willcall, a client that speaks plain HTTP, and data to ask for.

mod client;
mod data;
mod host;
mod receiver;

pub use client::{Answer, Client, id};
pub use data::{numbers, write_numbers};
pub use host::Host;
pub use receiver::{Manner, Received, Receiver};
