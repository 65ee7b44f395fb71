//! What the Lambda functions share: environment, wiring, logs, metrics, traces, and the events they are called with.
//!
//! A function's `main` names the parts of the world that it needs and the routes or events that it serves; the rest
//! is here. The domain is told nothing of Lambda: an event becomes a call of a use case, and its answer an answer.

mod answer;
mod api;
mod batch;
mod deadline;
mod environment;
mod host;
mod log;
mod metrics;
mod notify;
mod size;
mod start;
mod sweeper;
mod withheld;
mod worker;
mod xray;

pub use self::{
    answer::{Answer, INLINE_LIMIT},
    api::Api,
    environment::{Part, Variables},
    host::Host,
    notify::NoticeConsumer,
    size::Size,
    start::start,
    sweeper::Sweeper,
    worker::Consumer,
};

/// What a function's start or its runtime ended with.
pub type Error = lambda_runtime::Error;
