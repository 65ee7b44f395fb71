//! Problem documents (RFC 9457): the one place where an error of the domain becomes a status.

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use willcall_core::{
    Error, FieldError, chain,
    error::Source,
    job::{Problem, ProblemType},
};

use crate::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY, policy, state};

/// The media type of problem documents.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
/// How long to wait before asking again for what does not answer now.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(5);
/// How long to wait before asking again for a result that is being made.
const NOT_READY_RETRY: Duration = Duration::from_secs(2);

/// The most errors that one problem lists: a hostile body must not earn an answer larger than itself.
const MAX_ERRORS: usize = 100;

/// The most characters of a pointer, and of a detail: both may hold text of the client's, of any length.
pub(crate) const MAX_POINTER: usize = 200;
const MAX_DETAIL: usize = 400;
/// The most of a detail that has a pointer before it.
const MAX_SUMMARY: usize = MAX_POINTER + MAX_DETAIL + 2;

/// The text, without its middle where it is longer than that many characters: the words about what is quoted stand
/// before and after it.
pub(crate) fn cut(text: String, most: usize) -> String {
    if text.len() <= most || text.chars().count() <= most {
        return text;
    }
    let half = most / 2;
    let head = text.char_indices().nth(half).map_or(text.len(), |(at, _)| at);
    let tail = text.char_indices().rev().nth(half.saturating_sub(2)).map_or(0, |(at, _)| at);
    format!("{}…{}", &text[..head], &text[tail..])
}

/// What went wrong (RFC 9457). `type` tells programs, `detail` tells people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// The type of the problem: a link to a page that explains it.
    #[serde(rename = "type")]
    #[schema(format = "uri", example = "https://example.com/problems/invalid-request")]
    pub kind: String,
    /// A summary that is the same for every problem of the type.
    pub title: String,
    /// The HTTP status; of a failed job, the status that a synchronous request would have got.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The path of what the problem is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub instance: Option<String>,
    /// Names the request in the service's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<String>,
    /// Each thing that is wrong with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub errors: Option<Vec<FieldProblem>>,
}

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// What is wrong.
    pub detail: String,
    /// Where: `#/filter` in the body (a JSON pointer, RFC 6901), `?limit` in the query string,
    /// `header Prefer` among the headers.
    #[schema(example = "#/fields/1")]
    pub pointer: String,
}

impl ProblemDocument {
    /// The document of a problem that ended the job at `instance`.
    pub(crate) fn of_job(public_url: &str, problem: &Problem, instance: String) -> Self {
        Self {
            kind: link(public_url, problem.kind),
            title: problem.kind.title().to_owned(),
            status: status_of(problem.kind).as_u16(),
            detail: problem.detail.clone(),
            instance: Some(instance),
            request_id: None,
            errors: None,
        }
    }
}

fn link(public_url: &str, kind: ProblemType) -> String {
    format!("{public_url}/problems/{}", kind.slug())
}

/// The status that problems of the type have unless the place knows better.
pub(crate) fn status_of(kind: ProblemType) -> StatusCode {
    match kind {
        ProblemType::InvalidRequest => StatusCode::BAD_REQUEST,
        ProblemType::Unauthenticated => StatusCode::UNAUTHORIZED,
        ProblemType::Forbidden => StatusCode::FORBIDDEN,
        ProblemType::NotFound => StatusCode::NOT_FOUND,
        ProblemType::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ProblemType::ResultNotReady | ProblemType::Conflict => StatusCode::CONFLICT,
        ProblemType::Expired => StatusCode::GONE,
        ProblemType::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
        ProblemType::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        ProblemType::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ProblemType::UnsupportedFormat => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ProblemType::UpstreamFailed => StatusCode::BAD_GATEWAY,
        ProblemType::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ProblemType::EngineFailed | ProblemType::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A request that is answered with a problem. The document is written by the outermost layer, which knows the
/// request's id and path.
#[derive(Debug, Clone)]
pub(crate) struct Failure(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    kind: ProblemType,
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    headers: HeaderMap,
    source: Option<Arc<Source>>,
}

impl Failure {
    pub(crate) fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            kind,
            status: status_of(kind),
            detail: cut(detail.into(), MAX_SUMMARY),
            errors: Vec::new(),
            headers: HeaderMap::new(),
            source: None,
        }))
    }

    /// A request that is wrong in these places.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        Error::Invalid(errors).into()
    }

    /// A request that is wrong in one place.
    pub(crate) fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.0.headers.append(name, value);
        }
        self
    }

    fn caused_by(mut self, source: Source) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    fn retry_after(self, after: Duration) -> Self {
        self.header(header::RETRY_AFTER, seconds(after).to_string())
    }

    /// Logs what the client must not see, and writes what it may.
    pub(crate) fn render(self, public_url: &str, path: &str, request_id: &str) -> Response {
        let Parts { kind, status, detail, errors, headers, source } = *self.0;
        if let Some(source) = source {
            tracing::error!(request_id, error = chain(source.as_ref().as_ref()), "failed to answer request");
        }
        let errors = errors.into_iter().map(|e| FieldProblem { detail: e.detail, pointer: e.pointer });
        let errors: Vec<FieldProblem> = errors.collect();
        let document = ProblemDocument {
            kind: link(public_url, kind),
            title: kind.title().to_owned(),
            status: status.as_u16(),
            detail,
            instance: Some(path.to_owned()),
            request_id: Some(request_id.to_owned()),
            errors: (!errors.is_empty()).then_some(errors),
        };
        // A struct of strings and numbers always has a JSON form.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        (status, headers, [(header::CONTENT_TYPE, PROBLEM_JSON), (header::CACHE_CONTROL, "no-store")], body)
            .into_response()
    }
}

