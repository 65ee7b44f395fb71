//! Every route over the fakes: the good case, bad input, other accounts, scopes, ends and faults.

#![expect(clippy::unwrap_used, reason = "a test: what it does not expect must end it")]

mod auth;
mod batches;
mod collect;
mod dry_run;
mod files;
mod follow;
mod limits;
mod records;
mod repeat;
mod site;
mod statement;
mod submit;
mod upstreams;
mod webhooks;
mod world;
