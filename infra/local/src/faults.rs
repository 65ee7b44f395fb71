//! What goes wrong between functions and the back end, and with what it tells them, on purpose.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// A service of the back end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// S3.
    S3,
    /// SQS.
    Sqs,
    /// DynamoDB.
    DynamoDb,
    /// What S3 tells a queue of: each event counts as a call of the function that it is for. Its operation is the event's
    /// name, and its path the key. An event that would not be served is lost, and one that is served late comes late.
    Events,
    /// Any other.
    Other,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It gets this status and error, in the form of its service, and is never served.
    Error(u16, &'static str),
    /// It gets this status and body, and is never served.
    Answer(u16, String),
    /// It is served after a while.
    Delay(Duration),
    /// The connection is cut, and it is never served.
    CutBefore,
    /// It is served, then the connection is cut: the answer is lost.
    CutAfter,
    /// It is served, and the body of the answer comes in pieces of that many bytes with that pause before each.
    Drip(usize, Duration),
}

impl Fault {
    /// Whether what meets it is never served.
    pub(crate) fn keeps_from_serving(&self) -> bool {
        match self {
            Self::Error(..) | Self::Answer(..) | Self::CutBefore => true,
            Self::Delay(_) | Self::CutAfter | Self::Drip(..) => false,
        }
    }

    /// 500, as every service sometimes answers.
    pub const INTERNAL: Self = Self::Error(500, "InternalError");
    /// S3 under too much load.
    pub const SLOW_DOWN: Self = Self::Error(503, "SlowDown");
    /// DynamoDB under too much load.
    pub const THROTTLED: Self = Self::Error(400, "ProvisionedThroughputExceededException");
    /// The condition of a write of DynamoDB does not hold.
    pub const CONDITION_FAILED: Self = Self::Error(400, "ConditionalCheckFailedException");
    /// Another transaction of DynamoDB writes the same items.
    pub const CONFLICT: Self = Self::Error(400, "TransactionCanceledException");
}

/// Which of the calls that a rule covers meet its fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The first so many.
    First(u32),
    /// Every so manyth, from the so manyth on.
    Every(u32),
    /// All but the first so many.
    After(u32),
    /// All.
    All,
}

impl Which {
    /// Whether the call is meant, counted from 1.
    fn means(self, call: u32) -> bool {
        match self {
            Self::First(count) => call <= count,
            Self::Every(step) => step > 0 && call.is_multiple_of(step),
            Self::After(count) => call > count,
            Self::All => true,
        }
    }
}

/// Which calls meet which fault.
#[derive(Debug, Clone)]
pub struct Rule {
    service: Service,
    operation: Option<String>,
    function: Option<String>,
    path: Option<String>,
    which: Which,
    fault: Fault,
}

impl Rule {
    /// All calls of the service, by all functions.
    pub fn new(service: Service, fault: Fault) -> Self {
        Self { service, operation: None, function: None, path: None, which: Which::All, fault }
    }

    /// Only calls of this operation, by the name that AWS gives it: `UploadPart`, `PutItem`, `SendMessage`.
    #[must_use]
    pub fn operation(mut self, name: impl Into<String>) -> Self {
        self.operation = Some(name.into());
        self
    }

    /// Only calls by this function.
    #[must_use]
    pub fn function(mut self, logical: impl Into<String>) -> Self {
        self.function = Some(logical.into());
        self
    }

    /// Only calls whose path, with the query, has this in it: part of an S3 key.
    #[must_use]
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.path = Some(part.into());
        self
    }

    /// Only these of the calls.
    #[must_use]
    pub fn only(mut self, which: Which) -> Self {
        self.which = which;
        self
    }

    fn covers(&self, call: &Call) -> bool {
        let fits = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        self.service == call.service
            && fits(&self.operation, &call.operation)
            && fits(&self.function, &call.function)
            && self.path.as_deref().is_none_or(|part| call.path.contains(part))
    }
}

/// A call that a function made, or an event that is for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The logical id of the function.
    pub function: String,
    /// The service that was called.
    pub service: Service,
    /// `PutItem`, `UploadPart`, `SendMessage`, …; of an event `ObjectCreated:Put`.
    pub operation: String,
    /// The path with the query; of an event the key.
    pub path: String,
}

#[derive(Debug)]
struct Active {
    id: u64,
    rule: Rule,
    covered: u32,
    met: u32,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    rules: Vec<Active>,
    calls: Vec<Call>,
}

