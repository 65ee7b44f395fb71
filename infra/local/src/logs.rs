//! What the functions log, as CloudWatch would keep it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use crate::OnLog;

/// A line that a function wrote to its stdout or stderr, or that Lambda wrote about it (`START`, `REPORT`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it came.
    pub time: SystemTime,
    /// The logical id of the function.
    pub function: String,
    /// The number of the environment, counted over the whole run.
    pub environment: u64,
    /// The line, without its end.
    pub text: String,
}

/// All lines so far. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logs {
    lines: Arc<Mutex<Vec<LogLine>>>,
    on_log: Option<OnLog>,
}

impl Logs {
    pub(crate) fn new(on_log: Option<OnLog>) -> Self {
        Self { lines: Arc::default(), on_log }
    }

    pub(crate) fn write(&self, function: &str, environment: u64, text: impl Into<String>) {
        let line = LogLine {
            time: SystemTime::now(),
            function: function.to_owned(),
            environment,
            text: text.into(),
        };
        if let Some(on_log) = &self.on_log {
            (on_log.0)(&line);
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(crate) fn all(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
