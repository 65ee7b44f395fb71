//! Reaches addresses that clients or operators chose, over HTTP/1.1, and never one that it must not.
//!
//! **Architecture invariant:** every connection is made by `connector`, which judges the socket address itself, just before
//! it connects, and connects to the very address that it judged. A name that leads elsewhere at the next moment changes
//! nothing. Redirects are answers like any other, and no proxy is known.

mod address;
mod client;
mod connector;
mod guard;
mod retry_after;

pub use self::{
    client::{Client, Reuse},
    connector::{Resolve, SystemResolver},
    guard::{Guard, PlainHttp},
    retry_after::retry_after,
};
