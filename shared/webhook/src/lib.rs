//! Sends webhooks: signed as Standard Webhooks 1.0 says, and never to an address that is not of the public internet, by the
//! guard of `willcall-outbound`.

mod sender;
mod signature;
mod vault;

pub use self::{sender::HttpSender, signature::signature, vault::SealingVault};
