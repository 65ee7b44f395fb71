//! What the template says that runs, and on what. Names are logical ids.

use std::time::Duration;

use crate::template::TemplateError;

/// All that is read from a template, but for the functions' variables, which hold names of what does not exist yet.
#[derive(Debug, Default)]
pub(crate) struct Deployment {
    pub(crate) functions: Vec<FunctionSpec>,
    pub(crate) api: Option<ApiSpec>,
    pub(crate) routes: Vec<RouteSpec>,
    pub(crate) sources: Vec<SourceSpec>,
    pub(crate) schedules: Vec<ScheduleSpec>,
    pub(crate) queues: Vec<QueueSpec>,
    pub(crate) tables: Vec<TableSpec>,
    pub(crate) buckets: Vec<BucketSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FunctionSpec {
    pub(crate) logical: String,
    /// The name of the binary.
    pub(crate) binary: String,
    pub(crate) handler: String,
    pub(crate) timeout: Duration,
    /// In MiB.
    pub(crate) memory: u32,
    /// Of `/tmp`, in MiB.
    pub(crate) storage: u32,
    /// How many environments it may have, where the template says so.
    pub(crate) reserved: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiSpec {
    pub(crate) logical: String,
    pub(crate) stage: String,
    pub(crate) cors: Option<CorsSpec>,
}

/// Names of headers are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct CorsSpec {
    pub(crate) origins: Vec<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) headers: Vec<String>,
    pub(crate) expose: Vec<String>,
    pub(crate) max_age: Option<i32>,
    pub(crate) credentials: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteSpec {
    /// None is any.
    pub(crate) method: Option<String>,
    pub(crate) path: RoutePath,
    pub(crate) function: String,
    pub(crate) timeout: Duration,
}

impl RouteSpec {
    /// As API Gateway writes it: `GET /v1/jobs/{id}`.
    pub(crate) fn key(&self) -> String {
        match &self.path {
            RoutePath::Default => "$default".to_owned(),
            RoutePath::Segments(_) => {
                format!("{} {}", self.method.as_deref().unwrap_or("ANY"), self.path.text())
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RoutePath {
    /// What no other route takes.
    Default,
    Segments(Vec<Segment>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Fixed(String),
    Variable(String),
    /// All that is left, at least one segment. The last one only.
    Greedy(String),
}

impl RoutePath {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix('/').ok_or("it must begin with /")?;
        let parts: Vec<&str> = rest.split('/').collect();
        let mut segments = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            segments.push(match inner {
                Some(name) => match name.strip_suffix('+') {
                    Some(_) if index + 1 < parts.len() => return Err("only the last variable may be greedy"),
                    Some(name) if is_name(name) => Segment::Greedy(name.to_owned()),
                    None if is_name(name) => Segment::Variable(name.to_owned()),
                    _ => return Err("a variable has a name of letters, digits and ._:-"),
                },
                None if part.contains(['{', '}']) => return Err("a variable is a whole segment"),
                None => Segment::Fixed((*part).to_owned()),
            });
        }
        Ok(Self::Segments(segments))
    }

    fn text(&self) -> String {
        let Self::Segments(segments) = self else { return String::new() };
        let text = |segment: &Segment| match segment {
            Segment::Fixed(text) => format!("/{text}"),
            Segment::Variable(name) => format!("/{{{name}}}"),
            Segment::Greedy(name) => format!("/{{{name}+}}"),
        };
        segments.iter().map(text).collect()
    }

    /// Whether both take the same paths.
    pub(crate) fn same_shape(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Default, Self::Default) => true,
            (Self::Segments(ours), Self::Segments(theirs)) => {
                let same = |(our, their): (&Segment, &Segment)| match (our, their) {
                    (Segment::Fixed(our), Segment::Fixed(their)) => our == their,
                    (Segment::Variable(_), Segment::Variable(_))
                    | (Segment::Greedy(_), Segment::Greedy(_)) => true,
                    _ => false,
                };
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(same)
            }
            _ => false,
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
}

/// A queue that invokes a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceSpec {
    pub(crate) function: String,
    pub(crate) queue: String,
    pub(crate) batch_size: usize,
    pub(crate) window: Duration,
    pub(crate) report_failures: bool,
    pub(crate) maximum_concurrency: Option<usize>,
    /// Where the template says so.
    pub(crate) place: (String, usize),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScheduleSpec {
    pub(crate) function: String,
    pub(crate) every: Duration,
    pub(crate) input: Option<serde_json::Value>,
    /// Whether EventBridge Scheduler fires it, and not a rule of EventBridge: their events differ.
    pub(crate) scheduler: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueSpec {
    pub(crate) logical: String,
    pub(crate) visibility: Duration,
    pub(crate) retention: Duration,
    pub(crate) delay: Duration,
    pub(crate) wait: Duration,
    pub(crate) redrive: Option<RedriveSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedriveSpec {
    pub(crate) dead_letters: String,
    pub(crate) max_receive_count: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableSpec {
    pub(crate) logical: String,
    pub(crate) key: KeySpec,
    /// Names and types.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) indexes: Vec<IndexSpec>,
    pub(crate) ttl: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeySpec {
    pub(crate) partition: String,
    pub(crate) sort: Option<String>,
}

impl KeySpec {
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        [Some(self.partition.as_str()), self.sort.as_deref()].into_iter().flatten()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexSpec {
    pub(crate) name: String,
    pub(crate) key: KeySpec,
    pub(crate) projection: String,
    pub(crate) included: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketSpec {
    pub(crate) logical: String,
    pub(crate) notifications: Vec<NotificationSpec>,
}

/// What a bucket tells a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotificationSpec {
    pub(crate) queue: String,
    /// `s3:ObjectCreated:*`.
    pub(crate) event: String,
    /// What keys must be like: `prefix` or `suffix`, and of which text.
    pub(crate) filters: Vec<(String, String)>,
}

impl Deployment {
    /// What no single resource shows.
    pub(crate) fn check(&self) -> Result<(), TemplateError> {
        for source in &self.sources {
            let queue = self.queues.iter().find(|queue| queue.logical == source.queue);
            let function = self.functions.iter().find(|function| function.logical == source.function);
            let (place, line) = &source.place;
            if let (Some(queue), Some(function)) = (queue, function)
                && queue.visibility < function.timeout
            {
                return Err(TemplateError::at(
                    place,
                    *line,
                    format!(
                        "{} hides messages for {} s, less than the {} s that {} may take",
                        queue.logical,
                        queue.visibility.as_secs(),
                        function.timeout.as_secs(),
                        function.logical
                    ),
                ));
            }
        }
        Ok(())
    }
}
