//! A deployment that runs.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use serde_json::Value;

use crate::{Error, Faults, InvokeError, LogLine, Options};

/// A running deployment. Dropped, it stops: its processes are killed, its files go.
#[derive(Debug)]
pub struct Local {}

/// An execution environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentInfo {
    /// The logical id of its function.
    pub function: String,
    /// Its number, counted over the whole run.
    pub number: u64,
    /// Its process.
    pub pid: u32,
    /// Whether it is at work; else it is frozen, or starting.
    pub busy: bool,
}

/// Which environments of a function are killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// All.
    All,
    /// One, by chance; one that is at work where there is any.
    Any,
    /// That one.
    Number(u64),
}

#[expect(clippy::unused_async, clippy::todo, reason = "filled in next")]
impl Local {
    /// Makes what the template describes, and starts it.
    pub async fn start(options: Options) -> Result<Self, Error> {
        todo!("{options:?}")
    }

    /// The address of the HTTP API, without a slash at the end.
    pub fn url(&self) -> &str {
        todo!()
    }

    /// The configuration of clients that speak to the back end directly, past all faults.
    pub fn sdk(&self) -> &SdkConfig {
        todo!()
    }

    /// A client of DynamoDB, past all faults.
    pub fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        todo!()
    }

    /// A client of S3, past all faults.
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        todo!()
    }

    /// A client of SQS, past all faults.
    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        todo!()
    }

    /// The name of the template's table; an error unless it has one table.
    pub fn table(&self) -> Result<&str, Error> {
        todo!()
    }

    /// The name of the template's bucket; an error unless it has one bucket.
    pub fn bucket(&self) -> Result<&str, Error> {
        todo!()
    }

    /// The address of a queue, by its logical id.
    pub fn queue_url(&self, logical: &str) -> Result<&str, Error> {
        todo!("{logical}")
    }

    /// The variables that a function has from the template and from Lambda, with which another program can work on the
    /// same things: endpoints are those of the back end itself, past all faults.
    pub fn variables(&self, function: &str) -> Result<BTreeMap<String, String>, Error> {
        todo!("{function}")
    }

    /// What goes wrong between functions and the back end.
    pub fn faults(&self) -> &Faults {
        todo!()
    }

    /// The environments of a function that live.
    pub fn environments(&self, function: &str) -> Result<Vec<EnvironmentInfo>, Error> {
        todo!("{function}")
    }

    /// Kills environments of a function with SIGKILL, and says how many.
    pub fn kill(&self, function: &str, victim: Victim) -> Result<usize, Error> {
        todo!("{function} {victim:?}")
    }

    /// Invokes a function, and waits for its answer.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Result<Value, InvokeError>, Error> {
        todo!("{function} {event}")
    }

    /// Invokes a function as its schedule would, now, and waits for its answer.
    pub async fn fire_schedule(&self, function: &str) -> Result<Result<Value, InvokeError>, Error> {
        todo!("{function}")
    }

    /// Hands a message of that body to the function that the queue invokes, `times` times at once and past the queue, as
    /// SQS sometimes does.
    pub async fn deliver(
        &self,
        queue: &str,
        body: &str,
        times: usize,
    ) -> Result<Vec<Result<Value, InvokeError>>, Error> {
        todo!("{queue} {body} {times}")
    }

    /// All lines that functions logged so far.
    pub fn logs(&self) -> Vec<LogLine> {
        todo!()
    }

    /// Stops, and removes what was made on the back end unless it was to be kept.
    pub async fn stop(self) -> Result<(), Error> {
        todo!()
    }
}