/// The rules in force, and the calls that were made. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    sent: watch::Sender<()>,
}

/// A rule in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId(u64);

impl Faults {
    /// Puts a rule in force. Where several cover a call, the oldest that means it decides.
    pub fn add(&self, rule: Rule) -> RuleId {
        self.with(|state| {
            state.next += 1;
            state.rules.push(Active { id: state.next, rule, covered: 0, met: 0 });
            RuleId(state.next)
        })
    }

    /// How many calls met the fault of the rule.
    pub fn met(&self, rule: RuleId) -> u32 {
        self.with(|state| {
            state.rules.iter().find(|active| active.id == rule.0).map_or(0, |active| active.met)
        })
    }

    /// Takes a rule back.
    pub fn remove(&self, rule: RuleId) {
        self.with(|state| state.rules.retain(|active| active.id != rule.0));
    }

    /// Takes all rules back.
    pub fn clear(&self) {
        self.with(|state| state.rules.clear());
    }

    /// All calls that functions made so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.with(|state| state.calls.clone())
    }

    /// Notes a call, and says what happens to it.
    pub(crate) fn meet(&self, call: Call) -> Option<Fault> {
        self.with(|state| {
            let mut fault = None;
            for active in &mut state.rules {
                if !active.rule.covers(&call) {
                    continue;
                }
                active.covered += 1;
                if fault.is_none() && active.rule.which.means(active.covered) {
                    active.met += 1;
                    fault = Some(active.rule.fault.clone());
                }
            }
            state.calls.push(call);
            fault
        })
    }

    /// Tells those who listen that a function has sent a message, to whatever queue.
    pub(crate) fn sent(&self) {
        self.sent.send_replace(());
    }

    /// Who is told from now on when a function has sent a message.
    pub(crate) fn listen(&self) -> watch::Receiver<()> {
        self.sent.subscribe()
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: &str, operation: &str, path: &str) -> Call {
        Call {
            function: function.to_owned(),
            service: Service::S3,
            operation: operation.to_owned(),
            path: path.to_owned(),
        }
    }

    fn met(faults: &Faults, count: usize) -> Vec<bool> {
        (0..count).map(|_| faults.meet(call("Worker", "PutObject", "/b/results/x")).is_some()).collect()
    }

    #[test]
    fn a_rule_means_the_calls_that_it_names_and_no_others() {
        let faults = Faults::default();
        let rule = Rule::new(Service::S3, Fault::INTERNAL).operation("PutObject").function("Worker");
        let id = faults.add(rule.path("results/"));
        assert_eq!(faults.meet(call("Worker", "PutObject", "/b/results/x")), Some(Fault::INTERNAL));
        for other in [
            call("Worker", "GetObject", "/b/results/x"),
            call("Status", "PutObject", "/b/results/x"),
            call("Worker", "PutObject", "/b/requests/x"),
            Call { service: Service::Sqs, ..call("Worker", "PutObject", "/b/results/x") },
        ] {
            assert_eq!(faults.meet(other), None);
        }
        assert_eq!((faults.met(id), faults.calls().len()), (1, 5));
        faults.remove(id);
        assert_eq!(met(&faults, 1), [false]);
    }

    #[test]
    fn a_rule_means_the_first_every_or_the_later_calls() {
        for (which, expected) in [
            (Which::First(2), [true, true, false, false, false]),
            (Which::Every(2), [false, true, false, true, false]),
            (Which::After(3), [false, false, false, true, true]),
            (Which::All, [true; 5]),
            (Which::Every(0), [false; 5]),
        ] {
            let faults = Faults::default();
            faults.add(Rule::new(Service::S3, Fault::SLOW_DOWN).only(which));
            assert_eq!(met(&faults, 5), expected, "{which:?}");
        }
    }

    #[test]
    fn the_oldest_rule_that_means_a_call_decides() {
        let faults = Faults::default();
        faults.add(Rule::new(Service::S3, Fault::CutBefore).only(Which::First(1)));
        faults.add(Rule::new(Service::S3, Fault::CutAfter));
        let meet = || faults.meet(call("Worker", "PutObject", "/"));
        assert_eq!((meet(), meet()), (Some(Fault::CutBefore), Some(Fault::CutAfter)));
        faults.clear();
        assert_eq!(faults.meet(call("Worker", "PutObject", "/")), None);
    }
}
