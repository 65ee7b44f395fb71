//! How a command fails: what it says, and the exit code that scripts go by.

use std::process::ExitCode;

use serde_json::{Value, json};

/// Why a command failed, as its exit code tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The job failed or was cancelled, or something else went wrong.
    Failed = 1,
    /// The command line, the request or the catalog is wrong.
    Usage = 2,
    /// There is no such job, data set or token, or its result has expired.
    NotFound = 3,
    /// No token, or one that does not work or does not allow this.
    Denied = 4,
    /// The server or the data directory cannot be reached or is busy, or the time given ran out.
    Unavailable = 5,
    /// What was received is not what the manifest says.
    Corrupt = 6,
    /// Interrupted, as shells write it: 128 + SIGINT.
    Interrupted = 130,
}

/// What `--help` says of exit codes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the job failed or was cancelled, or something else went wrong
  2    the command line, the request or the catalog is wrong
  3    there is no such job, data set or token, or its result has expired
  4    no token, or one that does not work or does not allow this
  5    the server or the data directory cannot be reached or is busy, or the time given ran out
  6    what was received is not what the manifest says: nothing was written
  130  interrupted";

/// A command's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    words: Box<Words>,
}

#[derive(Debug)]
struct Words {
    message: String,
    details: Vec<String>,
    advice: Option<String>,
    document: Option<Value>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        let words = Words { message: message.into(), details: Vec::new(), advice: None, document: None };
        Self { exit, words: Box::new(words) }
    }

    /// A failure with everything that caused it, in one line.
    pub(crate) fn caused(
        exit: Exit,
        message: impl Into<String>,
        cause: &(dyn std::error::Error + 'static),
    ) -> Self {
        Self::new(exit, format!("{}: {}", message.into(), chain(cause)))
    }

    /// One of several things that are wrong.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.words.details.push(detail.into());
        self
    }

    /// What to do about it.
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.words.advice = Some(advice.into());
        self
    }

    /// The problem document that says it to programs.
    pub(crate) fn document(mut self, document: Value) -> Self {
        self.words.document = Some(document);
        self
    }

    /// Says it on stderr, as text or as one JSON object.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if json {
            crate::output::note_json(&self.to_json());
        } else {
            crate::output::note(format!("error: {}", self.words.message));
            for detail in &self.words.details {
                crate::output::note(format!("  {detail}"));
            }
            if let Some(advice) = &self.words.advice {
                crate::output::note(format!("hint: {advice}"));
            }
        }
        ExitCode::from(self.exit as u8)
    }

    fn to_json(&self) -> Value {
        let mut value =
            self.words.document.clone().unwrap_or_else(|| json!({ "detail": self.words.message }));
        if let Value::Object(members) = &mut value {
            if self.words.document.is_none() && !self.words.details.is_empty() {
                members.insert("errors".into(), json!(self.words.details));
            }
            if let Some(advice) = &self.words.advice {
                members.insert("hint".into(), json!(advice));
            }
            members.insert("exit_code".into(), json!(self.exit as u8));
        }
        value
    }
}

impl From<willcall_core::Error> for Failure {
    /// For what is done without HTTP in between: accounts and tokens.
    fn from(error: willcall_core::Error) -> Self {
        use willcall_core::Error;
        match &error {
            Error::Invalid(errors) => {
                errors.iter().fold(Self::new(Exit::Usage, "the request is not valid"), |failure, error| {
                    failure.detail(format!("{}: {}", error.pointer.trim_start_matches("#/"), error.detail))
                })
            }
            Error::NotFound(what) => Self::new(Exit::NotFound, format!("there is no such {what}")),
            _ => Self::new(Exit::Unavailable, chain(&error)),
        }
    }
}

/// The error with everything that caused it, in one line; a cause that only repeats is left out.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.ends_with(&said) {
            text += ": ";
            text += &said;
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_json_object_with_its_exit_code() {
        let failure = Failure::new(Exit::NotFound, "there is no such job").advice("list them");
        assert_eq!(
            failure.to_json(),
            json!({ "detail": "there is no such job", "hint": "list them", "exit_code": 3 })
        );
    }

    #[test]
    fn a_problem_document_is_kept_whole() {
        let problem =
            json!({ "title": "t", "status": 400, "errors": [{ "detail": "d", "pointer": "#/filter" }] });
        let json = Failure::new(Exit::Usage, "d").detail("x").document(problem.clone()).to_json();
        assert_eq!(json["errors"], problem["errors"]);
        assert_eq!(json["exit_code"], 2);
    }

    #[test]
    fn the_help_names_every_exit_code() {
        for exit in [
            Exit::Failed,
            Exit::Usage,
            Exit::NotFound,
            Exit::Denied,
            Exit::Unavailable,
            Exit::Corrupt,
            Exit::Interrupted,
        ] {
            assert!(EXIT_CODES.contains(&format!("\n  {:<4} ", exit as u8)), "{exit:?}");
        }
    }
}
