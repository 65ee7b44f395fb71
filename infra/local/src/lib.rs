//! Runs the deployment of a SAM template on this machine: the real function binaries, each process an execution
//! environment of Lambda, behind an HTTP API, on any back end that speaks the protocols of S3, SQS and DynamoDB.
//!
//! [`Local::start`] reads the template, makes what it describes on the back end under a name of the run's own, and
//! starts. What the template says wrong, or what is not understood here, is an error that names the place.

mod back_end;
mod deployment;
mod error;
mod faults;
mod gateway;
mod lambda;
mod local;
mod logs;
mod options;
mod proxy;
mod schedules;
mod serve;
mod signature;
mod sources;
mod template;

pub use self::{
    back_end::Endpoints,
    error::{Error, InvokeError},
    faults::{Call, Fault, Faults, Rule, RuleId, Service, Which},
    local::{EnvironmentInfo, Local, Victim, check},
    logs::LogLine,
    options::{OnLog, Options, Overrides},
    template::TemplateError,
};