/// Whole seconds, rounded up, one at least.
pub(crate) fn seconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        use ProblemType::{
            Conflict, Expired, Forbidden, IdempotencyMismatch, InvalidRequest, NotFound, PayloadTooLarge,
            QuotaExceeded, ResultNotReady, Unauthenticated, Unavailable, UnsupportedFormat,
        };
        match error {
            Error::Invalid(mut errors) => {
                let count = errors.len();
                errors.truncate(MAX_ERRORS);
                let errors: Vec<FieldError> = errors
                    .into_iter()
                    .map(|error| FieldError {
                        pointer: cut(error.pointer, MAX_POINTER),
                        detail: cut(error.detail, MAX_DETAIL),
                    })
                    .collect();
                let detail = match errors.as_slice() {
                    [one] => format!("{}: {}", one.pointer, one.detail),
                    _ => format!("{count} things are wrong with the request: see errors"),
                };
                let mut failure = Self::new(InvalidRequest, detail);
                failure.0.errors = errors;
                failure
            }
            Error::Unauthenticated => {
                let detail = "give a valid token: Authorization: Bearer TOKEN, HTTP Basic with the token as user \
                              name and an empty password, or x-api-key: TOKEN";
                Self::new(Unauthenticated, detail)
                    .header(header::WWW_AUTHENTICATE, r#"Bearer realm="willcall", Basic realm="willcall""#)
            }
            Error::NotInPlan { plan, what } => Self::new(
                Forbidden,
                format!("the plan {plan:?} does not allow {what}: ask the operator for one that does"),
            ),
            Error::Forbidden(scope) => {
                Self::new(Forbidden, format!("the token lacks the scope {scope}: use one that has it"))
            }
            Error::NotFound(what) => Self::new(NotFound, format!("there is no such {what}")),
            Error::NoSuchPage { page, pages: 0 } => {
                Self::new(NotFound, format!("there is no page {page}: the result has no pages"))
            }
            Error::NoSuchPage { page, pages } => {
                let detail =
                    format!("there is no page {page}: the result has {pages}, from 0 to {}", pages - 1);
                Self::new(NotFound, detail)
            }
            Error::NotReady(state) if state.is_terminal() => {
                Self::new(ResultNotReady, format!("the job is {state}: it has no result and never will"))
            }
            Error::NotReady(state) => {
                Self::new(ResultNotReady, format!("the job is {state}: it has no result yet"))
                    .retry_after(NOT_READY_RETRY)
            }
            Error::Expired => Self::new(Expired, "the result has expired: submit the job again"),
            Error::Conflict(detail) => Self::new(Conflict, detail),
            Error::QuotaExceeded { limit, value, window, retry_after } => {
                Self::new(QuotaExceeded, format!("the plan's {limit} of {value} is reached"))
                    .retry_after(retry_after)
                    .header(RATE_LIMIT_POLICY, policy(limit, value, window))
                    .header(RATE_LIMIT, state(limit, 0, retry_after))
            }
            Error::KeyMismatch => Self::new(
                IdempotencyMismatch,
                "the Idempotency-Key was used for another request in the last 24 hours: take a new one",
            ),
            Error::KeyInUse { retry_after } => {
                Self::new(Conflict, "requests with this Idempotency-Key are under way: repeat it in a moment")
                    .retry_after(retry_after)
            }
            Error::TooLarge { what, limit } => {
                Self::new(PayloadTooLarge, format!("{what} is larger than the limit of {limit} bytes"))
            }
            Error::NoPages(format) => {
                let detail = format!("a result in {format} has no pages: download the file");
                Self::new(UnsupportedFormat, detail).status(StatusCode::NOT_ACCEPTABLE)
            }
            Error::Unavailable(source) => {
                Self::new(Unavailable, "something that is needed does not answer now: try again soon")
                    .retry_after(UNAVAILABLE_RETRY)
                    .caused_by(source)
            }
            Error::Internal(source) => Self::internal().caused_by(source),
        }
    }
}

