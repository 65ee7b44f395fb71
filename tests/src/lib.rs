//! What scenarios stand on: hosts to run them on, a client that speaks plain HTTP, and data to ask for.

mod client;
mod data;
mod host;
mod suite;

pub use client::{Answer, Client, id, unique};
pub use data::{numbers, numbers_file, write_numbers};
pub use host::{Deployed, Host, OneBox, Operator};
pub use suite::{Needs, On, Scenario, run};
