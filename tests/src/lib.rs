//! What scenarios stand on: hosts to run them on, a client that speaks plain HTTP, and data to ask for.

mod bucket;
mod client;
mod data;
mod host;
mod receiver;
mod suite;

pub use bucket::{Bucket, Trouble};
pub use client::{Answer, Client, id, unique};
pub use data::{numbers, numbers_file, numbers_from, write_numbers, write_texts};
pub use host::{Aws, Deployed, Directory, Host, OneBox, Operator, chance};
pub use receiver::{Manner, Received, Receiver};
pub use suite::{Needs, On, Run, Scenario, run};