impl Failure {
    pub(crate) fn internal() -> Self {
        Self::new(
            ProblemType::Internal,
            "the service made an error: its operator finds the cause in the log by request_id",
        )
    }

    pub(crate) fn unauthenticated(detail: &str) -> Self {
        let mut failure = Self::from(Error::Unauthenticated);
        detail.clone_into(&mut failure.0.detail);
        failure
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use willcall_core::{account::Scope, format::Format, job::JobState};

    use super::*;

    fn failure(error: Error) -> (u16, ProblemType, HeaderMap) {
        let parts = *Failure::from(error).0;
        (parts.status.as_u16(), parts.kind, parts.headers)
    }

    #[test]
    fn long_text_loses_its_middle() {
        for (text, most, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abc…fg"),
            ("ééééééé", 6, "ééé…éé"),
            ("éééééé", 6, "éééééé"),
            ("", 6, ""),
        ] {
            assert_eq!(cut(text.to_owned(), most), expected);
        }
    }

    #[test]
    fn every_error_has_its_status_and_type() {
        for (error, status, kind) in [
            (Error::invalid("limit", "is wrong"), 400, ProblemType::InvalidRequest),
            (Error::Unauthenticated, 401, ProblemType::Unauthenticated),
            (Error::Forbidden(Scope::Submit), 403, ProblemType::Forbidden),
            (Error::NotInPlan { plan: "free".into(), what: "sql" }, 403, ProblemType::Forbidden),
            (Error::NotFound("job"), 404, ProblemType::NotFound),
            (Error::NoSuchPage { page: 3, pages: 3 }, 404, ProblemType::NotFound),
            (Error::NoSuchPage { page: 0, pages: 0 }, 404, ProblemType::NotFound),
            (Error::NotReady(JobState::Processing), 409, ProblemType::ResultNotReady),
            (Error::NotReady(JobState::Failed), 409, ProblemType::ResultNotReady),
            (Error::Expired, 410, ProblemType::Expired),
            (Error::Conflict("no".into()), 409, ProblemType::Conflict),
            (Error::KeyMismatch, 422, ProblemType::IdempotencyMismatch),
            (Error::KeyInUse { retry_after: Duration::ZERO }, 409, ProblemType::Conflict),
            (Error::TooLarge { what: "the body", limit: 5 }, 413, ProblemType::PayloadTooLarge),
            (Error::NoPages(Format::Parquet), 406, ProblemType::UnsupportedFormat),
            (Error::Unavailable("secret".into()), 503, ProblemType::Unavailable),
            (Error::Internal("secret".into()), 500, ProblemType::Internal),
        ] {
            let text = error.to_string();
            let (found, found_kind, _) = failure(error);
            assert_eq!((found, found_kind), (status, kind), "{text}");
        }
    }

    #[test]
    fn a_reached_limit_says_which_and_when_to_come_back() {
        let error = Error::QuotaExceeded {
            limit: "max_open_jobs",
            value: 7,
            window: None,
            retry_after: Duration::from_millis(4_200),
        };
        let (status, _, headers) = failure(error);
        assert_eq!(status, 429);
        assert_eq!(headers["retry-after"], "5");
        assert_eq!(headers["ratelimit-policy"], "\"max_open_jobs\";q=7");
        assert_eq!(headers["ratelimit"], "\"max_open_jobs\";r=0;t=5");
        let error = Error::QuotaExceeded {
            limit: "submits_per_minute",
            value: 60,
            window: Some(Duration::from_secs(60)),
            retry_after: Duration::from_secs(30),
        };
        assert_eq!(failure(error).2["ratelimit-policy"], "\"submits_per_minute\";q=60;w=60");
        let busy = Error::KeyInUse { retry_after: Duration::from_millis(1) };
        assert_eq!(failure(busy).2["retry-after"], "1");
    }

    #[test]
    fn only_a_running_job_is_worth_asking_again_for() {
        assert!(failure(Error::NotReady(JobState::Accepted)).2.contains_key("retry-after"));
        assert!(!failure(Error::NotReady(JobState::Cancelled)).2.contains_key("retry-after"));
    }
}
