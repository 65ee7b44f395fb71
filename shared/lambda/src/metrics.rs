//! Metrics in CloudWatch's embedded format: a line of JSON on stdout, which the log's own agent turns into numbers.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};
use willcall_core::telemetry::METRICS;

const NAMESPACE: &str = "Willcall";
const DIMENSION: &str = "Stack";

/// The fields of the domain's events, and what they are called and measured in.
const NAMES: [(&str, &str, &str); 7] = [
    ("submitted", "Submitted", "Count"),
    ("completed", "Completed", "Count"),
    ("failed", "Failed", "Count"),
    ("duration_ms", "Duration", "Milliseconds"),
    ("queue_age_ms", "QueueAge", "Milliseconds"),
    ("records", "Records", "Count"),
    ("bytes", "Bytes", "Bytes"),
];

/// Writes a line for each event of numbers.
pub(crate) struct Embedded<W> {
    stack: String,
    write: W,
}

impl<W: Fn(&str)> Embedded<W> {
    /// Tells the numbers of that stack, a line each time.
    pub(crate) fn new(stack: String, write: W) -> Self {
        Self { stack, write }
    }

    fn line(&self, numbers: &[(&'static str, u64)], now: u128) -> Option<String> {
        let found: Vec<_> = NAMES
            .iter()
            .filter_map(|(field, name, unit)| {
                let (_, value) = numbers.iter().find(|(given, _)| given == field)?;
                Some((*name, *unit, *value))
            })
            .collect();
        if found.is_empty() {
            return None;
        }
        let metrics: Vec<Value> =
            found.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
        let directive = json!({"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": metrics});
        let mut line = Map::new();
        line.insert(
            "_aws".into(),
            json!({"Timestamp": u64::try_from(now).ok(), "CloudWatchMetrics": [directive]}),
        );
        line.insert(DIMENSION.into(), self.stack.clone().into());
        for (name, _, value) in found {
            line.insert(name.into(), value.into());
        }
        Some(Value::Object(line).to_string())
    }
}

impl<S: Subscriber, W: Fn(&str) + 'static> Layer<S> for Embedded<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != METRICS {
            return;
        }
        let mut numbers = Numbers::default();
        event.record(&mut numbers);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        if let Some(line) = self.line(&numbers.0, now) {
            (self.write)(&line);
        }
    }
}

#[derive(Default)]
struct Numbers(Vec<(&'static str, u64)>);

impl Visit for Numbers {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), value));
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn lines(work: impl FnOnce()) -> Vec<Value> {
        let written: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&written);
        let write = move |line: &str| kept.lock().unwrap().push(serde_json::from_str(line).unwrap());
        let layer = Embedded::new("prod".into(), write);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        written.lock().unwrap().clone()
    }

    #[test]
    fn an_event_of_numbers_becomes_a_line_that_cloudwatch_counts() {
        let none: Option<u64> = None;
        let lines = lines(|| {
            tracing::debug!(target: METRICS, completed = 1_u64, duration_ms = Some(1500_u64), records = 7_u64, bytes = none);
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(
            (&line["Stack"], &line["Completed"], &line["Records"]),
            (&json!("prod"), &json!(1), &json!(7))
        );
        assert_eq!(line["Duration"], 1500);
        assert!(line.get("Bytes").is_none(), "what is not known is not told");
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(
            (&directive["Namespace"], &directive["Dimensions"]),
            (&json!("Willcall"), &json!([["Stack"]]))
        );
        let units: Vec<_> =
            directive["Metrics"].as_array().unwrap().iter().map(|m| (&m["Name"], &m["Unit"])).collect();
        assert_eq!(
            units,
            [
                (&json!("Completed"), &json!("Count")),
                (&json!("Duration"), &json!("Milliseconds")),
                (&json!("Records"), &json!("Count"))
            ]
        );
        assert!(line["_aws"]["Timestamp"].as_u64().unwrap() > 1_700_000_000_000);
    }

    #[test]
    fn other_events_are_not_counted() {
        let lines = lines(|| {
            tracing::error!(completed = 1_u64, "of another target");
            tracing::debug!(target: METRICS, unknown = 1_u64);
        });
        assert!(lines.is_empty(), "{lines:?}");
    }
}
