//! Sends webhooks: signed as Standard Webhooks 1.0 says, and never to an address that is not of the public internet.
//!
//! **Architecture invariant:** every connection is made by `connector`, which judges the socket address itself, just before
//! it connects, and connects to the very address that it judged. A name that leads elsewhere at the next moment changes
//! nothing.

mod address;
mod connector;
mod guard;
mod retry_after;
mod sender;
mod signature;
mod vault;

pub use self::{
    connector::{Resolve, SystemResolver},
    sender::HttpSender,
    signature::signature,
    vault::SealingVault,
};
