//! What the functions write: a line of JSON for each thing that happens, each with the invocation that it happened in,
//! and beside it metrics and traces.

use std::io::{self, Write};

use tracing::{Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, Targets, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};
use willcall_core::telemetry::{METRICS, STEPS};

use crate::{Variables, metrics::Embedded, xray::Segments};

/// Where the runtime opens a span around each invocation, with its request's id and its trace.
const INVOCATIONS: &str = "lambda_runtime::layers::trace";

/// Starts log, metrics and traces; the first call of a process counts.
pub(crate) fn start(vars: &Variables) {
    let metrics = vars.stack().map(|stack| {
        Embedded::new(stack, write).with_filter(Targets::new().with_target(METRICS, LevelFilter::DEBUG))
    });
    let traces = vars.get("AWS_XRAY_DAEMON_ADDRESS").and_then(Segments::to).map(|segments| {
        let wanted =
            Targets::new().with_target(STEPS, LevelFilter::DEBUG).with_target(INVOCATIONS, LevelFilter::INFO);
        segments.with_filter(wanted.with_default(LevelFilter::ERROR))
    });
    let started =
        tracing_subscriber::registry().with(lines(vars, io::stdout)).with(metrics).with(traces).try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| tracing::error!(panic = %panic, "panicked")));
    }
}

/// Writes what happens, a line each, with the spans that it happened in.
fn lines<S, W>(vars: &Variables, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let numbers = filter_fn(|metadata: &Metadata<'_>| metadata.target() == METRICS);
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_ansi(false)
        .with_writer(writer)
        .with_filter(filter(vars).and(numbers.not()))
}

/// What `RUST_LOG` asks for, and always the spans that say which invocation a line belongs to.
fn filter(vars: &Variables) -> EnvFilter {
    let wanted = vars.get("RUST_LOG").unwrap_or("info");
    let filter = EnvFilter::try_new(wanted).unwrap_or_else(|_| EnvFilter::new("info"));
    match format!("{INVOCATIONS}=info").parse() {
        Ok(spans) => filter.add_directive(spans),
        Err(_) => filter,
    }
}

/// A line on its own. What cannot be written is lost: there is nowhere to say so.
fn write(line: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;

    /// What is logged of what `work` does in an invocation.
    fn logged(rust_log: &'static str, work: impl FnOnce()) -> Vec<Value> {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let writer = kept.clone();
        let vars: Variables = [("RUST_LOG", rust_log)].into_iter().collect();
        let subscriber = tracing_subscriber::registry().with(lines(&vars, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let invocation = tracing::info_span!(
                target: INVOCATIONS, "Lambda runtime invoke", requestId = "r1", xrayTraceId = "Root=1-2"
            );
            invocation.in_scope(work);
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_line_tells_its_invocation_however_little_is_logged() {
        for rust_log in ["", "warn", "willcall_core=warn,error", "not,a=filter=at all"] {
            let lines = logged(rust_log, || tracing::error!(job.id = "j1", "failed\nto work"));
            let [line] = lines.as_slice() else { panic!("{rust_log}: {lines:?}") };
            assert_eq!((&line["message"], &line["job.id"]), (&json!("failed\nto work"), &json!("j1")));
            let invocation = &line["spans"][0];
            assert_eq!(
                (&invocation["requestId"], &invocation["xrayTraceId"]),
                (&json!("r1"), &json!("Root=1-2"))
            );
        }
    }

    #[test]
    fn numbers_are_no_lines_of_the_log() {
        let lines = logged("debug", || {
            tracing::debug!(target: METRICS, completed = 1_u64);
            tracing::debug!("kept");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}
