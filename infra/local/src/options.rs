//! What a deployment is told at its start.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use crate::{Endpoints, LogLine};

/// What to run, on what, and what to change of what the template says.
#[derive(Debug, Clone)]
pub struct Options {
    /// The SAM template.
    pub template: PathBuf,
    /// Values of the template's parameters; the others have their defaults.
    pub parameters: BTreeMap<String, String>,
    /// Where the functions' binaries are, each under the name that its `CodeUri` ends with.
    pub binaries: PathBuf,
    /// The back end.
    pub back_end: Endpoints,
    /// The loopback port of the HTTP API; 0 takes a free one.
    pub port: u16,
    /// What differs from the template. Empty by default.
    pub overrides: Overrides,
    /// Whether the functions' calls go through proxies that [`crate::Faults`] can disturb. Without them functions
    /// speak to the back end directly, as they must where signatures cover its address, as on AWS itself.
    pub faults: bool,
    /// Whether the resources stay when the deployment stops.
    pub keep: bool,
    /// Is told every line that a function logs, as it comes.
    pub on_log: Option<OnLog>,
}

impl Options {
    /// Options with the template's own values.
    pub fn new(template: impl Into<PathBuf>, binaries: impl Into<PathBuf>, back_end: Endpoints) -> Self {
        Self {
            template: template.into(),
            parameters: BTreeMap::new(),
            binaries: binaries.into(),
            back_end,
            port: 0,
            overrides: Overrides::default(),
            faults: true,
            keep: false,
            on_log: None,
        }
    }
}

/// Called with every line that a function logs.
#[derive(Clone)]
pub struct OnLog(pub Arc<dyn Fn(&LogLine) + Send + Sync>);

impl fmt::Debug for OnLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnLog")
    }
}

/// What differs from the template, so that a test need not wait for what takes minutes on AWS. Names are logical ids.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Variables of every function; they win over the template's.
    pub variables: BTreeMap<String, String>,
    /// Variables of one function; they win over all others, Lambda's own too. An empty one is taken away.
    pub function_variables: BTreeMap<String, BTreeMap<String, String>>,
    /// Time-outs of functions.
    pub timeouts: BTreeMap<String, Duration>,
    /// How many environments a function may have at once.
    pub concurrency: BTreeMap<String, usize>,
    /// How long a message that was received stays hidden, by queue.
    pub visibility: BTreeMap<String, Duration>,
    /// How often a message may be received before it is a dead letter, by queue.
    pub max_receive_count: BTreeMap<String, u32>,
    /// How often schedules fire, by function. [`Duration::MAX`] is never: only [`crate::Local::fire_schedule`] does.
    pub schedules: BTreeMap<String, Duration>,
    /// How long API Gateway waits for a function, instead of 30 s.
    pub integration_timeout: Option<Duration>,
}
