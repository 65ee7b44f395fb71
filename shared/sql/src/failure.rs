//! DataFusion's errors in the words of problems.

use arrow_schema::ArrowError;
use datafusion::common::DataFusionError;
use willcall_core::{
    chain,
    job::{Problem, ProblemType},
    ports::ExecuteError,
};

use crate::{wire::Outcome, words};

/// Why a statement made no result.
#[derive(Debug)]
pub(crate) struct Failure {
    problem: Problem,
    transient: bool,
    log: Option<String>,
}

/// The most characters of what a client is told.
const MOST: usize = 600;

impl Failure {
    pub(crate) fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        let detail: String = detail.into();
        Self {
            problem: Problem::new(kind, detail.chars().take(MOST).collect::<String>()),
            transient: false,
            log: None,
        }
    }

    pub(crate) fn defect(error: impl std::fmt::Display) -> Self {
        let failure = Self::new(ProblemType::Internal, "the engine made an error");
        Self { log: Some(error.to_string()), ..failure }
    }

    pub(crate) fn panicked() -> Self {
        Self::defect("the statement's thread panicked")
    }

    pub(crate) fn outcome(self) -> Outcome {
        Outcome::Failed { problem: self.problem, transient: self.transient, log: self.log }
    }
}

impl From<&ExecuteError> for Failure {
    fn from(error: &ExecuteError) -> Self {
        match error {
            ExecuteError::Cancelled => Self::defect("a scan was cancelled"),
            ExecuteError::Transient { problem, source } => {
                Self { problem: problem.clone(), transient: true, log: Some(chain(&**source)) }
            }
            ExecuteError::Fatal { problem, source } => Self {
                problem: problem.clone(),
                transient: false,
                log: source.as_ref().map(|source| chain(&**source)),
            },
        }
    }
}

impl Failure {
    /// The error of planning this text: a column that there is not has its place there.
    pub(crate) fn of_plan(error: DataFusionError, sql: &str) -> Self {
        let place = (error.diagnostic().is_none_or(|told| told.span.is_none()))
            .then(|| words::place_of_column(&error.find_root().to_string(), sql))
            .flatten();
        let mut failure = Self::from(error);
        if let Some(at) = place {
            failure.problem.detail += &format!(" (line {}, column {})", at.line, at.column);
        }
        failure
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        let place = error.diagnostic().and_then(|told| told.span).map(|span| span.start);
        let place = place.map_or_else(String::new, |at| format!(" (line {}, column {})", at.line, at.column));
        let root = error.find_root();
        let wrong = |text: &str| Self::new(ProblemType::InvalidRequest, words::told(text) + &place);
        let failed = |text: &str| Self::new(ProblemType::EngineFailed, words::told(text) + &place);
        match root {
            DataFusionError::External(source) => match source.downcast_ref::<ExecuteError>() {
                Some(error) => error.into(),
                None => Self::defect(error),
            },
            DataFusionError::ArrowError(arrow, _) => match &**arrow {
                ArrowError::DivideByZero => failed("a division by zero"),
                ArrowError::CastError(text)
                | ArrowError::ParseError(text)
                | ArrowError::ComputeError(text)
                | ArrowError::ArithmeticOverflow(text)
                | ArrowError::InvalidArgumentError(text) => failed(text),
                ArrowError::IoError(..) => Self::no_space(&error),
                _ => Self::defect(error),
            },
            DataFusionError::SQL(parser, _) => wrong(&parser.to_string()),
            DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) => wrong(text),
            DataFusionError::SchemaError(schema, _) => wrong(&schema.to_string()),
            DataFusionError::Execution(text) => failed(text),
            DataFusionError::ResourcesExhausted(_) => Self::too_large(&error),
            DataFusionError::IoError(_) => Self::no_space(&error),
            _ => Self::defect(error),
        }
    }
}

impl Failure {
    fn too_large(error: &DataFusionError) -> Self {
        let detail = "the statement needs more memory or room to put records aside than a job may have; ask for \
                      fewer records or columns, or for smaller groups";
        Self { log: Some(error.to_string()), ..Self::new(ProblemType::EngineFailed, detail) }
    }

    fn no_space(error: &DataFusionError) -> Self {
        // The limit of what is put aside comes as an error of the disk's where Arrow's writer met it.
        if error.to_string().contains("exceeded the allowable limit") {
            return Self::too_large(error);
        }
        let problem = Problem::new(ProblemType::Unavailable, "there is no space to put records aside");
        Self { problem, transient: true, log: Some(error.to_string()) }
    }
}
