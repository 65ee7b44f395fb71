//! Why a deployment does not start, or cannot do what it is asked.

use std::{error::Error as StdError, io, path::PathBuf, time::Duration};

use crate::template::TemplateError;

/// What caused a failure, kept whole.
pub(crate) type Source = Box<dyn StdError + Send + Sync>;

/// The deployment does not start, or cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The template cannot be read as a file.
    #[error("cannot read {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// The template is wrong, or says something that is not understood here.
    #[error("{}: {}", .0.display(), .1)]
    Template(PathBuf, #[source] TemplateError),
    /// A function's binary was not built.
    #[error("{function} has no binary at {}: build it first", .path.display())]
    NoBinary {
        /// The function's logical id.
        function: String,
        /// Where the binary should be.
        path: PathBuf,
    },
    /// The back end refused a call, or does not answer.
    #[error("the back end did not {0}")]
    BackEnd(String, #[source] Source),
    /// Faults need proxies, and a signature over the back end's address does not survive one.
    #[error("faults need a back end on http://, and {0} is not")]
    NoProxy(String),
    /// The machine refused something.
    #[error("cannot {0}")]
    Io(String, #[source] io::Error),
    /// The template has nothing of that kind and name.
    #[error("the template has no {kind} {name}")]
    Unknown {
        /// What was looked for.
        kind: &'static str,
        /// Under which logical id.
        name: String,
    },
}

/// An invocation came to nothing. The names are those that Lambda gives the errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// As many environments as the function may have are busy (429).
    #[error("the function is throttled")]
    Throttled,
    /// The event is larger than Lambda takes (413).
    #[error("the event has {0} bytes, more than 6,291,556")]
    EventTooLarge(usize),
    /// The answer is larger than Lambda takes.
    #[error("the answer is larger than 6,291,556 bytes")]
    AnswerTooLarge,
    /// The function did not answer in its time; its environment was killed.
    #[error("task timed out after {:.2} seconds", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The process ended, or was killed, before it answered.
    #[error("runtime exited: {0}")]
    Exited(String),
    /// The process did not get as far as to ask for work.
    #[error("initialisation failed: {0}")]
    Init(String),
    /// The function answered with an error.
    #[error("{kind}: {message}")]
    Function {
        /// `errorType`.
        kind: String,
        /// `errorMessage`.
        message: String,
    },
    /// The deployment is stopping.
    #[error("the deployment is stopping")]
    Stopping,
}
