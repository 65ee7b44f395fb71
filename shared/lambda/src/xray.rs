//! Traces: each step of a request or an attempt becomes a subsegment of the invocation's X-Ray segment, sent to the
//! daemon beside the function in its documented form: a datagram of a header line and a JSON document.

use std::{
    fmt,
    net::UdpSocket,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};
use willcall_core::telemetry::STEPS;

const HEADER: &str = r#"{"format": "json", "version": 1}"#;
/// The field of the runtime's span around an invocation.
const TRACE_FIELD: &str = "xrayTraceId";
const JOB_FIELD: &str = "job.id";

/// Sends subsegments to a daemon.
pub(crate) struct Segments {
    socket: UdpSocket,
}

/// The trace that an invocation belongs to, where it is one of those that are recorded.
struct Trace {
    root: String,
    parent: String,
}

/// A step under way.
struct Step {
    id: String,
    started: f64,
    job: Option<String>,
    fault: bool,
}

impl Segments {
    /// To the daemon at that address, which is `host:port`, or names one for each protocol: `tcp:… udp:…`. `None` where it
    /// is none.
    pub(crate) fn to(address: &str) -> Option<Self> {
        let of_udp = address.split_whitespace().find_map(|one| one.strip_prefix("udp:"));
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect(of_udp.unwrap_or(address)).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket })
    }
}

impl Trace {
    /// Reads `Root=1-…;Parent=…;Sampled=1`; `None` unless the trace is sampled.
    fn read(header: &str) -> Option<Self> {
        let value = |name: &str| {
            header
                .split(';')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        };
        (value("Sampled").as_deref() == Some("1"))
            .then(|| Some(Self { root: value("Root")?, parent: value("Parent")? }))
            .flatten()
    }
}

impl<S> Layer<S> for Segments
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(trace) = fields.trace.as_deref().and_then(Trace::read) {
            span.extensions_mut().insert(trace);
        } else if attributes.metadata().target() == STEPS {
            let mut id = [0; 8];
            if getrandom::fill(&mut id).is_ok() {
                let step = Step { id: hex::encode(id), started: now(), job: fields.job, fault: false };
                span.extensions_mut().insert(step);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if *event.metadata().level() != tracing::Level::ERROR {
            return;
        }
        if let Some(span) = context.event_span(event)
            && let Some(step) = span.extensions_mut().get_mut::<Step>()
        {
            step.fault = true;
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(step) = span.extensions_mut().remove::<Step>() else { return };
        let Some((root, parent)) = belongs(&span) else { return };
        let mut document = json!({
            "type": "subsegment",
            "name": span.name(),
            "id": step.id,
            "trace_id": root,
            "parent_id": parent,
            "start_time": step.started,
            "end_time": now(),
        });
        if let Some(job) = step.job {
            document["annotations"] = json!({"job_id": job});
        }
        if step.fault {
            document["fault"] = true.into();
        }
        // A daemon that is busy or gone costs a line in a trace, never the work.
        let _ = self.socket.send(format!("{HEADER}\n{document}").as_bytes());
    }
}

/// The trace of the span's invocation, and the segment that the span is a part of.
fn belongs<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> Option<(String, String)> {
    let mut parent = None;
    for above in span.scope().skip(1) {
        let extensions = above.extensions();
        if let Some(step) = extensions.get::<Step>() {
            parent.get_or_insert_with(|| step.id.clone());
        }
        if let Some(trace) = extensions.get::<Trace>() {
            return Some((trace.root.clone(), parent.unwrap_or_else(|| trace.parent.clone())));
        }
    }
    None
}

/// Seconds since the epoch.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[derive(Default)]
struct Fields {
    trace: Option<String>,
    job: Option<String>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            TRACE_FIELD => self.trace = Some(value.to_owned()),
            JOB_FIELD => self.job = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            TRACE_FIELD => self.trace = Some(format!("{value:?}")),
            JOB_FIELD => self.job = Some(format!("{value:?}")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";

    /// What a daemon receives of what `work` does in an invocation with that trace.
    fn received(trace: &str, work: impl FnOnce()) -> Vec<Value> {
        let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
        daemon.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let address = format!("tcp:127.0.0.1:1 udp:{}", daemon.local_addr().unwrap());
        let subscriber = tracing_subscriber::registry().with(Segments::to(&address).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("Lambda runtime invoke", requestId = "r", xrayTraceId = trace).in_scope(work);
        });
        let mut documents = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(size) = daemon.recv(&mut buffer) {
            let text = std::str::from_utf8(&buffer[..size]).unwrap();
            let (header, document) = text.split_once('\n').unwrap();
            assert_eq!(
                serde_json::from_str::<Value>(header).unwrap(),
                json!({"format": "json", "version": 1})
            );
            documents.push(serde_json::from_str(document).unwrap());
        }
        documents
    }

    fn steps() {
        let outer = tracing::debug_span!(target: STEPS, "execute", job.id = %"j1");
        outer.in_scope(|| {
            tracing::debug_span!(target: STEPS, "commit").in_scope(|| tracing::error!("broke"));
        });
    }

    #[test]
    fn steps_become_subsegments_of_the_invocation() {
        let documents = received(&format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1"), steps);
        let [inner, outer] = documents.as_slice() else { panic!("{documents:?}") };
        assert_eq!((&outer["name"], &outer["parent_id"]), (&json!("execute"), &json!("53995c3f42cd8ad8")));
        assert_eq!((&inner["name"], &inner["parent_id"]), (&json!("commit"), &outer["id"]));
        assert_eq!((&outer["annotations"]["job_id"], &inner["fault"]), (&json!("j1"), &json!(true)));
        assert!(outer.get("fault").is_none());
        for document in &documents {
            assert_eq!((&document["type"], &document["trace_id"]), (&json!("subsegment"), &json!(ROOT)));
            assert_eq!(document["id"].as_str().unwrap().len(), 16);
            assert!(document["end_time"].as_f64() >= document["start_time"].as_f64());
        }
    }

    #[test]
    fn a_trace_that_is_not_sampled_is_not_sent() {
        for trace in [&format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=0"), &format!("Root={ROOT}"), ""]
        {
            assert!(received(trace, steps).is_empty(), "{trace}");
        }
    }

    #[test]
    fn what_is_no_address_turns_traces_off() {
        assert!(Segments::to("nowhere").is_none());
    }
}
